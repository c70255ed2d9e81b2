//! Reading of stored bytes: every step may find too little, and says in what.

use crate::{Error, Result};

pub struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes, what }
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.corrupt("is too short"))?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// What follows a length of four bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.u32()? as usize;
        if self.rest.len() < len {
            return Err(self.corrupt("is too short"));
        }
        let (bytes, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(bytes)
    }

    pub fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn expect_end(&self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.corrupt("is too long")) }
    }

    /// The version byte that each format begins with.
    pub fn expect_version(&mut self, version: u8) -> Result<()> {
        let found = self.u8()?;
        if found == version { Ok(()) } else { Err(self.corrupt(&format!("has the unknown format {found}"))) }
    }

    /// A byte of flags among `known`.
    pub fn flags(&mut self, known: u8) -> Result<u8> {
        let flags = self.u8()?;
        if flags & !known == 0 { Ok(flags) } else { Err(self.corrupt(&format!("has unknown flags {flags:#04x}"))) }
    }

    pub fn corrupt(&self, problem: &str) -> Error {
        Error::Corrupt(format!("{} {problem}", self.what))
    }
}

pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).expect("keys and values are below 4 GiB");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
}
