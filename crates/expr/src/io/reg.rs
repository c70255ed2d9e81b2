//! The types whose values are OIDs with a name: regtype, regproc, regclass and their kin.

use crate::functions;
use crate::types::{self, parse_name};
use crate::{EvalContext, EvalError, EvalResult, FunctionId, Oid, SqlType};

pub(super) fn is_reg_type(ty: SqlType) -> bool {
    use SqlType as T;
    matches!(
        ty,
        T::REGPROC
            | T::REGPROCEDURE
            | T::REGOPER
            | T::REGOPERATOR
            | T::REGCLASS
            | T::REGTYPE
            | T::REGNAMESPACE
            | T::REGROLE
            | T::REGCONFIG
            | T::REGDICTIONARY
            | T::REGCOLLATION
    )
}

/// A number is taken as it is, `-` is 0; all else is a name that must exist.
pub(super) fn parse(text: &str, ty: SqlType, ctx: &EvalContext<'_>) -> EvalResult<u32> {
    if text == "-" {
        return Ok(0);
    }
    if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        return super::number::parse_oid(text, SqlType::OID);
    }
    if let Some(oid) = built_in(text, ty)? {
        return Ok(oid);
    }
    ctx.environment.oid_of_name(ty, text)?.ok_or_else(|| missing(text, ty))
}

fn missing(text: &str, ty: SqlType) -> EvalError {
    let (state, what) = match ty {
        SqlType::REGCLASS => ("42P01", "relation"),
        SqlType::REGNAMESPACE => ("3F000", "schema"),
        SqlType::REGROLE => ("42704", "role"),
        SqlType::REGPROC | SqlType::REGPROCEDURE => ("42883", "function"),
        SqlType::REGTYPE => ("42704", "type"),
        SqlType::REGCOLLATION => ("42704", "collation"),
        SqlType::REGOPER | SqlType::REGOPERATOR => {
            return EvalError::new("42883", format!("operator does not exist: {text}"));
        }
        _ => ("42704", "object"),
    };
    EvalError::new(state, format!("{what} \"{text}\" does not exist"))
}

/// Names from the tables of this crate.
fn built_in(text: &str, ty: SqlType) -> EvalResult<Option<u32>> {
    let name = text.strip_prefix("pg_catalog.").unwrap_or(text);
    match ty {
        SqlType::REGTYPE => match parse_name(text) {
            Ok(ty) => Ok(Some(ty.oid.0)),
            // The session may know it.
            Err(error) if error.0.state.as_str() == "42704" => Ok(None),
            Err(error) => Err(error),
        },
        SqlType::REGPROC => match functions::by_name(&name.to_lowercase()) {
            [] => Ok(None),
            [only] => Ok(Some(only.id.0)),
            _ => Err(EvalError::new("42725", format!("more than one function named \"{text}\""))),
        },
        SqlType::REGPROCEDURE => Ok(procedure(name)),
        SqlType::REGCOLLATION => Ok(match name {
            "\"default\"" => Some(100),
            "\"C\"" => Some(950),
            "\"POSIX\"" => Some(951),
            _ => None,
        }),
        _ => Ok(None),
    }
}

/// `name(type, type)`.
fn procedure(text: &str) -> Option<u32> {
    let (name, args) = text.strip_suffix(')')?.split_once('(')?;
    let types: Option<Vec<Oid>> = match args.trim() {
        "" => Some(Vec::new()),
        list => list.split(',').map(|arg| parse_name(arg).ok().map(|ty| ty.oid)).collect(),
    };
    let types = types?;
    functions::by_name(&name.trim().to_lowercase()).iter().find(|f| *f.args == *types).map(|f| f.id.0)
}

pub(super) fn write(out: &mut String, oid: u32, ty: SqlType, ctx: &EvalContext<'_>) {
    let base = ty.base();
    if !is_reg_type(base) {
        return super::number::write_int(out, i64::from(oid));
    }
    if oid == 0 {
        return out.push('-');
    }
    match built_in_name(oid, base).or_else(|| ctx.environment.name_of_oid(base, oid)) {
        Some(name) => out.push_str(&name),
        None => super::number::write_int(out, i64::from(oid)),
    }
}

fn built_in_name(oid: u32, ty: SqlType) -> Option<String> {
    match ty {
        SqlType::REGTYPE => types::by_oid(Oid(oid)).map(|_| types::format_type_be(Oid(oid))),
        SqlType::REGPROC => functions::by_id(FunctionId(oid)).map(|f| quote_identifier(f.name)),
        SqlType::REGPROCEDURE => functions::by_id(FunctionId(oid)).map(|f| {
            let args: Vec<String> = f.args.iter().map(|arg| types::format_type_be(*arg)).collect();
            format!("{}({})", quote_identifier(f.name), args.join(","))
        }),
        SqlType::REGCOLLATION => match oid {
            100 => Some("\"default\"".to_owned()),
            950 => Some("\"C\"".to_owned()),
            951 => Some("\"POSIX\"".to_owned()),
            _ => None,
        },
        _ => None,
    }
}

/// As `quote_ident`: in quotes unless it is a plain lower-case name that is no reserved word.
pub(crate) fn quote_identifier(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && RESERVED.binary_search(&name).is_err();
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// PostgreSQL's key words that are not unreserved, sorted.
const RESERVED: [&str; 151] = [
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "between",
    "bigint",
    "binary",
    "bit",
    "boolean",
    "both",
    "case",
    "cast",
    "char",
    "character",
    "check",
    "coalesce",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "dec",
    "decimal",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "exists",
    "extract",
    "false",
    "fetch",
    "float",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "greatest",
    "group",
    "grouping",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "inout",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "least",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "national",
    "natural",
    "nchar",
    "none",
    "normalize",
    "not",
    "notnull",
    "null",
    "nullif",
    "numeric",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "out",
    "outer",
    "overlaps",
    "overlay",
    "placing",
    "position",
    "precision",
    "primary",
    "real",
    "references",
    "returning",
    "right",
    "row",
    "select",
    "session_user",
    "setof",
    "similar",
    "smallint",
    "some",
    "substring",
    "symmetric",
    "table",
    "tablesample",
    "then",
    "time",
    "timestamp",
    "to",
    "trailing",
    "treat",
    "trim",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "varchar",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
    "xmlattributes",
    "xmlconcat",
    "xmlelement",
    "xmlexists",
    "xmlforest",
    "xmlnamespaces",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmltable",
];

#[cfg(test)]
mod tests {
    #[test]
    fn the_key_words_are_sorted() {
        assert!(super::RESERVED.is_sorted());
    }
}
