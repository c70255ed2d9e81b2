//! Putting operators on a plan, stage by stage, and replacing the marks of what they compute.

use std::collections::BTreeMap;

use expr::{Expr, SortKey, SqlType};

use super::marks::Mark;
use super::subquery::PendingSubquery;
pub(super) use crate::plan::expression::same;
use crate::plan::expression::{contains, type_of};
use crate::plan::{Apply, ApplyKind, Field, Node, Plan};

impl Plan {
    pub(crate) fn new(node: Node, fields: Vec<Field>) -> Plan {
        Plan { node, fields, rows: 0.0, cost: 0.0 }
    }

    pub(crate) fn width(&self) -> usize {
        self.fields.len()
    }

    /// One row without columns.
    pub(crate) fn one_row() -> Plan {
        Plan::new(Node::Values { rows: vec![Vec::new()] }, Vec::new())
    }

    pub(crate) fn filter(self, condition: Expr) -> Plan {
        let fields = self.fields.clone();
        Plan::new(Node::Filter { input: Box::new(self), condition }, fields)
    }

    /// Columns that are plain keep their names and origins.
    pub(crate) fn project(self, exprs: Vec<Expr>) -> Plan {
        let field = |expr: &Expr| match expr {
            Expr::Column { index, .. } => self.fields[*index].clone(),
            Expr::Cast { arg, ty, .. } => match &**arg {
                Expr::Column { index, .. } => Field { ty: *ty, origin: None, ..self.fields[*index].clone() },
                _ => unnamed(expr),
            },
            other => unnamed(other),
        };
        let fields = exprs.iter().map(field).collect();
        Plan::new(Node::Project { input: Box::new(self), exprs }, fields)
    }

    pub(crate) fn sort(self, keys: Vec<SortKey>) -> Plan {
        if keys.is_empty() {
            return self;
        }
        let fields = self.fields.clone();
        Plan::new(Node::Sort { input: Box::new(self), keys, limit: None }, fields)
    }

    /// The first `width` columns.
    pub(crate) fn keep(self, width: usize) -> Plan {
        if self.width() == width {
            return self;
        }
        let columns =
            self.fields[..width].iter().enumerate().map(|(index, field)| Expr::Column { index, ty: field.ty });
        let columns = columns.collect();
        self.project(columns)
    }
}

fn unnamed(expr: &Expr) -> Field {
    Field { name: "?column?".to_owned(), ty: type_of(expr), origin: None }
}

/// Subqueries that were put on the plan, by number, and the columns they gave.
#[derive(Default)]
pub(super) struct Applied(BTreeMap<usize, usize>);

impl Applied {
    pub fn has(&self, number: usize) -> bool {
        self.0.contains_key(&number)
    }
}

/// Puts an `Apply` on the plan for each subquery that is marked in `exprs` and has none yet, and replaces the marks.
/// `bound` adapts what a subquery refers to (columns of FROM) to the plan's row.
pub(super) fn apply_subqueries<'e>(
    mut plan: Plan,
    exprs: impl IntoIterator<Item = &'e mut Expr>,
    subqueries: &[PendingSubquery],
    applied: &mut Applied,
) -> Plan {
    for expr in exprs {
        if subqueries.is_empty() {
            break;
        }
        plan = apply_in(plan, expr, subqueries, applied);
    }
    plan
}

fn apply_in(mut plan: Plan, expr: &mut Expr, subqueries: &[PendingSubquery], applied: &mut Applied) -> Plan {
    if let Expr::Column { index, .. } = expr {
        let Some(Mark::Subquery(number)) = Mark::of(*index) else { return plan };
        if let Some(column) = applied.0.get(&number) {
            *index = *column;
            return plan;
        }
        let subquery = &subqueries[number];
        let mut kind = subquery.kind.clone();
        if let ApplyKind::Compare { left, .. } = &mut kind {
            for operand in left {
                plan = apply_in(plan, operand, subqueries, applied);
            }
        }
        *index = plan.width();
        applied.0.insert(number, *index);
        let mut fields = plan.fields.clone();
        let name = match &kind {
            ApplyKind::Exists => "exists",
            ApplyKind::Array => "array",
            _ => subquery.inner.fields.first().map_or("?column?", |field| &field.name),
        };
        fields.push(Field { name: name.to_owned(), ty: subquery.ty, origin: None });
        let apply = Apply {
            outer: Box::new(plan),
            inner: Box::new(subquery.inner.clone()),
            bindings: subquery.bindings.clone(),
            kind,
            guard: None,
        };
        return Plan::new(Node::Apply(apply), fields);
    }
    for child in children(expr) {
        plan = apply_in(plan, child, subqueries, applied);
    }
    plan
}

/// The expressions directly below this one.
pub(super) fn children(expr: &mut Expr) -> Vec<&mut Expr> {
    match expr {
        Expr::Const { .. } | Expr::Column { .. } | Expr::Param { .. } => Vec::new(),
        Expr::Call { args, .. }
        | Expr::And(args)
        | Expr::Or(args)
        | Expr::Coalesce { args, .. }
        | Expr::Extreme { args, .. } => args.iter_mut().collect(),
        Expr::Array { elements, .. } => elements.iter_mut().collect(),
        Expr::Row { fields, .. } => fields.iter_mut().collect(),
        Expr::Cast { arg, .. }
        | Expr::Not(arg)
        | Expr::IsNull { arg, .. }
        | Expr::IsBool { arg, .. }
        | Expr::Field { arg, .. } => vec![arg],
        Expr::IsDistinct { left, right, .. } | Expr::NullIf { left, right, .. } => vec![left, right],
        Expr::Case { whens, otherwise, .. } => {
            whens.iter_mut().flat_map(|(when, then)| [when, then]).chain(otherwise.as_deref_mut()).collect()
        }
        Expr::AnyAll { left, array, .. } => vec![left, array],
        Expr::InList { left, list, .. } => std::iter::once(&mut **left).chain(list).collect(),
        Expr::Subscript { array, indexes, .. } => std::iter::once(&mut **array).chain(indexes).collect(),
        Expr::Slice { array, bounds, .. } => {
            let bounds = bounds.iter_mut().flat_map(|(lower, upper)| lower.iter_mut().chain(upper));
            std::iter::once(&mut **array).chain(bounds).collect()
        }
    }
}

/// Replaces every column and mark by what `map` says; `None` leaves it.
pub(super) fn substitute(expr: &mut Expr, map: &mut dyn FnMut(usize) -> Option<Expr>) {
    if let Expr::Column { index, .. } = expr {
        if let Some(replacement) = map(*index) {
            *expr = replacement;
        }
        return;
    }
    for child in children(expr) {
        substitute(child, map);
    }
}

/// The same, with the column's type.
pub(super) fn substitute_typed(expr: &mut Expr, map: &mut dyn FnMut(usize, SqlType) -> Option<Expr>) {
    if let Expr::Column { index, ty } = expr {
        if let Some(replacement) = map(*index, *ty) {
            *expr = replacement;
        }
        return;
    }
    for child in children(expr) {
        substitute_typed(child, map);
    }
}

/// Is there a column or mark for which `test` holds?
pub(super) fn any_column(expr: &Expr, test: &mut dyn FnMut(usize) -> bool) -> bool {
    contains(expr, &mut |part| matches!(part, Expr::Column { index, .. } if test(*index)))
}
