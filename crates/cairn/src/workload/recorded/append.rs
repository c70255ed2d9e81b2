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
        LISTS.schema()
    }

    fn load(&self) -> Generator {
        Generator::new(Sizes::default())
    }

    async fn perform(&self, session: &Session, op: Txn, rng: &mut StdRng) -> Result<Txn, Ended> {
        LISTS.perform(self.isolation, session, op, rng).await
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

/// Two tables of lists, by the begin of their names.
pub(super) struct Lists(pub &'static str);

const LISTS: Lists = Lists("append");

impl Lists {
    pub fn schema(&self) -> Vec<String> {
        let Lists(name) = self;
        let table = |number: u32| {
            [
                format!("DROP TABLE IF EXISTS {name}_{number}"),
                format!("CREATE TABLE {name}_{number} (id int PRIMARY KEY, twin int NOT NULL, list text NOT NULL)"),
                format!("CREATE INDEX {name}_{number}_twin ON {name}_{number} (twin)"),
                format!("ALTER TABLE {name}_{number} SPLIT AT VALUES (1000000), (2000000)"),
            ]
        };
        (0..2).flat_map(table).collect()
    }

    pub async fn perform(
        &self,
        isolation: Isolation,
        session: &Session,
        op: Txn,
        rng: &mut StdRng,
    ) -> Result<Txn, Ended> {
        let only_reads = op.0.iter().all(|step| matches!(step, Step::Read { .. }));
        let read_only = if only_reads && rng.random() { " READ ONLY" } else { "" };
        let begin = format!("BEGIN ISOLATION LEVEL {}{read_only}", isolation.sql());
        let body = async |session: &Session| {
            let mut done = Vec::new();
            for step in op.0 {
                done.push(match step {
                    Step::Read { key, .. } => Step::Read { key, seen: Some(self.read(session, key, rng).await?) },
                    Step::Append { key, value } => {
                        self.append(session, key, value, rng).await?;
                        step
                    }
                });
            }
            Ok(Txn(done))
        };
        session.transact(&begin, body).await
    }

    /// Table and id: neighbours in number lie in different ranges.
    fn place(&self, key: u32) -> (String, u32) {
        (format!("{}_{}", self.0, key % 2), key / 2 % 3 * 1_000_000 + key)
    }

    async fn read(&self, session: &Session, key: u32, rng: &mut StdRng) -> Result<Vec<u32>, Stop> {
        let (table, id) = self.place(key);
        let condition = match rng.random_range(0..10) {
            0 => format!("twin = {id}"),
            1 => format!("id + 0 = {id}"),
            _ => format!("id = {id}"),
        };
        let answer = session.query(&format!("SELECT list FROM {table} WHERE {condition}")).await?;
        let Some(row) = answer.rows.first() else { return Ok(Vec::new()) };
        let number = |word: &str| word.parse().map_err(|_| Stop::Strange(format!("{word:?} in a list")));
        row[0].split(',').map(number).collect()
    }

    async fn append(&self, session: &Session, key: u32, value: u32, rng: &mut StdRng) -> Result<(), Stop> {
        let (table, id) = self.place(key);
        let insert = format!("INSERT INTO {table} AS old VALUES ({id}, {id}, '{value}')");
        if rng.random() {
            session.query(&format!("{insert} ON CONFLICT (id) DO UPDATE SET list = old.list || ',{value}'")).await?;
            return Ok(());
        }
        let update = format!("UPDATE {table} SET list = concat(list, ',', '{value}') WHERE id = {id}");
        if session.query(&update).await?.affected == 0 {
            session.query(&insert).await?;
        }
        Ok(())
    }
}
