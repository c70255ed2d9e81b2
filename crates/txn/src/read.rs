//! Point reads: all keys of a statement in one request per range, ranges in parallel.

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use keyspace::{Key, Span, Timestamp, TxnId};
use rpc::range::{LockSpec, LockWait, Newer, RangeBody, RangeReply, ReadOp, ReadReply, ReadRequest, Waits};
use smallvec::SmallVec;

use crate::route::{Patience, Route, Sent};
use crate::transaction::{Core, Visible};
use crate::{Conflict, Isolation, TxnError, TxnResult};

/// How often a constraint check looks again because what it locks changes under its hands.
pub(crate) const CHECK_TRIES_MAX: u32 = 5;

/// Positions in the caller's list of keys.
type Positions = SmallVec<[usize; 4]>;

/// What one request, or several, found out.
#[derive(Default)]
struct Found {
    rows: SmallVec<[(usize, Bytes); 4]>,
    newer: Option<Newer>,
    /// Not asked yet: the range turned out to be another one.
    rest: Positions,
}

impl Core {
    pub async fn get_many(
        &self,
        keys: &[Key],
        lock: Option<LockSpec>,
        visible: Visible,
        untracked: bool,
    ) -> TxnResult<Vec<Option<Bytes>>> {
        let lock = self.fill_in(lock)?;
        let is_check = untracked && !self.read_only;
        let mut values = vec![None; keys.len()];
        let (mut at, own, ask) = self.look_into_buffer(keys, lock.is_some(), visible)?;
        // A lock pins what it is granted on: if nothing newer was there, it is as good as a read now.
        let mut is_fresh = is_check && lock.is_none() && !ask.is_empty();
        if is_fresh {
            at = self.fresh_number_for_check().await?;
        }
        for tries in 1.. {
            let found = self.read_positions(keys, ask.clone(), at, lock).await?;
            let all_known = found.rows.len() == ask.len() || lock.is_some_and(|lock| lock.absent_too);
            let is_certain = found.newer.is_none() && (is_fresh || all_known);
            if is_check && !is_certain && tries < CHECK_TRIES_MAX {
                at = self.fresh_number_for_check().await?;
                is_fresh = true;
                continue;
            }
            if let Some(newer) = found.newer {
                return Err(self.newer_version(newer));
            }
            for (position, value) in found.rows {
                values[position] = Some(value);
            }
            break;
        }
        if self.isolation == Isolation::Serializable && !untracked && !self.read_only {
            let mut state = self.state.lock();
            for position in ask.iter().filter(|position| own.iter().all(|(mine, _)| mine != *position)) {
                state.reads.add_key(&keys[*position]);
            }
        }
        for (position, value) in own {
            values[position] = value;
        }
        Ok(values)
    }

    /// Own writes that the read sees, and which keys are to be asked for.
    fn look_into_buffer(
        &self,
        keys: &[Key],
        locks: bool,
        visible: Visible,
    ) -> TxnResult<(Timestamp, SmallVec<[(usize, Option<Bytes>); 1]>, Positions)> {
        let state = self.state.lock();
        let below = state.visible_below(visible);
        if !state.buffer.shows_anything(below) && state.owned.is_empty() {
            return Ok((state.stamp.at, SmallVec::new(), (0..keys.len()).collect()));
        }
        let mut own = SmallVec::new();
        let mut ask = Positions::new();
        for (position, key) in keys.iter().enumerate() {
            let written = state.buffer.get(key, below)?;
            if (written.is_none() || locks) && !state.owned.contains(key) {
                ask.push(position);
            }
            if let Some(value) = written {
                own.push((position, value));
            }
        }
        Ok((state.stamp.at, own, ask))
    }

    async fn read_positions(
        &self,
        keys: &[Key],
        mut ask: Positions,
        at: Timestamp,
        lock: Option<LockSpec>,
    ) -> TxnResult<Found> {
        let mut all = Found::default();
        let mut patience = Patience::for_lock_waits(lock.is_some());
        while !ask.is_empty() {
            let mut shares = self.divide_positions(keys, &ask, &mut patience).await?;
            ask.clear();
            if shares.len() == 1 {
                let (route, share) = shares.pop().expect("there is one");
                let found = self.read_share(keys, &route, share, at, lock, &mut patience).await?;
                ask.extend(all.add(found));
                continue;
            }
            let mut open: FuturesUnordered<_> = shares
                .into_iter()
                .map(|(route, share)| {
                    let mut patience = patience.clone();
                    async move { self.read_share(keys, &route, share, at, lock, &mut patience).await }
                })
                .collect();
            while let Some(found) = open.next().await {
                ask.extend(all.add(found?));
            }
        }
        Ok(all)
    }

    async fn divide_positions(
        &self,
        keys: &[Key],
        ask: &[usize],
        patience: &mut Patience,
    ) -> TxnResult<SmallVec<[(std::sync::Arc<Route>, Positions); 1]>> {
        let mut shares: SmallVec<[(std::sync::Arc<Route>, Positions); 1]> = SmallVec::new();
        for position in ask {
            let key = &keys[*position];
            match shares.iter_mut().find(|(route, _)| route.contains(key)) {
                Some((_, share)) => share.push(*position),
                None => {
                    let route = self.client.router.route(key, patience).await?;
                    shares.push((route, SmallVec::from_elem(*position, 1)));
                }
            }
        }
        Ok(shares)
    }

    /// Asks one range for its share, again as long as its answers are cut.
    async fn read_share(
        &self,
        keys: &[Key],
        route: &std::sync::Arc<Route>,
        share: Positions,
        at: Timestamp,
        lock: Option<LockSpec>,
        patience: &mut Patience,
    ) -> TxnResult<Found> {
        let mut found = Found::default();
        let mut done = 0;
        if lock.is_some() {
            self.ask_for_locks(share.iter().map(|position| &keys[*position]));
        }
        while done < share.len() {
            let ask = &share[done..];
            let request = || {
                let get = |position: &usize| ReadOp::Get { key: keys[*position].clone(), program: None };
                self.read_request(at, lock, ask.iter().map(get).collect())
            };
            let reply = match self.client.router.send(route, patience, request).await? {
                Sent::Answer(RangeReply::Read(reply)) => reply,
                Sent::Answer(other) => return Err(unexpected(&other)),
                Sent::Rerouted => {
                    found.rest.extend(ask.iter().copied());
                    break;
                }
            };
            if reply.results.is_empty() || reply.results.len() > ask.len() {
                return Err(TxnError::Corrupt {
                    what: format!("{} answers to {} reads", reply.results.len(), ask.len()),
                });
            }
            done += reply.results.len();
            self.note_waits(reply.waits);
            let seen = self.note_newer(&mut found.newer, &reply, at);
            for (position, result) in ask.iter().zip(reply.results) {
                let row = result.rows.into_iter().next();
                if let Some(lock) = lock.filter(|lock| row.is_some() || lock.absent_too) {
                    let mut state = self.state.lock();
                    let since = state.sequence;
                    state.locks.grant(&keys[*position], lock.mode, seen, since);
                }
                if let Some(row) = row {
                    found.rows.push((*position, row.value));
                }
            }
        }
        Ok(found)
    }

    // ---- shared with scans ----

    pub(crate) fn read_request(&self, at: Timestamp, lock: Option<LockSpec>, reads: Vec<ReadOp>) -> RangeBody {
        RangeBody::Read(ReadRequest {
            at,
            txn: self.reader(),
            reads,
            lock,
            bytes_max: self.client.env.knobs().scan_page_bytes,
        })
    }

    fn reader(&self) -> Option<TxnId> {
        if self.historic { self.reads_for } else { Some(self.id) }
    }

    /// The transaction's lock timeout, where the statement names none.
    pub(crate) fn fill_in(&self, lock: Option<LockSpec>) -> TxnResult<Option<LockSpec>> {
        let Some(mut lock) = lock else { return Ok(None) };
        if self.read_only {
            return Err(TxnError::ReadOnly);
        }
        if lock.wait == (LockWait::Block { timeout: None }) {
            lock.wait = LockWait::Block { timeout: self.state.lock().lock_timeout };
        }
        Ok(Some(lock))
    }

    /// A number issued now, for a constraint check; the transaction commits above it.
    pub(crate) async fn fresh_number_for_check(&self) -> TxnResult<Timestamp> {
        let at = self.client.fresh().await?.at;
        self.state.lock().raise_commit_floor(at);
        Ok(at)
    }

    fn ask_for_locks<'a>(&self, keys: impl Iterator<Item = &'a Key> + Clone) {
        let (Some(first), Some(last)) = (keys.clone().min(), keys.max()) else { return };
        self.ask_for_locks_in(Span::new(first.clone(), last.successor()));
    }

    pub(crate) fn note_waits(&self, waits: Waits) {
        if waits != Waits::default() {
            self.state.lock().waits += waits;
        }
    }

    /// Takes a reply's `newer` over; answers with the number up to which the granted keys are known.
    pub(crate) fn note_newer(&self, newer: &mut Option<Newer>, reply: &ReadReply, at: Timestamp) -> Timestamp {
        let known = reply.newer.as_ref().map_or(at, |newer| newer.at.max(at));
        *newer = newer.take().max(reply.newer.clone());
        known
    }

    /// A row that was locked has a version that the statement's number does not show.
    pub(crate) fn newer_version(&self, newer: Newer) -> TxnError {
        match self.isolation {
            Isolation::RepeatableRead => {
                TxnError::serialization(Conflict::Overwritten, Some(newer.key), Some(newer.by))
            }
            Isolation::ReadCommitted | Isolation::Serializable => TxnError::StatementRestart { newer },
        }
    }
}

impl Found {
    /// Answers with what is still to be asked.
    fn add(&mut self, other: Found) -> Positions {
        self.rows.extend(other.rows);
        self.newer = self.newer.take().max(other.newer);
        other.rest
    }
}

pub(crate) fn unexpected(reply: &RangeReply) -> TxnError {
    TxnError::Corrupt { what: format!("an answer to another question: {reply:?}") }
}
