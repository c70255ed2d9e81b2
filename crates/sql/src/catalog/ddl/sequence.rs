//! CREATE and ALTER SEQUENCE.

use expr::{Oid, SqlType};
use keyspace::TableId;

use super::Editor;
use super::editor::{no_relation, shown};
use crate::catalog::sequence::{SequenceState, value_key};
use crate::catalog::{ColumnId, DescriptorKind, RelationKind, SequenceDescriptor, Table, TableDescriptor};
use crate::parse::ast::{CreateSequence, Name, ObjectName, Persistence, SequenceOption};
use crate::{SqlError, SqlResult};

pub(super) async fn create(editor: &mut Editor<'_>, create: &CreateSequence) -> SqlResult<()> {
    if create.persistence == Persistence::Temporary {
        return Err(SqlError::not_supported("a temporary sequence"));
    }
    let (schema, name) = (editor.creation_schema(&create.name)?, &create.name.name.text);
    if create.if_not_exists && editor.catalog.name_in(schema, name).is_some() {
        editor.notice("42P07", format!("relation \"{name}\" already exists, skipping"));
        return Ok(());
    }
    editor.check_free(schema, name)?;
    editor.rely_on((DescriptorKind::Schema, schema));
    let mut sequence = spec(editor, SequenceSpec::new(SqlType::INT8), &create.options)?;
    let owner = sequence.take_owner();
    let mut descriptor = sequence.into_descriptor(editor.storage().await?);
    if let Some(owner) = owner {
        descriptor.owned_by = find_owner(editor, &owner, schema)?;
    }
    let oid = editor.oid().await?;
    let mut relation = TableDescriptor::empty(oid, editor.database(), schema, name, RelationKind::Sequence(descriptor));
    relation.owner = editor.cx.user;
    save(editor, relation);
    Ok(())
}

fn spec(editor: &Editor<'_>, base: SequenceSpec, options: &[SequenceOption]) -> SqlResult<SequenceSpec> {
    if let Some(SequenceOption::SequenceName(_)) =
        options.iter().find(|option| matches!(option, SequenceOption::SequenceName(_)))
    {
        return Err(SqlError::new("42601", "invalid sequence option SEQUENCE NAME"));
    }
    base.with(editor, options)
}

/// A new sequence with PostgreSQL's three columns, or a changed one.
pub(super) fn save(editor: &mut Editor<'_>, mut relation: TableDescriptor) -> Table {
    if relation.columns.is_empty() {
        for (name, ty) in [("last_value", SqlType::INT8), ("log_cnt", SqlType::INT8), ("is_called", SqlType::BOOL)] {
            relation.add_column(name, ty).not_null = true;
        }
    }
    editor.save_table(relation)
}

pub(super) async fn alter(
    editor: &mut Editor<'_>,
    name: &ObjectName,
    if_exists: bool,
    options: &[SequenceOption],
) -> SqlResult<()> {
    let Some(table) = editor.find_relation(name) else {
        if if_exists {
            editor.notice("00000", format!("relation \"{}\" does not exist, skipping", shown(name)));
            return Ok(());
        }
        return Err(no_relation(name));
    };
    if !matches!(table.kind, RelationKind::Sequence(_)) {
        return Err(SqlError::new("42809", format!("\"{}\" is not a sequence", table.name)));
    }
    change(editor, &table, options).await
}

/// Applies options to an existing sequence. What moves its value gives it a new storage id: like everything in DDL, a
/// RESTART is undone by a rollback.
pub(super) async fn change(editor: &mut Editor<'_>, table: &Table, options: &[SequenceOption]) -> SqlResult<()> {
    let RelationKind::Sequence(old) = &table.kind else { unreachable!("the caller looked") };
    let mut sequence = spec(editor, SequenceSpec::of(old), options)?;
    let owner = sequence.take_owner();
    let restart = sequence.restart;
    let mut descriptor = sequence.into_descriptor(old.storage);
    descriptor.owned_by = match owner {
        Some(owner) => find_owner(editor, &owner, table.schema)?,
        None => old.owned_by,
    };
    if let Some(at) = restart {
        let at = at.unwrap_or(descriptor.start);
        check_in_range(&descriptor, at, "RESTART")?;
        restart_at(editor, &mut descriptor, at).await?;
    }
    let mut changed = TableDescriptor::clone(table);
    changed.kind = RelationKind::Sequence(descriptor);
    save(editor, changed);
    Ok(())
}

/// The next value is `at`.
pub(super) async fn restart_at(editor: &mut Editor<'_>, descriptor: &mut SequenceDescriptor, at: i64) -> SqlResult<()> {
    editor.drop_storage(descriptor.storage);
    descriptor.storage = editor.storage().await?;
    editor.write_row(value_key(descriptor.storage), SequenceState { last_value: at, is_called: false }.encode());
    Ok(())
}

/// `OWNED BY table.column` (`None` within: NONE).
type Owner = Option<(ObjectName, Name)>;

fn find_owner(editor: &mut Editor<'_>, owner: &Owner, schema: Oid) -> SqlResult<Option<(Oid, ColumnId)>> {
    let Some((table_name, column_name)) = owner else { return Ok(None) };
    let table = editor.relation(table_name)?;
    if !matches!(table.kind, RelationKind::Table { .. }) {
        return Err(SqlError::new("42809", format!("sequence cannot be owned by relation \"{}\"", table.name)));
    }
    if table.schema != schema {
        return Err(SqlError::new("55000", "sequence must be in same schema as table it is linked to"));
    }
    let Some(column) = table.column_named(&column_name.text) else {
        let message = format!("column \"{column_name}\" of relation \"{}\" does not exist", table.name);
        return Err(SqlError::new("42703", message));
    };
    editor.rely_on((DescriptorKind::Relation, table.oid));
    Ok(Some((table.oid, column.id)))
}

/// The sequence that a text names: a name as SQL writes it, perhaps qualified, or an OID.
pub(super) fn by_text(editor: &Editor<'_>, text: &str) -> SqlResult<Oid> {
    let table = match text.parse() {
        Ok(oid) => editor.catalog.table(Oid(oid)).cloned(),
        Err(_) => {
            let parts = crate::catalog::quote::split_name(text)?;
            let (schema, name) = match &parts[..] {
                [name] => (None, name),
                [.., schema, name] => (Some(schema.as_str()), name),
                [] => return Err(SqlError::new("42602", "invalid name syntax")),
            };
            editor.catalog.resolve_relation(editor.cx.path, schema, name).cloned()
        }
    };
    let table = table.ok_or_else(|| SqlError::new("42P01", format!("relation \"{text}\" does not exist")))?;
    if !matches!(table.kind, RelationKind::Sequence(_)) {
        return Err(SqlError::new("42809", format!("\"{}\" is not a sequence", table.name)));
    }
    Ok(table.oid)
}

/// A sequence while its options are being read: what was said, and what was not.
pub(super) struct SequenceSpec {
    ty: SqlType,
    increment: i64,
    min: Option<i64>,
    max: Option<i64>,
    start: Option<i64>,
    cache: i64,
    cycle: bool,
    /// The outer option: was RESTART said.
    restart: Option<Option<i64>>,
    owner: Option<Owner>,
}

impl SequenceSpec {
    pub fn new(ty: SqlType) -> SequenceSpec {
        let (min, max, start) = (None, None, None);
        SequenceSpec { ty, increment: 1, min, max, start, cache: 1, cycle: false, restart: None, owner: None }
    }

    fn of(descriptor: &SequenceDescriptor) -> SequenceSpec {
        SequenceSpec {
            ty: descriptor.ty,
            increment: descriptor.increment,
            min: Some(descriptor.min),
            max: Some(descriptor.max),
            start: Some(descriptor.start),
            cache: descriptor.cache,
            cycle: descriptor.cycle,
            restart: None,
            owner: None,
        }
    }

    pub fn with(mut self, editor: &Editor<'_>, options: &[SequenceOption]) -> SqlResult<SequenceSpec> {
        let invalid = |message: String| SqlError::new("22023", message);
        let mut seen: Vec<std::mem::Discriminant<SequenceOption>> = Vec::new();
        for option in options {
            let kind = std::mem::discriminant(option);
            if seen.contains(&kind) {
                return Err(SqlError::new("42601", "conflicting or redundant options"));
            }
            seen.push(kind);
            match option {
                SequenceOption::As(ty) => self.retype(editor.bind_type(ty)?)?,
                SequenceOption::Increment(0) => return Err(invalid("INCREMENT must not be zero".into())),
                SequenceOption::Increment(by) => self.increment = *by,
                SequenceOption::MinValue(min) => self.min = *min,
                SequenceOption::MaxValue(max) => self.max = *max,
                SequenceOption::Start(start) => self.start = Some(*start),
                SequenceOption::Restart(at) => self.restart = Some(*at),
                SequenceOption::Cache(count) if *count < 1 => {
                    return Err(invalid(format!("CACHE ({count}) must be greater than zero")));
                }
                SequenceOption::Cache(count) => self.cache = *count,
                SequenceOption::Cycle(cycle) => self.cycle = *cycle,
                SequenceOption::OwnedBy(owner) => self.owner = Some(owner.clone()),
                SequenceOption::SequenceName(_) | SequenceOption::Logged(_) => {}
            }
        }
        self.check()?;
        Ok(self)
    }

    /// Bounds that were the old type's follow the new one.
    fn retype(&mut self, ty: SqlType) -> SqlResult<()> {
        if !matches!(ty, SqlType::INT2 | SqlType::INT4 | SqlType::INT8) {
            return Err(SqlError::new("22023", "sequence type must be smallint, integer, or bigint"));
        }
        let (low, high) = bounds(self.ty);
        self.min = self.min.filter(|min| *min != low);
        self.max = self.max.filter(|max| *max != high);
        self.ty = ty;
        Ok(())
    }

    fn min(&self) -> i64 {
        self.min.unwrap_or(if self.increment > 0 { 1 } else { bounds(self.ty).0 })
    }

    fn max(&self) -> i64 {
        self.max.unwrap_or(if self.increment > 0 { bounds(self.ty).1 } else { -1 })
    }

    fn start(&self) -> i64 {
        self.start.unwrap_or(if self.increment > 0 { self.min() } else { self.max() })
    }

    fn check(&self) -> SqlResult<()> {
        let (low, high) = bounds(self.ty);
        let (min, max, start) = (self.min(), self.max(), self.start());
        let ty = expr::types::format_type(self.ty.oid, None);
        let invalid = |message: String| Err(SqlError::new("22023", message));
        if max > high || max < low {
            return invalid(format!("MAXVALUE ({max}) is out of range for sequence data type {ty}"));
        }
        if min < low || min > high {
            return invalid(format!("MINVALUE ({min}) is out of range for sequence data type {ty}"));
        }
        if min >= max {
            return invalid(format!("MINVALUE ({min}) must be less than MAXVALUE ({max})"));
        }
        if start < min {
            return invalid(format!("START value ({start}) cannot be less than MINVALUE ({min})"));
        }
        if start > max {
            return invalid(format!("START value ({start}) cannot be greater than MAXVALUE ({max})"));
        }
        Ok(())
    }

    fn take_owner(&mut self) -> Option<Owner> {
        self.owner.take()
    }

    pub fn into_descriptor(self, storage: TableId) -> SequenceDescriptor {
        SequenceDescriptor {
            storage,
            ty: self.ty,
            start: self.start(),
            increment: self.increment,
            min: self.min(),
            max: self.max(),
            cache: self.cache,
            cycle: self.cycle,
            owned_by: None,
        }
    }
}

fn check_in_range(descriptor: &SequenceDescriptor, value: i64, what: &str) -> SqlResult<()> {
    if value < descriptor.min {
        let message = format!("{what} value ({value}) cannot be less than MINVALUE ({})", descriptor.min);
        return Err(SqlError::new("22023", message));
    }
    if value > descriptor.max {
        let message = format!("{what} value ({value}) cannot be greater than MAXVALUE ({})", descriptor.max);
        return Err(SqlError::new("22023", message));
    }
    Ok(())
}

fn bounds(ty: SqlType) -> (i64, i64) {
    match ty {
        SqlType::INT2 => (i16::MIN.into(), i16::MAX.into()),
        SqlType::INT4 => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN, i64::MAX),
    }
}

/// The sequence that a serial or identity column owns.
pub(super) fn owned_by(editor: &Editor<'_>, table: Oid, column: ColumnId) -> Option<Table> {
    let relations = editor.catalog.relations(editor.database());
    let owned = relations
        .into_iter()
        .find(|relation| matches!(&relation.kind, RelationKind::Sequence(s) if s.owned_by == Some((table, column))));
    owned.cloned()
}
