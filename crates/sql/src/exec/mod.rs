//! Operators that pull batches of rows.
