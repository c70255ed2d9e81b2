//! Tokens, by the rules of PostgreSQL's `scan.l` with `standard_conforming_strings = on`.
//!
//! The whole source is cut at once into small tokens that say where they stand; what a literal or a quoted name
//! contains is worked out when the parser takes it ([`Token::string`], [`Token::name`]).

use super::keyword::{self, Kw};
use crate::{SqlError, SqlResult};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub kind: TokenKind,
    pub start: u32,
    pub end: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// An unquoted identifier that is no key word.
    Word,
    Keyword(Kw),
    /// `"name"`
    Quoted,
    /// `U&"name"`
    UnicodeQuoted,
    /// `'text'`
    Text,
    /// `E'text'`
    EscapeText,
    /// `U&'text'`
    UnicodeText,
    /// `$tag$text$tag$`
    DollarText,
    /// `B'…'`
    Bits,
    /// `X'…'`
    Hex,
    Integer,
    /// A number with a point or an exponent.
    Decimal,
    /// `$n`
    Param,
    /// Any operator, also of one character; its text is the source's.
    Operator,
    LeftParen,
    RightParen,
    LeftBracket,
    RightBracket,
    Comma,
    Semicolon,
    Dot,
    DotDot,
    Colon,
    ColonColon,
    ColonEquals,
    /// `=>`
    Arrow,
    End,
}

/// PostgreSQL's NAMEDATALEN - 1.
const NAME_BYTES_MAX: usize = 63;

/// The tokens of `source`, `End` last.
pub fn tokens(source: &str) -> SqlResult<Vec<Token>> {
    let mut lexer = Lexer { source, bytes: source.as_bytes(), at: 0 };
    let mut tokens = Vec::with_capacity(source.len() / 4 + 2);
    loop {
        let token = lexer.next()?;
        tokens.push(token);
        if token.kind == TokenKind::End {
            return Ok(tokens);
        }
    }
}

impl Token {
    pub fn text<'a>(&self, source: &'a str) -> &'a str {
        &source[self.start as usize..self.end as usize]
    }

    pub fn is_string(&self) -> bool {
        matches!(self.kind, TokenKind::Text | TokenKind::EscapeText | TokenKind::UnicodeText | TokenKind::DollarText)
    }

    /// What an identifier token says, folded unless quoted. `None` for other tokens.
    pub fn name(&self, source: &str) -> SqlResult<Option<String>> {
        let text = self.text(source);
        let name = match self.kind {
            TokenKind::Word => text.to_ascii_lowercase(),
            TokenKind::Keyword(keyword) => return Ok(Some(keyword.text().to_owned())),
            TokenKind::Quoted => text[1..text.len() - 1].replace("\"\"", "\""),
            TokenKind::UnicodeQuoted => {
                let (text, escape) = unicode_parts(text, '"');
                unicode_unescape(&text.replace("\"\"", "\""), escape, self.start, source)?
            }
            _ => return Ok(None),
        };
        Ok(Some(truncated(name)))
    }

    /// The value of a string literal. `None` for other tokens.
    pub fn string(&self, source: &str) -> SqlResult<Option<String>> {
        let text = self.text(source);
        Ok(Some(match self.kind {
            TokenKind::Text => match text.find('\n') {
                None if !text[1..text.len() - 1].contains('\'') => text[1..text.len() - 1].to_owned(),
                _ => pieces(text, false).collect::<Vec<_>>().concat().replace("''", "'"),
            },
            TokenKind::EscapeText => {
                unescape(&pieces(&text[1..], true).collect::<Vec<_>>().concat(), self.start, source)?
            }
            TokenKind::UnicodeText => {
                let (text, escape) = unicode_parts(text, '\'');
                unicode_unescape(&text.replace("''", "'"), escape, self.start, source)?
            }
            TokenKind::DollarText => {
                let tag = text[1..].find('$').unwrap_or(0) + 2;
                text[tag..text.len() - tag].to_owned()
            }
            _ => return Ok(None),
        }))
    }
}

/// 42601 at a byte offset.
pub fn syntax_error(message: impl Into<String>, at: u32, source: &str) -> SqlError {
    SqlError::new("42601", message).at(Some(super::position(source, at)))
}

fn truncated(mut name: String) -> String {
    if name.len() > NAME_BYTES_MAX {
        let mut end = NAME_BYTES_MAX;
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        name.truncate(end);
    }
    name
}

/// The insides of `'a'`, or of `'a' newline 'b'`, quotes still doubled.
fn pieces(text: &str, backslash: bool) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find('\'')? + 1;
        let end = quoted_end(rest.as_bytes(), start, b'\'', backslash)?;
        let piece = &rest[start..end - 1];
        rest = &rest[end..];
        Some(piece)
    })
}

/// The offset after the closing `quote`, doubled ones skipped (and escaped ones, where `backslash`).
fn quoted_end(bytes: &[u8], mut at: usize, quote: u8, backslash: bool) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            b'\\' if backslash => at += 2,
            byte if byte == quote => {
                if bytes.get(at + 1) != Some(&quote) {
                    return Some(at + 1);
                }
                at += 2;
            }
            _ => at += 1,
        }
    }
}

struct Lexer<'a> {
    source: &'a str,
    bytes: &'a [u8],
    at: usize,
}

fn is_identifier_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_identifier(byte: u8) -> bool {
    is_identifier_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

fn is_operator(byte: u8) -> bool {
    matches!(
        byte,
        b'~' | b'!'
            | b'@'
            | b'#'
            | b'^'
            | b'&'
            | b'|'
            | b'`'
            | b'?'
            | b'+'
            | b'-'
            | b'*'
            | b'/'
            | b'%'
            | b'<'
            | b'>'
            | b'='
    )
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c | 0x0b)
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn next(&mut self) -> SqlResult<Token> {
        self.skip_space()?;
        let start = self.at;
        let Some(byte) = self.peek(0) else {
            return Ok(self.token(TokenKind::End, start));
        };
        let kind = match byte {
            b'\'' => self.quoted(start, 0, TokenKind::Text)?,
            b'"' => self.quoted_name(start, 0, TokenKind::Quoted)?,
            b'e' | b'E' if self.peek(1) == Some(b'\'') => self.quoted(start, 1, TokenKind::EscapeText)?,
            b'b' | b'B' if self.peek(1) == Some(b'\'') => self.quoted(start, 1, TokenKind::Bits)?,
            b'x' | b'X' if self.peek(1) == Some(b'\'') => self.quoted(start, 1, TokenKind::Hex)?,
            b'u' | b'U' if self.peek(1) == Some(b'&') && self.peek(2) == Some(b'\'') => {
                self.quoted(start, 2, TokenKind::UnicodeText)?;
                self.uescape()?;
                TokenKind::UnicodeText
            }
            b'u' | b'U' if self.peek(1) == Some(b'&') && self.peek(2) == Some(b'"') => {
                self.quoted_name(start, 2, TokenKind::UnicodeQuoted)?;
                self.uescape()?;
                TokenKind::UnicodeQuoted
            }
            b'$' => self.dollar(start)?,
            b'0'..=b'9' => self.number(start)?,
            b'.' if self.peek(1).is_some_and(|next| next.is_ascii_digit()) => self.number(start)?,
            b'(' => self.punctuation(TokenKind::LeftParen, 1),
            b')' => self.punctuation(TokenKind::RightParen, 1),
            b'[' => self.punctuation(TokenKind::LeftBracket, 1),
            b']' => self.punctuation(TokenKind::RightBracket, 1),
            b',' => self.punctuation(TokenKind::Comma, 1),
            b';' => self.punctuation(TokenKind::Semicolon, 1),
            b'.' if self.peek(1) == Some(b'.') => self.punctuation(TokenKind::DotDot, 2),
            b'.' => self.punctuation(TokenKind::Dot, 1),
            b':' if self.peek(1) == Some(b':') => self.punctuation(TokenKind::ColonColon, 2),
            b':' if self.peek(1) == Some(b'=') => self.punctuation(TokenKind::ColonEquals, 2),
            b':' => self.punctuation(TokenKind::Colon, 1),
            byte if is_operator(byte) => self.operator(),
            byte if is_identifier_start(byte) => self.word(start),
            _ => {
                let text: String = self.source[start..].chars().take(1).collect();
                return Err(syntax_error(format!("syntax error at or near \"{text}\""), start as u32, self.source));
            }
        };
        Ok(self.token(kind, start))
    }

    fn token(&self, kind: TokenKind, start: usize) -> Token {
        Token { kind, start: start as u32, end: self.at as u32 }
    }

    fn punctuation(&mut self, kind: TokenKind, len: usize) -> TokenKind {
        self.at += len;
        kind
    }

    /// White space and comments; block comments nest.
    fn skip_space(&mut self) -> SqlResult<()> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(byte), _) if is_space(byte) => self.at += 1,
                (Some(b'-'), Some(b'-')) => {
                    let line = &self.bytes[self.at..];
                    self.at += line.iter().position(|&byte| byte == b'\n' || byte == b'\r').unwrap_or(line.len());
                }
                (Some(b'/'), Some(b'*')) => self.block_comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn block_comment(&mut self) -> SqlResult<()> {
        let start = self.at;
        let mut depth = 0;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b'/'), Some(b'*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                (Some(_), _) => self.at += 1,
                (None, _) => return Err(self.unterminated("/* comment", start)),
            }
        }
    }

    fn unterminated(&self, what: &str, start: usize) -> SqlError {
        let text = &self.source[start..];
        syntax_error(format!("unterminated {what} at or near \"{text}\""), start as u32, self.source)
    }

    /// A literal in single quotes after a prefix of some letters; goes on after a line break (`'a' newline 'b'`).
    fn quoted(&mut self, start: usize, prefix: usize, kind: TokenKind) -> SqlResult<TokenKind> {
        let backslash = kind == TokenKind::EscapeText;
        let mut open = start + prefix;
        loop {
            self.at = quoted_end(self.bytes, open + 1, b'\'', backslash).ok_or_else(|| {
                let what = match kind {
                    TokenKind::Bits => "bit string literal",
                    TokenKind::Hex => "hexadecimal string literal",
                    _ => "quoted string",
                };
                self.unterminated(what, start)
            })?;
            let rest = &self.bytes[self.at..];
            let space = rest.iter().position(|&byte| !is_space(byte)).unwrap_or(rest.len());
            if rest.get(space) != Some(&b'\'') || !rest[..space].contains(&b'\n') {
                return Ok(kind);
            }
            open = self.at + space;
        }
    }

    fn quoted_name(&mut self, start: usize, prefix: usize, kind: TokenKind) -> SqlResult<TokenKind> {
        let open = start + prefix;
        self.at = quoted_end(self.bytes, open + 1, b'"', false)
            .ok_or_else(|| self.unterminated("quoted identifier", start))?;
        if self.at == open + 2 {
            let text = &self.source[start..self.at];
            let message = format!("zero-length delimited identifier at or near \"{text}\"");
            return Err(syntax_error(message, start as u32, self.source));
        }
        Ok(kind)
    }

    /// `UESCAPE 'c'` after a Unicode literal becomes part of the token.
    fn uescape(&mut self) -> SqlResult<()> {
        let before = self.at;
        self.skip_space()?;
        let start = self.at;
        while self.peek(0).is_some_and(is_identifier) {
            self.at += 1;
        }
        if !self.source[start..self.at].eq_ignore_ascii_case("uescape") {
            self.at = before;
            return Ok(());
        }
        self.skip_space()?;
        let open = self.at;
        let valid = self.peek(0) == Some(b'\'')
            && self.peek(2) == Some(b'\'')
            && self.peek(1).is_some_and(|byte| {
                byte.is_ascii() && !byte.is_ascii_hexdigit() && !is_space(byte) && !matches!(byte, b'+' | b'\'' | b'"')
            });
        if !valid {
            let end = (open + 3).min(self.source.len());
            let text = self.source.get(open..end).unwrap_or("");
            return Err(syntax_error(
                format!("invalid Unicode escape character at or near \"{text}\""),
                open as u32,
                self.source,
            ));
        }
        self.at += 3;
        Ok(())
    }

    fn dollar(&mut self, start: usize) -> SqlResult<TokenKind> {
        let digits = self.bytes[start + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 {
            self.at = start + 1 + digits;
            if self.peek(0).is_some_and(is_identifier_start) {
                return Err(self.junk(start, "parameter"));
            }
            return Ok(TokenKind::Param);
        }
        let mut end = start + 1;
        while self.bytes.get(end).is_some_and(|&byte| is_identifier(byte) && byte != b'$') {
            end += 1;
        }
        if self.bytes.get(end) != Some(&b'$') {
            let text = &self.source[start..start + 1];
            return Err(syntax_error(format!("syntax error at or near \"{text}\""), start as u32, self.source));
        }
        let tag = &self.source[start..=end];
        let Some(len) = self.source[end + 1..].find(tag) else {
            return Err(self.unterminated("dollar-quoted string", start));
        };
        self.at = end + 1 + len + tag.len();
        Ok(TokenKind::DollarText)
    }

    fn digits(&mut self) -> bool {
        let start = self.at;
        while self.peek(0).is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at > start
    }

    fn number(&mut self, start: usize) -> SqlResult<TokenKind> {
        let mut kind = TokenKind::Integer;
        self.digits();
        if self.peek(0) == Some(b'.') && self.peek(1) != Some(b'.') {
            kind = TokenKind::Decimal;
            self.at += 1;
            self.digits();
        }
        if matches!(self.peek(0), Some(b'e' | b'E')) {
            let before = self.at;
            self.at += 1;
            if matches!(self.peek(0), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() {
                kind = TokenKind::Decimal;
            } else {
                self.at = before;
            }
        }
        if self.peek(0).is_some_and(is_identifier_start) {
            return Err(self.junk(start, "numeric literal"));
        }
        Ok(kind)
    }

    fn junk(&self, start: usize, what: &str) -> SqlError {
        let next = self.source[self.at..].chars().next().map_or(0, char::len_utf8);
        let text = &self.source[start..self.at + next];
        syntax_error(format!("trailing junk after {what} at or near \"{text}\""), start as u32, self.source)
    }

    fn word(&mut self, start: usize) -> TokenKind {
        while self.peek(0).is_some_and(is_identifier) {
            self.at += 1;
        }
        keyword::lookup(&self.source[start..self.at]).map_or(TokenKind::Word, TokenKind::Keyword)
    }

    /// The longest run of operator characters that holds no comment start; a trailing `+` or `-` belongs to it
    /// only when it also has a character that SQL's own operators do not use.
    fn operator(&mut self) -> TokenKind {
        let start = self.at;
        let mut end = start;
        while end < self.bytes.len() && is_operator(self.bytes[end]) {
            if matches!(&self.bytes[end..(end + 2).min(self.bytes.len())], b"--" | b"/*") {
                break;
            }
            end += 1;
        }
        let unusual = |byte: &u8| matches!(byte, b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'%');
        if !self.bytes[start..end].iter().any(unusual) {
            while end > start + 1 && matches!(self.bytes[end - 1], b'+' | b'-') {
                end -= 1;
            }
        }
        self.at = end;
        if &self.bytes[start..end] == b"=>" { TokenKind::Arrow } else { TokenKind::Operator }
    }
}

/// Backslash escapes of `E'…'`.
fn unescape(text: &str, at: u32, source: &str) -> SqlResult<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut high: Option<u32> = None;
    while let Some(c) = chars.next() {
        if c == '\'' {
            chars.next_if_eq(&'\'');
            out.push(b'\'');
            continue;
        }
        if c != '\\' {
            push_char(&mut out, c);
            continue;
        }
        match chars.next() {
            Some('b') => out.push(8),
            Some('f') => out.push(12),
            Some('n') => out.push(b'\n'),
            Some('r') => out.push(b'\r'),
            Some('t') => out.push(b'\t'),
            Some('v') => out.push(11),
            Some(digit @ '0'..='7') => {
                let mut value = digit as u32 - '0' as u32;
                for _ in 0..2 {
                    let Some(next) = chars.next_if(|c| ('0'..='7').contains(c)) else { break };
                    value = value * 8 + (next as u32 - '0' as u32);
                }
                out.push(value as u8);
            }
            Some('x') if chars.peek().is_some_and(char::is_ascii_hexdigit) => {
                out.push(hex_digits(&mut chars, 2).1 as u8);
            }
            Some(letter @ ('u' | 'U')) => {
                let wanted = if letter == 'u' { 4 } else { 8 };
                let (found, value) = hex_digits(&mut chars, wanted);
                if found < wanted {
                    let mut error =
                        SqlError::new("22025", "invalid Unicode escape").at(Some(super::position(source, at)));
                    error = error.with_hint("Unicode escapes must be \\uXXXX or \\UXXXXXXXX.");
                    return Err(error);
                }
                push_code_point(&mut out, &mut high, value, at, source)?;
            }
            Some(other) => push_char(&mut out, other),
            None => {}
        }
    }
    finish(out, high, at, source)
}

fn hex_digits(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, wanted: usize) -> (usize, u32) {
    let (mut found, mut value) = (0, 0u32);
    while found < wanted {
        let Some(digit) = chars.next_if(char::is_ascii_hexdigit) else { break };
        value = value << 4 | digit.to_digit(16).unwrap_or(0);
        found += 1;
    }
    (found, value)
}

fn push_char(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Joins surrogate pairs, as PostgreSQL does.
fn push_code_point(out: &mut Vec<u8>, high: &mut Option<u32>, value: u32, at: u32, source: &str) -> SqlResult<()> {
    match (high.take(), value) {
        (None, 0xd800..=0xdbff) => *high = Some(value),
        (Some(first), 0xdc00..=0xdfff) => {
            let value = 0x10000 + ((first & 0x3ff) << 10) + (value & 0x3ff);
            push_char(out, char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        (None, value) if value != 0 && char::from_u32(value).is_some() => {
            push_char(out, char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        (Some(_), _) | (None, 0xdc00..=0xdfff) => {
            return Err(syntax_error("invalid Unicode surrogate pair", at, source));
        }
        _ => return Err(syntax_error("invalid Unicode escape value", at, source)),
    }
    Ok(())
}

fn finish(out: Vec<u8>, high: Option<u32>, at: u32, source: &str) -> SqlResult<String> {
    if high.is_some() {
        return Err(syntax_error("invalid Unicode surrogate pair", at, source));
    }
    if out.contains(&0) {
        return Err(SqlError::new("22021", "invalid byte sequence for encoding \"UTF8\": 0x00"));
    }
    String::from_utf8(out).map_err(|error| {
        let bad = error.as_bytes().get(error.utf8_error().valid_up_to()).copied().unwrap_or(0);
        SqlError::new("22021", format!("invalid byte sequence for encoding \"UTF8\": 0x{bad:02x}"))
    })
}

/// The inside of `U&'…' UESCAPE 'c'` and its escape character.
fn unicode_parts(text: &str, quote: char) -> (String, char) {
    let body = &text[2..];
    let end = quoted_end(body.as_bytes(), 1, quote as u8, false).unwrap_or(body.len());
    let tail = body[end..].trim_end();
    let escape = match tail.strip_suffix('\'').and_then(|rest| rest.chars().last()) {
        Some(escape) if tail.to_ascii_lowercase().contains("uescape") => escape,
        _ => '\\',
    };
    (body[1..end - 1].to_owned(), escape)
}

fn unicode_unescape(text: &str, escape: char, at: u32, source: &str) -> SqlResult<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut high = None;
    while let Some(c) = chars.next() {
        if c != escape {
            push_char(&mut out, c);
            continue;
        }
        if chars.next_if_eq(&escape).is_some() {
            push_char(&mut out, escape);
            continue;
        }
        let wanted = if chars.next_if_eq(&'+').is_some() { 6 } else { 4 };
        let (found, value) = hex_digits(&mut chars, wanted);
        if found < wanted {
            return Err(syntax_error("invalid Unicode escape", at, source)
                .with_hint("Unicode escapes must be \\XXXX or \\+XXXXXX."));
        }
        push_code_point(&mut out, &mut high, value, at, source)?;
    }
    finish(out, high, at, source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        let tokens = tokens(source).unwrap();
        tokens[..tokens.len() - 1].iter().map(|token| token.text(source)).collect()
    }

    fn string(source: &str) -> String {
        tokens(source).unwrap()[0].string(source).unwrap().unwrap()
    }

    fn error(source: &str) -> String {
        let run = |source: &str| tokens(source)?.iter().try_for_each(|token| token.string(source).map(|_| ()));
        run(source).unwrap_err().0.message.clone()
    }

    #[test]
    fn operators_are_cut_as_postgresql_cuts_them() {
        assert_eq!(texts("a>=-1"), ["a", ">=", "-", "1"]);
        assert_eq!(texts("a@-1"), ["a", "@-", "1"]);
        assert_eq!(texts("1--2\n+3"), ["1", "+", "3"]);
        assert_eq!(texts("a*/*x/*y*/z*/b"), ["a", "*", "b"]);
        assert_eq!(texts("a->>'b'#>>c"), ["a", "->>", "'b'", "#>>", "c"]);
        assert_eq!(
            texts("x=>1 y:=2 z::int a[1:2]"),
            ["x", "=>", "1", "y", ":=", "2", "z", "::", "int", "a", "[", "1", ":", "2", "]"]
        );
    }

    #[test]
    fn literals_say_what_they_contain() {
        assert_eq!(string("'it''s'"), "it's");
        assert_eq!(string("'a'\n  'b'''"), "ab'");
        assert_eq!(string(r"E'a\n\x41\u00e9\'' "), "a\nAé'");
        assert_eq!(string(r"U&'d\0061t\+000061'"), "data");
        assert_eq!(string("U&'d!0061t!!' UESCAPE '!'"), "dat!");
        assert_eq!(string("$q$a $$ b$q$"), "a $$ b");
        assert_eq!(texts("1.5e3 .5 1..2 $12"), ["1.5e3", ".5", "1", "..", "2", "$12"]);
    }

    #[test]
    fn names_fold_unless_quoted() {
        let source = r#"FooÄ "Foo""Bar" U&"\0041b""#;
        let names: Vec<_> = tokens(source).unwrap().iter().filter_map(|token| token.name(source).unwrap()).collect();
        assert_eq!(names, ["fooÄ", "Foo\"Bar", "Ab"]);
    }

    #[test]
    fn what_does_not_end_says_so() {
        assert_eq!(error("select 'abc"), "unterminated quoted string at or near \"'abc\"");
        assert_eq!(error("/* a /* b */"), "unterminated /* comment at or near \"/* a /* b */\"");
        assert_eq!(error("$a$ b"), "unterminated dollar-quoted string at or near \"$a$ b\"");
        assert_eq!(error("\"\""), "zero-length delimited identifier at or near \"\"\"\"");
        assert_eq!(error("12ab"), "trailing junk after numeric literal at or near \"12a\"");
        assert_eq!(error("$1a"), "trailing junk after parameter at or near \"$1a\"");
    }
}
