//! Lists as text with commas, in rows of two tables: read by primary key, by a secondary index or by a scan; appended to
//! with ON CONFLICT, or with UPDATE and, where nothing was there, INSERT.

use checker::Level;
use checker::append::{Generator, Sizes, Step, Txn};
use rand::Rng;
use rand::rngs::StdRng;

use super::{Isolation, Workload};
use crate::workload::session::{Ended, Session, Stop};

pub struct Append {
    pub isolation: Isolation,
    pub not_strict: bool,
}

impl Workload for Append {
    type Op = Txn;
    type Load = Generator;

    const TABLE: &'static str = "append_0";

    fn schema() -> Vec<String> {
        let table = |number: u32| {
            [
                format!("DROP TABLE IF EXISTS append_{number}"),
                format!("CREATE TABLE append_{number} (id int PRIMARY KEY, twin int NOT NULL, list text NOT NULL)"),
                format!("CREATE INDEX append_{number}_twin ON append_{number} (twin)"),
                format!("ALTER TABLE append_{number} SPLIT AT VALUES (1000000), (2000000)"),
            ]
        };
        (0..2).flat_map(table).collect()
    }

    fn load(&self) -> Generator {
        Generator::new(Sizes::default())
    }

    async fn perform(&self, session: &Session, op: Txn, rng: &mut StdRng) -> Result<Txn, Ended> {
        let only_reads = op.0.iter().all(|step| matches!(step, Step::Read { .. }));
        let read_only = if only_reads && rng.random() { " READ ONLY" } else { "" };
        let begin = format!("BEGIN ISOLATION LEVEL {}{read_only}", self.isolation.sql());
        let body = async |session: &Session| {
            let mut done = Vec::new();
            for step in op.0 {
                done.push(match step {
                    Step::Read { key, .. } => Step::Read { key, seen: Some(read(session, key, rng).await?) },
                    Step::Append { key, value } => {
                        append(session, key, value, rng).await?;
                        step
                    }
                });
            }
            Ok(Txn(done))
        };
        session.transact(&begin, body).await
    }

    fn promise(&self) -> Level {
        match self.isolation {
            Isolation::Serializable if self.not_strict => Level::Serializable,
            Isolation::Serializable => Level::StrictSerializable,
            Isolation::RepeatableRead => Level::SnapshotIsolation,
            Isolation::ReadCommitted => Level::ReadCommitted,
        }
    }
}

/// Table and id: neighbours in number lie in different ranges.
fn place(key: u32) -> (u32, u32) {
    (key % 2, key / 2 % 3 * 1_000_000 + key)
}

async fn read(session: &Session, key: u32, rng: &mut StdRng) -> Result<Vec<u32>, Stop> {
    let (table, id) = place(key);
    let condition = match rng.random_range(0..10) {
        0 => format!("twin = {id}"),
        1 => format!("id + 0 = {id}"),
        _ => format!("id = {id}"),
    };
    let answer = session.query(&format!("SELECT list FROM append_{table} WHERE {condition}")).await?;
    let Some(row) = answer.rows.first() else { return Ok(Vec::new()) };
    let number = |word: &str| word.parse().map_err(|_| Stop::Strange(format!("{word:?} in a list")));
    row[0].split(',').map(number).collect()
}

async fn append(session: &Session, key: u32, value: u32, rng: &mut StdRng) -> Result<(), Stop> {
    let (table, id) = place(key);
    let insert = format!("INSERT INTO append_{table} AS old VALUES ({id}, {id}, '{value}')");
    if rng.random() {
        session.query(&format!("{insert} ON CONFLICT (id) DO UPDATE SET list = old.list || ',{value}'")).await?;
        return Ok(());
    }
    let update = format!("UPDATE append_{table} SET list = concat(list, ',', '{value}') WHERE id = {id}");
    if session.query(&update).await?.affected == 0 {
        session.query(&insert).await?;
    }
    Ok(())
}
