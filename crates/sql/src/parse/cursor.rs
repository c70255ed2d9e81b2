//! The parser's place in the token list: looking ahead, taking tokens, names and lists, and syntax errors.

use super::ast::{At, Expr, Name, ObjectName};
use super::keyword::{Category, Kw};
use super::lexer::{Token, TokenKind, syntax_error};
use super::{DEPTH_MAX, ParsedStatement};
use crate::{SqlError, SqlResult};

pub struct Parser<'a> {
    pub(super) source: &'a str,
    tokens: &'a [Token],
    next: usize,
    /// How many productions that may nest are open.
    depth: u32,
    /// The height of the highest tree made since the production at hand began.
    height: u32,
}

impl<'a> Parser<'a> {
    /// `tokens` are those of `source`, `End` last.
    pub fn new(source: &'a str, tokens: &'a [Token]) -> Parser<'a> {
        assert!(tokens.last().is_some_and(|token| token.kind == TokenKind::End), "the token list has an end");
        Parser { source, tokens, next: 0, depth: 0, height: 0 }
    }

    pub fn statements(&mut self) -> SqlResult<Vec<ParsedStatement>> {
        let mut statements = Vec::with_capacity(1);
        loop {
            while self.take(TokenKind::Semicolon) {}
            if self.at_end() {
                return Ok(statements);
            }
            let start = self.at() as usize;
            let statement = self.statement()?;
            if !self.at_end() && self.peek() != TokenKind::Semicolon {
                return Err(self.unexpected());
            }
            statements.push(ParsedStatement { statement, range: start..self.previous_end() as usize });
        }
    }

    // Nesting.

    /// Runs a production that may contain itself: bounds how deep it may go and how high the tree gets.
    pub(super) fn nested<T>(&mut self, production: impl FnOnce(&mut Self) -> SqlResult<T>) -> SqlResult<T> {
        if self.depth >= DEPTH_MAX {
            return Err(too_deep());
        }
        self.depth += 1;
        let outer = std::mem::take(&mut self.height);
        let result = stacker::maybe_grow(96 << 10, 1 << 20, || production(self));
        self.depth -= 1;
        self.height = outer.max(self.height + 1);
        if self.height > DEPTH_MAX {
            return Err(too_deep());
        }
        result
    }

    /// One more node on top of what has been made (`a + b + c` grows to the left without nesting).
    pub(super) fn grow(&mut self) -> SqlResult<()> {
        self.height += 1;
        if self.height > DEPTH_MAX { Err(too_deep()) } else { Ok(()) }
    }

    // Looking.

    pub(super) fn token(&self) -> Token {
        self.tokens[self.next]
    }

    pub(super) fn peek(&self) -> TokenKind {
        self.token().kind
    }

    pub(super) fn peek_at(&self, ahead: usize) -> TokenKind {
        self.tokens.get(self.next + ahead).map_or(TokenKind::End, |token| token.kind)
    }

    pub(super) fn at(&self) -> At {
        self.token().start
    }

    pub(super) fn at_end(&self) -> bool {
        self.peek() == TokenKind::End
    }

    pub(super) fn previous_end(&self) -> At {
        self.next.checked_sub(1).map_or(0, |previous| self.tokens[previous].end)
    }

    pub(super) fn is(&self, keyword: Kw) -> bool {
        self.peek() == TokenKind::Keyword(keyword)
    }

    pub(super) fn is_at(&self, ahead: usize, keyword: Kw) -> bool {
        self.peek_at(ahead) == TokenKind::Keyword(keyword)
    }

    pub(super) fn is_one_of(&self, keywords: &[Kw]) -> bool {
        matches!(self.peek(), TokenKind::Keyword(keyword) if keywords.contains(&keyword))
    }

    /// An unquoted word that PostgreSQL's grammar has no key word for (`SPLIT`, names of options).
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.peek() == TokenKind::Word && self.text().eq_ignore_ascii_case(word)
    }

    pub(super) fn is_operator(&self, symbol: &str) -> bool {
        self.peek() == TokenKind::Operator && self.text() == symbol
    }

    pub(super) fn text(&self) -> &'a str {
        self.token().text(self.source)
    }

    // Taking.

    pub(super) fn mark(&self) -> usize {
        self.next
    }

    pub(super) fn back_to(&mut self, mark: usize) {
        self.next = mark;
    }

    pub(super) fn advance(&mut self) -> Token {
        let token = self.token();
        if token.kind != TokenKind::End {
            self.next += 1;
        }
        token
    }

    pub(super) fn take(&mut self, kind: TokenKind) -> bool {
        let found = self.peek() == kind;
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn take_kw(&mut self, keyword: Kw) -> bool {
        self.take(TokenKind::Keyword(keyword))
    }

    /// All of these in a row, or none.
    pub(super) fn take_kws(&mut self, keywords: &[Kw]) -> bool {
        let found = keywords.iter().enumerate().all(|(ahead, &keyword)| self.is_at(ahead, keyword));
        if found {
            self.next += keywords.len();
        }
        found
    }

    pub(super) fn take_operator(&mut self, symbol: &str) -> bool {
        let found = self.is_operator(symbol);
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn expect(&mut self, kind: TokenKind) -> SqlResult<Token> {
        if self.peek() == kind { Ok(self.advance()) } else { Err(self.unexpected()) }
    }

    pub(super) fn expect_kw(&mut self, keyword: Kw) -> SqlResult<()> {
        self.expect(TokenKind::Keyword(keyword)).map(|_| ())
    }

    pub(super) fn expect_kws(&mut self, keywords: &[Kw]) -> SqlResult<()> {
        keywords.iter().try_for_each(|&keyword| self.expect_kw(keyword))
    }

    pub(super) fn expect_operator(&mut self, symbol: &str) -> SqlResult<()> {
        if self.take_operator(symbol) { Ok(()) } else { Err(self.unexpected()) }
    }

    pub(super) fn expect_end(&mut self) -> SqlResult<()> {
        if self.at_end() { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Skips to the end of the statement, or of the parentheses it stands in.
    pub(super) fn skip_statement(&mut self) {
        let mut open = 0;
        loop {
            match self.peek() {
                TokenKind::Semicolon | TokenKind::End => return,
                TokenKind::LeftParen => open += 1,
                TokenKind::RightParen if open == 0 => return,
                TokenKind::RightParen => open -= 1,
                _ => {}
            }
            self.advance();
        }
    }

    // Names.

    fn named(&mut self, allowed: impl Fn(Category) -> bool) -> SqlResult<Name> {
        let token = self.token();
        let fits = match token.kind {
            TokenKind::Word | TokenKind::Quoted | TokenKind::UnicodeQuoted => true,
            TokenKind::Keyword(keyword) => allowed(keyword.category()),
            _ => false,
        };
        if !fits {
            return Err(self.unexpected());
        }
        self.advance();
        let text = token.name(self.source)?.ok_or_else(|| self.unexpected())?;
        Ok(Name::new(text, token.start))
    }

    fn could_be(&self, ahead: usize, allowed: impl Fn(Category) -> bool) -> bool {
        match self.peek_at(ahead) {
            TokenKind::Word | TokenKind::Quoted | TokenKind::UnicodeQuoted => true,
            TokenKind::Keyword(keyword) => allowed(keyword.category()),
            _ => false,
        }
    }

    /// `ColId`: names of columns, tables and most things.
    pub(super) fn name(&mut self) -> SqlResult<Name> {
        self.named(is_column_name)
    }

    pub(super) fn could_be_name(&self) -> bool {
        self.could_be(0, is_column_name)
    }

    pub(super) fn could_be_name_at(&self, ahead: usize) -> bool {
        self.could_be(ahead, is_column_name)
    }

    /// `ColLabel`: any word.
    pub(super) fn label(&mut self) -> SqlResult<Name> {
        self.named(|_| true)
    }

    pub(super) fn could_be_label(&self) -> bool {
        self.could_be(0, |_| true)
    }

    /// `BareColLabel`: what may name a column without AS.
    pub(super) fn could_be_bare_label(&self) -> bool {
        match self.peek() {
            TokenKind::Word | TokenKind::Quoted | TokenKind::UnicodeQuoted => true,
            TokenKind::Keyword(keyword) => keyword.is_bare_label(),
            _ => false,
        }
    }

    /// `NonReservedWord`.
    pub(super) fn non_reserved(&mut self) -> SqlResult<Name> {
        self.named(|category| category != Category::Reserved)
    }

    /// `type_function_name`
    pub(super) fn could_be_type_or_function(&self) -> bool {
        self.could_be(0, |category| matches!(category, Category::Unreserved | Category::TypeOrFunction))
    }

    /// The rest of `a.b.c` after its first name.
    pub(super) fn attributes(&mut self, first: Name) -> SqlResult<Vec<Name>> {
        let mut names = vec![first];
        while self.take(TokenKind::Dot) {
            names.push(self.label()?);
        }
        Ok(names)
    }

    /// `any_name`
    pub(super) fn any_name(&mut self) -> SqlResult<Vec<Name>> {
        let first = self.name()?;
        self.attributes(first)
    }

    pub(super) fn object_name(&mut self) -> SqlResult<ObjectName> {
        let names = self.any_name()?;
        self.object_name_from(names)
    }

    pub(super) fn object_name_from(&self, mut names: Vec<Name>) -> SqlResult<ObjectName> {
        if names.len() > 3 {
            let all = names.iter().map(Name::as_str).collect::<Vec<_>>().join(".");
            let message = format!("improper qualified name (too many dotted names): {all}");
            return Err(syntax_error(message, names[0].at, self.source));
        }
        let missing = || SqlError::new("XX000", "a name without parts");
        let name = names.pop().ok_or_else(missing)?;
        let schema = names.pop();
        Ok(ObjectName { database: names.pop(), schema, name })
    }

    // Lists.

    /// `item, item, …`, at least one.
    pub(super) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> SqlResult<T>) -> SqlResult<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.take(TokenKind::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// `(item, …)`
    pub(super) fn parenthesized<T>(&mut self, item: impl FnMut(&mut Self) -> SqlResult<T>) -> SqlResult<Vec<T>> {
        self.expect(TokenKind::LeftParen)?;
        let items = self.list(item)?;
        self.expect(TokenKind::RightParen)?;
        Ok(items)
    }

    pub(super) fn name_list(&mut self) -> SqlResult<Vec<Name>> {
        self.list(Self::name)
    }

    pub(super) fn parenthesized_names(&mut self) -> SqlResult<Vec<Name>> {
        self.parenthesized(Self::name)
    }

    pub(super) fn expressions(&mut self) -> SqlResult<Vec<Expr>> {
        self.list(Self::expression)
    }

    // Literals.

    pub(super) fn string(&mut self) -> SqlResult<String> {
        let token = self.token();
        match token.string(self.source)? {
            Some(text) => {
                self.advance();
                Ok(text)
            }
            None => Err(self.unexpected()),
        }
    }

    /// `Iconst`: a number that fits into 32 bits.
    pub(super) fn small_integer(&mut self) -> SqlResult<i32> {
        if self.peek() != TokenKind::Integer {
            return Err(self.unexpected());
        }
        let value = self.text().parse().map_err(|_| self.unexpected())?;
        self.advance();
        Ok(value)
    }

    /// `SignedIconst`, or wider where options of sequences allow it.
    pub(super) fn signed_integer(&mut self) -> SqlResult<i64> {
        let negative = self.take_operator("-");
        if !negative {
            self.take_operator("+");
        }
        if self.peek() != TokenKind::Integer {
            return Err(self.unexpected());
        }
        let digits = self.text();
        let text = if negative { format!("-{digits}") } else { digits.to_owned() };
        let value = text.parse().map_err(|_| {
            let message = format!("value \"{text}\" is out of range for type bigint");
            SqlError::new("22003", message).at(Some(super::position(self.source, self.at())))
        })?;
        self.advance();
        Ok(value)
    }

    pub(super) fn if_exists(&mut self) -> bool {
        self.take_kws(&[Kw::If, Kw::Exists])
    }

    pub(super) fn if_not_exists(&mut self) -> bool {
        self.take_kws(&[Kw::If, Kw::Not, Kw::Exists])
    }

    // Errors.

    /// `syntax error at or near "…"` for the token at hand.
    pub(super) fn unexpected(&self) -> SqlError {
        let token = self.token();
        if token.kind == TokenKind::End {
            return syntax_error("syntax error at end of input", token.start, self.source);
        }
        syntax_error(format!("syntax error at or near \"{}\"", token.text(self.source)), token.start, self.source)
    }

    pub(super) fn error_at(&self, message: impl Into<String>, at: At) -> SqlError {
        syntax_error(message, at, self.source)
    }
}

fn is_column_name(category: Category) -> bool {
    matches!(category, Category::Unreserved | Category::ColumnName)
}

fn too_deep() -> SqlError {
    SqlError::new("54001", "stack depth limit exceeded")
        .with_hint(format!("A statement may nest at most {DEPTH_MAX} expressions or queries into each other."))
}
