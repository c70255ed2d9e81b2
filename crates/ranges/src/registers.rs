//! Registers: named values of a range beside its data, changed through its log without a timestamp. The
//! oracle keeps its bound in one, the registry of nodes and the counters of ids live in others.
//!
//! A change names the term in which it was decided: a leader that does not know yet that it was deposed
//! changes nothing. Registers are changed and read by whoever *leads*, before the range is served: the
//! oracle cannot need a timestamp to start.

use bytes::Bytes;
use keyspace::{Key, RangeId, SYSTEM_RANGE, Timestamp, TxnId};
use rpc::{KvError, KvResult};
use tokio::sync::{oneshot, watch};

use crate::command::{Body, RegisterChange};
use crate::evaluate::engine_error;
use crate::log_loop::Input;
use crate::proposal::{Completion, Held, Proposal};
use crate::read_cache::Read;
use crate::state;
use crate::store::{Store, stopping};

/// What a key shows at the leader of its range right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyView {
    /// The newest version, deletions included.
    pub newest: Timestamp,
    pub writer: TxnId,
    /// Whose write is under way: an announcement, or an intent.
    pub pending: Option<TxnId>,
}

impl Store {
    /// The term in which this node leads the system range and has applied an entry of its own.
    pub fn system_term(&self) -> watch::Receiver<Option<u64>> {
        self.shared.system_term.subscribe()
    }

    /// A register as it is applied here. A leader has applied all that was ever acknowledged.
    pub fn register(&self, range: RangeId, name: &[u8]) -> KvResult<Option<Bytes>> {
        state::register(&*self.shared.engine, range, name).map_err(engine_error)
    }

    /// All registers of a range whose names begin with `prefix`, in order.
    pub fn registers(&self, range: RangeId, prefix: &[u8]) -> KvResult<Vec<(Bytes, Bytes)>> {
        let snapshot = self.shared.engine.snapshot();
        let all = state::registers(&*snapshot, range).map_err(engine_error)?;
        Ok(all.into_iter().filter(|(name, _)| name.starts_with(prefix)).collect())
    }

    /// The number in a register that [`Store::raise_register`] wrote; 0 if there is none.
    pub fn register_number(&self, range: RangeId, name: &[u8]) -> KvResult<u64> {
        let value = self.register(range, name)?;
        Ok(value.and_then(|value| value[..].try_into().ok()).map_or(0, u64::from_be_bytes))
    }

    /// Returns when the change is committed and applied.
    pub async fn put_register(&self, range: RangeId, term: u64, name: Bytes, value: Bytes) -> KvResult<()> {
        self.change_register(range, term, name, RegisterChange::Put(value)).await
    }

    /// Raises a number to at least `value`: a late entry does no harm.
    pub async fn raise_register(&self, range: RangeId, term: u64, name: Bytes, value: u64) -> KvResult<()> {
        self.change_register(range, term, name, RegisterChange::Maximum(value)).await
    }

    async fn change_register(&self, range: RangeId, term: u64, name: Bytes, change: RegisterChange) -> KvResult<()> {
        let replica = self.shared.replica(range).ok_or(KvError::RangeNotFound { range })?;
        if replica.leadership.view().leading_term() != Some(term) {
            return Err(replica.not_leader());
        }
        let epoch = replica.descriptor().epoch;
        let encoded = Body::Register { name, change }.encode(term, epoch);
        let (reply, applied) = oneshot::channel();
        let completion = Completion { held: Held::default(), reply };
        self.shared.send(Input::Propose(Proposal { range, term, epoch, encoded, completion }))?;
        applied.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Looks at one key of the system range, which this node leads. With `raise_to` the key is first marked as
    /// read at that number, as by any reader (rule 12): nothing can commit at or below it any more, unless it
    /// shows as pending.
    pub fn system_key(&self, key: &Key, raise_to: Option<Timestamp>) -> KvResult<KeyView> {
        let replica = self.shared.replica(SYSTEM_RANGE).ok_or(KvError::RangeNotFound { range: SYSTEM_RANGE })?;
        if !replica.leadership.view().leads {
            return Err(replica.not_leader());
        }
        if let Some(at) = raise_to {
            replica.cache.raise_point(key, Read { at, reader: None });
        }
        let env = &self.shared.env;
        let announced =
            replica.announcements.below(key, Timestamp::MAX, None, || env.now()).map(|waiting| waiting.writer);
        let pending = announced.or_else(|| replica.intents.get(key).map(|intent| intent.txn));
        let snapshot = self.shared.engine.snapshot();
        let head = mvcc::newest(&*snapshot, key).map_err(engine_error)?;
        Ok(KeyView {
            newest: head.map_or(Timestamp::ZERO, |head| head.at),
            writer: head.map_or(TxnId::default(), |head| head.writer),
            pending,
        })
    }
}
