//! Versions, intents and records of all ranges, and the rules by which requests change them. Everything here happens
//! at once, under one mutex: what has to wait says so and is evaluated again when something has changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::Mono;
use keyspace::{Key, Span, Timestamp, TxnId};
use rpc::range::{
    CheckKeysReply, CheckKeysRequest, KeyValue, LockMode, LockSpec, LockWait, LockedKey, Mutation, Newer,
    PrewriteRequest, RangeReply, ReadOp, ReadReply, ReadRequest, ReadResult, RecordOp, RecordRequest, RefreshRequest,
    ResolveKeys, ResolveRequest, ScanOp, TxnRecord, TxnState, Writes,
};
use rpc::{KvError, KvResult};

use super::cache::ReadCache;
use super::locks::LockTable;
use super::{Evaluator, FakeOracle};

/// Why a request cannot be answered yet, or not at all.
pub(super) enum Stop {
    Fail(KvError),
    /// Until something changes, but look again after this long.
    Wait(Duration),
    /// In the queue of a row lock.
    WaitForLock {
        key: Key,
        holder: TxnId,
    },
}

impl From<KvError> for Stop {
    fn from(error: KvError) -> Stop {
        Stop::Fail(error)
    }
}

type Outcome<T> = Result<T, Stop>;

#[derive(Clone, Debug)]
struct Version {
    at: Timestamp,
    start: TxnId,
    value: Option<Bytes>,
    changes_key: bool,
}

#[derive(Clone, Debug)]
struct Intent {
    txn: TxnId,
    at: Timestamp,
    attempt: u32,
    anchor: Key,
    mutation: Mutation,
    laid: Mono,
}

struct Record {
    state: TxnState,
    last_sign: Mono,
}

pub(super) struct Store {
    oracle: Arc<FakeOracle>,
    pub evaluator: Option<Arc<dyn Evaluator>>,
    pub txn_expiry: Duration,
    pub now: Mono,
    /// Newest first.
    versions: BTreeMap<Key, Vec<Version>>,
    intents: BTreeMap<Key, Intent>,
    records: BTreeMap<TxnId, Record>,
    pub locks: LockTable,
    cache: ReadCache,
}

impl Store {
    pub fn new(oracle: Arc<FakeOracle>, txn_expiry: Duration) -> Store {
        Store {
            oracle,
            evaluator: None,
            txn_expiry,
            now: Mono::default(),
            versions: BTreeMap::new(),
            intents: BTreeMap::new(),
            records: BTreeMap::new(),
            locks: LockTable::default(),
            cache: ReadCache::default(),
        }
    }

    // ---- reads ----

    pub fn read(&mut self, request: &ReadRequest) -> Outcome<RangeReply> {
        let mut reply = ReadReply::default();
        let mut bytes = 0;
        for op in &request.reads {
            if bytes >= request.bytes_max {
                break;
            }
            let result = match op {
                ReadOp::Get { key, program } => self.get(request, key, program.as_ref(), &mut reply.newer)?,
                ReadOp::Scan(scan) => self.scan(request, scan, request.bytes_max - bytes, &mut reply.newer)?,
            };
            bytes += result.rows.iter().map(|row| row.key.len() + row.value.len()).sum::<usize>();
            reply.results.push(result);
        }
        Ok(RangeReply::Read(reply))
    }

    fn get(
        &mut self,
        request: &ReadRequest,
        key: &Key,
        program: Option<&Bytes>,
        newer: &mut Option<Newer>,
    ) -> Outcome<ReadResult> {
        let span = Span::point(key.clone());
        self.prepare_read(request, &span)?;
        let row = self.visible(key, request.at);
        let rows = self.run(program, row.into_iter().collect())?;
        if let (Some(lock), true) = (request.lock, rows.is_empty())
            && lock.absent_too
        {
            self.lock_row(request, &lock, key, newer)?;
        }
        let rows = self.lock_rows(request, rows, newer)?;
        Ok(ReadResult { rows, resume: None })
    }

    fn scan(
        &mut self,
        request: &ReadRequest,
        scan: &ScanOp,
        bytes_max: usize,
        newer: &mut Option<Newer>,
    ) -> Outcome<ReadResult> {
        // The rows that a limit leaves out are not read: what is not read does not push writers.
        let rows_max = if scan.rows_max == 0 { usize::MAX } else { scan.rows_max as usize };
        let keys: Vec<Key> =
            self.versions.range::<Key, _>(&scan.span.start..&scan.span.end).map(|(key, _)| key.clone()).collect();
        let ordered: Box<dyn Iterator<Item = Key>> =
            if scan.reverse { Box::new(keys.into_iter().rev()) } else { Box::new(keys.into_iter()) };
        // A program may make one row of many, so that it gets all of them.
        let cut_early = scan.program.is_none();
        let (mut rows, mut bytes, mut resume) = (Vec::new(), 0, None);
        for key in ordered {
            let Some(row) = self.visible(&key, request.at) else { continue };
            bytes += row.key.len() + row.value.len();
            rows.push(row);
            if cut_early && (rows.len() >= rows_max || bytes >= bytes_max) {
                resume = Some(if scan.reverse {
                    Span::new(scan.span.start.clone(), key)
                } else {
                    Span::new(key.successor(), scan.span.end.clone())
                });
                break;
            }
        }
        let resume = resume.filter(|rest| !rest.is_empty());
        let covered = match (&resume, scan.reverse) {
            (None, _) => scan.span.clone(),
            (Some(rest), false) => Span::new(scan.span.start.clone(), rest.start.clone()),
            (Some(rest), true) => Span::new(rest.end.clone(), scan.span.end.clone()),
        };
        self.prepare_read(request, &covered)?;
        let mut rows = self.run(scan.program.as_ref(), rows)?;
        rows.truncate(rows_max);
        let rows = self.lock_rows(request, rows, newer)?;
        Ok(ReadResult { rows, resume })
    }

    /// Raises the cache, then waits for what may still commit at or below the number.
    fn prepare_read(&mut self, request: &ReadRequest, span: &Span) -> Outcome<()> {
        self.cache.raise(span, request.at, request.txn);
        let foreign = |(key, intent): (&Key, &Intent)| {
            (Some(intent.txn) != request.txn && intent.at <= request.at).then(|| key.clone())
        };
        let met: Vec<Key> = self.intents.range::<Key, _>(&span.start..&span.end).filter_map(foreign).collect();
        if let Some(key) = met.into_iter().next() {
            // An intent that turns out to be committed becomes a version that this read may have to see: again.
            self.settle(&key)?;
            return Err(Stop::Wait(Duration::ZERO));
        }
        Ok(())
    }

    fn visible(&self, key: &Key, at: Timestamp) -> Option<KeyValue> {
        let version = self.versions.get(key)?.iter().find(|version| version.at <= at)?;
        Some(KeyValue { key: key.clone(), value: version.value.clone()?, at: version.at })
    }

    fn run(&self, program: Option<&Bytes>, rows: Vec<KeyValue>) -> Outcome<Vec<KeyValue>> {
        let Some(program) = program else { return Ok(rows) };
        let Some(evaluator) = &self.evaluator else {
            return Err(KvError::NotSupported { what: "programs, without Fake::set_evaluator".to_owned() }.into());
        };
        evaluator.evaluate(program, rows).map_err(|error| KvError::Evaluation { error }.into())
    }

    // ---- locks ----

    fn lock_rows(
        &mut self,
        request: &ReadRequest,
        rows: Vec<KeyValue>,
        newer: &mut Option<Newer>,
    ) -> Outcome<Vec<KeyValue>> {
        let Some(lock) = request.lock else { return Ok(rows) };
        let mut locked = Vec::with_capacity(rows.len());
        for row in rows {
            if self.lock_row(request, &lock, &row.key, newer)? {
                locked.push(row);
            }
        }
        Ok(locked)
    }

    /// `false`: skipped.
    fn lock_row(
        &mut self,
        request: &ReadRequest,
        lock: &LockSpec,
        key: &Key,
        newer: &mut Option<Newer>,
    ) -> Outcome<bool> {
        let txn = request.txn.ok_or(KvError::NotSupported { what: "a lock without a transaction".to_owned() })?;
        if self.locks.is_over(txn) {
            return Err(KvError::TxnAborted.into());
        }
        let intent = self.intents.get(key).filter(|intent| intent.txn != txn).map(|intent| intent.txn);
        let holder = intent.or_else(|| self.locks.in_the_way(key, txn, lock.mode));
        if let Some(holder) = holder {
            return match lock.wait {
                LockWait::SkipLocked => Ok(false),
                LockWait::NoWait => {
                    Err(KvError::LockNotAvailable { key: key.clone(), holder, timed_out: false }.into())
                }
                LockWait::Block { .. } if intent.is_some() => {
                    self.settle(key)?;
                    Err(Stop::Wait(Duration::ZERO))
                }
                LockWait::Block { .. } => {
                    self.locks.enqueue(key, txn, lock.mode);
                    Err(Stop::WaitForLock { key: key.clone(), holder })
                }
            };
        }
        self.locks.take(key, txn, lock.mode);
        let newest = self.newest_above(key, request.at, lock.mode);
        let newest = newest.map(|version| Newer { at: version.at, key: key.clone(), by: version.start });
        *newer = newer.take().max(newest);
        Ok(true)
    }

    /// The newest version above `at`; for KEY SHARE of those that change a key.
    fn newest_above(&self, key: &Key, at: Timestamp, mode: LockMode) -> Option<&Version> {
        let counts = |version: &&Version| mode > LockMode::KeyShare || version.changes_key || version.value.is_none();
        self.versions.get(key)?.iter().filter(counts).find(|newest| newest.at > at)
    }

    // ---- refresh ----

    pub fn refresh(&mut self, request: &RefreshRequest) -> Outcome<RangeReply> {
        for span in &request.spans {
            self.cache.raise(span, request.to, Some(request.txn));
            let foreign = |(key, intent): (&Key, &Intent)| {
                (intent.txn != request.txn && intent.at <= request.to).then(|| (key.clone(), intent.at, intent.txn))
            };
            let met: Vec<_> = self.intents.range::<Key, _>(&span.start..&span.end).filter_map(foreign).collect();
            for (key, at, by) in met {
                // No waiting: the refresher may hold intents that others wait for.
                if self.settle(&key).is_err() {
                    return Err(KvError::ReadChanged { key, at, by }.into());
                }
            }
            for (key, versions) in self.versions.range::<Key, _>(&span.start..&span.end) {
                let changed = versions.iter().find(|version| version.at > request.from && version.at <= request.to);
                if let Some(version) = changed {
                    return Err(KvError::ReadChanged { key: key.clone(), at: version.at, by: version.start }.into());
                }
            }
        }
        Ok(RangeReply::Refreshed)
    }

    // ---- commits ----

    pub fn commit_one_range(&mut self, range: &Span, writes: &Writes) -> Outcome<RangeReply> {
        if let Some(at) = self.own_version(writes.txn, writes.mutations.iter().map(|mutation| &mutation.key)) {
            return Ok(RangeReply::Committed { at });
        }
        for mutation in &writes.mutations {
            self.check_write(writes, mutation, false)?;
        }
        for locked in &writes.locked {
            self.validate(writes, locked)?;
        }
        for mutation in &writes.mutations {
            self.apply(writes.txn, writes.at, mutation.clone());
        }
        self.locks.end(writes.txn, range);
        self.oracle.decided(writes.txn, Some(writes.at));
        Ok(RangeReply::Committed { at: writes.at })
    }

    pub fn prewrite(&mut self, range: &Span, request: &PrewriteRequest) -> Outcome<RangeReply> {
        let writes = &request.writes;
        if range.contains(&request.anchor) {
            match self.records.get(&writes.txn).map(|record| &record.state) {
                Some(TxnState::Aborted) => return Err(KvError::TxnAborted.into()),
                Some(TxnState::Committed { at }) => return Err(KvError::TxnCommitted { at: *at }.into()),
                _ => {}
            }
        }
        if let Some(at) = self.own_version(writes.txn, writes.mutations.iter().map(|mutation| &mutation.key)) {
            return Err(KvError::TxnCommitted { at }.into());
        }
        for mutation in &writes.mutations {
            let own = self.intents.get(&mutation.key).filter(|intent| intent.txn == writes.txn);
            match own {
                Some(intent) if intent.at == writes.at && intent.attempt == writes.attempt => {}
                Some(intent) if intent.attempt > writes.attempt => {
                    return Err(KvError::Pushed { key: mutation.key.clone(), above: intent.at }.into());
                }
                _ => self.check_write(writes, mutation, true)?,
            }
        }
        for locked in &writes.locked {
            self.validate(writes, locked)?;
        }
        if let Some(stage) = &request.stage {
            let state = TxnState::Staging { at: writes.at, attempt: writes.attempt, keys: stage.keys.clone() };
            self.records.insert(writes.txn, Record { state, last_sign: self.now });
        }
        self.oracle.staged(writes.txn);
        for mutation in &writes.mutations {
            let intent = Intent {
                txn: writes.txn,
                at: writes.at,
                attempt: writes.attempt,
                anchor: request.anchor.clone(),
                mutation: mutation.clone(),
                laid: self.now,
            };
            self.intents.insert(mutation.key.clone(), intent);
        }
        Ok(RangeReply::Prewritten)
    }

    fn own_version<'a>(&self, txn: TxnId, mut keys: impl Iterator<Item = &'a Key>) -> Option<Timestamp> {
        keys.find_map(|key| {
            self.versions.get(key)?.iter().find(|version| version.start == txn).map(|version| version.at)
        })
    }

    fn check_write(&mut self, writes: &Writes, mutation: &Mutation, holds_intents: bool) -> Outcome<()> {
        let key = &mutation.key;
        if let Some(intent) = self.intents.get(key).filter(|intent| intent.txn != writes.txn) {
            let holder = intent.txn;
            if let Err(Stop::Wait(pause)) = self.settle(key) {
                return Err(give_way(writes.txn, holder, key, holds_intents).unwrap_or(Stop::Wait(pause)));
            }
        }
        let mode = if mutation.changes_key { LockMode::Update } else { LockMode::NoKeyUpdate };
        if let Some(holder) = self.locks.in_the_way(key, writes.txn, mode) {
            if let Some(stop) = give_way(writes.txn, holder, key, holds_intents) {
                return Err(stop);
            }
            self.locks.enqueue(key, writes.txn, mode);
            return Err(Stop::WaitForLock { key: key.clone(), holder });
        }
        self.locks.leave_queue(key, writes.txn);
        let newest = self.versions.get(key).and_then(|versions| versions.first());
        if let Some(newest) = newest.filter(|version| version.at > writes.snapshot || version.at >= writes.at) {
            return Err(KvError::WriteTooOld { key: key.clone(), newest: newest.at, by: newest.start }.into());
        }
        if mutation.must_be_absent && newest.is_some_and(|version| version.value.is_some()) {
            return Err(KvError::KeyExists { key: key.clone() }.into());
        }
        let above = self.cache.read_by_others(key, writes.txn);
        if above >= writes.at {
            return Err(KvError::Pushed { key: key.clone(), above }.into());
        }
        Ok(())
    }

    fn validate(&mut self, writes: &Writes, locked: &LockedKey) -> Outcome<()> {
        let lost = |by| Err(Stop::Fail(KvError::LockLost { key: locked.key.clone(), by }));
        let foreign_intent = self.intents.get(&locked.key).filter(|intent| intent.txn != writes.txn);
        let held = || self.locks.in_the_way(&locked.key, writes.txn, locked.mode);
        if let Some(by) = foreign_intent.map(|intent| intent.txn).or_else(held) {
            return lost(by);
        }
        if let Some(newer) = self.newest_above(&locked.key, locked.seen, locked.mode) {
            return lost(newer.start);
        }
        self.cache.raise(&Span::point(locked.key.clone()), writes.at, Some(writes.txn));
        Ok(())
    }

    fn apply(&mut self, txn: TxnId, at: Timestamp, mutation: Mutation) {
        let versions = self.versions.entry(mutation.key).or_default();
        let version = Version { at, start: txn, value: mutation.value, changes_key: mutation.changes_key };
        let place = versions.partition_point(|version| version.at > at);
        versions.insert(place, version);
    }

    // ---- the fate of transactions ----

    /// The intent at `key` is turned into what its transaction's record says, or has to be waited for.
    fn settle(&mut self, key: &Key) -> Outcome<()> {
        let Some(intent) = self.intents.get(key).cloned() else { return Ok(()) };
        let silent_since = self.records.get(&intent.txn).map_or(intent.laid, |record| record.last_sign);
        match self.query(intent.txn, silent_since) {
            TxnState::Committed { at } => self.resolve_key(key, Some(at)),
            TxnState::Aborted => self.resolve_key(key, None),
            TxnState::Missing | TxnState::Pending | TxnState::Staging { .. } => {
                let silent = self.now.since(silent_since);
                return Err(Stop::Wait((self.txn_expiry - silent).max(Duration::from_millis(1))));
            }
        }
        Ok(())
    }

    /// The state of a transaction; one that shows no sign of life is decided first.
    fn query(&mut self, txn: TxnId, silent_since: Mono) -> TxnState {
        let state = self.records.get(&txn).map_or(TxnState::Missing, |record| record.state.clone());
        if self.now.since(silent_since) < self.txn_expiry {
            return state;
        }
        let verdict = match state {
            TxnState::Missing | TxnState::Pending => TxnState::Aborted,
            TxnState::Staging { at, keys, .. } => match self.check(&CheckKeysRequest { txn, at, keys }) {
                CheckKeysReply::AllPresent => TxnState::Committed { at },
                CheckKeysReply::Committed { at } => TxnState::Committed { at },
                CheckKeysReply::Absent { .. } => TxnState::Aborted,
            },
            decided @ (TxnState::Committed { .. } | TxnState::Aborted) => decided,
        };
        self.set_record(txn, verdict.clone());
        verdict
    }

    fn set_record(&mut self, txn: TxnId, state: TxnState) {
        match state {
            TxnState::Committed { at } => self.oracle.decided(txn, Some(at)),
            TxnState::Aborted => self.oracle.decided(txn, None),
            TxnState::Missing | TxnState::Pending | TxnState::Staging { .. } => {}
        }
        self.records.insert(txn, Record { state, last_sign: self.now });
    }

    pub fn record(&mut self, request: &RecordRequest) -> KvResult<RangeReply> {
        let txn = request.txn;
        let state = self.records.get(&txn).map_or(TxnState::Missing, |record| record.state.clone());
        let undecided = !matches!(state, TxnState::Committed { .. } | TxnState::Aborted);
        let state = match &request.op {
            RecordOp::Commit { at, attempt } => match state {
                TxnState::Missing | TxnState::Pending => TxnState::Committed { at: *at },
                TxnState::Staging { at: staged, attempt: of, .. } if (staged, of) == (*at, *attempt) => {
                    TxnState::Committed { at: *at }
                }
                other => other,
            },
            RecordOp::Abort if undecided => TxnState::Aborted,
            RecordOp::Heartbeat if state == TxnState::Missing => TxnState::Pending,
            RecordOp::Recover { commit, at, attempt } => match state {
                TxnState::Staging { at: staged, attempt: of, .. } if (staged, of) == (*at, *attempt) => {
                    if *commit {
                        TxnState::Committed { at: *at }
                    } else {
                        TxnState::Aborted
                    }
                }
                other => other,
            },
            RecordOp::Query { .. } => {
                let silent_since = self.records.get(&txn).map_or(self.now, |record| record.last_sign);
                return Ok(RangeReply::Record(TxnRecord { state: self.query(txn, silent_since) }));
            }
            RecordOp::Abort | RecordOp::Heartbeat | RecordOp::Forget => state,
        };
        if state != TxnState::Missing {
            self.set_record(txn, state.clone());
        }
        Ok(RangeReply::Record(TxnRecord { state }))
    }

    pub fn check_keys(&mut self, request: &CheckKeysRequest) -> RangeReply {
        RangeReply::Checked(self.check(request))
    }

    fn check(&mut self, request: &CheckKeysRequest) -> CheckKeysReply {
        if let Some(at) = self.own_version(request.txn, request.keys.iter()) {
            return CheckKeysReply::Committed { at };
        }
        let mut absent = None;
        for key in &request.keys {
            let is_there =
                self.intents.get(key).is_some_and(|intent| intent.txn == request.txn && intent.at == request.at);
            if !is_there {
                // A foreign read, so that the transaction's own tie does not let a late prewrite in.
                self.cache.raise(&Span::point(key.clone()), request.at, None);
                absent.get_or_insert_with(|| key.clone());
            }
        }
        absent.map_or(CheckKeysReply::AllPresent, |key| CheckKeysReply::Absent { key })
    }

    pub fn resolve(&mut self, range: &Span, request: &ResolveRequest) -> RangeReply {
        let keys: Vec<Key> = match &request.keys {
            ResolveKeys::These(keys) => keys.clone(),
            ResolveKeys::Within(span) => {
                self.intents.range::<Key, _>(&span.start..&span.end).map(|(key, _)| key.clone()).collect()
            }
        };
        for key in keys {
            if self.intents.get(&key).is_some_and(|intent| intent.txn == request.txn) {
                self.resolve_key(&key, request.commit_at);
            }
        }
        self.locks.end(request.txn, range);
        RangeReply::Resolved
    }

    fn resolve_key(&mut self, key: &Key, commit_at: Option<Timestamp>) {
        let Some(intent) = self.intents.remove(key) else { return };
        if let Some(at) = commit_at {
            self.apply(intent.txn, at, intent.mutation);
        }
        self.locks.release(intent.txn, key);
    }

    // ---- for tests ----

    /// Versions, intents and records, one per line.
    pub fn describe(&self) -> Vec<String> {
        let show = |value: &Option<Bytes>| {
            value.as_ref().map_or("deleted".to_owned(), |value| value.escape_ascii().to_string())
        };
        let versions = self.versions.iter().map(|(key, versions)| {
            let each = versions.iter().map(|version| format!("{}{}", show(&version.value), version.at));
            format!("{} = {}", key.escape_ascii(), each.collect::<Vec<_>>().join(", "))
        });
        let intents = self.intents.iter().map(|(key, intent)| {
            let anchor = intent.anchor.escape_ascii();
            format!(
                "{} = intent {}{} of {}, anchor {anchor}",
                key.escape_ascii(),
                show(&intent.mutation.value),
                intent.at,
                intent.txn
            )
        });
        let records = self.records.iter().map(|(txn, record)| format!("{txn} is {:?}", record.state));
        versions.chain(intents).chain(records).collect()
    }
}

/// Between its first prewrite and its decision the younger of two transactions does not wait (rule 10).
fn give_way(txn: TxnId, holder: TxnId, key: &Key, holds_intents: bool) -> Option<Stop> {
    (holds_intents && txn > holder).then(|| Stop::Fail(KvError::GaveWay { key: key.clone(), holder }))
}
