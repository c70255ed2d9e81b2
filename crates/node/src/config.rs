//! What a node is told from outside. The binary makes it from flags, environment and file.

use std::time::Duration;

use rpc::cluster::NodeInfo;

#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Where others reach this node.
    pub addresses: Addresses,
    pub formation: Formation,
    /// How long a process without a cluster looks for one before it gives up.
    pub join_timeout: Duration,
    /// What all statements of the node may hold together.
    pub statement_memory_bytes: usize,
    /// Shown to clients behind `server_version`.
    pub version: String,
}

/// As others see them: `host:port`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    pub rpc: String,
    pub sql: String,
    pub http: String,
}

/// What a process does with an empty directory. One that belongs to a cluster goes on with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Formation {
    /// Makes a cluster of one node.
    Alone,
    /// Asks these addresses to be let in.
    Join(Vec<String>),
    /// All of these (our own address among them) are started with the same list and make one cluster.
    Together(Vec<String>),
}

impl Formation {
    /// From `--join a,b,c` and `--expect n`; the error is a sentence about the flags.
    pub fn from_flags(join: Vec<String>, expect: Option<usize>) -> Result<Formation, String> {
        let mut join = join;
        join.sort();
        join.dedup();
        match expect {
            None if join.is_empty() => Ok(Formation::Alone),
            None => Ok(Formation::Join(join)),
            Some(1) if join.len() <= 1 => Ok(Formation::Alone),
            Some(expect) if expect == join.len() => Ok(Formation::Together(join)),
            Some(expect) => Err(format!(
                "--expect {expect} needs --join with the addresses of all {expect} nodes, this one included; it has {}",
                join.len()
            )),
        }
    }
}

impl Default for NodeConfig {
    fn default() -> NodeConfig {
        NodeConfig {
            addresses: Addresses::default(),
            formation: Formation::Alone,
            join_timeout: Duration::from_secs(60),
            statement_memory_bytes: 1 << 30,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

impl Addresses {
    pub(crate) fn info(&self, node: keyspace::NodeId) -> NodeInfo {
        NodeInfo {
            node,
            rpc_address: self.rpc.clone(),
            sql_address: self.sql.clone(),
            http_address: self.http.clone(),
            silent_ms: 0,
            live: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags() {
        let list = |text: &str| text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(Formation::from_flags(list(""), None), Ok(Formation::Alone));
        assert_eq!(Formation::from_flags(list("a"), Some(1)), Ok(Formation::Alone));
        assert_eq!(Formation::from_flags(list("b,a,b"), None), Ok(Formation::Join(list("a,b"))));
        assert_eq!(Formation::from_flags(list("c,a,b"), Some(3)), Ok(Formation::Together(list("a,b,c"))));
        assert!(Formation::from_flags(list("a,b"), Some(3)).is_err());
    }
}
