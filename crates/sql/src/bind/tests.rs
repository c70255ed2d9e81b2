//! Tests are in `crates/sql/tests`.
