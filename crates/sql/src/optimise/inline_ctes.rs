//! A CTE that is read once, and neither changes rows nor calls something volatile, stands in for its reader.
//!
//! As in PostgreSQL from version 12 on; `MATERIALIZED` and `NOT MATERIALIZED` are hints that are not followed yet.

use super::{deeper, take};
use crate::plan::expression::is_volatile;
use crate::plan::{Cte, Node, Plan};

pub fn inline_ctes(plan: &mut Plan) {
    for input in plan.node.inputs_mut() {
        deeper(|| inline_ctes(input));
    }
    let Node::With { ctes, body } = &mut plan.node else { return };
    // Last first: a CTE may be read by those after it.
    for at in (0..ctes.len()).rev() {
        let id = ctes[at].id;
        let readers = reads(body, id) + ctes[at + 1..].iter().map(|cte| reads(&cte.plan, id)).sum::<usize>();
        let replaceable = readers <= 1 && is_pure(&ctes[at].plan);
        if !replaceable {
            continue;
        }
        let Cte { plan: definition, .. } = ctes.remove(at);
        let mut definition = Some(definition);
        replace(body, id, &mut definition);
        for later in &mut ctes[at..] {
            replace(&mut later.plan, id, &mut definition);
        }
    }
    if ctes.is_empty() {
        let fields = std::mem::take(&mut plan.fields);
        let body = take(body);
        *plan = body;
        plan.fields = fields;
    }
}

/// How often a CTE is read; what a recursion or a subquery reads may be read once per round, which counts as often.
fn reads(plan: &Plan, id: usize) -> usize {
    match &plan.node {
        Node::CteScan { id: read } => usize::from(*read == id),
        Node::Recursive { base, step, .. } => reads(base, id) + 2 * reads(step, id),
        Node::Apply(apply) => {
            let repeated = if apply.bindings.is_empty() { 1 } else { 2 };
            reads(&apply.outer, id) + repeated * reads(&apply.inner, id)
        }
        node => node.inputs().into_iter().map(|input| reads(input, id)).sum(),
    }
}

fn is_pure(plan: &Plan) -> bool {
    let mut volatile = false;
    plan.all_exprs(&mut |expr| volatile = volatile || is_volatile(expr));
    !volatile && !plan.has_effects() && !has_recursion(plan)
}

fn has_recursion(plan: &Plan) -> bool {
    matches!(plan.node, Node::Recursive { .. } | Node::WorkingTable { .. })
        || plan.node.inputs().into_iter().any(has_recursion)
}

fn replace(plan: &mut Plan, id: usize, definition: &mut Option<Plan>) {
    if let Node::CteScan { id: read } = &plan.node
        && *read == id
        && let Some(definition) = definition.take()
    {
        let fields = std::mem::take(&mut plan.fields);
        *plan = definition;
        plan.fields = fields;
        return;
    }
    for input in plan.node.inputs_mut() {
        replace(input, id, definition);
    }
}
