//! Operators that pull batches of rows.
//!
//! [`open`] turns a plan into a tree of operators, one for each node, one file for each kind. The operators borrow the plan
//! (nothing of a cached plan is copied to run it) and hold only what they are in the middle of. Whoever wants rows calls
//! [`Operator::next`] at the root until it gives `None`; each batch pulls what it needs from below.
//!
//! * A batch is never empty and has about [`BATCH_ROWS`] rows.
//! * Every operator that holds rows charges them to the statement's budget (53200 when it is used up).
//! * Cancellation is checked where work goes on without awaiting: once per batch.
//! * Reads see what earlier statements of the transaction wrote, never what this one writes (no Halloween problem).

mod aggregate;
mod apply;
mod context;
mod cte;
mod distinct;
mod eval;
mod filter;
mod function_scan;
mod hash_join;
mod hash_key;
mod limit;
mod lock_rows;
mod lookup_join;
mod nested_loop;
mod profile;
mod project;
mod project_set;
mod row_format;
mod scan;
mod set_operation;
mod set_rows;
mod sort;
mod spans;
mod values;
mod virtual_scan;
mod window;
pub(crate) mod write;

use async_trait::async_trait;
pub(crate) use context::{Context, HeldRows, Shared, datum_bytes, row_bytes};
pub(crate) use cte::Scope;
use expr::{Row, SqlType};
pub(crate) use profile::Profile;
pub(crate) use row_format::{Formats, TableFormat};
use txn::LockMode;

use crate::SqlResult;
use crate::catalog::Table;
use crate::plan::{Node, Plan};
use crate::session::Answer;

/// Rows in a batch, roughly.
pub(crate) const BATCH_ROWS: usize = 1024;

#[async_trait]
pub(crate) trait Operator: Send {
    /// The next rows, at least one; `None` at the end, and again if asked again.
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>>;

    /// How many rows it has changed, of an operator that changes rows.
    fn changed(&self) -> Option<u64> {
        None
    }
}

pub(crate) type BoxOperator<'p> = Box<dyn Operator + 'p>;

/// Operators for `plan` and all below it. Nothing runs yet.
pub(crate) fn open<'p>(plan: &'p Plan, scope: &Scope<'p>) -> SqlResult<BoxOperator<'p>> {
    let operator = stacker::maybe_grow(64 << 10, 1 << 20, || open_node(plan, scope))?;
    Ok(scope.measured(plan, operator))
}

fn open_node<'p>(plan: &'p Plan, scope: &Scope<'p>) -> SqlResult<BoxOperator<'p>> {
    Ok(match &plan.node {
        Node::Values { rows } => Box::new(values::Values::new(rows)),
        Node::Scan(node) => Box::new(scan::Scan::new(node)),
        Node::VirtualScan { table, columns, equal, filter } => {
            Box::new(virtual_scan::VirtualScan::new(table, columns, equal, filter.as_ref()))
        }
        Node::LookupJoin { input, kind, scan, condition } => {
            Box::new(lookup_join::LookupJoin::new(open(input, scope)?, *kind, scan, condition.as_ref())?)
        }
        Node::LockRows { input, targets, limit } => {
            Box::new(lock_rows::LockRows::new(open(input, scope)?, targets, limit.as_ref()))
        }
        Node::Insert(node) => Box::new(write::Insert::new(node, open(&node.input, scope)?)),
        Node::Update(node) => {
            let mode = write::update_lock(node);
            let (input, is_locked) = open_target(&node.input, &node.table, mode, scope)?;
            Box::new(write::Update::new(node, input, mode, is_locked))
        }
        Node::Delete(node) => {
            let (input, is_locked) = open_target(&node.input, &node.table, LockMode::Update, scope)?;
            Box::new(write::Delete::new(node, input, is_locked))
        }
        Node::Filter { input, condition } => Box::new(filter::Filter::new(open(input, scope)?, condition)),
        Node::FunctionScan { calls, ordinality } => Box::new(function_scan::FunctionScan::new(calls, *ordinality)),
        Node::ProjectSet { input, exprs } => Box::new(project_set::ProjectSet::new(open(input, scope)?, exprs)),
        Node::Project { input, exprs } => Box::new(project::Project::new(open(input, scope)?, exprs)),
        Node::Join(join) if join.equal.is_empty() => Box::new(nested_loop::NestedLoop::open(join, scope)?),
        Node::Join(join) => Box::new(hash_join::HashJoin::open(join, scope)?),
        Node::Aggregate { input, keys, grouping_sets, aggregates, ordered: _ } => {
            let input = open(input, scope)?;
            Box::new(aggregate::Aggregate::new(input, keys, grouping_sets.as_deref(), aggregates))
        }
        Node::Window { input, calls } => Box::new(window::Window::new(open(input, scope)?, calls)),
        Node::Apply(node) => Box::new(apply::Apply::open(node, scope)?),
        Node::Sort { input, keys, limit } => Box::new(sort::Sort::new(open(input, scope)?, keys, limit.as_ref())),
        Node::Limit { input, limit, offset, with_ties } => {
            Box::new(limit::Limit::new(open(input, scope)?, limit.as_ref(), offset.as_ref(), with_ties.as_deref()))
        }
        Node::Distinct { input, on } => {
            Box::new(distinct::Distinct::new(open(input, scope)?, types_of(input), on.as_deref()))
        }
        Node::SetOperation { kind, all, left, right } => {
            set_operation::open(*kind, *all, types_of(left), open(left, scope)?, open(right, scope)?)
        }
        Node::Recursive { id, base, step, distinct } => {
            Box::new(cte::Recursive::open(*id, base, step, *distinct, scope)?)
        }
        Node::WorkingTable { id } => Box::new(cte::WorkingTable::open(*id, scope)),
        Node::With { ctes, body } => Box::new(cte::With::open(ctes, body, scope)?),
        Node::CteScan { id } => Box::new(cte::CteScan::open(*id, scope)),
    })
}

/// The rows of a table that are about to be changed; and whether they come locked.
fn open_target<'p>(
    input: &'p Plan,
    table: &Table,
    mode: LockMode,
    scope: &Scope<'p>,
) -> SqlResult<(BoxOperator<'p>, bool)> {
    match &input.node {
        // The lock goes along with the request that reads.
        Node::Scan(node) if node.table.oid == table.oid => {
            let scan: BoxOperator<'p> = Box::new(scan::Scan::locking(node, mode));
            Ok((scope.measured(input, scan), true))
        }
        _ => Ok((open(input, scope)?, false)),
    }
}

fn types_of(plan: &Plan) -> Vec<SqlType> {
    plan.fields.iter().map(|field| field.ty).collect()
}

/// Runs a plan to its end. Gives the number of rows: those that were changed for a statement that changes rows, else
/// those that were answered.
pub(crate) async fn run(plan: &Plan, ctx: &Context, answer: &mut Answer<'_>) -> SqlResult<u64> {
    let mut root = open(plan, &Scope::default())?;
    let mut answered = 0;
    while let Some(rows) = root.next(ctx).await? {
        answered += rows.len() as u64;
        answer.rows(&plan.fields, rows, &ctx.eval()).await?;
    }
    Ok(root.changed().unwrap_or(answered))
}

/// All rows of a plan at once, charged to the statement.
pub(crate) async fn collect(operator: &mut dyn Operator, ctx: &Context) -> SqlResult<HeldRows> {
    let mut held = HeldRows::new(ctx);
    while let Some(rows) = operator.next(ctx).await? {
        held.extend(rows)?;
    }
    Ok(held)
}
