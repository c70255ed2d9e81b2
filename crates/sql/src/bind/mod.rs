//! Names and types: from statements to plans.
