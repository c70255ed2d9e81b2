//! Foreign keys, from both ends, when a statement has come to its end.
//!
//! *Child rows* (inserted, or with a new reference): the parents' keys are locked KEY SHARE and must be there. *Parent
//! rows* (deleted, or with a new key): who refers to them is found through an index on the referencing columns where there
//! is one, else by reading the child table; what then happens is the constraint's action. Actions change rows, whose
//! own foreign keys are looked after in turn, until nothing is left to do.
//!
//! Checks read what holds when they are made, under locks (protocol.md, rules 20 and 21). Two constraints are kept apart
//! only by when they look: RESTRICT does not care that the statement puts a new parent under the old key, NO ACTION does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use expr::keys;
use expr::{Datum, Expr, Row, SqlType, casts};
use keyspace::{Key, Span};
use txn::{LockMode, LockSpec, LockWait, ScanSpec, Visible};

use super::{Writer, assign};
use crate::catalog::{ColumnId, ForeignKeyDescriptor, IndexState, ReferentialAction, Table};
use crate::exec::hash_key::KeyMap;
use crate::exec::row_format::{IndexFormat, TableFormat, malformed};
use crate::exec::{Context, HeldRows};
use crate::plan::Check;
use crate::{SqlError, SqlResult, bind};

/// References that are looked up at once at most, while a statement still runs.
const PENDING_MAX: usize = 10_000;

/// What a statement has to look after.
pub(crate) struct ForeignKeys {
    /// Child rows whose parents must be there, by constraint.
    references: BTreeMap<expr::Oid, References>,
    /// Parent rows that are gone or have a new key.
    parents: VecDeque<ParentChange>,
    wave: u32,
}

struct References {
    child: Arc<TableFormat>,
    key: ForeignKeyDescriptor,
    /// Distinct references.
    values: KeyMap<()>,
    rows: HeldRows,
}

struct ParentChange {
    parent: Arc<TableFormat>,
    old: Vec<Row>,
    /// The rows as they are now, of an update.
    new: Option<Vec<Row>>,
}

/// Actions on actions: beyond this depth a cycle of constraints does not come to an end.
const WAVES_MAX: u32 = 10_000;

impl ForeignKeys {
    pub fn new(_ctx: &Context) -> ForeignKeys {
        ForeignKeys { references: BTreeMap::new(), parents: VecDeque::new(), wave: 0 }
    }

    pub async fn inserted(&mut self, ctx: &Context, writer: &Writer, rows: &[Row]) -> SqlResult<()> {
        for key in &writer.table().foreign_keys {
            for row in rows {
                self.refer(ctx, writer, key, row)?;
            }
        }
        self.check_early(ctx).await
    }

    pub async fn updated(&mut self, ctx: &Context, writer: &Writer, pairs: &[(Row, Row)]) -> SqlResult<()> {
        for key in &writer.table().foreign_keys {
            let places = places(&writer.format, &key.columns)?;
            for (old, new) in pairs {
                if !same(old, new, &places) {
                    self.refer(ctx, writer, key, new)?;
                }
            }
        }
        if !writer.table().referenced_by.is_empty() {
            let mut change = ParentChange { parent: writer.format.clone(), old: Vec::new(), new: Some(Vec::new()) };
            for (old, new) in pairs {
                if writer.changes_key(old, new)? {
                    change.old.push(old.clone());
                    change.new.iter_mut().for_each(|rows| rows.push(new.clone()));
                }
            }
            if !change.old.is_empty() {
                self.parents.push_back(change);
            }
        }
        self.check_early(ctx).await
    }

    pub async fn deleted(&mut self, _ctx: &Context, writer: &Writer, rows: &[Row]) -> SqlResult<()> {
        if !writer.table().referenced_by.is_empty() && !rows.is_empty() {
            self.parents.push_back(ParentChange { parent: writer.format.clone(), old: rows.to_vec(), new: None });
        }
        Ok(())
    }

    /// Remembers that `row` needs its parent.
    fn refer(&mut self, ctx: &Context, writer: &Writer, key: &ForeignKeyDescriptor, row: &Row) -> SqlResult<()> {
        let places = places(&writer.format, &key.columns)?;
        let values: Row = places.iter().map(|place| row[*place].clone()).collect();
        let nulls = values.iter().filter(|value| value.is_null()).count();
        if nulls > 0 {
            if key.match_full && nulls < values.len() {
                return Err(missing_parent(ctx, writer.table(), key)
                    .with_detail("MATCH FULL does not allow mixing of null and nonnull key values."));
            }
            return Ok(());
        }
        let references = self.references.entry(key.oid).or_insert_with(|| References {
            child: writer.format.clone(),
            key: key.clone(),
            values: KeyMap::new(ctx, column_types(writer.table(), &key.columns)),
            rows: HeldRows::new(ctx),
        });
        let (_, is_new) = references.values.entry(&values, || Ok(()))?;
        if is_new {
            references.rows.push(values)?;
        }
        Ok(())
    }

    /// Very many references are looked up while the statement still runs; those of a table to itself may be to rows that
    /// are still to come.
    async fn check_early(&mut self, ctx: &Context) -> SqlResult<()> {
        let is_due = |references: &References| {
            references.rows.len() >= PENDING_MAX && references.key.target != references.child.table.oid
        };
        let due: Vec<_> = self.references.iter().filter(|(_, it)| is_due(it)).map(|(oid, _)| *oid).collect();
        for oid in due {
            if let Some(references) = self.references.remove(&oid) {
                references.check(ctx).await?;
            }
        }
        Ok(())
    }

    /// The statement has come to its end.
    pub async fn finish(&mut self, ctx: &Context) -> SqlResult<()> {
        while let Some(change) = self.parents.pop_front() {
            self.wave += 1;
            if self.wave > WAVES_MAX {
                return Err(SqlError::new("54001", "referential actions do not come to an end"));
            }
            self.follow(ctx, change).await?;
        }
        for (_, references) in std::mem::take(&mut self.references) {
            references.check(ctx).await?;
        }
        Ok(())
    }

    // ---- parents ----

    async fn follow(&mut self, ctx: &Context, change: ParentChange) -> SqlResult<()> {
        for child in &change.parent.table.referenced_by {
            let Some(child) = ctx.shared.catalog.table(*child).cloned() else { continue };
            for key in child.foreign_keys.iter().filter(|key| key.target == change.parent.table.oid) {
                self.follow_key(ctx, &change, &child, key).await?;
            }
        }
        Ok(())
    }

    async fn follow_key(
        &mut self,
        ctx: &Context,
        change: &ParentChange,
        child: &Table,
        key: &ForeignKeyDescriptor,
    ) -> SqlResult<()> {
        let parent_places = places(&change.parent, &key.target_columns)?;
        // Old key → new key (none of a deleted row), of rows whose referenced columns are no longer what they were.
        let mut gone: KeyMap<Option<Row>> = KeyMap::new(ctx, column_types(&change.parent.table, &key.target_columns));
        let mut gone_keys: Vec<Row> = Vec::new();
        for (at, old) in change.old.iter().enumerate() {
            let pick = |row: &Row| -> Row { parent_places.iter().map(|place| row[*place].clone()).collect() };
            let values = pick(old);
            let new = change.new.as_ref().map(|rows| &rows[at]);
            let unchanged = new.is_some_and(|new| same(old, new, &parent_places));
            if unchanged || values.iter().any(Datum::is_null) {
                continue;
            }
            if gone.entry(&values, || Ok(new.map(pick)))?.1 {
                gone_keys.push(values);
            }
        }
        if gone_keys.is_empty() {
            return Ok(());
        }
        let action = if change.new.is_some() { key.on_update } else { key.on_delete };
        let writer = Writer::new(child, ctx)?;
        let changes_child = !matches!(action, ReferentialAction::NoAction | ReferentialAction::Restrict);
        let children = Children { ctx, writer: &writer, key, lock: changes_child };
        let found = children.find(&mut gone, &gone_keys).await?;
        if found.is_empty() {
            return Ok(());
        }
        match action {
            ReferentialAction::Restrict => Err(still_referenced(ctx, &change.parent.table, child, key, &found[0].1)),
            ReferentialAction::NoAction => {
                // A parent may have come back under the old key, by this very statement.
                let values: Vec<Row> = found.iter().map(|(_, values)| values.clone()).collect();
                let there = parents_there(ctx, key, &values).await?;
                match values.iter().zip(there).find(|(_, there)| !there) {
                    Some((values, _)) => Err(still_referenced(ctx, &change.parent.table, child, key, values)),
                    None => Ok(()),
                }
            }
            ReferentialAction::Cascade if change.new.is_none() => {
                let rows: Vec<Row> = found.into_iter().map(|(row, _)| row).collect();
                writer.delete(ctx, &rows, self).await
            }
            ReferentialAction::Cascade | ReferentialAction::SetNull | ReferentialAction::SetDefault => {
                let own_places = places(&writer.format, &key.columns)?;
                let defaults = match action {
                    ReferentialAction::SetDefault => default_values(ctx, child, key).await?,
                    _ => vec![Datum::Null; own_places.len()],
                };
                let derived = Derived::bind(ctx, child)?;
                let mut pairs = Vec::with_capacity(found.len());
                for (row, values) in found {
                    let to = match action {
                        ReferentialAction::Cascade => gone.get(&values).and_then(|new| new.clone()).unwrap_or_default(),
                        _ => defaults.clone(),
                    };
                    let mut new = assign(&row, &own_places, to);
                    derived.compute(ctx, &writer, &mut new).await?;
                    pairs.push((row, new));
                }
                writer.update(ctx, &pairs, self).await
            }
        }
    }
}

impl References {
    async fn check(self, ctx: &Context) -> SqlResult<()> {
        let there = parents_there(ctx, &self.key, self.rows.rows()).await?;
        match self.rows.rows().iter().zip(there).find(|(_, there)| !there) {
            None => Ok(()),
            Some((values, _)) => {
                let child = &self.child.table;
                let target = ctx.shared.catalog.table(self.key.target).map_or("", |target| &target.name);
                let detail = key_text(ctx, child, &self.key.columns, values);
                Err(missing_parent(ctx, child, &self.key)
                    .with_detail(format!("Key {detail} is not present in table \"{target}\".")))
            }
        }
    }
}

/// Which of these references have a parent, locked KEY SHARE from here on.
async fn parents_there(ctx: &Context, key: &ForeignKeyDescriptor, references: &[Row]) -> SqlResult<Vec<bool>> {
    let target = ctx.shared.catalog.table(key.target).cloned();
    let target = target.ok_or_else(|| SqlError::new("XX000", "the target of a foreign key is gone"))?;
    let format = ctx.shared.formats.of(&target)?;
    let wanted = places(&format, &key.target_columns)?;
    let is_it = |index: &&IndexFormat| {
        index.unique && index.key.len() == wanted.len() && index.key.iter().all(|(_, place)| wanted.contains(place))
    };
    let index = format.indexes.iter().find(is_it);
    let index = index.ok_or_else(|| SqlError::new("XX000", "the target of a foreign key has no unique index"))?;
    let mut look_up = Vec::with_capacity(references.len());
    let mut sparse = vec![Datum::Null; format.columns.len()];
    for values in references {
        for ((place, value), id) in wanted.iter().zip(values).zip(&key.target_columns) {
            let ty = target.column(*id).map(|column| column.ty);
            sparse[*place] = as_type(ctx, value, ty).await?;
        }
        look_up.push(index.key_of(&sparse)?);
    }
    let wait = LockWait::Block { timeout: None };
    let lock = LockSpec { mode: LockMode::KeyShare, wait, absent_too: false };
    let found = ctx.txn().get_many(&look_up, Some(lock), Visible::Everything, true).await?;
    Ok(found.into_iter().map(|value| value.is_some()).collect())
}

/// A referencing value as one of the referenced column's type, which may be another one (int4 and int8, varchar and text).
async fn as_type(ctx: &Context, value: &Datum, ty: Option<SqlType>) -> SqlResult<Datum> {
    let from = value.natural_type();
    let Some(ty) = ty.filter(|ty| ty.oid != from.oid) else { return Ok(value.clone()) };
    match casts::pathway(from.oid, ty.oid, casts::CastContext::Assignment) {
        None | Some(expr::CastMethod::Relabel) => Ok(value.clone()),
        Some(method) => {
            let arg = Box::new(Expr::Const { value: value.clone(), ty: from });
            ctx.value(&Expr::Cast { arg, method, ty: ty.base(), explicit: false }, &[]).await
        }
    }
}

/// The rows of a child table that refer to certain keys.
struct Children<'a> {
    ctx: &'a Context,
    writer: &'a Writer,
    key: &'a ForeignKeyDescriptor,
    /// They are about to be changed.
    lock: bool,
}

impl Children<'_> {
    /// Rows with the keys that they refer to.
    async fn find(&self, gone: &mut KeyMap<Option<Row>>, gone_keys: &[Row]) -> SqlResult<Vec<(Row, Row)>> {
        let format = &self.writer.format;
        let own = places(format, &self.key.columns)?;
        let all: Vec<usize> = (0..format.columns.len()).collect();
        let layout = format.primary().layout(&format.table, &format.columns, &all)?;
        let mut found = Vec::new();
        let mut take = |key: &Key, value: &[u8]| -> SqlResult<()> {
            let mut row = Row::new();
            layout.decode(key, value, &mut row).map_err(|_| malformed(key))?;
            let values: Row = own.iter().map(|place| row[*place].clone()).collect();
            if gone.get(&values).is_some() {
                found.push((row, values));
            }
            Ok(())
        };
        match self.index_on(&own) {
            None => {
                let span = Span::prefix(Key::from(format.primary().prefix()));
                for (key, value) in self.read(span, self.lock).await? {
                    take(&key, &value)?;
                }
            }
            Some((index, order)) => {
                let rows = self.row_keys(index, &order, gone_keys).await?;
                let wait = LockWait::Block { timeout: None };
                let lock = self.lock.then_some(LockSpec { mode: LockMode::Update, wait, absent_too: false });
                let values = self.ctx.txn().get_many(&rows, lock, Visible::Everything, true).await?;
                for (key, value) in rows.iter().zip(values) {
                    if let Some(value) = value {
                        take(key, &value)?;
                    }
                }
            }
        }
        Ok(found)
    }

    /// An index that begins with the referencing columns, and for each of its first columns which of them it is.
    fn index_on(&self, own: &[usize]) -> Option<(&IndexFormat, Vec<usize>)> {
        let format = &self.writer.format;
        let is_public =
            |index: &&IndexFormat| format.table.index(index.id).is_some_and(|index| index.state == IndexState::Public);
        format.indexes.iter().filter(is_public).find_map(|index| {
            let first = index.key.get(..own.len())?;
            let order = first.iter().map(|(_, place)| own.iter().position(|own| own == place));
            Some((index, order.collect::<Option<Vec<_>>>()?))
        })
    }

    /// The primary keys of rows that an index names under these keys.
    async fn row_keys(&self, index: &IndexFormat, order: &[usize], gone_keys: &[Row]) -> SqlResult<Vec<Key>> {
        let format = &self.writer.format;
        let key_places: Vec<usize> = format.primary().key.iter().map(|(_, place)| *place).collect();
        let key_columns: Vec<ColumnId> = key_places.iter().map(|place| format.columns[*place]).collect();
        let layout = index.layout(&format.table, &key_columns, &key_places)?;
        let mut out = Vec::new();
        for values in gone_keys {
            let mut prefix = index.prefix().to_vec();
            for ((column, _), at) in index.key.iter().zip(order) {
                let value = as_type(self.ctx, &values[*at], Some(column.ty)).await?;
                keys::put(&mut prefix, &value, column)?;
            }
            for (entry, value) in self.read(Span::prefix(prefix.into()), false).await? {
                let mut parts = Row::new();
                layout.decode(&entry, &value, &mut parts).map_err(|_| malformed(&entry))?;
                let mut sparse = vec![Datum::Null; format.columns.len()];
                for (place, part) in key_places.iter().zip(parts) {
                    sparse[*place] = part;
                }
                out.push(format.primary().key_of(&sparse)?);
            }
        }
        Ok(out)
    }

    async fn read(&self, span: Span, lock: bool) -> SqlResult<Vec<(Key, bytes::Bytes)>> {
        let wait = LockWait::Block { timeout: None };
        let lock = lock.then_some(LockSpec { mode: LockMode::Update, wait, absent_too: false });
        let visible = Visible::Everything;
        let spec = ScanSpec { span, reverse: false, rows_max: 0, program: None, lock, visible, untracked: true };
        let mut scan = self.ctx.txn().scan(spec);
        let mut entries = Vec::new();
        loop {
            let page = scan.next_page().await?;
            if page.is_empty() {
                return Ok(entries);
            }
            self.ctx.breathe().await?;
            entries.extend(page.into_iter().map(|entry| (entry.key, entry.value)));
        }
    }
}

/// What follows from the other columns of a row that an action has changed.
struct Derived {
    generated: Vec<(usize, Expr)>,
    checks: Vec<Check>,
}

impl Derived {
    fn bind(ctx: &Context, table: &Table) -> SqlResult<Derived> {
        let catalog = &ctx.shared.catalog;
        let path = catalog.search_path::<&str>(table.database, "", &[]);
        let over_row = |text: &str, ty| bind::bind_over_row(catalog, &path, table, text, Some(ty));
        let mut generated = Vec::new();
        for (place, column) in crate::exec::row_format::row_columns(table).enumerate() {
            if let Some(text) = &column.generated {
                generated.push((place, over_row(text, column.ty)?));
            }
        }
        let mut checks = Vec::with_capacity(table.checks.len());
        for check in &table.checks {
            let condition = over_row(&check.condition, SqlType::BOOL)?;
            checks.push(Check { name: check.name.as_str().into(), condition });
        }
        Ok(Derived { generated, checks })
    }

    async fn compute(&self, ctx: &Context, writer: &Writer, row: &mut Row) -> SqlResult<()> {
        for (place, expr) in &self.generated {
            row[*place] = ctx.value(expr, row).await?;
        }
        writer.check_row(ctx, row, &self.checks).await
    }
}

async fn default_values(ctx: &Context, table: &Table, key: &ForeignKeyDescriptor) -> SqlResult<Row> {
    let catalog = &ctx.shared.catalog;
    let path = catalog.search_path::<&str>(table.database, "", &[]);
    let mut values = Vec::with_capacity(key.columns.len());
    for id in &key.columns {
        let column = table.column(*id);
        let default = match column {
            Some(column) => bind::bind_column_default(catalog, &path, column)?,
            None => None,
        };
        values.push(match default {
            Some(expr) => ctx.value(&expr, &[]).await?,
            None => Datum::Null,
        });
    }
    Ok(values)
}

fn places(format: &TableFormat, columns: &[ColumnId]) -> SqlResult<Vec<usize>> {
    let places = columns.iter().map(|id| format.place(*id)).collect::<Option<Vec<_>>>();
    places.ok_or_else(|| SqlError::new("XX000", "a foreign key is on a column that is not there"))
}

/// Are these columns the same in both rows?
fn same(old: &Row, new: &Row, places: &[usize]) -> bool {
    let mut buffers = [Vec::new(), Vec::new()];
    for (buffer, row) in buffers.iter_mut().zip([old, new]) {
        crate::exec::hash_key::put_key(buffer, &[], places.iter().map(|place| &row[*place]));
    }
    buffers[0] == buffers[1]
}

fn column_types(table: &Table, columns: &[ColumnId]) -> Vec<SqlType> {
    columns.iter().filter_map(|id| table.column(*id)).map(|column| column.ty).collect()
}

fn key_text(ctx: &Context, table: &Table, columns: &[ColumnId], values: &[Datum]) -> String {
    let columns: Vec<_> = columns.iter().filter_map(|id| table.column(*id)).collect();
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let texts: Vec<String> =
        columns.iter().zip(values).map(|(column, value)| value.text_form(column.ty, &ctx.eval())).collect();
    format!("({})=({})", names.join(", "), texts.join(", "))
}

fn missing_parent(ctx: &Context, child: &Table, key: &ForeignKeyDescriptor) -> SqlError {
    let message =
        format!("insert or update on table \"{}\" violates foreign key constraint \"{}\"", child.name, key.name);
    SqlError::new("23503", message).on_table(ctx.schema_of(child), &child.name).on_constraint(&key.name)
}

fn still_referenced(
    ctx: &Context,
    parent: &Table,
    child: &Table,
    key: &ForeignKeyDescriptor,
    values: &[Datum],
) -> SqlError {
    let message = format!(
        "update or delete on table \"{}\" violates foreign key constraint \"{}\" on table \"{}\"",
        parent.name, key.name, child.name
    );
    let detail = key_text(ctx, parent, &key.target_columns, values);
    SqlError::new("23503", message)
        .with_detail(format!("Key {detail} is still referenced from table \"{}\".", child.name))
        .on_table(ctx.schema_of(child), &child.name)
        .on_constraint(&key.name)
}
