//! COPY's text format: fields between delimiters, backslash sequences.

use super::Fields;

/// Cuts a line into fields.
pub(super) fn split(line: &[u8], delimiter: u8, null: &[u8], out: &mut Fields) {
    out.clear();
    let mut at = 0;
    loop {
        let start = at;
        // NULL is told by what stands in the line, before backslashes are looked at.
        while at < line.len() && line[at] != delimiter {
            at += if line[at] == b'\\' { 2 } else { 1 };
        }
        let end = at.min(line.len());
        let raw = &line[start..end];
        let is_null = raw == null;
        if !is_null {
            unescape(raw, out);
        }
        out.end(is_null);
        if at >= line.len() {
            return;
        }
        at += 1;
    }
}

fn unescape(raw: &[u8], out: &mut Fields) {
    let mut at = 0;
    while at < raw.len() {
        let byte = raw[at];
        at += 1;
        let Some(next) = raw.get(at).copied().filter(|_| byte == b'\\') else {
            out.push(byte);
            continue;
        };
        at += 1;
        match next {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(11),
            b'0'..=b'7' => {
                let mut value = u32::from(next - b'0');
                let more = raw[at..].iter().take(2).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
                for digit in &raw[at..at + more] {
                    value = value * 8 + u32::from(digit - b'0');
                }
                at += more;
                out.push(value as u8);
            }
            b'x' => {
                let digits = raw[at..].iter().take(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
                if digits == 0 {
                    out.push(b'x');
                } else {
                    let value = raw[at..at + digits].iter().fold(0, |value, digit| value << 4 | hex_value(*digit));
                    at += digits;
                    out.push(value);
                }
            }
            other => out.push(other),
        }
    }
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// Appends a value, with what would be taken for something else escaped.
pub(super) fn put(out: &mut Vec<u8>, value: &[u8], delimiter: u8) {
    for byte in value {
        let letter = match byte {
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            11 => b'v',
            b'\\' => b'\\',
            byte if *byte == delimiter => *byte,
            byte => {
                out.push(*byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(line: &str) -> Vec<Option<String>> {
        let mut out = Fields::default();
        split(line.as_bytes(), b'\t', b"\\N", &mut out);
        (0..out.len()).map(|at| out.get(at).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())).collect()
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn fields_of_a_line() {
        assert_eq!(fields("1\ta\\tb\t\\N\t"), [some("1"), some("a\tb"), None, some("")]);
        assert_eq!(fields(""), [some("")]);
        assert_eq!(fields("\\\\N\t\\x41\\101\\q"), [some("\\N"), some("AAq")]);
        assert_eq!(fields("a\\"), [some("a\\")], "a backslash at the end stands for itself");
    }

    #[test]
    fn what_is_written_is_read_back() {
        for value in ["", "plain", "a\tb\nc\\d\r\u{b}", "\\N", "ü"] {
            let mut line = Vec::new();
            put(&mut line, value.as_bytes(), b'\t');
            assert_eq!(fields(std::str::from_utf8(&line).unwrap()), [some(value)]);
        }
    }
}
