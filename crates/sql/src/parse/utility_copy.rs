//! COPY, with today's option list and the forms of older versions.

use super::ast::*;
use super::cursor::Parser;
use super::keyword::Kw;
use super::lexer::TokenKind;
use crate::session::CopyFormat;
use crate::{SqlError, SqlResult};

impl Parser<'_> {
    pub(super) fn copy(&mut self) -> SqlResult<Utility> {
        self.expect_kw(Kw::Copy)?;
        let mut options = CopyOptions::default();
        if self.take_kw(Kw::Binary) {
            options.format = CopyFormat::Binary;
        }
        let source = self.copy_source()?;
        let from = self.take_kw(Kw::From);
        if !from {
            self.expect_kw(Kw::To)?;
        } else if let CopySource::Statement(_) = source {
            self.back_to(self.mark() - 1);
            return Err(self.unexpected());
        }
        let target = self.copy_target()?;
        if self.take_kw(Kw::Using) {
            self.expect_kw(Kw::Delimiters)?;
            options.delimiter = Some(self.string()?);
        }
        self.take_kw(Kw::With);
        if self.peek() == TokenKind::LeftParen {
            self.copy_option_list(&mut options)?;
        } else {
            self.copy_words(&mut options)?;
        }
        let filter = self.where_clause()?;
        if filter.is_some() && !from {
            return Err(SqlError::new("42601", "WHERE clause not allowed with COPY TO"));
        }
        Ok(Utility::Copy(CopyStatement { source, from, target, options, filter }))
    }

    fn copy_source(&mut self) -> SqlResult<CopySource> {
        if self.take(TokenKind::LeftParen) {
            let statement = self.nested(Self::preparable)?;
            self.expect(TokenKind::RightParen)?;
            return Ok(CopySource::Statement(Box::new(statement)));
        }
        let (name, _) = self.relation_name()?;
        let columns = if self.peek() == TokenKind::LeftParen { self.parenthesized_names()? } else { Vec::new() };
        Ok(CopySource::Table { name, columns })
    }

    fn copy_target(&mut self) -> SqlResult<CopyTarget> {
        if self.take_kw(Kw::Program) {
            return Ok(CopyTarget::Program(self.string()?));
        }
        if self.take_kw(Kw::Stdin) || self.take_kw(Kw::Stdout) {
            return Ok(CopyTarget::Client);
        }
        Ok(CopyTarget::File(self.string()?))
    }

    /// `(FORMAT csv, HEADER, …)`
    fn copy_option_list(&mut self, options: &mut CopyOptions) -> SqlResult<()> {
        self.expect(TokenKind::LeftParen)?;
        let mut seen: Vec<String> = Vec::new();
        loop {
            let name = self.label()?;
            if seen.contains(&name.text) {
                return Err(self.error_at("conflicting or redundant options", name.at));
            }
            self.copy_option(options, &name)?;
            seen.push(name.text);
            if !self.take(TokenKind::Comma) {
                break;
            }
        }
        self.expect(TokenKind::RightParen)?;
        Ok(())
    }

    fn copy_option(&mut self, options: &mut CopyOptions, name: &Name) -> SqlResult<()> {
        match name.as_str() {
            "format" => {
                let at = self.at();
                let format = self.copy_value()?.unwrap_or_default();
                options.format = match format.as_str() {
                    "text" => CopyFormat::Text,
                    "csv" => CopyFormat::Csv,
                    "binary" => CopyFormat::Binary,
                    _ => {
                        let message = format!("COPY format \"{format}\" not recognized");
                        return Err(SqlError::new("22023", message).at(Some(super::position(self.source, at))));
                    }
                };
            }
            "freeze" => options.freeze = self.copy_switch(name)?,
            "delimiter" => options.delimiter = Some(self.copy_required(name)?),
            "null" => options.null = Some(self.copy_required(name)?),
            "default" => options.default = Some(self.copy_required(name)?),
            "header" => options.header = self.copy_header()?,
            "quote" => options.quote = Some(self.copy_required(name)?),
            "escape" => options.escape = Some(self.copy_required(name)?),
            "encoding" => options.encoding = Some(self.copy_required(name)?),
            "force_quote" => options.force_quote = Some(self.copy_columns()?),
            "force_not_null" => options.force_not_null = Some(self.copy_columns()?),
            "force_null" => options.force_null = Some(self.copy_columns()?),
            _ => return Err(self.error_at(format!("option \"{name}\" not recognized"), name.at)),
        }
        Ok(())
    }

    fn copy_value(&mut self) -> SqlResult<Option<String>> {
        if matches!(self.peek(), TokenKind::Comma | TokenKind::RightParen) {
            return Ok(None);
        }
        self.setting_value().map(|value| Some(value.to_text()))
    }

    fn copy_required(&mut self, name: &Name) -> SqlResult<String> {
        let value = self.copy_value()?;
        value.ok_or_else(|| self.error_at(format!("{name} requires a parameter"), name.at))
    }

    fn copy_switch(&mut self, name: &Name) -> SqlResult<bool> {
        match self.copy_value()?.map(|value| value.to_ascii_lowercase()).as_deref() {
            None | Some("true" | "on" | "1") => Ok(true),
            Some("false" | "off" | "0") => Ok(false),
            Some(_) => Err(self.error_at(format!("{name} requires a Boolean value"), name.at)),
        }
    }

    fn copy_header(&mut self) -> SqlResult<CopyHeader> {
        let at = self.at();
        match self.copy_value()?.map(|value| value.to_ascii_lowercase()).as_deref() {
            None | Some("true" | "on" | "1") => Ok(CopyHeader::Yes),
            Some("false" | "off" | "0") => Ok(CopyHeader::No),
            Some("match") => Ok(CopyHeader::Match),
            Some(_) => Err(self.error_at("header requires a Boolean value or \"match\"", at)),
        }
    }

    /// `*` or `(a, b)`
    fn copy_columns(&mut self) -> SqlResult<Vec<Name>> {
        if self.take_operator("*") { Ok(Vec::new()) } else { self.parenthesized_names() }
    }

    /// `CSV HEADER DELIMITER ',' …` without parentheses.
    fn copy_words(&mut self, options: &mut CopyOptions) -> SqlResult<()> {
        while let TokenKind::Keyword(keyword) = self.peek() {
            let mark = self.mark();
            self.advance();
            match keyword {
                Kw::Binary => options.format = CopyFormat::Binary,
                Kw::Freeze => options.freeze = true,
                Kw::Csv => options.format = CopyFormat::Csv,
                Kw::Header => options.header = CopyHeader::Yes,
                Kw::Delimiter => {
                    self.take_kw(Kw::As);
                    options.delimiter = Some(self.string()?);
                }
                Kw::Null => {
                    self.take_kw(Kw::As);
                    options.null = Some(self.string()?);
                }
                Kw::Quote => {
                    self.take_kw(Kw::As);
                    options.quote = Some(self.string()?);
                }
                Kw::Escape => {
                    self.take_kw(Kw::As);
                    options.escape = Some(self.string()?);
                }
                Kw::Encoding => options.encoding = Some(self.string()?),
                Kw::Force if self.take_kw(Kw::Quote) => {
                    options.force_quote = Some(if self.take_operator("*") { Vec::new() } else { self.name_list()? });
                }
                Kw::Force if self.take_kws(&[Kw::Not, Kw::Null]) => options.force_not_null = Some(self.name_list()?),
                Kw::Force if self.take_kw(Kw::Null) => options.force_null = Some(self.name_list()?),
                _ => {
                    self.back_to(mark);
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

impl Default for CopyOptions {
    fn default() -> CopyOptions {
        CopyOptions {
            format: CopyFormat::Text,
            freeze: false,
            delimiter: None,
            null: None,
            header: CopyHeader::No,
            quote: None,
            escape: None,
            force_quote: None,
            force_not_null: None,
            force_null: None,
            encoding: None,
            default: None,
        }
    }
}
