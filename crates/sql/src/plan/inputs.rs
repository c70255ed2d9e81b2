//! The plans below a node, and the expressions in it.

use expr::{Aggregate, Expr, SortKey};

use super::*;

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

    /// The same, to change them.
    pub fn inputs_mut(&mut self) -> smallvec::SmallVec<[&mut Plan; 2]> {
        use smallvec::smallvec;
        match self {
            Node::Values { .. }
            | Node::Scan(_)
            | Node::VirtualScan { .. }
            | Node::FunctionScan { .. }
            | Node::WorkingTable { .. }
            | Node::CteScan { .. } => smallvec![],
            Node::Filter { input, .. }
            | Node::Project { input, .. }
            | Node::ProjectSet { input, .. }
            | Node::LookupJoin { input, .. }
            | Node::Aggregate { input, .. }
            | Node::Window { input, .. }
            | Node::Sort { input, .. }
            | Node::Limit { input, .. }
            | Node::Distinct { input, .. }
            | Node::LockRows { input, .. } => smallvec![&mut **input],
            Node::Join(join) => smallvec![&mut *join.left, &mut *join.right],
            Node::Apply(apply) => smallvec![&mut *apply.outer, &mut *apply.inner],
            Node::SetOperation { left, right, .. } => smallvec![&mut **left, &mut **right],
            Node::Recursive { base, step, .. } => smallvec![&mut **base, &mut **step],
            Node::With { ctes, body } => ctes.iter_mut().map(|cte| &mut cte.plan).chain([&mut **body]).collect(),
            Node::Insert(insert) => smallvec![&mut insert.input],
            Node::Update(update) => smallvec![&mut update.input],
            Node::Delete(delete) => smallvec![&mut delete.input],
        }
    }

    /// Every expression of this node itself, whatever row it is over.
    pub fn exprs<'p>(&'p self, visit: &mut dyn FnMut(&'p Expr)) {
        // Kept alike with `exprs_mut`.
        match self {
            Node::Values { rows } => rows.iter().flatten().for_each(visit),
            Node::Scan(scan) => scan_exprs(scan, visit),
            Node::VirtualScan { equal, filter, .. } => {
                equal.iter().for_each(|(_, expr)| visit(expr));
                filter.iter().for_each(visit);
            }
            Node::FunctionScan { calls, .. } => calls.iter().flat_map(|call| &call.args).for_each(visit),
            Node::Filter { condition, .. } => visit(condition),
            Node::Project { exprs, .. } => exprs.iter().for_each(visit),
            Node::ProjectSet { exprs, .. } => exprs.iter().for_each(|expr| match expr {
                SetExpr::Scalar(expr) => visit(expr),
                SetExpr::Set(call) => call.args.iter().for_each(&mut *visit),
            }),
            Node::Join(join) => {
                for key in &join.equal {
                    visit(&key.left);
                    visit(&key.right);
                }
                join.condition.iter().for_each(visit);
            }
            Node::LookupJoin { scan, condition, .. } => {
                scan_exprs(scan, visit);
                condition.iter().for_each(visit);
            }
            Node::Apply(apply) => {
                apply.bindings.iter().for_each(|(_, expr)| visit(expr));
                match &apply.kind {
                    ApplyKind::Compare { left, .. } => left.iter().for_each(&mut *visit),
                    ApplyKind::Lateral { condition, .. } => condition.iter().for_each(&mut *visit),
                    ApplyKind::Scalar | ApplyKind::Exists | ApplyKind::Array => {}
                }
                apply.guard.iter().for_each(visit);
            }
            Node::Aggregate { keys, aggregates, .. } => {
                keys.iter().for_each(&mut *visit);
                aggregates.iter().for_each(|aggregate| aggregate_exprs(aggregate, visit));
            }
            Node::Window { calls, .. } => calls.iter().for_each(|call| window_exprs(call, visit)),
            Node::Sort { keys, limit, .. } => {
                key_exprs(keys, visit);
                limit.iter().for_each(visit);
            }
            Node::Limit { limit, offset, with_ties, .. } => {
                limit.iter().chain(offset).for_each(&mut *visit);
                with_ties.iter().for_each(|keys| key_exprs(keys, visit));
            }
            Node::Distinct { on, .. } => on.iter().flatten().for_each(visit),
            Node::Insert(insert) => {
                insert.checks.iter().for_each(|check| visit(&check.condition));
                if let Some(OnConflict { action: ConflictAction::Update { assignments, condition }, .. }) =
                    &insert.on_conflict
                {
                    assignments.iter().for_each(|(_, expr)| visit(expr));
                    condition.iter().for_each(&mut *visit);
                }
                insert.returning.iter().for_each(visit);
            }
            Node::Update(update) => {
                update.assignments.iter().for_each(|(_, expr)| visit(expr));
                update.checks.iter().for_each(|check| visit(&check.condition));
                update.returning.iter().for_each(visit);
            }
            Node::Delete(delete) => delete.returning.iter().for_each(visit),
            Node::SetOperation { .. }
            | Node::Recursive { .. }
            | Node::WorkingTable { .. }
            | Node::With { .. }
            | Node::CteScan { .. } => {}
            Node::LockRows { limit, .. } => limit.iter().for_each(visit),
        }
    }

    pub fn exprs_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        match self {
            Node::Values { rows } => rows.iter_mut().flatten().for_each(visit),
            Node::Scan(scan) => scan_exprs_mut(scan, visit),
            Node::VirtualScan { equal, filter, .. } => {
                equal.iter_mut().for_each(|(_, expr)| visit(expr));
                filter.iter_mut().for_each(visit);
            }
            Node::FunctionScan { calls, .. } => calls.iter_mut().flat_map(|call| &mut call.args).for_each(visit),
            Node::Filter { condition, .. } => visit(condition),
            Node::Project { exprs, .. } => exprs.iter_mut().for_each(visit),
            Node::ProjectSet { exprs, .. } => exprs.iter_mut().for_each(|expr| match expr {
                SetExpr::Scalar(expr) => visit(expr),
                SetExpr::Set(call) => call.args.iter_mut().for_each(&mut *visit),
            }),
            Node::Join(join) => {
                for key in &mut join.equal {
                    visit(&mut key.left);
                    visit(&mut key.right);
                }
                join.condition.iter_mut().for_each(visit);
            }
            Node::LookupJoin { scan, condition, .. } => {
                scan_exprs_mut(scan, visit);
                condition.iter_mut().for_each(visit);
            }
            Node::Apply(apply) => {
                apply.bindings.iter_mut().for_each(|(_, expr)| visit(expr));
                match &mut apply.kind {
                    ApplyKind::Compare { left, .. } => left.iter_mut().for_each(&mut *visit),
                    ApplyKind::Lateral { condition, .. } => condition.iter_mut().for_each(&mut *visit),
                    ApplyKind::Scalar | ApplyKind::Exists | ApplyKind::Array => {}
                }
                apply.guard.iter_mut().for_each(visit);
            }
            Node::Aggregate { keys, aggregates, .. } => {
                keys.iter_mut().for_each(&mut *visit);
                aggregates.iter_mut().for_each(|aggregate| aggregate_exprs_mut(aggregate, visit));
            }
            Node::Window { calls, .. } => calls.iter_mut().for_each(|call| window_exprs_mut(call, visit)),
            Node::Sort { keys, limit, .. } => {
                key_exprs_mut(keys, visit);
                limit.iter_mut().for_each(visit);
            }
            Node::Limit { limit, offset, with_ties, .. } => {
                limit.iter_mut().chain(offset).for_each(&mut *visit);
                with_ties.iter_mut().for_each(|keys| key_exprs_mut(keys, visit));
            }
            Node::Distinct { on, .. } => on.iter_mut().flatten().for_each(visit),
            Node::Insert(insert) => {
                insert.checks.iter_mut().for_each(|check| visit(&mut check.condition));
                if let Some(OnConflict { action: ConflictAction::Update { assignments, condition }, .. }) =
                    &mut insert.on_conflict
                {
                    assignments.iter_mut().for_each(|(_, expr)| visit(expr));
                    condition.iter_mut().for_each(&mut *visit);
                }
                insert.returning.iter_mut().for_each(visit);
            }
            Node::Update(update) => {
                update.assignments.iter_mut().for_each(|(_, expr)| visit(expr));
                update.checks.iter_mut().for_each(|check| visit(&mut check.condition));
                update.returning.iter_mut().for_each(visit);
            }
            Node::Delete(delete) => delete.returning.iter_mut().for_each(visit),
            Node::SetOperation { .. }
            | Node::Recursive { .. }
            | Node::WorkingTable { .. }
            | Node::With { .. }
            | Node::CteScan { .. } => {}
            Node::LockRows { limit, .. } => limit.iter_mut().for_each(visit),
        }
    }
}

impl Plan {
    /// Visits every expression of the plan and of all below it.
    pub fn all_exprs<'p>(&'p self, visit: &mut dyn FnMut(&'p Expr)) {
        self.node.exprs(visit);
        for input in self.node.inputs() {
            input.all_exprs(visit);
        }
    }

    /// Does it, or anything below it, change rows or lock them?
    pub fn has_effects(&self) -> bool {
        matches!(self.node, Node::Insert(_) | Node::Update(_) | Node::Delete(_) | Node::LockRows { .. })
            || self.node.inputs().into_iter().any(Plan::has_effects)
    }
}

fn scan_exprs<'p>(scan: &'p Scan, visit: &mut dyn FnMut(&'p Expr)) {
    if let KeyRanges::Some(ranges) = &scan.ranges {
        for range in ranges {
            range.equal.iter().for_each(&mut *visit);
            range.lower.iter().chain(&range.upper).for_each(|(expr, _)| visit(expr));
        }
    }
    scan.filter.iter().for_each(visit);
}

fn scan_exprs_mut(scan: &mut Scan, visit: &mut dyn FnMut(&mut Expr)) {
    if let KeyRanges::Some(ranges) = &mut scan.ranges {
        for range in ranges {
            range.equal.iter_mut().for_each(&mut *visit);
            range.lower.iter_mut().chain(&mut range.upper).for_each(|(expr, _)| visit(expr));
        }
    }
    scan.filter.iter_mut().for_each(visit);
}

fn key_exprs<'p>(keys: &'p [SortKey], visit: &mut dyn FnMut(&'p Expr)) {
    keys.iter().for_each(|key| visit(&key.expr));
}

fn key_exprs_mut(keys: &mut [SortKey], visit: &mut dyn FnMut(&mut Expr)) {
    keys.iter_mut().for_each(|key| visit(&mut key.expr));
}

fn aggregate_exprs<'p>(aggregate: &'p Aggregate, visit: &mut dyn FnMut(&'p Expr)) {
    aggregate.args.iter().chain(&aggregate.filter).for_each(&mut *visit);
    key_exprs(&aggregate.order_by, visit);
}

fn aggregate_exprs_mut(aggregate: &mut Aggregate, visit: &mut dyn FnMut(&mut Expr)) {
    aggregate.args.iter_mut().chain(&mut aggregate.filter).for_each(&mut *visit);
    key_exprs_mut(&mut aggregate.order_by, visit);
}

fn window_exprs<'p>(call: &'p WindowCall, visit: &mut dyn FnMut(&'p Expr)) {
    call.args.iter().chain(&call.filter).chain(&call.partition_by).for_each(&mut *visit);
    key_exprs(&call.order_by, visit);
    for bound in [&call.frame.start, &call.frame.end] {
        if let FrameBound::Preceding(expr) | FrameBound::Following(expr) = bound {
            visit(expr);
        }
    }
    if let WindowFunction::Aggregate(aggregate) = &call.function {
        aggregate_exprs(aggregate, visit);
    }
}

fn window_exprs_mut(call: &mut WindowCall, visit: &mut dyn FnMut(&mut Expr)) {
    call.args.iter_mut().chain(&mut call.filter).chain(&mut call.partition_by).for_each(&mut *visit);
    key_exprs_mut(&mut call.order_by, visit);
    for bound in [&mut call.frame.start, &mut call.frame.end] {
        if let FrameBound::Preceding(expr) | FrameBound::Following(expr) = bound {
            visit(expr);
        }
    }
    if let WindowFunction::Aggregate(aggregate) = &mut call.function {
        aggregate_exprs_mut(aggregate, visit);
    }
}
