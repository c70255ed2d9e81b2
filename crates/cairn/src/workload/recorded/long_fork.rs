//! Groups whose keys lie in several ranges.

use checker::load::Forks;
use checker::long_fork::ForkOp;
use rand::rngs::StdRng;

use super::Workload;
use crate::workload::session::{Ended, READ_ONLY, Session, numbers};

pub struct LongFork;

impl Workload for LongFork {
    type Op = ForkOp;
    type Load = Forks;

    const TABLE: &'static str = "fork_keys";

    fn schema() -> Vec<String> {
        [
            "DROP TABLE IF EXISTS fork_keys",
            "CREATE TABLE fork_keys (key int, grp int, PRIMARY KEY (key, grp))",
            "ALTER TABLE fork_keys SPLIT AT VALUES (1), (2), (3)",
        ]
        .map(str::to_owned)
        .into()
    }

    fn load(&self) -> Forks {
        Forks::default()
    }

    async fn perform(&self, session: &Session, op: ForkOp, _rng: &mut StdRng) -> Result<ForkOp, Ended> {
        match op {
            ForkOp::Write { group, key } => {
                session.single(&format!("INSERT INTO fork_keys VALUES ({key}, {group})")).await?;
                Ok(op)
            }
            ForkOp::Read { group, .. } => {
                let query = format!("SELECT key FROM fork_keys WHERE key IN (0, 1, 2, 3) AND grp = {group}");
                let body = async |session: &Session| numbers(&session.query(&query).await?);
                let seen = session.transact(READ_ONLY, body).await?;
                Ok(ForkOp::Read { group, seen: Some(seen) })
            }
        }
    }
}
