//! The built-in rows of `pg_type` (data/types.tsv).

use std::sync::LazyLock;

use hashbrown::HashMap;

use crate::table::{Rows, StaticMap};
use crate::{Oid, TypeCategory};

/// One built-in type, as `pg_type` describes it.
#[derive(Clone, Debug)]
pub struct TypeEntry {
    pub oid: Oid,
    pub name: &'static str,
    /// Bytes of the value in PostgreSQL's own memory, -1 for variable length.
    pub len: i16,
    pub by_value: bool,
    pub kind: TypeKind,
    pub category: TypeCategory,
    pub preferred: bool,
    pub delimiter: char,
    /// `typelem`; 0 where there is none.
    pub element: Oid,
    /// `typarray`; 0 where there is none.
    pub array: Oid,
    /// The names of the input, output, receive, send and modifier functions; "-" is none.
    pub input: &'static str,
    pub output: &'static str,
    pub receive: &'static str,
    pub send: &'static str,
    pub modifier_in: &'static str,
    pub modifier_out: &'static str,
    pub subscript: &'static str,
    pub align: char,
    pub storage: char,
    pub collation: Oid,
}

/// `pg_type.typtype`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeKind {
    Base,
    Composite,
    Domain,
    Enum,
    Pseudo,
    Range,
    Multirange,
}

impl TypeKind {
    pub fn letter(self) -> char {
        match self {
            TypeKind::Base => 'b',
            TypeKind::Composite => 'c',
            TypeKind::Domain => 'd',
            TypeKind::Enum => 'e',
            TypeKind::Pseudo => 'p',
            TypeKind::Range => 'r',
            TypeKind::Multirange => 'm',
        }
    }

    fn from_letter(letter: char) -> TypeKind {
        match letter {
            'c' => TypeKind::Composite,
            'd' => TypeKind::Domain,
            'e' => TypeKind::Enum,
            'p' => TypeKind::Pseudo,
            'r' => TypeKind::Range,
            'm' => TypeKind::Multirange,
            _ => TypeKind::Base,
        }
    }
}

impl TypeEntry {
    /// An array: what `anyarray` matches and what can be subscripted. The vectors of the catalog
    /// (int2vector, oidvector) are arrays too.
    pub fn is_array(&self) -> bool {
        self.subscript == "array_subscript_handler" && self.element != Oid(0)
    }

    /// int2vector and oidvector: arrays with a name and a text form of their own.
    pub fn is_vector(&self) -> bool {
        self.is_array() && self.storage == 'p'
    }
}

struct Types {
    entries: Vec<TypeEntry>,
    by_oid: StaticMap<u32, usize>,
    by_name: StaticMap<&'static str, usize>,
}

static TYPES: LazyLock<Types> = LazyLock::new(|| {
    let entries: Vec<TypeEntry> = Rows::of(include_str!("../../data/types.tsv")).map(read).collect();
    let mut by_oid = HashMap::with_capacity_and_hasher(entries.len(), Default::default());
    let mut by_name = HashMap::with_capacity_and_hasher(entries.len(), Default::default());
    for (at, entry) in entries.iter().enumerate() {
        by_oid.insert(entry.oid.0, at);
        by_name.insert(entry.name, at);
    }
    Types { entries, by_oid, by_name }
});

fn read(mut row: crate::table::Fields) -> TypeEntry {
    TypeEntry {
        oid: row.oid(),
        name: row.text(),
        len: row.number(),
        by_value: row.flag(),
        kind: TypeKind::from_letter(row.letter()),
        category: TypeCategory::from_letter(row.letter()),
        preferred: row.flag(),
        delimiter: row.letter(),
        element: row.oid(),
        array: row.oid(),
        input: row.text(),
        output: row.text(),
        receive: row.text(),
        send: row.text(),
        modifier_in: row.text(),
        modifier_out: row.text(),
        subscript: row.text(),
        align: row.letter(),
        storage: row.letter(),
        collation: row.oid(),
    }
}

/// All built-in types by OID.
pub fn all() -> &'static [TypeEntry] {
    &TYPES.entries
}

pub fn by_oid(oid: Oid) -> Option<&'static TypeEntry> {
    TYPES.by_oid.get(&oid.0).map(|at| &TYPES.entries[*at])
}

/// By `typname`: `int4`, `_text`, `char` (the one-byte type). SQL's own spellings are read by
/// [`super::parse_name`].
pub fn by_name(name: &str) -> Option<&'static TypeEntry> {
    TYPES.by_name.get(name).map(|at| &TYPES.entries[*at])
}
