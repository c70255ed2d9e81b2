//! Which index a scan goes through, and which part of it.
//!
//! For each index of the table: how far do the conditions on the scan fix its columns? Equalities on leading columns (a
//! list makes several ranges), then bounds on the next one. The cheapest wins; that an index gives the order that a
//! Sort above wants counts for it, and saves the Sort. Where the entries of an index do not have all columns that are
//! read, each row is fetched by its primary key: that costs more than going on to the next entry.

use expr::{Expr, SortKey};

use super::estimate::{self, BETWEEN, EQUALITY, LOOKUP_COST, RANGE, number, selectivity, table_rows};
use super::sargs::{Sarg, SargKind, conditions_of, sargs, usable};
use super::{deeper, take};
use crate::catalog::{ColumnId, IndexDescriptor, TableDescriptor};
use crate::plan::expression::{columns, conjunction, conjuncts, substitute};
use crate::plan::index::{covers, key_columns};
use crate::plan::{ApplyKind, Field, JoinKind, KeyRange, KeyRanges, Node, Plan, Scan};

/// Ranges of one scan at most: products of lists may be large.
const RANGES_MAX: usize = 10_000;

pub fn choose_indexes(plan: &mut Plan) {
    choose(plan, &Wanted::default());
}

/// What is above a plan.
#[derive(Clone, Default)]
struct Wanted {
    /// The order in which the rows are wanted; empty for any.
    order: Vec<SortKey>,
    /// No more rows than this are read.
    limit: Option<u64>,
}

/// Gives whether the plan's rows come in the wanted order.
fn choose(plan: &mut Plan, wanted: &Wanted) -> bool {
    deeper(|| choose_in(plan, wanted))
}

fn choose_in(plan: &mut Plan, wanted: &Wanted) -> bool {
    match &mut plan.node {
        Node::VirtualScan { table, columns, equal, filter } => {
            *equal = lookups(table, columns, filter.as_ref());
            wanted.order.is_empty()
        }
        Node::Scan(_) => choose_for_scan(plan, wanted),
        Node::Sort { input, keys, limit: None } => {
            let below = Wanted { order: keys.clone(), limit: wanted.limit };
            if choose(input, &below) {
                let fields = std::mem::take(&mut plan.fields);
                let input = take(input);
                *plan = Plan { fields, ..input };
                return true;
            }
            false
        }
        Node::Limit { input, limit, offset, with_ties } => {
            let count = limit.as_ref().and_then(number);
            let skipped = offset.as_ref().map_or(Some(0), number);
            let limit = count
                .zip(skipped)
                .map(|(count, skipped)| count.saturating_add(skipped))
                .filter(|_| with_ties.is_none());
            choose(input, &Wanted { order: wanted.order.clone(), limit })
        }
        Node::Project { input, exprs } => {
            let order = wanted.order.iter().map(|key| {
                let mut key = key.clone();
                substitute(&mut key.expr, exprs);
                key
            });
            choose(input, &Wanted { order: order.collect(), limit: wanted.limit })
        }
        Node::Filter { input, .. } | Node::LockRows { input, .. } => {
            choose(input, &Wanted { order: wanted.order.clone(), limit: None })
        }
        Node::Join(join) => {
            let left = join.left.fields.len();
            choose(&mut join.right, &Wanted::default());
            // Left rows are taken one after the other, and looked up among the right ones.
            let keeps = matches!(join.kind, JoinKind::Inner | JoinKind::Left | JoinKind::Semi | JoinKind::Anti);
            let order = left_order(&wanted.order, left).filter(|_| keeps);
            choose_ordered(&mut join.left, order, wanted)
        }
        Node::LookupJoin { input, .. } => {
            let left = input.fields.len();
            choose_ordered(input, left_order(&wanted.order, left), wanted)
        }
        Node::Apply(apply) => {
            let left = apply.outer.fields.len();
            choose(&mut apply.inner, &Wanted { order: Vec::new(), limit: enough(&apply.kind) });
            choose_ordered(&mut apply.outer, left_order(&wanted.order, left), wanted)
        }
        Node::With { ctes, body } => {
            ctes.iter_mut().for_each(|cte| {
                choose(&mut cte.plan, &Wanted::default());
            });
            choose(body, wanted)
        }
        node => {
            for input in node.inputs_mut() {
                choose(input, &Wanted::default());
            }
            wanted.order.is_empty()
        }
    }
}

/// How many rows of a subquery decide.
fn enough(kind: &ApplyKind) -> Option<u64> {
    match kind {
        ApplyKind::Exists => Some(1),
        ApplyKind::Scalar => Some(2),
        _ => None,
    }
}

/// The order in terms of the left side alone, if it is one.
fn left_order(order: &[SortKey], left: usize) -> Option<Vec<SortKey>> {
    let mut of_left = true;
    for key in order {
        columns(&key.expr, &mut |column| of_left = of_left && column < left);
    }
    of_left.then(|| order.to_vec())
}

fn choose_ordered(input: &mut Plan, order: Option<Vec<SortKey>>, wanted: &Wanted) -> bool {
    match order {
        Some(order) => choose(input, &Wanted { order, limit: None }),
        None => {
            choose(input, &Wanted::default());
            wanted.order.is_empty()
        }
    }
}

/// A relation that is made from memory may look its rows up by equalities; the filter keeps them.
fn lookups(table: &TableDescriptor, columns: &[ColumnId], filter: Option<&Expr>) -> Vec<(ColumnId, Expr)> {
    let mut out: Vec<(ColumnId, Expr)> = Vec::new();
    for sarg in filter.map_or(Vec::new(), |filter| sargs(table, columns, conditions_of(filter))) {
        if let SargKind::In(mut values) = sarg.kind
            && values.len() == 1
            && sarg.exact
            && !out.iter().any(|(column, _)| *column == sarg.column)
        {
            out.extend(values.pop().map(|value| (sarg.column, value)));
        }
    }
    out
}

/// One way to read a table.
struct Path<'t> {
    index: &'t IndexDescriptor,
    ranges: KeyRanges,
    /// Conditions that the ranges say wholly.
    consumed: Vec<usize>,
    reverse: bool,
    in_order: bool,
    cost: f64,
}

fn choose_for_scan(plan: &mut Plan, wanted: &Wanted) -> bool {
    let Node::Scan(scan) = &mut plan.node else { return false };
    if !matches!(scan.ranges, KeyRanges::All) {
        return wanted.order.is_empty();
    }
    let conditions: Vec<Expr> = scan.filter.take().into_iter().flat_map(conjuncts).collect();
    let sargs = sargs(&scan.table, &scan.columns, &conditions);
    if sargs.iter().any(|sarg| matches!(sarg.kind, SargKind::Never)) {
        scan.ranges = KeyRanges::Nothing;
        return true;
    }
    let order = index_order(scan, &wanted.order);
    let table = scan.table.clone();
    let paths = usable(scan).map(|index| path(scan, index, &table, &conditions, &sargs, order.as_deref(), wanted));
    let best = paths.min_by(|a, b| a.cost.total_cmp(&b.cost));
    let Some(best) = best else {
        scan.filter = conjunction(conditions);
        return wanted.order.is_empty();
    };
    let Path { index, ranges, consumed, reverse, in_order, .. } = best;
    let index = index.id;
    let rest: Vec<Expr> = conditions
        .into_iter()
        .enumerate()
        .filter(|(number, _)| !consumed.contains(number))
        .map(|(_, condition)| condition)
        .collect();
    scan.index = index;
    scan.ranges = ranges;
    scan.reverse = reverse;
    scan.filter = conjunction(rest);
    in_order
}

/// The order as columns of the table; `None` if it is not one of plain columns.
fn index_order(scan: &Scan, order: &[SortKey]) -> Option<Vec<(ColumnId, bool, bool)>> {
    order
        .iter()
        .map(|key| match &key.expr {
            Expr::Column { index, .. } => Some((scan.columns[*index], key.descending, key.nulls_first)),
            _ => None,
        })
        .collect()
}

fn path<'t>(
    scan: &Scan,
    index: &'t IndexDescriptor,
    table: &TableDescriptor,
    conditions: &[Expr],
    sargs: &[Sarg],
    order: Option<&[(ColumnId, bool, bool)]>,
    wanted: &Wanted,
) -> Path<'t> {
    let mut fit = fit(index, sargs);
    let all = table_rows(scan);
    let is_unique = index.unique && fit.columns == index.columns.len();
    let count = fit.ranges.len() as f64;
    let rows = if is_unique { count } else { (all * fit.selectivity).max(1.0) };
    let covering = covers(table, index, &scan.columns);
    let (in_order, reverse) = match order {
        Some(order) => follows(table, index, order, fit.single, is_unique && fit.ranges.len() == 1),
        None => (wanted.order.is_empty(), false),
    };
    // Conditions that the ranges do not say leave fewer rows, but all of the range is read for them.
    let rest: f64 = conditions
        .iter()
        .enumerate()
        .filter(|(number, _)| !fit.consumed.contains(number))
        .map(|(_, condition)| selectivity(condition))
        .product();
    let read = match wanted.limit {
        Some(limit) if in_order => rows.min((limit as f64 / rest.max(0.0001)).max(1.0)),
        _ => rows,
    };
    let mut cost = count * LOOKUP_COST + read * if covering { 1.0 } else { 1.0 + LOOKUP_COST };
    // Wider entries of the primary index against those of a covering one.
    if covering
        && index.columns.len() + index.include.len() < table.columns.len()
        && table.primary().is_none_or(|primary| primary.id != index.id)
    {
        cost *= 0.9;
    }
    if !wanted.order.is_empty() && !in_order {
        let sorted = (rows * rest).max(1.0);
        cost += sorted * sorted.max(2.0).log2() * 0.3;
    }
    let ranges = if fit.columns == 0 && !fit.bounded {
        KeyRanges::All
    } else {
        KeyRanges::Some(std::mem::take(&mut fit.ranges))
    };
    Path { index, ranges, consumed: fit.consumed, reverse, in_order, cost }
}

/// How conditions fix the columns of an index.
struct Fit {
    ranges: Vec<KeyRange>,
    consumed: Vec<usize>,
    /// Leading columns that have given values.
    columns: usize,
    /// Leading columns that have one given value.
    single: usize,
    bounded: bool,
    selectivity: f64,
}

fn fit(index: &IndexDescriptor, sargs: &[Sarg]) -> Fit {
    let mut fit = Fit {
        ranges: vec![KeyRange::default()],
        consumed: Vec::new(),
        columns: 0,
        single: 0,
        bounded: false,
        selectivity: 1.0,
    };
    for part in &index.columns {
        let on_column = sargs.iter().filter(|sarg| sarg.column == part.column);
        let lists = on_column.filter_map(|sarg| match &sarg.kind {
            SargKind::In(values) => Some((sarg, values)),
            _ => None,
        });
        // One value is better than a list.
        let Some((sarg, values)) = lists.min_by_key(|(_, values)| values.len()) else { break };
        if fit.ranges.len() * values.len() > RANGES_MAX {
            break;
        }
        fit.ranges = match &values[..] {
            [value] => {
                fit.ranges.iter_mut().for_each(|range| range.equal.push(value.clone()));
                std::mem::take(&mut fit.ranges)
            }
            values => fit.ranges.iter().flat_map(|range| values.iter().map(|value| with_value(range, value))).collect(),
        };
        if fit.single == fit.columns && values.len() == 1 {
            fit.single += 1;
        }
        fit.columns += 1;
        fit.selectivity *= (EQUALITY * values.len() as f64).min(1.0);
        if sarg.exact {
            fit.consumed.push(sarg.condition);
        }
    }
    let Some(next) = index.columns.get(fit.columns) else { return fit };
    let (mut lower, mut upper) = (None, None);
    for sarg in sargs.iter().filter(|sarg| sarg.column == next.column) {
        let place = match &sarg.kind {
            SargKind::Lower(value, inclusive) if lower.is_none() => {
                lower = Some((value.clone(), *inclusive));
                true
            }
            SargKind::Upper(value, inclusive) if upper.is_none() => {
                upper = Some((value.clone(), *inclusive));
                true
            }
            _ => false,
        };
        if place && sarg.exact {
            fit.consumed.push(sarg.condition);
        }
    }
    fit.selectivity *= match (&lower, &upper) {
        (Some(_), Some(_)) => BETWEEN,
        (None, None) => 1.0,
        _ => RANGE,
    };
    fit.bounded = lower.is_some() || upper.is_some();
    if fit.bounded {
        for range in &mut fit.ranges {
            range.lower.clone_from(&lower);
            range.upper.clone_from(&upper);
        }
    }
    fit
}

fn with_value(range: &KeyRange, value: &Expr) -> KeyRange {
    let mut range = range.clone();
    range.equal.push(value.clone());
    range
}

/// Do the entries come in this order, forwards or backwards? Columns that have one value (the first `single` ones)
/// are in any order.
fn follows(
    table: &TableDescriptor,
    index: &IndexDescriptor,
    order: &[(ColumnId, bool, bool)],
    single: usize,
    one_row: bool,
) -> (bool, bool) {
    if one_row {
        return (true, false);
    }
    let fixed: Vec<ColumnId> = index.columns[..single].iter().map(|part| part.column).collect();
    let mut parts = key_columns(table, index).into_iter().skip(single);
    let mut backwards: Option<bool> = None;
    for (column, descending, nulls_first) in order {
        if fixed.contains(column) {
            continue;
        }
        // Past the primary key nothing is left to be ordered.
        let Some(part) = parts.next() else { break };
        if part.column != *column {
            return (false, false);
        }
        let turned = part.descending != *descending;
        let never_null = table.column(*column).is_some_and(|column| column.not_null);
        if !never_null && (part.nulls_first != *nulls_first) != turned {
            return (false, false);
        }
        if *backwards.get_or_insert(turned) != turned {
            return (false, false);
        }
    }
    (true, backwards.unwrap_or(false))
}

/// What the rest of a scan costs once its best index is known; for choosing between a look-up and a hash join.
pub fn best_cost(scan: &Scan) -> f64 {
    let mut plan = Plan::new(Node::Scan(scan.clone()), vec![]);
    let Node::Scan(copy) = &plan.node else { return 0.0 };
    plan.fields =
        copy.columns.iter().map(|_| Field { name: String::new(), ty: expr::SqlType::VOID, origin: None }).collect();
    choose_for_scan(&mut plan, &Wanted::default());
    estimate::estimate(&mut plan);
    plan.cost
}
