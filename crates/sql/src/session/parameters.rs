//! Parameter values as Bind brings them.

use bytes::Bytes;
use expr::{Datum, EvalContext, SqlType};

use crate::{SqlError, SqlResult};

/// Format 0 is text, 1 is binary.
pub(super) fn read_parameter(
    at: usize,
    bytes: &Bytes,
    format: i16,
    ty: SqlType,
    eval: &EvalContext<'_>,
) -> SqlResult<Datum> {
    let value = match format {
        0 => {
            let text = std::str::from_utf8(bytes).map_err(|error| not_utf8(bytes, error.valid_up_to()))?;
            if text.contains('\0') {
                return Err(SqlError::new("22021", "invalid byte sequence for encoding \"UTF8\": 0x00"));
            }
            Datum::parse(text, ty.base(), eval)?
        }
        1 => Datum::from_binary(bytes, ty.base(), eval).map_err(|error| with_parameter(error.into(), at))?,
        other => return Err(SqlError::new("22023", format!("unsupported format code: {other}"))),
    };
    Ok(value)
}

fn with_parameter(mut error: SqlError, at: usize) -> SqlError {
    if error.state() == "22P03" && error.0.message == "incorrect binary data format" {
        error.0.message = format!("incorrect binary data format in bind parameter {}", at + 1);
    }
    error
}

/// 22021, naming the bytes as PostgreSQL does.
pub(super) fn not_utf8(bytes: &[u8], valid_up_to: usize) -> SqlError {
    let wrong: Vec<String> = bytes[valid_up_to..].iter().take(4).map(|byte| format!("0x{byte:02x}")).collect();
    SqlError::new("22021", format!("invalid byte sequence for encoding \"UTF8\": {}", wrong.join(" ")))
}
