//! Statements that change the catalog.
//!
//! DDL is an ordinary transaction: it reads the catalog as its transaction sees it, and writes descriptor and name rows
//! beside whatever else the transaction writes. A statement goes in three steps:
//!
//! 1. *Decide*: on a private copy of the catalog the statement's changes are made, one descriptor at a time
//!    ([`Editor`]); what fails, fails here, with PostgreSQL's words, before anything was locked or written.
//! 2. *Lock and write*: every row that was decided upon is locked in one request, in key order, so that two DDL
//!    statements on one object wait for each other and nobody else waits for either. A row that has changed since the
//!    transaction's number restarts the statement (`StatementRestart`). Then the rows are written to the
//!    transaction's buffer.
//! 3. *Rows*: what a change asks of rows that exist (a new index's entries, a rewrite, a check) is done.
//!
//! The caller gets the changed catalog for its next statement; after ROLLBACK TO it asks the cache for one that the
//! transaction reads anew.

mod alter_column;
mod alter_table;
mod columns;
mod comment;
mod constraints;
mod create_table;
mod create_table_as;
mod dependencies;
mod drop;
mod editor;
mod ids;
mod index;
mod names;
mod rename;
mod rewrite;
mod role;
mod schema;
mod sequence;
mod split;
mod text;
mod truncate;
mod view;
mod walk;

use std::sync::Arc;

use env::BoxFuture;
use expr::{Datum, Oid, Row, SqlType};
use keyspace::{IndexId, Key};
use txn::Transaction;

pub(crate) use self::dependencies::unique_index_on;
pub use self::ids::IdPool;
pub(crate) use self::schema::EXTENSIONS;
use super::{Catalog, SearchPath, Table, UsedTables};
use crate::parse::ast;
use crate::plan::Plan;
use crate::session::Notice;
use crate::{SqlError, SqlResult};
use editor::Editor;

/// What a statement runs in.
pub struct DdlContext<'a> {
    pub txn: &'a Transaction,
    /// The statement's source text, for positions.
    pub source: &'a str,
    /// As the transaction sees it now.
    pub catalog: &'a Arc<Catalog>,
    pub path: &'a SearchPath,
    /// The current role.
    pub user: Oid,
    pub ids: &'a IdPool,
    pub used: &'a UsedTables,
    pub host: &'a dyn DdlHost,
}

/// What DDL needs of the stages after it: implemented by the session over `exec`.
pub trait DdlHost: Send + Sync {
    /// An expression without columns, at the statement's time.
    fn evaluate(&self, expr: &expr::Expr) -> SqlResult<Datum>;

    /// Runs a plan in the transaction; `each` gets its rows in batches. Gives the number of rows.
    fn run<'a>(
        &'a self,
        catalog: &'a Arc<Catalog>,
        plan: &'a Plan,
        each: &'a mut (dyn FnMut(Vec<Row>) -> SqlResult<()> + Send),
    ) -> BoxFuture<'a, SqlResult<u64>>;

    /// A value's text form, whatever the session's settings are.
    fn to_text(&self, value: &Datum, ty: SqlType) -> SqlResult<String>;

    /// The key in front of all keys of an index that begin with these values.
    fn key_prefix(&self, table: &Table, index: IndexId, values: &[Datum]) -> SqlResult<Key>;

    /// What is kept of a password.
    fn password_verifier(&self, password: &str) -> SqlResult<String>;

    /// To the client.
    fn notice(&self, notice: Notice);

    /// `Knobs::split_new_tables`.
    fn split_new_tables(&self) -> u32;
}

/// What a statement did.
pub struct DdlOutcome {
    /// For CommandComplete.
    pub tag: String,
    /// With the statement's changes, for the transaction's next statement.
    pub catalog: Arc<Catalog>,
    /// To be done when the transaction has committed, and not otherwise.
    pub after_commit: Vec<AfterCommit>,
}

#[derive(Clone, Debug)]
pub enum AfterCommit {
    /// Cut the ranges that hold these keys there (`TxnClient::split_at`).
    SplitAt(Vec<Key>),
    /// Cut a table into so many ranges by the hidden ids that rows inserted from now on will get.
    SplitRowIds { table: Table, ranges: u32 },
}

pub async fn execute(context: DdlContext<'_>, statement: &ast::Ddl) -> SqlResult<DdlOutcome> {
    let mut editor = Editor::new(context);
    let tag = run(&mut editor, statement).await?;
    editor.finish(tag).await
}

/// Does what the statement says and gives its command tag.
async fn run(editor: &mut Editor<'_>, statement: &ast::Ddl) -> SqlResult<String> {
    use ast::Ddl;

    match statement {
        Ddl::CreateTable(create) => done(create_table::create(editor, create).await, "CREATE TABLE"),
        Ddl::CreateTableAs(create) => create_table_as::create(editor, create).await,
        Ddl::CreateIndex(create) => done(index::create(editor, create).await, "CREATE INDEX"),
        Ddl::CreateView(create) => done(view::create(editor, create).await, "CREATE VIEW"),
        Ddl::CreateSequence(create) => done(sequence::create(editor, create).await, "CREATE SEQUENCE"),
        Ddl::CreateSchema(create) => done(schema::create_schema(editor, create).await, "CREATE SCHEMA"),
        Ddl::CreateDatabase(create) => done(schema::create_database(editor, create).await, "CREATE DATABASE"),
        Ddl::CreateRole(create) => done(role::create(editor, create).await, "CREATE ROLE"),
        Ddl::CreateExtension { name, if_not_exists } => {
            done(schema::create_extension(editor, name, *if_not_exists).await, "CREATE EXTENSION")
        }
        Ddl::CreateEnum { .. } | Ddl::AlterEnum(_) => Err(SqlError::not_supported("an enum type")),
        Ddl::CreateDomain(_) => Err(SqlError::not_supported("a domain")),
        Ddl::RefreshMaterializedView { .. } => Err(SqlError::not_supported("a materialized view")),
        Ddl::AlterTable(alter) => {
            let tag = format!("ALTER {}", words(alter.kind));
            alter_table::alter(editor, alter).await.map(|()| tag)
        }
        Ddl::AlterSequence { name, if_exists, options } => {
            done(sequence::alter(editor, name, *if_exists, options).await, "ALTER SEQUENCE")
        }
        Ddl::AlterDatabase { name, change } => done(schema::alter_database(editor, name, change), "ALTER DATABASE"),
        Ddl::AlterRole(alter) => done(role::alter(editor, alter), "ALTER ROLE"),
        Ddl::Rename(change) => {
            let tag = format!("ALTER {}", words(change.object.kind));
            rename::rename(editor, change).map(|()| tag)
        }
        Ddl::SetSchema { object, if_exists, schema } => {
            let tag = format!("ALTER {}", words(object.kind));
            rename::set_schema(editor, object, *if_exists, schema).map(|()| tag)
        }
        Ddl::OwnerTo { object, owner } => {
            let tag = format!("ALTER {}", words(object.kind));
            rename::set_owner(editor, object, owner).map(|()| tag)
        }
        Ddl::Drop(objects) => {
            let tag = format!("DROP {}", words(objects.kind));
            drop_objects(editor, objects).map(|()| tag)
        }
        Ddl::Truncate(truncate) => done(truncate::truncate(editor, truncate).await, "TRUNCATE TABLE"),
        Ddl::Comment { object, text } => done(comment::set(editor, object, text.as_deref()), "COMMENT"),
        Ddl::Grant(grant) => role::grant(editor, grant).map(|()| grant_tag(grant).to_owned()),
    }
}

fn done(result: SqlResult<()>, tag: &str) -> SqlResult<String> {
    result.map(|()| tag.to_owned())
}

fn drop_objects(editor: &mut Editor<'_>, objects: &ast::DropObjects) -> SqlResult<()> {
    use ast::ObjectKind as Kind;
    match objects.kind {
        Kind::Table | Kind::View | Kind::Sequence | Kind::Index | Kind::Schema => drop::drop_objects(editor, objects),
        Kind::Database => schema::drop_databases(editor, objects),
        Kind::Role => role::drop_roles(editor, objects),
        Kind::Extension => schema::drop_extensions(editor, objects),
        kind => drop_what_is_not(editor, kind, objects),
    }
}

/// Nothing of these kinds can be there: with IF EXISTS that is no error.
fn drop_what_is_not(editor: &Editor<'_>, kind: ast::ObjectKind, objects: &ast::DropObjects) -> SqlResult<()> {
    let word = words(kind).to_lowercase();
    for name in &objects.names {
        let message = match &objects.member {
            Some(member) => format!("{word} \"{member}\" for relation \"{name}\" does not exist"),
            None => format!("{word} \"{name}\" does not exist"),
        };
        if !objects.if_exists {
            return Err(SqlError::new("42704", message));
        }
        editor.notice("00000", format!("{message}, skipping"));
    }
    Ok(())
}

fn grant_tag(grant: &ast::Grant) -> &'static str {
    match (&grant.objects, grant.revoke) {
        (Some(ast::GrantObjects::Default(_)), _) => "ALTER DEFAULT PRIVILEGES",
        (None, false) => "GRANT ROLE",
        (None, true) => "REVOKE ROLE",
        (Some(_), false) => "GRANT",
        (Some(_), true) => "REVOKE",
    }
}

/// A kind of object as a command tag has it.
fn words(kind: ast::ObjectKind) -> &'static str {
    use ast::ObjectKind as Kind;
    match kind {
        Kind::Table | Kind::Column | Kind::Constraint => "TABLE",
        Kind::View => "VIEW",
        Kind::MaterializedView => "MATERIALIZED VIEW",
        Kind::ForeignTable => "FOREIGN TABLE",
        Kind::Index => "INDEX",
        Kind::Sequence => "SEQUENCE",
        Kind::Schema => "SCHEMA",
        Kind::Database => "DATABASE",
        Kind::Role => "ROLE",
        Kind::Type => "TYPE",
        Kind::Domain | Kind::DomainConstraint => "DOMAIN",
        Kind::Extension => "EXTENSION",
        Kind::Function => "FUNCTION",
        Kind::Procedure => "PROCEDURE",
        Kind::Aggregate => "AGGREGATE",
        Kind::Routine => "ROUTINE",
        Kind::Trigger => "TRIGGER",
        Kind::Rule => "RULE",
        Kind::Policy => "POLICY",
        Kind::Cast => "CAST",
        Kind::Collation => "COLLATION",
        Kind::Conversion => "CONVERSION",
        Kind::Operator => "OPERATOR",
        Kind::OperatorClass => "OPERATOR CLASS",
        Kind::OperatorFamily => "OPERATOR FAMILY",
        Kind::Language => "LANGUAGE",
        Kind::Tablespace => "TABLESPACE",
        Kind::Publication => "PUBLICATION",
        Kind::Subscription => "SUBSCRIPTION",
        Kind::Statistics => "STATISTICS",
        Kind::EventTrigger => "EVENT TRIGGER",
        Kind::AccessMethod => "ACCESS METHOD",
        Kind::Server => "SERVER",
        Kind::ForeignDataWrapper => "FOREIGN DATA WRAPPER",
        Kind::UserMapping => "USER MAPPING",
        Kind::TextSearch => "TEXT SEARCH CONFIGURATION",
        Kind::Transform => "TRANSFORM",
        Kind::LargeObject => "LARGE OBJECT",
    }
}
