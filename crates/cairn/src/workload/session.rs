//! One connection, and what its client may believe of an operation that did not end well.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use tokio_postgres::{Client, Error, SimpleQueryMessage};

use crate::connect;

/// An answer that takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(20);

/// How an operation ended that was not acknowledged.
#[derive(Debug)]
pub enum Ended {
    /// Surely nothing of it happened.
    Failed(String),
    /// Nobody knows.
    Unknown(String),
}

/// Why a transaction stops before its COMMIT.
pub enum Stop {
    Error(Error),
    /// By its own wish.
    Unwanted(&'static str),
    /// The server answered something else than was asked for.
    Strange(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Error(error)
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Error(error) => {
                let crate::Failure(why) = connect::describe(error);
                f.write_str(&why)
            }
            Stop::Unwanted(why) => f.write_str(why),
            Stop::Strange(what) => write!(f, "a strange answer: {what}"),
        }
    }
}

pub struct Session {
    client: Client,
    broken: Cell<bool>,
}

/// What a statement answered.
pub struct Answer {
    pub rows: Vec<Vec<String>>,
    pub affected: u64,
}

impl Session {
    pub fn new(client: Client) -> Session {
        Session { client, broken: Cell::new(false) }
    }

    /// It has to be replaced.
    pub fn is_broken(&self) -> bool {
        self.broken.get() || self.client.is_closed()
    }

    /// Statements of these workloads hold nothing but numbers, so they go as text.
    pub async fn query(&self, statement: &str) -> Result<Answer, Stop> {
        let mut answer = Answer { rows: Vec::new(), affected: 0 };
        for message in self.client.simple_query(statement).await? {
            match message {
                SimpleQueryMessage::Row(row) => {
                    answer.rows.push((0..row.len()).map(|column| row.get(column).unwrap_or("").to_owned()).collect());
                }
                SimpleQueryMessage::CommandComplete(count) => answer.affected = count,
                _ => {}
            }
        }
        Ok(answer)
    }

    /// A transaction of several statements. Until COMMIT is sent, whatever goes wrong leaves nothing behind.
    pub async fn transact<T>(
        &self,
        begin: &str,
        body: impl AsyncFnOnce(&Session) -> Result<T, Stop>,
    ) -> Result<T, Ended> {
        let work = async {
            self.query(begin).await?;
            body(self).await
        };
        let value = match tokio::time::timeout(PATIENCE, work).await {
            Ok(Ok(value)) => value,
            Ok(Err(stop)) => {
                self.roll_back().await;
                return Err(Ended::Failed(stop.to_string()));
            }
            Err(_) => {
                self.broken.set(true);
                return Err(Ended::Failed("no answer to a statement".to_owned()));
            }
        };
        self.decide("COMMIT").await.map(|_| value)
    }

    /// A statement that is a transaction by itself.
    pub async fn single(&self, statement: &str) -> Result<Answer, Ended> {
        self.decide(statement).await
    }

    /// After this was sent, only the server knows; unless it says that it failed.
    async fn decide(&self, statement: &str) -> Result<Answer, Ended> {
        match tokio::time::timeout(PATIENCE, self.query(statement)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(stop)) if is_definite(&stop) => Err(Ended::Failed(stop.to_string())),
            Ok(Err(stop)) => {
                self.broken.set(true);
                Err(Ended::Unknown(stop.to_string()))
            }
            Err(_) => {
                self.broken.set(true);
                Err(Ended::Unknown(format!("no answer to {statement}")))
            }
        }
    }

    /// If this does not work either, the connection goes, and its transaction with it.
    async fn roll_back(&self) {
        let rolled_back = tokio::time::timeout(PATIENCE, self.client.batch_execute("ROLLBACK")).await;
        if !matches!(rolled_back, Ok(Ok(()))) {
            self.broken.set(true);
        }
    }
}

/// Does the error say that nothing happened? To be cautious, only where its class leaves no doubt: conflicts (40, but for 40003:
/// "statement completion unknown"), constraints (23), data (22), states and syntax (25, 42), locks (55).
fn is_definite(stop: &Stop) -> bool {
    let Stop::Error(error) = stop else { return false };
    let Some(code) = error.code().map(|code| code.code()) else { return false };
    code != "40003" && ["40", "23", "22", "25", "42", "55"].contains(&&code[..2])
}

/// A number in a row.
pub fn number<T: std::str::FromStr>(row: &[String], column: usize) -> Result<T, Stop> {
    let text = row.get(column).ok_or_else(|| Stop::Strange(format!("{row:?} has no column {column}")))?;
    text.parse().map_err(|_| Stop::Strange(format!("{text:?} is no number")))
}

/// The first column of all rows.
pub fn numbers<T: std::str::FromStr>(answer: &Answer) -> Result<Vec<T>, Stop> {
    answer.rows.iter().map(|row| number(row, 0)).collect()
}

/// How transactions of these workloads begin.
pub const SERIALIZABLE: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE";
pub const READ_ONLY: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY";
