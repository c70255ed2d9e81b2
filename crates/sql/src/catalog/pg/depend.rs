//! `pg_depend`, `pg_rewrite`, `pg_description`, `pg_shdescription`.

use expr::{Oid, Row};

use super::attribute::{default_oid, has_default};
use super::relations::VirtualRelation;
use super::row::{Equal, row};
use super::{VirtualContext, fixed};
use crate::catalog::{Catalog, ColumnId, CommentDescriptor, Dependency, RelationKind, Table, TableDescriptor};

/// The catalogs' own OIDs, as `classid` has them.
pub(super) mod class {
    use expr::Oid;

    pub const RELATION: Oid = Oid(1259);
    pub const DATABASE: Oid = Oid(1262);
    pub const ROLE: Oid = Oid(1260);
    pub const CONSTRAINT: Oid = Oid(2606);
    pub const DEFAULT: Oid = Oid(2604);
    pub const RULE: Oid = Oid(2618);
    pub const SCHEMA: Oid = Oid(2615);
    pub const EXTENSION: Oid = Oid(3079);
}

/// `(class, object, sub)`
type Place = (Oid, Oid, i32);

pub(super) fn rows(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let mut out = Edges { relation: equal.relation, rows: Vec::new() };
    for table in cx.own_relations() {
        out.of_relation(cx.catalog, table);
    }
    out.rows
}

struct Edges<'a> {
    relation: &'a VirtualRelation,
    rows: Vec<Row>,
}

impl Edges<'_> {
    fn add(&mut self, object: Place, on: Place, kind: char) {
        self.rows.push(row! { self.relation;
            classid: object.0,
            objid: object.1,
            objsubid: object.2,
            refclassid: on.0,
            refobjid: on.1,
            refobjsubid: on.2,
            deptype: kind,
        });
    }

    fn of_relation(&mut self, catalog: &Catalog, table: &Table) {
        let this = (class::RELATION, table.oid, 0);
        self.add(this, (class::SCHEMA, table.schema, 0), 'n');
        match &table.kind {
            RelationKind::Sequence(sequence) => {
                if let Some((owner, column)) = sequence.owned_by
                    && let Some(owner) = catalog.table(owner)
                {
                    let is_identity = owner.column(column).is_some_and(|column| column.identity.is_some());
                    self.add(this, part(owner, column), if is_identity { 'i' } else { 'a' });
                }
            }
            RelationKind::View { depends_on, .. } => {
                let rule = (class::RULE, rule_oid(table), 0);
                self.add(rule, this, 'i');
                for Dependency { object, column } in depends_on {
                    let Some(on) = catalog.table(*object) else { continue };
                    let on = column.map_or((class::RELATION, on.oid, 0), |column| part(on, column));
                    self.add(rule, on, 'n');
                }
            }
            RelationKind::Table { .. } | RelationKind::Virtual => {}
        }
        for column in table.columns.iter().filter(|column| has_default(column)) {
            let default = (class::DEFAULT, default_oid(table, column.attnum), 0);
            self.add(default, part(table, column.id), 'a');
            for sequence in &column.default_uses {
                self.add(default, (class::RELATION, *sequence, 0), 'n');
            }
        }
        self.of_constraints(catalog, table);
    }

    fn of_constraints(&mut self, catalog: &Catalog, table: &Table) {
        for check in &table.checks {
            for column in &check.columns {
                self.add((class::CONSTRAINT, check.oid, 0), part(table, *column), 'a');
            }
        }
        for index in table.named_indexes() {
            let this = (class::RELATION, index.oid, 0);
            let holder = index.constraint.map_or(this, |constraint| (class::CONSTRAINT, constraint, 0));
            if holder != this {
                self.add(this, holder, 'i');
            }
            for column in index.columns.iter().map(|key| key.column).chain(index.include.iter().copied()) {
                self.add(holder, part(table, column), 'a');
            }
        }
        for key in &table.foreign_keys {
            let this = (class::CONSTRAINT, key.oid, 0);
            key.columns.iter().for_each(|column| self.add(this, part(table, *column), 'a'));
            if let Some(target) = catalog.table(key.target) {
                key.target_columns.iter().for_each(|column| self.add(this, part(target, *column), 'n'));
                if let Some(index) = crate::catalog::ddl::unique_index_on(target, &key.target_columns) {
                    self.add(this, (class::RELATION, index, 0), 'n');
                }
            }
        }
    }
}

fn part(table: &TableDescriptor, column: ColumnId) -> Place {
    (class::RELATION, table.oid, table.column(column).map_or(0, |column| i32::from(column.attnum)))
}

/// Views have one rule each, without an OID of its own: one is made from the view's.
fn rule_oid(view: &TableDescriptor) -> Oid {
    Oid(0xc000_0000 | (view.oid.0 & 0x3fff_ffff))
}

pub(super) fn rules(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |view: &Table| match &view.kind {
        RelationKind::View { definition, .. } => Some(row! { equal.relation;
            oid: rule_oid(view),
            rulename: "_RETURN",
            ev_class: view.oid,
            ev_type: '1',
            ev_enabled: 'O',
            is_instead: true,
            ev_qual: "<>",
            ev_action: definition,
        }),
        _ => None,
    };
    match equal.oid("ev_class") {
        Some(oid) => cx.catalog.table(oid).and_then(make).into_iter().collect(),
        None => cx.own_relations().into_iter().filter_map(make).collect(),
    }
}

/// In which catalog an object is, if it belongs to this database.
fn class_of(cx: &VirtualContext<'_>, object: Oid) -> Option<Oid> {
    let here = |table: &Table| table.database == cx.database();
    let catalog = cx.catalog;
    if catalog.table(object).is_some_and(here) || catalog.index(object).is_some_and(|(table, _)| here(table)) {
        return Some(class::RELATION);
    }
    if catalog.constraint(object).is_some_and(here) {
        return Some(class::CONSTRAINT);
    }
    if catalog.schema_by_oid(object).is_some_and(|schema| schema.database == cx.database()) {
        return Some(class::SCHEMA);
    }
    catalog.extensions(cx.database()).iter().any(|extension| extension.oid == object).then_some(class::EXTENSION)
}

fn comments<'a>(cx: &VirtualContext<'a>, equal: &Equal<'_>) -> Vec<&'a CommentDescriptor> {
    match equal.oid("objoid") {
        Some(oid) => cx.catalog.comments_on(oid).map(|comment| &**comment).into_iter().collect(),
        None => cx.catalog.comments().into_iter().map(|comment| &**comment).collect(),
    }
}

pub(super) fn descriptions(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |object: Oid, class: Oid, sub: i16, text: &str| {
        row! { equal.relation; objoid: object, classoid: class, objsubid: i32::from(sub), description: text }
    };
    let wanted = equal.oid("objoid");
    let builtin = fixed::descriptions().filter(|(object, ..)| wanted.is_none_or(|wanted| wanted == *object));
    let mut rows: Vec<Row> = builtin.map(|(object, class, text)| make(object, class, 0, text)).collect();
    for comment in comments(cx, equal) {
        let Some(class) = class_of(cx, comment.object) else { continue };
        rows.extend(comment.texts.iter().map(|(sub, text)| make(comment.object, class, *sub, text)));
    }
    rows
}

pub(super) fn shared_descriptions(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |comment: &CommentDescriptor| {
        let class = match comment.object {
            oid if cx.catalog.database_by_oid(oid).is_some() => class::DATABASE,
            oid if cx.catalog.role_by_oid(oid).is_some() => class::ROLE,
            _ => return None,
        };
        let (_, text) = comment.texts.first()?;
        Some(row! { equal.relation; objoid: comment.object, classoid: class, description: text })
    };
    comments(cx, equal).into_iter().filter_map(make).collect()
}
