//! What clients do while things go wrong, and what must hold for them.
//!
//! `bank`, `on_call`, `catalog` and `oracle` run in every seed and look all the time whether what they see can be. The others write down a
//! history, and `checker` judges it at the end ([`Recorder`]); a seed has one or two of them ([`Kind`]), and besides `families` or
//! `notices`, which look all the time, too.

mod bank;
mod catalog;
mod on_call;
mod oracle;

mod kind;
mod recorder;
mod rows;
mod shift;

mod append;
mod causal;
mod families;
mod g2;
mod long_fork;
mod monotonic;
mod notices;
mod register;
mod sequential;
mod set;
mod upsert;

use std::time::Duration;

pub use bank::Bank;
pub use catalog::Catalog;
pub use kind::Kind;
pub use on_call::OnCall;
pub use oracle::OracleWatch;
pub use recorder::Recorded;
pub use shift::Shift;

/// Time until a client tries again.
const RETRY: Duration = Duration::from_millis(100);
