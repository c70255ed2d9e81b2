//! Syntax trees: PostgreSQL's grammar as types.
//!
//! They say what was written, not what it means: names are not resolved (identifiers are folded to lower case
//! unless quoted), types are names, and syntax that PostgreSQL defines as a function call (`EXTRACT`, `AT TIME
//! ZONE`, `OVERLAY`, …) already is one. Everything an error may point at carries `at`, a byte offset into the
//! statement's source.

mod ddl;
mod dml;
mod expression;
mod query;
mod utility;

pub use ddl::*;
pub use dml::*;
pub use expression::*;
pub use query::*;
pub use utility::*;

/// A byte offset into the source text.
pub type At = u32;

#[derive(Clone, Debug)]
pub enum Statement {
    Query(Box<Query>),
    Insert(Box<Insert>),
    Update(Box<Update>),
    Delete(Box<Delete>),
    Explain(Box<Explain>),
    Ddl(Box<Ddl>),
    Utility(Box<Utility>),
    /// The grammar knows it, the database does not: 0A000 when it runs.
    NotSupported {
        what: String,
    },
}

impl Statement {
    /// `AS OF SYSTEM TIME …`
    pub fn system_time(&self) -> Option<&SourceExpr> {
        match self {
            Statement::Query(query) => query.body.system_time(),
            _ => None,
        }
    }
}

/// An identifier as it is compared: folded to lower case unless it was quoted.
#[derive(Clone, Debug)]
pub struct Name {
    pub text: String,
    pub at: At,
}

impl Name {
    pub fn new(text: impl Into<String>, at: At) -> Name {
        Name { text: text.into(), at }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Name {
    /// Names are compared by what they say, not by where they stand.
    fn eq(&self, other: &Name) -> bool {
        self.text == other.text
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.text == other
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// `[[database.]schema.]name` of a relation, index or sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectName {
    pub database: Option<Name>,
    pub schema: Option<Name>,
    pub name: Name,
}

impl ObjectName {
    /// Where the name begins.
    pub fn at(&self) -> At {
        self.database.as_ref().or(self.schema.as_ref()).unwrap_or(&self.name).at
    }
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for qualifier in [&self.database, &self.schema].into_iter().flatten() {
            write!(f, "{qualifier}.")?;
        }
        self.name.fmt(f)
    }
}

/// A type as written: `numeric(10, 2)`, `text[]`, `pg_catalog.int4`, `interval day to second(3)`.
#[derive(Clone, Debug)]
pub struct TypeName {
    /// SQL's spellings are already PostgreSQL's names in `pg_catalog` (`integer` → `pg_catalog.int4`).
    pub names: Vec<Name>,
    /// Modifiers as written; for `interval` the field mask and precision, as PostgreSQL has them.
    pub modifiers: Vec<Expr>,
    pub dimensions: u32,
    pub setof: bool,
    /// `table.column%TYPE`.
    pub of_column: bool,
    pub at: At,
}

/// An operator, perhaps qualified: `OPERATOR(pg_catalog.~)`.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorName {
    pub schema: Option<Name>,
    pub symbol: String,
}

impl OperatorName {
    pub fn plain(symbol: impl Into<String>) -> OperatorName {
        OperatorName { schema: None, symbol: symbol.into() }
    }
}

/// An expression that the catalog keeps as text: `text` is what stood in the source.
#[derive(Clone, Debug)]
pub struct SourceExpr {
    pub expr: Expr,
    pub text: String,
}

/// A query that the catalog keeps as text.
#[derive(Clone, Debug)]
pub struct SourceQuery {
    pub query: Query,
    pub text: String,
}

/// `name [= value]` in `WITH (…)` and in option lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    pub namespace: Option<Name>,
    pub name: Name,
    pub value: Option<SettingValue>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SettingValue {
    /// A word: `true`, `on`, `off`, a name.
    Word(String),
    Text(String),
    /// As written, sign included.
    Number(String),
    List(Vec<SettingValue>),
}

impl SettingValue {
    pub fn to_text(&self) -> String {
        match self {
            SettingValue::Word(text) | SettingValue::Text(text) | SettingValue::Number(text) => text.clone(),
            SettingValue::List(list) => list.iter().map(SettingValue::to_text).collect::<Vec<_>>().join(", "),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DropBehavior {
    #[default]
    Restrict,
    Cascade,
}
