//! Functions and operators of regular expressions.

use super::native::{Table, scalar};
use crate::regular::{Captures, Options, Regex};
use crate::{Datum, EvalError, EvalResult, SqlType};

pub(super) const FUNCTIONS: &[Table] = &[OPERATORS, MATCHES, REPLACE, SPLIT, POSITIONS];

fn is_match(text: &str, pattern: &str, case_insensitive: bool) -> EvalResult<bool> {
    Regex::new(pattern, Options { case_insensitive, ..Options::default() })?.is_match(text)
}

const OPERATORS: Table = &[
    scalar!("textregexeq", |text: &str, pattern: &str| is_match(text, pattern, false)),
    scalar!("textregexne", |text: &str, pattern: &str| is_match(text, pattern, false).map(|found| !found)),
    scalar!("texticregexeq", |text: &str, pattern: &str| is_match(text, pattern, true)),
    scalar!("texticregexne", |text: &str, pattern: &str| is_match(text, pattern, true).map(|found| !found)),
    scalar!("nameregexeq", |text: &str, pattern: &str| is_match(text, pattern, false)),
    scalar!("nameregexne", |text: &str, pattern: &str| is_match(text, pattern, false).map(|found| !found)),
    scalar!("nameicregexeq", |text: &str, pattern: &str| is_match(text, pattern, true)),
    scalar!("nameicregexne", |text: &str, pattern: &str| is_match(text, pattern, true).map(|found| !found)),
    scalar!("regexp_like_no_flags", |text: &str, pattern: &str| is_match(text, pattern, false)),
    scalar!("regexp_like", |text: &str, pattern: &str, flags: &str| {
        let (options, global) = options(flags)?;
        no_global(global, "regexp_like")?;
        Regex::new(pattern, options)?.is_match(text)
    }),
];

/// The options that the letters of `flags` set, and whether `g` is among them.
fn options(flags: &str) -> EvalResult<(Options, bool)> {
    let mut options = Options { longest: true, ..Options::default() };
    let mut global = false;
    for letter in flags.chars() {
        if letter == 'g' {
            global = true;
        } else if !options.apply(letter) {
            return Err(EvalError::new("22023", format!("invalid regular expression option: \"{letter}\"")));
        }
    }
    Ok((options, global))
}

fn no_global(global: bool, function: &str) -> EvalResult<()> {
    if global {
        return Err(EvalError::new("22023", format!("{function}() does not support the \"global\" option")));
    }
    Ok(())
}

fn plain() -> Options {
    Options { longest: true, ..Options::default() }
}

/// All matches from `from` on, or only the first. After an empty one the search goes on a character later.
fn matches(regex: &Regex, text: &str, from: usize, all: bool) -> EvalResult<Vec<Captures>> {
    let mut found = Vec::new();
    let mut at = from;
    while at <= text.len() {
        let Some(captures) = regex.captures(text, at)? else { break };
        let (start, end) = captures[0].unwrap_or((at, at));
        found.push(captures);
        if !all {
            break;
        }
        at = if end > start { end } else { end + text[end..].chars().next().map_or(1, char::len_utf8) };
    }
    Ok(found)
}

fn piece(text: &str, span: Option<(usize, usize)>) -> Datum {
    span.map_or(Datum::Null, |(start, end)| Datum::text(&text[start..end]))
}

/// The groups of a match, or the whole where the pattern has none.
fn groups(text: &str, captures: &Captures) -> Datum {
    let spans = if captures.len() > 1 { &captures[1..] } else { &captures[..] };
    crate::io::array_from_elements(SqlType::TEXT, spans.iter().map(|span| piece(text, *span)).collect())
}

fn first_match(text: &str, pattern: &str, options: Options) -> EvalResult<Option<Datum>> {
    let captures = Regex::new(pattern, options)?.captures(text, 0)?;
    Ok(captures.map(|captures| groups(text, &captures)))
}

/// The rows of `regexp_matches`.
pub(crate) fn all_matches(text: &str, pattern: &str, flags: &str) -> EvalResult<Vec<Datum>> {
    let (options, global) = options(flags)?;
    let found = matches(&Regex::new(pattern, options)?, text, 0, global)?;
    Ok(found.iter().map(|captures| groups(text, captures)).collect())
}

/// The first group, or the whole match where there is none.
fn first_group(text: &str, pattern: &str) -> EvalResult<Option<Datum>> {
    let captures = Regex::new(pattern, plain())?.captures(text, 0)?;
    Ok(captures.map(|captures| piece(text, captures.get(1).copied().unwrap_or(captures[0]))))
}

const MATCHES: Table = &[
    scalar!("regexp_match_no_flags", |text: &str, pattern: &str| first_match(text, pattern, plain())),
    scalar!("regexp_match", |text: &str, pattern: &str, flags: &str| {
        let (options, global) = options(flags)?;
        if global {
            return Err(EvalError::new("22023", "regexp_match() does not support the \"global\" option")
                .with_hint("Use the regexp_matches function instead."));
        }
        first_match(text, pattern, options)
    }),
    scalar!("textregexsubstr", |text: &str, pattern: &str| first_group(text, pattern)),
    // substring(text similar pattern escape c)
    scalar!("sql2074", |text: &str, pattern: &str, escape: &str| {
        first_group(text, &super::pattern::similar(pattern, escape)?)
    }),
];

/// What `\1` … `\9`, `\&` and `\\` in a replacement stand for.
fn expand(out: &mut String, replacement: &str, text: &str, captures: &Captures) {
    let mut rest = replacement;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(c) = rest.chars().next() else {
            out.push('\\');
            break;
        };
        let group = match c {
            '0'..='9' => Some(c as usize - '0' as usize),
            '&' => Some(0),
            _ => None,
        };
        rest = &rest[c.len_utf8()..];
        match group {
            Some(0) if c == '0' => out.push_str("\\0"),
            Some(group) => {
                if let Some((start, end)) = captures.get(group).copied().flatten() {
                    out.push_str(&text[start..end]);
                }
            }
            None if c == '\\' => out.push('\\'),
            None => {
                out.push('\\');
                out.push(c);
            }
        }
    }
    out.push_str(rest);
}

/// Replaces the `n`th match from the character `start` on, or all where `n` is 0.
fn replace(text: &str, pattern: &str, replacement: &str, start: i32, n: usize, options: Options) -> EvalResult<String> {
    let regex = Regex::new(pattern, options)?;
    let from = crate::io::char_end(text, start as usize - 1);
    if (start as usize - 1) > crate::io::char_count(text) {
        return Ok(text.to_owned());
    }
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for (number, captures) in matches(&regex, text, from, n != 1)?.iter().enumerate() {
        if n != 0 && number + 1 != n {
            continue;
        }
        let (start, end) = captures[0].unwrap_or((copied, copied));
        out.push_str(&text[copied..start]);
        expand(&mut out, replacement, text, captures);
        super::text::check_length(out.len())?;
        copied = end;
    }
    out.push_str(&text[copied..]);
    Ok(out)
}

fn positive(value: i32, name: &str) -> EvalResult<i32> {
    if value > 0 { Ok(value) } else { Err(invalid_parameter(name, value)) }
}

fn not_negative(value: i32, name: &str) -> EvalResult<usize> {
    usize::try_from(value).map_err(|_| invalid_parameter(name, value))
}

fn invalid_parameter(name: &str, value: i32) -> EvalError {
    EvalError::new("22023", format!("invalid value for parameter \"{name}\": {value}"))
}

const REPLACE: Table = &[
    scalar!("textregexreplace_noopt", |text: &str, pattern: &str, new: &str| replace(
        text,
        pattern,
        new,
        1,
        1,
        plain()
    )),
    scalar!("textregexreplace", |text: &str, pattern: &str, new: &str, flags: &str| {
        if flags.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(EvalError::new("22023", format!("invalid regular expression option: \"{}\"", &flags[..1]))
                .with_hint("If you meant to use regexp_replace() with a start parameter, cast the fourth argument to integer explicitly."));
        }
        let (options, global) = options(flags)?;
        replace(text, pattern, new, 1, usize::from(!global), options)
    }),
    scalar!("textregexreplace_extended", |text: &str, pattern: &str, new: &str, start: i32, n: i32, flags: &str| {
        let (start, n, (options, _)) = (positive(start, "start")?, not_negative(n, "n")?, options(flags)?);
        replace(text, pattern, new, start, n, options)
    }),
    scalar!("textregexreplace_extended_no_flags", |text: &str, pattern: &str, new: &str, start: i32, n: i32| {
        replace(text, pattern, new, positive(start, "start")?, not_negative(n, "n")?, plain())
    }),
    scalar!("textregexreplace_extended_no_n", |text: &str, pattern: &str, new: &str, start: i32| {
        replace(text, pattern, new, positive(start, "start")?, 1, plain())
    }),
];

/// The pieces between the matches; an empty match divides only between characters.
pub(crate) fn split(text: &str, pattern: &str, flags: &str) -> EvalResult<Vec<Datum>> {
    let (options, global) = options(flags)?;
    no_global(global, "regexp_split_to_table")?;
    let regex = Regex::new(pattern, options)?;
    let (mut pieces, mut from, mut at) = (Vec::new(), 0, 0);
    while at <= text.len() {
        let Some((start, end)) = regex.captures(text, at)?.and_then(|captures| captures[0]) else { break };
        if start == end {
            // Nothing is divided off at the ends of the text or right behind the last piece.
            if start >= text.len() {
                break;
            }
            at = end + text[end..].chars().next().map_or(1, char::len_utf8);
            if start == from {
                continue;
            }
        } else {
            at = end;
        }
        if pieces.len() as i64 >= crate::io::ELEMENTS_MAX {
            return Err(crate::io::too_large());
        }
        pieces.push(Datum::text(&text[from..start]));
        from = end;
    }
    pieces.push(Datum::text(&text[from..]));
    Ok(pieces)
}

const SPLIT: Table = &[
    scalar!("regexp_split_to_array_no_flags", |text: &str, pattern: &str| {
        crate::io::array_from_elements(SqlType::TEXT, split(text, pattern, "")?)
    }),
    scalar!("regexp_split_to_array", |text: &str, pattern: &str, flags: &str| {
        crate::io::array_from_elements(SqlType::TEXT, split(text, pattern, flags)?)
    }),
];

fn count(text: &str, pattern: &str, start: i32, flags: &str) -> EvalResult<i32> {
    let start = positive(start, "start")? as usize - 1;
    let (options, global) = options(flags)?;
    no_global(global, "regexp_count")?;
    if start > crate::io::char_count(text) {
        return Ok(0);
    }
    let regex = Regex::new(pattern, options)?;
    Ok(matches(&regex, text, crate::io::char_end(text, start), true)?.len() as i32)
}

/// The span of a group of the `n`th match; `start` and `n` are positive.
fn nth(
    text: &str,
    pattern: &str,
    start: i32,
    n: i32,
    flags: &str,
    group: usize,
    name: &str,
) -> EvalResult<Option<(usize, usize)>> {
    let (options, global) = options(flags)?;
    no_global(global, name)?;
    let (start, n) = (start as usize - 1, n as usize);
    if start > crate::io::char_count(text) {
        return Ok(None);
    }
    let regex = Regex::new(pattern, options)?;
    if group > regex.groups() {
        return Ok(None);
    }
    let found = matches(&regex, text, crate::io::char_end(text, start), n > 1)?;
    Ok(found.get(n - 1).and_then(|captures| captures.get(group).copied().flatten()))
}

fn instr(text: &str, pattern: &str, start: i32, n: i32, end_option: i32, flags: &str, group: i32) -> EvalResult<i32> {
    positive(start, "start")?;
    positive(n, "n")?;
    if !(0..=1).contains(&end_option) {
        return Err(invalid_parameter("endoption", end_option));
    }
    let group = not_negative(group, "subexpr")?;
    let span = nth(text, pattern, start, n, flags, group, "regexp_instr")?;
    let position = |at: usize| crate::io::char_count(&text[..at]) as i32 + 1;
    Ok(span.map_or(0, |(start, end)| position(if end_option == 1 { end } else { start })))
}

fn substr(text: &str, pattern: &str, start: i32, n: i32, flags: &str, group: i32) -> EvalResult<Option<Datum>> {
    positive(start, "start")?;
    positive(n, "n")?;
    let group = not_negative(group, "subexpr")?;
    let span = nth(text, pattern, start, n, flags, group, "regexp_substr")?;
    Ok(span.map(|span| piece(text, Some(span))))
}

const POSITIONS: Table = &[
    scalar!("regexp_count_no_start", |text: &str, pattern: &str| count(text, pattern, 1, "")),
    scalar!("regexp_count_no_flags", |text: &str, pattern: &str, start: i32| count(text, pattern, start, "")),
    scalar!("regexp_count", |text: &str, pattern: &str, start: i32, flags: &str| count(text, pattern, start, flags)),
    scalar!("regexp_instr_no_start", |text: &str, pattern: &str| instr(text, pattern, 1, 1, 0, "", 0)),
    scalar!("regexp_instr_no_n", |text: &str, pattern: &str, start: i32| instr(text, pattern, start, 1, 0, "", 0)),
    scalar!("regexp_instr_no_endoption", |text: &str, pattern: &str, start: i32, n: i32| instr(
        text, pattern, start, n, 0, "", 0
    )),
    scalar!("regexp_instr_no_flags", |text: &str, pattern: &str, start: i32, n: i32, end: i32| instr(
        text, pattern, start, n, end, "", 0
    )),
    scalar!("regexp_instr_no_subexpr", |text: &str, pattern: &str, start: i32, n: i32, end: i32, flags: &str| {
        instr(text, pattern, start, n, end, flags, 0)
    }),
    scalar!("regexp_instr", |text: &str, pattern: &str, start: i32, n: i32, end: i32, flags: &str, group: i32| {
        instr(text, pattern, start, n, end, flags, group)
    }),
    scalar!("regexp_substr_no_start", |text: &str, pattern: &str| substr(text, pattern, 1, 1, "", 0)),
    scalar!("regexp_substr_no_n", |text: &str, pattern: &str, start: i32| substr(text, pattern, start, 1, "", 0)),
    scalar!("regexp_substr_no_flags", |text: &str, pattern: &str, start: i32, n: i32| substr(
        text, pattern, start, n, "", 0
    )),
    scalar!("regexp_substr_no_subexpr", |text: &str, pattern: &str, start: i32, n: i32, flags: &str| {
        substr(text, pattern, start, n, flags, 0)
    }),
    scalar!("regexp_substr", |text: &str, pattern: &str, start: i32, n: i32, flags: &str, group: i32| {
        substr(text, pattern, start, n, flags, group)
    }),
];
