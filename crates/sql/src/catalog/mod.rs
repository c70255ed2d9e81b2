//! What there is: databases, schemas, tables, their columns, indexes and constraints.
//!
//! The catalog is rows in the system range, read and written by ordinary transactions. A [`Catalog`] is a
//! decoded snapshot of it at one version, shared by all sessions of a node; every answer of the oracle says
//! which version holds, so that no message is needed to know whether the snapshot at hand is the right one.

mod descriptor;

pub use descriptor::*;
