//! `cairn sql`: a small SQL shell for those who have no psql at hand.
//!
//! Statements end with `;` and may take several lines; the history is kept in ~/.cairn_history. A few of psql's
//! backslash commands are answered; for the rest the shell says how to reach the same server with psql.

use std::io::{IsTerminal, Read};
use std::time::Instant;

use rustyline::error::ReadlineError;
use rustyline::{Config as LineConfig, DefaultEditor};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, Config, SimpleQueryMessage};

use crate::Failure;
use crate::connect::{self, Target};
use crate::table;

/// Open a SQL shell (line editing, history); reads statements from standard input if it is not a terminal
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Run this and exit; may be given several times
    #[arg(short = 'c', long = "command", value_name = "SQL")]
    commands: Vec<String>,
}

const COMMANDS: &[(&str, &str, &str)] = &[
    (
        "\\l",
        "databases",
        "SELECT datname AS \"Name\", pg_catalog.pg_get_userbyid(datdba) AS \"Owner\" FROM pg_catalog.pg_database ORDER BY 1",
    ),
    (
        "\\dt",
        "tables",
        "SELECT n.nspname AS \"Schema\", c.relname AS \"Name\" FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2",
    ),
    (
        "\\di",
        "indexes",
        "SELECT n.nspname AS \"Schema\", c.relname AS \"Name\" FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'i' AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2",
    ),
    ("\\du", "roles", "SELECT rolname AS \"Role\", rolsuper AS \"Superuser\" FROM pg_catalog.pg_roles ORDER BY 1"),
    ("\\nodes", "nodes of the cluster", "SELECT * FROM cairn.nodes"),
    ("\\ranges", "ranges of the cluster", "SELECT * FROM cairn.ranges"),
];

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = arguments.target.config()?;
    if !arguments.commands.is_empty() {
        return run_commands(config, &arguments.commands);
    }
    let mut shell = Shell::open(config)?;
    if !std::io::stdin().is_terminal() {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return if shell.execute(&text) { Ok(()) } else { Err(Failure::new("a statement failed")) };
    }
    shell.interactive()
}

/// The shell on an open connection, until \q or end of input.
pub fn interactive(config: Config) -> Result<(), Failure> {
    Shell::open(config)?.interactive()
}

/// Runs each and prints its answer; all of them, also after a failure.
pub fn run_commands(config: Config, commands: &[String]) -> Result<(), Failure> {
    let mut shell = Shell::open(config)?;
    let mut failed = false;
    for command in commands {
        failed |= !shell.execute(command);
    }
    if failed { Err(Failure::new("a statement failed")) } else { Ok(()) }
}

struct Shell {
    runtime: Runtime,
    client: Client,
    config: Config,
    timing: bool,
}

impl Shell {
    fn open(config: Config) -> Result<Shell, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let client = runtime.block_on(connect::connect(&config))?;
        Ok(Shell { runtime, client, config, timing: false })
    }

    fn interactive(&mut self) -> Result<(), Failure> {
        let database = self.config.get_dbname().unwrap_or("cairn").to_owned();
        println!("Connected to {}, database {database}. \\? lists commands, \\q ends.", connect::address(&self.config));
        println!("psql reaches the same: {}", self.psql());
        let mut editor = DefaultEditor::with_config(LineConfig::builder().max_history_size(1000)?.build())?;
        let history = std::env::var_os("HOME").map(|home| std::path::Path::new(&home).join(".cairn_history"));
        if let Some(path) = &history {
            // The first run has no history yet.
            let _none_yet = editor.load_history(path);
        }
        let mut statement = String::new();
        loop {
            let prompt = if statement.is_empty() { format!("{database}=> ") } else { format!("{database}-> ") };
            match editor.readline(&prompt) {
                Ok(line) => {
                    if statement.is_empty() && line.trim_start().starts_with('\\') {
                        editor.add_history_entry(line.trim())?;
                        if !self.backslash(line.trim()) {
                            break;
                        }
                        continue;
                    }
                    if !statement.is_empty() {
                        statement.push('\n');
                    }
                    statement.push_str(&line);
                    if is_complete(&statement) {
                        editor.add_history_entry(statement.trim())?;
                        self.execute(&statement);
                        statement.clear();
                    } else if statement.trim().is_empty() {
                        statement.clear();
                    }
                }
                Err(ReadlineError::Interrupted) => statement.clear(),
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(path) = &history {
            editor.save_history(path)?;
        }
        Ok(())
    }

    fn psql(&self) -> String {
        let address = connect::address(&self.config);
        let (host, port) = address.rsplit_once(':').unwrap_or((&address, "15432"));
        format!(
            "psql -h {host} -p {port} -U {} {}",
            self.config.get_user().unwrap_or("root"),
            self.config.get_dbname().unwrap_or("cairn")
        )
    }

    /// False ends the shell.
    fn backslash(&mut self, line: &str) -> bool {
        let line = line.trim_end_matches(';');
        match line {
            "\\q" => return false,
            "\\?" => {
                for (command, what, _) in COMMANDS {
                    println!("  {command:8} {what}");
                }
                println!(
                    "  \\timing  how long statements take, on or off\n  \\q       end\nMore (\\d TABLE, \\copy, \\e …) in psql: {}",
                    self.psql()
                );
            }
            "\\timing" => {
                self.timing = !self.timing;
                println!("Timing is {}.", if self.timing { "on" } else { "off" });
            }
            _ => match COMMANDS.iter().find(|(command, ..)| *command == line) {
                Some((_, _, sql)) => {
                    self.execute(sql);
                }
                None => println!("This shell does not know {line}; psql does: {}", self.psql()),
            },
        }
        true
    }

    /// Runs statements and prints what comes back; false if one failed.
    fn execute(&mut self, sql: &str) -> bool {
        let started = Instant::now();
        let result = self.runtime.block_on(async {
            tokio::select! {
                result = self.client.simple_query(sql) => Some(result),
                _ = tokio::signal::ctrl_c() => {
                    let cancelled = self.client.cancel_token().cancel_query(tokio_postgres::NoTls).await;
                    if let Err(error) = cancelled {
                        eprintln!("could not cancel: {error}");
                    }
                    None
                }
            }
        });
        let ok = match result {
            Some(Ok(messages)) => {
                print_messages(&messages);
                true
            }
            Some(Err(error)) => {
                print_error(sql, &error);
                false
            }
            None => {
                println!("Cancelled.");
                false
            }
        };
        if self.client.is_closed() {
            match self.runtime.block_on(connect::connect(&self.config)) {
                Ok(client) => {
                    self.client = client;
                    println!("The connection was lost; connected again. An open transaction is gone.");
                }
                Err(Failure(why)) => eprintln!("{why}"),
            }
        } else if ok && self.timing {
            println!("Time: {:.3} ms", started.elapsed().as_secs_f64() * 1000.0);
        }
        ok
    }
}

fn print_messages(messages: &[SimpleQueryMessage]) {
    let mut header: Option<Vec<String>> = None;
    let mut rows: Vec<Vec<Option<String>>> = Vec::new();
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                header = Some(columns.iter().map(|column| column.name().to_owned()).collect())
            }
            SimpleQueryMessage::Row(row) => {
                rows.push((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
            }
            SimpleQueryMessage::CommandComplete(count) => match header.take() {
                Some(header) => print!("{}", table::render(&header, &std::mem::take(&mut rows))),
                None => println!("OK, {count} row{}", if *count == 1 { "" } else { "s" }),
            },
            _ => {}
        }
    }
}

fn print_error(sql: &str, error: &tokio_postgres::Error) {
    let Some(db) = error.as_db_error() else {
        let Failure(why) = connect::describe(error);
        eprintln!("{why}");
        return;
    };
    eprintln!("{}:  {} (SQLSTATE {})", db.severity(), db.message(), db.code().code());
    if let Some(tokio_postgres::error::ErrorPosition::Original(position)) = db.position() {
        let (line, column) = locate(sql, *position as usize);
        eprintln!("LINE:  {line}\n       {}^", " ".repeat(column));
    }
    if let Some(detail) = db.detail() {
        eprintln!("DETAIL:  {detail}");
    }
    if let Some(hint) = db.hint() {
        eprintln!("HINT:  {hint}");
    }
}

/// The line that holds the character `position` (from 1), and the column in it.
fn locate(sql: &str, position: usize) -> (&str, usize) {
    let mut before = position.saturating_sub(1);
    for line in sql.lines() {
        let characters = line.chars().count();
        if before <= characters {
            return (line, before);
        }
        before -= characters + 1;
    }
    (sql, 0)
}

/// Does the text end with a semicolon outside quotes, comments and dollar quotes?
fn is_complete(text: &str) -> bool {
    let mut rest = text;
    let mut complete = false;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("--") {
            rest.find('\n')
        } else if rest.starts_with("/*") {
            rest.find("*/").map(|end| end + 2)
        } else if first == '\'' || first == '"' {
            rest[1..].find(first).map(|end| end + 2)
        } else if let Some(tag) = dollar_tag(rest) {
            rest[tag.len()..].find(tag).map(|end| end + 2 * tag.len())
        } else {
            complete = if first == ';' { true } else { complete && first.is_whitespace() };
            Some(first.len_utf8())
        };
        match skipped {
            Some(bytes) => rest = &rest[bytes..],
            // An open quote or comment; a line comment at the very end changes nothing.
            None => return complete && rest.starts_with("--"),
        }
    }
    complete
}

fn dollar_tag(text: &str) -> Option<&str> {
    let end = text.strip_prefix('$')?.find('$')?;
    let tag = &text[..end + 2];
    tag[1..=end].chars().all(|character| character.is_alphanumeric() || character == '_').then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_a_semicolon_outside_quotes() {
        for text in ["select 1;", "select ';';", "select 1; -- done", "select $$;$$;", "select 1;  \n"] {
            assert!(is_complete(text), "{text}");
        }
        for text in ["select 1", "select ';", "select 1 -- ;", "select /* ; ", "select $a$ ; $a$", "select 1; select"] {
            assert!(!is_complete(text), "{text}");
        }
    }

    #[test]
    fn positions_are_found_in_their_line() {
        assert_eq!(locate("select\n  x", 10), ("  x", 2));
        assert_eq!(locate("selec 1", 1), ("selec 1", 0));
    }
}
