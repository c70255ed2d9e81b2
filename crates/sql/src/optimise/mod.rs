//! Passes over plans, in a fixed order.
//!
//! What the binder makes is right and naive: each table is read whole, conditions stand where they were written, each
//! subquery runs once per row. Each pass takes a plan to an equal one that costs less, and does one thing:
//!
//! | pass | what it does |
//! | --- | --- |
//! | `simplify` | folds constants, flattens AND and OR, turns `a = 1 OR a = 2` into a list |
//! | `inline ctes` | puts a CTE that is read once in its place |
//! | `push filters` | moves conditions down to where their columns come from; outer joins that lose their NULL rows become inner |
//! | `decorrelate` | turns subqueries that run per row into semi, anti and left joins |
//! | `order joins` | reorders inner joins, smallest intermediate results first |
//! | `join keys` | finds the equalities that a join can hash by |
//! | `prune` | drops columns that nobody reads |
//! | `lookup joins` | looks the inner rows of a join up by key where that is cheaper than reading them all |
//! | `choose indexes` | turns conditions on a scan into ranges of the best index, also of one that spares a Sort |
//! | `limits` | makes a Sort under a LIMIT a top-n, and a scan under one stop early |
//! | `estimate` | fills in rows and costs for EXPLAIN |
//!
//! There are no statistics yet: a table is taken to have [`estimate::TABLE_ROWS`] rows, and conditions select what
//! their shape says.

mod access;
mod decorrelate;
mod estimate;
mod inline_ctes;
mod join_keys;
mod join_order;
mod limits;
mod lookup_join;
mod nulls;
mod prune;
mod pull;
mod push_filters;
mod sargs;
mod simplify;
#[cfg(test)]
mod tests;

use crate::plan::{Node, Plan};

type Pass = fn(&mut Plan);

/// The passes and their names, in order.
pub const PASSES: &[(&str, Pass)] = &[
    ("simplify", simplify::simplify),
    ("inline ctes", inline_ctes::inline_ctes),
    ("push filters", push_filters::push_filters),
    ("decorrelate", decorrelate::decorrelate),
    ("push filters", push_filters::push_filters),
    ("order joins", join_order::order_joins),
    ("join keys", join_keys::find_join_keys),
    ("prune", prune::prune),
    ("lookup joins", lookup_join::lookup_joins),
    ("choose indexes", access::choose_indexes),
    ("limits", limits::push_limits),
    ("prune", prune::prune),
    ("estimate", estimate::estimate),
];

/// An equal plan that costs less.
pub fn optimise(mut plan: Plan) -> Plan {
    for (_, pass) in PASSES {
        pass(&mut plan);
    }
    plan
}

/// The same, and after each pass that changed something the pass's name and the plan: for tests and for
/// `EXPLAIN (VERBOSE, …)` of the optimiser itself.
pub fn optimise_traced(mut plan: Plan, mut trace: impl FnMut(&'static str, &Plan)) -> Plan {
    for (name, pass) in PASSES {
        pass(&mut plan);
        trace(name, &plan);
    }
    plan
}

/// Takes a plan out of its place; what is left behind has no rows and is about to be overwritten.
fn take(plan: &mut Plan) -> Plan {
    let empty = Plan { node: Node::Values { rows: Vec::new() }, fields: Vec::new(), rows: 0.0, cost: 0.0 };
    std::mem::replace(plan, empty)
}

/// A plan without rows in the place of one that cannot have any.
fn make_empty(plan: &mut Plan) {
    plan.node = Node::Values { rows: Vec::new() };
}

/// Runs `visit` on a plan's inputs, however deep they nest.
fn deeper<T>(visit: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(64 << 10, 1 << 20, visit)
}
