//! Types as SQL writes them.

use super::modifier::{interval_field, interval_precision_only};
use super::{by_name, by_oid, typmod_in, typmod_out};
use crate::{EvalError, EvalResult, Oid, SqlType};

/// As PostgreSQL's function of this name: `character varying(20)`, `integer[]`. `typmod: None` is a
/// modifier that is not given at all (NULL), which `bpchar` and `bit` tell from -1. "???" for unknown
/// OIDs, "-" for 0.
pub fn format_type(oid: Oid, typmod: Option<i32>) -> String {
    if oid == Oid(0) {
        return "-".to_owned();
    }
    let Some(entry) = by_oid(oid) else { return "???".to_owned() };
    if entry.is_array() && !entry.is_vector() {
        return format_type(entry.element, typmod) + "[]";
    }
    let modifier = typmod.filter(|typmod| *typmod >= 0);
    let with = |name: &str| name.to_owned() + &modifier.map_or(String::new(), |typmod| typmod_out(oid, typmod));
    match SqlType::from(oid) {
        SqlType::BOOL => "boolean".to_owned(),
        SqlType::INT2 => "smallint".to_owned(),
        SqlType::INT4 => "integer".to_owned(),
        SqlType::INT8 => "bigint".to_owned(),
        SqlType::FLOAT4 => "real".to_owned(),
        SqlType::FLOAT8 => "double precision".to_owned(),
        SqlType::BPCHAR if modifier.is_none() && typmod.is_some() => "bpchar".to_owned(),
        SqlType::BPCHAR => with("character"),
        SqlType::VARCHAR => with("character varying"),
        SqlType::CHAR => "\"char\"".to_owned(),
        SqlType::INTERVAL => with("interval"),
        SqlType::TIME | SqlType::TIMESTAMP if modifier.is_none() => format!("{} without time zone", entry.name),
        SqlType::TIMETZ | SqlType::TIMESTAMPTZ if modifier.is_none() => {
            format!("{} with time zone", entry.name.trim_end_matches("tz"))
        }
        SqlType::TIMETZ | SqlType::TIMESTAMPTZ => with(entry.name.trim_end_matches("tz")),
        _ if oid == Oid(1560) && modifier.is_none() && typmod.is_some() => "\"bit\"".to_owned(),
        _ if oid == Oid(1562) => with("bit varying"),
        _ => with(entry.name),
    }
}

/// The name without modifier, as messages have it.
pub fn format_type_be(oid: Oid) -> String {
    format_type(oid, None)
}

/// Reads a type as SQL writes it: built-in names, SQL's spellings, modifiers, array brackets, quotes and
/// the schema `pg_catalog`. 42704 where there is no such type.
pub fn parse_name(text: &str) -> EvalResult<SqlType> {
    let mut words = Words { rest: text.trim(), text };
    let ty = words.type_name()?;
    if words.rest.is_empty() { Ok(ty) } else { Err(words.unknown()) }
}

struct Words<'a> {
    rest: &'a str,
    text: &'a str,
}

impl<'a> Words<'a> {
    fn unknown(&self) -> EvalError {
        EvalError::new("42704", format!("type \"{}\" does not exist", self.text.trim()))
    }

    /// The next word if it is `word`.
    fn accept(&mut self, word: &str) -> bool {
        let head = self.rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("");
        let found = head.eq_ignore_ascii_case(word);
        if found {
            self.rest = self.rest[head.len()..].trim_start();
        }
        found
    }

    fn accept_all(&mut self, words: &[&str]) -> bool {
        let before = self.rest;
        let found = words.iter().all(|word| self.accept(word));
        if !found {
            self.rest = before;
        }
        found
    }

    fn symbol(&mut self, symbol: char) -> bool {
        let found = self.rest.starts_with(symbol);
        if found {
            self.rest = self.rest[symbol.len_utf8()..].trim_start();
        }
        found
    }

    /// An identifier, and whether it was quoted.
    fn identifier(&mut self) -> EvalResult<(String, bool)> {
        if self.symbol('"') {
            let mut name = String::new();
            loop {
                let (part, rest) = self.rest.split_once('"').ok_or_else(|| self.unknown())?;
                name.push_str(part);
                match rest.strip_prefix('"') {
                    Some(more) => {
                        name.push('"');
                        self.rest = more;
                    }
                    None => {
                        self.rest = rest.trim_start();
                        return Ok((name, true));
                    }
                }
            }
        }
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() {
            return Err(self.unknown());
        }
        self.rest = rest.trim_start();
        Ok((name.to_lowercase(), false))
    }

    fn number(&mut self) -> EvalResult<i32> {
        let end = self.rest.char_indices().find(|(at, c)| !(c.is_ascii_digit() || *at == 0 && *c == '-'));
        let (number, rest) = self.rest.split_at(end.map_or(self.rest.len(), |(at, _)| at));
        let number = number.parse().map_err(|_| EvalError::new("22023", "invalid type modifier"))?;
        self.rest = rest.trim_start();
        Ok(number)
    }

    fn numbers(&mut self) -> EvalResult<Option<Vec<i32>>> {
        if !self.symbol('(') {
            return Ok(None);
        }
        let mut numbers = vec![self.number()?];
        while self.symbol(',') {
            numbers.push(self.number()?);
        }
        if self.symbol(')') { Ok(Some(numbers)) } else { Err(self.unknown()) }
    }

    fn type_name(&mut self) -> EvalResult<SqlType> {
        let base = self.scalar()?;
        let mut is_array = self.accept("array");
        while self.symbol('[') {
            is_array = true;
            if !self.symbol(']') {
                self.number()?;
                if !self.symbol(']') {
                    return Err(self.unknown());
                }
            }
        }
        if is_array { base.array().ok_or_else(|| self.unknown()) } else { Ok(base) }
    }

    fn scalar(&mut self) -> EvalResult<SqlType> {
        let (mut name, mut quoted) = self.identifier()?;
        if name == "pg_catalog" && self.symbol('.') {
            name = self.identifier()?.0;
            quoted = true;
        }
        if !quoted && let Some(ty) = self.sql_spelling(&name)? {
            return Ok(ty);
        }
        let entry = by_name(&name).ok_or_else(|| self.unknown())?;
        let ty = SqlType::from(entry.oid);
        match self.numbers()? {
            Some(numbers) => Ok(ty.with_typmod(typmod_in(entry.oid, &numbers)?)),
            None => Ok(ty),
        }
    }

    /// The names that SQL's grammar knows itself.
    fn sql_spelling(&mut self, name: &str) -> EvalResult<Option<SqlType>> {
        let ty = match name {
            "int" | "integer" => SqlType::INT4,
            "bigint" => SqlType::INT8,
            "smallint" => SqlType::INT2,
            "real" => SqlType::FLOAT4,
            "boolean" => SqlType::BOOL,
            "double" if self.accept("precision") => SqlType::FLOAT8,
            "float" => return self.float().map(Some),
            "decimal" | "dec" | "numeric" => return self.with_numbers(SqlType::NUMERIC).map(Some),
            "varchar" => return self.with_numbers(SqlType::VARCHAR).map(Some),
            "character" | "char" | "nchar" => return self.character().map(Some),
            "national" if self.accept("character") || self.accept("char") => return self.character().map(Some),
            "bit" => return self.bit().map(Some),
            "time" => return self.time(SqlType::TIME, SqlType::TIMETZ).map(Some),
            "timestamp" => return self.time(SqlType::TIMESTAMP, SqlType::TIMESTAMPTZ).map(Some),
            "interval" => return self.interval().map(Some),
            _ => return Ok(None),
        };
        Ok(Some(ty))
    }

    fn with_numbers(&mut self, ty: SqlType) -> EvalResult<SqlType> {
        match self.numbers()? {
            Some(numbers) => Ok(ty.with_typmod(typmod_in(ty.oid, &numbers)?)),
            None => Ok(ty),
        }
    }

    fn float(&mut self) -> EvalResult<SqlType> {
        match self.numbers()?.as_deref() {
            None => Ok(SqlType::FLOAT8),
            Some([..=0]) => Err(EvalError::new("22023", "precision for type float must be at least 1 bit")),
            Some([1..=24]) => Ok(SqlType::FLOAT4),
            Some([25..=53]) => Ok(SqlType::FLOAT8),
            Some(_) => Err(EvalError::new("22023", "precision for type float must be less than 54 bits")),
        }
    }

    /// `character` alone is `character(1)`; `varying` makes it varchar.
    fn character(&mut self) -> EvalResult<SqlType> {
        if self.accept("varying") {
            return self.with_numbers(SqlType::VARCHAR);
        }
        let numbers = self.numbers()?.unwrap_or(vec![1]);
        Ok(SqlType::BPCHAR.with_typmod(typmod_in(SqlType::BPCHAR.oid, &numbers)?))
    }

    fn bit(&mut self) -> EvalResult<SqlType> {
        if self.accept("varying") {
            return self.with_numbers(Oid(1562).into());
        }
        let numbers = self.numbers()?.unwrap_or(vec![1]);
        Ok(SqlType::from(Oid(1560)).with_typmod(typmod_in(Oid(1560), &numbers)?))
    }

    fn time(&mut self, without: SqlType, with: SqlType) -> EvalResult<SqlType> {
        let numbers = self.numbers()?;
        let ty = if self.accept_all(&["with", "time", "zone"]) {
            with
        } else {
            self.accept_all(&["without", "time", "zone"]);
            without
        };
        match numbers {
            Some(numbers) => Ok(ty.with_typmod(typmod_in(ty.oid, &numbers)?)),
            None => Ok(ty),
        }
    }

    fn interval(&mut self) -> EvalResult<SqlType> {
        if let Some(numbers) = self.numbers()? {
            let [n] = numbers[..] else { return Err(EvalError::new("22023", "invalid INTERVAL type modifier")) };
            return Ok(SqlType::INTERVAL.with_typmod(interval_precision_only(n)?));
        }
        let Some(from) = self.interval_field() else { return Ok(SqlType::INTERVAL) };
        let to = if self.accept("to") { self.interval_field().ok_or_else(|| self.unknown())? } else { from };
        let range = FIELDS.iter().map(|(_, bit)| *bit).filter(|bit| (from..=to).contains(bit)).fold(0, |a, b| a | b);
        // Year comes before month, though its bit is the higher one.
        let range = if from == interval_field::YEAR && to == interval_field::MONTH { from | to } else { range };
        let mut args = vec![range];
        args.extend(self.numbers()?.unwrap_or_default());
        Ok(SqlType::INTERVAL.with_typmod(typmod_in(SqlType::INTERVAL.oid, &args)?))
    }

    fn interval_field(&mut self) -> Option<i32> {
        FIELDS.iter().find(|(name, _)| self.accept(name)).map(|(_, bit)| *bit)
    }
}

const FIELDS: [(&str, i32); 6] = [
    ("year", interval_field::YEAR),
    ("month", interval_field::MONTH),
    ("day", interval_field::DAY),
    ("hour", interval_field::HOUR),
    ("minute", interval_field::MINUTE),
    ("second", interval_field::SECOND),
];
