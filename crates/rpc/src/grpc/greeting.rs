//! Who is there, and may we talk?

use keyspace::NodeId;

use super::proto;
use crate::codec;

/// Zeros until the process belongs to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub cluster: u64,
    pub node: NodeId,
}

/// What a greeting settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquaintance {
    pub peer: NodeId,
    /// The highest version that both speak.
    pub version: u8,
}

impl Identity {
    pub fn greeting(self, to: NodeId) -> proto::Greeting {
        proto::Greeting {
            protocol_min: u32::from(codec::VERSION_MIN),
            protocol_max: u32::from(codec::VERSION),
            cluster: self.cluster,
            node: self.node.0,
            to: to.0,
        }
    }

    /// Does `greeting` come from someone who may talk to us? If not, a sentence for its operator.
    pub fn accept(self, greeting: &proto::Greeting) -> Result<Acquaintance, String> {
        let (low, high) = (u32::from(codec::VERSION_MIN), u32::from(codec::VERSION));
        let version = high.min(greeting.protocol_max);
        if version < low || version < greeting.protocol_min {
            return Err(format!(
                "it speaks the protocol versions {} to {}, this node speaks {low} to {high}",
                greeting.protocol_min, greeting.protocol_max,
            ));
        }
        if greeting.cluster != 0 && self.cluster != 0 && greeting.cluster != self.cluster {
            return Err(format!("it belongs to the cluster {:x}, this node to {:x}", greeting.cluster, self.cluster));
        }
        let to = NodeId(greeting.to);
        if to != NodeId(0) && to != self.node {
            return Err(match self.node {
                NodeId(0) => format!("it looks for {to}, this process belongs to no cluster yet"),
                node => format!("it looks for {to}, this is {node}"),
            });
        }
        let version = u8::try_from(version).expect("it is not above ours");
        Ok(Acquaintance { peer: NodeId(greeting.node), version })
    }

    /// As [`Identity::accept`], and it must be a node of our cluster.
    pub fn accept_node(self, greeting: &proto::Greeting) -> Result<Acquaintance, String> {
        if greeting.node == 0 || greeting.cluster == 0 {
            return Err("it does not say which node of which cluster it is".into());
        }
        if self.cluster == 0 {
            return Err("this process belongs to no cluster yet".into());
        }
        self.accept(greeting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ours: (u64, u64), greeting: proto::Greeting) -> String {
        let identity = Identity { cluster: ours.0, node: NodeId(ours.1) };
        match identity.accept_node(&greeting) {
            Ok(known) => format!("{} in version {}", known.peer, known.version),
            Err(why) => why,
        }
    }

    #[test]
    fn who_may_talk_to_us() {
        let greeting = Identity { cluster: 0xab, node: NodeId(2) }.greeting(NodeId(1));
        assert_eq!(check((0xab, 1), greeting), "n2 in version 1");
        assert_eq!(check((0xab, 3), greeting), "it looks for n1, this is n3");
        assert_eq!(check((0xcd, 1), greeting), "it belongs to the cluster ab, this node to cd");
        assert_eq!(check((0, 0), greeting), "this process belongs to no cluster yet");
        let newer = proto::Greeting { protocol_min: 5, protocol_max: 9, ..greeting };
        assert_eq!(check((0xab, 1), newer), "it speaks the protocol versions 5 to 9, this node speaks 1 to 1");
        let overlapping = proto::Greeting { protocol_max: 9, ..greeting };
        assert_eq!(check((0xab, 1), overlapping), "n2 in version 1");
    }
}
