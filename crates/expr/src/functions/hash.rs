//! Checksums of text and bytes.

use md5::Md5;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::native::{Table, scalar};

pub(super) const FUNCTIONS: &[Table] = &[&[
    scalar!("md5_text", |text: &str| hex(&Md5::digest(text.as_bytes()))),
    scalar!("md5_bytea", |bytes: &[u8]| hex(&Md5::digest(bytes))),
    scalar!("sha224_bytea", |bytes: &[u8]| Sha224::digest(bytes).to_vec()),
    scalar!("sha256_bytea", |bytes: &[u8]| Sha256::digest(bytes).to_vec()),
    scalar!("sha384_bytea", |bytes: &[u8]| Sha384::digest(bytes).to_vec()),
    scalar!("sha512_bytea", |bytes: &[u8]| Sha512::digest(bytes).to_vec()),
]];

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    crate::io::write_hex(&mut out, bytes);
    out
}
