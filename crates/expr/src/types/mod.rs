//! Types by PostgreSQL's own numbers.
//!
//! The built-in types are a table ([`TypeEntry`], the rows of `pg_type` that a fresh PostgreSQL 15 has):
//! [`by_oid`] and [`by_name`] look into it, [`parse_name`] reads a type as one writes it in SQL
//! (`numeric(10,2)`, `timestamp with time zone[]`), [`format_type`] writes it back. Types that users make
//! are the catalog's.

mod format;
pub(crate) mod modifier;
mod table;

pub use format::{format_type, format_type_be, parse_name};
pub use modifier::{numeric_precision_and_scale, typmod_in, typmod_out};
pub use table::{TypeEntry, TypeKind, all, by_name, by_oid};

/// A number from PostgreSQL's OID space: built-in below 16384, ours from there on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(pub u32);

impl std::fmt::Display for Oid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// `pg_type.typcategory`: decides which implicit conversions are preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeCategory {
    Array,
    Boolean,
    Composite,
    DateTime,
    Enum,
    Geometric,
    Network,
    Numeric,
    Pseudo,
    Range,
    String,
    Timespan,
    User,
    BitString,
    Unknown,
}

/// A type with its modifier (`numeric(10,2)`, `varchar(20)`): PostgreSQL's `(atttypid, atttypmod)`.
/// `typmod` is -1 where there is none, and encoded as PostgreSQL encodes it (for varchar n + 4, for
/// numeric ((p << 16) | s) + 4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SqlType {
    pub oid: Oid,
    pub typmod: i32,
}

impl std::fmt::Debug for SqlType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "type{}", self.oid)?;
        if self.typmod >= 0 { write!(f, "({})", self.typmod) } else { Ok(()) }
    }
}

macro_rules! types {
    ($($name:ident = $oid:literal),* $(,)?) => {
        $(pub const $name: SqlType = SqlType { oid: Oid($oid), typmod: -1 };)*
    };
}

impl SqlType {
    types! {
        BOOL = 16, BYTEA = 17, CHAR = 18, NAME = 19, INT8 = 20, INT2 = 21, INT2VECTOR = 22, INT4 = 23,
        REGPROC = 24, TEXT = 25, OID = 26, OIDVECTOR = 30, JSON = 114, FLOAT4 = 700, FLOAT8 = 701,
        UNKNOWN = 705, BPCHAR = 1042, VARCHAR = 1043, DATE = 1082, TIME = 1083, TIMESTAMP = 1114,
        TIMESTAMPTZ = 1184, INTERVAL = 1186, TIMETZ = 1266, NUMERIC = 1700, REGPROCEDURE = 2202,
        REGOPER = 2203, REGOPERATOR = 2204, REGCLASS = 2205, REGTYPE = 2206, RECORD = 2249,
        UUID = 2950, JSONB = 3802, REGNAMESPACE = 4089, REGROLE = 4096, VOID = 2278,
        ANYARRAY = 2277, ANYELEMENT = 2283, ANY = 2276, ACLITEM = 1033,
        BOOL_ARRAY = 1000, BYTEA_ARRAY = 1001, CHAR_ARRAY = 1002, NAME_ARRAY = 1003, INT2_ARRAY = 1005,
        INT4_ARRAY = 1007, TEXT_ARRAY = 1009, INT8_ARRAY = 1016, OID_ARRAY = 1028, FLOAT4_ARRAY = 1021,
        FLOAT8_ARRAY = 1022, VARCHAR_ARRAY = 1015, BPCHAR_ARRAY = 1014, NUMERIC_ARRAY = 1231,
        REGTYPE_ARRAY = 2211, ACLITEM_ARRAY = 1034, TIMESTAMP_ARRAY = 1115, DATE_ARRAY = 1182,
        TIMESTAMPTZ_ARRAY = 1185, UUID_ARRAY = 2951, RECORD_ARRAY = 2287,
        TIME_ARRAY = 1183, INTERVAL_ARRAY = 1187, TIMETZ_ARRAY = 1270, JSON_ARRAY = 199, JSONB_ARRAY = 3807,
        CSTRING = 2275, INTERNAL = 2281, ANYNONARRAY = 2776, ANYENUM = 3500, ANYRANGE = 3831,
        ANYMULTIRANGE = 4537, ANYCOMPATIBLE = 5077, ANYCOMPATIBLEARRAY = 5078,
        ANYCOMPATIBLENONARRAY = 5079, ANYCOMPATIBLERANGE = 5080, ANYCOMPATIBLEMULTIRANGE = 4538,
        REGCONFIG = 3734, REGDICTIONARY = 3769, REGCOLLATION = 4191, XID = 28, CID = 29, TID = 27, XML = 142,
    }

    pub const fn with_typmod(self, typmod: i32) -> SqlType {
        SqlType { oid: self.oid, typmod }
    }

    /// The table's entry; `None` for types that users made.
    pub fn entry(self) -> Option<&'static TypeEntry> {
        by_oid(self.oid)
    }

    /// The same type without its modifier.
    pub const fn base(self) -> SqlType {
        SqlType { oid: self.oid, typmod: -1 }
    }

    /// The array type over this one.
    pub fn array(self) -> Option<SqlType> {
        let array = self.entry()?.array;
        (array != Oid(0)).then_some(SqlType { oid: array, typmod: self.typmod })
    }

    /// The element type of an array (with the array's modifier, as PostgreSQL has it), also of
    /// int2vector and oidvector.
    pub fn element(self) -> Option<SqlType> {
        let entry = self.entry()?;
        entry.is_array().then_some(SqlType { oid: entry.element, typmod: self.typmod })
    }

    pub fn category(self) -> TypeCategory {
        self.entry().map_or(TypeCategory::User, |entry| entry.category)
    }

    /// `text`, `varchar`, `bpchar`, `name`, …: what category S holds.
    pub fn is_string(self) -> bool {
        self.category() == TypeCategory::String
    }
}

impl From<Oid> for SqlType {
    fn from(oid: Oid) -> SqlType {
        SqlType { oid, typmod: -1 }
    }
}

/// As SQL writes it.
impl std::fmt::Display for SqlType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&format_type(self.oid, (self.typmod >= 0).then_some(self.typmod)))
    }
}

impl TypeCategory {
    /// `pg_type.typcategory`.
    pub fn letter(self) -> char {
        CATEGORIES.iter().find(|(category, _)| *category == self).map_or('U', |(_, letter)| *letter)
    }

    pub(crate) fn from_letter(letter: char) -> TypeCategory {
        CATEGORIES.iter().find(|(_, l)| *l == letter).map_or(TypeCategory::User, |(category, _)| *category)
    }
}

const CATEGORIES: [(TypeCategory, char); 15] = [
    (TypeCategory::Array, 'A'),
    (TypeCategory::Boolean, 'B'),
    (TypeCategory::Composite, 'C'),
    (TypeCategory::DateTime, 'D'),
    (TypeCategory::Enum, 'E'),
    (TypeCategory::Geometric, 'G'),
    (TypeCategory::Network, 'I'),
    (TypeCategory::Numeric, 'N'),
    (TypeCategory::Pseudo, 'P'),
    (TypeCategory::Range, 'R'),
    (TypeCategory::String, 'S'),
    (TypeCategory::Timespan, 'T'),
    (TypeCategory::User, 'U'),
    (TypeCategory::BitString, 'V'),
    (TypeCategory::Unknown, 'X'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for (written, formatted) in [
            ("int", "integer"),
            ("INT8", "bigint"),
            ("float(24)", "real"),
            ("float", "double precision"),
            ("decimal(10, 2)", "numeric(10,2)"),
            ("numeric(5)", "numeric(5,0)"),
            ("numeric(3,-2)", "numeric(3,-2)"),
            ("char", "character(1)"),
            ("\"char\"", "\"char\""),
            ("bpchar", "bpchar"),
            ("character varying(20)", "character varying(20)"),
            ("varchar", "character varying"),
            ("timestamp(3) with time zone", "timestamp(3) with time zone"),
            ("timestamptz", "timestamp with time zone"),
            ("time", "time without time zone"),
            ("interval day to second(2)", "interval day to second(2)"),
            ("interval(3)", "interval(3)"),
            ("interval month", "interval month"),
            ("text[]", "text[]"),
            ("integer array[4]", "integer[]"),
            ("numeric(4,1)[][]", "numeric(4,1)[]"),
            ("pg_catalog.int4", "integer"),
            ("bit varying(5)", "bit varying(5)"),
            ("uuid", "uuid"),
        ] {
            let ty = parse_name(written).unwrap_or_else(|error| panic!("{written}: {error}"));
            assert_eq!(format_type(ty.oid, Some(ty.typmod)), formatted, "{written}");
        }
        assert_eq!(parse_name("nosuch").unwrap_err().0.state.as_str(), "42704");
        assert_eq!(parse_name("varchar(0)").unwrap_err().0.message, "length for type varchar must be at least 1");
        assert_eq!(format_type(Oid(99_999), None), "???");
    }

    #[test]
    fn arrays_and_elements() {
        assert_eq!(SqlType::INT4.array(), Some(SqlType::INT4_ARRAY));
        assert_eq!(SqlType::TEXT_ARRAY.element(), Some(SqlType::TEXT));
        assert_eq!(SqlType::OIDVECTOR.element(), Some(SqlType::OID));
        assert_eq!(SqlType::NAME.element(), None, "a name has elements of type char but is no array");
        assert_eq!(SqlType::TIMESTAMPTZ.category(), TypeCategory::DateTime);
        assert!(SqlType::TIMESTAMPTZ.entry().unwrap().preferred);
    }
}
