//! The sqllogictest crate over a PostgreSQL connection, with every record counted.

use std::path::Path;
use std::time::Duration;

use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Record, Runner};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// What became of the records of one file.
#[derive(Default)]
pub struct Count {
    pub passed: usize,
    pub failed: usize,
    /// The first few, with their place.
    pub failures: Vec<String>,
}

/// Runs all of a file's records in a new database named after it.
pub async fn run_file(url: &str, file: &Path, failures_shown: usize) -> Result<Count, String> {
    let records = sqllogictest::parse_file::<DefaultColumnType>(file).map_err(|error| error.to_string())?;
    let name: String = file
        .to_string_lossy()
        .chars()
        .rev()
        .take(50)
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect();
    let admin = connect(url).await?;
    let database = format!("slt_{}", name.chars().rev().collect::<String>());
    admin.batch_execute(&format!("DROP DATABASE IF EXISTS {database}")).await.map_err(text)?;
    admin.batch_execute(&format!("CREATE DATABASE {database}")).await.map_err(text)?;
    let mut config: tokio_postgres::Config = url.parse().map_err(text)?;
    config.dbname(&database);
    let mut runner = Runner::new(move || {
        let config = config.clone();
        async move { Connection::open(&config).await }
    });
    let mut count = Count::default();
    for record in records {
        let counts = matches!(record, Record::Statement { .. } | Record::Query { .. });
        if matches!(record, Record::Halt { .. }) {
            break;
        }
        match runner.run_async(record).await {
            Ok(_) => count.passed += usize::from(counts),
            Err(error) => {
                count.failed += 1;
                if count.failures.len() < failures_shown {
                    count.failures.push(error.to_string().replace('\n', "\n    "));
                }
            }
        }
    }
    // Its connections close with it; one that is in a transaction keeps the database.
    runner.shutdown_async().await;
    drop(runner);
    admin.batch_execute(&format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)")).await.map_err(text)?;
    Ok(count)
}

fn text(error: tokio_postgres::Error) -> String {
    Failure(error).to_string()
}

/// An error whose text is what the server said: what the files' patterns are about.
#[derive(Debug)]
struct Failure(tokio_postgres::Error);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_db_error() {
            Some(db) => {
                write!(f, "{}: {}", db.code().code(), db.message())?;
                [("DETAIL", db.detail()), ("HINT", db.hint())].iter().try_for_each(|(name, text)| match text {
                    Some(text) => write!(f, " {name}: {text}"),
                    None => Ok(()),
                })
            }
            None => self.0.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Failure {
        Failure(error)
    }
}

async fn connect(url: &str) -> Result<Client, String> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(text)?;
    tokio::spawn(connection);
    Ok(client)
}

struct Connection(Client);

impl Connection {
    async fn open(config: &tokio_postgres::Config) -> Result<Connection, Failure> {
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        if let Ok(level) = std::env::var("SLT_ISOLATION") {
            client.batch_execute(&format!("SET default_transaction_isolation = '{level}'")).await?;
        }
        Ok(Connection(client))
    }
}

#[async_trait::async_trait]
impl AsyncDB for Connection {
    type Error = Failure;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        let mut columns = None;
        let mut rows = Vec::new();
        let mut affected = 0;
        for message in self.0.simple_query(sql).await? {
            match message {
                SimpleQueryMessage::RowDescription(fields) => columns = Some(fields.len()),
                SimpleQueryMessage::Row(row) => {
                    let cell = |column| match row.get(column) {
                        None => "NULL".to_owned(),
                        Some("") => "(empty)".to_owned(),
                        Some(value) => value.to_owned(),
                    };
                    rows.push((0..row.len()).map(cell).collect());
                }
                SimpleQueryMessage::CommandComplete(count) => affected = count,
                _ => {}
            }
        }
        Ok(match columns {
            Some(columns) => DBOutput::Rows { types: vec![DefaultColumnType::Any; columns], rows },
            None => DBOutput::StatementComplete(affected),
        })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "cairn"
    }

    async fn sleep(duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn error_sql_state(error: &Failure) -> Option<String> {
        error.0.code().map(|code| code.code().to_owned())
    }
}
