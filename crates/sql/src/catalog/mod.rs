//! What there is: databases, schemas, tables, their columns, indexes and constraints.
//!
//! The catalog is rows in the system range, read and written by ordinary transactions. A [`Catalog`] is a
//! decoded snapshot of it at one version, shared by all sessions of a node; every answer of the oracle says
//! which version holds, so that no message is needed to know whether the snapshot at hand is the right one.
//!
//! * [`descriptor`](TableDescriptor): what is known of each object; `format`, `record`: how it is written; [`rows`]: where.
//! * [`Catalog`]: the snapshot, with look-ups by name and OID; [`CatalogCache`]: a node's snapshots.
//! * [`UsedTables`]: what a transaction used, compared when it has to move to another number.
//! * [`bootstrap()`]: the first rows of a new cluster.
//! * [`pg`]: pg_catalog, information_schema and `cairn`; [`providers`]: who tells them what the catalog does not know.
//! * [`ddl`]: statements that change the catalog; [`sequence`]: the values of sequences.

mod bootstrap;
pub mod builtin;
mod cache;
pub mod ddl;
mod descriptor;
mod format;
mod guard;
pub mod pg;
pub mod providers;
pub mod quote;
mod record;
pub mod rows;
pub mod sequence;
mod snapshot;
#[cfg(test)]
pub(crate) mod testing;

pub use bootstrap::bootstrap;
pub use cache::CatalogCache;
pub use descriptor::*;
pub use format::{Descriptor, DescriptorKind};
pub use guard::{TableModes, TableUse, UsedTables};
pub use snapshot::{Catalog, Named, SearchPath};
