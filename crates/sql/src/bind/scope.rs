//! Which names mean which columns.

use expr::{Expr, Oid, SqlType};

use super::Binder;
use super::marks::Mark;
use super::select::Pending;
use crate::SqlResult;
use crate::parse::ast;

/// One query being bound: its names, and what of it enclosed queries refer to.
#[derive(Default)]
pub(super) struct Level {
    pub scope: Scope,
    /// Parameter slot ← column of this level, asked for by subqueries since the last Apply took them.
    pub bindings: Vec<(usize, Expr)>,
    /// Aggregates, window calls, subqueries and set-returning calls met so far.
    pub pending: Pending,
    /// What the clause being bound may hold.
    pub clause: Clause,
}

/// The clause an expression stands in: decides whether aggregates, window and set-returning functions are allowed,
/// and how the error names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Clause {
    #[default]
    SelectList,
    OrderBy,
    DistinctOn,
    GroupBy,
    Having,
    Where,
    JoinCondition,
    FromFunction,
    AggregateArguments,
    AggregateFilter,
    WindowArguments,
    WindowDefinition,
    Values,
    Limit,
    Offset,
    Update,
    Returning,
    Check,
    Default,
    SystemTime,
}

impl Clause {
    pub fn name(self) -> &'static str {
        match self {
            Clause::SelectList => "SELECT",
            Clause::OrderBy => "ORDER BY",
            Clause::DistinctOn => "DISTINCT ON",
            Clause::GroupBy => "GROUP BY",
            Clause::Having => "HAVING",
            Clause::Where => "WHERE",
            Clause::JoinCondition => "JOIN conditions",
            Clause::FromFunction => "functions in FROM",
            Clause::AggregateArguments => "aggregate function calls",
            Clause::AggregateFilter => "FILTER",
            Clause::WindowArguments => "window function calls",
            Clause::WindowDefinition => "window definitions",
            Clause::Values => "VALUES",
            Clause::Limit => "LIMIT",
            Clause::Offset => "OFFSET",
            Clause::Update => "UPDATE",
            Clause::Returning => "RETURNING",
            Clause::Check => "check constraints",
            Clause::Default => "DEFAULT expressions",
            Clause::SystemTime => "AS OF SYSTEM TIME",
        }
    }
}

/// The names that FROM brings in.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub relations: Vec<Relation>,
    /// What unqualified names and `*` see, in order: a column merged by USING stands here once.
    pub visible: Vec<Column>,
    /// Columns of the row that names refer to.
    pub width: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Relation {
    pub name: String,
    pub schema: Option<String>,
    /// Addressable by `name.column`; a relation to the left of LATERAL in a RIGHT or FULL join is not.
    pub columns: Vec<Column>,
    /// `tableoid` and the like have a table to speak of.
    pub table: Option<Oid>,
    /// An unnamed subquery has columns but no name to qualify them by.
    pub anonymous: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Column {
    pub name: String,
    pub ty: SqlType,
    pub index: usize,
    pub origin: Option<(Oid, i16)>,
    /// Not shown by `*` (the hidden row id).
    pub hidden: bool,
}

impl Scope {
    /// The names of two joined rows; the right row's columns follow the left row's.
    pub fn joined(mut self, mut right: Scope) -> Scope {
        let shift = self.width;
        let moved = right.relations.iter_mut().flat_map(|relation| &mut relation.columns).chain(&mut right.visible);
        for column in moved {
            column.index += shift;
        }
        self.relations.append(&mut right.relations);
        self.visible.append(&mut right.visible);
        self.width += right.width;
        self
    }

    fn relation(&self, schema: Option<&str>, name: &str) -> Vec<&Relation> {
        let named = self.relations.iter().filter(|relation| !relation.anonymous && relation.name == name);
        named.filter(|relation| schema.is_none() || relation.schema.as_deref() == schema).collect()
    }
}

impl Column {
    pub fn expr(&self) -> Expr {
        Expr::Column { index: self.index, ty: self.ty }
    }
}

/// What a name turned out to be, before it is known how far out it is.
enum Found {
    Column(Column),
    WholeRow(Relation),
}

impl Binder<'_> {
    pub(super) fn level(&mut self) -> &mut Level {
        self.levels.last_mut().expect("an expression is bound within a level")
    }

    /// `a`, `t.a`, `s.t.a`; a relation's name alone is its whole row.
    pub(super) fn column(&mut self, names: &[ast::Name], at: ast::At) -> SqlResult<Expr> {
        for depth in (0..self.levels.len()).rev() {
            let found = match names {
                [name] => self.unqualified(depth, name.as_str(), at)?,
                [relation, name] => self.qualified(depth, None, relation, name, at)?,
                [schema, relation, name] | [_, schema, relation, name] => {
                    self.qualified(depth, Some(schema), relation, name, at)?
                }
                _ => return Err(self.error_at(at, "42601", "improper qualified name (too many dotted names)")),
            };
            match found {
                Some(Found::Column(column)) => return Ok(self.reach(depth, column.expr())),
                Some(Found::WholeRow(relation)) => {
                    let visible = relation.columns.iter().filter(|column| !column.hidden);
                    let exprs: Vec<Expr> = visible.map(Column::expr).collect();
                    let fields = exprs.into_iter().map(|column| self.reach(depth, column)).collect();
                    return Ok(Expr::Row { fields, ty: SqlType::RECORD });
                }
                None => {}
            }
        }
        Err(self.missing_column(names, at))
    }

    fn unqualified(&self, depth: usize, name: &str, at: ast::At) -> SqlResult<Option<Found>> {
        let scope = &self.levels[depth].scope;
        let mut found = scope.visible.iter().filter(|column| !column.hidden && column.name == name);
        if let Some(column) = found.next() {
            if found.next().is_some() {
                return Err(self.error_at(at, "42702", format!("column reference \"{name}\" is ambiguous")));
            }
            return Ok(Some(Found::Column(column.clone())));
        }
        Ok(match scope.relation(None, name)[..] {
            [relation] => Some(Found::WholeRow(relation.clone())),
            _ => None,
        })
    }

    fn qualified(
        &self,
        depth: usize,
        schema: Option<&ast::Name>,
        relation: &ast::Name,
        name: &ast::Name,
        at: ast::At,
    ) -> SqlResult<Option<Found>> {
        let scope = &self.levels[depth].scope;
        let relations = scope.relation(schema.map(ast::Name::as_str), relation.as_str());
        let relation = match relations[..] {
            [] => return Ok(None),
            [relation] => relation,
            _ => {
                let message = format!("table reference \"{}\" is ambiguous", relation.as_str());
                return Err(self.error_at(at, "42P09", message));
            }
        };
        let mut columns = relation.columns.iter().filter(|column| !column.hidden && column.name == name.as_str());
        match (columns.next(), columns.next()) {
            (Some(column), None) => Ok(Some(Found::Column(column.clone()))),
            (Some(_), Some(_)) => Err(self.error_at(at, "42702", format!("column reference \"{name}\" is ambiguous"))),
            (None, _) => {
                let message = format!("column {}.{} does not exist", relation.name, name.as_str());
                Err(self.error_at(at, "42703", message))
            }
        }
    }

    /// The expression as the innermost level sees it: itself, or a parameter slot that the level it belongs to fills.
    fn reach(&mut self, depth: usize, column: Expr) -> Expr {
        if depth + 1 == self.levels.len() {
            return column;
        }
        let (Expr::Column { index, ty }, bindings) = (&column, &self.levels[depth].bindings) else { return column };
        let known =
            bindings.iter().find(|(_, bound)| matches!(bound, Expr::Column { index: other, .. } if other == index));
        let slot = match known {
            Some((slot, _)) => *slot,
            None => {
                let slot = self.new_slot();
                self.levels[depth].bindings.push((slot, column.clone()));
                slot
            }
        };
        Expr::Param { index: slot, ty: *ty }
    }

    fn missing_column(&self, names: &[ast::Name], at: ast::At) -> crate::SqlError {
        let text = |names: &[ast::Name]| names.iter().map(ast::Name::as_str).collect::<Vec<_>>().join(".");
        match names {
            [name] => {
                let error = self.error_at(at, "42703", format!("column \"{name}\" does not exist"));
                match self.similar_column(name.as_str()) {
                    Some(similar) => {
                        error.with_hint(format!("Perhaps you meant to reference the column \"{similar}\"."))
                    }
                    None => error,
                }
            }
            [relation @ .., _] => {
                let error = self.error_at(
                    at,
                    "42P01",
                    format!(
                        "missing FROM-clause entry for table \"{}\"",
                        relation.last().map_or("", ast::Name::as_str)
                    ),
                );
                let aliased = self.levels.iter().flat_map(|level| &level.scope.relations).find(|other| {
                    other
                        .table
                        .and_then(|oid| self.catalog().table(oid))
                        .is_some_and(|table| table.name == text(relation))
                        && other.name != text(relation)
                });
                match aliased {
                    Some(other) => {
                        let mut error = error
                            .with_hint(format!("Perhaps you meant to reference the table alias \"{}\".", other.name));
                        error.0.message =
                            format!("invalid reference to FROM-clause entry for table \"{}\"", text(relation));
                        error
                    }
                    None => error,
                }
            }
            [] => self.error_at(at, "42601", "a column without a name"),
        }
    }

    /// `table.column` whose name differs little from the one that was not found.
    fn similar_column(&self, name: &str) -> Option<String> {
        let scope = &self.levels.last()?.scope;
        let columns = scope.relations.iter().flat_map(|relation| {
            relation.columns.iter().filter(|column| !column.hidden).map(move |column| (relation, column))
        });
        let close = columns.map(|(relation, column)| (distance(name, &column.name), relation, column));
        let (far, relation, column) = close.min_by_key(|(far, ..)| *far)?;
        let limit = (name.len().max(column.name.len()) / 2).min(3);
        (far <= limit).then(|| {
            if relation.anonymous { column.name.clone() } else { format!("{}.{}", relation.name, column.name) }
        })
    }

    /// The columns that `*` or `t.*` stands for.
    pub(super) fn star(
        &mut self,
        qualifier: &[ast::Name],
        at: ast::At,
    ) -> SqlResult<Vec<(String, Expr, Option<(Oid, i16)>)>> {
        if qualifier.is_empty() {
            let scope = &self.level().scope;
            if scope.relations.is_empty() {
                return Err(self.error_at(at, "42601", "SELECT * with no tables specified is not valid"));
            }
            return Ok(named_exprs(&self.level().scope.visible));
        }
        let (name, schema) = match qualifier {
            [name] => (name, None),
            [.., schema, name] => (name, Some(schema.as_str())),
            [] => unreachable!("an empty qualifier was answered above"),
        };
        for depth in (0..self.levels.len()).rev() {
            if let [relation, ..] = self.levels[depth].scope.relation(schema, name.as_str())[..] {
                let columns = named_exprs(&relation.columns);
                return Ok(columns
                    .into_iter()
                    .map(|(name, column, origin)| (name, self.reach(depth, column), origin))
                    .collect());
            }
        }
        Err(self.error_at(at, "42P01", format!("missing FROM-clause entry for table \"{name}\"")))
    }

    /// A mark of the innermost level.
    pub(super) fn marked(&self, mark: Mark, ty: SqlType) -> Expr {
        Expr::Column { index: mark.column(), ty }
    }
}

fn named_exprs(columns: &[Column]) -> Vec<(String, Expr, Option<(Oid, i16)>)> {
    columns
        .iter()
        .filter(|column| !column.hidden)
        .map(|column| (column.name.clone(), column.expr(), column.origin))
        .collect()
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
