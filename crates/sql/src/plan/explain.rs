//! EXPLAIN: a plan as indented text, in PostgreSQL's shape and words where it has the same thing.
//!
//! Projections and filters have no lines of their own: a filter is said of the node below it, and what a projection
//! computes is shown (with VERBOSE) as that node's output.

use super::deparse::{aggregate, count, expression, list, sort_keys, symbol};
use super::*;

/// What EXPLAIN shows.
pub struct ExplainStyle<'a> {
    pub costs: bool,
    /// The output of each node.
    pub verbose: bool,
    /// What is known of a node that has run (`(actual rows=…)`).
    pub actual: Option<&'a dyn Fn(&Plan) -> Option<String>>,
}

/// One line of text each.
pub fn explain(plan: &Plan, style: &ExplainStyle<'_>) -> Vec<String> {
    let mut relations = Relations::default();
    relations.gather(plan);
    let qualified = relations.count > 1 || style.verbose;
    let mut printer = Printer { style, qualified, relations, ctes: Vec::new(), lines: Vec::new() };
    printer.node(plan, 0, "", Vec::new());
    printer.lines
}

/// What scans of tables are called: by their tables' names, numbered where one is read several times.
#[derive(Default)]
struct Relations {
    count: usize,
    /// By the address of the scan's list of columns, which a plan that is only looked at keeps.
    names: Vec<(*const ColumnId, String)>,
}

impl Relations {
    fn gather(&mut self, plan: &Plan) {
        match &plan.node {
            Node::Scan(scan) => self.add(&scan.table.name, &scan.columns),
            Node::VirtualScan { table, columns, .. } => self.add(&table.name, columns),
            Node::FunctionScan { .. } | Node::CteScan { .. } => self.count += 1,
            _ => {}
        }
        plan.node.inputs().into_iter().for_each(|input| self.gather(input));
        if let Node::LookupJoin { scan, .. } = &plan.node {
            self.add(&scan.table.name, &scan.columns);
        }
    }

    fn add(&mut self, table: &str, columns: &[ColumnId]) {
        self.count += 1;
        let mut name = table.to_owned();
        let mut number = 0;
        while self.names.iter().any(|(_, known)| *known == name) {
            number += 1;
            name = format!("{table}_{number}");
        }
        self.names.push((columns.as_ptr(), name));
    }

    fn name<'s>(&'s self, table: &'s str, columns: &[ColumnId]) -> &'s str {
        // Empty lists have no address of their own.
        let found = self.names.iter().find(|(at, _)| *at == columns.as_ptr() && !columns.is_empty());
        found.map_or(table, |(_, name)| name)
    }
}

struct Printer<'a> {
    style: &'a ExplainStyle<'a>,
    /// Columns are shown with their tables' names.
    qualified: bool,
    relations: Relations,
    ctes: Vec<(usize, String)>,
    lines: Vec<String>,
}

/// A line below a node's own: `Filter: (a > 1)`.
type Detail = (&'static str, String);

impl Printer<'_> {
    /// `above`: details that nodes without lines of their own add to the next one.
    fn node(&mut self, plan: &Plan, depth: usize, label: &str, mut above: Vec<Detail>) {
        stacker::maybe_grow(64 << 10, 1 << 20, || match &plan.node {
            Node::Project { input, .. } => {
                if self.style.verbose && !above.iter().any(|(name, _)| *name == "Output") {
                    above.insert(0, ("Output", self.names(plan).join(", ")));
                }
                self.node(input, depth, label, above);
            }
            Node::Filter { input, condition } => {
                above.push(("Filter", expression(condition, &self.names(input))));
                self.node(input, depth, label, above);
            }
            _ => self.own(plan, depth, label, above),
        });
    }

    fn own(&mut self, plan: &Plan, depth: usize, label: &str, above: Vec<Detail>) {
        if let Node::With { ctes, .. } = &plan.node {
            self.ctes.extend(ctes.iter().map(|cte| (cte.id, cte.name.clone())));
        }
        let (title, mut details) = self.describe(plan);
        let (output, above): (Vec<Detail>, Vec<Detail>) = above.into_iter().partition(|(name, _)| *name == "Output");
        if !output.is_empty() {
            details.splice(0..0, output);
        } else if self.style.verbose && !plan.fields.is_empty() && !matches!(plan.node, Node::With { .. }) {
            details.insert(0, ("Output", self.names(plan).join(", ")));
        }
        details.extend(above);
        let indent = indentation(depth);
        let arrow = if depth == 0 || !label.is_empty() { "" } else { "->  " };
        let mut line = format!("{indent}{label}{arrow}{title}");
        if self.style.costs {
            let width: usize = plan.fields.iter().map(|field| width_of(field.ty)).sum();
            line.push_str(&format!("  (cost=0.00..{:.2} rows={} width={width})", plan.cost, plan.rows.round() as u64));
        }
        if let Some(actual) = self.style.actual.and_then(|actual| actual(plan)) {
            line.push(' ');
            line.push_str(&actual);
        }
        self.lines.push(line);
        let inner = " ".repeat(if depth == 0 { 2 } else { depth * 6 - 4 + 6 });
        self.lines.extend(details.into_iter().map(|(name, text)| format!("{inner}{name}: {text}")));
        self.inputs(plan, depth);
    }

    fn inputs(&mut self, plan: &Plan, depth: usize) {
        match &plan.node {
            Node::With { ctes, body } => {
                for cte in ctes {
                    let indent = indentation(depth + 1);
                    self.lines.push(format!("{indent}CTE {}", cte.name));
                    self.node(&cte.plan, depth + 1, "", Vec::new());
                }
                self.node(body, depth + 1, "", Vec::new());
            }
            node => {
                for input in node.inputs() {
                    self.node(input, depth + 1, "", Vec::new());
                }
            }
        }
    }

    /// A node's title and details.
    fn describe(&self, plan: &Plan) -> (String, Vec<Detail>) {
        let mut details = Vec::new();
        let title = match &plan.node {
            Node::Values { rows } if rows.len() == 1 => "Result".to_owned(),
            Node::Values { rows } if rows.is_empty() => {
                details.push(("One-Time Filter", "false".to_owned()));
                "Result".to_owned()
            }
            Node::Values { .. } => "Values Scan on \"*VALUES*\"".to_owned(),
            Node::Scan(scan) => self.scan(scan, &[], &mut details),
            Node::VirtualScan { table, equal, filter, columns } => {
                let names = self.table_columns(table, columns);
                if !equal.is_empty() {
                    let one = |(column, value): &(ColumnId, Expr)| {
                        format!("({} = {})", column_name(table, *column), expression(value, &[]))
                    };
                    details.push(("Key", equal.iter().map(one).collect::<Vec<_>>().join(" AND ")));
                }
                details.extend(filter.iter().map(|filter| ("Filter", expression(filter, &names))));
                format!("Catalog Scan on {}", titled(&table.name, self.relations.name(&table.name, columns)))
            }
            Node::FunctionScan { calls, .. } => {
                let name = |call: &SetCall| expr::functions::by_id(call.function).map_or("?", |entry| entry.name);
                let title = format!("Function Scan on {}", calls.first().map_or("?", name));
                if self.style.verbose {
                    let calls: Vec<String> =
                        calls.iter().map(|call| format!("{}({})", name(call), list(&call.args, &[]))).collect();
                    details.push(("Function Call", calls.join(", ")));
                }
                title
            }
            Node::ProjectSet { .. } => "ProjectSet".to_owned(),
            Node::Join(join) => self.join(join, &mut details),
            Node::LookupJoin { input, kind, scan, condition } => {
                let outer = self.names(input);
                let title = self.scan(scan, &outer, &mut details);
                let mut both = outer;
                both.extend(self.table_columns(&scan.table, &scan.columns));
                details.extend(condition.iter().map(|condition| ("Join Filter", expression(condition, &both))));
                format!("Lookup {}: {title}", kind_of_join(*kind))
            }
            Node::Apply(apply) => self.apply(apply, &mut details),
            Node::Aggregate { input, keys, aggregates, ordered, grouping_sets } => {
                let names = self.names(input);
                if !keys.is_empty() {
                    details.push(("Group Key", list(keys, &names)));
                }
                if let Some(sets) = grouping_sets {
                    let set = |set: &Vec<usize>| format!("({})", list(set.iter().map(|key| &keys[*key]), &names));
                    details.push(("Grouping Sets", sets.iter().map(set).collect::<Vec<_>>().join(", ")));
                }
                if self.style.verbose && !aggregates.is_empty() {
                    let all: Vec<String> = aggregates.iter().map(|one| aggregate(one, &names)).collect();
                    details.push(("Aggregates", all.join(", ")));
                }
                match (keys.is_empty(), ordered) {
                    (true, _) => "Aggregate",
                    (false, true) => "GroupAggregate",
                    (false, false) => "HashAggregate",
                }
                .to_owned()
            }
            Node::Window { .. } => "WindowAgg".to_owned(),
            Node::Sort { input, keys, limit } => {
                details.push(("Sort Key", sort_keys(keys, &self.names(input))));
                details.extend(limit.iter().map(|limit| ("Top-N", count(limit))));
                "Sort".to_owned()
            }
            Node::Limit { limit, offset, with_ties, .. } => {
                details.extend(limit.iter().map(|limit| ("Count", count(limit))));
                details.extend(offset.iter().map(|offset| ("Offset", count(offset))));
                if with_ties.is_some() { "Limit with Ties" } else { "Limit" }.to_owned()
            }
            Node::Distinct { input, on } => {
                details.extend(on.iter().map(|on| ("On", list(on, &self.names(input)))));
                "Distinct".to_owned()
            }
            Node::SetOperation { kind, all, .. } => {
                let all = if *all { " All" } else { "" };
                match kind {
                    SetKind::Union if !all.is_empty() => "Append".to_owned(),
                    SetKind::Union => "HashSetOp Union".to_owned(),
                    SetKind::Intersect => format!("HashSetOp Intersect{all}"),
                    SetKind::Except => format!("HashSetOp Except{all}"),
                }
            }
            Node::Recursive { .. } => "Recursive Union".to_owned(),
            Node::WorkingTable { .. } => "WorkTable Scan".to_owned(),
            Node::With { .. } => "With".to_owned(),
            Node::CteScan { id } => {
                let name = self.ctes.iter().find(|(known, _)| known == id).map_or("?", |(_, name)| name);
                format!("CTE Scan on {name}")
            }
            Node::LockRows { targets, .. } => {
                let tables: Vec<&str> = targets.iter().map(|target| target.table.name.as_str()).collect();
                format!("LockRows of {}", tables.join(", "))
            }
            Node::Insert(insert) => {
                if let Some(conflict) = &insert.on_conflict {
                    let what = if matches!(conflict.action, ConflictAction::DoNothing) { "NOTHING" } else { "UPDATE" };
                    details.push(("Conflict Resolution", what.to_owned()));
                }
                format!("Insert on {}", insert.table.name)
            }
            Node::Update(update) => format!("Update on {}", update.table.name),
            Node::Delete(delete) => format!("Delete on {}", delete.table.name),
            Node::Project { .. } | Node::Filter { .. } => unreachable!("they have no lines of their own"),
        };
        (title, details)
    }

    /// `outer`: the names that key ranges may refer to.
    fn scan(&self, scan: &Scan, outer: &[String], details: &mut Vec<Detail>) -> String {
        let names = self.table_columns(&scan.table, &scan.columns);
        let index = scan.table.index(scan.index);
        match (&scan.ranges, index) {
            (KeyRanges::Some(ranges), Some(index)) => {
                details.push(("Index Cond", self.ranges(scan, index, ranges, outer)))
            }
            (KeyRanges::Nothing, _) => details.push(("One-Time Filter", "false".to_owned())),
            _ => {}
        }
        details.extend(scan.filter.iter().map(|filter| ("Filter", expression(filter, &names))));
        if let Some(limit) = scan.limit_hint {
            details.push(("Limit Hint", limit.to_string()));
        }
        let table = titled(&scan.table.name, self.relations.name(&scan.table.name, &scan.columns));
        let backward = if scan.reverse { " Backward" } else { "" };
        let is_primary = scan.table.primary().is_some_and(|primary| primary.id == scan.index);
        match index {
            Some(index)
                if is_primary
                    && matches!(scan.ranges, KeyRanges::All | KeyRanges::Nothing)
                    && (!scan.reverse || index.name.is_empty()) =>
            {
                format!("Seq Scan{backward} on {table}")
            }
            Some(index) if index.name.is_empty() => format!("Row Id Scan{backward} on {table}"),
            Some(index) if is_primary || !scan.is_covered() => {
                format!("Index Scan{backward} using {} on {table}", index.name)
            }
            Some(index) => format!("Index Only Scan{backward} using {} on {table}", index.name),
            None => format!("Seq Scan{backward} on {table}"),
        }
    }

    fn ranges(
        &self,
        scan: &Scan,
        index: &crate::catalog::IndexDescriptor,
        ranges: &[KeyRange],
        outer: &[String],
    ) -> String {
        const SHOWN_MAX: usize = 10;
        let one = |range: &KeyRange| {
            let mut parts: Vec<String> = Vec::new();
            for (part, value) in index.columns.iter().zip(&range.equal) {
                parts.push(format!("({} = {})", column_name(&scan.table, part.column), expression(value, outer)));
            }
            if let Some(part) = index.columns.get(range.equal.len()) {
                let name = column_name(&scan.table, part.column);
                if let Some((value, inclusive)) = &range.lower {
                    parts.push(format!("({name} >{} {})", if *inclusive { "=" } else { "" }, expression(value, outer)));
                }
                if let Some((value, inclusive)) = &range.upper {
                    parts.push(format!("({name} <{} {})", if *inclusive { "=" } else { "" }, expression(value, outer)));
                }
            }
            parts.join(" AND ")
        };
        let mut shown: Vec<String> = ranges.iter().take(SHOWN_MAX).map(one).collect();
        if ranges.len() > SHOWN_MAX {
            shown.push(format!("… ({} ranges)", ranges.len()));
        }
        shown.join(" OR ")
    }

    fn join(&self, join: &Join, details: &mut Vec<Detail>) -> String {
        let (left, right) = (self.names(&join.left), self.names(&join.right));
        if !join.equal.is_empty() {
            let key = |key: &JoinKey| {
                format!("({} {} {})", expression(&key.left, &left), symbol(key.equals), expression(&key.right, &right))
            };
            details.push(("Hash Cond", join.equal.iter().map(key).collect::<Vec<_>>().join(" AND ")));
        }
        let both: Vec<String> = left.into_iter().chain(right).collect();
        details.extend(join.condition.iter().map(|condition| ("Join Filter", expression(condition, &both))));
        match (join.equal.is_empty(), join.kind) {
            (true, JoinKind::Inner) => "Nested Loop".to_owned(),
            (true, kind) => format!("Nested Loop {}", kind_of_join(kind)),
            (false, kind) => format!("Hash {}", kind_of_join(kind)),
        }
    }

    fn apply(&self, apply: &Apply, details: &mut Vec<Detail>) -> String {
        let outer = self.names(&apply.outer);
        if !apply.bindings.is_empty() {
            let binding = |(slot, expr): &(usize, Expr)| format!("${} = {}", slot + 1, expression(expr, &outer));
            details.push(("For Each", apply.bindings.iter().map(binding).collect::<Vec<_>>().join(", ")));
        }
        let what = match &apply.kind {
            ApplyKind::Scalar => "value".to_owned(),
            ApplyKind::Exists => "exists".to_owned(),
            ApplyKind::Array => "array".to_owned(),
            ApplyKind::Compare { left, operators, all } => {
                let word = if *all { "ALL" } else { "ANY" };
                let symbols: Vec<&str> = operators.iter().map(|operator| symbol(*operator)).collect();
                details.push(("Compare", format!("({}) {} {word}", list(left, &outer), symbols.join(", "))));
                "compare".to_owned()
            }
            ApplyKind::Lateral { left_join, condition } => {
                let both: Vec<String> = outer.iter().cloned().chain(self.names(&apply.inner)).collect();
                details.extend(condition.iter().map(|condition| ("Join Filter", expression(condition, &both))));
                if *left_join { "lateral left join" } else { "lateral" }.to_owned()
            }
        };
        details.extend(apply.guard.iter().map(|guard| ("Only If", expression(guard, &outer))));
        format!("Subquery ({what})")
    }

    fn table_columns(&self, table: &Table, columns: &[ColumnId]) -> Vec<String> {
        let relation = self.relations.name(&table.name, columns);
        let name = |id: &ColumnId| {
            let column = column_name(table, *id);
            if self.qualified { format!("{relation}.{column}") } else { column.to_owned() }
        };
        columns.iter().map(name).collect()
    }

    /// What to call the columns of a plan in expressions over it.
    fn names(&self, plan: &Plan) -> Vec<String> {
        match &plan.node {
            Node::Scan(scan) => self.table_columns(&scan.table, &scan.columns),
            Node::VirtualScan { table, columns, .. } => self.table_columns(table, columns),
            Node::Filter { input, .. }
            | Node::Sort { input, .. }
            | Node::Limit { input, .. }
            | Node::Distinct { input, .. }
            | Node::LockRows { input, .. } => self.names(input),
            Node::Project { input, exprs } => {
                let names = self.names(input);
                exprs.iter().map(|expr| expression(expr, &names)).collect()
            }
            Node::Join(join) => match join.kind {
                JoinKind::Semi | JoinKind::Anti => self.names(&join.left),
                _ => self.names(&join.left).into_iter().chain(self.names(&join.right)).collect(),
            },
            Node::LookupJoin { input, kind, scan, .. } => {
                let mut names = self.names(input);
                if !matches!(kind, JoinKind::Semi | JoinKind::Anti) {
                    names.extend(self.table_columns(&scan.table, &scan.columns));
                }
                names
            }
            Node::Apply(apply) => {
                let mut names = self.names(&apply.outer);
                match apply.kind {
                    ApplyKind::Lateral { .. } => names.extend(self.names(&apply.inner)),
                    _ => names.push("(SubPlan)".to_owned()),
                }
                names
            }
            Node::Aggregate { input, keys, aggregates, .. } => {
                let names = self.names(input);
                let mut out: Vec<String> = keys.iter().map(|key| expression(key, &names)).collect();
                out.extend(aggregates.iter().map(|one| aggregate(one, &names)));
                out.extend(plan.fields.iter().skip(out.len()).map(|_| "GROUPING SET".to_owned()));
                out
            }
            Node::Window { input, calls } => {
                let mut names = self.names(input);
                let calls: Vec<String> = calls.iter().map(|call| window_name(call, &names)).collect();
                names.extend(calls);
                names
            }
            Node::SetOperation { left, .. } => self.names(left),
            Node::With { body, .. } => self.names(body),
            _ => plan.fields.iter().map(|field| field.name.clone()).collect(),
        }
    }
}

/// `t`, or `t t_1` where the scan has a name of its own.
fn titled(table: &str, name: &str) -> String {
    if table == name { table.to_owned() } else { format!("{table} {name}") }
}

fn window_name(call: &WindowCall, names: &[String]) -> String {
    match &call.function {
        WindowFunction::Aggregate(one) => format!("{} OVER (?)", aggregate(one, names)),
        WindowFunction::Builtin(function) => {
            let name = expr::functions::by_id(*function).map_or("?", |entry| entry.name);
            format!("{name}({}) OVER (?)", list(&call.args, names))
        }
    }
}

fn kind_of_join(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner => "Join",
        JoinKind::Left => "Left Join",
        JoinKind::Right => "Right Join",
        JoinKind::Full => "Full Join",
        JoinKind::Semi => "Semi Join",
        JoinKind::Anti => "Anti Join",
    }
}

fn column_name(table: &Table, column: ColumnId) -> &str {
    table.column(column).map_or("?", |column| &column.name)
}

/// As psql shows it: two spaces, then six for each level.
fn indentation(depth: usize) -> String {
    if depth == 0 { String::new() } else { " ".repeat(depth * 6 - 4) }
}

/// Bytes that a value takes on average, as PostgreSQL guesses for types without statistics.
fn width_of(ty: SqlType) -> usize {
    match ty.entry() {
        Some(entry) if entry.len > 0 => entry.len as usize,
        _ => 32,
    }
}
