//! Comments in four tables, each in a range of its own.

use checker::causal::CausalOp;
use checker::load::Comments;
use rand::rngs::StdRng;

use super::Workload;
use crate::workload::session::{Ended, READ_ONLY, Session, numbers};

pub struct Causal;

const TABLES: u32 = 4;

impl Workload for Causal {
    type Op = CausalOp;
    type Load = Comments;

    const TABLE: &'static str = "comments_0";

    fn schema() -> Vec<String> {
        let table = |number: u32| {
            [
                format!("DROP TABLE IF EXISTS comments_{number}"),
                format!("CREATE TABLE comments_{number} (grp int, id int, PRIMARY KEY (grp, id))"),
                format!("ALTER TABLE comments_{number} SPLIT AT VALUES (0)"),
            ]
        };
        (0..TABLES).flat_map(table).collect()
    }

    fn load(&self) -> Comments {
        Comments::default()
    }

    async fn perform(&self, session: &Session, op: CausalOp, _rng: &mut StdRng) -> Result<CausalOp, Ended> {
        match op {
            CausalOp::Insert { group, id } => {
                session.single(&format!("INSERT INTO comments_{} VALUES ({group}, {id})", id % TABLES)).await?;
                Ok(op)
            }
            CausalOp::Read { group, .. } => {
                let body = async |session: &Session| {
                    let mut seen = Vec::new();
                    for table in 0..TABLES {
                        let query = format!("SELECT id FROM comments_{table} WHERE grp = {group}");
                        seen.extend(numbers::<u32>(&session.query(&query).await?)?);
                    }
                    Ok(seen)
                };
                let seen = session.transact(READ_ONLY, body).await?;
                Ok(CausalOp::Read { group, seen: Some(seen) })
            }
        }
    }
}
