//! Types by PostgreSQL's own numbers.

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
    }

    pub const fn with_typmod(self, typmod: i32) -> SqlType {
        SqlType { oid: self.oid, typmod }
    }
}
