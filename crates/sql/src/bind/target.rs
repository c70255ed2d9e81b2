//! Select lists and RETURNING: expressions and the names their columns get; ORDER BY and its references to them.

use expr::{Expr, Oid, SortKey, types};

use super::{Binder, type_of};
use crate::parse::ast::{self, Direction, ExprKind, OrderItem};
use crate::{SqlError, SqlResult};

/// PostgreSQL's limit (MaxTupleAttributeNumber).
const COLUMNS_MAX: usize = 1664;

#[derive(Clone, Debug)]
pub(super) struct BoundTarget {
    pub name: String,
    pub expr: Expr,
    pub origin: Option<(Oid, i16)>,
    pub at: ast::At,
}

impl Binder<'_> {
    pub(super) fn targets(&mut self, targets: &[ast::Target]) -> SqlResult<Vec<BoundTarget>> {
        let mut out = Vec::with_capacity(targets.len());
        for target in targets {
            let at = target.expr.at;
            match &target.expr.kind {
                ExprKind::Star(qualifier) => {
                    let columns = self.star(qualifier, at)?;
                    out.extend(columns.into_iter().map(|(name, expr, origin)| BoundTarget { name, expr, origin, at }));
                }
                ExprKind::FieldStar(arg) => {
                    for (name, expr) in self.expanded(arg, at)? {
                        out.push(BoundTarget { name, expr, origin: None, at });
                    }
                }
                kind => {
                    let expr = self.expr(&target.expr)?;
                    let name = match &target.alias {
                        Some(alias) => alias.text.clone(),
                        None => column_name(kind).unwrap_or_else(|| "?column?".to_owned()),
                    };
                    let origin = self.origin_of(&expr);
                    out.push(BoundTarget { name, expr, origin, at });
                }
            }
        }
        if out.len() > COLUMNS_MAX {
            let message = format!("target lists can have at most {COLUMNS_MAX} entries");
            return Err(SqlError::new("54011", message));
        }
        Ok(out)
    }

    /// The columns of `(row).*`.
    fn expanded(&mut self, arg: &ast::Expr, at: ast::At) -> SqlResult<Vec<(String, Expr)>> {
        match &arg.kind {
            ExprKind::Call(call) => {
                if let Some(columns) = self.out_columns(call, arg.at)? {
                    return Ok(columns);
                }
            }
            ExprKind::Column(names) => {
                if let Expr::Row { .. } = self.expr(arg)? {
                    return Ok(self.star(names, at)?.into_iter().map(|(name, expr, _)| (name, expr)).collect());
                }
            }
            _ => {}
        }
        let bound = self.expr(arg)?;
        match bound {
            Expr::Row { fields, .. } => {
                Ok(fields.into_iter().enumerate().map(|(number, expr)| (format!("f{}", number + 1), expr)).collect())
            }
            other if type_of(&other) == expr::SqlType::RECORD => {
                Err(self.error_at(at, "0A000", "expanding a row with (expression).* is not supported here"))
            }
            other => {
                let message = format!("type {} is not composite", types::format_type_be(type_of(&other).oid));
                Err(self.error_at(arg.at, "42809", message))
            }
        }
    }

    fn origin_of(&mut self, expr: &Expr) -> Option<(Oid, i16)> {
        let Expr::Column { index, .. } = expr else { return None };
        let relations = &self.level().scope.relations;
        relations.iter().flat_map(|relation| &relation.columns).find(|column| column.index == *index)?.origin
    }

    /// The select list entry that a number or (for ORDER BY always, for GROUP BY where FROM has no such column) a bare name
    /// stands for.
    pub(super) fn target_reference(
        &mut self,
        written: &ast::Expr,
        targets: &[BoundTarget],
        order_by: bool,
    ) -> SqlResult<Option<usize>> {
        let clause = if order_by { "ORDER BY" } else { "GROUP BY" };
        match &written.kind {
            ExprKind::Number(digits) => match digits.parse::<usize>() {
                Ok(number) if (1..=targets.len()).contains(&number) => Ok(Some(number - 1)),
                Ok(number) => {
                    Err(self.error_at(written.at, "42P10", format!("{clause} position {number} is not in select list")))
                }
                Err(_) => Err(self.error_at(written.at, "42601", format!("non-integer constant in {clause}"))),
            },
            ExprKind::Text(_) => Err(self.error_at(written.at, "42601", format!("non-integer constant in {clause}"))),
            ExprKind::Column(names) => {
                let [name] = &names[..] else { return Ok(None) };
                if !order_by
                    && self.level().scope.visible.iter().any(|column| !column.hidden && column.name == name.text)
                {
                    return Ok(None);
                }
                let mut named = targets.iter().enumerate().filter(|(_, target)| target.name == name.text);
                let Some((position, first)) = named.next() else { return Ok(None) };
                if named.any(|(_, other)| !super::stage::same(&other.expr, &first.expr)) {
                    return Err(self.error_at(written.at, "42702", format!("{clause} \"{name}\" is ambiguous")));
                }
                Ok(Some(position))
            }
            _ => Ok(None),
        }
    }

    /// Sort keys that are plain expressions (in aggregates and windows).
    pub(super) fn sort_keys(&mut self, items: &[OrderItem]) -> SqlResult<Vec<SortKey>> {
        items
            .iter()
            .map(|item| {
                let bound = self.expr(&item.expr)?;
                let bound = self.settle(bound, item.expr.at)?;
                self.sort_key(item, bound)
            })
            .collect()
    }

    pub(super) fn sort_key(&self, item: &OrderItem, expr: Expr) -> SqlResult<SortKey> {
        let descending = match &item.direction {
            Direction::Default | Direction::Ascending => false,
            Direction::Descending => true,
            Direction::Using(operator) => match operator.symbol.as_str() {
                "<" => false,
                ">" => true,
                symbol => {
                    let message = format!("operator {symbol} is not a valid ordering operator");
                    let hint = "Ordering operators must be \"<\" or \">\" members of btree operator families.";
                    return Err(self.error_at(item.expr.at, "42809", message).with_hint(hint));
                }
            },
        };
        let ty = type_of(&expr);
        if matches!(ty, expr::SqlType::JSON) || ty.oid.0 == 142 {
            let message = format!("could not identify an ordering operator for type {}", types::format_type_be(ty.oid));
            let hint = "Use an explicit ordering operator or modify the query.";
            return Err(self.error_at(item.expr.at, "42883", message).with_hint(hint));
        }
        Ok(SortKey { expr, descending, nulls_first: item.nulls_first.unwrap_or(descending) })
    }
}

/// The name that PostgreSQL gives a column without an alias.
fn column_name(kind: &ExprKind) -> Option<String> {
    weighted_name(kind).map(|(name, _)| name)
}

/// With how strongly the name is meant: a cast's type gives way to a name from inside.
fn weighted_name(kind: &ExprKind) -> Option<(String, u8)> {
    let strong = |name: &str| Some((name.to_owned(), 2));
    match kind {
        ExprKind::Column(names) => names.last().and_then(|name| strong(&name.text)),
        ExprKind::Field(_, name) => strong(&name.text),
        ExprKind::Subscript(arg, _) | ExprKind::Collate(arg, _) => weighted_name(&arg.kind),
        ExprKind::Call(call) => call.name.last().and_then(|name| strong(&name.text)),
        ExprKind::NullIf(_) => strong("nullif"),
        ExprKind::Coalesce(_) => strong("coalesce"),
        ExprKind::Greatest(_) => strong("greatest"),
        ExprKind::Least(_) => strong("least"),
        ExprKind::Grouping(_) => strong("grouping"),
        ExprKind::Special(value, _) => strong(value.name()),
        ExprKind::Exists(_) => strong("exists"),
        ExprKind::ArrayQuery(_) | ExprKind::Array(_) => strong("array"),
        ExprKind::Row(_) => strong("row"),
        ExprKind::Subquery(query) => subquery_name(query).and_then(|name| strong(&name)),
        ExprKind::Bool(_) => Some(("bool".to_owned(), 1)),
        ExprKind::Cast(arg, ty) => match weighted_name(&arg.kind) {
            Some((name, 2)) => Some((name, 2)),
            _ => ty.names.last().map(|name| (name.text.clone(), 1)),
        },
        ExprKind::Case(case) => match case.otherwise.as_ref().and_then(|otherwise| weighted_name(&otherwise.kind)) {
            Some((name, 2)) => Some((name, 2)),
            _ => Some(("case".to_owned(), 1)),
        },
        _ => None,
    }
}

fn subquery_name(query: &ast::Query) -> Option<String> {
    let ast::QueryBody::Select(select) = &query.body else { return None };
    let target = select.targets.first()?;
    match &target.alias {
        Some(alias) => Some(alias.text.clone()),
        None => column_name(&target.expr.kind),
    }
}
