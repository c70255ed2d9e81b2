//! SQL told as scripts (sql-tests/slt): each file runs in a cluster of its own, in one process.
//!
//! `CAIRN_SLT=path` runs one file, or all files below a folder, instead: the suites that others wrote. Each file runs in one
//! range and, where it is ours, also over many.

mod support;

use std::path::{Path, PathBuf};

use keyspace::{Key, TableId, encoding};
use sql::session::Session;
use sql::{SqlError, SqlFailure};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};
use support::{block_on, connect, run, server};

struct Connection {
    session: Session,
}

/// `SqlError` as a standard error with its state in front: `(42P01) relation …`.
#[derive(Debug)]
struct Failure(Box<SqlFailure>);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({}) {}", self.0.state.as_str(), self.0.message)?;
        for (word, text) in [("DETAIL", &self.0.detail), ("HINT", &self.0.hint)] {
            if let Some(text) = text {
                write!(f, " {word}: {text}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Failure {
        Failure(error.0)
    }
}

#[async_trait::async_trait]
impl AsyncDB for Connection {
    type Error = Failure;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        let answer = run(&mut self.session, sql).await?;
        if answer.fields.is_empty() {
            let tag = answer.tags.last().map_or("", String::as_str);
            let count = tag.rsplit(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0);
            return Ok(DBOutput::StatementComplete(count));
        }
        let types = answer.fields.iter().map(|field| column_type(field.ty)).collect();
        let show = |value: Option<String>| match value {
            None => "NULL".to_owned(),
            Some(text) if text.is_empty() => "(empty)".to_owned(),
            Some(text) => text,
        };
        let rows = answer.rows.into_iter().map(|row| row.into_iter().map(show).collect()).collect();
        Ok(DBOutput::Rows { types, rows })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "postgresql"
    }

    fn error_sql_state(error: &Failure) -> Option<String> {
        Some(error.0.state.as_str().to_owned())
    }
}

fn column_type(ty: expr::SqlType) -> DefaultColumnType {
    use expr::SqlType;
    match ty.base() {
        SqlType::INT2 | SqlType::INT4 | SqlType::INT8 => DefaultColumnType::Integer,
        SqlType::FLOAT4 | SqlType::FLOAT8 | SqlType::NUMERIC => DefaultColumnType::FloatingPoint,
        _ => DefaultColumnType::Text,
    }
}

/// Range borders that cut the tables of a script, and some of them in the middle.
fn many_ranges() -> Vec<Key> {
    let mut keys = Vec::new();
    for table in 1000..1100 {
        let mut key = Vec::new();
        encoding::put_uint(&mut key, TableId(table).0);
        keys.push(Key::from(key.clone()));
        encoding::put_uint(&mut key, 1);
        for value in [2, 5, 100] {
            let mut key = key.clone();
            encoding::put_int(&mut key, value);
            keys.push(Key::from(key));
        }
    }
    keys
}

fn run_file(path: &Path, split_keys: Vec<Key>) -> Result<(), String> {
    block_on(async {
        let server = server(split_keys).await;
        let mut runner = Runner::new(|| {
            let server = server.clone();
            async move { Ok(Connection { session: connect(&server).await }) }
        });
        runner.add_label("cairn");
        runner.run_file_async(path).await.map_err(|error| error.display(false).to_string())
    })
}

fn scripts(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())) {
        let path = entry.expect("a folder can be read").path();
        if path.is_dir() || path.extension().is_some_and(|extension| extension == "slt") {
            found.extend(scripts(&path));
        }
    }
    found.sort();
    found
}

#[test]
fn scripts_hold() {
    let own = PathBuf::from("../../sql-tests/slt");
    let given = std::env::var_os("CAIRN_SLT").map(PathBuf::from);
    let is_own = given.is_none();
    let mut failures = Vec::new();
    for path in scripts(&given.unwrap_or(own)) {
        let shapes = if is_own { vec![Vec::new(), many_ranges()] } else { vec![Vec::new()] };
        for split_keys in shapes {
            let ranges = split_keys.len() + 1;
            if let Err(failure) = run_file(&path, split_keys) {
                failures.push(format!("{} over {ranges} ranges:\n{failure}", path.display()));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
