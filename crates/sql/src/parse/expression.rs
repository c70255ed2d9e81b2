//! Expressions by precedence climbing.
//!
//! Binding powers are the levels of `gram.y`, loosest first. Non-associative levels (comparisons, LIKE and its
//! kin) refuse a second operator of their own level, as PostgreSQL does: `a < b < c` is a syntax error.

use super::ast::*;
use super::cursor::Parser;
use super::keyword::{Category, Kw};
use super::lexer::TokenKind;
use crate::SqlResult;

/// How tightly operators bind.
type Power = u8;

const LOOSEST: Power = 0;
const OR: Power = 1;
const AND: Power = 2;
const NOT: Power = 3;
const IS: Power = 4;
const COMPARISON: Power = 5;
const LIKE: Power = 6;
const OPERATOR: Power = 7;
const SUM: Power = 8;
const PRODUCT: Power = 9;
const POWER: Power = 10;
const AT_TIME_ZONE: Power = 11;
const COLLATE: Power = 12;
const SIGN: Power = 13;

/// What stands between parentheses.
#[expect(clippy::large_enum_variant, reason = "it is taken apart where it is made")]
pub enum Parenthesized {
    Query(Query),
    Exprs(Vec<Expr>),
}

impl Parser<'_> {
    /// `a_expr`
    pub(super) fn expression(&mut self) -> SqlResult<Expr> {
        self.nested(|parser| parser.climb(LOOSEST, false))
    }

    /// `b_expr`: without AND, OR, NOT, IS NULL, IN, LIKE, BETWEEN.
    pub(super) fn restricted_expression(&mut self) -> SqlResult<Expr> {
        self.nested(|parser| parser.climb(LOOSEST, true))
    }

    fn operand(&mut self, min: Power, restricted: bool) -> SqlResult<Expr> {
        self.nested(|parser| parser.climb(min, restricted))
    }

    fn climb(&mut self, min: Power, restricted: bool) -> SqlResult<Expr> {
        let left = self.prefix(restricted)?;
        self.infix(left, min, restricted)
    }

    fn prefix(&mut self, restricted: bool) -> SqlResult<Expr> {
        let at = self.at();
        match self.peek() {
            TokenKind::Keyword(Kw::Not) if !restricted => {
                self.advance();
                let arg = self.operand(NOT, false)?;
                Ok(Expr::new(ExprKind::Not(Box::new(arg)), at))
            }
            TokenKind::Keyword(Kw::Default) if !restricted => {
                self.advance();
                Ok(Expr::new(ExprKind::Default, at))
            }
            TokenKind::Operator => {
                let symbol = self.text();
                let sign = matches!(symbol, "+" | "-");
                if !sign && matches!(symbol, "*" | "/" | "%" | "^" | "<" | ">" | "=" | "<=" | ">=" | "<>" | "!=") {
                    return Err(self.unexpected());
                }
                self.advance();
                let arg = self.operand(if sign { SIGN } else { OPERATOR + 1 }, restricted)?;
                Ok(signed(symbol, arg, at))
            }
            TokenKind::Keyword(Kw::Operator) if self.peek_at(1) == TokenKind::LeftParen => {
                let operator = self.qualified_operator()?;
                let arg = self.operand(OPERATOR + 1, restricted)?;
                Ok(Expr::new(ExprKind::Prefix(operator, Box::new(arg)), at))
            }
            _ => self.primary(),
        }
    }

    /// Goes on after `left` with operators that bind at least as tightly as `min`.
    pub(super) fn infix(&mut self, mut left: Expr, min: Power, restricted: bool) -> SqlResult<Expr> {
        // The level of the operator that `left` ends with, where that level does not associate.
        let mut closed: Option<Power> = None;
        loop {
            let Some(power) = self.infix_power(restricted) else { return Ok(left) };
            if power < min {
                return Ok(left);
            }
            if closed == Some(power) {
                return Err(self.unexpected());
            }
            let open_ended;
            (left, open_ended) = self.infix_one(left, power, restricted)?;
            self.grow()?;
            closed = (open_ended && matches!(power, IS | COMPARISON | LIKE)).then_some(power);
        }
    }

    fn infix_power(&self, restricted: bool) -> Option<Power> {
        let keyword = match self.peek() {
            TokenKind::Operator => return Some(symbol_power(self.text())),
            TokenKind::ColonColon | TokenKind::LeftBracket => return Some(SIGN + 1),
            TokenKind::Keyword(keyword) => keyword,
            _ => return None,
        };
        if restricted && !matches!(keyword, Kw::Is | Kw::Operator) {
            return None;
        }
        match keyword {
            Kw::Or => Some(OR),
            Kw::And => Some(AND),
            Kw::Is if restricted => {
                (self.is_at(1, Kw::Distinct) || self.is_at(1, Kw::Not) && self.is_at(2, Kw::Distinct)).then_some(IS)
            }
            Kw::Is | Kw::Isnull | Kw::Notnull => Some(IS),
            Kw::Between | Kw::In | Kw::Like | Kw::Ilike | Kw::Similar => Some(LIKE),
            Kw::Not => [Kw::Between, Kw::In, Kw::Like, Kw::Ilike, Kw::Similar]
                .iter()
                .any(|&next| self.is_at(1, next))
                .then_some(LIKE),
            Kw::Operator if self.peek_at(1) == TokenKind::LeftParen => Some(OPERATOR),
            Kw::At => self.is_at(1, Kw::Time).then_some(AT_TIME_ZONE),
            Kw::Collate => Some(COLLATE),
            Kw::Overlaps => Some(OPERATOR),
            _ => None,
        }
    }

    /// One operator and its right side. The flag says whether the result ends with an operand of that level.
    fn infix_one(&mut self, left: Expr, power: Power, restricted: bool) -> SqlResult<(Expr, bool)> {
        let at = self.at();
        let boxed = Box::new;
        match self.peek() {
            TokenKind::Operator | TokenKind::Keyword(Kw::Operator) => {
                let operator = self.operator()?;
                if !restricted && self.is_one_of(&[Kw::Any, Kw::Some, Kw::All]) {
                    return Ok((self.quantified(left, operator, at)?, false));
                }
                let right = self.operand(power + 1, restricted)?;
                Ok((Expr::new(ExprKind::Binary(Box::new(Binary { operator, left, right })), at), true))
            }
            TokenKind::ColonColon => {
                self.advance();
                let ty = self.type_name()?;
                Ok((Expr::new(ExprKind::Cast(boxed(left), Box::new(ty)), at), false))
            }
            TokenKind::LeftBracket => Ok((self.indirection(left)?, false)),
            TokenKind::Keyword(Kw::Or) => Ok((self.chain(left, Kw::Or, OR, ExprKind::Or)?, false)),
            TokenKind::Keyword(Kw::And) => Ok((self.chain(left, Kw::And, AND, ExprKind::And)?, false)),
            TokenKind::Keyword(Kw::Isnull) => {
                self.advance();
                Ok((Expr::new(ExprKind::IsNull { arg: boxed(left), negated: false }, at), false))
            }
            TokenKind::Keyword(Kw::Notnull) => {
                self.advance();
                Ok((Expr::new(ExprKind::IsNull { arg: boxed(left), negated: true }, at), false))
            }
            TokenKind::Keyword(Kw::Is) => self.is_test(left, restricted),
            TokenKind::Keyword(Kw::At) => {
                self.expect_kws(&[Kw::At, Kw::Time, Kw::Zone])?;
                let zone = self.operand(AT_TIME_ZONE + 1, restricted)?;
                Ok((sql_call("timezone", vec![zone, left], at), false))
            }
            TokenKind::Keyword(Kw::Collate) => {
                self.advance();
                let name = self.any_name()?;
                Ok((Expr::new(ExprKind::Collate(boxed(left), name), at), false))
            }
            TokenKind::Keyword(Kw::Overlaps) => self.overlaps(left).map(|expr| (expr, false)),
            _ => self.like_level(left),
        }
    }

    /// `a AND b AND c` as one list.
    fn chain(&mut self, left: Expr, keyword: Kw, power: Power, make: fn(Vec<Expr>) -> ExprKind) -> SqlResult<Expr> {
        let at = self.at();
        let mut list = vec![left];
        while self.take_kw(keyword) {
            list.push(self.operand(power + 1, false)?);
        }
        Ok(Expr::new(make(list), at))
    }

    fn is_test(&mut self, left: Expr, restricted: bool) -> SqlResult<(Expr, bool)> {
        let at = self.at();
        self.expect_kw(Kw::Is)?;
        let negated = self.take_kw(Kw::Not);
        let arg = Box::new(left);
        let kind = match self.peek() {
            TokenKind::Keyword(Kw::Distinct) => {
                self.expect_kws(&[Kw::Distinct, Kw::From])?;
                let right = Box::new(self.operand(IS + 1, restricted)?);
                return Ok((Expr::new(ExprKind::IsDistinct { left: arg, right, negated }, at), true));
            }
            TokenKind::Keyword(Kw::Null) => ExprKind::IsNull { arg, negated },
            TokenKind::Keyword(Kw::True) => ExprKind::IsBool { arg, value: Some(true), negated },
            TokenKind::Keyword(Kw::False) => ExprKind::IsBool { arg, value: Some(false), negated },
            TokenKind::Keyword(Kw::Unknown) => ExprKind::IsBool { arg, value: None, negated },
            _ => return Ok((self.is_normalized(*arg, negated, at)?, false)),
        };
        self.advance();
        Ok((Expr::new(kind, at), false))
    }

    fn is_normalized(&mut self, arg: Expr, negated: bool, at: At) -> SqlResult<Expr> {
        let mut args = vec![arg];
        if self.is_one_of(&[Kw::Nfc, Kw::Nfd, Kw::Nfkc, Kw::Nfkd]) {
            let form = self.text().to_ascii_uppercase();
            args.push(Expr::new(ExprKind::Text(form), self.at()));
            self.advance();
        }
        self.expect_kw(Kw::Normalized)?;
        let call = sql_call("is_normalized", args, at);
        Ok(if negated { Expr::new(ExprKind::Not(Box::new(call)), at) } else { call })
    }

    /// `[NOT] BETWEEN | IN | LIKE | ILIKE | SIMILAR TO`
    fn like_level(&mut self, left: Expr) -> SqlResult<(Expr, bool)> {
        let at = self.at();
        let negated = self.take_kw(Kw::Not);
        let TokenKind::Keyword(keyword) = self.advance().kind else { return Err(self.unexpected()) };
        let kind = match keyword {
            Kw::Between => return self.between(left, negated, at).map(|expr| (expr, true)),
            Kw::In => return self.in_list(left, negated, at).map(|expr| (expr, false)),
            Kw::Like => LikeKind::Like,
            Kw::Ilike => LikeKind::ILike,
            _ => {
                self.expect_kw(Kw::To)?;
                LikeKind::SimilarTo
            }
        };
        if kind != LikeKind::SimilarTo && self.is_one_of(&[Kw::Any, Kw::Some, Kw::All]) {
            let symbol = match (kind, negated) {
                (LikeKind::ILike, false) => "~~*",
                (LikeKind::ILike, true) => "!~~*",
                (_, false) => "~~",
                (_, true) => "!~~",
            };
            return Ok((self.quantified(left, OperatorName::plain(symbol), at)?, false));
        }
        let pattern = self.operand(LIKE + 1, false)?;
        let escape = if self.take_kw(Kw::Escape) { Some(self.operand(LIKE + 1, false)?) } else { None };
        Ok((Expr::new(ExprKind::Like(Box::new(Like { kind, arg: left, pattern, escape, negated })), at), true))
    }

    fn between(&mut self, arg: Expr, negated: bool, at: At) -> SqlResult<Expr> {
        let symmetric = self.take_kw(Kw::Symmetric);
        if !symmetric {
            self.take_kw(Kw::Asymmetric);
        }
        let low = self.restricted_expression()?;
        self.expect_kw(Kw::And)?;
        let high = self.operand(LIKE + 1, false)?;
        Ok(Expr::new(ExprKind::Between(Box::new(Between { arg, low, high, negated, symmetric })), at))
    }

    fn in_list(&mut self, arg: Expr, negated: bool, at: At) -> SqlResult<Expr> {
        let arg = Box::new(arg);
        let kind = match self.parentheses()? {
            Parenthesized::Query(query) => ExprKind::InQuery { arg, query: Box::new(query), negated },
            Parenthesized::Exprs(list) => ExprKind::InList { arg, list, negated },
        };
        Ok(Expr::new(kind, at))
    }

    /// After `left op`: `ANY (…)`, `SOME (…)`, `ALL (…)`.
    fn quantified(&mut self, left: Expr, operator: OperatorName, at: At) -> SqlResult<Expr> {
        let all = self.advance().kind == TokenKind::Keyword(Kw::All);
        let left = Box::new(left);
        let kind = match self.parentheses()? {
            Parenthesized::Query(query) => ExprKind::AnyQuery { left, operator, query: Box::new(query), all },
            Parenthesized::Exprs(mut list) => match (list.pop(), list.is_empty()) {
                (Some(array), true) => ExprKind::AnyArray { left, operator, array: Box::new(array), all },
                _ => return Err(self.unexpected()),
            },
        };
        Ok(Expr::new(kind, at))
    }

    fn overlaps(&mut self, left: Expr) -> SqlResult<Expr> {
        let at = self.at();
        self.advance();
        let right = self.operand(OPERATOR + 1, false)?;
        let mut args = Vec::with_capacity(4);
        for (side, what) in [(left, "left"), (right, "right")] {
            match side.kind {
                ExprKind::Row(fields) if fields.len() == 2 => args.extend(fields),
                _ => {
                    let message = format!("wrong number of parameters on {what} side of OVERLAPS expression");
                    return Err(self.error_at(message, side.at));
                }
            }
        }
        Ok(sql_call("overlaps", args, at))
    }

    /// `qual_all_Op`: an operator symbol or `OPERATOR(schema.symbol)`.
    pub(super) fn operator(&mut self) -> SqlResult<OperatorName> {
        if self.is(Kw::Operator) {
            return self.qualified_operator();
        }
        if self.peek() != TokenKind::Operator {
            return Err(self.unexpected());
        }
        let token = self.advance();
        let symbol = token.text(self.source);
        Ok(OperatorName::plain(if symbol == "!=" { "<>" } else { symbol }))
    }

    fn qualified_operator(&mut self) -> SqlResult<OperatorName> {
        self.expect_kw(Kw::Operator)?;
        self.expect(TokenKind::LeftParen)?;
        let mut schema = None;
        while self.peek() != TokenKind::Operator {
            schema = Some(self.name()?);
            self.expect(TokenKind::Dot)?;
        }
        let mut operator = self.operator()?;
        operator.schema = schema;
        self.expect(TokenKind::RightParen)?;
        Ok(operator)
    }

    // Primaries.

    fn primary(&mut self) -> SqlResult<Expr> {
        let token = self.token();
        let at = token.start;
        let kind = match token.kind {
            TokenKind::Integer | TokenKind::Decimal => {
                self.advance();
                ExprKind::Number(token.text(self.source).to_owned())
            }
            TokenKind::Bits | TokenKind::Hex => {
                self.advance();
                let text = token.text(self.source);
                ExprKind::Bits(format!("{}{}", text[..1].to_ascii_lowercase(), &text[2..text.len() - 1]))
            }
            TokenKind::Param => {
                self.advance();
                let number = token.text(self.source)[1..].parse().ok().filter(|&number| (1..=65_535).contains(&number));
                let Some(number) = number else {
                    let message = format!("there is no parameter {}", token.text(self.source));
                    return Err(crate::SqlError::new("42P02", message).at(Some(super::position(self.source, at))));
                };
                return self.indirection(Expr::new(ExprKind::Param(number), at));
            }
            _ if token.is_string() => ExprKind::Text(self.string()?),
            TokenKind::LeftParen => return self.parenthesized_primary(),
            TokenKind::Keyword(keyword) => return self.keyword_primary(keyword, at),
            TokenKind::Operator if token.text(self.source) == "*" => return Err(self.unexpected()),
            _ => return self.name_primary(),
        };
        Ok(Expr::new(kind, at))
    }

    /// `(…)`: an expression, a row, or a query; and what is taken from it (`.field`, `[…]`).
    fn parenthesized_primary(&mut self) -> SqlResult<Expr> {
        let at = self.at();
        let expr = match self.parentheses()? {
            Parenthesized::Query(query) => Expr::new(ExprKind::Subquery(Box::new(query)), at),
            Parenthesized::Exprs(mut list) if list.len() == 1 => match list.pop() {
                Some(expr) => expr,
                None => return Err(self.unexpected()),
            },
            Parenthesized::Exprs(list) => return Ok(Expr::new(ExprKind::Row(list), at)),
        };
        self.indirection(expr)
    }

    /// Takes `(…)`. `((SELECT 1) + 1)` shows only after the inner parenthesis that it is no query.
    pub(super) fn parentheses(&mut self) -> SqlResult<Parenthesized> {
        self.nested(|parser| {
            parser.expect(TokenKind::LeftParen)?;
            let content = parser.parenthesis_content()?;
            parser.expect(TokenKind::RightParen)?;
            Ok(content)
        })
    }

    fn parenthesis_content(&mut self) -> SqlResult<Parenthesized> {
        if self.begins_query() {
            return Ok(Parenthesized::Query(self.query()?));
        }
        if self.peek() != TokenKind::LeftParen {
            return Ok(Parenthesized::Exprs(self.expressions()?));
        }
        let at = self.at();
        let first = match self.parentheses()? {
            Parenthesized::Query(query) => {
                if self.peek() == TokenKind::RightParen || self.continues_query() {
                    return Ok(Parenthesized::Query(self.query_from(query, at)?));
                }
                Expr::new(ExprKind::Subquery(Box::new(query)), at)
            }
            Parenthesized::Exprs(mut list) if list.len() == 1 => match list.pop() {
                Some(expr) => expr,
                None => return Err(self.unexpected()),
            },
            Parenthesized::Exprs(list) => Expr::new(ExprKind::Row(list), at),
        };
        let first = self.indirection(first)?;
        let mut list = vec![self.infix(first, LOOSEST, false)?];
        while self.take(TokenKind::Comma) {
            list.push(self.expression()?);
        }
        Ok(Parenthesized::Exprs(list))
    }

    /// `.name`, `.*`, `[i]`, `[a:b]` after an expression.
    fn indirection(&mut self, mut expr: Expr) -> SqlResult<Expr> {
        loop {
            let at = self.at();
            match self.peek() {
                TokenKind::Dot => {
                    self.advance();
                    self.grow()?;
                    let kind = if self.take_operator("*") {
                        ExprKind::FieldStar(Box::new(expr))
                    } else {
                        ExprKind::Field(Box::new(expr), self.label()?)
                    };
                    expr = Expr::new(kind, at);
                }
                TokenKind::LeftBracket => {
                    let mut subscripts = Vec::new();
                    while self.peek() == TokenKind::LeftBracket {
                        subscripts.push(self.subscript()?);
                    }
                    self.grow()?;
                    expr = Expr::new(ExprKind::Subscript(Box::new(expr), subscripts), at);
                }
                _ => return Ok(expr),
            }
        }
    }

    pub(super) fn subscript(&mut self) -> SqlResult<Subscript> {
        self.expect(TokenKind::LeftBracket)?;
        let lower = if self.peek() == TokenKind::Colon { None } else { Some(self.expression()?) };
        let subscript = if self.take(TokenKind::Colon) {
            let upper = if self.peek() == TokenKind::RightBracket { None } else { Some(self.expression()?) };
            Subscript::Slice(lower, upper)
        } else {
            Subscript::Index(lower.ok_or_else(|| self.unexpected())?)
        };
        self.expect(TokenKind::RightBracket)?;
        Ok(subscript)
    }

    fn keyword_primary(&mut self, keyword: Kw, at: At) -> SqlResult<Expr> {
        let kind = match keyword {
            Kw::Null => self.literal(ExprKind::Null),
            Kw::True => self.literal(ExprKind::Bool(true)),
            Kw::False => self.literal(ExprKind::Bool(false)),
            Kw::Case => return self.case(),
            Kw::Cast => return self.cast(),
            Kw::Array if self.peek_at(1) == TokenKind::LeftBracket => {
                self.advance();
                let array = self.array_literal()?;
                return self.indirection(Expr::new(array.kind, at));
            }
            Kw::Array => {
                self.advance();
                match self.parentheses()? {
                    Parenthesized::Query(query) => ExprKind::ArrayQuery(Box::new(query)),
                    Parenthesized::Exprs(_) => return Err(self.unexpected()),
                }
            }
            Kw::Exists => {
                self.advance();
                let inside = self.at();
                match self.parentheses()? {
                    Parenthesized::Query(query) => ExprKind::Exists(Box::new(query)),
                    Parenthesized::Exprs(_) => return Err(self.error_at("syntax error at or near \"(\"", inside)),
                }
            }
            Kw::Row if self.peek_at(1) == TokenKind::LeftParen => {
                self.advance();
                self.advance();
                let fields = if self.peek() == TokenKind::RightParen { Vec::new() } else { self.expressions()? };
                self.expect(TokenKind::RightParen)?;
                ExprKind::Row(fields)
            }
            Kw::Grouping => {
                self.advance();
                ExprKind::Grouping(self.parenthesized(Self::expression)?)
            }
            Kw::Coalesce => {
                self.advance();
                ExprKind::Coalesce(self.parenthesized(Self::expression)?)
            }
            Kw::Greatest => {
                self.advance();
                ExprKind::Greatest(self.parenthesized(Self::expression)?)
            }
            Kw::Least => {
                self.advance();
                ExprKind::Least(self.parenthesized(Self::expression)?)
            }
            Kw::Nullif => {
                self.advance();
                self.expect(TokenKind::LeftParen)?;
                let left = self.expression()?;
                self.expect(TokenKind::Comma)?;
                let right = self.expression()?;
                self.expect(TokenKind::RightParen)?;
                ExprKind::NullIf(Box::new((left, right)))
            }
            Kw::CurrentDate => self.literal(ExprKind::Special(SpecialValue::CurrentDate, None)),
            Kw::CurrentTime => self.special_time(SpecialValue::CurrentTime)?,
            Kw::CurrentTimestamp => self.special_time(SpecialValue::CurrentTimestamp)?,
            Kw::Localtime => self.special_time(SpecialValue::LocalTime)?,
            Kw::Localtimestamp => self.special_time(SpecialValue::LocalTimestamp)?,
            Kw::CurrentUser => self.literal(ExprKind::Special(SpecialValue::CurrentUser, None)),
            Kw::CurrentRole => self.literal(ExprKind::Special(SpecialValue::CurrentRole, None)),
            Kw::SessionUser => self.literal(ExprKind::Special(SpecialValue::SessionUser, None)),
            Kw::User => self.literal(ExprKind::Special(SpecialValue::User, None)),
            Kw::CurrentCatalog => self.literal(ExprKind::Special(SpecialValue::CurrentCatalog, None)),
            Kw::CurrentSchema if self.peek_at(1) != TokenKind::LeftParen => {
                self.literal(ExprKind::Special(SpecialValue::CurrentSchema, None))
            }
            Kw::Extract | Kw::Overlay | Kw::Position | Kw::Substring | Kw::Trim | Kw::Normalize | Kw::Treat
                if self.peek_at(1) == TokenKind::LeftParen =>
            {
                return self.sql_function(keyword);
            }
            Kw::Collation if self.is_at(1, Kw::For) => {
                self.expect_kws(&[Kw::Collation, Kw::For])?;
                let args = self.parenthesized(Self::expression)?;
                return Ok(sql_call("pg_collation_for", args, at));
            }
            Kw::Xmlconcat
            | Kw::Xmlelement
            | Kw::Xmlexists
            | Kw::Xmlforest
            | Kw::Xmlparse
            | Kw::Xmlpi
            | Kw::Xmlroot
            | Kw::Xmlserialize => {
                let at = Some(super::position(self.source, at));
                return Err(crate::SqlError::not_supported(keyword.text()).at(at));
            }
            _ => {
                if let Some(literal) = self.typed_literal()? {
                    return Ok(literal);
                }
                return self.name_primary();
            }
        };
        Ok(Expr::new(kind, at))
    }

    fn literal(&mut self, kind: ExprKind) -> ExprKind {
        self.advance();
        kind
    }

    fn special_time(&mut self, value: SpecialValue) -> SqlResult<ExprKind> {
        self.advance();
        if !self.take(TokenKind::LeftParen) {
            return Ok(ExprKind::Special(value, None));
        }
        let precision = self.small_integer()?;
        self.expect(TokenKind::RightParen)?;
        Ok(ExprKind::Special(value, Some(precision)))
    }

    /// `integer '1'`, `timestamp with time zone '…'`, `interval '1' day`: a type that SQL spells with key words,
    /// before a string. Those words are names of columns elsewhere.
    fn typed_literal(&mut self) -> SqlResult<Option<Expr>> {
        let mark = self.mark();
        let at = self.at();
        let is_interval = self.is(Kw::Interval);
        let Ok(Some(mut ty)) = self.sql_type() else {
            self.back_to(mark);
            return Ok(None);
        };
        if !self.token().is_string() {
            self.back_to(mark);
            return Ok(None);
        }
        let literal = Expr::new(ExprKind::Text(self.token().string(self.source)?.unwrap_or_default()), self.at());
        self.advance();
        if is_interval && ty.modifiers.is_empty() {
            ty.modifiers = self.interval_fields()?;
        }
        Ok(Some(Expr::new(ExprKind::Cast(Box::new(literal), Box::new(ty)), at)))
    }

    /// A column, a function call, or a type name before a string.
    fn name_primary(&mut self) -> SqlResult<Expr> {
        let at = self.at();
        let first_category = match self.peek() {
            TokenKind::Keyword(keyword) => Some(keyword.category()),
            TokenKind::Word | TokenKind::Quoted | TokenKind::UnicodeQuoted => None,
            _ => return Err(self.unexpected()),
        };
        if first_category == Some(Category::Reserved) && !self.is(Kw::CurrentSchema) {
            return Err(self.unexpected());
        }
        let mut names = vec![self.label()?];
        while self.peek() == TokenKind::Dot {
            if self.peek_at(1) == TokenKind::Operator && first_category != Some(Category::TypeOrFunction) {
                self.advance();
                self.expect_operator("*")?;
                return Ok(Expr::new(ExprKind::Star(names), at));
            }
            self.advance();
            names.push(self.label()?);
        }
        let may_be_function = names.len() > 1 || first_category != Some(Category::ColumnName);
        if self.peek() == TokenKind::LeftParen && may_be_function {
            let call = self.call(names)?;
            if self.token().is_string() && call.over.is_none() && call.filter.is_none() && !call.star {
                return self.literal_of_type(call.name, call.args, at);
            }
            return self.indirection(Expr::new(ExprKind::Call(Box::new(call)), at));
        }
        if self.token().is_string() && may_be_function {
            return self.literal_of_type(names, Vec::new(), at);
        }
        if first_category == Some(Category::TypeOrFunction) {
            return Err(self.unexpected());
        }
        self.indirection(Expr::new(ExprKind::Column(names), at))
    }

    fn literal_of_type(&mut self, names: Vec<Name>, modifiers: Vec<Expr>, at: At) -> SqlResult<Expr> {
        let inside = self.at();
        let literal = Expr::new(ExprKind::Text(self.string()?), inside);
        let ty = TypeName { names, modifiers, dimensions: 0, setof: false, of_column: false, at };
        Ok(Expr::new(ExprKind::Cast(Box::new(literal), Box::new(ty)), at))
    }

    /// `(args)` after a function's name.
    pub(super) fn plain_call(&mut self, name: Vec<Name>) -> SqlResult<Call> {
        let mut call = Call::new(name, Vec::new());
        self.nested(|parser| parser.call_arguments(&mut call))?;
        Ok(call)
    }

    /// `(args) [WITHIN GROUP …] [FILTER …] [OVER …]` after a function's name.
    pub(super) fn call(&mut self, name: Vec<Name>) -> SqlResult<Call> {
        let mut call = self.plain_call(name)?;
        if self.take_kws(&[Kw::Within, Kw::Group]) {
            self.expect(TokenKind::LeftParen)?;
            call.order_by = self.order_by()?;
            call.within_group = true;
            self.expect(TokenKind::RightParen)?;
        }
        if self.is(Kw::Filter) && self.peek_at(1) == TokenKind::LeftParen {
            self.advance();
            self.advance();
            self.expect_kw(Kw::Where)?;
            call.filter = Some(self.expression()?);
            self.expect(TokenKind::RightParen)?;
        }
        if self.is(Kw::Over) && (self.peek_at(1) == TokenKind::LeftParen || self.could_be_name_at(1)) {
            self.advance();
            call.over = Some(self.over()?);
        }
        Ok(call)
    }

    fn call_arguments(&mut self, call: &mut Call) -> SqlResult<()> {
        self.expect(TokenKind::LeftParen)?;
        if self.take(TokenKind::RightParen) {
            return Ok(());
        }
        if self.is_operator("*") && self.peek_at(1) == TokenKind::RightParen {
            self.advance();
            self.advance();
            call.star = true;
            return Ok(());
        }
        if !self.take_kw(Kw::All) {
            call.distinct = self.take_kw(Kw::Distinct);
        }
        loop {
            call.variadic |= self.take_kw(Kw::Variadic);
            let named = matches!(self.peek_at(1), TokenKind::ColonEquals | TokenKind::Arrow);
            if named {
                call.arg_names.push(self.label()?);
                self.advance();
            } else if !call.arg_names.is_empty() {
                return Err(self.error_at("positional argument cannot follow named argument", self.at()));
            }
            call.args.push(self.expression()?);
            if call.variadic || !self.take(TokenKind::Comma) {
                break;
            }
        }
        if self.is(Kw::Order) {
            call.order_by = self.order_by()?;
        }
        self.expect(TokenKind::RightParen)?;
        Ok(())
    }

    fn case(&mut self) -> SqlResult<Expr> {
        let at = self.at();
        self.expect_kw(Kw::Case)?;
        let operand = if self.is(Kw::When) { None } else { Some(self.expression()?) };
        let mut whens = Vec::new();
        while self.take_kw(Kw::When) {
            let condition = self.expression()?;
            self.expect_kw(Kw::Then)?;
            whens.push((condition, self.expression()?));
        }
        if whens.is_empty() {
            return Err(self.unexpected());
        }
        let otherwise = if self.take_kw(Kw::Else) { Some(self.expression()?) } else { None };
        self.expect_kw(Kw::End)?;
        Ok(Expr::new(ExprKind::Case(Box::new(Case { operand, whens, otherwise })), at))
    }

    fn cast(&mut self) -> SqlResult<Expr> {
        let at = self.at();
        self.expect_kw(Kw::Cast)?;
        self.expect(TokenKind::LeftParen)?;
        let arg = self.expression()?;
        self.expect_kw(Kw::As)?;
        let ty = self.type_name()?;
        self.expect(TokenKind::RightParen)?;
        Ok(Expr::new(ExprKind::Cast(Box::new(arg), Box::new(ty)), at))
    }

    /// `[a, b]`, `[[a], [b]]`
    fn array_literal(&mut self) -> SqlResult<Expr> {
        self.nested(|parser| {
            let at = parser.at();
            parser.expect(TokenKind::LeftBracket)?;
            let mut elements = Vec::new();
            if parser.peek() == TokenKind::LeftBracket {
                elements = parser.list(Self::array_literal)?;
            } else if parser.peek() != TokenKind::RightBracket {
                elements = parser.expressions()?;
            }
            parser.expect(TokenKind::RightBracket)?;
            Ok(Expr::new(ExprKind::Array(elements), at))
        })
    }

    /// Functions whose arguments SQL separates with words.
    fn sql_function(&mut self, keyword: Kw) -> SqlResult<Expr> {
        let at = self.at();
        let mark = self.mark();
        self.advance();
        self.expect(TokenKind::LeftParen)?;
        let (name, args) = match keyword {
            Kw::Extract => ("extract", self.extract_arguments()?),
            Kw::Position => {
                let what = self.restricted_expression()?;
                self.expect_kw(Kw::In)?;
                ("position", vec![self.restricted_expression()?, what])
            }
            Kw::Trim => self.trim_arguments()?,
            Kw::Overlay | Kw::Substring => {
                let name = if keyword == Kw::Overlay { "overlay" } else { "substring" };
                match self.word_separated_arguments(keyword)? {
                    Some(args) => (name, args),
                    None => {
                        // With commas it is an ordinary call.
                        self.back_to(mark + 1);
                        let call = self.call(vec![Name::new(name, at)])?;
                        return self.indirection(Expr::new(ExprKind::Call(Box::new(call)), at));
                    }
                }
            }
            Kw::Normalize => {
                let mut args = vec![self.expression()?];
                if self.take(TokenKind::Comma) {
                    if !self.is_one_of(&[Kw::Nfc, Kw::Nfd, Kw::Nfkc, Kw::Nfkd]) {
                        return Err(self.unexpected());
                    }
                    args.push(Expr::new(ExprKind::Text(self.text().to_ascii_uppercase()), self.at()));
                    self.advance();
                }
                ("normalize", args)
            }
            _ => {
                return Err(crate::SqlError::not_supported(keyword.text().to_uppercase())
                    .at(Some(super::position(self.source, at))));
            }
        };
        self.expect(TokenKind::RightParen)?;
        Ok(sql_call(name, args, at))
    }

    fn extract_arguments(&mut self) -> SqlResult<Vec<Expr>> {
        let at = self.at();
        let field = if self.token().is_string() { self.string()? } else { self.label()?.text };
        self.expect_kw(Kw::From)?;
        Ok(vec![Expr::new(ExprKind::Text(field), at), self.expression()?])
    }

    fn trim_arguments(&mut self) -> SqlResult<(&'static str, Vec<Expr>)> {
        let name = if self.take_kw(Kw::Leading) {
            "ltrim"
        } else if self.take_kw(Kw::Trailing) {
            "rtrim"
        } else {
            self.take_kw(Kw::Both);
            "btrim"
        };
        if self.take_kw(Kw::From) {
            return Ok((name, self.expressions()?));
        }
        let first = self.expression()?;
        if self.take_kw(Kw::From) {
            let mut args = self.expressions()?;
            args.push(first);
            return Ok((name, args));
        }
        let mut args = vec![first];
        while self.take(TokenKind::Comma) {
            args.push(self.expression()?);
        }
        Ok((name, args))
    }

    /// `a PLACING b FROM c [FOR d]`; `a FROM b FOR c`, `a FOR b`, `a SIMILAR b ESCAPE c`. `None`: with commas.
    fn word_separated_arguments(&mut self, keyword: Kw) -> SqlResult<Option<Vec<Expr>>> {
        if self.peek() == TokenKind::RightParen {
            return Ok(None);
        }
        // SIMILAR separates arguments here: the first one is read without operators of its level.
        let mut args = vec![self.substring_operand()?];
        if keyword == Kw::Overlay {
            if !self.take_kw(Kw::Placing) {
                return Ok(None);
            }
            args.push(self.expression()?);
            self.expect_kw(Kw::From)?;
            args.push(self.expression()?);
            if self.take_kw(Kw::For) {
                args.push(self.expression()?);
            }
            return Ok(Some(args));
        }
        if self.take_kw(Kw::Similar) {
            args.push(self.expression()?);
            self.expect_kw(Kw::Escape)?;
            args.push(self.expression()?);
            return Ok(Some(args));
        }
        let (mut from, mut length) = (None, None);
        loop {
            if from.is_none() && self.take_kw(Kw::From) {
                from = Some(self.expression()?);
            } else if length.is_none() && self.take_kw(Kw::For) {
                length = Some(self.expression()?);
            } else {
                break;
            }
        }
        match (from, length) {
            (None, None) => return Ok(None),
            (Some(from), length) => {
                args.push(from);
                args.extend(length);
            }
            (None, Some(length)) => {
                let at = length.at;
                args.push(Expr::new(ExprKind::Number("1".into()), at));
                let names = vec![Name::new("pg_catalog", at), Name::new("int4", at)];
                let ty = TypeName { names, modifiers: Vec::new(), dimensions: 0, setof: false, of_column: false, at };
                args.push(Expr::new(ExprKind::Cast(Box::new(length), Box::new(ty)), at));
            }
        }
        Ok(Some(args))
    }

    fn substring_operand(&mut self) -> SqlResult<Expr> {
        self.operand(OPERATOR, false)
    }
}

fn symbol_power(symbol: &str) -> Power {
    match symbol {
        "<" | ">" | "=" | "<=" | ">=" | "<>" | "!=" => COMPARISON,
        "+" | "-" => SUM,
        "*" | "/" | "%" => PRODUCT,
        "^" => POWER,
        _ => OPERATOR,
    }
}

/// `-5` is one literal, as it is in PostgreSQL: `-9223372036854775808` is a bigint.
fn signed(symbol: &str, mut arg: Expr, at: At) -> Expr {
    if symbol == "-"
        && let ExprKind::Number(digits) = &mut arg.kind
    {
        match digits.strip_prefix('-') {
            Some(positive) => *digits = positive.to_owned(),
            None => digits.insert(0, '-'),
        }
        arg.at = at;
        return arg;
    }
    Expr::new(ExprKind::Prefix(OperatorName::plain(symbol), Box::new(arg)), at)
}

fn sql_call(name: &str, args: Vec<Expr>, at: At) -> Expr {
    let mut call = Call::new(vec![Name::new("pg_catalog", at), Name::new(name, at)], args);
    call.sql_syntax = true;
    Expr::new(ExprKind::Call(Box::new(call)), at)
}
