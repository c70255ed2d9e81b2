//! One row for each key under a unique index: by INSERT … ON CONFLICT, or by INSERT where a SELECT found nothing.

use checker::load::Upserts;
use checker::upsert::{Row, UpsertOp};
use rand::Rng;
use rand::rngs::StdRng;

use super::Workload;
use crate::workload::session::{Ended, READ_ONLY, SERIALIZABLE, Session, number};

pub struct Upsert;

impl Workload for Upsert {
    type Op = UpsertOp;
    type Load = Upserts;

    const TABLE: &'static str = "upserts";

    fn schema() -> Vec<String> {
        [
            "DROP TABLE IF EXISTS upserts",
            "CREATE TABLE upserts (id int PRIMARY KEY, key int NOT NULL UNIQUE, count int NOT NULL)",
            "ALTER TABLE upserts SPLIT AT VALUES (300), (3000)",
        ]
        .map(str::to_owned)
        .into()
    }

    fn load(&self) -> Upserts {
        Upserts::default()
    }

    async fn perform(&self, session: &Session, op: UpsertOp, rng: &mut StdRng) -> Result<UpsertOp, Ended> {
        match op {
            UpsertOp::Upsert { key, id, .. } => {
                let insert = format!("INSERT INTO upserts AS old VALUES ({id}, {key}, 1)");
                if rng.random() {
                    let upsert = format!("{insert} ON CONFLICT (key) DO UPDATE SET count = old.count + 1 RETURNING id");
                    let answer = session.single(&upsert).await?;
                    let created = answer.rows.first().map(|row| row[0] == id.to_string());
                    return Ok(UpsertOp::Upsert { key, id, created });
                }
                let body = async |session: &Session| {
                    let update = format!("UPDATE upserts SET count = count + 1 WHERE key = {key}");
                    let created = session.query(&update).await?.affected == 0;
                    if created {
                        session.query(&insert).await?;
                    }
                    Ok(created)
                };
                let created = session.transact(SERIALIZABLE, body).await?;
                Ok(UpsertOp::Upsert { key, id, created: Some(created) })
            }
            UpsertOp::Read { key, .. } => {
                let query = format!("SELECT id, count FROM upserts WHERE key = {key}");
                let body = async |session: &Session| {
                    let answer = session.query(&query).await?;
                    answer.rows.iter().map(|row| Ok(Row { id: number(row, 0)?, count: number(row, 1)? })).collect()
                };
                let rows = session.transact(READ_ONLY, body).await?;
                Ok(UpsertOp::Read { key, rows: Some(rows) })
            }
        }
    }
}
