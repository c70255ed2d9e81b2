//! # Much, into places that nobody knows
//!
//! A commit over several requests writes each row three times: into the log, as an intent, as a version. What goes into a
//! span that the transaction [owns](crate::Transaction::own) needs no intent: whether others ever look there is decided
//! by a row elsewhere, the catalog's, which the transaction commits afterwards. So it is written ahead, request by
//! request, as transactions of their own, each of one range and one round.
//!
//! ```text
//! notes committed          which spans are about to be written
//! rows committed           at numbers below that of the commit
//! the commit itself        writes the catalog, and claims the spans
//! ```
//!
//! Should it fail anywhere, a note without a claim says where the rows lie that nobody will ever see.

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use keyspace::{Key, Span};

use super::{Commit, REQUEST_BYTES_MAX};
use crate::buffer::{Batch, Write};
use crate::owned::AheadRows;
use crate::{Isolation, TxnClient, TxnError, TxnOptions, TxnResult};

/// Requests under way at once. A range takes one after the other, and builds the next while the last is synced.
const PARALLEL_MAX: usize = 4;

type Row = (Key, Write);

fn put(value: Option<Bytes>) -> Write {
    Write { value, changes_key: false, must_be_absent: false }
}

impl Commit<'_> {
    /// Writes what can be written ahead, if it is more than fits into one request.
    pub(super) async fn write_ahead(&mut self) -> TxnResult<()> {
        let spans = self.choose()?;
        if spans.is_empty() {
            return Ok(());
        }
        self.core.client.metrics.commits_ahead.inc();
        let note = |rows: &AheadRows| (rows.note.0.clone(), put(Some(rows.note.1.clone())));
        self.alone(spans.iter().map(|(_, rows)| note(rows)).collect()).await?;
        {
            let state = &mut *self.core.state.lock();
            for (_, rows) in &spans {
                let claim = Write { must_be_absent: true, ..put(Some(Bytes::new())) };
                state.buffer.put(rows.claim.clone(), claim, state.sequence, state.sequence)?;
            }
        }
        for (span, _) in &spans {
            self.write_span(span).await?;
        }
        self.dealt_with.extend(spans.into_iter().map(|(span, _)| span));
        self.dealt_with.sort_unstable_by(|a, b| a.start.cmp(&b.start));
        Ok(())
    }

    /// The spans to write ahead. Those that the transaction has itself given up again are not written at all.
    fn choose(&mut self) -> TxnResult<Vec<(Span, AheadRows)>> {
        let core = self.core;
        let state = core.state.lock();
        if state.buffer.bytes() < REQUEST_BYTES_MAX && state.buffer.runs() == 0 {
            return Ok(Vec::new());
        }
        let mut chosen = Vec::new();
        for (span, rows) in state.owned.ahead() {
            if state.buffer.writes(&rows.given_up)? {
                self.dealt_with.push(span);
            } else if state.buffer.fill_batch(&span, &mut Batch::new(REQUEST_BYTES_MAX), |_, _| ())?.is_some() {
                chosen.push((span, rows.clone()));
            }
        }
        Ok(chosen)
    }

    async fn write_span(&self, span: &Span) -> TxnResult<()> {
        let mut open = FuturesUnordered::new();
        let mut from = Some(span.start.clone());
        loop {
            while open.len() < PARALLEL_MAX {
                let Some(start) = from.take() else { break };
                let mut batch = Batch::new(REQUEST_BYTES_MAX);
                let left = Span::new(start, span.end.clone());
                from = self.core.state.lock().buffer.fill_batch(&left, &mut batch, |key, write| (key, write))?;
                open.push(self.alone(batch.writes));
            }
            let Some(written) = open.next().await else { return Ok(()) };
            written?;
        }
    }

    /// Commits rows in a transaction of their own.
    async fn alone(&self, rows: Vec<Row>) -> TxnResult<()> {
        let client = TxnClient::of(self.core.client.clone());
        let txn = client.begin(TxnOptions { isolation: Isolation::ReadCommitted, ..TxnOptions::default() }).await?;
        // (A delete would be of a row that this transaction has written itself.)
        for (key, write) in rows.into_iter().filter(|(_, write)| write.value.is_some()) {
            txn.put(key, write.value, false)?;
        }
        match Box::pin(txn.commit()).await {
            Ok(_) => Ok(()),
            // Whether it happened or not, nobody will see it.
            Err(TxnError::OutcomeUnknown { why }) => Err(TxnError::Unavailable { why }),
            Err(error) => Err(error),
        }
    }
}
