//! From bounds of keys to bounds of entries whose keys have eight more bytes.
//!
//! An entry of key `k` is `k ++ suffix`. For a bound that is a key, a prefix or the end of a prefix the
//! same bytes serve. For the successor `k ++ 00` they do not: the entries of `k` lie on both sides of it.
//! So an end bound that might be a successor is widened to take in all entries of `k`, and whoever reads
//! compares the key itself with the true bound. Widened too far is harmless; cut too short is not.

use storage::SUFFIX_LEN;

/// Where to stop reading entries of keys below `end`; may take in a few that are not.
pub fn entries_end(end: &[u8]) -> Vec<u8> {
    match end.split_last() {
        Some((0, key)) => after_entries(key),
        _ => end.to_vec(),
    }
}

/// Above all entries of `key`, below those of any other key that is above it.
pub fn after_entries(key: &[u8]) -> Vec<u8> {
    let mut bound = Vec::with_capacity(key.len() + SUFFIX_LEN + 1);
    bound.extend_from_slice(key);
    bound.extend_from_slice(&[0xff; SUFFIX_LEN + 1]);
    bound
}
