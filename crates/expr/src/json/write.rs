//! Documents as text.

use std::fmt::{self, Write};

use super::Jsonb;

/// Appends a string with its quotes.
pub(crate) fn escape_into(out: &mut impl Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0..=0x1f => "",
            _ => continue,
        };
        out.write_str(&text[from..at])?;
        if escape.is_empty() {
            write!(out, "\\u{byte:04x}")?
        } else {
            out.write_str(escape)?
        }
        from = at + 1;
    }
    out.write_str(&text[from..])?;
    out.write_char('"')
}

impl fmt::Display for Jsonb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Jsonb::Null => f.write_str("null"),
            Jsonb::String(text) => escape_into(f, text),
            Jsonb::Number(number) => number.fmt(f),
            Jsonb::Bool(value) => value.fmt(f),
            Jsonb::Array(elements) => {
                f.write_char('[')?;
                for (at, element) in elements.iter().enumerate() {
                    f.write_str(if at > 0 { ", " } else { "" })?;
                    element.fmt(f)?;
                }
                f.write_char(']')
            }
            Jsonb::Object(pairs) => {
                f.write_char('{')?;
                for (at, (key, value)) in pairs.iter().enumerate() {
                    f.write_str(if at > 0 { ", " } else { "" })?;
                    escape_into(f, key)?;
                    f.write_str(": ")?;
                    value.fmt(f)?;
                }
                f.write_char('}')
            }
        }
    }
}

/// `jsonb_pretty`: four blanks a level.
pub(crate) fn write_pretty(out: &mut String, value: &Jsonb, level: usize) -> fmt::Result {
    let indent = |out: &mut String, level: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("    ", level));
    };
    match value {
        Jsonb::Array(elements) => {
            out.push('[');
            for (at, element) in elements.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                indent(out, level + 1);
                write_pretty(out, element, level + 1)?;
            }
            indent(out, level);
            out.push(']');
        }
        Jsonb::Object(pairs) => {
            out.push('{');
            for (at, (key, value)) in pairs.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                indent(out, level + 1);
                escape_into(out, key)?;
                out.push_str(": ");
                write_pretty(out, value, level + 1)?;
            }
            indent(out, level);
            out.push('}');
        }
        scalar => write!(out, "{scalar}")?,
    }
    Ok(())
}
