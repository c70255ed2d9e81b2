//! One open transaction: its statements, savepoints and buffered writes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keyspace::{Key, Span, Timestamp, TxnId};
use parking_lot::Mutex;
use rpc::range::{LockMode, LockSpec, Waits};
use smallvec::SmallVec;

use crate::buffer::{Buffer, Write};
use crate::client::Client;
use crate::lock_set::LockSet;
use crate::owned::{AheadRows, Owned};
use crate::read_set::ReadSet;
use crate::scan::{Scan, ScanSpec};
use crate::{Conflict, Isolation, SchemaGuard, Stamp, TxnError, TxnResult, commit, release};

/// Numbers the statements (and commands within them) of a transaction: a read sees buffered writes with a smaller one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Above every sequence: sees all writes.
    pub(crate) const MAX: Sequence = Sequence(u64::MAX);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Savepoint(pub Sequence);

/// What a read sees of the transaction's own buffered writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visible {
    /// Those of earlier statements: ordinary reads (an UPDATE must not see its own rows again).
    EarlierStatements,
    /// All so far, this statement's included: uniqueness and foreign key checks.
    Everything,
}

/// One open transaction. All methods take `&self`: operators of one statement share it. Dropping it
/// without commit rolls it back in the background.
pub struct Transaction {
    core: Arc<Core>,
}

/// What a transaction, its scans and its background work share.
pub(crate) struct Core {
    pub client: Arc<Client>,
    pub id: TxnId,
    pub isolation: Isolation,
    pub read_only: bool,
    /// Reads in the past, outside of any transaction (rule 17).
    pub historic: bool,
    /// The transaction that these reads are done for, if it is another one.
    pub reads_for: Option<TxnId>,
    pub state: Mutex<State>,
}

pub(crate) struct State {
    /// What statements read at now.
    pub stamp: Stamp,
    /// The commit number may not be below this: the highest number at which a constraint was checked, or a version
    /// was seen under a lock.
    pub commit_floor: Timestamp,
    pub sequence: Sequence,
    /// The first sequence of the running statement.
    pub statement: Sequence,
    pub statements_begun: u64,
    savepoints: BTreeSet<Sequence>,
    /// What the scans that are open see of own writes: cursors outlive their statement.
    views: SmallVec<[Sequence; 4]>,
    pub buffer: Buffer,
    pub reads: ReadSet,
    /// Spans that nobody may have written to since this number, whatever the level; with the statement that says so.
    pub pins: Vec<(Sequence, Timestamp, Span)>,
    /// Where nobody else reads or writes; see [`Transaction::own`].
    pub owned: Owned,
    pub locks: LockSet,
    /// It is among the client's lockers.
    is_locker: bool,
    /// What its statements have waited so far.
    pub waits: Waits,
    /// How often statements had to run again.
    pub restarts: u64,
    pub lock_timeout: Option<Duration>,
    pub guard: Option<Arc<dyn SchemaGuard>>,
    /// The version key, when the transaction changes the catalog.
    pub catalog_change: Option<Key>,
    pub phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    /// A commit has begun and looks after everything from here on.
    Committing,
    /// Nothing is left to be done.
    Over,
}

impl State {
    pub fn new(stamp: Stamp, lock_timeout: Option<Duration>, buffer: Buffer) -> State {
        State {
            stamp,
            commit_floor: Timestamp::ZERO,
            sequence: Sequence(1),
            statement: Sequence(1),
            statements_begun: 0,
            savepoints: BTreeSet::new(),
            views: SmallVec::new(),
            buffer,
            reads: ReadSet::default(),
            pins: Vec::new(),
            owned: Owned::default(),
            locks: LockSet::default(),
            is_locker: false,
            waits: Waits::default(),
            restarts: 0,
            lock_timeout,
            guard: None,
            catalog_change: None,
            phase: Phase::Open,
        }
    }

    pub fn visible_below(&self, visible: Visible) -> Sequence {
        match visible {
            Visible::EarlierStatements => self.sequence,
            Visible::Everything => Sequence::MAX,
        }
    }

    fn next_sequence(&mut self) -> Sequence {
        self.sequence = Sequence(self.sequence.0 + 1);
        self.sequence
    }

    /// Versions of a buffered key below this that have a successor below it too are of no use to anybody.
    fn keep_from(&self) -> Sequence {
        let oldest = self.savepoints.first().into_iter().chain(&self.views).min();
        oldest.copied().unwrap_or(self.statement).min(self.statement)
    }

    /// A scan opens; answers with the sequence below which it sees own writes.
    pub fn open_view(&mut self, visible: Visible) -> Sequence {
        let below = self.visible_below(visible);
        self.views.push(below);
        below
    }

    pub fn close_view(&mut self, below: Sequence) {
        if let Some(at) = self.views.iter().position(|view| *view == below) {
            self.views.swap_remove(at);
        }
    }

    pub fn raise_commit_floor(&mut self, to: Timestamp) {
        self.commit_floor = self.commit_floor.max(to);
    }
}

impl Core {
    /// A request that locks in `span` is about to be sent.
    pub fn ask_for_locks_in(&self, span: Span) {
        let mut state = self.state.lock();
        state.locks.ask(span);
        self.may_lock(&mut state);
    }

    /// From now on whoever waits for a lock of this transaction learns that it is not over.
    pub fn may_lock(&self, state: &mut State) {
        if !std::mem::replace(&mut state.is_locker, true) {
            self.client.lockers.add(self.id);
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if self.state.get_mut().is_locker {
            self.client.lockers.remove(self.id);
        }
    }
}

impl Transaction {
    pub(crate) fn new(core: Arc<Core>) -> Transaction {
        Transaction { core }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub fn id(&self) -> TxnId {
        self.core.id
    }

    /// The number that statements read at now, with its catalog.
    pub fn stamp(&self) -> Stamp {
        self.core.state.lock().stamp
    }

    pub fn isolation(&self) -> Isolation {
        self.core.isolation
    }

    pub fn set_schema_guard(&self, guard: Arc<dyn SchemaGuard>) {
        self.core.state.lock().guard = Some(guard);
    }

    pub fn set_lock_timeout(&self, timeout: Option<Duration>) {
        self.core.state.lock().lock_timeout = timeout;
    }

    /// Starts a statement: a new sequence; under READ COMMITTED a fresh number (not for the first statement, whose
    /// number is that of `begin`).
    pub async fn begin_statement(&self) -> TxnResult<()> {
        let moves = {
            let mut state = self.core.state.lock();
            state.next_sequence();
            state.statement = state.sequence;
            state.statements_begun += 1;
            state.reads.begin_statement();
            self.core.isolation == Isolation::ReadCommitted && state.statements_begun > 1 && !self.core.historic
        };
        if moves { self.core.move_statement().await } else { Ok(()) }
    }

    /// After `StatementRestart`: drops what the statement wrote and read, moves to a fresh number, refreshes the reads of
    /// earlier statements (SERIALIZABLE), keeps the locks. `Serialization` if the level or a refresh forbids it.
    pub async fn restart_statement(&self) -> TxnResult<()> {
        self.core.client.metrics.statement_restarts.inc();
        {
            let mut state = self.core.state.lock();
            let (from, to) = (state.statement, state.sequence);
            state.restarts += 1;
            state.buffer.undo(from, to);
            state.reads.restart_statement();
            state.pins.retain(|(sequence, ..)| *sequence < from);
            state.locks.restart(from);
            state.savepoints.split_off(&from);
            state.next_sequence();
            state.statement = state.sequence;
        }
        match self.core.isolation {
            Isolation::ReadCommitted => self.core.move_statement().await,
            Isolation::Serializable => self.core.move_all().await,
            Isolation::RepeatableRead => Err(TxnError::serialization(Conflict::Overwritten, None, None)),
        }
    }

    /// Does it read in the past (`TxnOptions::as_of`)?
    pub fn is_historic(&self) -> bool {
        self.core.historic
    }

    /// The transaction has read nothing yet, whatever it has locked: it goes on at a fresh number as if it began now.
    pub async fn renew(&self) -> TxnResult<()> {
        self.core.move_statement().await
    }

    /// The next command of the same statement (triggers, CTEs that write) gets a sequence of its own.
    pub fn next_command(&self) -> Sequence {
        self.core.state.lock().next_sequence()
    }

    /// One value per key, in the order asked; one request per range. With `lock` also locks the keys that exist (or all:
    /// `LockSpec::absent_too`).
    ///
    /// `untracked` reads are constraint checks: they do not enter the refresh set, and they see what holds *now*, at a
    /// number fetched for them (rules 20 and 21); the transaction then commits above that number.
    pub async fn get_many(
        &self,
        keys: &[Key],
        lock: Option<LockSpec>,
        visible: Visible,
        untracked: bool,
    ) -> TxnResult<Vec<Option<Bytes>>> {
        self.core.get_many(keys, lock, visible, untracked).await
    }

    /// Pages of a scan in key order (or reverse), own writes merged in.
    pub fn scan(&self, spec: ScanSpec) -> Scan {
        Scan::new(self.core.clone(), spec)
    }

    /// Did an earlier statement, or an earlier command of this one, write in `span`? (May also say yes where it wrote nearby.)
    pub fn has_buffered_writes_in(&self, span: &Span) -> bool {
        let state = self.core.state.lock();
        state.buffer.may_show(span, state.sequence)
    }

    /// What is in `span` at the statement's number is what is in it at the commit, or the commit fails: at every level, as
    /// SERIALIZABLE has it for all reads. For schema changes that look at rows (a new index's backfill).
    pub fn pin(&self, span: Span) {
        let state = &mut *self.core.state.lock();
        state.pins.push((state.statement, state.stamp.at, span));
    }

    /// Nobody else can know of this span before the transaction has committed: the storage of a table that it creates,
    /// a new index. What is there is what the transaction has buffered, so reads in the span ask no range, and locks there
    /// are had for the asking.
    ///
    /// With `ahead` the commit may write what is in the span before anything else, as transactions of their own.
    pub fn own(&self, span: Span, ahead: Option<AheadRows>) {
        self.core.state.lock().owned.add(span, ahead);
    }

    /// Buffers a write: `None` deletes. `changes_key`: the row goes or a column of one of its keys changes (rule 20).
    pub fn put(&self, key: Key, value: Option<Bytes>, changes_key: bool) -> TxnResult<()> {
        self.write(key, Write { value, changes_key, must_be_absent: false })
    }

    /// Buffers a write that must not find a live version at commit, without having read it: fails the commit with `KeyExists`.
    pub fn put_new(&self, key: Key, value: Bytes) -> TxnResult<()> {
        self.write(key, Write { value: Some(value), changes_key: false, must_be_absent: true })
    }

    fn write(&self, key: Key, write: Write) -> TxnResult<()> {
        if self.core.read_only {
            return Err(TxnError::ReadOnly);
        }
        let state = &mut *self.core.state.lock();
        let (keep_from, runs) = (state.keep_from(), state.buffer.runs());
        state.buffer.put(key, write, state.sequence, keep_from)?;
        if state.buffer.runs() > runs {
            self.core.client.metrics.buffer_spills.inc();
        }
        Ok(())
    }

    /// Bytes the buffered writes take in memory.
    pub fn buffered_bytes(&self) -> usize {
        self.core.state.lock().buffer.bytes()
    }

    /// Marks this point. Nested by order.
    pub fn savepoint(&self) -> Savepoint {
        let mut state = self.core.state.lock();
        let mark = state.next_sequence();
        state.savepoints.insert(mark);
        Savepoint(mark)
    }

    /// The mark and those after it will not be gone back to (`RELEASE SAVEPOINT`).
    pub fn release_savepoint(&self, savepoint: Savepoint) {
        self.core.state.lock().savepoints.split_off(&savepoint.0);
    }

    /// Drops writes and locks taken since; reads stay in the refresh set (rule 23). The savepoint stays.
    pub async fn rollback_to(&self, savepoint: Savepoint) -> TxnResult<()> {
        let undone = {
            let mut state = self.core.state.lock();
            state.savepoints.split_off(&savepoint.0);
            state.savepoints.insert(savepoint.0);
            let to = state.sequence;
            state.buffer.undo(savepoint.0, to);
            state.next_sequence();
            state.locks.undo(savepoint.0)
        };
        release::keys(&self.core.client, self.core.id, undone.released).await?;
        release::weaken(&self.core.client, self.core.id, undone.weakened).await
    }

    /// What its statements have waited, and how often they had to run again.
    pub fn waits(&self) -> (Waits, u64) {
        let state = self.core.state.lock();
        (state.waits, state.restarts)
    }

    /// Does all that was read under SERIALIZABLE hold now? `Serialization` if not: what the transaction has just found
    /// out, by a constraint check, contradicts what it read before.
    pub async fn check_reads(&self) -> TxnResult<()> {
        if self.core.isolation != Isolation::Serializable {
            return Ok(());
        }
        let now = self.core.client.fresh().await?;
        self.core.refresh(now.at).await
    }

    /// Gives one lock up before the end: of a transaction that holds locks for somebody else and writes nothing.
    pub async fn release_lock(&self, key: &Key) -> TxnResult<()> {
        self.core.state.lock().locks.forget(key);
        release::keys(&self.core.client, self.core.id, vec![key.clone()]).await
    }

    /// This transaction changes the catalog: its commit is announced first (rule 31) and writes `version_key`, whose value becomes
    /// the commit number (8 bytes big-endian).
    pub fn mark_catalog_change(&self, version_key: Key) {
        self.core.state.lock().catalog_change = Some(version_key);
    }

    pub fn changes_catalog(&self) -> bool {
        self.core.state.lock().catalog_change.is_some()
    }

    /// The number it committed at (the last statement's for a transaction that wrote nothing).
    pub async fn commit(self) -> TxnResult<Timestamp> {
        commit::commit(&self.core).await
    }

    pub async fn rollback(self) {
        self.core.state.lock().phase = Phase::Over;
        self.core.client.metrics.rollbacks.inc();
        release::all(&self.core).await;
    }

    /// Locks held now, with the strongest mode asked for, for `cairn.locks`.
    pub fn locks(&self) -> Vec<(Key, LockMode)> {
        self.core.state.lock().locks.list()
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let phase = self.core.state.lock().phase;
        if phase == Phase::Open {
            self.core.client.metrics.rollbacks.inc();
            release::all_in_background(&self.core);
        }
    }
}
