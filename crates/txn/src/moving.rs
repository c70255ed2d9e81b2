//! # Moving to a later number
//!
//! A statement that has to run again, a READ COMMITTED statement that begins, and a commit whose number was refused
//! all fetch a fresh number. What the transaction used at the old one must hold at the new one:
//!
//! * the schema, which is asked of the [`SchemaGuard`](crate::SchemaGuard) where the catalog moved too;
//! * under SERIALIZABLE everything it has read: each range raises its read cache to the new number and says whether
//!   anybody committed in between (rule 14).

use keyspace::{Span, Timestamp};
use rpc::KvError;
use rpc::range::{RangeBody, RefreshRequest};

use crate::transaction::Core;
use crate::{Isolation, Stamp, TxnError, TxnResult};

impl Core {
    /// A number fetched now, at which the schema that was used still holds.
    pub async fn fresh_stamp(&self) -> TxnResult<Stamp> {
        let stamp = self.client.fresh().await?;
        let (old, guard) = {
            let state = self.state.lock();
            (state.stamp, state.guard.clone())
        };
        assert!(stamp.at > old.at, "the oracle's numbers grow");
        let same_catalog = stamp.catalog == old.catalog && !stamp.unsettled && !old.unsettled;
        if let (false, Some(guard)) = (same_catalog, guard)
            && let Some(what) = guard.changed_at(stamp, self.id).await?
        {
            return Err(TxnError::SchemaChanged { what });
        }
        Ok(stamp)
    }

    /// READ COMMITTED: what follows reads at a fresh number. The schema of a transaction that has written nothing yet may
    /// change under it: each statement is bound anew.
    pub async fn move_statement(&self) -> TxnResult<()> {
        let has_writes = !self.state.lock().buffer.is_empty();
        let stamp = if has_writes { self.fresh_stamp().await? } else { self.client.fresh().await? };
        self.state.lock().stamp = stamp;
        Ok(())
    }

    /// SERIALIZABLE: everything read so far holds at a fresh number too, at which the transaction goes on.
    pub async fn move_all(&self) -> TxnResult<()> {
        let stamp = self.fresh_stamp().await?;
        self.refresh(stamp.at).await?;
        self.state.lock().stamp = stamp;
        Ok(())
    }

    /// Did nobody commit into what was read, up to `to`?
    pub async fn refresh(&self, to: Timestamp) -> TxnResult<()> {
        let (reads, pins) = {
            let mut state = self.state.lock();
            let from = state.stamp.at;
            match self.isolation {
                Isolation::Serializable if state.reads.is_empty() => (None, Vec::new()),
                // Pinned spans are among what was read.
                Isolation::Serializable => (Some((state.reads.spans(), from)), Vec::new()),
                Isolation::ReadCommitted | Isolation::RepeatableRead => (None, state.pins.clone()),
            }
        };
        if let Some((spans, from)) = reads {
            self.refresh_spans(spans, from, to).await?;
        }
        for (_, from, span) in pins {
            self.refresh_spans(vec![span], from, to).await?;
        }
        Ok(())
    }

    async fn refresh_spans(&self, spans: Vec<Span>, from: Timestamp, to: Timestamp) -> TxnResult<()> {
        self.client.metrics.refreshes.inc();
        let request =
            |spans: &[Span]| RangeBody::Refresh(RefreshRequest { txn: self.id, spans: spans.to_vec(), from, to });
        let answers = self.client.router.scatter(spans, request).await;
        let failures = answers.into_iter().filter_map(|(_, answer)| answer.err());
        // A change that was found is certain; a range that did not answer may be asked again.
        match failures.min_by_key(|error| !matches!(error, KvError::ReadChanged { .. })) {
            None => Ok(()),
            Some(error) => {
                self.client.metrics.refreshes_failed.inc();
                Err(error.into())
            }
        }
    }
}
