//! DDL as stories: sessions, statements, and what the catalog then says.
//!
//! Each line `a:> STATEMENT` runs a statement in the session `a`, over transactions on a cluster in one process. A
//! statement that waits for a lock says so, and its answer stands under the line that made it go on. Besides
//! SQL there are `tables` (what the session's catalog has), `table NAME` (one descriptor in full) and `dropped` (storage
//! ids that wait for garbage collection). Statements are SERIALIZABLE unless a block says `BEGIN ISOLATION LEVEL READ COMMITTED`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use env::BoxFuture;
use expr::{Datum, Expr, Oid, Row, SqlType};
use futures::FutureExt;
use keyspace::{IndexId, Key};
use parking_lot::Mutex;
use sql::catalog::ddl::{self, DdlContext, DdlHost, IdPool};
use sql::catalog::{
    Catalog, CatalogCache, RelationKind, SearchPath, Table, TableDescriptor, UsedTables, bootstrap, rows,
};
use sql::parse::ast::{Statement, TransactionMode, Utility};
use sql::plan::Plan;
use sql::session::Notice;
use sql::{Retry, SqlError, SqlResult};
use tokio::sync::mpsc;
use txn::{Isolation, Savepoint, ScanSpec, Transaction, TxnClient, TxnOptions, Visible, fake};

#[test]
fn stories() {
    let folder = "tests/ddl";
    let mut scripts: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.sort();
    assert!(!scripts.is_empty());
    for script in scripts {
        let mut runner = Runner::new();
        goldenscript::run(&mut runner, &script).unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    }
}

struct Runner {
    runtime: tokio::runtime::Runtime,
    local: tokio::task::LocalSet,
    node: Rc<Node>,
    sessions: BTreeMap<String, mpsc::UnboundedSender<String>>,
    /// `(session, answer)`
    answers: mpsc::UnboundedReceiver<(String, String)>,
    answered: mpsc::UnboundedSender<(String, String)>,
    waiting: Vec<String>,
}

struct Node {
    client: TxnClient,
    cache: Arc<CatalogCache>,
    ids: IdPool,
}

impl Runner {
    fn new() -> Runner {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let local = tokio::task::LocalSet::new();
        let node = local.block_on(&runtime, async {
            let client = fake::cluster(fake::env(), [Key::from(&[2, 3, 0xe8][..])]);
            bootstrap(&client).await.unwrap();
            bootstrap(&client).await.unwrap(); // a second node does no harm
            Node { cache: CatalogCache::new(client.clone()), ids: IdPool::new(client.clone()), client }
        });
        let (answered, answers) = mpsc::unbounded_channel();
        let sessions = BTreeMap::new();
        Runner { runtime, local, node: Rc::new(node), sessions, answers, answered, waiting: Vec::new() }
    }

    fn session(&mut self, name: &str) -> mpsc::UnboundedSender<String> {
        if let Some(session) = self.sessions.get(name) {
            return session.clone();
        }
        let (send, mut receive) = mpsc::unbounded_channel::<String>();
        let (node, answered, own_name) = (self.node.clone(), self.answered.clone(), name.to_owned());
        self.local.spawn_local(async move {
            let mut session = Session::new(node);
            while let Some(line) = receive.recv().await {
                let answer = session.line(&line).await;
                answered.send((own_name.clone(), answer)).unwrap();
            }
        });
        self.sessions.insert(name.to_owned(), send.clone());
        send
    }

    /// What is answered within a second in which everybody else waits too.
    fn collect(&mut self, out: &mut String, of: &str) {
        let (runtime, local, answers) = (&self.runtime, &self.local, &mut self.answers);
        let mut all = Vec::new();
        local.block_on(runtime, async {
            let deadline = fake::env().sleep(Duration::from_secs(1));
            tokio::pin!(deadline);
            loop {
                tokio::select! {
                    biased;
                    answer = answers.recv() => all.push(answer.unwrap()),
                    () = &mut deadline => break,
                }
            }
        });
        for (name, answer) in &all {
            if name != of || self.waiting.contains(name) {
                writeln!(out, "({name} goes on)").unwrap();
                self.waiting.retain(|waiting| waiting != name);
            }
            out.push_str(answer);
        }
        if !all.iter().any(|(name, _)| name == of) {
            self.waiting.push(of.to_owned());
            out.push_str("(waits)\n");
        }
    }
}

impl goldenscript::Runner for Runner {
    type Command = goldenscript::Command;

    fn run(
        &mut self,
        command: &goldenscript::Command,
        context: &goldenscript::Context,
    ) -> Result<String, Box<dyn Error>> {
        let name = context.prefix.clone().unwrap_or_else(|| "a".into());
        let line = std::iter::once(command.name.clone()).chain(command.args.iter().map(|arg| arg.to_string()));
        let line = line.collect::<Vec<_>>().join(" ");
        self.session(&name).send(line).unwrap();
        let mut out = String::new();
        self.collect(&mut out, &name);
        Ok(out)
    }
}

/// As much of a session as DDL needs.
struct Session {
    node: Rc<Node>,
    catalog: Option<Arc<Catalog>>,
    block: Option<Block>,
    database: String,
    search_path: Vec<String>,
}

struct Block {
    txn: Transaction,
    used: Arc<UsedTables>,
    savepoints: Vec<(String, Savepoint, Arc<Catalog>)>,
    failed: bool,
}

impl Session {
    fn new(node: Rc<Node>) -> Session {
        let search_path = vec!["$user".into(), "public".into()];
        Session { node, catalog: None, block: None, database: "cairn".into(), search_path }
    }

    async fn line(&mut self, line: &str) -> String {
        let mut out = String::new();
        if let Err(error) = self.run(line, &mut out).await {
            if let Some(block) = &mut self.block {
                block.failed = true;
            }
            write_error(&mut out, "ERROR", &error);
        }
        out
    }

    async fn run(&mut self, line: &str, out: &mut String) -> SqlResult<()> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "tables" => return self.show(out, None).await,
            "table" => return self.show(out, Some(rest)).await,
            "dropped" => return self.dropped(out).await,
            "database" => {
                self.database = rest.to_owned();
                return Ok(());
            }
            _ => {}
        }
        for parsed in sql::parse::parse(line)? {
            match &parsed.statement {
                Statement::Ddl(statement) => self.ddl(line, statement, out).await?,
                Statement::Utility(utility) => self.utility(utility, out).await?,
                other => panic!("not for this runner: {other:?}"),
            }
        }
        Ok(())
    }

    async fn begin(&self, isolation: Isolation) -> SqlResult<Block> {
        let txn = self.node.client.begin(TxnOptions { isolation, ..TxnOptions::default() }).await?;
        let used = UsedTables::new(self.node.cache.clone());
        txn.set_schema_guard(used.clone());
        Ok(Block { txn, used, savepoints: Vec::new(), failed: false })
    }

    async fn ddl(&mut self, source: &str, statement: &sql::parse::ast::Ddl, out: &mut String) -> SqlResult<()> {
        let in_block = self.block.is_some();
        for _ in 0..10 {
            if self.block.is_none() {
                self.block = Some(self.begin(Isolation::Serializable).await?);
            }
            let block = self.block.as_ref().expect("it was just begun");
            if block.failed {
                return Err(SqlError::new("25P02", "current transaction is aborted"));
            }
            let mut result = block.txn.begin_statement().await.map_err(SqlError::from);
            if result.is_ok() {
                result = self.statement(source, statement, out).await;
            }
            if !in_block {
                let block = self.block.take().expect("it was begun");
                result = match result {
                    Ok(()) => block.txn.commit().await.map(|_| ()).map_err(SqlError::from),
                    Err(error) => {
                        block.txn.rollback().await;
                        Err(error)
                    }
                };
                self.catalog = None;
            }
            match result {
                Err(error) if !in_block && error.0.retry != Retry::No => writeln!(out, "(again: {error})").unwrap(),
                result => return result,
            }
        }
        Err(SqlError::new("XX000", "a statement is tried too often"))
    }

    async fn statement(&mut self, source: &str, statement: &sql::parse::ast::Ddl, out: &mut String) -> SqlResult<()> {
        let block = self.block.as_ref().expect("a statement runs in a transaction");
        loop {
            let catalog = self.node.cache.at(block.txn.stamp(), self.catalog.as_ref()).await?;
            let path = self.path(&catalog);
            let host = Host::default();
            let context = DdlContext {
                txn: &block.txn,
                source,
                catalog: &catalog,
                path: &path,
                user: Oid(10),
                ids: &self.node.ids,
                used: &block.used,
                host: &host,
            };
            let outcome = ddl::execute(context, statement).await;
            for notice in host.notices.lock().drain(..) {
                write_error(out, notice.severity, &notice.error);
            }
            match outcome {
                Ok(outcome) => {
                    writeln!(out, "{}", outcome.tag).unwrap();
                    for action in &outcome.after_commit {
                        writeln!(out, "after commit: {action:?}").unwrap();
                    }
                    self.catalog = Some(outcome.catalog);
                    return Ok(());
                }
                Err(error) if error.0.retry == Retry::Statement => {
                    writeln!(out, "(again)").unwrap();
                    block.txn.restart_statement().await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn path(&self, catalog: &Catalog) -> SearchPath {
        let database = catalog.database(&self.database).expect("the session's database").oid;
        catalog.search_path(database, "root", &self.search_path)
    }

    async fn utility(&mut self, utility: &Utility, out: &mut String) -> SqlResult<()> {
        match utility {
            Utility::Begin { modes, .. } => {
                let is_weak = modes.iter().any(|mode| {
                    matches!(mode, TransactionMode::Isolation(sql::parse::ast::IsolationLevel::ReadCommitted))
                });
                let isolation = if is_weak { Isolation::ReadCommitted } else { Isolation::Serializable };
                self.block = Some(self.begin(isolation).await?);
            }
            Utility::Commit { .. } => {
                self.catalog = None;
                let block = self.block.take().expect("a block");
                if block.failed {
                    block.txn.rollback().await;
                    writeln!(out, "ROLLBACK").unwrap();
                    return Ok(());
                }
                block.txn.commit().await?;
                writeln!(out, "COMMIT").unwrap();
            }
            Utility::Rollback { .. } => {
                self.catalog = None;
                self.block.take().expect("a block").txn.rollback().await;
            }
            Utility::Savepoint(name) => {
                let catalog = self.current().await?;
                let block = self.block.as_mut().expect("a block");
                block.savepoints.push((name.text.clone(), block.txn.savepoint(), catalog));
            }
            Utility::RollbackTo(name) => {
                let block = self.block.as_mut().expect("a block");
                let at = block.savepoints.iter().rposition(|(known, ..)| *known == name.text).expect("a savepoint");
                block.savepoints.truncate(at + 1);
                let (_, savepoint, catalog) = &block.savepoints[at];
                block.txn.rollback_to(*savepoint).await?;
                block.failed = false;
                self.catalog = Some(catalog.clone());
            }
            Utility::Set(set) if set.name == "search_path" => {
                self.search_path = set.value.iter().flatten().map(|value| value.to_text()).collect();
            }
            other => panic!("not for this runner: {other:?}"),
        }
        Ok(())
    }

    async fn current(&mut self) -> SqlResult<Arc<Catalog>> {
        let stamp = match &self.block {
            Some(block) => block.txn.stamp(),
            None => self.node.client.oracle().fresh().await?,
        };
        Ok(self.node.cache.at(stamp, self.catalog.as_ref()).await?)
    }

    async fn show(&mut self, out: &mut String, name: Option<&str>) -> SqlResult<()> {
        let catalog = self.current().await?;
        let path = self.path(&catalog);
        if let Some(name) = name {
            let table = catalog.resolve_relation(&path, None, name);
            return match table {
                Some(table) => describe(out, &catalog, table),
                None => Err(SqlError::new("42P01", format!("relation \"{name}\" does not exist"))),
            };
        }
        for schema in catalog.schemas(path.database) {
            for table in catalog.relations_in(schema.oid).into_iter().filter(|table| table.database == path.database) {
                let indexes: Vec<_> = table.named_indexes().map(|index| index.name.as_str()).collect();
                let kind = match &table.kind {
                    RelationKind::Table { .. } => "table".to_owned(),
                    RelationKind::View { definition, .. } => format!("view: {definition}"),
                    RelationKind::Sequence(_) => "sequence".to_owned(),
                    RelationKind::Virtual => "virtual".to_owned(),
                };
                writeln!(out, "{}.{} {} {}", schema.name, table.name, kind, indexes.join(" ")).unwrap();
            }
        }
        Ok(())
    }

    async fn dropped(&self, out: &mut String) -> SqlResult<()> {
        let txn = self.node.client.begin(TxnOptions::default()).await?;
        let mut scan = txn.scan(ScanSpec {
            span: rows::dropped_span(),
            reverse: false,
            rows_max: 0,
            program: None,
            lock: None,
            visible: Visible::Everything,
            untracked: false,
        });
        loop {
            let page = scan.next_page().await?;
            if page.is_empty() {
                return Ok(());
            }
            for row in page {
                writeln!(out, "{:?}", rows::parse_dropped_key(&row.key)).unwrap();
            }
        }
    }
}

fn write_error(out: &mut String, severity: &str, error: &SqlError) {
    let failure = &error.0;
    writeln!(out, "{severity} {}: {}", failure.state.as_str(), failure.message).unwrap();
    let parts = [("DETAIL", &failure.detail), ("HINT", &failure.hint)];
    for (name, text) in parts {
        if let Some(text) = text {
            writeln!(out, "{name}: {}", text.replace('\n', "\n        ")).unwrap();
        }
    }
}

/// One descriptor, every part on a line of its own.
fn describe(out: &mut String, catalog: &Catalog, table: &TableDescriptor) -> SqlResult<()> {
    let name = |id| table.column(id).map_or("?", |column| &column.name).to_owned();
    let names = |ids: &[sql::catalog::ColumnId]| ids.iter().map(|id| name(*id)).collect::<Vec<_>>().join(", ");
    match &table.kind {
        RelationKind::Sequence(s) => {
            let owner = s.owned_by.map(|(table, column)| {
                let table = catalog.table(table).expect("the owner is there");
                format!("{}.{}", table.name, table.column(column).expect("the column is there").name)
            });
            writeln!(
                out,
                "sequence {} start {} increment {} min {} max {} cache {} cycle {} owned by {owner:?}",
                s.ty, s.start, s.increment, s.min, s.max, s.cache, s.cycle
            )
            .unwrap();
            return Ok(());
        }
        RelationKind::View { definition, depends_on } => {
            writeln!(out, "view {definition} ({} dependencies)", depends_on.len()).unwrap();
        }
        RelationKind::Table { .. } | RelationKind::Virtual => {}
    }
    for column in &table.columns {
        let mut line = format!("{} {} {}", column.attnum, column.name, column.ty);
        for (is, what) in [(column.not_null, "not null"), (column.hidden, "hidden"), (column.dropped, "dropped")] {
            if is {
                write!(line, " {what}").unwrap();
            }
        }
        if let Some(default) = &column.default {
            write!(line, " default {}", hide_oids(catalog, default)).unwrap();
        }
        if let Some(missing) = &column.missing {
            write!(line, " missing {missing}").unwrap();
        }
        if let Some(identity) = &column.identity {
            write!(line, " identity {identity:?}").unwrap();
        }
        writeln!(out, "{line}").unwrap();
    }
    for index in &table.indexes {
        let keys = index.columns.iter().map(|key| {
            let order = if key.descending { " desc" } else { "" };
            let nulls = if key.nulls_first { " nulls first" } else { "" };
            format!("{}{order}{nulls}", name(key.column))
        });
        let kind = match (index.primary, index.unique) {
            (true, _) => "primary key",
            (false, true) => "unique index",
            (false, false) => "index",
        };
        let include =
            if index.include.is_empty() { String::new() } else { format!(" include ({})", names(&index.include)) };
        let constraint = if index.constraint.is_some() { " constraint" } else { "" };
        let keys = keys.collect::<Vec<_>>().join(", ");
        writeln!(out, "{kind} {} \"{}\" ({keys}){include}{constraint}", index.id, index.name).unwrap();
    }
    for check in &table.checks {
        writeln!(
            out,
            "check \"{}\" {} on ({}) valid {}",
            check.name,
            check.condition,
            names(&check.columns),
            check.validated
        )
        .unwrap();
    }
    for key in &table.foreign_keys {
        let target = catalog.table(key.target).expect("the target is there");
        let theirs = key.target_columns.iter().map(|id| target.column(*id).expect("a column").name.clone());
        let theirs = theirs.collect::<Vec<_>>().join(", ");
        let (own, target) = (names(&key.columns), &target.name);
        writeln!(
            out,
            "foreign key \"{}\" ({own}) to {target} ({theirs}) on delete {:?} on update {:?} valid {}",
            key.name, key.on_delete, key.on_update, key.validated
        )
        .unwrap();
    }
    let children = table.referenced_by.iter().map(|oid| catalog.table(*oid).expect("a child is there").name.clone());
    let children = children.collect::<Vec<_>>();
    if !children.is_empty() {
        writeln!(out, "referenced by {}", children.join(", ")).unwrap();
    }
    if !table.options.is_empty() {
        writeln!(out, "options {:?}", table.options).unwrap();
    }
    Ok(())
}

/// OIDs differ with every change of a script: names instead.
fn hide_oids(catalog: &Catalog, default: &str) -> String {
    let Some((before, rest)) = default.split_once("nextval('") else { return default.to_owned() };
    let (oid, after) = rest.split_once('\'').expect("a quoted OID");
    let name = catalog.table(Oid(oid.parse().expect("an OID"))).map_or("nothing", |sequence| sequence.name.as_str());
    format!("{before}nextval('<{name}>'{after}")
}

/// There are no rows in these stories: nothing is run.
#[derive(Default)]
struct Host {
    notices: Mutex<Vec<Notice>>,
}

impl DdlHost for Host {
    fn evaluate(&self, expr: &Expr) -> SqlResult<Datum> {
        match expr {
            Expr::Const { value, .. } => Ok(value.clone()),
            Expr::Cast { arg, .. } => self.evaluate(arg),
            other => Err(SqlError::new("XX000", format!("not evaluated here: {other:?}"))),
        }
    }

    fn run<'a>(
        &'a self,
        _catalog: &'a Arc<Catalog>,
        _plan: &'a Plan,
        _each: &'a mut (dyn FnMut(Vec<Row>) -> SqlResult<()> + Send),
    ) -> BoxFuture<'a, SqlResult<u64>> {
        async { Ok(0) }.boxed()
    }

    fn to_text(&self, value: &Datum, _ty: SqlType) -> SqlResult<String> {
        Ok(format!("{value:?}"))
    }

    fn key_prefix(&self, _table: &Table, _index: IndexId, _values: &[Datum]) -> SqlResult<Key> {
        Err(SqlError::not_supported("keys in these stories"))
    }

    fn password_verifier(&self, _password: &str) -> SqlResult<String> {
        Ok("SCRAM-SHA-256$verifier".into())
    }

    fn notice(&self, notice: Notice) {
        self.notices.lock().push(notice);
    }

    fn split_new_tables(&self) -> u32 {
        1
    }
}
