//! Faults around elections, each the situation that a guard of consensus is there for.

use std::sync::Arc;
use std::time::Duration;

use keyspace::{NodeId, SYSTEM_RANGE};
use node::Node;
use rpc::cluster::ReplicaStatus;
use tokio::sync::oneshot;

use super::Saboteur;
use crate::host::Ambush;
use crate::{Random, SimHost};

/// Longer than an election takes.
const VOTE_WAIT: Duration = Duration::from_secs(4);

impl Saboteur {
    /// `node` leads, hands over, and does not hear whether anybody took it: raft's messages to it are lost. Requests get through
    /// both ways, and it may believe for an election timeout or two that it leads. The oracle is elsewhere, so that whoever asks
    /// it can come with a number from after the change.
    pub(super) async fn deaf_leader(&self, node: usize, random: &mut Random) {
        if random.chance(0.5) {
            self.gather_leaders(node).await;
            self.last(random, 300, 1_500).await;
        }
        let Some(running) = self.cluster.node(node) else { return };
        let led = |running: &Node| {
            let statuses = running.store().statuses().into_iter();
            statuses.filter(|status| status.is_leader).collect::<Vec<ReplicaStatus>>()
        };
        if let Some(system) = led(&running).iter().find(|status| status.descriptor.id == SYSTEM_RANGE) {
            self.hand_over(node, &running, system, random).await;
            self.last(random, 200, 1_000).await;
        }
        let (hands_over, lasts) = (random.chance(0.7), Duration::from_millis(random.between(300, 3_000)));
        if hands_over {
            for status in led(&running).iter().filter(|status| status.descriptor.id != SYSTEM_RANGE) {
                self.hand_over(node, &running, status, random).await;
            }
        }
        // Whom it hands over to has to have been told, and to tell nobody here.
        self.last(random, 0, 4).await;
        let (network, address) = (self.cluster.network(), self.cluster.address(node));
        network.deafen(address, lasts);
        if !hands_over {
            network.silence(address, lasts);
        }
        self.world.sleep(lasts).await;
    }

    async fn hand_over(&self, node: usize, running: &Node, status: &ReplicaStatus, random: &mut Random) {
        let replicas = status.descriptor.replicas.iter().map(|replica| replica.node);
        let others: Vec<NodeId> = replicas.filter(|other| *other != running.id()).collect();
        if let Some(to) = random.pick(&others).copied() {
            self.transfer(node, running, status, to).await;
        }
    }

    /// Whatever `node` has forgotten, nobody is there to tell it: it must know by itself that it may not lead.
    pub(super) async fn lonely_reboot(&self, node: usize, random: &mut Random) {
        // The first node's log goes back to when it was alone.
        let node = if random.chance(0.5) { 0 } else { node };
        self.cluster.network().partition(&[self.cluster.address(node)], &self.others(node));
        self.last(random, 0, 1_500).await;
        self.cluster.crash(node);
        self.last(random, 0, 1_000).await;
        self.cluster.revive(node);
        self.last(random, 500, 4_000).await;
        self.cluster.network().heal();
    }

    /// Nobody leads, and two of three do not hear each other. Right after the third has voted for one of them it loses power,
    /// and does not hear from that one again for a while, but from the other.
    pub(super) async fn forgotten_vote(&self, node: usize, random: &mut Random) {
        let network = self.cluster.network();
        if let [one, other] = self.others(node)[..] {
            network.partition(&[one], &[other]);
        }
        (0..self.cluster.len()).for_each(|all| self.cluster.crash(all));
        (0..self.cluster.len()).for_each(|all| self.cluster.revive(all));
        let voter: Arc<str> = self.cluster.address(node).into();
        for _ in 0..random.between(2, 5) {
            let (network, of) = (network.clone(), voter.clone());
            let strike = move |host: &SimHost| {
                host.crash();
                if let Some(candidate) = network.last_vote(&of) {
                    network.cut(&candidate, &of);
                }
            };
            if !self.lie_in_wait(node, "voted", strike).await {
                break;
            }
            self.cluster.crash(node);
            self.cluster.revive(node);
            self.last(random, 500, 2_500).await;
            self.cluster.network().mend_to(&voter);
        }
        self.cluster.network().heal();
    }

    /// Strikes as soon as `node` passes `moment`. `false`: it did not, or its process ended before.
    async fn lie_in_wait(
        &self,
        node: usize,
        moment: &'static str,
        strike: impl FnOnce(&SimHost) + Send + 'static,
    ) -> bool {
        let (tell, struck) = oneshot::channel();
        let strike = move |host: &SimHost| {
            strike(host);
            let _nobody_waits = tell.send(());
        };
        self.cluster.set_ambush(node, Some(Ambush { moment, spared: 0, strike: Box::new(strike) }));
        tokio::select! {
            biased;
            reached = struck => reached.is_ok(),
            () = self.world.sleep(VOTE_WAIT) => {
                self.cluster.set_ambush(node, None);
                false
            }
        }
    }
}
