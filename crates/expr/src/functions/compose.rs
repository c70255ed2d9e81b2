//! Text put together from other values: `||`, concat, format, quoting.

use super::Call;
use super::native::{Table, scalar};
use super::text::check_length;
use crate::io::{char_count, quote_identifier};
use crate::{Datum, EvalError, EvalResult, SqlType};

pub(super) const FUNCTIONS: &[Table] = &[&[
    scalar!("textcat", |a: &str, b: &str| {
        check_length(a.len().saturating_add(b.len()))?;
        [a, b].concat()
    }),
    scalar!("sql2003", |call; a: &str, b: &Datum| [a, &as_text(call, 1, b)].concat()),
    scalar!("sql2004", |call; a: &Datum, b: &str| [&as_text(call, 0, a), b].concat()),
    ("text_concat", |call, args| concat(call, args)),
    ("text_concat_ws", |call, args| concat_ws(call, args)),
    ("text_format", |call, args| format(call, args)),
    ("text_format_nv", |call, args| format(call, args)),
    scalar!("quote_ident", |name: &str| quote_identifier(name)),
    scalar!("quote_literal", |text: &str| quote_literal(text)),
    scalar!("sql1285", |call; value: &Datum| quote_literal(&as_text(call, 0, value))),
    scalar!("quote_nullable", |text: Option<&str>| text.map_or("NULL".to_owned(), quote_literal)),
    scalar!("sql1290", |call; value: &Datum| match value.is_null() {
        true => "NULL".to_owned(),
        false => quote_literal(&as_text(call, 0, value)),
    }),
    scalar!("nameconcatoid", |name: &str, oid: super::native::OidArg| {
        let suffix = format!("_{}", oid.0);
        let mut end = name.len().min(63 - suffix.len());
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        format!("{}{suffix}", &name[..end])
    }),
    ("parse_ident", |_, args| parse_ident(args)),
]];

fn concat(call: &Call<'_>, args: &[&Datum]) -> EvalResult<Datum> {
    let mut out = String::new();
    for (at, value) in args.iter().enumerate() {
        value.to_text(call.arg_type(at), call.ctx, &mut out);
    }
    check_length(out.len())?;
    Ok(Datum::text(out))
}

/// NULLs are left out.
fn concat_ws(call: &Call<'_>, args: &[&Datum]) -> EvalResult<Datum> {
    let Some((Datum::Text(separator), _)) = args.split_first() else { return Ok(Datum::Null) };
    let mut out = String::new();
    let mut first = true;
    for (at, value) in args.iter().enumerate().skip(1).filter(|(_, value)| !value.is_null()) {
        if !std::mem::take(&mut first) {
            out.push_str(separator);
        }
        value.to_text(call.arg_type(at), call.ctx, &mut out);
    }
    check_length(out.len())?;
    Ok(Datum::text(out))
}

/// With backslashes only in the form `E'…'`.
/// `value::text`, which says true and false in full.
fn as_text(call: &Call<'_>, at: usize, value: &Datum) -> String {
    match value {
        Datum::Bool(value) => value.to_string(),
        value => value.text_form(call.arg_type(at), call.ctx),
    }
}

pub(super) fn quote_literal(text: &str) -> String {
    let prefix = if text.contains('\\') { "E" } else { "" };
    let inner = text.replace('\'', "''").replace('\\', "\\\\");
    format!("{prefix}'{inner}'")
}

/// The place of a directive: `%[position$][-][width]type`.
struct Directive {
    position: Option<usize>,
    left: bool,
    width: Option<Width>,
    kind: char,
}

enum Width {
    Fixed(usize),
    /// `*`: from the next argument, or from the argument with this number.
    Arg(Option<usize>),
}

fn too_few() -> EvalError {
    EvalError::new("22023", "too few arguments for format()")
}

fn format(call: &Call<'_>, args: &[&Datum]) -> EvalResult<Datum> {
    let Some((Datum::Text(template), _)) = args.split_first() else { return Ok(Datum::Null) };
    let mut out = String::new();
    let mut rest = &**template;
    // The next argument that is taken without a number.
    let mut next = 1;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let (directive, after) = directive(rest)?;
        rest = after;
        let mut take = |position: Option<usize>| -> EvalResult<usize> {
            let at = position.unwrap_or(next);
            if at >= args.len() {
                return Err(too_few());
            }
            next = at + 1;
            Ok(at)
        };
        let (mut width, mut left) = (0, directive.left);
        match directive.width {
            Some(Width::Fixed(n)) => width = n,
            Some(Width::Arg(position)) => {
                let n = match args[take(position)?] {
                    Datum::Null => 0,
                    Datum::Int2(n) => i64::from(*n),
                    Datum::Int4(n) => i64::from(*n),
                    Datum::Int8(n) => *n,
                    Datum::Text(n) => crate::io::parse_i64(n)?,
                    _ => return Err(EvalError::new("22023", "width argument of format() must be an integer")),
                };
                left |= n < 0;
                width = usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX);
            }
            None => {}
        }
        check_length(width)?;
        let at = take(directive.position)?;
        let (value, ty) = (args[at], call.arg_type(at));
        let text = match directive.kind {
            's' => value.text_form(ty, call.ctx),
            'I' if value.is_null() => {
                return Err(EvalError::new("22004", "null values cannot be formatted as an SQL identifier"));
            }
            'I' => quote_identifier(&value.text_form(ty, call.ctx)),
            _ if value.is_null() => "NULL".to_owned(),
            _ => quote_literal(&value.text_form(ty, call.ctx)),
        };
        let padding = " ".repeat(width.saturating_sub(char_count(&text)));
        let (before, behind) = if left { ("", &padding[..]) } else { (&padding[..], "") };
        out.push_str(before);
        out.push_str(&text);
        out.push_str(behind);
        check_length(out.len())?;
    }
    out.push_str(rest);
    Ok(Datum::text(out))
}

/// Behind the `%`.
fn directive(text: &str) -> EvalResult<(Directive, &str)> {
    let unterminated =
        || EvalError::new("22023", "unterminated format() type specifier").with_hint("For a single \"%\" use \"%%\".");
    let number = |text: &str| -> EvalResult<Option<(usize, usize)>> {
        let len = text.bytes().take_while(u8::is_ascii_digit).count();
        if len == 0 {
            return Ok(None);
        }
        let value = text[..len].parse().ok().filter(|n| *n <= i32::MAX as usize);
        Ok(Some((value.ok_or_else(|| EvalError::new("22003", "number is out of range"))?, len)))
    };
    let mut rest = text;
    let mut found = Directive { position: None, left: false, width: None, kind: ' ' };
    let numbered = |position: usize| match position {
        0 => Err(EvalError::new("22023", "format specifies argument 0, but arguments are numbered from 1")),
        n => Ok(n),
    };
    if let Some((value, len)) = number(rest)? {
        if rest[len..].starts_with('$') {
            found.position = Some(numbered(value)?);
            rest = &rest[len + 1..];
        } else {
            found.width = Some(Width::Fixed(value));
            rest = &rest[len..];
        }
    }
    if found.width.is_none() {
        while let Some(after) = rest.strip_prefix('-') {
            found.left = true;
            rest = after;
        }
        if let Some(after) = rest.strip_prefix('*') {
            rest = after;
            found.width = Some(match number(rest)? {
                Some((value, len)) if rest[len..].starts_with('$') => {
                    rest = &rest[len + 1..];
                    Width::Arg(Some(numbered(value)?))
                }
                Some(_) => return Err(EvalError::new("22023", "width argument position must be ended by \"$\"")),
                None => Width::Arg(None),
            });
        } else if let Some((value, len)) = number(rest)? {
            found.width = Some(Width::Fixed(value));
            rest = &rest[len..];
        }
    }
    found.kind = rest.chars().next().ok_or_else(unterminated)?;
    if !matches!(found.kind, 's' | 'I' | 'L') {
        let message = format!("unrecognized format() type specifier \"{}\"", found.kind);
        return Err(EvalError::new("22023", message).with_hint("For a single \"%\" use \"%%\"."));
    }
    Ok((found, &rest[1..]))
}

/// A qualified name as the array of its parts.
fn parse_ident(args: &[&Datum]) -> EvalResult<Datum> {
    let (Some(Datum::Text(name)), strict) = (args.first(), !matches!(args.get(1), Some(Datum::Bool(false)))) else {
        return Ok(Datum::Null);
    };
    let invalid = |detail: Option<String>| {
        let error = EvalError::new("22023", format!("string is not a valid identifier: \"{name}\""));
        detail.map_or_else(|| error.clone(), |detail| error.clone().with_detail(detail))
    };
    let (mut parts, mut rest) = (Vec::new(), name.trim_start());
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (mut part, mut inner) = (String::new(), quoted);
            loop {
                let (head, tail) = inner
                    .split_once('"')
                    .ok_or_else(|| invalid(Some("String has unclosed double quotes.".to_owned())))?;
                part.push_str(head);
                match tail.strip_prefix('"') {
                    Some(more) => {
                        part.push('"');
                        inner = more;
                    }
                    None => {
                        rest = tail;
                        break;
                    }
                }
            }
            if part.is_empty() {
                return Err(invalid(Some("Quoted identifier must not be empty.".to_owned())));
            }
            parts.push(Datum::text(part));
        } else {
            let starts = |c: char| c.is_alphabetic() || c == '_' || !c.is_ascii();
            let end = rest.find(|c: char| !(starts(c) || c.is_ascii_digit() || c == '$')).unwrap_or(rest.len());
            if end == 0 || !rest.starts_with(starts) {
                let detail = if rest.starts_with('.') || parts.is_empty() {
                    "No valid identifier before \".\"."
                } else {
                    "No valid identifier after \".\"."
                };
                return Err(invalid(
                    rest.contains('.').then(|| detail.to_owned()).or((!parts.is_empty()).then(|| detail.to_owned())),
                ));
            }
            parts.push(Datum::text(rest[..end].to_lowercase()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
        match rest.strip_prefix('.') {
            Some(after) => rest = after.trim_start(),
            None if rest.is_empty() || !strict => return Ok(crate::io::array_from_elements(SqlType::TEXT, parts)),
            None => return Err(invalid(None)),
        }
    }
}
