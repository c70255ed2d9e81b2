//! LIKE, ILIKE, and the translation of SIMILAR TO into a regular expression.

use std::borrow::Cow;

use super::native::{Table, scalar};
use crate::{EvalError, EvalResult};

pub(super) const FUNCTIONS: &[Table] = &[&[
    scalar!("textlike", |text: &str, pattern: &str| like(text.as_bytes(), pattern.as_bytes(), true)),
    scalar!("textnlike", |text: &str, pattern: &str| like(text.as_bytes(), pattern.as_bytes(), true)
        .map(|found| !found)),
    scalar!("namelike", |text: &str, pattern: &str| like(text.as_bytes(), pattern.as_bytes(), true)),
    scalar!("namenlike", |text: &str, pattern: &str| like(text.as_bytes(), pattern.as_bytes(), true)
        .map(|found| !found)),
    scalar!("texticlike", |text: &str, pattern: &str| ilike(text, pattern)),
    scalar!("texticnlike", |text: &str, pattern: &str| ilike(text, pattern).map(|found| !found)),
    scalar!("nameiclike", |text: &str, pattern: &str| ilike(text, pattern)),
    scalar!("nameicnlike", |text: &str, pattern: &str| ilike(text, pattern).map(|found| !found)),
    scalar!("bytealike", |bytes: &[u8], pattern: &[u8]| like(bytes, pattern, false)),
    scalar!("byteanlike", |bytes: &[u8], pattern: &[u8]| like(bytes, pattern, false).map(|found| !found)),
    scalar!("like_escape", |pattern: &str, escape: &str| with_backslashes(pattern, escape).map(Cow::into_owned)),
    scalar!("similar_to_escape_2", |pattern: &str, escape: &str| similar(pattern, escape)),
    scalar!("similar_to_escape_1", |pattern: &str| similar(pattern, "\\")),
    scalar!("similar_escape", |pattern: Option<&str>, escape: Option<&str>| match pattern {
        Some(pattern) => similar(pattern, escape.unwrap_or("\\")).map(Some),
        None => Ok(None),
    }),
]];

fn ilike(text: &str, pattern: &str) -> EvalResult<bool> {
    like(text.to_lowercase().as_bytes(), pattern.to_lowercase().as_bytes(), true)
}

/// `%` any text, `_` any character, `\` takes the next one as it is. A mismatch goes back to the last `%`
/// and lets it take one character more: no earlier one can help.
pub(crate) fn like(text: &[u8], pattern: &[u8], utf8: bool) -> EvalResult<bool> {
    let width = |at: usize| match text[at] {
        0xc0..=0xdf if utf8 => 2,
        0xe0..=0xef if utf8 => 3,
        0xf0..=0xff if utf8 => 4,
        _ => 1,
    };
    let (mut at, mut place) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let matched = match pattern.get(place) {
            None if at == text.len() => return Ok(true),
            None => false,
            Some(b'%') => {
                place += 1;
                if place == pattern.len() {
                    return Ok(true);
                }
                retry = Some((at, place));
                continue;
            }
            Some(b'_') if at < text.len() => {
                at += width(at);
                place += 1;
                true
            }
            Some(b'_') => false,
            Some(literal) => {
                let (literal, taken) = match literal {
                    b'\\' => match pattern.get(place + 1) {
                        Some(next) => (next, 2),
                        None => return Err(EvalError::new("22025", "LIKE pattern must not end with escape character")),
                    },
                    _ => (literal, 1),
                };
                let same = text.get(at) == Some(literal);
                if same {
                    at += 1;
                    place += taken;
                }
                same
            }
        };
        if matched {
            continue;
        }
        match retry {
            Some((from, after)) if from < text.len() => {
                let next = (from + width(from)).min(text.len());
                retry = Some((next, after));
                (at, place) = (next, after);
            }
            _ => return Ok(false),
        }
        if at > text.len() {
            return Ok(false);
        }
    }
}

fn escape_char(escape: &str) -> EvalResult<Option<char>> {
    let mut chars = escape.chars();
    match (chars.next(), chars.next()) {
        (first, None) => Ok(first),
        _ => {
            Err(EvalError::new("22025", "invalid escape string")
                .with_hint("Escape string must be empty or one character."))
        }
    }
}

/// A LIKE pattern with another escape character, rewritten for the backslash.
fn with_backslashes<'a>(pattern: &'a str, escape: &str) -> EvalResult<Cow<'a, str>> {
    let escape = escape_char(escape)?;
    if escape == Some('\\') {
        return Ok(Cow::Borrowed(pattern));
    }
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut after_escape = false;
    for c in pattern.chars() {
        if Some(c) == escape && !after_escape {
            out.push('\\');
            after_escape = true;
        } else {
            if c == '\\' && !after_escape {
                out.push('\\');
            }
            out.push(c);
            after_escape = false;
        }
    }
    Ok(Cow::Owned(out))
}

/// SQL's pattern as a regular expression that must match the whole text. Two escaped double quotes divide
/// it into three parts, of which `substring` gives the middle one.
pub(super) fn similar(pattern: &str, escape: &str) -> EvalResult<String> {
    let escape = escape_char(escape)?;
    let mut out = String::from("^(?:");
    let (mut after_escape, mut in_bracket, mut bracket_start, mut quotes) = (false, false, false, 0);
    for c in pattern.chars() {
        if after_escape {
            if c == '"' && !in_bracket {
                match quotes {
                    // The first part takes as little as it can, the middle what it must.
                    0 => {
                        out.insert_str(4, "(?:");
                        out.push_str("){1,1}?(");
                    }
                    1 => out.push_str("){1,1}(?:"),
                    _ => {
                        return Err(EvalError::new(
                            "2200C",
                            "SQL regular expression may not contain more than two escape-double-quote separators",
                        ));
                    }
                }
                quotes += 1;
            } else {
                // Escapes of the other syntax (\\d) may be used too.
                out.push('\\');
                out.push(c);
            }
            after_escape = false;
            bracket_start = false;
        } else if Some(c) == escape {
            after_escape = true;
        } else if in_bracket {
            if c == '\\' {
                out.push('\\');
            }
            out.push(c);
            if c == ']' && !bracket_start {
                in_bracket = false;
            }
            bracket_start = bracket_start && c == '^';
        } else {
            match c {
                '[' => {
                    out.push('[');
                    (in_bracket, bracket_start) = (true, true);
                }
                '%' => out.push_str(".*"),
                '_' => out.push('.'),
                '(' => out.push_str("(?:"),
                '\\' | '.' | '^' | '$' => {
                    out.push('\\');
                    out.push(c);
                }
                _ => out.push(c),
            }
        }
    }
    if quotes == 1 {
        // A single separator: PostgreSQL takes what follows it for the middle.
        out.push_str("){1,1}(?:");
    }
    out.push_str(")$");
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match() {
        for (text, pattern, expected) in [
            ("hello", "h%o", true),
            ("hello", "h_llo", true),
            ("hello", "h_lo", false),
            ("hello", "%", true),
            ("", "%", true),
            ("", "_", false),
            ("häh", "h_h", true),
            ("a%c", "a\\%c", true),
            ("abc", "a\\%c", false),
            ("aaab", "%aab", true),
            ("abcabcd", "%abc%d", true),
            ("abcabc", "%abcd%", false),
            ("ä", "_", true),
            ("ab", "a%b%", true),
        ] {
            assert_eq!(like(text.as_bytes(), pattern.as_bytes(), true).unwrap(), expected, "{text} {pattern}");
        }
        assert!(like(b"a", b"a\\", true).is_ok_and(|found| !found) || like(b"a\\", b"a\\", true).is_err());
        let many = "a".repeat(2000);
        assert!(!like(many.as_bytes(), b"%a%a%a%a%a%a%a%a%a%a%b", true).unwrap());
        assert_eq!(with_backslashes("10#%\\", "#").unwrap(), "10\\%\\\\");
        assert_eq!(similar("a%_b(c|d)", "\\").unwrap(), "^(?:a.*.b(?:c|d))$");
    }
}
