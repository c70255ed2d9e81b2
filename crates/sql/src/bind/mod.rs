//! From syntax trees to plans: names are resolved, overloads chosen, conversions made explicit.
//!
//! The rules are PostgreSQL's, and so are the errors (SQLSTATE, wording, position). What comes out is correct and
//! naive: a `Scan` reads its whole table, conditions stand in `Filter`s, each subquery is an `Apply`. Making it fast is
//! the optimiser's work.
//!
//! ## How a SELECT is bound
//!
//! ```text
//! FROM ─ WHERE ─ Aggregate ─ HAVING ─ Window ─ select list ─ DISTINCT ─ ORDER BY ─ LIMIT
//! ```
//!
//! Expressions of all clauses are first bound over the columns of FROM. What a later stage computes (an aggregate, a window
//! call, a subquery, a set-returning function) is meanwhile a *mark*: a column whose number lies above
//! [`marks`]. Each stage then puts its operator on the plan and replaces its marks, and what it has grouped, by
//! the columns it makes ([`stage`]).
//!
//! A column of an enclosing query becomes a parameter slot; the `Apply` over that query's rows fills it.

mod call;
mod coerce;
mod default;
mod expression;
mod from;
mod grouping;
mod insert;
mod literal;
mod marks;
mod modify;
mod operator;
mod query;
mod scope;
mod select;
mod stage;
mod subquery;
mod target;
#[cfg(test)]
mod tests;
mod window;

use expr::{EvalError, Oid, SqlType};

use crate::catalog::{Catalog, SearchPath, Table, TableUse};
use crate::parse::ast;
use crate::parse::position;
use crate::plan::Plan;
pub(crate) use crate::plan::expression::type_of;
use crate::{SqlError, SqlResult};

pub use coerce::resolve_type;
pub use default::{bind_alone, bind_column_default, bind_over_row};

/// What a statement is bound against.
#[derive(Clone, Copy)]
pub struct Environment<'a> {
    pub catalog: &'a Catalog,
    pub path: &'a SearchPath,
    /// The statement's source text, for positions.
    pub source: &'a str,
    /// Types that the client gave for `$1`, `$2` …; OID 0 leaves a type to us.
    pub param_types: &'a [Oid],
    /// Whoever runs the statement looks after its AS OF SYSTEM TIME; else the clause is refused.
    pub may_be_historic: bool,
}

/// A query or a statement that changes rows, bound.
#[derive(Clone, Debug)]
pub struct Bound {
    pub plan: Plan,
    /// Types of `$1`, `$2` …
    pub params: Vec<SqlType>,
    /// How many parameter slots the plan needs in all: the statement's own, then those of correlated subqueries.
    pub slots: usize,
    /// Tables it uses, for locks, privileges and the schema guard.
    pub tables: Vec<(Table, TableUse)>,
}

/// SELECT, VALUES, INSERT, UPDATE, DELETE.
pub fn bind(statement: &ast::Statement, environment: Environment<'_>) -> SqlResult<Bound> {
    let mut binder = Binder::new(environment);
    if environment.may_be_historic {
        binder.system_time = statement.system_time().map(|written| written.text.clone());
    }
    let plan = binder.statement(statement)?;
    binder.finish(plan)
}

/// The state of binding one statement.
struct Binder<'a> {
    environment: Environment<'a>,
    /// By number: `None` while nothing has said what type it has.
    params: Vec<Option<SqlType>>,
    /// The next parameter slot for a correlated column.
    next_slot: usize,
    /// Enclosing queries, outermost first; the last one is being bound.
    levels: Vec<scope::Level>,
    /// CTEs in scope, innermost last.
    ctes: Vec<query::CteInScope>,
    next_cte: usize,
    /// Views being expanded, against those that contain themselves.
    views: Vec<Oid>,
    tables: Vec<(Table, TableUse)>,
    /// What the statement says of its time; what its subqueries say must be the same.
    system_time: Option<String>,
}

impl<'a> Binder<'a> {
    fn new(environment: Environment<'a>) -> Binder<'a> {
        let given = environment.param_types.iter();
        let params: Vec<Option<SqlType>> = given.map(|oid| (oid.0 != 0).then_some(SqlType::from(*oid))).collect();
        Binder {
            environment,
            // Slots come after the statement's own parameters, whose number is not known before its end.
            next_slot: largest_param(environment.source).max(params.len()),
            params,
            levels: Vec::new(),
            ctes: Vec::new(),
            next_cte: 0,
            views: Vec::new(),
            tables: Vec::new(),
            system_time: None,
        }
    }

    fn statement(&mut self, statement: &ast::Statement) -> SqlResult<Plan> {
        match statement {
            ast::Statement::Query(query) => self.query(query),
            ast::Statement::Insert(insert) => self.insert(insert),
            ast::Statement::Update(update) => self.update(update),
            ast::Statement::Delete(delete) => self.delete(delete),
            ast::Statement::NotSupported { what } => Err(SqlError::not_supported(what)),
            ast::Statement::Explain(_) | ast::Statement::Ddl(_) | ast::Statement::Utility(_) => {
                Err(SqlError::new("XX000", "a statement without a plan was given to the binder"))
            }
        }
    }

    fn finish(self, plan: Plan) -> SqlResult<Bound> {
        let mut params = Vec::with_capacity(self.params.len());
        for (number, ty) in self.params.iter().enumerate() {
            match ty {
                Some(ty) if *ty != SqlType::UNKNOWN => params.push(*ty),
                _ => {
                    let message = format!("could not determine data type of parameter ${}", number + 1);
                    return Err(SqlError::new("42P18", message));
                }
            }
        }
        Ok(Bound { plan, params, slots: self.next_slot, tables: self.tables })
    }

    fn catalog(&self) -> &'a Catalog {
        self.environment.catalog
    }

    /// An error that points at a place in the source.
    fn error_at(&self, at: ast::At, state: &'static str, message: impl Into<String>) -> SqlError {
        SqlError::new(state, message).at(Some(position(self.environment.source, at)))
    }

    fn placed(&self, at: ast::At) -> impl Fn(EvalError) -> SqlError + use<'a> {
        let source = self.environment.source;
        move |error| SqlError::from(error).at(Some(position(source, at)))
    }

    fn uses(&mut self, table: &Table, how: TableUse) {
        match self.tables.iter_mut().find(|(known, _)| known.oid == table.oid) {
            Some((_, known)) => *known = how.max(*known),
            None => self.tables.push((table.clone(), how)),
        }
    }

    fn new_slot(&mut self) -> usize {
        self.next_slot += 1;
        self.next_slot - 1
    }
}

/// The largest `n` of any `$n` in the text, also of one that is no parameter (in a string, say): it only decides where
/// slots begin.
fn largest_param(source: &str) -> usize {
    let numbers = source.split('$').skip(1).map(|rest| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).take(5);
        digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
    });
    numbers.max().unwrap_or(0)
}
