//! The statement's time, and what is asked of the session.

use super::native::{Table, TimestampTz, scalar};
use crate::{Datum, EvalError, EvalResult, SqlType};

pub(super) const FUNCTIONS: &[Table] = &[&[
    scalar!("now", |call; | TimestampTz(call.ctx.transaction_time)),
    scalar!("statement_timestamp", |call; | TimestampTz(call.ctx.statement_time)),
    scalar!("clock_timestamp", |call; | TimestampTz(call.ctx.environment.clock_time(call.ctx))),
    scalar!("drandom", |call; | (call.ctx.environment.random_u64()? >> 11) as f64 / (1_u64 << 53) as f64),
    scalar!("gen_random_uuid", |call; | {
        let environment = call.ctx.environment;
        random_uuid(environment.random_u64()?, environment.random_u64()?)
    }),
    ("pg_typeof", |call, _| Ok(Datum::Oid(call.arg_type(0).oid.0))),
    ("format_type", |call, args| Ok(format_type(call, args))),
    ("to_regtype", |call, args| to_reg(call, args, SqlType::REGTYPE)),
    ("to_regclass", |call, args| to_reg(call, args, SqlType::REGCLASS)),
    ("to_regproc", |call, args| to_reg(call, args, SqlType::REGPROC)),
    ("to_regprocedure", |call, args| to_reg(call, args, SqlType::REGPROCEDURE)),
    ("to_regoper", |call, args| to_reg(call, args, SqlType::REGOPER)),
    ("to_regoperator", |call, args| to_reg(call, args, SqlType::REGOPERATOR)),
    ("to_regnamespace", |call, args| to_reg(call, args, SqlType::REGNAMESPACE)),
    ("to_regrole", |call, args| to_reg(call, args, SqlType::REGROLE)),
    ("to_regcollation", |call, args| to_reg(call, args, SqlType::REGCOLLATION)),
    scalar!("PG_char_to_encoding", |name: &str| encoding_number(name)),
    scalar!("PG_encoding_to_char", |number: i32| {
        usize::try_from(number).ok().and_then(|at| ENCODINGS.get(at)).copied().unwrap_or("")
    }),
    scalar!("getdatabaseencoding", || "UTF8"),
    scalar!("pg_client_encoding", || "UTF8"),
]];

/// By PostgreSQL's numbers. Data are always UTF8; clients ask for the numbers of others.
const ENCODINGS: [&str; 42] = [
    "SQL_ASCII",
    "EUC_JP",
    "EUC_CN",
    "EUC_KR",
    "EUC_TW",
    "EUC_JIS_2004",
    "UTF8",
    "MULE_INTERNAL",
    "LATIN1",
    "LATIN2",
    "LATIN3",
    "LATIN4",
    "LATIN5",
    "LATIN6",
    "LATIN7",
    "LATIN8",
    "LATIN9",
    "LATIN10",
    "WIN1256",
    "WIN1258",
    "WIN866",
    "WIN874",
    "KOI8R",
    "WIN1251",
    "WIN1252",
    "ISO_8859_5",
    "ISO_8859_6",
    "ISO_8859_7",
    "ISO_8859_8",
    "WIN1250",
    "WIN1253",
    "WIN1254",
    "WIN1255",
    "WIN1257",
    "KOI8U",
    "SJIS",
    "BIG5",
    "GBK",
    "UHC",
    "GB18030",
    "JOHAB",
    "SHIFT_JIS_2004",
];

/// The number of an encoding, -1 where there is none of the name.
pub(super) fn encoding_number(name: &str) -> i32 {
    let plain = |name: &str| name.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "");
    let wanted = plain(name);
    if wanted == "unicode" {
        return 6;
    }
    ENCODINGS.iter().position(|have| plain(have) == wanted).map_or(-1, |at| at as i32)
}

/// Version 4 of RFC 4122.
fn random_uuid(high: u64, low: u64) -> [u8; 16] {
    let bits = u128::from(high) << 64 | u128::from(low);
    let versioned = bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    versioned.to_be_bytes()
}

fn format_type(call: &super::Call<'_>, args: &[&Datum]) -> Datum {
    let (Some(Datum::Oid(oid)), modifier) = (args.first(), args.get(1)) else { return Datum::Null };
    let typmod = match modifier {
        Some(Datum::Int4(typmod)) => Some(*typmod),
        _ => None,
    };
    let oid = crate::Oid(*oid);
    match crate::types::by_oid(oid) {
        None if oid.0 != 0 => {
            Datum::text(call.ctx.environment.format_type(SqlType { oid, typmod: typmod.unwrap_or(-1) }))
        }
        _ => Datum::text(crate::types::format_type(oid, typmod)),
    }
}

/// What the input function of the type makes of a name; NULL where there is no such thing.
fn to_reg(call: &super::Call<'_>, args: &[&Datum], ty: SqlType) -> EvalResult<Datum> {
    let [Datum::Text(name)] = args else { return Ok(Datum::Null) };
    if name.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(Datum::Null);
    }
    let missing = |error: &EvalError| matches!(error.0.state.as_str(), "42704" | "42P01" | "42883" | "3F000" | "42725");
    match Datum::parse(name, ty, call.ctx) {
        Err(error) if missing(&error) => Ok(Datum::Null),
        result => result,
    }
}
