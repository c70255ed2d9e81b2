//! A JSON parser that keeps the text of each part and has PostgreSQL's messages.

use crate::{EvalError, EvalResult};

/// Deeper nesting is refused: parsing, comparing and freeing go down the levels one by one.
const DEPTH_MAX: usize = 1500;

/// A part of the text, without the white space around it.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub text: &'a str,
    pub kind: NodeKind<'a>,
}

#[derive(Debug)]
pub(crate) enum NodeKind<'a> {
    Null,
    Bool(bool),
    Number,
    /// Without quotes and escapes.
    String(String),
    Array(Vec<Node<'a>>),
    Object(Vec<(String, Node<'a>)>),
}

impl Node<'_> {
    /// What `->>` gives: a string without quotes, NULL for null.
    pub(crate) fn as_text(&self) -> Option<String> {
        match &self.kind {
            NodeKind::Null => None,
            NodeKind::String(text) => Some(text.clone()),
            _ => Some(self.text.to_owned()),
        }
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match &self.kind {
            NodeKind::Null => "null",
            NodeKind::Bool(_) => "boolean",
            NodeKind::Number => "number",
            NodeKind::String(_) => "string",
            NodeKind::Array(_) => "array",
            NodeKind::Object(_) => "object",
        }
    }
}

/// 22P02 where the text is not one JSON value.
pub(crate) fn parse(text: &str) -> EvalResult<Node<'_>> {
    Parser { text, at: 0, keep_escapes: false }.document()
}

/// As [`parse`] for the input of type json, which leaves escapes as they are: `"\ud800"` is JSON, though no
/// text can be made of it.
pub(crate) fn check(text: &str) -> EvalResult<()> {
    Parser { text, at: 0, keep_escapes: true }.document().map(drop)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    keep_escapes: bool,
}

fn syntax(detail: impl Into<String>) -> EvalError {
    EvalError::new("22P02", "invalid input syntax for type json").with_detail(detail)
}

impl<'a> Parser<'a> {
    fn document(mut self) -> EvalResult<Node<'a>> {
        let node = self.value(0)?;
        self.skip_blanks();
        if self.at < self.text.len() { Err(self.unexpected("Expected end of input")) } else { Ok(node) }
    }

    fn skip_blanks(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')).count();
    }

    fn peek(&mut self) -> Option<u8> {
        self.skip_blanks();
        self.text.as_bytes().get(self.at).copied()
    }

    /// The token at this place, as messages quote it.
    fn token(&self) -> &'a str {
        let rest = &self.text[self.at..];
        let end = match rest.chars().next() {
            Some('"') => rest[1..].find('"').map_or(rest.len(), |end| end + 2),
            Some(c) if is_word(c) => rest.find(|c: char| !is_word(c)).unwrap_or(rest.len()),
            Some(c) => c.len_utf8(),
            None => 0,
        };
        &rest[..end]
    }

    /// The error for a token that is no value, or is one where something else must stand.
    fn unexpected(&mut self, expected: &str) -> EvalError {
        self.skip_blanks();
        let token = self.token();
        let is_value = matches!(token, "true" | "false" | "null") || is_number(token);
        match token.as_bytes().first() {
            None => syntax("The input string ended unexpectedly."),
            Some(b'{' | b'}' | b'[' | b']' | b',' | b':' | b'"') => {
                syntax(format!("{expected}, but found \"{token}\"."))
            }
            Some(_) if is_value => syntax(format!("{expected}, but found \"{token}\".")),
            Some(_) => syntax(format!("Token \"{token}\" is invalid.")),
        }
    }

    fn value(&mut self, depth: usize) -> EvalResult<Node<'a>> {
        if depth > DEPTH_MAX {
            return Err(EvalError::new("54001", "stack depth limit exceeded")
                .with_detail(format!("A JSON document may be nested {DEPTH_MAX} levels deep.")));
        }
        let start = match self.peek() {
            Some(_) => self.at,
            None => return Err(syntax("The input string ended unexpectedly.")),
        };
        let kind = match self.text.as_bytes()[start] {
            b'{' => self.object(depth)?,
            b'[' => self.array(depth)?,
            b'"' => NodeKind::String(self.string()?),
            _ => self.scalar()?,
        };
        Ok(Node { text: &self.text[start..self.at], kind })
    }

    fn scalar(&mut self) -> EvalResult<NodeKind<'a>> {
        let token = self.token();
        let kind = match token {
            "null" => NodeKind::Null,
            "true" => NodeKind::Bool(true),
            "false" => NodeKind::Bool(false),
            _ if is_number(token) => NodeKind::Number,
            _ => return Err(self.unexpected("Expected JSON value")),
        };
        self.at += token.len();
        Ok(kind)
    }

    fn array(&mut self, depth: usize) -> EvalResult<NodeKind<'a>> {
        self.at += 1;
        let mut elements = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(NodeKind::Array(elements));
        }
        loop {
            elements.push(self.value(depth + 1)?);
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(NodeKind::Array(elements));
                }
                _ => return Err(self.unexpected("Expected \",\" or \"]\"")),
            }
        }
    }

    fn object(&mut self, depth: usize) -> EvalResult<NodeKind<'a>> {
        self.at += 1;
        let mut pairs = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(NodeKind::Object(pairs));
        }
        loop {
            if self.peek() != Some(b'"') {
                let expected = if pairs.is_empty() { "Expected string or \"}\"" } else { "Expected string" };
                return Err(self.unexpected(expected));
            }
            let key = self.string()?;
            if self.peek() != Some(b':') {
                return Err(self.unexpected("Expected \":\""));
            }
            self.at += 1;
            pairs.push((key, self.value(depth + 1)?));
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(NodeKind::Object(pairs));
                }
                _ => return Err(self.unexpected("Expected \",\" or \"}\"")),
            }
        }
    }

    /// From the opening quote to behind the closing one.
    fn string(&mut self) -> EvalResult<String> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        self.at += 1;
        let mut out = String::new();
        let mut from = self.at;
        loop {
            match bytes.get(self.at) {
                None => {
                    return Err(syntax(format!("Token \"{}\" is invalid.", &self.text[start..])));
                }
                Some(b'"') => {
                    out.push_str(&self.text[from..self.at]);
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    out.push_str(&self.text[from..self.at]);
                    self.at += 1;
                    out.push(self.escape(start)?);
                    from = self.at;
                }
                Some(control @ 0..=0x1f) => {
                    return Err(syntax(format!("Character with value 0x{control:02x} must be escaped.")));
                }
                Some(_) => self.at += 1,
            }
        }
    }

    /// Behind a backslash.
    fn escape(&mut self, start: usize) -> EvalResult<char> {
        let Some(c) = self.text[self.at..].chars().next() else {
            return Err(syntax(format!("Token \"{}\" is invalid.", &self.text[start..])));
        };
        self.at += c.len_utf8();
        Ok(match c {
            '"' | '\\' | '/' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode_escape(),
            _ => return Err(syntax(format!("Escape sequence \"\\{c}\" is invalid."))),
        })
    }

    fn unicode_escape(&mut self) -> EvalResult<char> {
        let high = self.four_hex_digits()?;
        match high {
            _ if self.keep_escapes => Ok(char::REPLACEMENT_CHARACTER),
            0 => Err(EvalError::new("22P05", "unsupported Unicode escape sequence")
                .with_detail("\\u0000 cannot be converted to text.")),
            0xd800..=0xdbff => {
                if !self.text[self.at..].starts_with("\\u") {
                    return Err(syntax("Unicode low surrogate must follow a high surrogate."));
                }
                self.at += 2;
                let low = self.four_hex_digits()?;
                if (0xd800..=0xdbff).contains(&low) {
                    return Err(syntax("Unicode high surrogate must not follow a high surrogate."));
                }
                let code = 0x10000 + ((high - 0xd800) << 10) + low.wrapping_sub(0xdc00);
                let valid = (0xdc00..=0xdfff).contains(&low).then(|| char::from_u32(code)).flatten();
                valid.ok_or_else(|| syntax("Unicode low surrogate must follow a high surrogate."))
            }
            _ => char::from_u32(high).ok_or_else(|| syntax("Unicode low surrogate must follow a high surrogate.")),
        }
    }

    fn four_hex_digits(&mut self) -> EvalResult<u32> {
        let digits = self.text.get(self.at..self.at + 4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let digits = digits.ok_or_else(|| syntax("\"\\u\" must be followed by four hexadecimal digits."))?;
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| syntax("\"\\u\" must be followed by four hexadecimal digits."))
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '.') || !c.is_ascii()
}

/// JSON's own grammar of numbers.
fn is_number(token: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = token.strip_prefix('-').unwrap_or(token);
    let whole = digits(rest);
    if whole == 0 || whole > 1 && rest.starts_with('0') {
        return false;
    }
    let mut rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let len = digits(fraction);
        if len == 0 {
            return false;
        }
        rest = &fraction[len..];
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let len = digits(exponent);
        return len > 0 && len == exponent.len();
    }
    rest.is_empty()
}
