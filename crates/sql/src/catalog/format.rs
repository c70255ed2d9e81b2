//! Descriptors as bytes.
//!
//! ```text
//! value = FORMAT kind record                     (record.rs)
//! ```
//!
//! Bytes that cannot be read are an error of the statement, never a descriptor that is half right.

use std::sync::Arc;

use expr::Oid;

use super::record::{Record, Value, codes, record};
use super::*;

/// Raised when a reader of the old form would misunderstand the new one; new fields alone do not raise it.
const FORMAT: u8 = 1;

/// Everything the catalog's descriptor table holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Descriptor {
    Database(Arc<DatabaseDescriptor>),
    Schema(Arc<SchemaDescriptor>),
    Relation(Table),
    Role(Arc<RoleDescriptor>),
    Comment(Arc<CommentDescriptor>),
    Extension(Arc<ExtensionDescriptor>),
}

/// The first part of a descriptor's key. The order matters: what contains comes before what is contained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DescriptorKind {
    Role = 1,
    Database = 2,
    Schema = 3,
    Relation = 4,
    Comment = 5,
    Extension = 6,
}

impl DescriptorKind {
    pub const ALL: [DescriptorKind; 6] = [
        DescriptorKind::Role,
        DescriptorKind::Database,
        DescriptorKind::Schema,
        DescriptorKind::Relation,
        DescriptorKind::Comment,
        DescriptorKind::Extension,
    ];

    pub fn from_code(code: u64) -> Option<DescriptorKind> {
        DescriptorKind::ALL.into_iter().find(|kind| *kind as u64 == code)
    }
}

impl Descriptor {
    pub fn kind(&self) -> DescriptorKind {
        match self {
            Descriptor::Database(_) => DescriptorKind::Database,
            Descriptor::Schema(_) => DescriptorKind::Schema,
            Descriptor::Relation(_) => DescriptorKind::Relation,
            Descriptor::Role(_) => DescriptorKind::Role,
            Descriptor::Comment(_) => DescriptorKind::Comment,
            Descriptor::Extension(_) => DescriptorKind::Extension,
        }
    }

    pub fn oid(&self) -> Oid {
        match self {
            Descriptor::Database(database) => database.oid,
            Descriptor::Schema(schema) => schema.oid,
            Descriptor::Relation(table) => table.oid,
            Descriptor::Role(role) => role.oid,
            Descriptor::Comment(comment) => comment.object,
            Descriptor::Extension(extension) => extension.oid,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT, self.kind() as u8];
        match self {
            Descriptor::Database(database) => database.write(&mut out),
            Descriptor::Schema(schema) => schema.write(&mut out),
            Descriptor::Relation(table) => table.write(&mut out),
            Descriptor::Role(role) => role.write(&mut out),
            Descriptor::Comment(comment) => comment.write(&mut out),
            Descriptor::Extension(extension) => extension.write(&mut out),
        }
        out
    }

    /// `None`: not a descriptor of this format.
    pub fn decode(bytes: &[u8]) -> Option<Descriptor> {
        let [FORMAT, kind, body @ ..] = bytes else { return None };
        Some(match DescriptorKind::from_code(u64::from(*kind))? {
            DescriptorKind::Database => Descriptor::Database(Arc::new(Record::read(body)?)),
            DescriptorKind::Schema => Descriptor::Schema(Arc::new(Record::read(body)?)),
            DescriptorKind::Relation => Descriptor::Relation(Arc::new(Record::read(body)?)),
            DescriptorKind::Role => Descriptor::Role(Arc::new(Record::read(body)?)),
            DescriptorKind::Comment => Descriptor::Comment(Arc::new(Record::read(body)?)),
            DescriptorKind::Extension => Descriptor::Extension(Arc::new(Record::read(body)?)),
        })
    }
}

record!(DatabaseDescriptor { 1 oid, 2 name, 3 owner });
record!(SchemaDescriptor { 1 oid, 2 database, 3 name, 4 owner });
record!(RoleDescriptor {
    1 oid, 2 name, 3 superuser, 4 inherit, 5 create_role, 6 create_db, 7 login, 8 replication, 9 bypass_rls,
    10 connection_limit, 11 password, 12 valid_until, 13 member_of, 14 settings,
});
record!(Membership { 1 role, 2 admin, 3 grantor });
record!(CommentDescriptor { 1 object, 2 texts });
record!(ExtensionDescriptor { 1 oid, 2 database, 3 name, 4 schema, 5 version });
record!(TableDescriptor {
    1 oid, 2 database, 3 schema, 4 name, 5 owner, 6 kind, 7 columns, 8 next_column, 9 indexes, 10 next_index,
    11 checks, 12 foreign_keys, 13 referenced_by, 14 options,
});
record!(SequenceDescriptor {
    1 storage, 2 ty, 3 start, 4 increment, 5 min, 6 max, 7 cache, 8 cycle, 9 owned_by,
});
record!(Dependency { 1 object, 2 column });
record!(ColumnDescriptor {
    1 id, 2 attnum, 3 name, 4 ty, 5 not_null, 6 default, 7 default_uses, 8 generated, 9 missing, 10 identity,
    11 hidden, 12 dropped,
});
record!(IndexDescriptor {
    1 id, 2 oid, 3 name, 4 unique, 5 primary, 6 columns, 7 include, 8 constraint, 9 state,
});
record!(IndexColumn { 1 column, 2 descending, 3 nulls_first });
record!(CheckDescriptor { 1 oid, 2 name, 3 condition, 4 columns, 5 validated });
record!(ForeignKeyDescriptor {
    1 oid, 2 name, 3 columns, 4 target, 5 target_columns, 6 on_delete, 7 on_update, 8 match_full, 9 deferrable,
    10 initially_deferred, 11 validated,
});
codes!(Identity { 1 Always, 2 ByDefault });
codes!(IndexState { 1 WriteOnly, 2 Public });
codes!(ReferentialAction { 1 NoAction, 2 Restrict, 3 Cascade, 4 SetNull, 5 SetDefault });

impl Value for RelationKind {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            RelationKind::Table { storage } => {
                out.push(1);
                storage.encode(out);
            }
            RelationKind::View { definition, depends_on } => {
                out.push(2);
                (definition.clone(), depends_on.clone()).encode(out);
            }
            RelationKind::Sequence(sequence) => {
                out.push(3);
                sequence.encode(out);
            }
            RelationKind::Virtual => unreachable!("virtual relations are not stored"),
        }
    }

    fn decode(bytes: &[u8]) -> Option<RelationKind> {
        let (kind, body) = bytes.split_first()?;
        Some(match kind {
            1 => RelationKind::Table { storage: Value::decode(body)? },
            2 => {
                let (definition, depends_on) = Value::decode(body)?;
                RelationKind::View { definition, depends_on }
            }
            3 => RelationKind::Sequence(Value::decode(body)?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use expr::SqlType;
    use keyspace::{IndexId, TableId};
    use proptest::prelude::*;

    use super::*;

    fn name() -> impl Strategy<Value = String> {
        "[a-z\"é ]{0,12}"
    }

    fn oid() -> impl Strategy<Value = Oid> {
        any::<u32>().prop_map(Oid)
    }

    fn column() -> impl Strategy<Value = ColumnDescriptor> {
        let identity = prop_oneof![Just(None), Just(Some(Identity::Always)), Just(Some(Identity::ByDefault))];
        let texts = (prop::option::of(name()), prop::option::of(name()), prop::option::of(name()));
        let flags = any::<[bool; 3]>();
        (
            any::<u32>(),
            any::<i16>(),
            name(),
            oid(),
            any::<i32>(),
            texts,
            prop::collection::vec(oid(), 0..3),
            identity,
            flags,
        )
            .prop_map(
                |(id, attnum, name, oid, typmod, (default, generated, missing), default_uses, identity, flags)| {
                    ColumnDescriptor {
                        id: ColumnId(id),
                        attnum,
                        name,
                        ty: SqlType { oid, typmod },
                        not_null: flags[0],
                        default,
                        default_uses,
                        generated,
                        missing,
                        identity,
                        hidden: flags[1],
                        dropped: flags[2],
                    }
                },
            )
    }

    fn index() -> impl Strategy<Value = IndexDescriptor> {
        let key = (any::<u32>(), any::<bool>(), any::<bool>()).prop_map(|(column, descending, nulls_first)| {
            IndexColumn { column: ColumnId(column), descending, nulls_first }
        });
        let state = prop_oneof![Just(IndexState::WriteOnly), Just(IndexState::Public)];
        let include = prop::collection::vec(any::<u32>().prop_map(ColumnId), 0..3);
        (
            any::<u64>(),
            oid(),
            name(),
            any::<[bool; 2]>(),
            prop::collection::vec(key, 0..4),
            include,
            prop::option::of(oid()),
            state,
        )
            .prop_map(|(id, oid, name, flags, columns, include, constraint, state)| IndexDescriptor {
                id: IndexId(id),
                oid,
                name,
                unique: flags[0],
                primary: flags[1],
                columns,
                include,
                constraint,
                state,
            })
    }

    fn kind() -> impl Strategy<Value = RelationKind> {
        let dependency = (oid(), prop::option::of(any::<u32>().prop_map(ColumnId)))
            .prop_map(|(object, column)| Dependency { object, column });
        let sequence = (any::<u64>(), any::<[i64; 5]>(), any::<bool>(), prop::option::of((oid(), any::<u32>())))
            .prop_map(|(storage, [start, increment, min, max, cache], cycle, owner)| {
                RelationKind::Sequence(SequenceDescriptor {
                    storage: TableId(storage),
                    ty: SqlType::INT8,
                    start,
                    increment,
                    min,
                    max,
                    cache,
                    cycle,
                    owned_by: owner.map(|(oid, column)| (oid, ColumnId(column))),
                })
            });
        prop_oneof![
            any::<u64>().prop_map(|storage| RelationKind::Table { storage: TableId(storage) }),
            (name(), prop::collection::vec(dependency, 0..3))
                .prop_map(|(definition, depends_on)| RelationKind::View { definition, depends_on }),
            sequence,
        ]
    }

    fn foreign_key() -> impl Strategy<Value = ForeignKeyDescriptor> {
        let action = prop::sample::select(vec![
            ReferentialAction::NoAction,
            ReferentialAction::Restrict,
            ReferentialAction::Cascade,
            ReferentialAction::SetNull,
            ReferentialAction::SetDefault,
        ]);
        let columns = prop::collection::vec(any::<u32>().prop_map(ColumnId), 1..3);
        (oid(), name(), columns.clone(), oid(), columns, action.clone(), action, any::<[bool; 4]>()).prop_map(
            |(oid, name, columns, target, target_columns, on_delete, on_update, flags)| ForeignKeyDescriptor {
                oid,
                name,
                columns,
                target,
                target_columns,
                on_delete,
                on_update,
                match_full: flags[0],
                deferrable: flags[1],
                initially_deferred: flags[2],
                validated: flags[3],
            },
        )
    }

    fn table() -> impl Strategy<Value = TableDescriptor> {
        let check = (oid(), name(), name(), any::<bool>()).prop_map(|(oid, name, condition, validated)| {
            CheckDescriptor { oid, name, condition, columns: vec![ColumnId(1)], validated }
        });
        (
            (oid(), oid(), oid(), name(), oid(), kind()),
            prop::collection::vec(column(), 0..5),
            prop::collection::vec(index(), 0..3),
            prop::collection::vec(check, 0..3),
            prop::collection::vec(foreign_key(), 0..3),
            prop::collection::vec(oid(), 0..3),
            prop::collection::vec((name(), name()), 0..3),
        )
            .prop_map(
                |(
                    (oid, database, schema, name, owner, kind),
                    columns,
                    indexes,
                    checks,
                    foreign_keys,
                    referenced_by,
                    options,
                )| {
                    TableDescriptor {
                        oid,
                        database,
                        schema,
                        name,
                        owner,
                        kind,
                        next_column: ColumnId(columns.len() as u32 + 1),
                        columns,
                        next_index: IndexId(indexes.len() as u64 + 1),
                        indexes,
                        checks,
                        foreign_keys,
                        referenced_by,
                        options,
                    }
                },
            )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn tables_round_trip(table in table()) {
            let descriptor = Descriptor::Relation(Arc::new(table));
            prop_assert_eq!(Descriptor::decode(&descriptor.encode()), Some(descriptor));
        }

        #[test]
        fn a_cut_record_is_refused_or_shorter_never_a_panic(table in table(), cut in 0.0..1.0) {
            let bytes = Descriptor::Relation(Arc::new(table)).encode();
            let _read_or_refused = Descriptor::decode(&bytes[..(bytes.len() as f64 * cut) as usize]);
        }

        #[test]
        fn garbage_is_refused_without_a_panic(mut bytes: Vec<u8>, kind in 1_u8..7) {
            bytes.splice(0..0, [FORMAT, kind]);
            let _read_or_refused = Descriptor::decode(&bytes);
        }
    }

    #[test]
    fn a_field_of_a_later_version_is_skipped() {
        let schema = SchemaDescriptor { oid: Oid(2200), database: Oid(5), name: "public".into(), owner: Oid(10) };
        let mut bytes = Descriptor::Schema(Arc::new(schema.clone())).encode();
        bytes.extend_from_slice(&[1, 99, 1, 2, 7, 7]); // tag 99, two bytes
        assert_eq!(Descriptor::decode(&bytes), Some(Descriptor::Schema(Arc::new(schema))));
    }

    #[test]
    fn another_format_and_a_missing_field_are_refused() {
        let mut bytes =
            Descriptor::Database(Arc::new(DatabaseDescriptor { oid: Oid(5), name: "db".into(), owner: Oid(10) }))
                .encode();
        assert_eq!(Descriptor::decode(&bytes[..2]), None, "no name, no oid");
        bytes[0] = FORMAT + 1;
        assert_eq!(Descriptor::decode(&bytes), None);
    }
}
