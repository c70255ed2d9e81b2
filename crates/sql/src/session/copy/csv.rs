//! COPY's CSV format.

use super::options::Options;
use super::{Fields, bad_format};
use crate::SqlResult;

/// Flags for each column that is copied.
pub(super) struct Forced {
    pub not_null: Vec<bool>,
    pub null: Vec<bool>,
}

/// Cuts a line, which may hold line ends between quotes, into fields.
pub(super) fn split(line: &[u8], options: &Options, forced: &Forced, out: &mut Fields) -> SqlResult<()> {
    out.clear();
    let mut at = 0;
    loop {
        let mut was_quoted = false;
        let mut in_quotes = false;
        while at < line.len() {
            let byte = line[at];
            if in_quotes {
                let next = line.get(at + 1).copied();
                if byte == options.escape && next.is_some_and(|next| next == options.escape || next == options.quote) {
                    out.push(next.unwrap_or(byte));
                    at += 2;
                    continue;
                }
                if byte == options.quote {
                    in_quotes = false;
                    at += 1;
                    continue;
                }
            } else if byte == options.delimiter {
                break;
            } else if byte == options.quote {
                in_quotes = true;
                was_quoted = true;
                at += 1;
                continue;
            }
            out.push(byte);
            at += 1;
        }
        if in_quotes {
            return Err(bad_format("unterminated CSV quoted field"));
        }
        let column = out.len();
        let flag = |flags: &[bool]| flags.get(column).copied().unwrap_or(false);
        let looks_null = out.current() == options.null;
        let is_null = looks_null && if was_quoted { flag(&forced.null) } else { !flag(&forced.not_null) };
        out.end(is_null);
        if at >= line.len() {
            return Ok(());
        }
        at += 1;
    }
}

/// Appends a value in quotes where it needs them.
pub(super) fn put(out: &mut Vec<u8>, value: &[u8], options: &Options, force: bool, is_only_column: bool) {
    let is_special = |byte: &u8| *byte == options.delimiter || *byte == options.quote || matches!(byte, b'\n' | b'\r');
    let needs_quotes =
        force || value == options.null || (is_only_column && value == b"\\.") || value.iter().any(is_special);
    if !needs_quotes {
        out.extend_from_slice(value);
        return;
    }
    out.push(options.quote);
    for byte in value {
        if *byte == options.quote || *byte == options.escape {
            out.push(options.escape);
        }
        out.push(*byte);
    }
    out.push(options.quote);
}
