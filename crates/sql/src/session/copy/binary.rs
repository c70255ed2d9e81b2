//! COPY's binary format: a signature, then for each row its fields with their lengths.

use super::{Fields, bad_format};
use crate::{SqlError, SqlResult};

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Signature, flags, and the length of an extension there is none of.
pub(super) fn put_header(out: &mut Vec<u8>) {
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&[0; 8]);
}

pub(super) fn put_trailer(out: &mut Vec<u8>) {
    out.extend_from_slice(&(-1_i16).to_be_bytes());
}

/// Rows out of what comes from the client, however it is cut.
#[derive(Default)]
pub(super) struct Reader {
    buffer: Vec<u8>,
    start: usize,
    has_header: bool,
    is_done: bool,
}

impl Reader {
    pub fn feed(&mut self, data: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(data);
    }

    /// The next row's fields into `out`; false until more has been fed, or at the end.
    pub fn next(&mut self, columns: usize, out: &mut Fields) -> SqlResult<bool> {
        if self.is_done {
            return Ok(false);
        }
        let Some(after) = self.try_next(columns, out)? else { return Ok(false) };
        self.start = after;
        Ok(!self.is_done)
    }

    /// No more comes.
    pub fn end(&self) -> SqlResult<()> {
        if !self.has_header {
            return Err(bad_format("COPY file signature not recognized"));
        }
        if !self.is_done && self.start < self.buffer.len() {
            return Err(bad_format("unexpected EOF in COPY data"));
        }
        Ok(())
    }

    /// Where the row ends, if all of it is there.
    fn try_next(&mut self, columns: usize, out: &mut Fields) -> SqlResult<Option<usize>> {
        if !self.has_header && !self.read_header()? {
            return Ok(None);
        }
        let mut rest = &self.buffer[self.start..];
        let Some(count) = take_i16(&mut rest) else { return Ok(None) };
        if count == -1 {
            self.is_done = true;
            return Ok(Some(self.buffer.len() - rest.len()));
        }
        if usize::try_from(count) != Ok(columns) {
            let expected = columns;
            return Err(bad_format(format!("row field count is {count}, expected {expected}")));
        }
        out.clear();
        for _ in 0..columns {
            let Some(length) = take_i32(&mut rest) else { return Ok(None) };
            if length == -1 {
                out.end(true);
                continue;
            }
            let length = usize::try_from(length).map_err(|_| bad_format("invalid field size"))?;
            let Some((field, after)) = rest.split_at_checked(length) else { return Ok(None) };
            out.extend(field);
            out.end(false);
            rest = after;
        }
        Ok(Some(self.buffer.len() - rest.len()))
    }

    fn read_header(&mut self) -> SqlResult<bool> {
        let mut rest = &self.buffer[self.start..];
        let known = rest.len().min(SIGNATURE.len());
        if rest[..known] != SIGNATURE[..known] {
            return Err(bad_format("COPY file signature not recognized"));
        }
        let Some(after) = rest.get(SIGNATURE.len()..) else { return Ok(false) };
        rest = after;
        let (Some(flags), Some(extension)) = (take_i32(&mut rest), take_i32(&mut rest)) else { return Ok(false) };
        if flags & 1 << 16 != 0 {
            return Err(bad_format("invalid COPY file header (WITH OIDS)"));
        }
        if flags >> 16 != 0 {
            return Err(bad_format("unrecognized critical flags in COPY file header"));
        }
        let extension =
            usize::try_from(extension).map_err(|_| bad_format("invalid COPY file header (missing length)"))?;
        let Some(rest) = rest.get(extension..) else { return Ok(false) };
        self.start = self.buffer.len() - rest.len();
        self.has_header = true;
        Ok(true)
    }
}

fn take_i16(input: &mut &[u8]) -> Option<i16> {
    let (bytes, rest) = input.split_first_chunk::<2>()?;
    *input = rest;
    Some(i16::from_be_bytes(*bytes))
}

fn take_i32(input: &mut &[u8]) -> Option<i32> {
    let (bytes, rest) = input.split_first_chunk::<4>()?;
    *input = rest;
    Some(i32::from_be_bytes(*bytes))
}

/// A row for the client. 22023 where it has more columns than the format can say.
pub(super) fn column_count(columns: usize) -> SqlResult<i16> {
    i16::try_from(columns).map_err(|_| SqlError::new("22023", "too many columns for COPY"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_whatever_the_pieces() {
        let mut data = Vec::new();
        put_header(&mut data);
        for value in [Some(&b"ab"[..]), None, Some(b"")] {
            data.extend_from_slice(&1_i16.to_be_bytes());
            match value {
                None => data.extend_from_slice(&(-1_i32).to_be_bytes()),
                Some(value) => {
                    data.extend_from_slice(&(value.len() as i32).to_be_bytes());
                    data.extend_from_slice(value);
                }
            }
        }
        put_trailer(&mut data);
        for size in [1, 2, 7, data.len()] {
            let mut reader = Reader::default();
            let mut fields = Fields::default();
            let mut rows = Vec::new();
            for piece in data.chunks(size) {
                reader.feed(piece);
                while reader.next(1, &mut fields).unwrap() {
                    rows.push(fields.get(0).map(<[u8]>::to_vec));
                }
            }
            reader.end().unwrap();
            assert_eq!(rows, [Some(b"ab".to_vec()), None, Some(Vec::new())], "in pieces of {size}");
        }
    }

    #[test]
    fn other_things_are_refused() {
        let mut reader = Reader::default();
        reader.feed(b"PGCOPX");
        assert_eq!(reader.next(1, &mut Fields::default()).unwrap_err().state(), "22P04");
    }
}
