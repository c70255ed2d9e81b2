//! The binary forms of the wire protocol: PostgreSQL's send and receive functions.

use std::sync::Arc;

use super::array::{DIMENSIONS_MAX, too_many_dimensions};
use super::unsupported_type;
use crate::datetime::{DAY, check_date, check_timestamp};
use crate::{ArrayValue, Datum, EvalContext, EvalError, EvalResult, Interval, Jsonb, Numeric, Oid, SqlType};

const NUMERIC_NEGATIVE: u16 = 0x4000;
const NUMERIC_NAN: u16 = 0xc000;
const NUMERIC_INFINITY: u16 = 0xd000;
const NUMERIC_NEG_INFINITY: u16 = 0xf000;

impl Datum {
    /// Appends the binary form. NULL has none: nothing is appended.
    pub fn to_binary(&self, ty: SqlType, ctx: &EvalContext<'_>, out: &mut Vec<u8>) -> EvalResult<()> {
        match self {
            Datum::Null => {}
            Datum::Bool(value) => out.push(u8::from(*value)),
            Datum::Int2(value) => out.extend_from_slice(&value.to_be_bytes()),
            Datum::Int4(value) => out.extend_from_slice(&value.to_be_bytes()),
            Datum::Int8(value) => out.extend_from_slice(&value.to_be_bytes()),
            Datum::Float4(value) => out.extend_from_slice(&value.to_be_bytes()),
            Datum::Float8(value) => out.extend_from_slice(&value.to_be_bytes()),
            Datum::Numeric(value) => write_numeric(out, value),
            Datum::Text(text) => out.extend_from_slice(text.as_bytes()),
            Datum::Bytea(bytes) => out.extend_from_slice(bytes),
            Datum::Date(date) => out.extend_from_slice(&date.to_be_bytes()),
            Datum::Time(time) => out.extend_from_slice(&time.to_be_bytes()),
            Datum::TimeTz(time, zone) => {
                out.extend_from_slice(&time.to_be_bytes());
                out.extend_from_slice(&zone.to_be_bytes());
            }
            Datum::Timestamp(value) | Datum::TimestampTz(value) => out.extend_from_slice(&value.to_be_bytes()),
            Datum::Interval(interval) => {
                out.extend_from_slice(&interval.micros.to_be_bytes());
                out.extend_from_slice(&interval.days.to_be_bytes());
                out.extend_from_slice(&interval.months.to_be_bytes());
            }
            Datum::Uuid(bytes) => out.extend_from_slice(bytes),
            Datum::Oid(oid) => out.extend_from_slice(&oid.to_be_bytes()),
            Datum::Jsonb(document) => {
                out.push(1);
                out.extend_from_slice(document.to_string().as_bytes());
            }
            Datum::Array(array) => write_array(out, array, ctx)?,
            Datum::Record(fields) => {
                out.extend_from_slice(&(fields.len() as i32).to_be_bytes());
                for field in fields.iter() {
                    let ty = field.natural_type();
                    let ty = if ty == SqlType::UNKNOWN { SqlType::TEXT } else { ty };
                    out.extend_from_slice(&ty.oid.0.to_be_bytes());
                    write_sized(out, field, ty, ctx)?;
                }
            }
        }
        let _ = ty;
        Ok(())
    }

    /// Reads the binary form of a value that is not NULL. 22P03 or 08P01 where it is not one.
    pub fn from_binary(bytes: &[u8], ty: SqlType, ctx: &EvalContext<'_>) -> EvalResult<Datum> {
        let mut input = Input(bytes);
        let datum = read(&mut input, ty, ctx)?;
        if input.0.is_empty() { Ok(datum) } else { Err(incorrect_format()) }
    }
}

fn write_sized(out: &mut Vec<u8>, value: &Datum, ty: SqlType, ctx: &EvalContext<'_>) -> EvalResult<()> {
    if value.is_null() {
        out.extend_from_slice(&(-1_i32).to_be_bytes());
        return Ok(());
    }
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    value.to_binary(ty, ctx, out)?;
    let len =
        i32::try_from(out.len() - at - 4).map_err(|_| EvalError::new("54000", "value is too long for the wire"))?;
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
    Ok(())
}

fn write_array(out: &mut Vec<u8>, array: &ArrayValue, ctx: &EvalContext<'_>) -> EvalResult<()> {
    out.extend_from_slice(&(array.dimensions.len() as i32).to_be_bytes());
    out.extend_from_slice(&i32::from(array.elements.iter().any(Datum::is_null)).to_be_bytes());
    out.extend_from_slice(&array.element.oid.0.to_be_bytes());
    for (length, lower) in &array.dimensions {
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&lower.to_be_bytes());
    }
    array.elements.iter().try_for_each(|element| write_sized(out, element, array.element, ctx))
}

fn write_numeric(out: &mut Vec<u8>, value: &Numeric) {
    let header = |out: &mut Vec<u8>, count: u16, weight: i16, sign: u16, scale: u16| {
        out.extend_from_slice(&count.to_be_bytes());
        out.extend_from_slice(&weight.to_be_bytes());
        out.extend_from_slice(&sign.to_be_bytes());
        out.extend_from_slice(&scale.to_be_bytes());
    };
    let scale = value.scale().unwrap_or(0) as u16;
    let finite = value.with_digits(|negative, weight, digits| {
        header(out, digits.len() as u16, weight as i16, if negative { NUMERIC_NEGATIVE } else { 0 }, scale);
        digits.iter().for_each(|digit| out.extend_from_slice(&digit.to_be_bytes()));
    });
    if finite.is_none() {
        let sign = if value.is_nan() {
            NUMERIC_NAN
        } else if value.signum() > 0 {
            NUMERIC_INFINITY
        } else {
            NUMERIC_NEG_INFINITY
        };
        header(out, 0, 0, sign, 0);
    }
}

/// What is left to be read.
struct Input<'a>(&'a [u8]);

fn insufficient() -> EvalError {
    EvalError::new("08P01", "insufficient data left in message")
}

fn incorrect_format() -> EvalError {
    EvalError::new("22P03", "incorrect binary data format")
}

fn invalid(what: &str) -> EvalError {
    EvalError::new("22P03", what)
}

impl<'a> Input<'a> {
    fn take<const N: usize>(&mut self) -> EvalResult<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk().ok_or_else(insufficient)?;
        self.0 = rest;
        Ok(*head)
    }

    fn i32(&mut self) -> EvalResult<i32> {
        self.take().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> EvalResult<i64> {
        self.take().map(i64::from_be_bytes)
    }

    fn u16(&mut self) -> EvalResult<u16> {
        self.take().map(u16::from_be_bytes)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn text(&mut self) -> EvalResult<&'a str> {
        let bytes = self.rest();
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let at = error.valid_up_to();
            let shown: Vec<String> = bytes[at..].iter().take(4).map(|b| format!("0x{b:02x}")).collect();
            EvalError::new("22021", format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" ")))
        })?;
        if text.contains('\0') {
            return Err(EvalError::new("22021", "invalid byte sequence for encoding \"UTF8\": 0x00"));
        }
        Ok(text)
    }

    /// A length and so many bytes; -1 is NULL.
    fn sized(&mut self, ty: SqlType, ctx: &EvalContext<'_>) -> EvalResult<Datum> {
        let len = self.i32()?;
        if len == -1 {
            return Ok(Datum::Null);
        }
        let len = usize::try_from(len).map_err(|_| insufficient())?;
        if len > self.0.len() {
            return Err(insufficient());
        }
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        Datum::from_binary(bytes, ty, ctx)
    }
}

fn read(input: &mut Input<'_>, ty: SqlType, ctx: &EvalContext<'_>) -> EvalResult<Datum> {
    Ok(match ty.base() {
        SqlType::BOOL => Datum::Bool(input.take::<1>()? != [0]),
        SqlType::INT2 => Datum::Int2(i16::from_be_bytes(input.take()?)),
        SqlType::INT4 => Datum::Int4(input.i32()?),
        SqlType::INT8 => Datum::Int8(input.i64()?),
        SqlType::FLOAT4 => Datum::Float4(f32::from_be_bytes(input.take()?)),
        SqlType::FLOAT8 => Datum::Float8(f64::from_be_bytes(input.take()?)),
        SqlType::NUMERIC => Datum::Numeric(read_numeric(input)?.apply_typmod(ty.typmod)?),
        SqlType::BYTEA => Datum::Bytea(input.rest().to_vec().into()),
        SqlType::DATE => {
            Datum::Date(check_date(input.i32()?).ok_or_else(|| EvalError::new("22008", "date out of range"))?)
        }
        SqlType::TIME => Datum::Time(read_time(input)?),
        SqlType::TIMETZ => {
            let (time, zone) = (read_time(input)?, input.i32()?);
            if zone.abs() >= 16 * 3600 {
                return Err(EvalError::new("22009", "time zone displacement out of range"));
            }
            Datum::TimeTz(time, zone)
        }
        SqlType::TIMESTAMP => Datum::Timestamp(read_timestamp(input, ty)?),
        SqlType::TIMESTAMPTZ => Datum::TimestampTz(read_timestamp(input, ty)?),
        SqlType::INTERVAL => {
            let (micros, days, months) = (input.i64()?, input.i32()?, input.i32()?);
            let interval = Interval { months, days, micros };
            Datum::Interval(Box::new(crate::datetime::arithmetic::adjust_interval(interval, ty.typmod)?))
        }
        SqlType::UUID => Datum::Uuid(input.take()?),
        SqlType::OID | SqlType::XID | SqlType::CID => Datum::Oid(u32::from_be_bytes(input.take()?)),
        SqlType::JSONB => {
            if input.take::<1>()? != [1] {
                return Err(invalid("unsupported jsonb version number"));
            }
            Datum::Jsonb(Jsonb::parse(input.text()?)?.into())
        }
        SqlType::RECORD => read_record(input, ctx)?,
        SqlType::VOID => Datum::text(""),
        base if super::reg::is_reg_type(base) => Datum::Oid(u32::from_be_bytes(input.take()?)),
        base if base.entry().is_some_and(|entry| entry.is_array()) => read_array(input, ty, ctx)?,
        // Types whose binary form is their text.
        base if base.is_string() || is_text(base) => return Datum::parse(input.text()?, ty, ctx),
        base => return Err(unsupported_type(base)),
    })
}

fn is_text(ty: SqlType) -> bool {
    matches!(ty, SqlType::JSON | SqlType::XML | SqlType::UNKNOWN | SqlType::CSTRING | SqlType::CHAR | SqlType::ACLITEM)
}

fn read_time(input: &mut Input<'_>) -> EvalResult<i64> {
    let time = input.i64()?;
    if (0..=DAY).contains(&time) { Ok(time) } else { Err(EvalError::new("22008", "time out of range")) }
}

fn read_timestamp(input: &mut Input<'_>, ty: SqlType) -> EvalResult<i64> {
    let value = check_timestamp(input.i64()?).ok_or_else(crate::datetime::timestamp_out_of_range)?;
    Ok(crate::datetime::arithmetic::round_timestamp(value, ty.typmod))
}

fn read_numeric(input: &mut Input<'_>) -> EvalResult<Numeric> {
    let (count, weight, sign, scale) = (input.u16()?, input.u16()? as i16, input.u16()?, input.u16()?);
    match sign {
        NUMERIC_NAN => return Ok(Numeric::NAN),
        NUMERIC_INFINITY => return Ok(Numeric::INFINITY),
        NUMERIC_NEG_INFINITY => return Ok(Numeric::NEG_INFINITY),
        0 | NUMERIC_NEGATIVE => {}
        _ => return Err(invalid("invalid sign in external \"numeric\" value")),
    }
    if scale > 0x3fff {
        return Err(invalid("invalid scale in external \"numeric\" value"));
    }
    if usize::from(count) * 2 > input.0.len() {
        return Err(insufficient());
    }
    let digits = (0..count).map(|_| input.u16()).collect::<EvalResult<Vec<u16>>>()?;
    if digits.iter().any(|digit| *digit > 9999) {
        return Err(invalid("invalid digit in external \"numeric\" value"));
    }
    Numeric::from_parts(sign == NUMERIC_NEGATIVE, i32::from(weight), &digits, i32::from(scale))
}

fn read_array(input: &mut Input<'_>, ty: SqlType, ctx: &EvalContext<'_>) -> EvalResult<Datum> {
    let wanted = ty.element().unwrap_or(SqlType::TEXT);
    let (count, has_null, element) = (input.i32()?, input.i32()?, Oid(input.i32()? as u32));
    let count = usize::try_from(count).map_err(|_| invalid("invalid number of dimensions"))?;
    if count > DIMENSIONS_MAX {
        return Err(too_many_dimensions(count));
    }
    if !(0..=1).contains(&has_null) {
        return Err(invalid("invalid array flags"));
    }
    if element != wanted.oid {
        let message = format!(
            "binary data has array element type {element} ({}) instead of expected {} ({})",
            crate::types::format_type_be(element),
            wanted.oid,
            wanted.base()
        );
        return Err(EvalError::new("42804", message));
    }
    let dimensions = (0..count).map(|_| Ok((input.i32()?, input.i32()?))).collect::<EvalResult<Vec<_>>>()?;
    let total = dimensions.iter().try_fold(1_usize, |total, (length, lower)| {
        lower.checked_add(*length)?;
        total.checked_mul(usize::try_from(*length).ok()?)
    });
    let total = if count == 0 { 0 } else { total.ok_or_else(super::array::too_large)? };
    // Each element has four bytes at least: a message that is too short is found out before memory is taken.
    if total > input.0.len() / 4 {
        return Err(insufficient());
    }
    let element = SqlType { oid: element, typmod: ty.typmod };
    let elements = (0..total).map(|_| input.sized(element, ctx)).collect::<EvalResult<Vec<_>>>()?;
    let dimensions = if elements.is_empty() { Vec::new() } else { dimensions };
    Ok(Datum::Array(Arc::new(ArrayValue { element: element.base(), dimensions, elements })))
}

fn read_record(input: &mut Input<'_>, ctx: &EvalContext<'_>) -> EvalResult<Datum> {
    let count = usize::try_from(input.i32()?).map_err(|_| insufficient())?;
    if count > input.0.len() / 8 {
        return Err(insufficient());
    }
    let field = |_| {
        let ty = SqlType::from(Oid(input.i32()? as u32));
        input.sized(ty, ctx)
    };
    let fields = (0..count).map(field).collect::<EvalResult<Vec<_>>>()?;
    Ok(Datum::Record(fields.into()))
}
