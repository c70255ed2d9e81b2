//! The highest number of three tables, and the next one. SQL does not tell the number of a commit, so none is written down.

use checker::load::Numbers;
use checker::monotonic::{MonotonicOp, Row};
use rand::rngs::StdRng;

use super::Workload;
use crate::workload::session::{Ended, READ_ONLY, SERIALIZABLE, Session, Stop, numbers};

pub struct Monotonic;

const TABLES: u32 = 3;

impl Workload for Monotonic {
    type Op = MonotonicOp;
    type Load = Numbers;

    const TABLE: &'static str = "numbers_1";

    fn schema() -> Vec<String> {
        let table = |number: u32| {
            [
                format!("DROP TABLE IF EXISTS numbers_{number}"),
                format!("CREATE TABLE numbers_{number} (value int PRIMARY KEY)"),
                format!("ALTER TABLE numbers_{number} SPLIT AT VALUES (0)"),
            ]
        };
        (0..TABLES).flat_map(table).collect()
    }

    fn load(&self) -> Numbers {
        Numbers
    }

    async fn perform(&self, session: &Session, op: MonotonicOp, _rng: &mut StdRng) -> Result<MonotonicOp, Ended> {
        match op {
            MonotonicOp::Add(_) => {
                let body = async |session: &Session| {
                    let value = highest(session).await? + 1;
                    session.query(&format!("INSERT INTO numbers_{} VALUES ({value})", value % TABLES)).await?;
                    Ok(value)
                };
                let value = session.transact(SERIALIZABLE, body).await?;
                Ok(MonotonicOp::Add(Some(Row { value, stamp: None })))
            }
            MonotonicOp::Highest(_) => {
                let value = session.transact(READ_ONLY, highest).await?;
                Ok(MonotonicOp::Highest(Some(value)))
            }
            MonotonicOp::Read(_) => {
                let body = async |session: &Session| {
                    let mut values: Vec<u32> = Vec::new();
                    for table in 0..TABLES {
                        let query = format!("SELECT value FROM numbers_{table}");
                        values.extend(numbers::<u32>(&session.query(&query).await?)?);
                    }
                    Ok(values)
                };
                let mut values = session.transact(READ_ONLY, body).await?;
                values.sort_unstable();
                Ok(MonotonicOp::Read(Some(values)))
            }
        }
    }
}

async fn highest(session: &Session) -> Result<u32, Stop> {
    let mut highest = 0;
    for table in 0..TABLES {
        let query = format!("SELECT coalesce(max(value), 0) FROM numbers_{table}");
        highest = numbers::<u32>(&session.query(&query).await?)?.into_iter().fold(highest, u32::max);
    }
    Ok(highest)
}
