//! The options of COPY with PostgreSQL's defaults and objections.

use crate::parse::ast::{CopyHeader, CopyStatement, Name};
use crate::session::CopyFormat;
use crate::{SqlError, SqlResult};

pub(super) struct Options {
    pub format: CopyFormat,
    pub delimiter: u8,
    /// What stands for NULL.
    pub null: Vec<u8>,
    pub header: CopyHeader,
    pub quote: u8,
    pub escape: u8,
    pub force_quote: Columns,
    pub force_not_null: Columns,
    pub force_null: Columns,
}

/// Which columns an option is for.
pub(super) enum Columns {
    None,
    All,
    These(Vec<String>),
}

impl Columns {
    fn of(names: &Option<Vec<Name>>) -> Columns {
        match names {
            None => Columns::None,
            Some(names) if names.is_empty() => Columns::All,
            Some(names) => Columns::These(names.iter().map(|name| name.text.clone()).collect()),
        }
    }

    fn is_given(&self) -> bool {
        !matches!(self, Columns::None)
    }

    /// One flag for each of the columns that are copied.
    pub fn flags(&self, option: &str, columns: &[String]) -> SqlResult<Vec<bool>> {
        if let Columns::These(names) = self
            && let Some(name) = names.iter().find(|name| !columns.contains(name))
        {
            return Err(SqlError::new("42P10", format!("{option} column \"{name}\" not referenced by COPY")));
        }
        let is_in = |column: &String| match self {
            Columns::None => false,
            Columns::All => true,
            Columns::These(names) => names.contains(column),
        };
        Ok(columns.iter().map(is_in).collect())
    }
}

impl Options {
    pub fn check(copy: &CopyStatement) -> SqlResult<Options> {
        let given = &copy.options;
        let is_csv = given.format == CopyFormat::Csv;
        let only_csv = |what: &str| SqlError::new("0A000", format!("COPY {what} available only in CSV mode"));
        if given.format == CopyFormat::Binary {
            let refused = [
                ("DELIMITER", given.delimiter.is_some()),
                ("NULL", given.null.is_some()),
                ("DEFAULT", given.default.is_some()),
            ];
            if let Some((what, _)) = refused.iter().find(|(_, given)| *given) {
                return Err(SqlError::new("42601", format!("cannot specify {what} in BINARY mode")));
            }
            if given.header != CopyHeader::No {
                return Err(SqlError::new("0A000", "cannot specify HEADER in BINARY mode"));
            }
        }
        let delimiter = single_byte(&given.delimiter, if is_csv { b',' } else { b'\t' }, "delimiter")?;
        let null = given.null.clone().unwrap_or_else(|| if is_csv { String::new() } else { "\\N".to_owned() });
        if delimiter == b'\n' || delimiter == b'\r' {
            return Err(invalid("COPY delimiter cannot be newline or carriage return"));
        }
        if null.contains(['\n', '\r']) {
            return Err(invalid("COPY null representation cannot use newline or carriage return"));
        }
        // Letters that would be taken for a part of an escape sequence, or of the data's end.
        if !is_csv && b"\\.abcdefghijklmnopqrstuvwxyz0123456789".contains(&delimiter) {
            return Err(invalid(&format!("COPY delimiter cannot be \"{}\"", char::from(delimiter))));
        }
        if !is_csv && given.quote.is_some() {
            return Err(only_csv("quote"));
        }
        if !is_csv && given.escape.is_some() {
            return Err(only_csv("escape"));
        }
        let quote = single_byte(&given.quote, b'"', "quote")?;
        let escape = single_byte(&given.escape, quote, "escape")?;
        if is_csv && delimiter == quote {
            return Err(invalid("COPY delimiter and quote must be different"));
        }
        let (force_quote, force_not_null, force_null) =
            (Columns::of(&given.force_quote), Columns::of(&given.force_not_null), Columns::of(&given.force_null));
        for (what, columns, in_from) in [
            ("force quote", &force_quote, false),
            ("force not null", &force_not_null, true),
            ("force null", &force_null, true),
        ] {
            if columns.is_given() && !is_csv {
                return Err(only_csv(what));
            }
            if columns.is_given() && copy.from != in_from {
                let direction = if in_from { "COPY FROM" } else { "COPY TO" };
                return Err(SqlError::new("0A000", format!("COPY {what} only available using {direction}")));
            }
        }
        let null = null.into_bytes();
        if null.contains(&delimiter) {
            return Err(SqlError::new("0A000", "COPY delimiter must not appear in the NULL specification"));
        }
        if is_csv && null.contains(&quote) {
            return Err(SqlError::new("0A000", "CSV quote character must not appear in the NULL specification"));
        }
        if given.freeze && !copy.from {
            return Err(SqlError::new("0A000", "COPY freeze only available using COPY FROM"));
        }
        if let Some(encoding) = &given.encoding {
            let plain = encoding.to_ascii_lowercase().replace(['-', '_'], "");
            if !matches!(plain.as_str(), "utf8" | "unicode" | "sqlascii") {
                return Err(SqlError::not_supported(format!("COPY in encoding {encoding}")));
            }
        }
        if given.default.is_some() {
            return Err(SqlError::not_supported("the option DEFAULT of COPY"));
        }
        let (format, header) = (given.format, given.header);
        Ok(Options { format, delimiter, null, header, quote, escape, force_quote, force_not_null, force_null })
    }
}

fn single_byte(given: &Option<String>, default: u8, what: &str) -> SqlResult<u8> {
    match given.as_deref().map(str::as_bytes) {
        None => Ok(default),
        Some([byte]) => Ok(*byte),
        Some(_) => Err(SqlError::new("0A000", format!("COPY {what} must be a single one-byte character"))),
    }
}

fn invalid(message: &str) -> SqlError {
    SqlError::new("22023", message)
}
