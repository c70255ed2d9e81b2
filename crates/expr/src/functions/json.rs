//! json functions.

use super::native::Table;

pub(super) const FUNCTIONS: &[Table] = &[];
