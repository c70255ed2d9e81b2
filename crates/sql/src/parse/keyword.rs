//! PostgreSQL's key words and what each may still name (`kwlist.h`, version 15).

use std::sync::LazyLock;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// Where a key word may stand for itself, without quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// Everywhere a name may.
    Unreserved,
    /// As a column, table or other name, but not as a function or type: those have syntax of their own.
    ColumnName,
    /// As a function or type, but not as a column or table.
    TypeOrFunction,
    /// Only after AS.
    Reserved,
}

macro_rules! keywords {
    ($($category:ident { $($name:ident = $text:literal $($needs_as:ident)?,)* })*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kw {
            $($($name,)*)*
        }

        impl Kw {
            const ALL: &'static [(&'static str, Kw)] = &[$($(($text, Kw::$name),)*)*];

            pub fn category(self) -> Category {
                match self {
                    $($(Kw::$name)|* => Category::$category,)*
                }
            }

            /// May follow an expression as its column name without AS.
            pub fn is_bare_label(self) -> bool {
                match self {
                    $($(Kw::$name => true $(&& keywords!(@$needs_as))?,)*)*
                }
            }

            pub fn text(self) -> &'static str {
                match self {
                    $($(Kw::$name => $text,)*)*
                }
            }
        }
    };
    (@needs_as) => { false };
}

keywords! {
    Unreserved {
        Abort = "abort", Absolute = "absolute", Access = "access", Action = "action", Add = "add", Admin = "admin",
        After = "after", Aggregate = "aggregate", Also = "also", Alter = "alter", Always = "always",
        Asensitive = "asensitive", Assertion = "assertion", Assignment = "assignment", At = "at", Atomic = "atomic",
        Attach = "attach", Attribute = "attribute", Backward = "backward", Before = "before", Begin = "begin",
        Breadth = "breadth", By = "by", Cache = "cache", Call = "call", Called = "called", Cascade = "cascade",
        Cascaded = "cascaded", Catalog = "catalog", Chain = "chain", Characteristics = "characteristics",
        Checkpoint = "checkpoint", Class = "class", Close = "close", Cluster = "cluster", Columns = "columns",
        Comment = "comment", Comments = "comments", Commit = "commit", Committed = "committed",
        Compression = "compression", Configuration = "configuration", Conflict = "conflict",
        Connection = "connection", Constraints = "constraints", Content = "content", Continue = "continue",
        Conversion = "conversion", Copy = "copy", Cost = "cost", Csv = "csv", Cube = "cube", Current = "current",
        Cursor = "cursor", Cycle = "cycle", Data = "data", Database = "database", Day = "day" needs_as,
        Deallocate = "deallocate", Declare = "declare", Defaults = "defaults", Deferred = "deferred",
        Definer = "definer", Delete = "delete", Delimiter = "delimiter", Delimiters = "delimiters",
        Depends = "depends", Depth = "depth", Detach = "detach", Dictionary = "dictionary", Disable = "disable",
        Discard = "discard", Document = "document", Domain = "domain", Double = "double", Drop = "drop",
        Each = "each", Enable = "enable", Encoding = "encoding", Encrypted = "encrypted", Enum = "enum",
        Escape = "escape", Event = "event", Exclude = "exclude", Excluding = "excluding", Exclusive = "exclusive",
        Execute = "execute", Explain = "explain", Expression = "expression", Extension = "extension",
        External = "external", Family = "family", Filter = "filter" needs_as, Finalize = "finalize", First = "first",
        Following = "following", Force = "force", Forward = "forward", Function = "function", Functions = "functions",
        Generated = "generated", Global = "global", Granted = "granted", Groups = "groups", Handler = "handler",
        Header = "header", Hold = "hold", Hour = "hour" needs_as, Identity = "identity", If = "if",
        Immediate = "immediate", Immutable = "immutable", Implicit = "implicit", Import = "import",
        Include = "include", Including = "including", Increment = "increment", Index = "index", Indexes = "indexes",
        Inherit = "inherit", Inherits = "inherits", Inline = "inline", Input = "input", Insensitive = "insensitive",
        Insert = "insert", Instead = "instead", Invoker = "invoker", Isolation = "isolation", Key = "key",
        Label = "label", Language = "language", Large = "large", Last = "last", Leakproof = "leakproof",
        Level = "level", Listen = "listen", Load = "load", Local = "local", Location = "location", Lock = "lock",
        Locked = "locked", Logged = "logged", Mapping = "mapping", Match = "match", Matched = "matched",
        Materialized = "materialized", Maxvalue = "maxvalue", Merge = "merge", Method = "method",
        Minute = "minute" needs_as, Minvalue = "minvalue", Mode = "mode", Month = "month" needs_as, Move = "move",
        Name = "name", Names = "names", New = "new", Next = "next", Nfc = "nfc", Nfd = "nfd", Nfkc = "nfkc",
        Nfkd = "nfkd", No = "no", Normalized = "normalized", Nothing = "nothing", Notify = "notify",
        Nowait = "nowait", Nulls = "nulls", Object = "object", Of = "of", Off = "off", Oids = "oids", Old = "old",
        Operator = "operator", Option = "option", Options = "options", Ordinality = "ordinality", Others = "others",
        Over = "over" needs_as, Overriding = "overriding", Owned = "owned", Owner = "owner", Parallel = "parallel",
        Parameter = "parameter", Parser = "parser", Partial = "partial", Partition = "partition", Passing = "passing",
        Password = "password", Plans = "plans", Policy = "policy", Preceding = "preceding", Prepare = "prepare",
        Prepared = "prepared", Preserve = "preserve", Prior = "prior", Privileges = "privileges",
        Procedural = "procedural", Procedure = "procedure", Procedures = "procedures", Program = "program",
        Publication = "publication", Quote = "quote", Range = "range", Read = "read", Reassign = "reassign",
        Recheck = "recheck", Recursive = "recursive", Ref = "ref", Referencing = "referencing", Refresh = "refresh",
        Reindex = "reindex", Relative = "relative", Release = "release", Rename = "rename", Repeatable = "repeatable",
        Replace = "replace", Replica = "replica", Reset = "reset", Restart = "restart", Restrict = "restrict",
        Return = "return", Returns = "returns", Revoke = "revoke", Role = "role", Rollback = "rollback",
        Rollup = "rollup", Routine = "routine", Routines = "routines", Rows = "rows", Rule = "rule",
        Savepoint = "savepoint", Schema = "schema", Schemas = "schemas", Scroll = "scroll", Search = "search",
        Second = "second" needs_as, Security = "security", Sequence = "sequence", Sequences = "sequences",
        Serializable = "serializable", Server = "server", Session = "session", Set = "set", Sets = "sets",
        Share = "share", Show = "show", Simple = "simple", Skip = "skip", Snapshot = "snapshot", Sql = "sql",
        Stable = "stable", Standalone = "standalone", Start = "start", Statement = "statement",
        Statistics = "statistics", Stdin = "stdin", Stdout = "stdout", Storage = "storage", Stored = "stored",
        Strict = "strict", Strip = "strip", Subscription = "subscription", Support = "support", Sysid = "sysid",
        System = "system", Tables = "tables", Tablespace = "tablespace", Temp = "temp", Template = "template",
        Temporary = "temporary", Text = "text", Ties = "ties", Transaction = "transaction", Transform = "transform",
        Trigger = "trigger", Truncate = "truncate", Trusted = "trusted", Type = "type", Types = "types",
        Uescape = "uescape", Unbounded = "unbounded", Uncommitted = "uncommitted", Unencrypted = "unencrypted",
        Unknown = "unknown", Unlisten = "unlisten", Unlogged = "unlogged", Until = "until", Update = "update",
        Vacuum = "vacuum", Valid = "valid", Validate = "validate", Validator = "validator", Value = "value",
        Varying = "varying" needs_as, Version = "version", View = "view", Views = "views", Volatile = "volatile",
        Whitespace = "whitespace", Within = "within" needs_as, Without = "without" needs_as, Work = "work",
        Wrapper = "wrapper", Write = "write", Xml = "xml", Year = "year" needs_as, Yes = "yes", Zone = "zone",
    }
    ColumnName {
        Between = "between", Bigint = "bigint", Bit = "bit", Boolean = "boolean", Char = "char" needs_as,
        Character = "character" needs_as, Coalesce = "coalesce", Dec = "dec", Decimal = "decimal", Exists = "exists",
        Extract = "extract", Float = "float", Greatest = "greatest", Grouping = "grouping", Inout = "inout",
        Int = "int", Integer = "integer", Interval = "interval", Least = "least", National = "national",
        Nchar = "nchar", None = "none", Normalize = "normalize", Nullif = "nullif", Numeric = "numeric", Out = "out",
        Overlay = "overlay", Position = "position", Precision = "precision" needs_as, Real = "real", Row = "row",
        Setof = "setof", Smallint = "smallint", Substring = "substring", Time = "time", Timestamp = "timestamp",
        Treat = "treat", Trim = "trim", Values = "values", Varchar = "varchar", Xmlattributes = "xmlattributes",
        Xmlconcat = "xmlconcat", Xmlelement = "xmlelement", Xmlexists = "xmlexists", Xmlforest = "xmlforest",
        Xmlnamespaces = "xmlnamespaces", Xmlparse = "xmlparse", Xmlpi = "xmlpi", Xmlroot = "xmlroot",
        Xmlserialize = "xmlserialize", Xmltable = "xmltable",
    }
    TypeOrFunction {
        Authorization = "authorization", Binary = "binary", Collation = "collation", Concurrently = "concurrently",
        Cross = "cross", CurrentSchema = "current_schema", Freeze = "freeze", Full = "full", Ilike = "ilike",
        Inner = "inner", Is = "is", Isnull = "isnull" needs_as, Join = "join", Left = "left", Like = "like",
        Natural = "natural", Notnull = "notnull" needs_as, Outer = "outer", Overlaps = "overlaps" needs_as,
        Right = "right", Similar = "similar", Tablesample = "tablesample", Verbose = "verbose",
    }
    Reserved {
        All = "all", Analyse = "analyse", Analyze = "analyze", And = "and", Any = "any", Array = "array" needs_as,
        As = "as" needs_as, Asc = "asc", Asymmetric = "asymmetric", Both = "both", Case = "case", Cast = "cast",
        Check = "check", Collate = "collate", Column = "column", Constraint = "constraint",
        Create = "create" needs_as, CurrentCatalog = "current_catalog", CurrentDate = "current_date",
        CurrentRole = "current_role", CurrentTime = "current_time", CurrentTimestamp = "current_timestamp",
        CurrentUser = "current_user", Default = "default", Deferrable = "deferrable", Desc = "desc",
        Distinct = "distinct", Do = "do", Else = "else", End = "end", Except = "except" needs_as, False = "false",
        Fetch = "fetch" needs_as, For = "for" needs_as, Foreign = "foreign", From = "from" needs_as,
        Grant = "grant" needs_as, Group = "group" needs_as, Having = "having" needs_as, In = "in",
        Initially = "initially", Intersect = "intersect" needs_as, Into = "into" needs_as, Lateral = "lateral",
        Leading = "leading", Limit = "limit" needs_as, Localtime = "localtime", Localtimestamp = "localtimestamp",
        Not = "not", Null = "null", Offset = "offset" needs_as, On = "on" needs_as, Only = "only", Or = "or",
        Order = "order" needs_as, Placing = "placing", Primary = "primary", References = "references",
        Returning = "returning" needs_as, Select = "select", SessionUser = "session_user", Some = "some",
        Symmetric = "symmetric", Table = "table", Then = "then", To = "to" needs_as, Trailing = "trailing",
        True = "true", Union = "union" needs_as, Unique = "unique", User = "user", Using = "using",
        Variadic = "variadic", When = "when", Where = "where" needs_as, Window = "window" needs_as,
        With = "with" needs_as,
    }
}

static BY_TEXT: LazyLock<HashMap<&'static str, Kw, FixedState>> = LazyLock::new(|| {
    let mut map = HashMap::with_capacity_and_hasher(Kw::ALL.len(), FixedState::default());
    map.extend(Kw::ALL.iter().copied());
    map
});

/// The key word that `word` is, in whatever case.
pub fn lookup(word: &str) -> Option<Kw> {
    const LONGEST: usize = 17;
    if word.len() > LONGEST {
        return None;
    }
    let mut lower = [0; LONGEST];
    let lower = &mut lower[..word.len()];
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    BY_TEXT.get(std::str::from_utf8(lower).ok()?).copied()
}

/// All of them, for `pg_get_keywords()`.
pub fn all() -> impl Iterator<Item = (&'static str, Category, bool)> {
    Kw::ALL.iter().map(|&(text, keyword)| (text, keyword.category(), keyword.is_bare_label()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looked_up_in_any_case() {
        assert_eq!(lookup("SeLeCt"), Some(Kw::Select));
        assert_eq!(lookup("current_timestamp"), Some(Kw::CurrentTimestamp));
        assert_eq!(lookup("selects"), None);
        assert!(Kw::ALL.iter().all(|&(text, keyword)| lookup(text) == Some(keyword)), "LONGEST is too short");
        assert!(!Kw::Year.is_bare_label() && Kw::Select.is_bare_label());
    }
}
