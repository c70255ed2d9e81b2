//! Order-preserving byte forms: comparing the bytes compares the values. Each form says itself where it
//! ends, so that parts can be strung together. A descending part is the ascending one with every bit
//! flipped ([`invert`]).

/// `n` bytes big-endian without leading zeros, after one byte that says `n` (0 to 8).
pub fn put_uint(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_be_bytes();
    let zeros = (value.leading_zeros() / 8) as usize;
    out.push((8 - zeros) as u8);
    out.extend_from_slice(&bytes[zeros..]);
}

pub fn take_uint(input: &mut &[u8]) -> Option<u64> {
    let (&len, rest) = input.split_first()?;
    let len = usize::from(len);
    if len > 8 || rest.len() < len {
        return None;
    }
    let (bytes, rest) = rest.split_at(len);
    if bytes.first() == Some(&0) {
        return None; // not the shortest form
    }
    *input = rest;
    Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// Zero is `0x80`; `0x80 + n` precedes the `n` bytes of a positive number, `0x80 - n` those of a negative
/// one (two's complement without leading `0xff`). First bytes lie in `0x78..=0x88`.
pub fn put_int(out: &mut Vec<u8>, value: i64) {
    if value >= 0 {
        let zeros = (value.leading_zeros() / 8) as usize;
        out.push(0x80 + (8 - zeros) as u8);
        out.extend_from_slice(&value.to_be_bytes()[zeros..]);
    } else {
        let ones = (value.leading_ones() / 8) as usize;
        out.push(0x80 - (8 - ones).max(1) as u8);
        out.extend_from_slice(&value.to_be_bytes()[ones.min(7)..]);
    }
}

pub fn take_int(input: &mut &[u8]) -> Option<i64> {
    let (&first, rest) = input.split_first()?;
    let (len, start) = match first {
        0x80..=0x88 => (usize::from(first - 0x80), 0_i64),
        0x78..=0x7f => (usize::from(0x80 - first), -1),
        _ => return None,
    };
    if rest.len() < len {
        return None;
    }
    let (bytes, rest) = rest.split_at(len);
    *input = rest;
    Some(bytes.iter().fold(start, |value, byte| value << 8 | i64::from(*byte)))
}

/// The bytes with `00` written `00 ff`, then `00 01`.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    for part in bytes.split_inclusive(|byte| *byte == 0) {
        out.extend_from_slice(part);
        if part.last() == Some(&0) {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[0, 1]);
}

pub fn take_bytes(input: &mut &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = *input;
    loop {
        let zero = rest.iter().position(|byte| *byte == 0)?;
        out.extend_from_slice(&rest[..zero]);
        match rest.get(zero + 1)? {
            0xff => out.push(0),
            1 => {
                *input = &rest[zero + 2..];
                return Some(out);
            }
            _ => return None,
        }
        rest = &rest[zero + 2..];
    }
}

/// Eight bytes in PostgreSQL's order: -Infinity … -0 = 0 … Infinity, NaN.
pub fn put_f64(out: &mut Vec<u8>, value: f64) {
    let value = if value == 0.0 { 0.0 } else { value };
    let bits = if value.is_nan() { u64::MAX >> 1 } else { value.to_bits() };
    let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    out.extend_from_slice(&ordered.to_be_bytes());
}

pub fn take_f64(input: &mut &[u8]) -> Option<f64> {
    let (bytes, rest) = input.split_first_chunk::<8>()?;
    *input = rest;
    let ordered = u64::from_be_bytes(*bytes);
    let bits = if ordered >> 63 == 1 { ordered & !(1 << 63) } else { !ordered };
    let value = f64::from_bits(bits);
    Some(if value.is_nan() { f64::NAN } else { value })
}

/// Turns the order of what was appended from `from` on around.
pub fn invert(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = !*byte;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn form<T: Copy>(put: fn(&mut Vec<u8>, T), value: T) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, value);
        out
    }

    #[test]
    fn integers_at_their_edges() {
        let edges = [
            i64::MIN,
            i64::MIN + 1,
            -65_537,
            -65_536,
            -257,
            -256,
            -255,
            -129,
            -128,
            -1,
            0,
            1,
            127,
            128,
            255,
            256,
            65_535,
            i64::MAX,
        ];
        for pair in edges.windows(2) {
            assert!(form(put_int, pair[0]) < form(put_int, pair[1]), "{pair:?}");
        }
        for value in edges {
            assert_eq!(take_int(&mut &form(put_int, value)[..]), Some(value));
        }
    }

    #[test]
    fn floats_at_their_edges() {
        let edges = [
            f64::NEG_INFINITY,
            f64::MIN,
            -1.5,
            -f64::MIN_POSITIVE,
            0.0,
            f64::MIN_POSITIVE,
            1.0,
            f64::MAX,
            f64::INFINITY,
            f64::NAN,
        ];
        for pair in edges.windows(2) {
            assert!(form(put_f64, pair[0]) < form(put_f64, pair[1]), "{pair:?}");
        }
        assert_eq!(form(put_f64, -0.0), form(put_f64, 0.0));
        assert_eq!(form(put_f64, -f64::NAN), form(put_f64, f64::NAN));
    }

    proptest! {
        #[test]
        fn order_and_round_trip_uint(a: u64, b: u64) {
            prop_assert_eq!(form(put_uint, a).cmp(&form(put_uint, b)), a.cmp(&b));
            prop_assert_eq!(take_uint(&mut &form(put_uint, a)[..]), Some(a));
        }

        #[test]
        fn order_and_round_trip_int(a: i64, b: i64) {
            prop_assert_eq!(form(put_int, a).cmp(&form(put_int, b)), a.cmp(&b));
            prop_assert_eq!(take_int(&mut &form(put_int, a)[..]), Some(a));
        }

        #[test]
        fn order_and_round_trip_bytes(a in prop::collection::vec(0_u8..4, 0..8), b in prop::collection::vec(0_u8..4, 0..8)) {
            let (mut ea, mut eb) = (Vec::new(), Vec::new());
            put_bytes(&mut ea, &a);
            put_bytes(&mut eb, &b);
            prop_assert_eq!(ea.cmp(&eb), a.cmp(&b));
            prop_assert!(a == b || !ea.starts_with(&eb));
            prop_assert_eq!(take_bytes(&mut &ea[..]), Some(a));
        }

        #[test]
        fn order_and_round_trip_float(a: f64, b: f64) {
            if let Some(order) = a.partial_cmp(&b) {
                prop_assert_eq!(form(put_f64, a).cmp(&form(put_f64, b)), order);
            }
            if !a.is_nan() {
                prop_assert_eq!(take_f64(&mut &form(put_f64, a)[..]), Some(a));
            }
        }

        #[test]
        fn decoding_garbage_never_panics(bytes: Vec<u8>) {
            let _ = take_uint(&mut &bytes[..]);
            let _ = take_int(&mut &bytes[..]);
            let _ = take_bytes(&mut &bytes[..]);
            let _ = take_f64(&mut &bytes[..]);
        }
    }
}
