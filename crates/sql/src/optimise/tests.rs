//! Scripts of statements and their plans, in `testscripts/`.
//!
//! A line is `> SQL`. CREATE TABLE and CREATE INDEX make the catalog; every other statement is bound and optimised, and
//! its plan printed. Tags: `[trace]` also prints the bound plan and the plan after each pass that changed it, `[costs]`
//! rows and costs, `[verbose]` the output of each node.

use std::error::Error;
use std::fmt::Write;

use expr::{Oid, SqlType, types};
use keyspace::{IndexId, TableId};

use super::optimise_traced;
use crate::SqlResult;
use crate::bind::{self, Environment};
use crate::catalog::{Catalog, IndexColumn, IndexDescriptor, IndexState, RelationKind, TableDescriptor, testing};
use crate::parse::ast::{
    self, ColumnConstraintKind, Ddl, Direction, IndexExpr, Statement, TableConstraintKind, TableElement,
};
use crate::plan::{ExplainStyle, Plan, explain};

const DATABASE: Oid = Oid(16_384);
const PUBLIC: Oid = Oid(2200);

#[derive(Default)]
struct Story {
    tables: Vec<TableDescriptor>,
    next_oid: u32,
}

impl goldenscript::Runner for Story {
    type Command = goldenscript::Command;

    fn run(&mut self, command: &Self::Command, context: &goldenscript::Context) -> Result<String, Box<dyn Error>> {
        let source = &command.name;
        let mut out = String::new();
        for parsed in crate::parse::parse(source)? {
            match &parsed.statement {
                Statement::Ddl(ddl) => self.define(ddl)?,
                statement => self.plan(source, statement, context, &mut out)?,
            }
        }
        Ok(out)
    }
}

impl Story {
    fn catalog(&self) -> Catalog {
        testing::catalog(DATABASE, &[(PUBLIC, "public")], self.tables.clone())
    }

    fn plan(
        &self,
        source: &str,
        statement: &Statement,
        context: &goldenscript::Context,
        out: &mut String,
    ) -> Result<(), Box<dyn Error>> {
        let catalog = self.catalog();
        let path = catalog.search_path(DATABASE, "root", &["public"]);
        let bound = bind::bind(
            statement,
            Environment { catalog: &catalog, path: &path, source, param_types: &[], may_be_historic: false },
        )?;
        let style = ExplainStyle {
            costs: context.tags.contains("costs"),
            verbose: context.tags.contains("verbose"),
            actual: None,
        };
        let text = |plan: &Plan| explain(plan, &style).join("\n");
        let trace = context.tags.contains("trace");
        let mut before = text(&bound.plan);
        if trace {
            writeln!(out, "bound:\n{before}")?;
        }
        let fields = bound.plan.fields.clone();
        let mut failed = None;
        let plan = optimise_traced(bound.plan, |pass, plan| {
            let after = text(plan);
            if trace && after != before {
                failed = failed.take().or(writeln!(out, "{pass}:\n{after}").err());
            }
            before = after;
            check(plan);
        });
        assert_eq!(plan.fields, fields, "the columns of the result are as before");
        if !trace {
            writeln!(out, "{}", text(&plan))?;
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    fn oid(&mut self) -> Oid {
        self.next_oid += 1;
        Oid(16_400 + self.next_oid)
    }

    fn define(&mut self, ddl: &Ddl) -> SqlResult<()> {
        match ddl {
            Ddl::CreateTable(create) => self.create_table(create),
            Ddl::CreateIndex(create) => self.create_index(create),
            other => panic!("the scripts have no {other:?}"),
        }
    }

    fn create_table(&mut self, create: &ast::CreateTable) -> SqlResult<()> {
        let oid = self.oid();
        let kind = RelationKind::Table { storage: TableId(u64::from(oid.0)) };
        let mut table = TableDescriptor::empty(oid, DATABASE, PUBLIC, create.name.name.as_str(), kind);
        let mut primary: Vec<String> = Vec::new();
        let mut unique: Vec<Vec<String>> = Vec::new();
        for element in &create.elements {
            match element {
                TableElement::Column(column) => {
                    let name = column.name.text.clone();
                    let ty = column.ty.names.last().expect("a type has a name").as_str();
                    let ty: SqlType = types::parse_name(ty)?;
                    let descriptor = table.add_column(&name, ty);
                    for constraint in &column.constraints {
                        match &constraint.kind {
                            ColumnConstraintKind::NotNull => descriptor.not_null = true,
                            ColumnConstraintKind::PrimaryKey { .. } => primary = vec![name.clone()],
                            ColumnConstraintKind::Unique { .. } => unique.push(vec![name.clone()]),
                            ColumnConstraintKind::Default(source) => descriptor.default = Some(source.text.clone()),
                            other => panic!("the scripts have no {other:?}"),
                        }
                    }
                }
                TableElement::Constraint(constraint) => match &constraint.kind {
                    TableConstraintKind::PrimaryKey { columns, .. } => {
                        primary = columns.iter().map(|name| name.text.clone()).collect()
                    }
                    TableConstraintKind::Unique { columns, .. } => {
                        unique.push(columns.iter().map(|name| name.text.clone()).collect())
                    }
                    other => panic!("the scripts have no {other:?}"),
                },
                TableElement::Like { .. } => panic!("the scripts have no LIKE"),
            }
        }
        table.add_row_id();
        if !primary.is_empty() {
            let names: Vec<&str> = primary.iter().map(String::as_str).collect();
            table = testing::with_primary_key(table, Oid(oid.0 + 1000), &names);
        }
        for columns in unique {
            let name = format!("{}_{}_key", table.name, columns.join("_"));
            let parts = columns.iter().map(|name| (name.as_str(), false)).collect::<Vec<_>>();
            self.add_index(&mut table, &name, true, &parts, &[]);
        }
        self.tables.push(table);
        Ok(())
    }

    fn add_index(
        &mut self,
        table: &mut TableDescriptor,
        name: &str,
        unique: bool,
        columns: &[(&str, bool)],
        include: &[&str],
    ) {
        let id = |name: &str| table.column_named(name).expect("a column of the table").id;
        let part = |(name, descending): &(&str, bool)| IndexColumn {
            column: id(name),
            descending: *descending,
            nulls_first: *descending,
        };
        let index = IndexDescriptor {
            id: IndexId(table.indexes.len() as u64 + 1),
            oid: self.oid(),
            name: name.to_owned(),
            unique,
            primary: false,
            columns: columns.iter().map(part).collect(),
            include: include.iter().map(|name| id(name)).collect(),
            constraint: None,
            state: IndexState::Public,
        };
        table.indexes.push(index);
    }

    fn create_index(&mut self, create: &ast::CreateIndex) -> SqlResult<()> {
        let at =
            self.tables.iter().position(|table| table.name == create.table.name.text).expect("a table of the script");
        let mut table = self.tables.remove(at);
        let name = create.name.as_ref().expect("indexes of the scripts have names").text.clone();
        let columns: Vec<(&str, bool)> = create
            .columns
            .iter()
            .map(|element| match &element.expr {
                IndexExpr::Column(name) => (name.as_str(), element.direction == Direction::Descending),
                IndexExpr::Expr(_) => panic!("the scripts have no indexes on expressions"),
            })
            .collect();
        let include: Vec<&str> = create.include.iter().map(ast::Name::as_str).collect();
        self.add_index(&mut table, &name, create.unique, &columns, &include);
        self.tables.push(table);
        Ok(())
    }
}

/// What must hold for every plan: each node's width is what its parts make, and no expression reads past its row.
fn check(plan: &Plan) {
    use crate::plan::expression::columns;
    use crate::plan::{ApplyKind, JoinKind, Node};
    let own = plan.fields.len();
    let within = |expr: &expr::Expr, width: usize, what: &str| {
        columns(expr, &mut |column| assert!(column < width, "{what} reads column {column} of {width}:\n{plan:#?}"));
    };
    match &plan.node {
        Node::Scan(scan) => {
            assert_eq!(own, scan.columns.len(), "{plan:#?}");
            scan.filter.iter().for_each(|filter| within(filter, own, "a scan's filter"));
        }
        Node::Filter { input, condition } => {
            assert_eq!(own, input.fields.len(), "{plan:#?}");
            within(condition, own, "a filter");
        }
        Node::Project { input, exprs } => {
            assert_eq!(own, exprs.len(), "{plan:#?}");
            exprs.iter().for_each(|expr| within(expr, input.fields.len(), "a projection"));
        }
        Node::Join(join) => {
            let (left, right) = (join.left.fields.len(), join.right.fields.len());
            let semi = matches!(join.kind, JoinKind::Semi | JoinKind::Anti);
            assert_eq!(own, if semi { left } else { left + right }, "{plan:#?}");
            join.condition.iter().for_each(|condition| within(condition, left + right, "a join condition"));
            for key in &join.equal {
                within(&key.left, left, "a left key");
                within(&key.right, right, "a right key");
            }
        }
        Node::LookupJoin { input, kind, scan, condition } => {
            let (outer, inner) = (input.fields.len(), scan.columns.len());
            let semi = matches!(kind, JoinKind::Semi | JoinKind::Anti);
            assert_eq!(own, if semi { outer } else { outer + inner }, "{plan:#?}");
            condition.iter().for_each(|condition| within(condition, outer + inner, "a look-up's condition"));
            scan.filter.iter().for_each(|filter| within(filter, inner, "a look-up's filter"));
        }
        Node::Apply(apply) => {
            let (outer, inner) = (apply.outer.fields.len(), apply.inner.fields.len());
            let lateral = matches!(apply.kind, ApplyKind::Lateral { .. });
            assert_eq!(own, if lateral { outer + inner } else { outer + 1 }, "{plan:#?}");
            apply.bindings.iter().for_each(|(_, expr)| within(expr, outer, "a binding"));
        }
        Node::Sort { input, keys, .. } => {
            assert_eq!(own, input.fields.len(), "{plan:#?}");
            keys.iter().for_each(|key| within(&key.expr, own, "a sort key"));
        }
        Node::Aggregate { keys, aggregates, .. } => assert!(own >= keys.len() + aggregates.len(), "{plan:#?}"),
        Node::Window { input, calls } => assert_eq!(own, input.fields.len() + calls.len(), "{plan:#?}"),
        Node::SetOperation { left, right, .. } => {
            assert_eq!((own, own), (left.fields.len(), right.fields.len()), "{plan:#?}");
        }
        _ => {}
    }
    plan.node.inputs().into_iter().for_each(check);
}

#[test]
fn scripts() {
    let folder = "src/optimise/testscripts";
    let mut scripts: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.sort();
    assert!(scripts.len() > 5, "where are the scripts?");
    for script in scripts {
        goldenscript::run(&mut Story::default(), script).unwrap();
    }
}
