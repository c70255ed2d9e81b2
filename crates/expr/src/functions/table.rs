//! The rows of `pg_proc` (data/functions.tsv).

use std::sync::LazyLock;

use crate::table::{Fields, Rows};
use crate::{FunctionId, Oid, SqlType};

/// One overload of a function, procedure, aggregate or window function.
#[derive(Clone, Debug)]
pub struct FunctionEntry {
    /// Its `pg_proc` OID.
    pub id: FunctionId,
    pub name: &'static str,
    pub kind: FunctionKind,
    /// `prosrc`: the internal function; `sqlOID` where PostgreSQL's body is SQL.
    pub source: &'static str,
    pub returns_set: bool,
    pub volatility: Volatility,
    /// NULL if any argument is NULL.
    pub strict: bool,
    pub leakproof: bool,
    pub parallel: char,
    /// The element type of the last argument if that is VARIADIC; `any` takes all as they are.
    pub variadic: Option<Oid>,
    pub result: Oid,
    /// Input arguments.
    pub args: Box<[Oid]>,
    /// Arguments with the OUT ones, where there are such; else empty. Parallel to `arg_modes`.
    pub all_args: Box<[Oid]>,
    pub arg_modes: Box<[ArgMode]>,
    /// Names of the arguments (of all), where they have names; else empty.
    pub arg_names: Box<[&'static str]>,
    /// The defaults of the last arguments, as `pg_get_expr` writes them.
    pub defaults: Box<[&'static str]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionKind {
    Function,
    Procedure,
    Aggregate,
    Window,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volatility {
    Immutable,
    Stable,
    Volatile,
}

impl Volatility {
    pub fn letter(self) -> char {
        match self {
            Volatility::Immutable => 'i',
            Volatility::Stable => 's',
            Volatility::Volatile => 'v',
        }
    }
}

impl FunctionKind {
    pub fn letter(self) -> char {
        match self {
            FunctionKind::Function => 'f',
            FunctionKind::Procedure => 'p',
            FunctionKind::Aggregate => 'a',
            FunctionKind::Window => 'w',
        }
    }
}

/// `proargmodes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgMode {
    In,
    Out,
    InOut,
    Variadic,
    Table,
}

impl ArgMode {
    pub fn letter(self) -> char {
        match self {
            ArgMode::In => 'i',
            ArgMode::Out => 'o',
            ArgMode::InOut => 'b',
            ArgMode::Variadic => 'v',
            ArgMode::Table => 't',
        }
    }
}

impl FunctionEntry {
    /// `(name, type)` of the OUT and TABLE columns of a function that returns a record; empty for others.
    pub fn out_columns(&self) -> impl Iterator<Item = (&'static str, SqlType)> + '_ {
        let columns = self.all_args.iter().zip(&self.arg_modes).enumerate();
        columns
            .filter(|(_, (_, mode))| matches!(mode, ArgMode::Out | ArgMode::InOut | ArgMode::Table))
            .map(|(at, (oid, _))| (self.arg_names.get(at).copied().unwrap_or(""), SqlType::from(*oid)))
    }

    /// The text form and type of the default of input argument `at`, for those that are left out of a call.
    pub fn default_of(&self, at: usize) -> Option<(&'static str, SqlType)> {
        let first = self.args.len() - self.defaults.len();
        let written = *self.defaults.get(at.checked_sub(first)?)?;
        let literal = match written.strip_prefix('\'') {
            Some(quoted) => quoted.split('\'').next().unwrap_or(""),
            None => written,
        };
        Some((literal, SqlType::from(self.args[at])))
    }
}

struct Functions {
    /// By name, then OID.
    entries: Vec<FunctionEntry>,
    /// Position by OID; OIDs below 12000 are dense enough for a plain list. `u16::MAX` is none.
    by_id: Vec<u16>,
}

static FUNCTIONS: LazyLock<Functions> = LazyLock::new(|| {
    let mut entries: Vec<FunctionEntry> = Rows::of(include_str!("../../data/functions.tsv")).map(read).collect();
    entries.sort_by_key(|entry| (entry.name, entry.id));
    let most = entries.iter().map(|entry| entry.id.0).max().unwrap_or(0);
    let mut by_id = vec![u16::MAX; most as usize + 1];
    for (at, entry) in entries.iter().enumerate() {
        by_id[entry.id.0 as usize] = u16::try_from(at).expect("fewer than 65536 functions");
    }
    Functions { entries, by_id }
});

fn read(mut row: Fields) -> FunctionEntry {
    FunctionEntry {
        id: FunctionId(row.number()),
        name: row.text(),
        kind: match row.letter() {
            'a' => FunctionKind::Aggregate,
            'w' => FunctionKind::Window,
            'p' => FunctionKind::Procedure,
            _ => FunctionKind::Function,
        },
        source: row.text(),
        returns_set: row.flag(),
        volatility: match row.letter() {
            'i' => Volatility::Immutable,
            's' => Volatility::Stable,
            _ => Volatility::Volatile,
        },
        strict: row.flag(),
        leakproof: row.flag(),
        parallel: row.letter(),
        variadic: Some(row.oid()).filter(|oid| *oid != Oid(0)),
        result: row.oid(),
        args: row.oids(),
        all_args: row.oids(),
        arg_modes: row.text().split_ascii_whitespace().map(arg_mode).collect(),
        arg_names: Some(row.text())
            .filter(|names| !names.is_empty())
            .into_iter()
            .flat_map(|names| names.split(' '))
            .collect(),
        defaults: {
            let _count = row.text();
            Some(row.text()).filter(|list| !list.is_empty()).into_iter().flat_map(|list| list.split(", ")).collect()
        },
    }
}

fn arg_mode(letter: &str) -> ArgMode {
    match letter {
        "o" => ArgMode::Out,
        "b" => ArgMode::InOut,
        "v" => ArgMode::Variadic,
        "t" => ArgMode::Table,
        _ => ArgMode::In,
    }
}

/// Every function, by name and then OID.
pub fn all() -> &'static [FunctionEntry] {
    &FUNCTIONS.entries
}

/// All overloads of a name, of every kind.
pub fn by_name(name: &str) -> &'static [FunctionEntry] {
    let entries = &FUNCTIONS.entries;
    let start = entries.partition_point(|entry| entry.name < name);
    let len = entries[start..].partition_point(|entry| entry.name == name);
    &entries[start..start + len]
}

pub fn by_id(id: FunctionId) -> Option<&'static FunctionEntry> {
    let at = *FUNCTIONS.by_id.get(id.0 as usize)?;
    FUNCTIONS.entries.get(usize::from(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_name_and_id() {
        let lower = by_name("lower");
        assert!(lower.iter().any(|entry| *entry.args == [Oid(25)] && entry.strict));
        assert!(by_name("nosuch").is_empty());
        for entry in all() {
            assert_eq!(by_id(entry.id).map(|found| found.name), Some(entry.name));
            assert!(entry.defaults.len() <= entry.args.len(), "{entry:?}");
            assert!(entry.all_args.is_empty() || entry.arg_modes.len() == entry.all_args.len(), "{entry:?}");
        }
        assert!(by_id(FunctionId(999_999)).is_none());
    }

    #[test]
    fn defaults_and_columns() {
        let make_interval = &by_name("make_interval")[0];
        assert_eq!(make_interval.default_of(0), Some(("0", SqlType::INT4)));
        assert_eq!(make_interval.default_of(6), Some(("0.0", SqlType::FLOAT8)));
        let jsonb_set = &by_name("jsonb_set")[0];
        assert_eq!((jsonb_set.default_of(2), jsonb_set.default_of(3)), (None, Some(("true", SqlType::BOOL))));
        let each = &by_name("jsonb_each")[0];
        assert_eq!(each.out_columns().collect::<Vec<_>>(), [("key", SqlType::TEXT), ("value", SqlType::JSONB)]);
    }
}
