//! One session of a spec: a connection, the step that runs on it, and what it has been told meanwhile.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Notification, SimpleQueryMessage};

use super::print;

pub struct Connection {
    client: Arc<Client>,
    pub pid: i32,
    told: Arc<Mutex<Told>>,
    step: Option<JoinHandle<String>>,
    /// What the step said that has ended.
    said: Option<String>,
}

/// What came without having been asked for.
#[derive(Default)]
struct Told {
    notices: Vec<String>,
    notices_total: usize,
    notifications: Vec<Notification>,
}

impl Connection {
    pub async fn open(config: &Config) -> Result<Connection, String> {
        let (client, mut connection) = config.connect(NoTls).await.map_err(failure)?;
        let told = Arc::new(Mutex::new(Told::default()));
        let ear = told.clone();
        tokio::spawn(async move {
            while let Some(Ok(message)) = futures::future::poll_fn(|cx| connection.poll_message(cx)).await {
                let told = &mut *ear.lock();
                match message {
                    AsyncMessage::Notice(notice) => {
                        told.notices.push(print::notice(&notice));
                        told.notices_total += 1;
                    }
                    AsyncMessage::Notification(notification) => told.notifications.push(notification),
                    _ => {}
                }
            }
        });
        let pid = client.query_one("SELECT pg_backend_pid()", &[]).await.map_err(failure)?.get(0);
        Ok(Connection { client: Arc::new(client), pid, told, step: None, said: None })
    }

    /// Runs `sql` to its end: the rows it gave as text, or its error.
    pub async fn run(&self, sql: &str) -> Result<String, String> {
        let (text, failed) = collect(&self.client, sql).await;
        if failed { Err(text) } else { Ok(text) }
    }

    /// Is one of `others` in the way of `pid`? Asked of the server.
    pub async fn is_blocked(&self, pid: i32, others: &str) -> Result<bool, String> {
        let question = format!("SELECT pg_catalog.pg_isolation_test_session_is_blocked({pid}, '{{{others}}}')");
        let answer = self.client.simple_query(&question).await.map_err(failure)?;
        let is_true = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => row.get(0) == Some("t"),
            _ => false,
        };
        Ok(answer.iter().any(is_true))
    }

    pub fn launch(&mut self, sql: &str) {
        let (client, sql) = (self.client.clone(), sql.to_owned());
        self.step = Some(tokio::spawn(async move { collect(&client, &sql).await.0 }));
    }

    /// Has the step that was launched ended? Waits for it, but not longer than `limit`.
    pub async fn ends_within(&mut self, limit: Duration) -> bool {
        if let Some(step) = &mut self.step {
            let Ok(said) = tokio::time::timeout(limit, step).await else { return false };
            self.said = Some(said.expect("a step does not panic"));
            self.step = None;
        }
        true
    }

    /// What the step said that has ended.
    pub fn take_output(&mut self) -> String {
        self.said.take().expect("a step was launched and has ended")
    }

    pub async fn cancel(&self) {
        // Whether it helps is seen by the step's end.
        let _sent = self.client.cancel_token().cancel_query(NoTls).await;
    }

    pub fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().notices)
    }

    pub fn notices_total(&self) -> usize {
        self.told.lock().notices_total
    }

    pub fn take_notifications(&self) -> Vec<Notification> {
        std::mem::take(&mut self.told.lock().notifications)
    }
}

/// All results of a message as isolationtester prints them, and whether it ended with an error.
async fn collect(client: &Client, sql: &str) -> (String, bool) {
    let mut out = String::new();
    let mut table: Option<print::Table> = None;
    let stream = match client.simple_query_raw(sql).await {
        Ok(stream) => stream,
        Err(error) => return (format!("{}\n", failure(error)), true),
    };
    let mut stream = std::pin::pin!(stream);
    while let Some(message) = stream.next().await {
        match message {
            Ok(SimpleQueryMessage::RowDescription(columns)) => {
                table = Some(print::Table::new(columns.iter().map(|column| column.name().to_owned())));
            }
            Ok(SimpleQueryMessage::Row(row)) => {
                if let Some(table) = &mut table {
                    table.push((0..row.len()).map(|column| row.get(column).unwrap_or_default().to_owned()));
                }
            }
            Ok(_) => {
                if let Some(table) = table.take() {
                    out.push_str(&table.text());
                }
            }
            Err(error) => {
                out.push_str(&failure(error));
                out.push('\n');
                return (out, true);
            }
        }
    }
    (out, false)
}

/// Severity and primary message, as isolationtester shows an error: the rest may hold what differs from run to run.
fn failure(error: tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{}:  {}", error.severity(), error.message()),
        None => format!("{error}"),
    }
}
