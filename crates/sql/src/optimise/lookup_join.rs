//! Joins whose inner rows are looked up by key, one outer row after the other.
//!
//! Where few outer rows meet a large table that has an index on the join's equalities, reading the whole table to
//! hash it would be a waste. Otherwise, the smaller side of an inner join goes to the right, where the hash table is
//! made.

use expr::Expr;

use keyspace::IndexId;

use super::access::best_cost;
use super::estimate::{self, EQUALITY, LOOKUP_COST, table_rows};
use super::sargs::{Converted, Sarg, SargKind, conditions_of, converted, sargs, usable};
use super::{deeper, take};
use crate::catalog::{ColumnId, IndexDescriptor, RelationKind};
use crate::plan::expression::{conjunction, conjuncts, map_columns};
use crate::plan::index::covers;
use crate::plan::{Join, JoinKey, JoinKind, KeyRange, KeyRanges, Node, Plan, Scan};

pub fn lookup_joins(plan: &mut Plan) {
    for input in plan.node.inputs_mut() {
        deeper(|| lookup_joins(input));
    }
    let Node::Join(join) = &plan.node else { return };
    if join.equal.is_empty() {
        return;
    }
    match plan_lookup(join) {
        Some(lookup) => make_lookup(plan, lookup),
        None => build_on_smaller(plan),
    }
}

/// An index, and which join keys give its leading columns their values.
struct Lookup {
    index: IndexId,
    keys: Vec<usize>,
    /// Conditions of the scan's filter that give a column its value.
    consumed: Vec<usize>,
    values: Vec<Expr>,
}

fn plan_lookup(join: &Join) -> Option<Lookup> {
    if !matches!(join.kind, JoinKind::Inner | JoinKind::Left | JoinKind::Semi | JoinKind::Anti) {
        return None;
    }
    let Node::Scan(scan) = &join.right.node else { return None };
    if !matches!(scan.table.kind, RelationKind::Table { .. }) || !matches!(scan.ranges, KeyRanges::All) {
        return None;
    }
    let outer = estimate::rows(&join.left);
    let sargs =
        scan.filter.as_ref().map_or(Vec::new(), |filter| sargs(&scan.table, &scan.columns, conditions_of(filter)));
    let candidates = usable(scan).filter_map(|index| {
        let lookup = lookup_by(scan, index, &join.equal, &sargs);
        if lookup.keys.is_empty() {
            return None;
        }
        let fixed = lookup.values.len();
        let is_unique = index.unique && fixed == index.columns.len();
        let matched = if is_unique { 1.0 } else { (table_rows(scan) * EQUALITY.powi(fixed as i32)).max(1.0) };
        let fetch = if covers(&scan.table, index, &scan.columns) { 1.0 } else { 1.0 + LOOKUP_COST };
        Some((outer * (LOOKUP_COST + matched * fetch), lookup))
    });
    let (cost, lookup) = candidates.min_by(|a, b| a.0.total_cmp(&b.0))?;
    let hashed = best_cost(scan) + outer * 0.5;
    (cost < hashed).then_some(lookup)
}

/// Values for the leading columns of an index, from the outer sides of the join's equalities and from the scan's own
/// conditions.
fn lookup_by(scan: &Scan, index: &IndexDescriptor, keys: &[JoinKey], sargs: &[Sarg]) -> Lookup {
    let mut lookup = Lookup { index: index.id, keys: Vec::new(), consumed: Vec::new(), values: Vec::new() };
    for part in &index.columns {
        let Some(ty) = scan.table.column(part.column).map(|column| column.ty.base()) else { break };
        let found = keys.iter().enumerate().find_map(|(number, key)| {
            let value = if is_column(scan, &key.right, part.column) { value_for(key, ty) } else { None };
            value.map(|value| (number, value))
        });
        if let Some((number, value)) = found {
            lookup.keys.push(number);
            lookup.values.push(value);
            continue;
        }
        let given = sargs.iter().find_map(|sarg| match &sarg.kind {
            SargKind::In(values) if sarg.column == part.column && values.len() == 1 && sarg.exact => {
                Some((sarg.condition, &values[0]))
            }
            _ => None,
        });
        let Some((condition, value)) = given else { break };
        lookup.consumed.push(condition);
        lookup.values.push(value.clone());
    }
    lookup
}

/// The column itself, or the column widened for the comparison.
fn is_column(scan: &Scan, expr: &Expr, column: ColumnId) -> bool {
    match expr {
        Expr::Column { index, .. } => scan.columns[*index] == column,
        Expr::Cast { arg, .. } => matches!(**arg, Expr::Column { index, .. } if scan.columns[index] == column),
        _ => false,
    }
}

/// The outer side as a value of the column's type; also where the comparison widened it.
fn value_for(key: &JoinKey, ty: expr::SqlType) -> Option<Expr> {
    match converted(&key.left, ty) {
        Converted::Value(value) => Some(value),
        Converted::Never | Converted::No => match &key.left {
            Expr::Cast { arg, explicit: false, .. } => match converted(arg, ty) {
                Converted::Value(value) => Some(value),
                _ => None,
            },
            _ => None,
        },
    }
}

fn make_lookup(plan: &mut Plan, lookup: Lookup) {
    let fields = std::mem::take(&mut plan.fields);
    let Node::Join(join) = take(plan).node else { unreachable!("the caller has looked") };
    let Join { kind, left, right, equal, condition } = join;
    let Node::Scan(mut scan) = right.node else { unreachable!("the look-up was planned for a scan") };
    let outer = left.fields.len();
    let mut conditions: Vec<Expr> = condition.into_iter().flat_map(conjuncts).collect();
    for (number, mut key) in equal.into_iter().enumerate() {
        if !lookup.keys.contains(&number) {
            map_columns(&mut key.right, &mut |column| column + outer);
            conditions.push(Expr::Call {
                function: key.equals,
                args: vec![key.left, key.right],
                ty: expr::SqlType::BOOL,
            });
        }
    }
    let ranges = KeyRanges::Some(vec![KeyRange { equal: lookup.values, ..KeyRange::default() }]);
    if !lookup.consumed.is_empty() {
        let filter = scan.filter.take().into_iter().flat_map(conjuncts).enumerate();
        scan.filter =
            conjunction(filter.filter(|(number, _)| !lookup.consumed.contains(number)).map(|(_, condition)| condition));
    }
    scan.index = lookup.index;
    scan.ranges = ranges;
    let node = Node::LookupJoin { input: left, kind, scan: Box::new(scan), condition: conjunction(conditions) };
    *plan = Plan::new(node, fields);
}

/// The hash table is made of the right side.
fn build_on_smaller(plan: &mut Plan) {
    let Node::Join(join) = &mut plan.node else { return };
    if join.kind != JoinKind::Inner || estimate::rows(&join.left) >= estimate::rows(&join.right) {
        return;
    }
    let (left, right) = (join.left.fields.len(), join.right.fields.len());
    std::mem::swap(&mut join.left, &mut join.right);
    for key in &mut join.equal {
        std::mem::swap(&mut key.left, &mut key.right);
        if let Some(mirrored) = expr::operators::commutator(key.equals) {
            key.equals = mirrored;
        }
    }
    let place = |column: usize| if column < left { column + right } else { column - left };
    join.condition.iter_mut().for_each(|condition| map_columns(condition, &mut |column| place(column)));
    let fields = std::mem::take(&mut plan.fields);
    let mut swapped = take(plan);
    swapped.fields = fields[left..].iter().chain(&fields[..left]).cloned().collect();
    let exprs = fields.iter().enumerate().map(|(at, field)| Expr::Column { index: place(at), ty: field.ty }).collect();
    *plan = Plan::new(Node::Project { input: Box::new(swapped), exprs }, fields);
}
