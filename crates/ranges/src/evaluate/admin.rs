//! Administration of one range: splits, changes of its replicas, moves of its leader, checksums.

use keyspace::{Key, RangeId, ReplicaId, SYSTEM_RANGE};
use rpc::range::{AdminReply, AdminRequest, RangeDescriptor, ReplicaDescriptor, ReplicaRole};
use rpc::{KvError, KvResult};

use super::{Evaluation, engine_error};
use crate::command::Body;
use crate::consensus::MemberStep;
use crate::log_loop::Input;
use crate::proposal::Held;
use crate::{size, state};

pub async fn admin(request: &Evaluation<'_>, admin: AdminRequest) -> KvResult<AdminReply> {
    match admin {
        AdminRequest::Describe => describe(request).await,
        AdminRequest::Split { at, right, right_replicas } => split(request, at, right, right_replicas).await,
        AdminRequest::ChangeReplicas { add, remove } => change_replicas(request, add, remove).await,
        AdminRequest::TransferLeader { to } => {
            request.admit().await?;
            let descriptor = request.replica.descriptor();
            let voter =
                descriptor.replicas.iter().find(|replica| replica.node == to && replica.role == ReplicaRole::Voter);
            let Some(voter) = voter else { return Err(refused(request, "no voter of it is on that node")) };
            request.shared.send(Input::Transfer { range: request.replica.range, to: voter.replica })?;
            Ok(AdminReply::Done)
        }
        AdminRequest::Measure => {
            let mvcc::Measured { bytes, versions, middle } = size::measure(request).await?;
            Ok(AdminReply::Measured { bytes, versions, middle })
        }
        AdminRequest::Checksum => checksum(request),
    }
}

/// Whatever epoch the sender believes in.
async fn describe(request: &Evaluation<'_>) -> KvResult<AdminReply> {
    loop {
        let ticket = match request.admit().await {
            Err(KvError::StaleEpoch { .. }) => match request.replica.leadership.ticket() {
                Some(ticket) => ticket,
                None => continue,
            },
            admitted => admitted?,
        };
        let descriptor = (*request.replica.descriptor()).clone();
        if request.confirm(&ticket).await {
            return Ok(AdminReply::Descriptors(vec![descriptor]));
        }
    }
}

async fn split(
    request: &Evaluation<'_>,
    at: Key,
    right: RangeId,
    right_replicas: Vec<ReplicaId>,
) -> KvResult<AdminReply> {
    let ticket = request.admit().await?;
    let descriptor = request.replica.descriptor();
    if descriptor.id == SYSTEM_RANGE {
        return Err(KvError::NotSupported { what: "a split of the system range".to_owned() });
    }
    if at == descriptor.span.start {
        return Ok(AdminReply::Descriptors(vec![(*descriptor).clone()]));
    }
    if !descriptor.span.contains(&at) {
        return Err(request.stale_epoch());
    }
    if right_replicas.len() != descriptor.replicas.len() {
        return Err(refused(request, "a split names one new replica for each of the range's"));
    }
    let encoded = Body::Split { at, right, right_replicas }.encode(ticket.term, ticket.epoch);
    request.send_proposal(&ticket, encoded, Held::default(), Input::ProposeSplit).await?;
    let descriptors = request.shared.descriptors_in(&descriptor.span);
    Ok(AdminReply::Descriptors(descriptors))
}

/// One step of a change: learners first, and only a learner that has caught up becomes a voter. Repeated: what
/// is as it should be is left alone.
async fn change_replicas(
    request: &Evaluation<'_>,
    add: Vec<ReplicaDescriptor>,
    remove: Vec<ReplicaId>,
) -> KvResult<AdminReply> {
    let ticket = request.admit().await?;
    let descriptor = request.replica.descriptor();
    let mut steps = Vec::new();
    let mut next = (*descriptor).clone();
    for replica in add {
        if let Some(step) = addition(request, &mut next, replica)? {
            steps.push(step);
        }
    }
    for replica in remove {
        if replica == request.replica.id {
            return Err(refused(request, "a leader does not remove itself: move the leader first"));
        }
        if next.replicas.iter().any(|known| known.replica == replica) {
            next.replicas.retain(|known| known.replica != replica);
            steps.push(MemberStep::Remove(replica));
        }
    }
    if steps.is_empty() {
        return Ok(AdminReply::Done);
    }
    if !next.replicas.iter().any(|replica| replica.role == ReplicaRole::Voter) {
        return Err(refused(request, "a range keeps at least one voter"));
    }
    next.epoch.config += 1;
    let encoded = Body::Members { descriptor: next }.encode(ticket.term, ticket.epoch);
    let propose = move |proposal| Input::ProposeMembers { proposal, steps };
    request.send_proposal(&ticket, encoded, Held::default(), propose).await?;
    Ok(AdminReply::Done)
}

fn addition(
    request: &Evaluation<'_>,
    next: &mut RangeDescriptor,
    replica: ReplicaDescriptor,
) -> KvResult<Option<MemberStep>> {
    let known = next.replicas.iter().position(|known| known.replica == replica.replica);
    if let Some(place) = known {
        let known = &mut next.replicas[place];
        if known.node != replica.node {
            return Err(refused(request, "that replica is on another node"));
        }
        if known.role == replica.role {
            return Ok(None);
        }
        known.role = replica.role;
    } else {
        if next.replicas.iter().any(|known| known.node == replica.node) {
            return Err(refused(request, "that node has a replica of it already"));
        }
        next.replicas.push(replica);
    }
    match replica.role {
        ReplicaRole::Learner => Ok(Some(MemberStep::AddLearner(replica.replica))),
        ReplicaRole::Voter if request.replica.status().caught_up.contains(&replica.replica) => {
            Ok(Some(MemberStep::AddVoter(replica.replica)))
        }
        ReplicaRole::Voter => Err(refused(request, "only a learner that has caught up becomes a voter")),
    }
}

/// By this replica, leader or not: the snapshot says itself how far it has applied.
fn checksum(request: &Evaluation<'_>) -> KvResult<AdminReply> {
    let snapshot = request.shared.engine.snapshot();
    let applied = state::applied(&*snapshot, request.replica.range).map_err(engine_error)?;
    let span = request.replica.descriptor().span.clone();
    let floor = request.replica.garbage_floor();
    let hash = mvcc::checksum(&*snapshot, &span, floor).map_err(engine_error)?;
    Ok(AdminReply::Checksum { applied: applied.index, hash })
}

fn refused(request: &Evaluation<'_>, why: &str) -> KvError {
    KvError::Unavailable { range: request.replica.range, why: why.to_owned() }
}
