//! Who belongs to the cluster, and who is alive.
//!
//! Membership is persisted; signs of life are not. They are counted on the monotonic clock of the leader: a
//! new leader gives every node the time of one expiry before it calls it dead.
//!
//! A node's sessions live as long as it does: when it is declared dead, and when it comes back as another
//! process, the sessions that began before are over, and with them their locks.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use env::Mono;
use keyspace::{NodeId, Timestamp};
use rpc::cluster::{Duty, JoinRequest, NodeInfo, NodeStatus};
use rpc::codec::{self, DecodeError};

pub const NODES: &str = "nodes";

/// What operators decided about nodes. A register of its own: a leader of a version that does not know it does without.
pub const DUTIES: &str = "duties";

#[derive(Clone, Debug)]
pub struct Registry {
    nodes: BTreeMap<NodeId, Member>,
    expiry: Duration,
}

#[derive(Clone, Debug)]
struct Member {
    /// What the node drew when it joined; tells a repeated join.
    token: u64,
    info: NodeInfo,
    heard: Mono,
    /// What it last said it reads at; `None` until it has spoken to this leader.
    reads: Option<Reads>,
    /// Sessions that began before are over.
    sessions_over: Timestamp,
    /// It was declared dead, and has not been heard since.
    is_buried: bool,
    duty: Duty,
    /// The number of its process, once it has said one.
    life: Timestamp,
}

/// What of a heartbeat is to be persisted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    pub addresses: bool,
    pub duties: bool,
}

#[derive(Clone, Copy, Debug)]
struct Reads {
    oldest: Option<Timestamp>,
}

impl Member {
    fn new(token: u64, info: NodeInfo, now: Mono) -> Member {
        Member {
            token,
            info,
            heard: now,
            reads: None,
            sessions_over: Timestamp::ZERO,
            is_buried: false,
            duty: Duty::Serves,
            life: Timestamp::ZERO,
        }
    }
}

impl Registry {
    /// `persisted`: what [`Registry::encode`] made.
    pub fn load(persisted: Option<Bytes>, expiry: Duration, now: Mono) -> Result<Registry, DecodeError> {
        let members: Vec<(u64, NodeInfo)> = persisted.map(codec::decode_record).transpose()?.unwrap_or_default();
        let nodes = members.into_iter().map(|(token, info)| (info.node, Member::new(token, info, now))).collect();
        Ok(Registry { nodes, expiry })
    }

    pub fn encode(&self) -> Bytes {
        let member = |member: &Member| {
            let info = NodeInfo { silent_ms: 0, live: false, ..member.info.clone() };
            (member.token, info)
        };
        codec::encode_record(&self.nodes.values().map(member).collect::<Vec<_>>())
    }

    /// What [`Registry::encode_duties`] made.
    pub fn load_duties(&mut self, persisted: Bytes) -> Result<(), DecodeError> {
        let duties: Vec<(NodeId, Duty)> = codec::decode_record(persisted)?;
        for (node, duty) in duties {
            if let Some(member) = self.nodes.get_mut(&node) {
                member.duty = duty;
            }
        }
        Ok(())
    }

    pub fn encode_duties(&self) -> Bytes {
        codec::encode_record(&self.duties().into_iter().collect::<Vec<_>>())
    }

    /// Of nodes that do not just serve.
    pub fn duties(&self) -> BTreeMap<NodeId, Duty> {
        let decided = self.nodes.iter().filter(|(_, member)| member.duty != Duty::Serves);
        decided.map(|(node, member)| (*node, member.duty)).collect()
    }

    /// Draining is for the life that the node has now. `None`: no such node; else whether it is news.
    pub fn set_duty(&mut self, node: NodeId, duty: Duty) -> Option<bool> {
        let member = self.nodes.get_mut(&node)?;
        let duty = match duty {
            Duty::Drains { .. } => Duty::Drains { life: member.life },
            other => other,
        };
        Some(std::mem::replace(&mut member.duty, duty) != duty)
    }

    pub fn knows(&self, node: NodeId) -> bool {
        self.nodes.contains_key(&node)
    }

    /// The node that joined with this token.
    pub fn with_token(&self, token: u64) -> Option<NodeId> {
        self.nodes.values().find(|member| member.token == token).map(|member| member.info.node)
    }

    /// A node joins, or says again who it is. True if that has to be persisted.
    pub fn join(&mut self, node: NodeId, request: &JoinRequest, now: Mono) -> bool {
        let info = NodeInfo {
            node,
            rpc_address: request.rpc_address.clone(),
            sql_address: request.sql_address.clone(),
            http_address: request.http_address.clone(),
            silent_ms: 0,
            live: true,
        };
        let member = Member::new(request.token, info.clone(), now);
        let before = self.nodes.insert(node, member);
        if let (Some(before), Some(member)) = (&before, self.nodes.get_mut(&node)) {
            member.duty = before.duty;
        }
        before.is_none_or(|before| before.info.rpc_address != info.rpc_address || before.token != request.token)
    }

    /// A sign of life. `None` for a node that is not a member; else what has to be persisted.
    pub fn heartbeat(&mut self, status: &NodeStatus, now: Mono) -> Option<News> {
        let info = &status.info;
        let member = self.nodes.get_mut(&status.node)?;
        member.heard = now;
        member.is_buried = false;
        member.reads = Some(Reads { oldest: status.oldest_read });
        member.sessions_over = member.sessions_over.max(status.life);
        member.life = member.life.max(status.life);
        let mut duties = false;
        if let Duty::Drains { life } = &mut member.duty
            && status.life > *life
        {
            if *life == Timestamp::ZERO {
                // It was told to drain before it could say who it is.
                *life = status.life;
            } else {
                member.duty = Duty::Serves;
            }
            duties = true;
        }
        let known = &mut member.info;
        let addresses = known.rpc_address != info.rpc_address
            || known.sql_address != info.sql_address
            || known.http_address != info.http_address;
        if addresses {
            known.rpc_address.clone_from(&info.rpc_address);
            known.sql_address.clone_from(&info.sql_address);
            known.http_address.clone_from(&info.http_address);
        }
        Some(News { addresses, duties })
    }

    /// Nodes that have been silent for too long and are not declared dead yet.
    pub fn newly_dead(&self, now: Mono) -> Vec<NodeId> {
        let is_dead = |member: &&Member| !member.is_buried && now.since(member.heard) >= self.expiry;
        self.nodes.values().filter(is_dead).map(|member| member.info.node).collect()
    }

    /// Declares nodes dead: their sessions that began before `before` are over.
    pub fn bury(&mut self, nodes: &[NodeId], before: Timestamp, now: Mono) {
        for node in nodes {
            if let Some(member) = self.nodes.get_mut(node)
                && now.since(member.heard) >= self.expiry
            {
                member.is_buried = true;
                member.sessions_over = member.sessions_over.max(before);
            }
        }
    }

    pub fn sessions_over(&self) -> Vec<(NodeId, Timestamp)> {
        let over = self.nodes.iter().filter(|(_, member)| member.sessions_over > Timestamp::ZERO);
        over.map(|(node, member)| (*node, member.sessions_over)).collect()
    }

    /// The highest number at or below `wanted` that no session reads at or below. Zero while somebody who may
    /// have sessions has not said what they read.
    pub fn garbage_floor(&self, wanted: Timestamp) -> Timestamp {
        let may_read = self.nodes.values().filter(|member| !member.is_buried);
        let limits = may_read.map(|member| match member.reads {
            None => Timestamp::ZERO,
            Some(Reads { oldest: None }) => wanted,
            Some(Reads { oldest: Some(oldest) }) => oldest.before(),
        });
        limits.fold(wanted, Timestamp::min)
    }

    pub fn list(&self, now: Mono) -> Vec<NodeInfo> {
        let seen_now = |member: &Member| {
            let silent = now.since(member.heard);
            NodeInfo {
                silent_ms: u64::try_from(silent.as_millis()).unwrap_or(u64::MAX),
                live: silent < self.expiry,
                ..member.info.clone()
            }
        };
        self.nodes.values().map(seen_now).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(token: u64) -> JoinRequest {
        JoinRequest { token, rpc_address: format!("host{token}:1"), sql_address: "s".into(), http_address: "h".into() }
    }

    #[test]
    fn members_survive_leaders_and_signs_of_life_do_not() {
        let expiry = Duration::from_secs(5);
        let mut registry = Registry::load(None, expiry, Mono(0)).unwrap();
        assert!(registry.join(NodeId(1), &request(11), Mono(0)));
        assert!(registry.join(NodeId(2), &request(22), Mono(0)));
        assert!(!registry.join(NodeId(2), &request(22), Mono(0)), "a repeated join changes nothing");
        assert_eq!(registry.with_token(22), Some(NodeId(2)));

        let later = Mono(0) + Duration::from_secs(6);
        let status = |info: NodeInfo| NodeStatus {
            node: info.node,
            info,
            replicas: vec![],
            life: Timestamp(30),
            oldest_read: None,
        };
        let info = registry.list(later)[1].clone();
        assert_eq!(registry.heartbeat(&status(info.clone()), later), Some(News::default()));
        let live = |registry: &Registry, now| registry.list(now).iter().map(|info| info.live).collect::<Vec<_>>();
        assert_eq!(live(&registry, later), [false, true]);

        let loaded = Registry::load(Some(registry.encode()), expiry, later).unwrap();
        assert_eq!(live(&loaded, later), [true, true]);
        assert_eq!(loaded.with_token(11), Some(NodeId(1)));

        let stranger = NodeInfo { node: NodeId(9), ..info };
        assert_eq!(registry.heartbeat(&status(stranger), later), None);
    }

    #[test]
    fn sessions_end_with_their_node_and_hold_the_garbage_floor_down() {
        let expiry = Duration::from_secs(5);
        let mut registry = Registry::load(None, expiry, Mono(0)).unwrap();
        registry.join(NodeId(1), &request(1), Mono(0));
        registry.join(NodeId(2), &request(2), Mono(0));
        let status = |node: u64, life: u64, oldest: Option<u64>| {
            let info = Registry::load(None, expiry, Mono(0)).map(|mut empty| {
                empty.join(NodeId(node), &request(node), Mono(0));
                empty.list(Mono(0)).remove(0)
            });
            NodeStatus {
                node: NodeId(node),
                info: info.unwrap(),
                replicas: vec![],
                life: Timestamp(life),
                oldest_read: oldest.map(Timestamp),
            }
        };
        registry.heartbeat(&status(1, 100, None), Mono(0));
        assert_eq!(registry.garbage_floor(Timestamp(900)), Timestamp::ZERO, "node 2 has not spoken");
        registry.heartbeat(&status(2, 200, Some(500)), Mono(0));
        assert_eq!(registry.garbage_floor(Timestamp(900)), Timestamp(499));
        assert_eq!(registry.sessions_over(), [(NodeId(1), Timestamp(100)), (NodeId(2), Timestamp(200))]);

        let later = Mono(0) + expiry;
        registry.heartbeat(&status(1, 100, None), later);
        assert_eq!(registry.newly_dead(later), [NodeId(2)]);
        registry.bury(&[NodeId(2)], Timestamp(800), later);
        assert!(registry.newly_dead(later).is_empty());
        assert_eq!(registry.sessions_over()[1], (NodeId(2), Timestamp(800)));
        assert_eq!(registry.garbage_floor(Timestamp(900)), Timestamp(900));

        registry.heartbeat(&status(2, 850, None), later);
        assert_eq!(registry.sessions_over()[1], (NodeId(2), Timestamp(850)), "it lives another life");
    }

    #[test]
    fn draining_ends_with_the_process_and_leaving_does_not() {
        let expiry = Duration::from_secs(5);
        let mut registry = Registry::load(None, expiry, Mono(0)).unwrap();
        registry.join(NodeId(1), &request(1), Mono(0));
        registry.join(NodeId(2), &request(2), Mono(0));
        let infos = registry.list(Mono(0));
        let status = |node: usize, life: u64| NodeStatus {
            node: infos[node - 1].node,
            info: infos[node - 1].clone(),
            replicas: vec![],
            life: Timestamp(life),
            oldest_read: None,
        };
        registry.heartbeat(&status(1, 10), Mono(0));
        registry.heartbeat(&status(2, 20), Mono(0));
        assert_eq!(registry.set_duty(NodeId(1), Duty::Drains { life: Timestamp::ZERO }), Some(true));
        assert_eq!(registry.set_duty(NodeId(1), Duty::Drains { life: Timestamp::ZERO }), Some(false));
        assert_eq!(registry.set_duty(NodeId(2), Duty::Leaves), Some(true));
        assert_eq!(registry.set_duty(NodeId(3), Duty::Leaves), None);

        let mut loaded = Registry::load(Some(registry.encode()), expiry, Mono(0)).unwrap();
        loaded.load_duties(registry.encode_duties()).unwrap();
        assert_eq!(loaded.duties(), registry.duties());
        assert_eq!(loaded.heartbeat(&status(1, 10), Mono(0)), Some(News::default()));
        assert_eq!(loaded.duties()[&NodeId(1)], Duty::Drains { life: Timestamp(10) });
        let news = Some(News { addresses: false, duties: true });
        assert_eq!(loaded.heartbeat(&status(1, 11), Mono(0)), news, "it lives another life");
        assert_eq!(loaded.heartbeat(&status(2, 21), Mono(0)), Some(News::default()));
        assert_eq!(loaded.duties(), BTreeMap::from([(NodeId(2), Duty::Leaves)]));
    }
}
