//! How large ranges are: counted as they grow, and counted again where that can no longer be right.
//!
//! Every replica adds up what it applies ([`Applied::bytes`](crate::state::Applied)), all of them alike. Two things it
//! cannot see: how a split divides the sum (each side begins with half of it), and how long the values were that a
//! collection of garbage removes (the log names their keys). Whoever leads knows both, and puts the difference through
//! the log, as a register of the range:
//!
//! ```text
//!   "counted"    version 1 │ span version of the descriptor under which it was counted │ bytes 8 │ versions 8
//!                                                                    what to add, as signed numbers
//! ```
//!
//! A difference is what a snapshot of the engine has, less the sum in the same snapshot; entries in between change both
//! alike. So it is exact whenever it is applied, as long as no other difference is on its way: they are made one at a
//! time, and go with their term. A replica of a version that does not know the register keeps it as any other, and
//! is wrong about its size as it was before.
//!
//! A range whose register is missing, or speaks of an older span, has not been counted since it was last split.

use bytes::Bytes;
use keyspace::{Key, RangeId};
use rpc::{KvError, KvResult};

use crate::codec::{self, Reader, put_u64, put_varint};
use crate::command::{Body, RegisterChange};
use crate::evaluate::{Evaluation, engine_error};
use crate::leadership::Ticket;
use crate::load::Window;
use crate::log_loop::Input;
use crate::proposal::Held;
use crate::state::{self, Applied};
use crate::store::Store;
use mvcc::Measured;

/// The register of a difference.
pub const COUNTED: &[u8] = b"counted";

const VERSION: u8 = 1;

/// What is to be added to a range's size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// The span version of the range's epoch when all of it was last counted; zero if it never was.
    pub span: u64,
    pub bytes: i64,
    pub versions: i64,
}

impl Counted {
    pub fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        put_varint(&mut out, self.span);
        put_u64(&mut out, self.bytes.cast_unsigned());
        put_u64(&mut out, self.versions.cast_unsigned());
        out.into()
    }

    pub fn decode(bytes: Bytes) -> codec::Result<Counted> {
        let mut reader = Reader::new("a count", bytes);
        reader.version(VERSION)?;
        let counted = Counted {
            span: reader.varint()?,
            bytes: reader.u64()?.cast_signed(),
            versions: reader.u64()?.cast_signed(),
        };
        reader.end()?;
        Ok(counted)
    }

    pub fn add_to(&self, applied: &mut Applied) {
        applied.bytes = applied.bytes.saturating_add_signed(self.bytes);
        applied.versions = applied.versions.saturating_add_signed(self.versions);
    }
}

impl Store {
    /// Is the size of a range here true, or half of what was split?
    pub fn is_counted(&self, range: RangeId) -> KvResult<bool> {
        let Some(replica) = self.shared.replica(range) else { return Err(KvError::RangeNotFound { range }) };
        Ok(counted_under(&*self.shared.engine, range)? == replica.descriptor().epoch.span)
    }

    /// Counts a range that is led from here, and sees to it that all its replicas know.
    ///
    /// # Errors
    /// `NotLeader`, and what may happen to any write.
    pub async fn measure(&self, range: RangeId) -> KvResult<Measured> {
        measure(&self.led(range)?).await
    }

    /// What a range was asked for since the last call.
    pub fn take_load(&self, range: RangeId) -> Window {
        self.shared.replica(range).map(|replica| replica.load.take()).unwrap_or_default()
    }

    /// The first row at or above `at` of a range that is here, where it can be cut; `None` if that is no cut.
    pub fn row_at(&self, range: RangeId, at: &Key) -> KvResult<Option<Key>> {
        let replica = self.shared.replica(range).ok_or(KvError::RangeNotFound { range })?;
        let snapshot = self.shared.engine.snapshot();
        mvcc::row_at(&*snapshot, &replica.descriptor().span, at).map_err(engine_error)
    }

    pub(crate) fn led(&self, range: RangeId) -> KvResult<Evaluation<'_>> {
        let replica = self.shared.replica(range).ok_or(KvError::RangeNotFound { range })?;
        let epoch = replica.descriptor().epoch;
        Ok(Evaluation { shared: &self.shared, replica, from: self.shared.node, epoch })
    }
}

pub(crate) async fn measure(request: &Evaluation<'_>) -> KvResult<Measured> {
    let (range, shared) = (request.replica.range, request.shared);
    let ticket = request.admit().await?;
    let span = request.replica.descriptor().span.clone();
    let _one_difference_at_a_time = shared.counting.lock().await;
    let snapshot = shared.engine.snapshot();
    let applied = state::applied(&*snapshot, range).map_err(engine_error)?;
    let count = move || mvcc::measure(&*snapshot, &span);
    let measured = shared.env.blocking(count).await.map_err(engine_error)?;
    let difference = Counted {
        span: ticket.epoch.span,
        bytes: measured.bytes.cast_signed() - applied.bytes.cast_signed(),
        versions: measured.versions.cast_signed() - applied.versions.cast_signed(),
    };
    let is_news = difference.bytes != 0 || difference.versions != 0;
    if is_news || counted_under(&*shared.engine, range)? != ticket.epoch.span {
        put(request, &ticket, difference).await?;
    }
    Ok(measured)
}

fn counted_under(engine: &dyn storage::Engine, range: RangeId) -> KvResult<u64> {
    let register = state::register(engine, range, COUNTED).map_err(engine_error)?;
    let counted = register.map(Counted::decode).transpose().map_err(|error| engine_error(error.into()))?;
    Ok(counted.map_or(0, |counted| counted.span))
}

/// Values that a collection removed: their keys are in the log, their length is not.
pub(crate) async fn note_removed(request: &Evaluation<'_>, ticket: &Ticket, value_bytes: u64) -> KvResult<()> {
    let span = counted_under(&*request.shared.engine, request.replica.range)?;
    put(request, ticket, Counted { span, bytes: -value_bytes.cast_signed(), versions: 0 }).await
}

async fn put(request: &Evaluation<'_>, ticket: &Ticket, difference: Counted) -> KvResult<()> {
    let body = Body::Register { name: Bytes::from_static(COUNTED), change: RegisterChange::Put(difference.encode()) };
    request.send_proposal(ticket, body.encode(ticket.term, ticket.epoch), Held::default(), Input::Propose).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_come_back_and_do_not_go_below_zero() {
        let counted = Counted { span: 7, bytes: -500, versions: 3 };
        assert_eq!(Counted::decode(counted.encode()), Ok(counted));
        assert!(Counted::decode(counted.encode().slice(..5)).is_err());
        let mut applied = Applied { bytes: 400, versions: 1, ..Applied::default() };
        counted.add_to(&mut applied);
        assert_eq!((applied.bytes, applied.versions), (0, 4));
    }
}
