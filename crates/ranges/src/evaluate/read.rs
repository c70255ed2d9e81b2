//! Gets and scans at one number, with or without locks (rules 12, 17, 20, 23).
//!
//! The order is the guarantee: raise the cache over everything that is read, look at announced writers and
//! intents, take the snapshot, read, look at the garbage floor, and ask whether the ticket still holds.

use std::collections::BTreeMap;

use bytes::Bytes;
use env::{buggify, probe};
use expr::program::{Program, Runner};
use keyspace::{Key, Span, Timestamp, TxnId};
use mvcc::{Direction, Limits, Row, Visit};
use rpc::range::{KeyValue, LockMode, LockSpec, LockWait, ReadOp, ReadReply, ReadRequest, ReadResult, ScanOp};
use rpc::{KvError, KvResult};
use storage::Snapshot;

use super::{Evaluation, Obstacle, Patience, engine_error, recovery};
use crate::leadership::Ticket;
use crate::locks::Taken;
use crate::read_cache::Read;

/// Bytes that a row takes in an answer beside its key and value.
const ROW_OVERHEAD: usize = 16;
/// Rows that a scan may ask for at most to be narrowed: a longer one is a page of a scan that goes on.
const NARROWED_ROWS_MAX: u64 = 256;
/// Bytes that a scan looks at in one request whose program lets little through: it occupies a thread that long.
const VISITED_BYTES_MAX: usize = 1 << 20;
/// The same for a look ahead, which is done again.
const AHEAD_BYTES_MAX: usize = 64 << 10;

/// One plain get at a sole voter, or under a lease, with nothing in its way: no wait, no hop, one seek. `None`: it takes
/// more.
pub fn at_once(request: &Evaluation<'_>, read: &ReadRequest) -> Option<KvResult<ReadReply>> {
    let [ReadOp::Get { key, program: None }] = &read.reads[..] else { return None };
    if read.lock.is_some() {
        return None;
    }
    let replica = &request.replica;
    let leadership = &replica.leadership;
    let ticket = leadership.ticket().filter(|ticket| ticket.epoch == request.epoch)?;
    if !(ticket.sole_voter || leadership.may_be_leased()) || !replica.contains(key) {
        return None;
    }
    replica.cache.raise_point(key, Read { at: read.at, reader: read.txn });
    if replica.announcements.below(key, read.at, read.txn, || request.shared.env.now()).is_some()
        || !replica.intents.is_empty()
    {
        return None;
    }
    // The state is taken here, after the look at announcements and intents: it has whatever they had become.
    let version = match mvcc::get_now(&*request.shared.engine, key, read.at) {
        Ok(version) => version,
        Err(error) => return Some(Err(engine_error(error))),
    };
    if let Err(error) = replica.check_floor(read.at) {
        return Some(Err(error));
    }
    let is_certain = ticket.sole_voter || leadership.is_leased(|| request.shared.env.now());
    if !is_certain || !leadership.holds(&ticket) {
        return None;
    }
    let rows = version
        .map(|version| KeyValue { key: key.clone(), value: version.value, at: version.at })
        .into_iter()
        .collect();
    Some(Ok(ReadReply { results: vec![ReadResult { rows, resume: None }], newer: None, waited: false }))
}

pub async fn read(request: &Evaluation<'_>, read: ReadRequest) -> KvResult<ReadReply> {
    if read.lock.is_some() && read.txn.is_none() {
        return Err(KvError::NotSupported { what: "a lock without a transaction".to_owned() });
    }
    let mut programs = read.reads.iter().map(Sieve::of).collect::<KvResult<Vec<Sieve>>>()?;
    let mut waited = false;
    loop {
        let ticket = request.admit().await?;
        let reads = within_range(request, &read, &mut programs)?;
        match attempt(request, &read, &reads, &mut programs)? {
            Attempt::Obstacle(obstacle) => request.wait_out(obstacle, read.txn).await?,
            Attempt::Done(mut results) => {
                let mut newer = None;
                if let (Some(lock), Some(txn)) = (read.lock, read.txn) {
                    let mut locking = Locking { request, read: &read, lock, txn, waited: false, newer: None };
                    locking.lock_all(&reads, &mut results).await?;
                    waited |= locking.waited;
                    newer = locking.newer;
                }
                if finish(request, &ticket, read.at).await? {
                    return Ok(ReadReply { results, newer, waited });
                }
                probe!("a_read_was_evaluated_again");
            }
        }
    }
}

async fn finish(request: &Evaluation<'_>, ticket: &Ticket, at: Timestamp) -> KvResult<bool> {
    request.replica.check_floor(at)?;
    Ok(request.confirm(ticket).await)
}

/// The program of one read, if it has one.
struct Sieve {
    runner: Option<Runner>,
}

impl Sieve {
    fn of(op: &ReadOp) -> KvResult<Sieve> {
        let (ReadOp::Get { program, .. } | ReadOp::Scan(ScanOp { program, .. })) = op;
        let Some(bytes) = program else { return Ok(Sieve { runner: None }) };
        match Program::decode(bytes) {
            Ok(Some(program)) => Ok(Sieve { runner: Some(Runner::new(program)) }),
            Ok(None) => Err(KvError::NotSupported { what: "push-down programs of this version".to_owned() }),
            Err(_) => Err(KvError::Corrupt { what: "a push-down program".to_owned() }),
        }
    }

    /// What is to be sent of a row; `None` if it does not pass.
    fn pass(&mut self, key: &[u8], value: &[u8]) -> KvResult<Option<Bytes>> {
        let Some(runner) = &mut self.runner else { return Ok(Some(Bytes::copy_from_slice(value))) };
        let mut tuple = Vec::new();
        let passes =
            runner.run(key, value, &mut tuple).map_err(|error| KvError::Evaluation { error: error.encode().into() })?;
        Ok(passes.then(|| tuple.into()))
    }
}

/// The reads, checked to lie in the range; scans with a limit on rows narrowed to where they will end, so
/// that the cache is not raised over what nobody reads.
fn within_range<'r>(
    request: &Evaluation<'_>,
    read: &'r ReadRequest,
    programs: &mut [Sieve],
) -> KvResult<Vec<Narrowed<'r>>> {
    let descriptor = request.replica.descriptor();
    let mut reads = Vec::with_capacity(read.reads.len());
    for (op, program) in read.reads.iter().zip(programs) {
        let inside = match op {
            ReadOp::Get { key, .. } => descriptor.span.contains(key),
            ReadOp::Scan(scan) => scan.span.is_empty() || descriptor.span.contains_span(&scan.span),
        };
        if !inside {
            return Err(request.stale_epoch());
        }
        let skips_locked = read.lock.is_some_and(|lock| lock.wait == LockWait::SkipLocked);
        let limited =
            matches!(op, ReadOp::Scan(scan) if (1..=NARROWED_ROWS_MAX).contains(&scan.rows_max) && !skips_locked);
        let span = match op {
            ReadOp::Get { key, .. } => Span::point(key.clone()),
            ReadOp::Scan(scan) if limited => narrow(request, scan, read, program)?,
            ReadOp::Scan(scan) => scan.span.clone(),
        };
        reads.push(Narrowed { op, span });
    }
    Ok(reads)
}

/// A read, and the span it is going to look at.
struct Narrowed<'r> {
    op: &'r ReadOp,
    span: Span,
}

/// A look ahead without any guarantee: what is read for the answer is read again, within these bounds.
fn narrow(request: &Evaluation<'_>, scan: &ScanOp, read: &ReadRequest, program: &mut Sieve) -> KvResult<Span> {
    let snapshot = request.shared.engine.snapshot();
    let limits = Limits { rows: scan.rows_max, bytes: read.bytes_max };
    let mut visited = 0;
    let visit = |row: Row<'_>| {
        if program.runner.is_none() {
            return Ok(Visit::Take { bytes: row.key.len() + row.value.len() + ROW_OVERHEAD });
        }
        if visited >= AHEAD_BYTES_MAX {
            return Ok(Visit::StopBefore);
        }
        visited += row.key.len() + row.value.len() + ROW_OVERHEAD;
        // An error is reported where the row is read for the answer, if it is.
        match program.pass(row.key, row.value) {
            Ok(Some(value)) => Ok(Visit::Take { bytes: row.key.len() + value.len() + ROW_OVERHEAD }),
            Ok(None) | Err(_) => Ok(Visit::Drop),
        }
    };
    let rest = mvcc::scan(&*snapshot, &scan.span, read.at, direction(scan), limits, visit)
        .map_err(|failure: Failure| failure.0)?;
    Ok(match rest {
        None => scan.span.clone(),
        Some(rest) if scan.reverse => Span::new(rest.end, scan.span.end.clone()),
        Some(rest) => Span::new(scan.span.start.clone(), rest.start),
    })
}

fn direction(scan: &ScanOp) -> Direction {
    if scan.reverse { Direction::Reverse } else { Direction::Forward }
}

enum Attempt {
    Done(Vec<ReadResult>),
    Obstacle(Obstacle),
}

fn attempt(
    request: &Evaluation<'_>,
    read: &ReadRequest,
    reads: &[Narrowed<'_>],
    programs: &mut [Sieve],
) -> KvResult<Attempt> {
    for Narrowed { span, .. } in reads {
        request.replica.cache.raise(span, Read { at: read.at, reader: read.txn });
    }
    let mut decided = BTreeMap::new();
    for Narrowed { op, span } in reads {
        let Some(obstacle) = request.obstacle(span, read.at, read.txn) else { continue };
        match (op, decided_intent(request, read, &obstacle)) {
            (ReadOp::Get { key, .. }, Some(intent)) => drop(decided.insert(key.clone(), intent)),
            _ => return Ok(Attempt::Obstacle(obstacle)),
        }
    }
    let snapshot = request.shared.engine.snapshot();
    let mut page = Page { request, read, snapshot: &*snapshot, decided, bytes: 0 };
    let mut results = Vec::with_capacity(reads.len());
    for (Narrowed { op, span }, program) in reads.iter().zip(programs) {
        if page.is_full() {
            break;
        }
        results.push(match op {
            ReadOp::Get { key, .. } => page.get(key, program)?,
            ReadOp::Scan(scan) => page.scan(scan, span, program)?,
        });
    }
    Ok(Attempt::Done(results))
}

/// An intent of a transaction known to be committed is as good as a version: a large commit leaves many, and who only
/// looks at one of them need not wait until it is resolved.
fn decided_intent(request: &Evaluation<'_>, read: &ReadRequest, obstacle: &Obstacle) -> Option<(TxnId, Timestamp)> {
    let Obstacle::Intent { intent, .. } = obstacle else { return None };
    if read.lock.is_some() {
        return None;
    }
    request.shared.committed.at(intent.txn).map(|at| (intent.txn, at))
}

/// An answer that is being filled.
struct Page<'p> {
    request: &'p Evaluation<'p>,
    read: &'p ReadRequest,
    snapshot: &'p dyn Snapshot,
    /// Keys that had an intent of a committed transaction, and its number, before the snapshot was taken: the snapshot
    /// has either the intent or the version that it became.
    decided: BTreeMap<Key, (TxnId, Timestamp)>,
    bytes: usize,
}

impl Page<'_> {
    fn is_full(&self) -> bool {
        self.read.bytes_max > 0 && self.bytes >= self.read.bytes_max
    }

    fn get(&mut self, key: &Key, program: &mut Sieve) -> KvResult<ReadResult> {
        let intent = match self.own_intent(key)? {
            None => self.decided_intent(key)?,
            own => own,
        };
        let mut row = match intent {
            Some(row) => row,
            None => mvcc::get(self.snapshot, key, self.read.at).map_err(engine_error)?.map(|version| KeyValue {
                key: key.clone(),
                value: version.value,
                at: version.at,
            }),
        };
        if program.runner.is_some()
            && let Some(found) = row.take()
        {
            row = program.pass(&found.key, &found.value)?.map(|value| KeyValue { value, ..found });
        }
        self.bytes += row.as_ref().map_or(0, row_bytes);
        Ok(ReadResult { rows: row.into_iter().collect(), resume: None })
    }

    fn decided_intent(&self, key: &Key) -> KvResult<Option<Option<KeyValue>>> {
        let Some((txn, at)) = self.decided.get(key).copied().filter(|(_, at)| *at <= self.read.at) else {
            return Ok(None);
        };
        let intent = mvcc::get_intent(self.snapshot, key).map_err(engine_error)?.filter(|intent| intent.txn == txn);
        if intent.is_some() {
            probe!("read_the_intent_of_a_committed_transaction");
        }
        Ok(intent.map(|intent| intent.value.map(|value| KeyValue { key: key.clone(), value, at })))
    }

    /// What the reading transaction has prewritten itself: `Some(None)` is its own deletion.
    fn own_intent(&self, key: &Key) -> KvResult<Option<Option<KeyValue>>> {
        let Some(txn) = self.read.txn else { return Ok(None) };
        if self.request.replica.intents.get(key).is_none_or(|intent| intent.txn != txn) {
            return Ok(None);
        }
        let intent = mvcc::get_intent(self.snapshot, key).map_err(engine_error)?.filter(|intent| intent.txn == txn);
        Ok(intent.map(|intent| intent.value.map(|value| KeyValue { key: key.clone(), value, at: txn.start() })))
    }

    fn scan(&mut self, scan: &ScanOp, narrowed: &Span, program: &mut Sieve) -> KvResult<ReadResult> {
        if scan.span.is_empty() {
            return Ok(ReadResult::default());
        }
        let mut own = self.own_intents(&scan.span)?;
        if program.runner.is_some() {
            for row in own.values_mut() {
                if let Some(found) = row.take() {
                    *row = program.pass(&found.key, &found.value)?.map(|value| KeyValue { value, ..found });
                }
            }
        }
        let bytes_left = if self.read.bytes_max == 0 { 0 } else { (self.read.bytes_max - self.bytes).max(1) };
        let limits = Limits { rows: scan.rows_max, bytes: bytes_left };
        let mut rows: Vec<KeyValue> = Vec::new();
        let (request, read) = (self.request, self.read);
        let mut visited = 0;
        let visit = |row: Row<'_>| {
            if visited >= VISITED_BYTES_MAX {
                return Ok(Visit::StopBefore);
            }
            visited += row.key.len() + row.value.len() + ROW_OVERHEAD;
            if own.contains_key(row.key) {
                return Ok(Visit::Drop);
            }
            let Some(value) = program.pass(row.key, row.value).map_err(Failure)? else { return Ok(Visit::Drop) };
            let row = KeyValue { key: Key::from(row.key), value, at: row.at };
            if skips(request, read, &row.key)? {
                return Ok(Visit::Drop);
            }
            let bytes = row_bytes(&row);
            rows.push(row);
            Ok(Visit::Take { bytes })
        };
        let rest = mvcc::scan(self.snapshot, narrowed, self.read.at, direction(scan), limits, visit)
            .map_err(|failure: Failure| failure.0)?;
        let resume = rest_of(scan, narrowed, rest);
        add_own(&mut rows, own, resume.as_ref(), scan.reverse);
        self.bytes += rows.iter().map(row_bytes).sum::<usize>();
        Ok(ReadResult { rows, resume })
    }

    fn own_intents(&self, span: &Span) -> KvResult<BTreeMap<Key, Option<KeyValue>>> {
        let Some(txn) = self.read.txn else { return Ok(BTreeMap::new()) };
        let mut own = BTreeMap::new();
        for key in self.request.replica.intents.of_txn(span, txn, usize::MAX) {
            if let Some(row) = self.own_intent(&key)? {
                own.insert(key, row);
            }
        }
        Ok(own)
    }
}

/// An error out of a scan: the engine's, or ours.
struct Failure(KvError);

impl From<storage::Error> for Failure {
    fn from(error: storage::Error) -> Failure {
        Failure(engine_error(error))
    }
}

/// What remains of a scan: what the limits left of the narrowed span, and all that was narrowed away.
fn rest_of(scan: &ScanOp, narrowed: &Span, rest: Option<Span>) -> Option<Span> {
    let rest = match (rest, scan.reverse) {
        (Some(rest), false) => Span::new(rest.start, scan.span.end.clone()),
        (Some(rest), true) => Span::new(scan.span.start.clone(), rest.end),
        (None, false) => Span::new(narrowed.end.clone(), scan.span.end.clone()),
        (None, true) => Span::new(scan.span.start.clone(), narrowed.start.clone()),
    };
    (!rest.is_empty()).then_some(rest)
}

/// Puts one's own prewritten rows where they belong, as far as the page reaches.
fn add_own(rows: &mut Vec<KeyValue>, own: BTreeMap<Key, Option<KeyValue>>, resume: Option<&Span>, reverse: bool) {
    if own.is_empty() {
        return;
    }
    let reached = |key: &Key| resume.is_none_or(|rest| !rest.contains(key));
    rows.extend(own.into_values().flatten().filter(|row| reached(&row.key)));
    rows.sort_unstable_by(|a, b| if reverse { b.key.cmp(&a.key) } else { a.key.cmp(&b.key) });
}

fn row_bytes(row: &KeyValue) -> usize {
    row.key.len() + row.value.len() + ROW_OVERHEAD
}

/// SKIP LOCKED decides row by row, before the row counts: the lock is taken here or the row is passed over.
/// An intent of somebody else is a lock, too (rule 23).
fn skips(request: &Evaluation<'_>, read: &ReadRequest, key: &Key) -> Result<bool, Failure> {
    let (Some(LockSpec { mode, wait: LockWait::SkipLocked, .. }), Some(txn)) = (read.lock, read.txn) else {
        return Ok(false);
    };
    if request.replica.intents.get(key).is_some_and(|intent| intent.txn != txn) {
        return Ok(true);
    }
    let acquire = || request.replica.locks.acquire_now(txn, request.from, key, mode).map_err(Failure);
    match acquire()? {
        Taken::Busy { holder } if end_if_committed(request, holder) => Ok(!acquire()?.is_ok()),
        Taken::Busy { .. } => {
            request.release_locks_of_the_gone_later(txn, key, mode);
            Ok(true)
        }
        taken => Ok(!taken.is_ok()),
    }
}

/// A transaction that is committed has its locks in several ranges until its intents there are resolved, and for a
/// moment longer. Who would wait for it does not notice; who would not wait must not be told that the row is locked.
fn end_if_committed(request: &Evaluation<'_>, holder: TxnId) -> bool {
    let is_committed = request.shared.committed.at(holder).is_some();
    if is_committed {
        probe!("ended_the_locks_of_a_committed_transaction");
        request.replica.locks.end(holder);
    }
    is_committed
}

/// Locks what is returned, and finds out whether it is still the newest.
struct Locking<'l> {
    request: &'l Evaluation<'l>,
    read: &'l ReadRequest,
    lock: LockSpec,
    txn: TxnId,
    waited: bool,
    newer: Option<Timestamp>,
}

impl Locking<'_> {
    async fn lock_all(&mut self, reads: &[Narrowed<'_>], results: &mut [ReadResult]) -> KvResult<()> {
        for (Narrowed { op, .. }, result) in reads.iter().zip(results) {
            match op {
                ReadOp::Get { key, .. } if result.rows.is_empty() && self.lock.absent_too => {
                    self.lock_key(key).await?;
                }
                _ => self.lock_rows(&mut result.rows).await?,
            }
        }
        Ok(())
    }

    async fn lock_rows(&mut self, rows: &mut Vec<KeyValue>) -> KvResult<()> {
        let mut kept = Vec::with_capacity(rows.len());
        for row in rows.drain(..) {
            if self.lock_key(&row.key).await? {
                kept.push(row);
            }
        }
        *rows = kept;
        Ok(())
    }

    /// `false`: the row is skipped.
    async fn lock_key(&mut self, key: &Key) -> KvResult<bool> {
        let ask = || self.request.lock(self.txn, key, self.lock.mode, self.lock.wait);
        let answer = match ask().await {
            Err(KvError::LockNotAvailable { holder, timed_out: false, .. })
                if end_if_committed(self.request, holder) =>
            {
                ask().await
            }
            Err(KvError::LockNotAvailable { timed_out: false, .. }) => {
                self.request.clear_leftovers(self.txn, key, self.lock.mode).await;
                ask().await
            }
            answer => answer,
        };
        match answer {
            Ok(waited) => self.waited |= waited,
            Err(KvError::LockNotAvailable { timed_out: false, .. }) if self.lock.wait == LockWait::SkipLocked => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        if !self.await_foreign_intent(key).await? {
            return Ok(false);
        }
        self.note_newer(key)?;
        if buggify!(&self.request.shared.env, "a_lock_is_lost", 0.02) {
            // Locks are in memory only: the commit has to find out.
            self.request.replica.locks.release(self.txn, std::slice::from_ref(key));
        }
        Ok(true)
    }

    /// Locks are in memory and may have been lost; what stands in the engine counts as one.
    async fn await_foreign_intent(&mut self, key: &Key) -> KvResult<bool> {
        let foreign =
            |request: &Evaluation<'_>| request.replica.intents.get(key).filter(|intent| intent.txn != self.txn);
        while let Some(intent) =
            foreign(self.request).filter(|intent| self.lock.mode != LockMode::KeyShare || intent.changes_key)
        {
            let holder = intent.txn;
            match self.lock.wait {
                LockWait::SkipLocked => return Ok(false),
                LockWait::NoWait => {
                    return Err(KvError::LockNotAvailable { key: key.clone(), holder, timed_out: false });
                }
                LockWait::Block { timeout } => {
                    self.waited = true;
                    let until = key.successor();
                    let settled = recovery::settle(self.request, key, &until, intent, Some(self.txn), Patience::Wait);
                    match timeout {
                        None => settled.await?,
                        Some(limit) => match self.request.shared.env.timeout(limit, settled).await {
                            Some(outcome) => outcome?,
                            None => {
                                return Err(KvError::LockNotAvailable { key: key.clone(), holder, timed_out: true });
                            }
                        },
                    }
                }
            }
        }
        Ok(true)
    }

    fn note_newer(&mut self, key: &Key) -> KvResult<()> {
        let snapshot = self.request.shared.engine.snapshot();
        let newest = match self.lock.mode {
            LockMode::KeyShare => mvcc::key_changed_since(&*snapshot, key, self.read.at),
            _ => mvcc::newest(&*snapshot, key).map(|head| head.map(|head| head.at)),
        };
        let newest = newest.map_err(engine_error)?.filter(|newest| *newest > self.read.at);
        if newest.is_some() {
            probe!("a_statement_met_a_newer_version");
        }
        self.newer = self.newer.max(newest);
        Ok(())
    }
}
