//! `append`, while one more client creates and drops indexes and columns of the same tables.
//!
//! No transaction may notice: lists are read by primary key, by an index that may be away or half built, and by a scan, and
//! are judged as `append` judges them. After each change, and once more at the end, an index is held against its table
//! (`checker::index`), and a column that was added must have its default in every row.

use std::time::Duration;

use checker::append::{Generator, Sizes, Txn};
use checker::index;
use rand::Rng;
use rand::rngs::StdRng;

use super::append::Lists;
use super::{Isolation, Workload};
use crate::workload::session::{Ended, READ_ONLY, Session, Stop, number};

pub struct DdlAppend;

const LISTS: Lists = Lists("ddl_append");

/// Of the column that comes and goes.
const DEFAULT: u32 = 7;

/// Between two changes. Each of them holds all transactions up for a moment.
const PAUSE_MS_MAX: u64 = 1000;

impl Workload for DdlAppend {
    type Op = Txn;
    type Load = Generator;

    const NAME: &'static str = "ddl-append";
    const TABLE: &'static str = "ddl_append_0";
    const MEDDLES: bool = true;

    fn schema() -> Vec<String> {
        LISTS.schema()
    }

    fn load(&self) -> Generator {
        Generator::new(Sizes::default())
    }

    async fn perform(&self, session: &Session, op: Txn, rng: &mut StdRng) -> Result<Txn, Ended> {
        LISTS.perform(Isolation::Serializable, session, op, rng).await
    }

    async fn meddle(&self, session: &Session, rng: &mut StdRng) -> Result<Vec<String>, Stop> {
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..PAUSE_MS_MAX))).await;
        let table = format!("ddl_append_{}", rng.random_range(0..2));
        let index = if rng.random() { "twin" } else { "again" };
        match rng.random_range(0..4) {
            0 => {
                session.query(&format!("DROP INDEX IF EXISTS {table}_{index}")).await?;
                Ok(Vec::new())
            }
            1 => {
                session.query(&format!("CREATE INDEX IF NOT EXISTS {table}_{index} ON {table} (twin)")).await?;
                compare(session, &table).await
            }
            2 => {
                session.query(&format!("ALTER TABLE {table} DROP COLUMN IF EXISTS extra")).await?;
                Ok(Vec::new())
            }
            _ => {
                let column = format!("extra int NOT NULL DEFAULT {DEFAULT}");
                session.query(&format!("ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {column}")).await?;
                without_default(session, &table).await
            }
        }
    }

    /// Each index by itself: whatever is there first, then one of them alone.
    async fn inspect(&self, session: &Session) -> Result<Vec<String>, Stop> {
        let mut wrong = Vec::new();
        for table in ["ddl_append_0", "ddl_append_1"] {
            wrong.extend(compare(session, table).await?);
            session.query(&format!("CREATE INDEX IF NOT EXISTS {table}_twin ON {table} (twin)")).await?;
            session.query(&format!("DROP INDEX IF EXISTS {table}_again")).await?;
            let plan = session.query(&format!("EXPLAIN {}", by_index(table))).await?;
            let uses_index = |line: &Vec<String>| line[0].contains(&format!("using {table}_twin"));
            if !plan.rows.iter().any(uses_index) {
                return Err(Stop::Strange(format!(
                    "a plan without the index that was to be looked at: {:?}",
                    plan.rows
                )));
            }
            wrong.extend(compare(session, table).await?);
        }
        Ok(wrong)
    }
}

/// Answered from the index alone, where there is one.
fn by_index(table: &str) -> String {
    format!("SELECT id, twin FROM {table} WHERE twin >= 0 ORDER BY twin, id")
}

/// An index against its table, as one transaction sees them: all entries, and the row that each leads to.
async fn compare(session: &Session, table: &str) -> Result<Vec<String>, Stop> {
    session.query(READ_ONLY).await?;
    let rows = session.query(&format!("SELECT id, twin, list FROM {table} WHERE id + 0 >= 0 ORDER BY id")).await?.rows;
    let entries = session.query(&by_index(table)).await?.rows;
    let mut found = Vec::new();
    for row in &rows {
        let answer = session.query(&format!("SELECT id, twin, list FROM {table} WHERE twin = {}", row[1])).await?;
        found.extend(answer.rows);
    }
    session.query("COMMIT").await?;
    let heads: Vec<Vec<String>> = rows.iter().map(|row| row[..2].to_vec()).collect();
    Ok([index::compare(&heads, &entries), index::compare(&rows, &found)]
        .concat()
        .into_iter()
        .map(|why| format!("{table}: {why}"))
        .collect())
}

/// The column may be gone again: then there is nothing to see.
async fn without_default(session: &Session, table: &str) -> Result<Vec<String>, Stop> {
    let query = format!("SELECT count(*) FROM {table} WHERE extra IS DISTINCT FROM {DEFAULT}");
    let answer = session.query(&query).await?;
    let count: u64 = answer.rows.first().map_or(Ok(0), |row| number(row, 0))?;
    let wrong = (count > 0).then(|| format!("{table}: {count} rows lack the default of the column that was added"));
    Ok(wrong.into_iter().collect())
}
