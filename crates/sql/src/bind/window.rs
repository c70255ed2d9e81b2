//! Window functions and the windows they are computed over.

use expr::casts::CastContext;
use expr::functions::{self, FunctionKind};
use expr::resolve::{self, CallShape};
use expr::{Expr, SortKey, SqlType};

use super::marks::Mark;
use super::scope::Clause;
use super::{Binder, type_of};
use crate::SqlResult;
use crate::parse::ast::{self, Bound};
use crate::plan::{FrameBound, FrameExclude, FrameUnit, WindowCall, WindowFrame, WindowFunction};

impl Binder<'_> {
    pub(super) fn window_call(&mut self, call: &ast::Call, name: &str, at: ast::At) -> SqlResult<Expr> {
        let clause = self.level().clause;
        match clause {
            Clause::SelectList | Clause::OrderBy | Clause::DistinctOn => {}
            Clause::WindowArguments | Clause::WindowDefinition => {
                return Err(self.error_at(at, "42P20", "window function calls cannot be nested"));
            }
            Clause::AggregateArguments => {
                return Err(self.error_at(
                    at,
                    "42803",
                    "aggregate function calls cannot contain window function calls",
                ));
            }
            other => {
                return Err(self.error_at(
                    at,
                    "42P20",
                    format!("window functions are not allowed in {}", other.name()),
                ));
            }
        }
        if call.distinct {
            return Err(self.error_at(at, "0A000", "DISTINCT is not implemented for window functions"));
        }
        let is_aggregate =
            call.star || functions::by_name(name).first().is_some_and(|entry| entry.kind == FunctionKind::Aggregate);
        let (function, args, filter, ty) = if is_aggregate {
            let aggregate =
                self.in_clause(Clause::WindowArguments, |binder| binder.window_aggregate(call, name, at))?;
            let ty = aggregate.ty;
            (WindowFunction::Aggregate(aggregate), Vec::new(), None, ty)
        } else {
            let args = self.in_clause(Clause::WindowArguments, |binder| binder.exprs(&call.args))?;
            let oids: Vec<_> = args.iter().map(|arg| type_of(arg).oid).collect();
            let shape = CallShape { types: &oids, names: &[], variadic: call.variadic };
            let found = resolve::function(name, functions::by_name(name), shape).map_err(self.placed(at))?;
            if found.function.kind != FunctionKind::Window {
                return Err(self.error_at(
                    at,
                    "42809",
                    format!("OVER specified, but {name} is not a window function nor an aggregate function"),
                ));
            }
            if call.filter.is_some() {
                return Err(self.error_at(at, "0A000", "FILTER is not implemented for non-aggregate window functions"));
            }
            let args = self.call_args(&found, args, at)?;
            (WindowFunction::Builtin(found.function.id), args, None, SqlType::from(found.result))
        };
        let Some(spec) = &call.over else {
            return Err(self.error_at(at, "42P20", "a window function call without OVER"));
        };
        let (partition_by, order_by, frame) = self.window(spec)?;
        let level = self.level();
        level.pending.windows.push(WindowCall { function, args, filter, partition_by, order_by, frame, ty });
        let mark = Mark::Window(level.pending.windows.len() - 1);
        Ok(self.marked(mark, ty))
    }

    /// An aggregate computed over a window: its arguments may hold aggregates of the query.
    fn window_aggregate(&mut self, call: &ast::Call, name: &str, at: ast::At) -> SqlResult<expr::Aggregate> {
        let args = self.exprs(&call.args)?;
        let oids: Vec<_> = args.iter().map(|arg| type_of(arg).oid).collect();
        let shape = CallShape { types: &oids, names: &[], variadic: call.variadic };
        let found = resolve::function(name, functions::by_name(name), shape).map_err(self.placed(at))?;
        let args = self.call_args(&found, args, at)?;
        let filter = match &call.filter {
            Some(written) => {
                let bound = self.expr(written)?;
                Some(self.condition(bound, "FILTER", written.at)?)
            }
            None => None,
        };
        let function = expr::AggregateKind(found.function.id.0);
        Ok(expr::Aggregate {
            function,
            args,
            distinct: false,
            filter,
            order_by: Vec::new(),
            ty: SqlType::from(found.result),
        })
    }

    fn window(&mut self, spec: &ast::WindowSpec) -> SqlResult<(Vec<Expr>, Vec<SortKey>, WindowFrame)> {
        let named = match &spec.base {
            Some(name) => {
                let found = self
                    .level()
                    .pending
                    .named_windows
                    .iter()
                    .find(|(known, _)| known == name)
                    .map(|(_, spec)| spec.clone());
                Some(
                    found
                        .ok_or_else(|| self.error_at(spec.at, "42704", format!("window \"{name}\" does not exist")))?,
                )
            }
            None => None,
        };
        if spec.is_reference
            && let Some(named) = &named
        {
            return self.window(named);
        }
        let (mut partition_by, mut order_by) = (Vec::new(), Vec::new());
        if let (Some(named), Some(name)) = (named, &spec.base) {
            if !spec.partition_by.is_empty() {
                return Err(self.error_at(
                    spec.at,
                    "42P20",
                    format!("cannot override PARTITION BY clause of window \"{name}\""),
                ));
            }
            if !spec.order_by.is_empty() && !named.order_by.is_empty() {
                return Err(self.error_at(
                    spec.at,
                    "42P20",
                    format!("cannot override ORDER BY clause of window \"{name}\""),
                ));
            }
            if named.frame.is_some() {
                return Err(self.error_at(
                    spec.at,
                    "42P20",
                    format!("cannot copy window \"{name}\" because it has a frame clause"),
                ));
            }
            (partition_by, order_by, _) = self.window(&named)?;
        }
        self.in_clause(Clause::WindowDefinition, |binder| {
            for written in &spec.partition_by {
                let bound = binder.expr(written)?;
                partition_by.push(binder.settle(bound, written.at)?);
            }
            order_by.extend(binder.sort_keys(&spec.order_by)?);
            let frame = binder.frame(spec, &order_by)?;
            Ok((partition_by, order_by, frame))
        })
    }

    fn frame(&mut self, spec: &ast::WindowSpec, order_by: &[SortKey]) -> SqlResult<WindowFrame> {
        let Some(frame) = &spec.frame else {
            return Ok(WindowFrame {
                unit: FrameUnit::Range,
                start: FrameBound::UnboundedPreceding,
                end: FrameBound::CurrentRow,
                exclude: FrameExclude::NoOthers,
            });
        };
        let offsets = [Some(&frame.start), frame.end.as_ref()]
            .into_iter()
            .flatten()
            .any(|bound| matches!(bound, Bound::Preceding(_) | Bound::Following(_)));
        if frame.unit == FrameUnit::Groups && order_by.is_empty() {
            return Err(self.error_at(frame.at, "42P20", "GROUPS mode requires an ORDER BY clause"));
        }
        if frame.unit == FrameUnit::Range && offsets && order_by.len() != 1 {
            let message = "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column";
            return Err(self.error_at(frame.at, "42P20", message));
        }
        let start = self.frame_bound(&frame.start, frame.unit)?;
        let end = match &frame.end {
            Some(end) => self.frame_bound(end, frame.unit)?,
            None => FrameBound::CurrentRow,
        };
        Ok(WindowFrame { unit: frame.unit, start, end, exclude: frame.exclude })
    }

    fn frame_bound(&mut self, bound: &Bound, unit: FrameUnit) -> SqlResult<FrameBound> {
        let mut offset = |written: &ast::Expr| {
            let expr = self.expr(written)?;
            match unit {
                FrameUnit::Rows | FrameUnit::Groups => {
                    self.coerce(expr, SqlType::INT8, CastContext::Implicit, written.at)
                }
                FrameUnit::Range => Ok(expr),
            }
        };
        Ok(match bound {
            Bound::UnboundedPreceding => FrameBound::UnboundedPreceding,
            Bound::Preceding(written) => FrameBound::Preceding(offset(written)?),
            Bound::CurrentRow => FrameBound::CurrentRow,
            Bound::Following(written) => FrameBound::Following(offset(written)?),
            Bound::UnboundedFollowing => FrameBound::UnboundedFollowing,
        })
    }
}
