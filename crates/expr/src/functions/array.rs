//! array functions.

use super::native::Table;

pub(super) const FUNCTIONS: &[Table] = &[];

/// Puts arrays of one shape together into one with a dimension more.
pub(crate) fn nest_arrays(element: crate::SqlType, values: Vec<crate::Datum>) -> crate::EvalResult<crate::Datum> {
    use crate::{ArrayValue, Datum, EvalError};
    let mismatch =
        || EvalError::new("2202E", "multidimensional arrays must have array expressions with matching dimensions");
    let mut inner: Option<Vec<(i32, i32)>> = None;
    let (mut elements, mut count) = (Vec::new(), 0);
    for value in values {
        let Datum::Array(array) = value else {
            // A NULL among arrays is passed over, as long as there is nothing else of another shape.
            continue;
        };
        match &inner {
            None => inner = Some(array.dimensions.clone()),
            Some(first) if *first != array.dimensions => return Err(mismatch()),
            Some(_) => {}
        }
        count += 1;
        elements.extend(array.elements.iter().cloned());
    }
    let inner = inner.unwrap_or_default();
    if elements.is_empty() {
        return Ok(crate::io::array_from_elements(element, Vec::new()));
    }
    if inner.len() + 1 > crate::io::DIMENSIONS_MAX {
        return Err(crate::io::too_many_dimensions(inner.len() + 1));
    }
    let dimensions = std::iter::once((count, 1)).chain(inner).collect();
    Ok(Datum::Array(std::sync::Arc::new(ArrayValue { element, dimensions, elements })))
}
