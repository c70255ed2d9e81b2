//! Queries around their SELECTs: WITH, set operations, VALUES, ORDER BY and LIMIT.

use expr::casts::CastContext;
use expr::{Expr, SortKey, SqlType, resolve};

use super::scope::{Clause, Column, Level, Relation, Scope};
use super::select::Around;
use super::{Binder, type_of};
use crate::parse::ast::{self, QueryBody, Statement};
use crate::plan::{Cte, Field, Node, Plan, SetKind};
use crate::{SqlError, SqlResult};

/// A name that WITH brought in.
#[derive(Clone, Debug)]
pub(super) struct CteInScope {
    pub name: String,
    pub id: usize,
    pub fields: Vec<Field>,
    /// Within its own recursive part it means the rows of the round before.
    pub working: bool,
    pub used: bool,
}

impl Binder<'_> {
    /// A query whose columns all have a type.
    pub(super) fn query(&mut self, query: &ast::Query) -> SqlResult<Plan> {
        let plan = self.open_query(query)?;
        let types: Vec<SqlType> = plan
            .fields
            .iter()
            .map(|field| if field.ty == SqlType::UNKNOWN { SqlType::TEXT } else { field.ty })
            .collect();
        self.convert(plan, &types, query.at)
    }

    /// A query whose literals may still be of unknown type: what surrounds it decides.
    pub(super) fn open_query(&mut self, query: &ast::Query) -> SqlResult<Plan> {
        stacker::maybe_grow(128 << 10, 2 << 20, || {
            let outside = self.ctes.len();
            let ctes = match &query.with {
                Some(with) => self.with(with)?,
                None => Vec::new(),
            };
            let body = self.body(query)?;
            self.ctes.truncate(outside);
            Ok(with_ctes(ctes, body))
        })
    }

    /// The CTEs of a WITH clause; they stay in scope until the caller takes them out.
    pub(super) fn with(&mut self, with: &ast::With) -> SqlResult<Vec<Cte>> {
        let mut ctes = Vec::with_capacity(with.ctes.len());
        for (number, cte) in with.ctes.iter().enumerate() {
            if with.ctes[..number].iter().any(|other| other.name == cte.name) {
                return Err(self.error_at(
                    cte.name.at,
                    "42712",
                    format!("WITH query name \"{}\" specified more than once", cte.name),
                ));
            }
            if let Some(at) = cte.search_or_cycle {
                return Err(self.error_at(at, "0A000", "SEARCH and CYCLE clauses are not supported"));
            }
            let id = self.next_cte;
            self.next_cte += 1;
            let mut plan = match &cte.statement {
                Statement::Query(query) if with.recursive => self.maybe_recursive(cte, query, id)?,
                Statement::Query(query) => self.query(query)?,
                statement => self.statement(statement)?,
            };
            self.rename(&mut plan, &cte.columns, &cte.name)?;
            let fields = plan.fields.clone();
            self.ctes.push(CteInScope { name: cte.name.text.clone(), id, fields, working: false, used: false });
            ctes.push(Cte { id, name: cte.name.text.clone(), plan });
        }
        Ok(ctes)
    }

    /// Gives a CTE's or a view's columns the names in parentheses.
    fn rename(&self, plan: &mut Plan, names: &[ast::Name], of: &ast::Name) -> SqlResult<()> {
        if names.len() > plan.fields.len() {
            let message = format!(
                "WITH query \"{of}\" has {} columns available but {} columns specified",
                plan.fields.len(),
                names.len()
            );
            return Err(self.error_at(of.at, "42P10", message));
        }
        for (field, name) in plan.fields.iter_mut().zip(names) {
            field.name.clone_from(&name.text);
        }
        Ok(())
    }

    fn maybe_recursive(&mut self, cte: &ast::Cte, query: &ast::Query, id: usize) -> SqlResult<Plan> {
        let QueryBody::SetOperation { kind: SetKind::Union, all, left, right, at } = &query.body else {
            return self.query(query);
        };
        if query.with.is_some() {
            return self.query(query);
        }
        let mut base = self.query(left)?;
        self.rename(&mut base, &cte.columns, &cte.name)?;
        self.ctes.push(CteInScope {
            name: cte.name.text.clone(),
            id,
            fields: base.fields.clone(),
            working: true,
            used: false,
        });
        let step = self.open_query(right)?;
        let used = self.ctes.pop().is_some_and(|cte| cte.used);
        if !used {
            return self.query(query);
        }
        if !query.order_by.is_empty() || query.limit.is_some() || query.offset.is_some() {
            return Err(self.error_at(*at, "0A000", "ORDER BY and LIMIT in a recursive query are not implemented"));
        }
        if step.width() != base.width() {
            return Err(self.error_at(*at, "42601", "each UNION query must have the same number of columns"));
        }
        let types: Vec<SqlType> = base.fields.iter().map(|field| field.ty).collect();
        for (position, (field, given)) in base.fields.iter().zip(&step.fields).enumerate() {
            if given.ty != SqlType::UNKNOWN
                && given.ty.oid != field.ty.oid
                && !resolve::can_coerce(given.ty.oid, field.ty.oid, CastContext::Implicit)
            {
                let message = format!(
                    "recursive query \"{}\" column {} has type {} in non-recursive term but type {} overall",
                    cte.name,
                    position + 1,
                    field.ty,
                    given.ty
                );
                return Err(self
                    .error_at(*at, "42804", message)
                    .with_hint("Cast the output of the non-recursive term to the correct type."));
            }
        }
        let step = self.convert(step, &types, *at)?;
        let fields = base.fields.clone();
        Ok(Plan::new(Node::Recursive { id, base: Box::new(base), step: Box::new(step), distinct: !all }, fields))
    }

    fn body(&mut self, query: &ast::Query) -> SqlResult<Plan> {
        let around = Around {
            order_by: &query.order_by,
            limit: query.limit.as_ref(),
            offset: query.offset.as_ref(),
            with_ties: query.with_ties,
            locking: &query.locking,
        };
        let plan = match &query.body {
            QueryBody::Select(select) => return self.select(select, &around),
            QueryBody::Values(rows) => self.values(rows, query.at)?,
            QueryBody::SetOperation { kind, all, left, right, at } => {
                self.set_operation(*kind, *all, left, right, *at)?
            }
            QueryBody::Nested(inner) => self.open_query(inner)?,
        };
        if let Some(locking) = query.locking.first() {
            let what = match &query.body {
                QueryBody::Values(_) => "cannot be applied to VALUES",
                _ => "is not allowed with UNION/INTERSECT/EXCEPT",
            };
            return Err(SqlError::new("0A000", format!("{} {what}", locking.strength.sql())));
        }
        let is_union = matches!(query.body, QueryBody::SetOperation { .. });
        let (plan, keys, width) = self.sort_output(plan, &query.order_by, is_union)?;
        Ok(self.limited(plan, &around, &keys)?.keep(width))
    }

    fn values(&mut self, rows: &[Vec<ast::Expr>], at: ast::At) -> SqlResult<Plan> {
        let width = rows.first().map_or(0, Vec::len);
        self.levels.push(Level { clause: Clause::Values, ..Level::default() });
        let mut columns: Vec<Vec<(Expr, ast::At)>> = vec![Vec::with_capacity(rows.len()); width];
        for row in rows {
            if row.len() != width {
                let at = row.first().map_or(at, |expr| expr.at);
                return Err(self.error_at(at, "42601", "VALUES lists must all be the same length"));
            }
            for (column, written) in columns.iter_mut().zip(row) {
                column.push((self.expr(written)?, written.at));
            }
        }
        let mut types = Vec::with_capacity(width);
        let mut cells: Vec<std::vec::IntoIter<Expr>> = Vec::with_capacity(width);
        for column in columns {
            // All unknown: what surrounds the VALUES decides.
            if column.iter().all(|(expr, _)| type_of(expr) == SqlType::UNKNOWN) {
                types.push(SqlType::UNKNOWN);
                cells.push(column.into_iter().map(|(expr, _)| expr).collect::<Vec<_>>().into_iter());
            } else {
                let (exprs, ty) = self.unify(column, "VALUES")?;
                types.push(ty);
                cells.push(exprs.into_iter());
            }
        }
        let mut rows: Vec<Vec<Expr>> =
            (0..rows.len()).map(|_| cells.iter_mut().filter_map(Iterator::next).collect()).collect();
        let level = self.levels.pop().expect("it was pushed above");
        let field =
            |(number, ty): (usize, &SqlType)| Field { name: format!("column{}", number + 1), ty: *ty, origin: None };
        let fields: Vec<Field> = types.iter().enumerate().map(field).collect();
        if level.pending.subqueries.is_empty() {
            return Ok(Plan::new(Node::Values { rows }, fields));
        }
        // With subqueries each row is a query of its own.
        let mut plans = Vec::with_capacity(rows.len());
        for mut row in rows.drain(..) {
            let input = super::stage::apply_subqueries(
                Plan::one_row(),
                &mut row,
                &level.pending.subqueries,
                &mut super::stage::Applied::default(),
            );
            plans.push(Plan::new(Node::Project { input: Box::new(input), exprs: row }, fields.clone()));
        }
        let together = plans.into_iter().reduce(|left, right| {
            let node =
                Node::SetOperation { kind: SetKind::Union, all: true, left: Box::new(left), right: Box::new(right) };
            Plan::new(node, fields.clone())
        });
        together.ok_or_else(|| SqlError::new("42601", "VALUES without rows"))
    }

    fn set_operation(
        &mut self,
        kind: SetKind,
        all: bool,
        left: &ast::Query,
        right: &ast::Query,
        at: ast::At,
    ) -> SqlResult<Plan> {
        let word = match kind {
            SetKind::Union => "UNION",
            SetKind::Intersect => "INTERSECT",
            SetKind::Except => "EXCEPT",
        };
        let (left, right) = (self.open_query(left)?, self.open_query(right)?);
        if left.width() != right.width() {
            return Err(self.error_at(at, "42601", format!("each {word} query must have the same number of columns")));
        }
        let mut types = Vec::with_capacity(left.width());
        for (a, b) in left.fields.iter().zip(&right.fields) {
            if a.ty == SqlType::UNKNOWN && b.ty == SqlType::UNKNOWN {
                types.push(SqlType::TEXT);
                continue;
            }
            let common = resolve::common_type(&[a.ty.oid, b.ty.oid], word).map_err(self.placed(at))?;
            types.push(SqlType::from(common).with_typmod(resolve::common_typmod(&[a.ty, b.ty], common)));
        }
        let (left, right) = (self.convert(left, &types, at)?, self.convert(right, &types, at)?);
        let named = left.fields.iter().zip(&types);
        let fields = named.map(|(field, ty)| Field { name: field.name.clone(), ty: *ty, origin: None }).collect();
        Ok(Plan::new(Node::SetOperation { kind, all, left: Box::new(left), right: Box::new(right) }, fields))
    }

    /// The plan with its columns converted to `types`.
    pub(super) fn convert(&mut self, mut plan: Plan, types: &[SqlType], at: ast::At) -> SqlResult<Plan> {
        if plan.fields.iter().zip(types).all(|(field, ty)| field.ty.oid == ty.oid) {
            return Ok(plan);
        }
        // Where the expressions are at hand they are converted themselves: a parameter then learns its type.
        match &mut plan.node {
            Node::Project { exprs, .. } => {
                for ((expr, field), ty) in exprs.iter_mut().zip(&mut plan.fields).zip(types) {
                    let bound = std::mem::replace(expr, super::literal::null());
                    *expr = self.implicit(bound, ty.base(), at)?;
                    field.ty = *ty;
                }
                Ok(plan)
            }
            Node::Values { rows } => {
                for row in rows {
                    for (expr, ty) in row.iter_mut().zip(types) {
                        let bound = std::mem::replace(expr, super::literal::null());
                        *expr = self.implicit(bound, ty.base(), at)?;
                    }
                }
                for (field, ty) in plan.fields.iter_mut().zip(types) {
                    field.ty = *ty;
                }
                Ok(plan)
            }
            _ => {
                let columns: Vec<Expr> =
                    plan.fields.iter().enumerate().map(|(index, field)| Expr::Column { index, ty: field.ty }).collect();
                let exprs = columns
                    .into_iter()
                    .zip(types)
                    .map(|(column, ty)| self.implicit(column, ty.base(), at))
                    .collect::<SqlResult<_>>()?;
                Ok(plan.project(exprs))
            }
        }
    }

    /// ORDER BY over a query's output columns. The keys may add columns: `width` is what is to be kept.
    fn sort_output(
        &mut self,
        plan: Plan,
        order_by: &[ast::OrderItem],
        is_union: bool,
    ) -> SqlResult<(Plan, Vec<SortKey>, usize)> {
        let width = plan.width();
        if order_by.is_empty() {
            return Ok((plan, Vec::new(), width));
        }
        let columns = plan.fields.iter().enumerate().map(|(index, field)| Column {
            name: field.name.clone(),
            ty: field.ty,
            index,
            origin: None,
            hidden: false,
        });
        let columns: Vec<Column> = columns.collect();
        let targets: Vec<super::target::BoundTarget> = columns
            .iter()
            .map(|column| super::target::BoundTarget {
                name: column.name.clone(),
                expr: column.expr(),
                origin: None,
                at: 0,
            })
            .collect();
        let relation = Relation {
            name: "*VALUES*".to_owned(),
            schema: None,
            columns: columns.clone(),
            table: None,
            anonymous: true,
        };
        let scope = Scope { relations: vec![relation], visible: columns, width };
        self.levels.push(Level { scope, clause: Clause::OrderBy, ..Level::default() });
        let mut keys = Vec::with_capacity(order_by.len());
        for item in order_by {
            let expr = match self.target_reference(&item.expr, &targets, true)? {
                Some(position) => targets[position].expr.clone(),
                None if is_union => {
                    if let ast::ExprKind::Column(names) = &item.expr.kind
                        && let [name] = &names[..]
                    {
                        return Err(self.error_at(item.expr.at, "42703", format!("column \"{name}\" does not exist")));
                    }
                    let error = self.error_at(item.expr.at, "0A000", "invalid UNION/INTERSECT/EXCEPT ORDER BY clause");
                    let error =
                        error.with_detail("Only result column names can be used, not expressions or functions.");
                    return Err(error.with_hint(
                        "Add the expression/function to every SELECT, or move the UNION into a FROM clause.",
                    ));
                }
                None => self.expr(&item.expr)?,
            };
            keys.push(self.sort_key(item, expr)?);
        }
        let level = self.levels.pop().expect("it was pushed above");
        let exprs = keys.iter_mut().map(|key| &mut key.expr);
        let plan = super::stage::apply_subqueries(
            plan,
            exprs,
            &level.pending.subqueries,
            &mut super::stage::Applied::default(),
        );
        Ok((plan.sort(keys.clone()), keys, width))
    }

    pub(super) fn limited(&mut self, plan: Plan, around: &Around<'_>, keys: &[SortKey]) -> SqlResult<Plan> {
        let limit = self.row_count(around.limit, Clause::Limit)?;
        let offset = self.row_count(around.offset, Clause::Offset)?;
        if limit.is_none() && offset.is_none() {
            return Ok(plan);
        }
        if around.with_ties && keys.is_empty() {
            return Err(SqlError::new("42601", "WITH TIES cannot be specified without ORDER BY clause"));
        }
        let with_ties = around.with_ties.then(|| keys.to_vec());
        let fields = plan.fields.clone();
        Ok(Plan::new(Node::Limit { input: Box::new(plan), limit, offset, with_ties }, fields))
    }

    fn row_count(&mut self, written: Option<&ast::Expr>, clause: Clause) -> SqlResult<Option<Expr>> {
        let Some(written) = written else { return Ok(None) };
        self.levels.push(Level { clause, ..Level::default() });
        let bound = self.expr(written);
        let level = self.levels.pop().expect("it was pushed above");
        if !level.pending.subqueries.is_empty() {
            return Err(self.error_at(
                written.at,
                "0A000",
                format!("a subquery in {} is not supported", clause.name()),
            ));
        }
        self.coerce(bound?, SqlType::INT8, CastContext::Assignment, written.at).map(Some)
    }
}

pub(super) fn with_ctes(ctes: Vec<Cte>, body: Plan) -> Plan {
    if ctes.is_empty() {
        return body;
    }
    let fields = body.fields.clone();
    Plan::new(Node::With { ctes, body: Box::new(body) }, fields)
}
