//! Parts of keys in three tables, each part written and read by a transaction of its own.

use checker::load::Parts;
use checker::sequential::SequentialOp;
use rand::rngs::StdRng;

use super::Workload;
use crate::workload::session::{Ended, Session};

pub struct Sequential;

impl Workload for Sequential {
    type Op = SequentialOp;
    type Load = Parts;

    const TABLE: &'static str = "parts_0";

    fn schema() -> Vec<String> {
        let table = |part: u32| {
            [
                format!("DROP TABLE IF EXISTS parts_{part}"),
                format!("CREATE TABLE parts_{part} (key int PRIMARY KEY)"),
                format!("ALTER TABLE parts_{part} SPLIT AT VALUES (0)"),
            ]
        };
        (0..Parts::PARTS).flat_map(table).collect()
    }

    fn load(&self) -> Parts {
        Parts::default()
    }

    async fn perform(&self, session: &Session, op: SequentialOp, _rng: &mut StdRng) -> Result<SequentialOp, Ended> {
        match op {
            SequentialOp::Write { key, parts } => {
                for part in 0..parts {
                    let written = session.single(&format!("INSERT INTO parts_{part} VALUES ({key})")).await;
                    match written {
                        Ok(_) => {}
                        // The parts before it are there.
                        Err(Ended::Failed(why)) if part > 0 => return Err(Ended::Unknown(why)),
                        Err(ended) => return Err(ended),
                    }
                }
                Ok(op)
            }
            SequentialOp::Read { key, parts, .. } => {
                let mut seen = Vec::new();
                for part in (0..parts).rev() {
                    let answer = session.single(&format!("SELECT key FROM parts_{part} WHERE key = {key}")).await?;
                    if !answer.rows.is_empty() {
                        seen.push(part);
                    }
                }
                Ok(SequentialOp::Read { key, parts, seen: Some(seen) })
            }
        }
    }
}
