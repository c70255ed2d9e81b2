//! Arrays and records as text: `{1,NULL,"a b"}`, `[0:1]={…}`, `(1,"a b",)`.

use std::sync::Arc;

use crate::{ArrayValue, Datum, EvalContext, EvalError, EvalResult, SqlType};

pub(crate) const DIMENSIONS_MAX: usize = 6;
/// A sixteenth of PostgreSQL's: an element takes dozens of bytes here, and more while a statement computes with it.
pub(crate) const ELEMENTS_MAX: i64 = (1 << 23) - 1;

/// A one-dimensional array; the empty one where there are no elements.
pub(crate) fn array_from_elements(element: SqlType, elements: Vec<Datum>) -> Datum {
    let dimensions = if elements.is_empty() { Vec::new() } else { vec![(elements.len() as i32, 1)] };
    Datum::Array(Arc::new(ArrayValue { element, dimensions, elements }))
}

/// Braces within braces, before it is known whether they make a rectangle.
enum Item {
    Leaf(Option<String>),
    List(Vec<Item>),
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    delimiter: char,
}

fn is_blank(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\x0b'
}

impl Reader<'_> {
    fn malformed(&self, detail: &str) -> EvalError {
        EvalError::new("22P02", format!("malformed array literal: \"{}\"", self.text)).with_detail(detail)
    }

    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start_matches(is_blank);
        self.rest.chars().next()
    }

    fn advance(&mut self, c: char) {
        self.rest = &self.rest[c.len_utf8()..];
    }

    /// Behind the opening brace, to behind the closing one.
    fn list(&mut self, depth: usize) -> EvalResult<Vec<Item>> {
        if depth > DIMENSIONS_MAX {
            return Err(too_many_dimensions(depth));
        }
        let mut items = Vec::new();
        match self.peek() {
            Some('}') if depth > 1 => return Err(self.malformed("Unexpected \"}\" character.")),
            Some('}') => {
                self.advance('}');
                return Ok(items);
            }
            _ => {}
        }
        loop {
            let item = match self.peek() {
                None => return Err(self.malformed("Unexpected end of input.")),
                Some('{') => {
                    self.advance('{');
                    Item::List(self.list(depth + 1)?)
                }
                Some(c) if c == '}' || c == self.delimiter => {
                    return Err(self.malformed(&format!("Unexpected \"{c}\" character.")));
                }
                Some(_) => Item::Leaf(self.leaf()?),
            };
            items.push(item);
            match self.peek() {
                Some(c) if c == self.delimiter => self.advance(c),
                Some('}') => {
                    self.advance('}');
                    return Ok(items);
                }
                None => return Err(self.malformed("Unexpected end of input.")),
                Some('{') => return Err(self.malformed("Unexpected \"{\" character.")),
                Some(_) => return Err(self.malformed("Unexpected array element.")),
            }
        }
    }

    /// `None` is NULL.
    fn leaf(&mut self) -> EvalResult<Option<String>> {
        let mut out = String::new();
        if self.rest.starts_with('"') {
            self.advance('"');
            loop {
                let Some(c) = self.rest.chars().next() else { return Err(self.malformed("Unexpected end of input.")) };
                self.advance(c);
                match c {
                    '"' => return Ok(Some(out)),
                    '\\' => out.push(self.escaped()?),
                    _ => out.push(c),
                }
            }
        }
        // Blanks at the end do not belong to it, unless they are escaped.
        let (mut kept, mut escaped) = (0, false);
        while let Some(c) = self.rest.chars().next() {
            if c == '}' || c == self.delimiter {
                break;
            }
            if c == '{' || c == '"' {
                return Err(self.malformed(&if c == '"' {
                    "Unexpected array element.".to_owned()
                } else {
                    format!("Unexpected \"{c}\" character.")
                }));
            }
            self.advance(c);
            if c == '\\' {
                out.push(self.escaped()?);
                escaped = true;
                kept = out.len();
            } else {
                out.push(c);
                if !is_blank(c) {
                    kept = out.len();
                }
            }
        }
        out.truncate(kept);
        Ok(if !escaped && out.eq_ignore_ascii_case("null") { None } else { Some(out) })
    }

    fn escaped(&mut self) -> EvalResult<char> {
        let c = self.rest.chars().next().ok_or_else(|| self.malformed("Unexpected end of input."))?;
        self.advance(c);
        Ok(c)
    }

    /// `[lower:upper]…=` in front of the braces: `(length, lower)` of each.
    fn dimensions(&mut self) -> EvalResult<Vec<(i32, i32)>> {
        let mut dimensions = Vec::new();
        while self.peek() == Some('[') {
            let (inside, rest) = self.rest[1..]
                .split_once(']')
                .ok_or_else(|| self.malformed("Missing \"]\" after array dimensions."))?;
            self.rest = rest;
            let (lower, upper) = inside.split_once(':').unwrap_or(("1", inside));
            let number = |text: &str| {
                text.trim()
                    .parse::<i32>()
                    .map_err(|_| self.malformed("\"[\" must introduce explicitly-specified array dimensions."))
            };
            let (lower, upper) = (number(lower)?, number(upper)?);
            if upper < lower {
                return Err(EvalError::new("2202E", "upper bound cannot be less than lower bound"));
            }
            dimensions.push((upper.checked_sub(lower).and_then(|n| n.checked_add(1)).ok_or_else(too_large)?, lower));
            if dimensions.len() > DIMENSIONS_MAX {
                return Err(too_many_dimensions(dimensions.len()));
            }
        }
        if !dimensions.is_empty() {
            match self.peek() {
                Some('=') => self.advance('='),
                _ => return Err(self.malformed("Missing \"=\" after array dimensions.")),
            }
        }
        Ok(dimensions)
    }
}

pub(crate) fn too_many_dimensions(count: usize) -> EvalError {
    EvalError::new(
        "54000",
        format!("number of array dimensions ({count}) exceeds the maximum allowed ({DIMENSIONS_MAX})"),
    )
}

pub(crate) fn too_large() -> EvalError {
    EvalError::new("54000", format!("array size exceeds the maximum allowed ({ELEMENTS_MAX})"))
}

pub(super) fn parse(text: &str, ty: SqlType, ctx: &EvalContext<'_>) -> EvalResult<Datum> {
    let element = ty.element().unwrap_or(SqlType::TEXT);
    let delimiter = element.entry().map_or(',', |entry| entry.delimiter);
    let mut reader = Reader { text, rest: text, delimiter };
    let given = reader.dimensions()?;
    match reader.peek() {
        Some('{') => reader.advance('{'),
        _ if given.is_empty() => {
            return Err(reader.malformed("Array value must start with \"{\" or dimension information."));
        }
        _ => return Err(reader.malformed("Array contents must start with \"{\".")),
    }
    let items = reader.list(1)?;
    if reader.peek().is_some() {
        return Err(reader.malformed("Junk after closing right brace."));
    }
    let ragged = |reader: &Reader<'_>| {
        reader.malformed("Multidimensional arrays must have sub-arrays with matching dimensions.")
    };
    let lengths = lengths(&items);
    let mut leaves = Vec::new();
    if !flatten(items, &lengths, &mut leaves) {
        return Err(ragged(&reader));
    }
    let dimensions = match given.is_empty() {
        _ if leaves.is_empty() => Vec::new(),
        true => lengths.iter().map(|length| (*length, 1)).collect(),
        false if given.iter().map(|d| d.0).eq(lengths.iter().copied()) => given,
        false => return Err(reader.malformed("Specified array dimensions do not match array contents.")),
    };
    let element_type = SqlType { oid: element.oid, typmod: ty.typmod };
    let read = |leaf: Option<String>| leaf.map_or(Ok(Datum::Null), |text| Datum::parse(&text, element_type, ctx));
    let elements = leaves.into_iter().map(read).collect::<EvalResult<Vec<_>>>()?;
    Ok(Datum::Array(Arc::new(ArrayValue { element: element.base(), dimensions, elements })))
}

/// The lengths along the first items: what all others must have too.
fn lengths(items: &[Item]) -> Vec<i32> {
    let mut lengths = vec![items.len() as i32];
    if let Some(Item::List(inner)) = items.first() {
        lengths.extend(self::lengths(inner));
    }
    lengths
}

fn flatten(items: Vec<Item>, lengths: &[i32], leaves: &mut Vec<Option<String>>) -> bool {
    let Some((length, inner)) = lengths.split_first() else { return false };
    if items.len() as i32 != *length {
        return false;
    }
    items.into_iter().all(|item| match item {
        Item::Leaf(leaf) => {
            leaves.push(leaf);
            inner.is_empty()
        }
        Item::List(items) => flatten(items, inner, leaves),
    })
}

/// int2vector and oidvector: numbers with blanks between, counted from 0.
pub(super) fn parse_vector(text: &str, ty: SqlType) -> EvalResult<Datum> {
    let element = ty.element().unwrap_or(SqlType::INT2);
    let number = |text: &str| match element {
        SqlType::OID => super::number::parse_oid(text, SqlType::OID).map(Datum::Oid),
        _ => super::parse_i16(text).map(Datum::Int2),
    };
    let elements = text.split_ascii_whitespace().map(number).collect::<EvalResult<Vec<_>>>()?;
    Ok(Datum::Array(Arc::new(ArrayValue { element, dimensions: vec![(elements.len() as i32, 0)], elements })))
}

pub(super) fn write_vector(out: &mut String, array: &ArrayValue, ctx: &EvalContext<'_>) {
    for (at, element) in array.elements.iter().enumerate() {
        if at > 0 {
            out.push(' ');
        }
        element.to_text(array.element, ctx, out);
    }
}

pub(super) fn write(out: &mut String, array: &ArrayValue, ctx: &EvalContext<'_>) {
    if array.elements.is_empty() {
        return out.push_str("{}");
    }
    if array.dimensions.iter().any(|(_, lower)| *lower != 1) {
        for (length, lower) in &array.dimensions {
            out.push_str(&format!("[{lower}:{}]", lower + length - 1));
        }
        out.push('=');
    }
    let delimiter = array.element.entry().map_or(',', |entry| entry.delimiter);
    let mut elements = array.elements.iter();
    write_level(
        out,
        &array.dimensions,
        &mut elements,
        &mut |out, element| {
            write_array_element(out, element, array.element, delimiter, ctx);
        },
        delimiter,
    );
}

fn write_level<'a>(
    out: &mut String,
    dimensions: &[(i32, i32)],
    elements: &mut impl Iterator<Item = &'a Datum>,
    write: &mut impl FnMut(&mut String, &Datum),
    delimiter: char,
) {
    let Some(((length, _), inner)) = dimensions.split_first() else { return };
    out.push('{');
    for at in 0..*length {
        if at > 0 {
            out.push(delimiter);
        }
        if !inner.is_empty() {
            write_level(out, inner, elements, write, delimiter);
        } else if let Some(element) = elements.next() {
            write(out, element);
        }
    }
    out.push('}');
}

/// One element with the quotes that it needs.
fn write_array_element(out: &mut String, element: &Datum, ty: SqlType, delimiter: char, ctx: &EvalContext<'_>) {
    if element.is_null() {
        return out.push_str("NULL");
    }
    let start = out.len();
    element.to_text(ty, ctx, out);
    let text = &out[start..];
    let special = |c: char| matches!(c, '"' | '\\' | '{' | '}') || c == delimiter || is_blank(c);
    if !text.is_empty() && !text.contains(special) && !text.eq_ignore_ascii_case("null") {
        return;
    }
    let text = out.split_off(start);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

pub(super) fn write_record(out: &mut String, fields: &[Datum], ctx: &EvalContext<'_>) {
    out.push('(');
    for (at, field) in fields.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        if field.is_null() {
            continue;
        }
        let start = out.len();
        field.to_text(field.natural_type(), ctx, out);
        let text = &out[start..];
        if !text.is_empty() && !text.contains(|c: char| matches!(c, '"' | '\\' | '(' | ')' | ',') || is_blank(c)) {
            continue;
        }
        let text = out.split_off(start);
        out.push('"');
        for c in text.chars() {
            if matches!(c, '"' | '\\') {
                out.push(c);
            }
            out.push(c);
        }
        out.push('"');
    }
    out.push(')');
}
