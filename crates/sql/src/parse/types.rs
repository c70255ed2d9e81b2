//! Type names.

use super::ast::{Expr, ExprKind, Name, TypeName};
use super::cursor::Parser;
use super::keyword::Kw;
use super::lexer::TokenKind;
use crate::SqlResult;

/// Masks of interval fields, as PostgreSQL's `INTERVAL_MASK` has them.
mod interval {
    pub const MONTH: i32 = 1 << 1;
    pub const YEAR: i32 = 1 << 2;
    pub const DAY: i32 = 1 << 3;
    pub const HOUR: i32 = 1 << 10;
    pub const MINUTE: i32 = 1 << 11;
    pub const SECOND: i32 = 1 << 12;
    pub const FULL: i32 = 0x7fff;
}

impl Parser<'_> {
    /// `Typename`
    pub(super) fn type_name(&mut self) -> SqlResult<TypeName> {
        let setof = self.take_kw(Kw::Setof);
        let mut ty = self.simple_type()?;
        ty.setof = setof;
        if self.take_kw(Kw::Array) {
            ty.dimensions = 1;
            if self.take(TokenKind::LeftBracket) {
                self.small_integer()?;
                self.expect(TokenKind::RightBracket)?;
            }
            return Ok(ty);
        }
        while self.take(TokenKind::LeftBracket) {
            if self.peek() == TokenKind::Integer {
                self.small_integer()?;
            }
            self.expect(TokenKind::RightBracket)?;
            ty.dimensions += 1;
        }
        Ok(ty)
    }

    /// `SimpleTypename`
    pub(super) fn simple_type(&mut self) -> SqlResult<TypeName> {
        if let Some(ty) = self.sql_type()? {
            return Ok(ty);
        }
        if !self.could_be_type_or_function() {
            return Err(self.unexpected());
        }
        let at = self.at();
        let first = self.label()?;
        let names = self.attributes(first)?;
        let of_column = self.is_operator("%") && self.type_follows();
        if of_column {
            self.advance();
            self.advance();
        }
        let modifiers =
            if self.peek() == TokenKind::LeftParen && !of_column { self.type_modifiers()? } else { Vec::new() };
        Ok(TypeName { names, modifiers, dimensions: 0, setof: false, of_column, at })
    }

    fn type_follows(&self) -> bool {
        self.is_at(1, Kw::Type)
    }

    fn type_modifiers(&mut self) -> SqlResult<Vec<Expr>> {
        self.parenthesized(Self::expression)
    }

    fn optional_modifiers(&mut self) -> SqlResult<Vec<Expr>> {
        if self.peek() == TokenKind::LeftParen { self.type_modifiers() } else { Ok(Vec::new()) }
    }

    /// The types that SQL spells with key words; `None` when the token at hand begins none.
    pub(super) fn sql_type(&mut self) -> SqlResult<Option<TypeName>> {
        let at = self.at();
        let TokenKind::Keyword(keyword) = self.peek() else { return Ok(None) };
        let (name, modifiers) = match keyword {
            Kw::Int | Kw::Integer => (self.after("int4"), Vec::new()),
            Kw::Smallint => (self.after("int2"), Vec::new()),
            Kw::Bigint => (self.after("int8"), Vec::new()),
            Kw::Real => (self.after("float4"), Vec::new()),
            Kw::Boolean => (self.after("bool"), Vec::new()),
            Kw::Double => {
                self.advance();
                self.expect_kw(Kw::Precision)?;
                ("float8", Vec::new())
            }
            Kw::Float => {
                self.advance();
                (self.float_width()?, Vec::new())
            }
            Kw::Decimal | Kw::Dec | Kw::Numeric => {
                self.advance();
                ("numeric", self.optional_modifiers()?)
            }
            Kw::Bit => {
                self.advance();
                let name = if self.take_kw(Kw::Varying) { "varbit" } else { "bit" };
                let mut modifiers = self.optional_modifiers()?;
                if name == "bit" && modifiers.is_empty() {
                    modifiers.push(number(1, at));
                }
                (name, modifiers)
            }
            Kw::Character | Kw::Char | Kw::Varchar | Kw::National | Kw::Nchar => self.character_type()?,
            Kw::Time | Kw::Timestamp => {
                self.advance();
                let modifiers = self.precision()?;
                let zone = self.time_zone()?;
                let name = match (keyword, zone) {
                    (Kw::Time, false) => "time",
                    (Kw::Time, true) => "timetz",
                    (_, false) => "timestamp",
                    (_, true) => "timestamptz",
                };
                (name, modifiers)
            }
            Kw::Interval => {
                self.advance();
                let modifiers = match self.precision()?.pop() {
                    Some(precision) => vec![number(interval::FULL, at), precision],
                    None => self.interval_fields()?,
                };
                ("interval", modifiers)
            }
            _ => return Ok(None),
        };
        let names = vec![Name::new("pg_catalog", at), Name::new(name, at)];
        Ok(Some(TypeName { names, modifiers, dimensions: 0, setof: false, of_column: false, at }))
    }

    fn after(&mut self, name: &'static str) -> &'static str {
        self.advance();
        name
    }

    fn float_width(&mut self) -> SqlResult<&'static str> {
        if !self.take(TokenKind::LeftParen) {
            return Ok("float8");
        }
        let at = self.at();
        let bits = self.small_integer()?;
        self.expect(TokenKind::RightParen)?;
        match bits {
            ..=0 => Err(invalid("precision for type float must be at least 1 bit", at, self.source)),
            1..=24 => Ok("float4"),
            25..=53 => Ok("float8"),
            _ => Err(invalid("precision for type float must be less than 54 bits", at, self.source)),
        }
    }

    fn character_type(&mut self) -> SqlResult<(&'static str, Vec<Expr>)> {
        let at = self.at();
        self.take_kw(Kw::National);
        let varying = match self.advance().kind {
            TokenKind::Keyword(Kw::Varchar) => true,
            TokenKind::Keyword(Kw::Character | Kw::Char | Kw::Nchar) => self.take_kw(Kw::Varying),
            _ => return Err(self.unexpected()),
        };
        let mut modifiers = self.optional_modifiers()?;
        if varying {
            return Ok(("varchar", modifiers));
        }
        if modifiers.is_empty() {
            modifiers.push(number(1, at));
        }
        Ok(("bpchar", modifiers))
    }

    fn precision(&mut self) -> SqlResult<Vec<Expr>> {
        if self.peek() != TokenKind::LeftParen {
            return Ok(Vec::new());
        }
        self.advance();
        let at = self.at();
        let precision = self.small_integer()?;
        self.expect(TokenKind::RightParen)?;
        Ok(vec![number(precision, at)])
    }

    /// `WITH TIME ZONE` (true), `WITHOUT TIME ZONE`, or nothing.
    fn time_zone(&mut self) -> SqlResult<bool> {
        if self.is(Kw::With) && self.is_at(1, Kw::Time) {
            self.expect_kws(&[Kw::With, Kw::Time, Kw::Zone])?;
            return Ok(true);
        }
        if self.is(Kw::Without) && self.is_at(1, Kw::Time) {
            self.expect_kws(&[Kw::Without, Kw::Time, Kw::Zone])?;
        }
        Ok(false)
    }

    /// `opt_interval`: as modifiers.
    pub(super) fn interval_fields(&mut self) -> SqlResult<Vec<Expr>> {
        let at = self.at();
        let Some(first) = self.interval_field() else { return Ok(Vec::new()) };
        let mut mask = first;
        let mut last = first;
        if self.take_kw(Kw::To) {
            let Some(to) = self.interval_field() else { return Err(self.unexpected()) };
            let order = [interval::DAY, interval::HOUR, interval::MINUTE, interval::SECOND];
            let place = |field| order.iter().position(|&one| one == field);
            mask = match (place(first), place(to)) {
                _ if first == interval::YEAR && to == interval::MONTH => first | to,
                (Some(from), Some(to)) if from < to => order[from..=to].iter().sum(),
                _ => return Err(self.unexpected()),
            };
            last = to;
        }
        let mut modifiers = vec![number(mask, at)];
        if last == interval::SECOND {
            modifiers.extend(self.precision()?);
        }
        Ok(modifiers)
    }

    fn interval_field(&mut self) -> Option<i32> {
        let TokenKind::Keyword(keyword) = self.peek() else { return None };
        let field = match keyword {
            Kw::Year => interval::YEAR,
            Kw::Month => interval::MONTH,
            Kw::Day => interval::DAY,
            Kw::Hour => interval::HOUR,
            Kw::Minute => interval::MINUTE,
            Kw::Second => interval::SECOND,
            _ => return None,
        };
        self.advance();
        Some(field)
    }
}

fn number(value: i32, at: u32) -> Expr {
    Expr::new(ExprKind::Number(value.to_string()), at)
}

fn invalid(message: &str, at: u32, source: &str) -> crate::SqlError {
    crate::SqlError::new("22023", message).at(Some(super::position(source, at)))
}
