//! How many rows a plan gives, and what it costs: guesses from its shape.
//!
//! There are no statistics yet. The unit of cost is reading a row in the order of an index.

use expr::{Datum, Expr, operators};

use super::deeper;
use super::sargs::{SargKind, conditions_of, sargs, usable};
use crate::plan::{ApplyKind, Join, JoinKind, KeyRanges, Node, Plan, Scan, SetKind};

/// What a table is taken to have.
pub const TABLE_ROWS: f64 = 10_000.0;
/// And a table that is made from memory.
pub const VIRTUAL_ROWS: f64 = 500.0;

/// Of looking a row up by a whole key, against reading the next one.
pub const LOOKUP_COST: f64 = 4.0;

/// Parts of the rows that conditions let through.
pub const EQUALITY: f64 = 0.005;
pub const RANGE: f64 = 1.0 / 3.0;
pub const BETWEEN: f64 = 0.05;
pub const OTHER: f64 = 0.25;

pub fn estimate(plan: &mut Plan) {
    for input in plan.node.inputs_mut() {
        deeper(|| estimate(input));
    }
    plan.rows = rows(plan);
    plan.cost = cost(plan);
}

/// Rows, from the shape alone.
pub fn rows(plan: &Plan) -> f64 {
    deeper(|| node_rows(plan))
}

fn node_rows(plan: &Plan) -> f64 {
    match &plan.node {
        Node::Values { rows } => rows.len() as f64,
        Node::Scan(scan) => scan_rows(scan),
        Node::VirtualScan { equal, filter, .. } => {
            let filtered = filter.as_ref().map_or(1.0, selectivity);
            (VIRTUAL_ROWS * EQUALITY.powi(equal.len().min(2) as i32) * filtered).max(1.0)
        }
        Node::FunctionScan { .. } => 1000.0,
        Node::Filter { input, condition } => (rows(input) * selectivity(condition)).max(1.0),
        Node::Project { input, .. } | Node::Window { input, .. } | Node::LockRows { input, .. } => rows(input),
        Node::ProjectSet { input, .. } => rows(input) * 10.0,
        Node::Join(join) => join_rows(join),
        Node::LookupJoin { input, kind, scan, condition } => {
            let outer = rows(input);
            let matched = outer * scan_rows(scan) * condition.as_ref().map_or(1.0, selectivity);
            match kind {
                JoinKind::Left => matched.max(outer),
                JoinKind::Semi => matched.min(outer),
                JoinKind::Anti => (outer - matched).max(1.0),
                _ => matched.max(1.0),
            }
        }
        Node::Apply(apply) => match &apply.kind {
            ApplyKind::Lateral { condition, .. } => {
                rows(&apply.outer) * rows(&apply.inner) * condition.as_ref().map_or(1.0, selectivity)
            }
            _ => rows(&apply.outer),
        },
        Node::Aggregate { input, keys, .. } => match keys.is_empty() {
            true => 1.0,
            false => (rows(input) / 10.0).max(1.0),
        },
        Node::Sort { input, limit, .. } => at_most(rows(input), limit.as_ref()),
        Node::Limit { input, limit, .. } => at_most(rows(input), limit.as_ref()),
        Node::Distinct { input, .. } => (rows(input) / 5.0).max(1.0),
        Node::SetOperation { kind, all, left, right } => match (kind, all) {
            (SetKind::Union, true) => rows(left) + rows(right),
            (SetKind::Union, false) => ((rows(left) + rows(right)) / 2.0).max(1.0),
            _ => rows(left),
        },
        Node::Recursive { base, .. } => rows(base) * 10.0,
        Node::WorkingTable { .. } => 100.0,
        Node::With { body, .. } => rows(body),
        Node::CteScan { .. } => 1000.0,
        Node::Insert(insert) => rows(&insert.input),
        Node::Update(update) => rows(&update.input),
        Node::Delete(delete) => rows(&delete.input),
    }
}

fn at_most(rows: f64, limit: Option<&Expr>) -> f64 {
    match limit.and_then(number) {
        Some(limit) => rows.min(limit as f64),
        None => rows,
    }
}

/// A constant count.
pub fn number(expr: &Expr) -> Option<u64> {
    match expr {
        Expr::Const { value: Datum::Int8(n), .. } => u64::try_from(*n).ok(),
        Expr::Const { value: Datum::Int4(n), .. } => u64::try_from(*n).ok(),
        Expr::Const { value: Datum::Int2(n), .. } => u64::try_from(*n).ok(),
        _ => None,
    }
}

pub fn table_rows(scan: &Scan) -> f64 {
    if scan.table.storage().is_some() { TABLE_ROWS } else { VIRTUAL_ROWS }
}

fn scan_rows(scan: &Scan) -> f64 {
    let filtered = match (&scan.ranges, &scan.filter) {
        // Ranges have been chosen: what is left of the conditions comes on top.
        (KeyRanges::Nothing, _) => return 0.0,
        (KeyRanges::Some(_), filter) => range_rows(scan) * filter.as_ref().map_or(1.0, selectivity),
        (KeyRanges::All, None) => table_rows(scan),
        (KeyRanges::All, Some(filter)) => unranged_rows(scan, filter),
    };
    let limited = scan.limit_hint.map_or(filtered, |limit| filtered.min(limit as f64));
    limited.max(1.0)
}

/// Rows of the ranges themselves.
pub fn range_rows(scan: &Scan) -> f64 {
    let KeyRanges::Some(ranges) = &scan.ranges else { return table_rows(scan) };
    let Some(index) = scan.table.index(scan.index) else { return table_rows(scan) };
    let one = |range: &crate::plan::KeyRange| {
        if index.unique && range.equal.len() >= index.columns.len() {
            return 1.0;
        }
        let bounds = match (&range.lower, &range.upper) {
            (Some(_), Some(_)) => BETWEEN,
            (None, None) => 1.0,
            _ => RANGE,
        };
        (table_rows(scan) * EQUALITY.powi(range.equal.len() as i32) * bounds).max(1.0)
    };
    ranges.iter().map(one).sum()
}

fn unranged_rows(scan: &Scan, filter: &Expr) -> f64 {
    let sargs = sargs(&scan.table, &scan.columns, conditions_of(filter));
    let unique = usable(scan).any(|index| {
        index.unique
            && index.columns.iter().all(|part| {
                sargs.iter().any(|sarg| {
                    sarg.column == part.column && matches!(&sarg.kind, SargKind::In(values) if values.len() == 1)
                })
            })
    });
    if unique { 1.0 } else { table_rows(scan) * selectivity(filter) }
}

fn join_rows(join: &Join) -> f64 {
    let (left, right) = (rows(&join.left), rows(&join.right));
    let mut matched = left * right * join.condition.as_ref().map_or(1.0, selectivity);
    for key in &join.equal {
        matched /= distinct_values(&join.left, &key.left).max(distinct_values(&join.right, &key.right)).max(1.0);
    }
    let matched = matched.max(1.0);
    match join.kind {
        JoinKind::Inner => matched,
        JoinKind::Left => matched.max(left),
        JoinKind::Right => matched.max(right),
        JoinKind::Full => matched.max(left).max(right),
        JoinKind::Semi => (left * 0.5).min(matched).max(1.0),
        JoinKind::Anti => (left * 0.5).max(1.0),
    }
}

/// How many different values an expression takes over a plan's rows.
pub fn distinct_values(plan: &Plan, expr: &Expr) -> f64 {
    let rows = rows(plan);
    let unique = match expr {
        Expr::Column { index, .. } => is_unique_column(plan, *index),
        Expr::Cast { arg, .. } => matches!(**arg, Expr::Column { index, .. } if is_unique_column(plan, index)),
        _ => false,
    };
    // A column that is no key repeats its values: the root lies between a constant and a key.
    if unique { base_rows(plan).max(rows) } else { rows.sqrt().max(1.0) }
}

fn base_rows(plan: &Plan) -> f64 {
    match &plan.node {
        Node::Scan(scan) => table_rows(scan),
        Node::Filter { input, .. } | Node::Project { input, .. } | Node::Sort { input, .. } => base_rows(input),
        _ => 1.0,
    }
}

/// Is the column a key of the table it comes from?
fn is_unique_column(plan: &Plan, column: usize) -> bool {
    match &plan.node {
        Node::Scan(scan) => {
            let id = scan.columns[column];
            // Relations made from memory say no keys; their first column is one, if it is an OID.
            let oid_first = scan.table.storage().is_none()
                && scan.table.columns.first().is_some_and(|first| first.id == id && first.ty == expr::SqlType::OID);
            oid_first
                || usable(scan).any(|index| index.unique && index.columns.len() == 1 && index.columns[0].column == id)
        }
        Node::Filter { input, .. } | Node::Sort { input, .. } => is_unique_column(input, column),
        Node::Project { input, exprs } => {
            matches!(exprs[column], Expr::Column { index, .. } if is_unique_column(input, index))
        }
        _ => false,
    }
}

/// The part of the rows for which a condition holds.
pub fn selectivity(condition: &Expr) -> f64 {
    match condition {
        Expr::And(list) => list.iter().map(selectivity).product(),
        Expr::Or(list) => 1.0 - list.iter().map(|part| 1.0 - selectivity(part)).product::<f64>(),
        Expr::Not(arg) => 1.0 - selectivity(arg),
        Expr::Const { value: Datum::Bool(true), .. } => 1.0,
        Expr::Const { .. } => 0.0,
        Expr::InList { list, negated, .. } => {
            let part = (EQUALITY * list.len() as f64).min(0.5);
            if *negated { 1.0 - part } else { part }
        }
        Expr::IsNull { negated, .. } => {
            if *negated {
                0.99
            } else {
                0.01
            }
        }
        Expr::Call { function, .. } => match operators::by_function(*function).map(|operator| operator.name) {
            Some("=") => EQUALITY,
            Some("<>") => 1.0 - EQUALITY,
            Some("<" | "<=" | ">" | ">=") => RANGE,
            _ => OTHER,
        },
        Expr::AnyAll { .. } => EQUALITY * 10.0,
        _ => 0.5,
    }
}

/// Of going on to the next entry, and fetching its row where the entry is not enough.
fn row_cost(scan: &Scan) -> f64 {
    if scan.is_covered() { 1.0 } else { 1.0 + LOOKUP_COST }
}

/// The cost of a plan whose inputs have theirs.
fn cost(plan: &Plan) -> f64 {
    let inputs: f64 = plan.node.inputs().iter().map(|input| input.cost).sum();
    match &plan.node {
        Node::Scan(scan) => match &scan.ranges {
            KeyRanges::Nothing => 0.0,
            KeyRanges::All => scan.limit_hint.map_or(table_rows(scan), |limit| limit as f64) * row_cost(scan),
            KeyRanges::Some(ranges) => ranges.len() as f64 * LOOKUP_COST + range_rows(scan) * row_cost(scan),
        },
        Node::VirtualScan { .. } | Node::Values { .. } | Node::FunctionScan { .. } => plan.rows,
        Node::LookupJoin { input, scan, .. } => inputs + input.rows * (LOOKUP_COST + range_rows(scan) * row_cost(scan)),
        Node::Join(join) if join.equal.is_empty() => inputs + join.left.rows * join.right.rows * 0.1,
        Node::Join(join) => inputs + join.left.rows * 0.5 + join.right.rows,
        Node::Apply(apply) if apply.bindings.is_empty() => inputs,
        Node::Apply(apply) => apply.outer.cost + apply.outer.rows * apply.inner.cost,
        Node::Sort { input, .. } => inputs + input.rows * input.rows.max(2.0).log2() * 0.2,
        Node::Aggregate { input, .. } | Node::Distinct { input, .. } | Node::Window { input, .. } => {
            inputs + input.rows * 0.5
        }
        Node::Insert(_) | Node::Update(_) | Node::Delete(_) => inputs + plan.rows * LOOKUP_COST,
        _ => inputs + plan.rows * 0.1,
    }
}
