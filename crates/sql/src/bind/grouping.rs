//! GROUP BY: what is grouped, and what may be said about a group.

use expr::{Aggregate, Expr, SqlType};

use super::marks::Mark;
use super::stage::{any_column, children, same};
use super::{Binder, literal};
use crate::SqlResult;
use crate::catalog::IndexState;
use crate::parse::ast::{self, GroupItem};

/// The grouping of one SELECT.
pub(super) struct Grouping {
    /// Over the row below the aggregation.
    pub keys: Vec<Expr>,
    /// Positions in `keys`, one list per set; `None` is all keys at once.
    pub sets: Option<Vec<Vec<usize>>>,
}

pub(super) fn same_aggregate(a: &Aggregate, b: &Aggregate) -> bool {
    a.function == b.function && format!("{a:?}") == format!("{b:?}")
}

impl Grouping {
    fn key(&mut self, expr: Expr) -> usize {
        let known = self.keys.iter().position(|key| same(key, &expr));
        known.unwrap_or_else(|| {
            self.keys.push(expr);
            self.keys.len() - 1
        })
    }
}

impl Binder<'_> {
    /// Binds GROUP BY; `target` answers what a select list entry is, by position or name.
    pub(super) fn group_by(
        &mut self,
        items: &[GroupItem],
        targets: &[super::target::BoundTarget],
    ) -> SqlResult<Grouping> {
        let mut grouping = Grouping { keys: Vec::new(), sets: None };
        let mut products: Vec<Vec<Vec<usize>>> = Vec::new();
        for item in items {
            products.push(self.group_item(item, targets, &mut grouping)?);
        }
        let plain = items.iter().all(|item| matches!(item, GroupItem::Expr(_)));
        if !plain {
            grouping.sets = Some(cross(&products));
        }
        Ok(grouping)
    }

    fn group_item(
        &mut self,
        item: &GroupItem,
        targets: &[super::target::BoundTarget],
        grouping: &mut Grouping,
    ) -> SqlResult<Vec<Vec<usize>>> {
        let keys = |binder: &mut Self, list: &[ast::Expr], grouping: &mut Grouping| -> SqlResult<Vec<Vec<usize>>> {
            list.iter().map(|written| binder.group_keys(written, targets, grouping)).collect()
        };
        Ok(match item {
            GroupItem::Expr(written) => vec![self.group_keys(written, targets, grouping)?],
            GroupItem::Empty => vec![Vec::new()],
            GroupItem::Rollup(list, _) => {
                let parts = keys(self, list, grouping)?;
                (0..=parts.len()).rev().map(|len| parts[..len].concat()).collect()
            }
            GroupItem::Cube(list, at) => {
                let parts = keys(self, list, grouping)?;
                if parts.len() > 12 {
                    return Err(self.error_at(*at, "54011", "CUBE is limited to 12 elements"));
                }
                let chosen = |bits: usize| {
                    parts
                        .iter()
                        .enumerate()
                        .filter(move |(at, _)| bits >> at & 1 == 1)
                        .flat_map(|(_, part)| part.clone())
                        .collect()
                };
                (0..1_usize << parts.len()).rev().map(chosen).collect()
            }
            GroupItem::Sets(list, _) => {
                let mut sets = Vec::new();
                for inner in list {
                    sets.extend(self.group_item(inner, targets, grouping)?);
                }
                sets
            }
        })
    }

    /// A key as written; a row in parentheses is several.
    fn group_keys(
        &mut self,
        written: &ast::Expr,
        targets: &[super::target::BoundTarget],
        grouping: &mut Grouping,
    ) -> SqlResult<Vec<usize>> {
        let bound = match self.target_reference(written, targets, false)? {
            Some(position) => targets[position].expr.clone(),
            None => self.in_clause(super::scope::Clause::GroupBy, |binder| binder.expr(written))?,
        };
        let bound = self.settle(bound, written.at)?;
        let forbidden = any_column(&bound, &mut |index| matches!(Mark::of(index), Some(Mark::Aggregate(_))));
        if forbidden {
            return Err(self.error_at(written.at, "42803", "aggregate functions are not allowed in GROUP BY"));
        }
        if any_column(&bound, &mut |index| matches!(Mark::of(index), Some(Mark::Window(_)))) {
            return Err(self.error_at(written.at, "42P20", "window functions are not allowed in GROUP BY"));
        }
        Ok(match bound {
            Expr::Row { fields, .. } => fields.into_iter().map(|field| grouping.key(field)).collect(),
            single => vec![grouping.key(single)],
        })
    }

    /// `GROUPING(…)`: without grouping sets nothing is ever left out.
    pub(super) fn grouping(&mut self, args: &[ast::Expr], at: ast::At) -> SqlResult<Expr> {
        let args = self.exprs(args)?;
        let level = self.level();
        level.pending.groupings.push((args, at));
        let mark = Mark::Grouping(level.pending.groupings.len() - 1);
        Ok(self.marked(mark, SqlType::INT4))
    }

    /// Turns an expression over the row below into one over groups: keys first, then aggregates.
    pub(super) fn regroup(&mut self, expr: &mut Expr, grouping: &mut Grouping) -> SqlResult<()> {
        if let Some(position) = grouping.keys.iter().position(|key| same(key, expr)) {
            *expr = Expr::Column { index: position, ty: super::type_of(expr) };
            return Ok(());
        }
        if let Expr::Column { index, .. } = expr {
            match Mark::of(*index) {
                // Numbered once it is known how many keys there are.
                Some(Mark::Aggregate(_) | Mark::Subquery(_) | Mark::Window(_) | Mark::Set(_)) => {}
                Some(Mark::Grouping(_)) if grouping.sets.is_none() => *expr = literal::number("0"),
                Some(Mark::Grouping(_)) => return Err(crate::SqlError::not_supported("GROUPING() with grouping sets")),
                None => {
                    if grouping.sets.is_some() || !self.depends_on_keys(*index, &grouping.keys) {
                        return Err(self.ungrouped(*index));
                    }
                    let column = expr.clone();
                    let position = grouping.key(column);
                    *expr = Expr::Column { index: position, ty: super::type_of(expr) };
                }
            }
            return Ok(());
        }
        for child in children(expr) {
            self.regroup(child, grouping)?;
        }
        Ok(())
    }

    /// Does the column follow from the keys, because they hold its table's whole primary key?
    fn depends_on_keys(&mut self, column: usize, keys: &[Expr]) -> bool {
        let catalog = self.catalog();
        let scope = &self.level().scope;
        let Some(relation) =
            scope.relations.iter().find(|relation| relation.columns.iter().any(|other| other.index == column))
        else {
            return false;
        };
        let Some(table) = relation.table.and_then(|oid| catalog.table(oid)) else { return false };
        let Some(primary) = table.indexes.iter().find(|index| index.primary && index.state == IndexState::Public)
        else {
            return false;
        };
        primary.columns.iter().all(|part| {
            let attnum = table.column(part.column).map(|column| column.attnum);
            let position = relation
                .columns
                .iter()
                .find(|other| other.origin.map(|(_, attnum)| attnum) == attnum)
                .map(|other| other.index);
            keys.iter().any(|key| matches!(key, Expr::Column { index, .. } if Some(*index) == position))
        })
    }

    fn ungrouped(&mut self, column: usize) -> crate::SqlError {
        let scope = &self.level().scope;
        let named = scope.relations.iter().find_map(|relation| {
            let column = relation.columns.iter().find(|other| other.index == column)?;
            Some(if relation.anonymous { column.name.clone() } else { format!("{}.{}", relation.name, column.name) })
        });
        let name = named.unwrap_or_else(|| "?column?".to_owned());
        crate::SqlError::new(
            "42803",
            format!("column \"{name}\" must appear in the GROUP BY clause or be used in an aggregate function"),
        )
    }
}

/// Every combination of one set from each item.
fn cross(items: &[Vec<Vec<usize>>]) -> Vec<Vec<usize>> {
    items.iter().fold(vec![Vec::new()], |sets, item| {
        let pairs = sets.iter().flat_map(|set| item.iter().map(move |part| (set, part)));
        pairs
            .map(|(set, part)| {
                let mut both = set.clone();
                both.extend(part.iter().filter(|key| !set.contains(key)));
                both
            })
            .collect()
    })
}
