//! Portals: statements with their parameters, and how far they have run. SQL's cursors are portals too.
//!
//! A portal that is fetched piece by piece keeps its operators in the middle of their work, as a future that owns the plan
//! and hands over batches ([`RunningQuery`]). Statements that change rows run to their end at the first Execute.
//!
//! Later statements of the transaction must not change what a portal still reads. Its scans keep their view of the
//! transaction's own writes, but operators that have not started have none yet: before a statement writes, or reads at
//! another number, open portals are read to their end into memory ([`RunningQuery::settle`]).

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use env::Budget;
use expr::{Datum, Row};
use tokio::sync::mpsc;

use super::Session;
use super::prepared::{Planned, Prepared};
use super::run::Limit;
use crate::exec::{self, Context, HeldRows};
use crate::plan::Field;
use crate::{SqlError, SqlResult};

pub(super) struct Portal {
    pub prepared: Arc<Prepared>,
    /// What the client was told at Parse.
    pub promised: Option<Arc<Planned>>,
    pub params: Vec<Datum>,
    pub progress: Progress,
    /// `DECLARE`: with its name and options for `pg_cursors`.
    pub cursor: Option<Cursor>,
    /// Savepoints that were open when it was made.
    depth: usize,
}

pub(super) enum Progress {
    NotStarted,
    Running {
        query: RunningQuery,
        planned: Arc<Planned>,
    },
    /// All its rows have been given out.
    Done,
}

pub(super) struct Cursor {
    pub hold: bool,
    /// Rows behind the position are kept, to go back to.
    pub scroll: bool,
    pub binary: bool,
    pub declared_at: i64,
    /// All rows read so far, if it can go back; else none.
    pub seen: Option<HeldRows>,
    /// Rows before the position: 0 is before the first row, n is on the nth.
    pub position: u64,
    pub fields: Vec<Field>,
}

impl Cursor {
    /// Does it stand after the last row already, `ahead` rows further than its position says?
    pub fn at_end(&self, ahead: u64) -> bool {
        self.seen.as_ref().is_some_and(|seen| self.position + ahead > seen.len() as u64)
    }
}

impl Portal {
    pub fn new(prepared: Arc<Prepared>, promised: Option<Arc<Planned>>, params: Vec<Datum>, depth: usize) -> Portal {
        Portal { prepared, promised, params, progress: Progress::NotStarted, cursor: None, depth }
    }

    pub fn depth(&self) -> usize {
        self.depth
    }

    fn is_held(&self) -> bool {
        self.cursor.as_ref().is_some_and(|cursor| cursor.hold)
    }
}

/// A query that gives its rows when they are asked for.
pub(super) struct RunningQuery {
    /// `None`: it has come to its end.
    work: Option<Pin<Box<dyn Future<Output = SqlResult<()>> + Send>>>,
    batches: mpsc::Receiver<Vec<Row>>,
    ready: VecDeque<Row>,
    /// Rows that were read ahead.
    settled: Option<HeldRows>,
    memory: Budget,
}

impl RunningQuery {
    pub fn start(planned: Arc<Planned>, ctx: Context) -> RunningQuery {
        let (send, batches) = mpsc::channel(1);
        let memory = ctx.shared.memory.clone();
        let work = Box::pin(async move {
            let mut root = exec::open(&planned.plan, &exec::Scope::default())?;
            while let Some(rows) = root.next(&ctx).await? {
                // Nobody listens any more when the portal is closed; the future is dropped then.
                let _closed = send.send(rows).await;
            }
            Ok(())
        });
        RunningQuery { work: Some(work), batches, ready: VecDeque::new(), settled: None, memory }
    }

    /// At most `count` rows; fewer only at the end.
    pub async fn fetch(&mut self, count: usize) -> SqlResult<Vec<Row>> {
        while self.ready.len() < count {
            match self.next_batch().await? {
                Some(rows) => self.ready.extend(rows),
                None => break,
            }
        }
        let count = count.min(self.ready.len());
        Ok(self.ready.drain(..count).collect())
    }

    /// Reads everything that is left into memory.
    pub async fn settle(&mut self) -> SqlResult<()> {
        if self.work.is_none() {
            return Ok(());
        }
        let mut held = HeldRows::charged_to(self.memory.reservation());
        while let Some(rows) = self.next_batch().await? {
            held.extend(rows)?;
        }
        self.ready.extend(held.rows().iter().cloned());
        self.settled = Some(held);
        Ok(())
    }

    async fn next_batch(&mut self) -> SqlResult<Option<Vec<Row>>> {
        let Some(work) = &mut self.work else { return Ok(None) };
        tokio::select! {
            biased;
            rows = self.batches.recv() => Ok(rows),
            result = work => {
                self.work = None;
                result?;
                // The last batch may have been handed over just before the end.
                Ok(self.batches.try_recv().ok())
            }
        }
    }
}

impl Session {
    pub(super) fn depth(&self) -> usize {
        self.block.as_ref().map_or(0, |block| block.depth())
    }

    /// The transaction is over: only cursors that were declared WITH HOLD, and that have been read to their end, stay.
    pub(super) fn close_portals_of_block(&mut self) {
        self.portals.retain(|_, portal| match &portal.progress {
            Progress::Running { query, .. } => portal.is_held() && query.work.is_none(),
            Progress::NotStarted | Progress::Done => portal.is_held(),
        });
    }

    /// Before COMMIT: cursors WITH HOLD read what they have not read yet.
    pub(super) async fn keep_held_cursors(&mut self) -> SqlResult<()> {
        let limit = self.limit();
        for portal in self.portals.values_mut() {
            if let (true, Progress::Running { query, .. }) = (portal.is_held(), &mut portal.progress) {
                limit.run(query.settle()).await?;
            }
        }
        Ok(())
    }

    /// Before the transaction changes under them: open portals read what they have not read yet.
    pub(super) async fn settle_portals(&mut self, limit: &Limit) -> SqlResult<()> {
        for portal in self.portals.values_mut() {
            if let Progress::Running { query, .. } = &mut portal.progress {
                limit.run(query.settle()).await?;
            }
        }
        Ok(())
    }
}

pub(super) fn no_such_cursor(name: &str) -> SqlError {
    SqlError::new("34000", format!("cursor \"{name}\" does not exist"))
}
