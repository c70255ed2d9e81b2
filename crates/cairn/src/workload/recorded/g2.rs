//! Write skew over predicates, in two tables.

use checker::g2::G2Op;
use checker::load::Skews;
use rand::rngs::StdRng;

use super::Workload;
use crate::workload::session::{Ended, READ_ONLY, SERIALIZABLE, Session, Stop, numbers};

pub struct G2;

impl Workload for G2 {
    type Op = G2Op;
    type Load = Skews;

    const TABLE: &'static str = "skew_0";

    fn schema() -> Vec<String> {
        let table = |number: u32| {
            [
                format!("DROP TABLE IF EXISTS skew_{number}"),
                format!("CREATE TABLE skew_{number} (id int PRIMARY KEY, key int NOT NULL, value int NOT NULL)"),
                format!("CREATE INDEX skew_{number}_key ON skew_{number} (key)"),
                format!("ALTER TABLE skew_{number} SPLIT AT VALUES (1000)"),
            ]
        };
        (0..2).flat_map(table).collect()
    }

    fn load(&self) -> Skews {
        Skews::default()
    }

    async fn perform(&self, session: &Session, op: G2Op, _rng: &mut StdRng) -> Result<G2Op, Ended> {
        match op {
            G2Op::Insert { key, row } => {
                let body = async |session: &Session| {
                    if !find(session, key).await?.is_empty() {
                        return Err(Stop::Unwanted("there is a row"));
                    }
                    let (table, value) = (row % 2, row * 3);
                    session.query(&format!("INSERT INTO skew_{table} VALUES ({row}, {key}, {value})")).await
                };
                session.transact(SERIALIZABLE, body).await?;
                Ok(op)
            }
            G2Op::Read { key, .. } => {
                let rows = session.transact(READ_ONLY, async |session| find(session, key).await).await?;
                Ok(G2Op::Read { key, rows: Some(rows) })
            }
        }
    }
}

async fn find(session: &Session, key: u32) -> Result<Vec<u32>, Stop> {
    let mut rows = Vec::new();
    for table in 0..2 {
        let query = format!("SELECT id FROM skew_{table} WHERE key = {key} AND value % 3 = 0");
        rows.extend(numbers::<u32>(&session.query(&query).await?)?);
    }
    Ok(rows)
}
