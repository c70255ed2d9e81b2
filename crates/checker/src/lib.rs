//! # Was that history possible?
//!
//! A database is judged by what its clients saw. Each client writes down what it asked for and what it was
//! told, with the order in time; a checker reads this [`History`] afterwards and says which promises it breaks,
//! and shows the transactions that break them. It knows nothing of the database: the same code judges the
//! simulator's runs, real clusters and other databases.
//!
//! ```text
//!   clients ──► History ──► check ──► Verdict          anomalies by name, each with an explanation
//!                  │          ▲
//!                  └─► file ──┘                        a run that failed can be judged again
//! ```
//!
//! ## What a client may say
//! Every operation is *invoked*, and later it is one of
//! * `ok`: acknowledged; its effects are there and what it read was so;
//! * `fail`: surely nothing of it happened, and nothing will;
//! * `info`: nobody knows. It may take effect at any time from its begin on, or never. Its process is never heard of again:
//!   who goes on does so under a new number.
//!
//! To call an `info` a `fail` accuses the innocent; to call a `fail` an `info` only sees less.
//!
//! ## The checkers
//!
//! | module | what clients do | what must hold |
//! | --- | --- | --- |
//! | [`append`] | transactions of reads of lists and appends to them | strict serializability, and each weaker level |
//! | [`register`] | reads, writes and compare-and-set of single keys | linearizability |
//! | [`bank`] | transfers, reads of all accounts | every read adds up |
//! | [`set`] | inserts, reads of everything | what was acknowledged or seen once is seen from then on |
//! | [`long_fork`] | single writes, reads of several keys | all readers see the writes in one order |
//! | [`causal`] | blind inserts, reads of everything | who sees a write sees all that were acknowledged before it began |
//! | [`g2`] | two transactions look for rows and insert one if there are none | one of them at most |
//! | [`monotonic`] | inserts of the highest number plus one | numbers, time and transaction numbers agree; no reader goes back |
//! | [`sequential`] | writes one after the other, reads in the opposite order | no later write without the earlier ones |
//! | [`upsert`] | inserts of one unique key by many | one row, which counts everybody |
//!
//! [`index`] is none of them: it holds what an index leads to against the table, as one transaction sees both.
//!
//! All are near linear in the length of the history, but for [`register`], whose problem is NP-complete and which therefore
//! works key by key and gives up, with an honest "unknown", after a number of steps.

mod graph;
mod history;
mod judge;
mod text;
mod verdict;

pub mod append;
pub mod bank;
pub mod causal;
pub mod g2;
pub mod index;
pub mod load;
pub mod long_fork;
pub mod monotonic;
pub mod register;
pub mod sequential;
pub mod set;
pub mod upsert;

pub use history::{Call, Event, History, Kind, Malformed, Operation, Outcome, Process};
pub use judge::{Checked, judge_text};
pub use load::Load;
pub use text::BadText;
pub use verdict::{Anomaly, Counts, Level, Verdict};

type Map<K, V> = hashbrown::HashMap<K, V, foldhash::fast::FixedState>;
type Set<T> = hashbrown::HashSet<T, foldhash::fast::FixedState>;
