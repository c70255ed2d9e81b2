//! Single values in a table of several ranges.

use checker::load::Registers;
use checker::register::RegisterOp;
use rand::Rng;
use rand::rngs::StdRng;

use super::Workload;
use crate::workload::session::{Ended, READ_ONLY, SERIALIZABLE, Session, Stop, number};

pub struct Register;

impl Workload for Register {
    type Op = RegisterOp;
    type Load = Registers;

    const TABLE: &'static str = "registers";

    fn schema() -> Vec<String> {
        [
            "DROP TABLE IF EXISTS registers",
            "CREATE TABLE registers (id int PRIMARY KEY, value int NOT NULL)",
            "ALTER TABLE registers SPLIT AT VALUES (1000000), (2000000)",
        ]
        .map(str::to_owned)
        .into()
    }

    fn load(&self) -> Registers {
        Registers::default()
    }

    async fn perform(&self, session: &Session, op: RegisterOp, rng: &mut StdRng) -> Result<RegisterOp, Ended> {
        match op {
            RegisterOp::Read { key, .. } => {
                let body = async |session: &Session| read(session, key, "").await;
                let value = session.transact(READ_ONLY, body).await?;
                Ok(RegisterOp::Read { key, value: Some(value) })
            }
            RegisterOp::Write { key, value } => {
                session.single(&write(key, value)).await?;
                Ok(op)
            }
            RegisterOp::Cas { key, from, to, .. } => {
                let lock = if rng.random() { " FOR UPDATE" } else { "" };
                let body = async |session: &Session| {
                    let fits = read(session, key, lock).await? == Some(from);
                    if fits {
                        session.query(&write(key, to)).await?;
                    }
                    Ok(fits)
                };
                let fits = session.transact(SERIALIZABLE, body).await?;
                Ok(RegisterOp::Cas { key, from, to, swapped: Some(fits) })
            }
        }
    }
}

fn id(key: u32) -> u32 {
    key % 3 * 1_000_000 + key
}

async fn read(session: &Session, key: u32, lock: &str) -> Result<Option<u32>, Stop> {
    let answer = session.query(&format!("SELECT value FROM registers WHERE id = {}{lock}", id(key))).await?;
    answer.rows.first().map(|row| number(row, 0)).transpose()
}

fn write(key: u32, value: u32) -> String {
    let id = id(key);
    format!("INSERT INTO registers VALUES ({id}, {value}) ON CONFLICT (id) DO UPDATE SET value = {value}")
}
