//! Sets whose elements lie in several ranges.

use checker::load::Sets;
use checker::set::SetOp;
use rand::rngs::StdRng;

use super::Workload;
use crate::workload::session::{Ended, READ_ONLY, Session, numbers};

pub struct Set;

impl Workload for Set {
    type Op = SetOp;
    type Load = Sets;

    const TABLE: &'static str = "set_elements";

    fn schema() -> Vec<String> {
        [
            "DROP TABLE IF EXISTS set_elements",
            "CREATE TABLE set_elements (part int, number int, element int, PRIMARY KEY (part, number, element))",
            "ALTER TABLE set_elements SPLIT AT VALUES (1), (2)",
        ]
        .map(str::to_owned)
        .into()
    }

    fn load(&self) -> Sets {
        Sets::default()
    }

    async fn perform(&self, session: &Session, op: SetOp, _rng: &mut StdRng) -> Result<SetOp, Ended> {
        match op {
            SetOp::Add { set, value } => {
                let part = value % 3;
                session.single(&format!("INSERT INTO set_elements VALUES ({part}, {set}, {value})")).await?;
                Ok(op)
            }
            SetOp::Read { set, .. } => {
                let query = format!("SELECT element FROM set_elements WHERE part IN (0, 1, 2) AND number = {set}");
                let body = async |session: &Session| numbers(&session.query(&query).await?);
                let seen = session.transact(READ_ONLY, body).await?;
                Ok(SetOp::Read { set, seen: Some(seen) })
            }
        }
    }
}
