//! # Scans
//!
//! A scan asks range after range for pages and merges the transaction's own writes over them: an own value stands in for
//! the range's row, an own delete hides it. Each page covers a stretch of keys completely, also the keys that are not
//! there; that stretch is what enters the read set.
//!
//! Pages begin small and grow, so that a reader who stops early has caused little, and one who does not pays few
//! requests.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use keyspace::{Key, Span, Timestamp};
use rpc::range::{KeyValue, LockSpec, Newer, RangeReply, ReadOp, ReadReply, ScanOp};

use crate::read::{CHECK_TRIES_MAX, unexpected};
use crate::read_ahead::{Answer, ReadAhead};
use crate::route::{Patience, Route, Sent};
use crate::transaction::{Core, Sequence, Visible};
use crate::{Isolation, TxnError, TxnResult};

#[derive(Clone, Debug)]
pub struct ScanSpec {
    pub span: Span,
    pub reverse: bool,
    /// Rows after the program that the reader wants at most; 0 is no limit.
    pub rows_max: u64,
    /// A push-down program; must be `None` where [`Transaction::has_buffered_writes_in`](crate::Transaction::has_buffered_writes_in) the span.
    pub program: Option<Bytes>,
    pub lock: Option<LockSpec>,
    pub visible: Visible,
    /// Reads that are not refreshed when the transaction moves (foreign key checks, rule 20; sequences).
    pub untracked: bool,
}

/// A scan in progress.
pub struct Scan {
    core: Arc<Core>,
    spec: ScanSpec,
    /// Where a weaker level reads, from the first page to the last.
    at: Timestamp,
    below: Sequence,
    /// Not asked for yet.
    left: Option<Span>,
    rows_left: u64,
    page_rows: u64,
    /// Asked for and not yet handed out: rows of a range, and the stretch of keys they cover.
    fetched: VecDeque<KeyValue>,
    covered: Option<Span>,
    check_number: Option<Timestamp>,
    ahead: ReadAhead,
}

const FIRST_PAGE_ROWS: u64 = 512;

/// A scan without a limit never comes near it.
const MANY_ROWS: u64 = 1 << 62;

/// Own writes merged into one page at most.
const OWN_ROWS_MAX: usize = 4096;

impl Scan {
    pub(crate) fn new(core: Arc<Core>, spec: ScanSpec) -> Scan {
        let (at, below) = {
            let mut state = core.state.lock();
            (state.stamp.at, state.open_view(spec.visible))
        };
        Scan {
            at,
            below,
            left: (!spec.span.is_empty()).then(|| spec.span.clone()),
            rows_left: if spec.rows_max == 0 { u64::MAX } else { spec.rows_max },
            page_rows: FIRST_PAGE_ROWS,
            fetched: VecDeque::new(),
            covered: None,
            check_number: None,
            ahead: ReadAhead::default(),
            core,
            spec,
        }
    }

    /// The next rows; empty at the end.
    pub async fn next_page(&mut self) -> TxnResult<Vec<KeyValue>> {
        while self.rows_left > 0 {
            if self.covered.is_none() {
                let Some(left) = self.left.take() else { break };
                self.fetch(left).await?;
            }
            let page = self.merge()?;
            if !page.is_empty() {
                self.rows_left -= page.len() as u64;
                return Ok(page);
            }
        }
        Ok(Vec::new())
    }

    // ---- asking ranges ----

    async fn fetch(&mut self, left: Span) -> TxnResult<()> {
        if self.core.state.lock().owned.contains_span(&left) {
            // No range has anything to add.
            self.covered = Some(left);
            return Ok(());
        }
        let lock = self.core.fill_in(self.spec.lock)?;
        let mut patience = Patience::for_lock_waits(lock.is_some());
        let mut tries = 0;
        loop {
            let route = next_range(&self.core, &left, self.spec.reverse, &mut patience).await?;
            let piece = route.span().intersection(&left);
            self.forbid_program_over_own_writes(&piece)?;
            if let Some(lock) = lock {
                assert!(!lock.absent_too, "a scan locks the rows it returns");
                self.core.ask_for_locks_in(piece.clone());
            }
            let at = self.number().await?;
            let Some(reply) = self.page(route, &piece, &left, at, lock, &mut patience).await? else { continue };
            self.core.note_waits(reply.waits);
            let newer = self.note_locks(&reply, at, lock);
            if let Some(newer) = newer {
                tries += 1;
                if self.is_check() && tries < CHECK_TRIES_MAX {
                    self.check_number = None;
                    continue;
                }
                return Err(self.core.newer_version(newer));
            }
            return self.take(reply, left, piece);
        }
    }

    /// One page of one range; `None` if the range is another one now.
    async fn page(
        &mut self,
        route: Arc<Route>,
        piece: &Span,
        left: &Span,
        at: Timestamp,
        lock: Option<LockSpec>,
        patience: &mut Patience,
    ) -> Answer {
        self.read_ahead(piece, left, at);
        if let Some(answer) = self.ahead.take(piece, at).await {
            return answer;
        }
        let question = self.question(route, piece.clone(), at, lock, self.rows_left.min(self.page_rows));
        self.ahead.alongside(question.ask(&self.core, patience)).await
    }

    /// Asks the ranges after `piece`, if the scan is going to need them: it has no limit, and has not stopped after its
    /// first page, or has a program, which makes little of much.
    fn read_ahead(&mut self, piece: &Span, left: &Span, at: Timestamp) {
        let is_under_way = self.page_rows > FIRST_PAGE_ROWS || self.spec.program.is_some();
        if self.rows_left < u64::MAX - MANY_ROWS || !is_under_way || self.spec.lock.is_some() || self.is_check() {
            return;
        }
        while self.ahead.has_room() {
            let reached = self.ahead.last().unwrap_or(piece);
            let router = &self.core.client.router;
            let (rest, route) = if self.spec.reverse {
                (Span::new(left.start.clone(), reached.start.clone()), router.cached_before(&reached.start))
            } else {
                (Span::new(reached.end.clone(), left.end.clone()), router.cached(&reached.end))
            };
            let Some(route) = route.filter(|_| !rest.is_empty()) else { return };
            let next = route.span().intersection(&rest);
            if next.is_empty() || self.forbid_program_over_own_writes(&next).is_err() {
                return;
            }
            let rows_max = self.core.client.env.knobs().scan_page_rows as u64;
            let (question, core) = (self.question(route, next.clone(), at, None, rows_max), self.core.clone());
            self.ahead.push(next, at, Box::pin(async move { question.ask(&core, &mut Patience::new()).await }));
        }
    }

    fn question(
        &self,
        route: Arc<Route>,
        span: Span,
        at: Timestamp,
        lock: Option<LockSpec>,
        rows_max: u64,
    ) -> Question {
        let (reverse, program) = (self.spec.reverse, self.spec.program.clone());
        Question { route, scan: ScanOp { span, reverse, rows_max, program }, at, lock }
    }

    /// SERIALIZABLE reads where the transaction is now; what it read before holds there too. Others read where the scan
    /// began. A constraint check reads what holds now.
    async fn number(&mut self) -> TxnResult<Timestamp> {
        if self.is_check() {
            return match self.check_number {
                Some(at) => Ok(at),
                None => Ok(*self.check_number.insert(self.core.fresh_number_for_check().await?)),
            };
        }
        Ok(match self.core.isolation {
            Isolation::Serializable => self.core.state.lock().stamp.at,
            Isolation::ReadCommitted | Isolation::RepeatableRead => self.at,
        })
    }

    fn is_check(&self) -> bool {
        self.spec.untracked && !self.core.read_only
    }

    fn note_locks(&self, reply: &ReadReply, at: Timestamp, lock: Option<LockSpec>) -> Option<Newer> {
        let lock = lock?;
        let mut newer = None;
        let seen = self.core.note_newer(&mut newer, reply, at);
        let mut state = self.core.state.lock();
        let since = state.sequence;
        for row in reply.results.iter().flat_map(|result| &result.rows) {
            state.locks.grant(&row.key, lock.mode, seen, since);
        }
        newer
    }

    fn take(&mut self, mut reply: ReadReply, left: Span, piece: Span) -> TxnResult<()> {
        let result = reply.results.pop().filter(|_| reply.results.is_empty());
        let result = result.ok_or_else(|| TxnError::Corrupt { what: "a scan that was not answered".to_owned() })?;
        let covered = match (&result.resume, self.spec.reverse) {
            (None, _) => piece,
            (Some(resume), false) => Span::new(piece.start, resume.start.clone()),
            (Some(resume), true) => Span::new(resume.end.clone(), piece.end),
        };
        if covered.is_empty() {
            return Err(TxnError::Corrupt { what: format!("a scan of {left} that does not get on") });
        }
        let rest = if self.spec.reverse {
            Span::new(left.start, covered.start.clone())
        } else {
            Span::new(covered.end.clone(), left.end)
        };
        self.left = (!rest.is_empty()).then_some(rest);
        if self.core.isolation == Isolation::Serializable && !self.spec.untracked && !self.core.read_only {
            self.core.state.lock().reads.add_span(covered.clone());
        }
        self.fetched = result.rows.into();
        self.covered = Some(covered);
        self.page_rows = (self.page_rows * 4).min(self.core.client.env.knobs().scan_page_rows as u64).max(1);
        Ok(())
    }

    // ---- merging own writes ----

    fn forbid_program_over_own_writes(&self, piece: &Span) -> TxnResult<()> {
        if self.spec.program.is_none() {
            return Ok(());
        }
        let state = self.core.state.lock();
        if state.buffer.page(piece, false, self.below, 1)?.entries.is_empty() {
            return Ok(());
        }
        Err(TxnError::NotSupported {
            what: "a program that runs at the range over rows written by the transaction".to_owned(),
        })
    }

    /// The next rows out of what is fetched and what is buffered.
    fn merge(&mut self) -> TxnResult<Vec<KeyValue>> {
        let covered = self.covered.take().expect("there is something to merge");
        let own = {
            let state = self.core.state.lock();
            let rows_max = OWN_ROWS_MAX.min(usize::try_from(self.rows_left).unwrap_or(OWN_ROWS_MAX)).max(1);
            state.buffer.page(&covered, self.spec.reverse, self.below, rows_max)?
        };
        if own.entries.is_empty() && own.rest.is_none() {
            let mut page = Vec::from(std::mem::take(&mut self.fetched));
            page.truncate(usize::try_from(self.rows_left).unwrap_or(usize::MAX));
            return Ok(page);
        }
        let start = self.core.id.start();
        let mut page = Vec::with_capacity(own.entries.len() + self.fetched.len());
        for (key, value) in own.entries {
            while let Some(row) = self.fetched.pop_front_if(|row| self.spec.comes_before(&row.key, &key)) {
                page.push(row);
            }
            self.fetched.pop_front_if(|row| row.key == key);
            if let Some(value) = value {
                page.push(KeyValue { key, value, at: start });
            }
        }
        match own.rest {
            // Range rows beyond the last own write may have own writes among them that were not looked up yet.
            Some(rest) => self.covered = Some(rest),
            None => page.extend(self.fetched.drain(..)),
        }
        page.truncate(usize::try_from(self.rows_left).unwrap_or(usize::MAX));
        Ok(page)
    }
}

async fn next_range(core: &Core, left: &Span, reverse: bool, patience: &mut Patience) -> TxnResult<Arc<Route>> {
    let router = &core.client.router;
    Ok(if reverse {
        router.route_before(&left.end, patience).await?
    } else {
        router.route(&left.start, patience).await?
    })
}

/// A page of one range.
struct Question {
    route: Arc<Route>,
    scan: ScanOp,
    at: Timestamp,
    lock: Option<LockSpec>,
}

impl Question {
    async fn ask(self, core: &Core, patience: &mut Patience) -> Answer {
        let request = || core.read_request(self.at, self.lock, vec![ReadOp::Scan(self.scan.clone())]);
        match core.client.router.send(&self.route, patience, request).await? {
            Sent::Answer(RangeReply::Read(reply)) => Ok(Some(reply)),
            Sent::Answer(other) => Err(unexpected(&other)),
            Sent::Rerouted => Ok(None),
        }
    }
}

impl ScanSpec {
    fn comes_before(&self, a: &Key, b: &Key) -> bool {
        if self.reverse { a > b } else { a < b }
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        self.core.state.lock().close_view(self.below);
    }
}
