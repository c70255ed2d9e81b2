//! The plans below a node.

use super::{Node, Plan};

impl Node {
    /// In the order in which they are written; for statements that change rows, what gives the rows.
    pub fn inputs(&self) -> Vec<&Plan> {
        match self {
            Node::Values { .. }
            | Node::Scan(_)
            | Node::VirtualScan { .. }
            | Node::FunctionScan { .. }
            | Node::WorkingTable { .. }
            | Node::CteScan { .. } => Vec::new(),
            Node::Filter { input, .. }
            | Node::Project { input, .. }
            | Node::ProjectSet { input, .. }
            | Node::LookupJoin { input, .. }
            | Node::Aggregate { input, .. }
            | Node::Window { input, .. }
            | Node::Sort { input, .. }
            | Node::Limit { input, .. }
            | Node::Distinct { input, .. }
            | Node::LockRows { input, .. } => vec![input],
            Node::Join(join) => vec![&join.left, &join.right],
            Node::Apply(apply) => vec![&apply.outer, &apply.inner],
            Node::SetOperation { left, right, .. } => vec![left, right],
            Node::Recursive { base, step, .. } => vec![base, step],
            Node::With { ctes, body } => ctes.iter().map(|cte| &cte.plan).chain([&**body]).collect(),
            Node::Insert(insert) => vec![&insert.input],
            Node::Update(update) => vec![&update.input],
            Node::Delete(delete) => vec![&delete.input],
        }
    }
}
