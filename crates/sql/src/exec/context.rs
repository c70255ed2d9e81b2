//! What a running statement has at hand, and what it may hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use env::{Budget, Env, Reservation};
use expr::{Datum, Row};
use txn::Transaction;

use super::row_format::Formats;
use crate::SqlResult;
use crate::catalog::{Catalog, TableDescriptor};
use crate::session::{Active, Functions, Watch};

/// Given to every call of an operator. A correlated subquery runs under a clone of its own, whose parameter slots it fills.
#[derive(Clone)]
pub(crate) struct Context {
    pub shared: Arc<Shared>,
    /// The statement's parameters, then the slots of its subqueries.
    pub params: Vec<Datum>,
}

/// What does not change while a statement runs.
pub(crate) struct Shared {
    pub env: Env,
    pub txn: Arc<Transaction>,
    pub catalog: Arc<Catalog>,
    pub memory: Budget,
    pub watch: Arc<Watch>,
    pub functions: Functions,
    pub active: Arc<Active>,
    /// Microseconds since 2000.
    pub statement_time: i64,
    pub transaction_time: i64,
    /// The transaction's counter of hidden row ids.
    pub row_ids: Arc<AtomicU64>,
    pub formats: Formats,
    pub breaths: AtomicU32,
}

/// Batches of a statement between two turns of others: some ten thousand rows.
const BREATHS_PER_TURN: u32 = 16;

impl Context {
    pub fn txn(&self) -> &Transaction {
        &self.shared.txn
    }

    /// Between two batches: has somebody asked for the statement to end? Now and then others get their turn: a statement that
    /// computes for hours and waits for nothing would keep its thread, and what runs there, its own time limit included.
    pub async fn breathe(&self) -> SqlResult<()> {
        self.shared.watch.check()?;
        if self.shared.breaths.fetch_add(1, Ordering::Relaxed) % BREATHS_PER_TURN == BREATHS_PER_TURN - 1 {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// The same statement over another catalog: its own changes.
    pub fn with_catalog(&self, catalog: Arc<Catalog>) -> Context {
        let shared = &*self.shared;
        let functions = &shared.functions;
        let shared = Shared {
            env: shared.env.clone(),
            txn: shared.txn.clone(),
            functions: Functions::new(functions.server.clone(), functions.state.clone(), catalog.clone()),
            catalog,
            memory: shared.memory.clone(),
            watch: shared.watch.clone(),
            active: shared.active.clone(),
            statement_time: shared.statement_time,
            transaction_time: shared.transaction_time,
            row_ids: shared.row_ids.clone(),
            formats: Formats::default(),
            breaths: AtomicU32::new(0),
        };
        Context { shared: Arc::new(shared), params: self.params.clone() }
    }

    /// The name of a table's schema, for errors.
    pub fn schema_of(&self, table: &TableDescriptor) -> &str {
        self.shared.catalog.schema_by_oid(table.schema).map_or("", |schema| &schema.name)
    }

    pub fn reservation(&self) -> Reservation {
        self.shared.memory.reservation()
    }

    /// Fills a parameter slot.
    pub fn bind(&mut self, slot: usize, value: Datum) {
        if self.params.len() <= slot {
            self.params.resize(slot + 1, Datum::Null);
        }
        self.params[slot] = value;
    }
}

/// Rows held in memory and charged to the statement.
pub(crate) struct HeldRows {
    rows: Vec<Row>,
    held: Reservation,
}

impl HeldRows {
    pub fn new(ctx: &Context) -> HeldRows {
        HeldRows::charged_to(ctx.reservation())
    }

    pub fn charged_to(held: Reservation) -> HeldRows {
        HeldRows { rows: Vec::new(), held }
    }

    pub fn push(&mut self, row: Row) -> SqlResult<()> {
        self.held.grow(row_bytes(&row))?;
        self.rows.push(row);
        Ok(())
    }

    pub fn extend(&mut self, rows: Vec<Row>) -> SqlResult<()> {
        self.held.grow(rows.iter().map(row_bytes).sum())?;
        self.rows.extend(rows);
        Ok(())
    }

    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }
}

/// What a row takes, roughly.
pub(crate) fn row_bytes(row: &Row) -> usize {
    size_of::<Row>() + row.iter().map(datum_bytes).sum::<usize>()
}

pub(crate) fn datum_bytes(datum: &Datum) -> usize {
    let beyond = match datum {
        Datum::Text(text) => text.len() + 16,
        Datum::Bytea(bytes) => bytes.len() + 16,
        Datum::Array(array) => 64 + array.elements.iter().map(datum_bytes).sum::<usize>(),
        Datum::Record(fields) => 16 + fields.iter().map(datum_bytes).sum::<usize>(),
        Datum::Interval(_) => 16,
        Datum::Numeric(_) => 16,
        // A document of unknown depth: what its text form would take is not known without making it.
        Datum::Jsonb(_) => 256,
        _ => 0,
    };
    size_of::<Datum>() + beyond
}
