//! Who belongs to the cluster, and who is alive.
//!
//! Membership is persisted; signs of life are not. They are counted on the monotonic clock of the leader: a
//! new leader gives every node the time of one expiry before it calls it dead.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use env::Mono;
use keyspace::NodeId;
use rpc::cluster::{JoinRequest, NodeInfo};
use rpc::codec::{self, DecodeError};

pub const NODES: &str = "nodes";

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
}

impl Registry {
    /// `persisted`: what [`Registry::encode`] made.
    pub fn load(persisted: Option<Bytes>, expiry: Duration, now: Mono) -> Result<Registry, DecodeError> {
        let members: Vec<(u64, NodeInfo)> = persisted.map(codec::decode_record).transpose()?.unwrap_or_default();
        let nodes = members.into_iter().map(|(token, info)| (info.node, Member { token, info, heard: now })).collect();
        Ok(Registry { nodes, expiry })
    }

    pub fn encode(&self) -> Bytes {
        let member = |member: &Member| {
            let info = NodeInfo { silent_ms: 0, live: false, ..member.info.clone() };
            (member.token, info)
        };
        codec::encode_record(&self.nodes.values().map(member).collect::<Vec<_>>())
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
        let member = Member { token: request.token, info: info.clone(), heard: now };
        let before = self.nodes.insert(node, member);
        before.is_none_or(|before| before.info.rpc_address != info.rpc_address || before.token != request.token)
    }

    /// A sign of life. `None` for a node that is not a member; else whether its addresses are new and have
    /// to be persisted.
    pub fn heartbeat(&mut self, info: &NodeInfo, now: Mono) -> Option<bool> {
        let member = self.nodes.get_mut(&info.node)?;
        member.heard = now;
        let known = &mut member.info;
        let is_news = known.rpc_address != info.rpc_address || known.sql_address != info.sql_address || known.http_address != info.http_address;
        if is_news {
            known.rpc_address.clone_from(&info.rpc_address);
            known.sql_address.clone_from(&info.sql_address);
            known.http_address.clone_from(&info.http_address);
        }
        Some(is_news)
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
        let info = registry.list(later)[1].clone();
        assert_eq!(registry.heartbeat(&info, later), Some(false));
        let live = |registry: &Registry, now| registry.list(now).iter().map(|info| info.live).collect::<Vec<_>>();
        assert_eq!(live(&registry, later), [false, true]);

        let loaded = Registry::load(Some(registry.encode()), expiry, later).unwrap();
        assert_eq!(live(&loaded, later), [true, true]);
        assert_eq!(loaded.with_token(11), Some(NodeId(1)));

        let stranger = NodeInfo { node: NodeId(9), ..info };
        assert_eq!(registry.heartbeat(&stranger, later), None);
    }
}
