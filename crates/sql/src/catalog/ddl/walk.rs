//! Looking through a syntax tree for the columns and relations that it names.

use crate::parse::ast::{
    Cte, Expr, ExprKind, GroupItem, JoinConstraint, Name, ObjectName, Query, QueryBody, Select, Statement, Subscript,
    TableRef,
};

/// Calls `found` with the column of each column reference. Queries inside are not entered: the expressions that the
/// catalog keeps for a table may not have any.
pub(super) fn column_names(expr: &Expr, found: &mut dyn FnMut(&Name)) {
    if let ExprKind::Column(names) = &expr.kind
        && let Some(name) = names.last()
    {
        found(name);
    }
    each_child(expr, &mut |child| column_names(child, found));
}

/// Calls `found` with each name in a query that is a relation's, and not that of a WITH query around it.
pub(super) fn relations(query: &Query, found: &mut dyn FnMut(&ObjectName)) {
    Relations { ctes: Vec::new(), found }.query(query);
}

struct Relations<'a> {
    /// Names of WITH queries in scope, the innermost last.
    ctes: Vec<String>,
    found: &'a mut dyn FnMut(&ObjectName),
}

impl Relations<'_> {
    fn query(&mut self, query: &Query) {
        let outer = self.ctes.len();
        if let Some(with) = &query.with {
            if with.recursive {
                self.ctes.extend(with.ctes.iter().map(|cte| cte.name.text.clone()));
            }
            for cte in &with.ctes {
                self.cte(cte);
                self.ctes.push(cte.name.text.clone());
            }
        }
        self.body(&query.body);
        let tail = [&query.limit, &query.offset].into_iter().flatten();
        for expr in query.order_by.iter().map(|item| &item.expr).chain(tail) {
            self.expr(expr);
        }
        self.ctes.truncate(outer);
    }

    fn cte(&mut self, cte: &Cte) {
        if let Statement::Query(query) = &cte.statement {
            self.query(query);
        }
    }

    fn body(&mut self, body: &QueryBody) {
        match body {
            QueryBody::Select(select) => self.select(select),
            QueryBody::Values(rows) => rows.iter().flatten().for_each(|expr| self.expr(expr)),
            QueryBody::SetOperation { left, right, .. } => {
                self.query(left);
                self.query(right);
            }
            QueryBody::Nested(query) => self.query(query),
        }
    }

    fn select(&mut self, select: &Select) {
        select.from.iter().for_each(|table| self.table(table));
        select.targets.iter().for_each(|target| self.expr(&target.expr));
        select.filter.iter().chain(&select.having).for_each(|expr| self.expr(expr));
        for item in &select.group_by {
            if let GroupItem::Expr(expr) = item {
                self.expr(expr);
            }
        }
        if let crate::parse::ast::Distinctness::On(list) = &select.distinct {
            list.iter().for_each(|expr| self.expr(expr));
        }
    }

    fn table(&mut self, table: &TableRef) {
        match table {
            TableRef::Relation { name, .. } => {
                if name.schema.is_some() || !self.ctes.contains(&name.name.text) {
                    (self.found)(name);
                }
            }
            TableRef::Query { query, .. } => self.query(query),
            TableRef::Functions(functions) => {
                functions.calls.iter().flat_map(|function| &function.call.args).for_each(|expr| self.expr(expr));
            }
            TableRef::Join(join) => {
                self.table(&join.left);
                self.table(&join.right);
                if let JoinConstraint::On(condition) = &join.constraint {
                    self.expr(condition);
                }
            }
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Exists(query) | ExprKind::Subquery(query) | ExprKind::ArrayQuery(query) => self.query(query),
            ExprKind::InQuery { query, .. } | ExprKind::AnyQuery { query, .. } => self.query(query),
            _ => {}
        }
        each_child(expr, &mut |child| self.expr(child));
    }
}

fn each_child(expr: &Expr, visit: &mut dyn FnMut(&Expr)) {
    match &expr.kind {
        ExprKind::Null
        | ExprKind::Bool(_)
        | ExprKind::Number(_)
        | ExprKind::Text(_)
        | ExprKind::Bits(_)
        | ExprKind::Param(_)
        | ExprKind::Column(_)
        | ExprKind::Star(_)
        | ExprKind::Exists(_)
        | ExprKind::Subquery(_)
        | ExprKind::ArrayQuery(_)
        | ExprKind::Special(..)
        | ExprKind::Default
        | ExprKind::CurrentOf(_) => {}
        ExprKind::Field(arg, _)
        | ExprKind::FieldStar(arg)
        | ExprKind::Prefix(_, arg)
        | ExprKind::Not(arg)
        | ExprKind::Cast(arg, _)
        | ExprKind::Collate(arg, _) => visit(arg),
        ExprKind::IsNull { arg, .. } | ExprKind::IsBool { arg, .. } | ExprKind::InQuery { arg, .. } => visit(arg),
        ExprKind::Subscript(arg, subscripts) => {
            visit(arg);
            for subscript in subscripts {
                match subscript {
                    Subscript::Index(index) => visit(index),
                    Subscript::Slice(lower, upper) => [lower, upper].into_iter().flatten().for_each(&mut *visit),
                }
            }
        }
        ExprKind::Binary(binary) => {
            visit(&binary.left);
            visit(&binary.right);
        }
        ExprKind::And(list)
        | ExprKind::Or(list)
        | ExprKind::Coalesce(list)
        | ExprKind::Greatest(list)
        | ExprKind::Least(list)
        | ExprKind::Row(list)
        | ExprKind::Array(list)
        | ExprKind::Grouping(list) => list.iter().for_each(visit),
        ExprKind::IsDistinct { left, right, .. } => {
            visit(left);
            visit(right);
        }
        ExprKind::Between(between) => {
            [&between.arg, &between.low, &between.high].into_iter().for_each(visit);
        }
        ExprKind::Like(like) => {
            [Some(&like.arg), Some(&like.pattern), like.escape.as_ref()].into_iter().flatten().for_each(visit);
        }
        ExprKind::InList { arg, list, .. } => {
            visit(arg);
            list.iter().for_each(visit);
        }
        ExprKind::AnyArray { left, array, .. } => {
            visit(left);
            visit(array);
        }
        ExprKind::AnyQuery { left, .. } => visit(left),
        ExprKind::Case(case) => {
            case.operand.iter().for_each(&mut *visit);
            for (when, then) in &case.whens {
                visit(when);
                visit(then);
            }
            case.otherwise.iter().for_each(visit);
        }
        ExprKind::Call(call) => {
            call.args.iter().for_each(&mut *visit);
            call.order_by.iter().for_each(|item| visit(&item.expr));
            call.filter.iter().for_each(visit);
        }
        ExprKind::NullIf(pair) => {
            visit(&pair.0);
            visit(&pair.1);
        }
    }
}
