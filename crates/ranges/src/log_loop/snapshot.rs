//! Snapshots: the whole state of a range for a replica that starts, or lags behind the log.
//!
//! ```text
//!   leader                                     replica
//!   raft wants one: the engine's state now
//!     ── Chunk 0 ─────────────────────────►  kept aside, in the local family
//!     ◄─────────────────────── Received 1 ──
//!     ── Chunk 1 … n-1 ───────────────────►
//!     ── Finish (head, raft's message) ───►  does raft want it? then, in one synced batch:
//!                                             log reset + marker "installing"
//!     ◄─────────────────────── Received ∞ ──  clear the span, copy the chunks, flush   (not on the loop)
//! ```
//!
//! * The old state is valid until everything has arrived; a lost chunk is sent again, a broken transfer
//!   starts anew.
//! * Putting it in place is several steps; the durable marker has them redone on start (rule 28).
//! * Few snapshots are on their way at a time, and neither side's loop waits for one.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use env::{Mono, hesitate, probe};
use keyspace::{NodeId, RangeId, ReplicaId};
use rpc::RaftEnvelope;
use storage::{Batch, Durability, Engine};
use tokio::sync::mpsc;

use super::peer::{Halt, Incoming};
use super::{Input, LogLoop};
use crate::consensus::{Outgoing, RaftMessage, SnapshotAt};
use crate::peer_message::PeerMessage;
use crate::state::{self, Installing};
use crate::store::Shared;

/// Snapshots that a node sends at a time.
const TRANSFERS_MAX: usize = 2;
const CHUNK_BYTES: usize = 512 << 10;
/// Times that a part is sent before the transfer is given up.
const TRIES_MAX: usize = 5;
/// What acknowledges the whole.
const ALL: u64 = u64::MAX;

/// Snapshots on their way from here: where to send acknowledgements. `None` is a refusal.
#[derive(Default)]
pub struct Transfers {
    next_id: u64,
    under_way: BTreeMap<u64, mpsc::UnboundedSender<Option<u64>>>,
}

impl Transfers {
    pub fn acknowledge(&self, id: u64, next: Option<u64>) {
        if let Some(transfer) = self.under_way.get(&id) {
            let _ended = transfer.send(next);
        }
    }
}

impl LogLoop {
    /// raft has made up its mind to send a snapshot; `state` is the range at that point.
    pub(super) fn send_snapshot(
        &mut self,
        range: RangeId,
        to: ReplicaId,
        accept: RaftMessage,
        state: Option<Outgoing>,
    ) {
        let Some(peer) = self.peers.get_mut(&range) else { return };
        let head = state.and_then(|outgoing| {
            let head = head_of(&*outgoing.state, peer, to, outgoing.index).ok()?;
            Some((head, outgoing.state, peer.node_of(to)?))
        });
        let Some((head, state, node)) = head.filter(|_| self.transfers.under_way.len() < TRANSFERS_MAX) else {
            peer.consensus.report_snapshot(to, false);
            return self.mark_dirty(range);
        };
        self.transfers.next_id += 1;
        // Told apart from transfers of this node's earlier lives, whose answers may still be on their way.
        let id = self.shared.env.random_u64() & (u64::MAX << 16) | self.transfers.next_id & 0xffff;
        let (acknowledge, acknowledged) = mpsc::unbounded_channel();
        self.transfers.under_way.insert(id, acknowledge);
        let transfer = Transfer {
            shared: self.shared.clone(),
            range,
            from: peer.replica.id,
            to: (node, to),
            id,
            head,
            acknowledged,
        };
        tracing::info!(%range, %to, index = transfer.head.index, "sending a snapshot");
        self.allow_snapshots();
        self.shared.env.spawn("snapshot", transfer.run(Arc::from(state), accept));
    }

    pub(super) fn snapshot_sent(&mut self, range: RangeId, to: ReplicaId, id: u64, arrived: bool) {
        self.transfers.under_way.remove(&id);
        self.allow_snapshots();
        tracing::info!(%range, %to, arrived, "a snapshot has been sent");
        if let Some(peer) = self.touch(range) {
            peer.consensus.report_snapshot(to, arrived);
        }
    }

    fn allow_snapshots(&mut self) {
        let allowed = self.transfers.under_way.len() < TRANSFERS_MAX;
        for peer in self.peers.values_mut() {
            peer.consensus.allow_snapshots(allowed);
        }
    }

    /// A part of a snapshot arrives. Parts come in order; what does not fit is answered with what is wanted.
    pub(super) fn chunk(&mut self, range: RangeId, from: ReplicaId, id: u64, number: u64, data: Bytes) {
        let Some(peer) = self.peers.get_mut(&range) else { return };
        if peer.halted.is_some() || peer.consensus.is_leader() {
            return self.enqueue(range, from, &PeerMessage::Declined { id });
        }
        let mut batch = Batch::new();
        if number == 0 && peer.incoming.as_ref().is_none_or(|incoming| incoming.id != id) {
            state::clear_chunks(&mut batch, range);
            peer.incoming = Some(Incoming { id, next: 0, head: None });
        }
        let Some(incoming) = peer.incoming.as_mut().filter(|incoming| incoming.id == id && incoming.head.is_none())
        else {
            return self.enqueue(range, from, &PeerMessage::Declined { id });
        };
        if number == incoming.next {
            incoming.next += 1;
            state::put_chunk(&mut batch, range, number, data);
        }
        let next = incoming.next;
        // Logged, like the marker that will rely on them: synced together with it.
        if let Err(error) = self.shared.engine.write(&batch, Durability::Logged) {
            tracing::error!(%range, %error, "a part of a snapshot could not be kept");
            return self.enqueue(range, from, &PeerMessage::Declined { id });
        }
        self.enqueue(range, from, &PeerMessage::Received { id, next });
    }

    /// All parts are here. Whether the snapshot is wanted is raft's decision.
    pub(super) fn finish(
        &mut self,
        range: RangeId,
        from: ReplicaId,
        id: u64,
        chunks: u64,
        head: Bytes,
        accept: RaftMessage,
        now: Mono,
    ) {
        let Some(peer) = self.peers.get(&range) else { return };
        if matches!(peer.halted, Some(Halt::Installing))
            && peer.incoming.as_ref().is_some_and(|incoming| incoming.id == id)
        {
            return self.enqueue(range, from, &PeerMessage::Received { id, next: ALL });
        }
        let fits = peer.incoming.as_ref().is_some_and(|incoming| incoming.id == id && incoming.next == chunks);
        let head = Installing::decode(head)
            .ok()
            .filter(|head| fits && head.chunks == chunks && self.has_room_for(range, head));
        let Some(head) = head.filter(|head| {
            accept.snapshot.as_ref().is_some_and(|snapshot| snapshot.get_metadata().index == head.index)
        }) else {
            return self.enqueue(range, from, &PeerMessage::Declined { id });
        };
        if let Some(Incoming { head: slot, .. }) = self.peers.get_mut(&range).and_then(|peer| peer.incoming.as_mut()) {
            *slot = Some(head);
        }
        self.step(range, from, accept, now);
        self.enqueue(range, from, &PeerMessage::Received { id, next: ALL });
    }

    /// No other range here may hold keys of the snapshot: one whose split is still to be applied, say.
    fn has_room_for(&self, range: RangeId, head: &Installing) -> bool {
        let is_us = head.identity.descriptor.id == range
            && self.peers.get(&range).is_some_and(|peer| peer.replica.id == head.identity.replica);
        let span = &head.identity.descriptor.span;
        let others = self.peers.values().filter(|peer| peer.replica.range != range && peer.is_initialized());
        is_us && !others.into_iter().any(|peer| peer.descriptor().span.overlaps(span))
    }

    /// raft accepted: the marker goes into the batch that resets the log.
    pub(super) fn accept_snapshot(
        &mut self,
        range: RangeId,
        at: SnapshotAt,
        log: &mut Batch,
    ) -> Option<Box<Installing>> {
        let peer = self.peers.get_mut(&range)?;
        let head = peer.incoming.as_ref().and_then(|incoming| incoming.head.clone());
        let installing = head.filter(|head| (head.index, head.term) == (at.index, at.term));
        let installing = installing.expect("raft accepts a snapshot only from the message that came with its state");
        state::put_installing(log, range, &installing);
        peer.halted = Some(Halt::Installing);
        peer.replica.leadership.pause();
        Some(Box::new(installing))
    }

    /// The marker is durable: the rest is done beside the loop.
    pub(super) fn install(&mut self, range: RangeId, installing: Box<Installing>) {
        let old_span =
            self.peers.get(&range).filter(|peer| peer.is_initialized()).map(|peer| peer.descriptor().span.clone());
        let (shared, env) = (self.shared.clone(), self.shared.env.clone());
        self.shared.env.spawn("install snapshot", async move {
            hesitate!(&env, "hesitated_with_a_snapshot", 0.1);
            let engine = shared.engine.clone();
            let outcome =
                env.blocking(move || put_in_place(&*engine, &installing, old_span.as_ref()).map(|()| installing));
            let outcome = outcome.await;
            let _stopped = shared.inbox.send(Input::Installed { range, outcome });
        });
    }

    pub(super) fn installed(&mut self, range: RangeId, outcome: storage::Result<Box<Installing>>) {
        let Some(peer) = self.peers.get_mut(&range) else { return };
        let loaded = outcome.and_then(|installing| {
            let snapshot = self.shared.engine.snapshot();
            let intents = crate::intents::load(&*snapshot, &installing.identity.descriptor.span)?;
            Ok((installing, intents))
        });
        let (installing, intents) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                let defect =
                    crate::consensus::Defect::Unreadable(format!("a snapshot could not be put in place: {error}"));
                return peer.quarantine(&defect);
            }
        };
        probe!("snapshot_installed");
        tracing::info!(%range, index = installing.index, "a snapshot is in place");
        peer.halted = None;
        peer.incoming = None;
        peer.applied = installing.applied;
        peer.identity = installing.identity;
        peer.learn_addresses();
        peer.replica.intents.replace(intents);
        peer.replica.set_descriptor(peer.identity.descriptor.clone());
        peer.replica.set_garbage_floor(peer.identity.garbage_floor);
        peer.replica.set_applied(&peer.applied);
        self.shared.reindex(&peer.replica);
        if let Err(defect) = peer.consensus.applied(installing.index) {
            peer.quarantine(&defect);
        }
        self.mark_dirty(range);
    }
}

/// What the parts of a snapshot make up, for replica `to`.
fn head_of(
    state: &dyn storage::Snapshot,
    peer: &super::peer::Peer,
    to: ReplicaId,
    index: u64,
) -> storage::Result<Installing> {
    let applied = state::applied(state, peer.replica.range)?;
    assert!(applied.index == index, "the engine's state and its applied index are one");
    let mut identity = peer.identity.clone();
    identity.replica = to;
    let registers = state::registers(state, peer.replica.range)?;
    Ok(Installing { index, term: applied.term, chunks: 0, identity, applied, registers })
}

fn clear(engine: &dyn Engine, span: Option<&keyspace::Span>) -> storage::Result<()> {
    let Some(span) = span else { return Ok(()) };
    let mut batch = Batch::new();
    mvcc::clear_span(span, &mut batch);
    engine.write(&batch, Durability::Unlogged)
}

/// Clears what was there and is to be there, and copies the chunks into place. Done again from the start if it is interrupted.
pub fn put_in_place(
    engine: &dyn Engine,
    installing: &Installing,
    old_span: Option<&keyspace::Span>,
) -> storage::Result<()> {
    let range = installing.identity.descriptor.id;
    let span = &installing.identity.descriptor.span;
    clear(engine, old_span)?;
    clear(engine, Some(span))?;
    for number in 0..installing.chunks {
        let missing = || storage::Error::Corrupt(format!("part {number} of a snapshot of {range} is missing"));
        let chunk = state::chunk(engine, range, number)?.ok_or_else(missing)?;
        let mut batch = Batch::new();
        mvcc::import_chunk(&chunk, span, &mut batch)?;
        engine.write(&batch, Durability::Unlogged)?;
    }
    let mut batch = Batch::new();
    state::put_identity(&mut batch, &installing.identity);
    state::put_applied(&mut batch, range, &installing.applied);
    state::replace_registers(&mut batch, range, &installing.registers);
    state::clear_installing(&mut batch, range);
    engine.write(&batch, Durability::Unlogged)?;
    engine.flush()
}

/// One snapshot on its way to one replica.
struct Transfer {
    shared: Arc<Shared>,
    range: RangeId,
    from: ReplicaId,
    to: (NodeId, ReplicaId),
    id: u64,
    head: Installing,
    acknowledged: mpsc::UnboundedReceiver<Option<u64>>,
}

impl Transfer {
    async fn run(mut self, state: Arc<dyn storage::Snapshot>, accept: RaftMessage) {
        let arrived = self.send_all(state, accept).await;
        let done = Input::SnapshotSent { range: self.range, to: self.to.1, id: self.id, arrived };
        let _stopped = self.shared.inbox.send(done);
    }

    async fn send_all(&mut self, state: Arc<dyn storage::Snapshot>, accept: RaftMessage) -> bool {
        let span = self.head.identity.descriptor.span.clone();
        let mut cursor = Some(mvcc::Cursor::start(&span));
        let mut number = 0;
        while let Some(at) = cursor {
            let (state, span) = (state.clone(), span.clone());
            let exported = self.shared.env.blocking(move || mvcc::export_chunk(&*state, &span, &at, CHUNK_BYTES)).await;
            let Ok((data, next)) = exported else { return false };
            if !self.send(&PeerMessage::Chunk { id: self.id, number, data }, number + 1).await {
                return false;
            }
            number += 1;
            cursor = next;
        }
        self.head.chunks = number;
        let head = self.head.encode().into();
        self.send(&PeerMessage::Finish { id: self.id, chunks: number, head, accept }, ALL).await
    }

    /// Sends a part until everything below `wanted` is acknowledged.
    async fn send(&mut self, message: &PeerMessage, wanted: u64) -> bool {
        let message = message.encode();
        let patience = self.shared.env.knobs().rpc_timeout;
        for _ in 0..TRIES_MAX {
            let (node, to) = self.to;
            let from = (self.shared.node, self.from);
            let envelope = RaftEnvelope { range: self.range, from, to: (node, to), message: message.clone() };
            self.shared.network.send_raft(node, vec![envelope]);
            let env = self.shared.env.clone();
            match env.timeout(patience, self.acknowledgement(wanted)).await {
                Some(arrived) => return arrived,
                None => probe!("part_of_a_snapshot_sent_again"),
            }
        }
        false
    }

    async fn acknowledgement(&mut self, wanted: u64) -> bool {
        while let Some(answer) = self.acknowledged.recv().await {
            match answer {
                Some(next) if next >= wanted => return true,
                Some(_) => {}
                None => return false,
            }
        }
        false
    }
}
