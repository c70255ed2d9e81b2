//! Rows of the virtual relations, out of a catalog made by hand.

use expr::{Datum, EvalContext, SqlType};

use super::*;
use crate::catalog::testing;
use crate::catalog::{CheckDescriptor, Identity, ReferentialAction, RelationKind, SequenceDescriptor, TableDescriptor};

const DB: Oid = Oid(16_384);
const PUBLIC: Oid = Oid(2200);

/// `item` with all kinds of columns, and `part` that refers to it.
fn catalog() -> Catalog {
    let columns = [
        ("id", SqlType::INT4),
        ("name", SqlType::VARCHAR.with_typmod(14)),
        ("price", SqlType::NUMERIC.with_typmod(655_366)),
        ("n", SqlType::INT4),
    ];
    let mut item = testing::table(Oid(16_400), PUBLIC, "item", &columns);
    item = testing::with_primary_key(item, Oid(16_410), &["id"]);
    item.columns[0].default = Some("nextval('16420'::regclass)".into());
    item.columns[0].default_uses = vec![Oid(16_420)];
    item.columns[1].default = Some("'x'".into());
    item.columns[3].identity = Some(Identity::Always);
    let check = |oid, name: &str, condition: &str, columns: &[u32]| CheckDescriptor {
        oid: Oid(oid),
        name: name.into(),
        condition: condition.into(),
        columns: columns.iter().map(|id| ColumnId(*id)).collect(),
        validated: true,
    };
    item.checks = vec![
        check(16_430, "item_price_check", "price > 0", &[3]),
        check(16_431, "item_check", "name IN ('a', 'b') OR n BETWEEN 1 AND 2", &[2, 4]),
        check(16_432, "item_check1", "length(name) > 1 AND NOT n IS NULL", &[2, 4]),
    ];
    item.referenced_by = vec![Oid(16_440)];
    let sequence = SequenceDescriptor {
        storage: keyspace::TableId(1),
        ty: SqlType::INT4,
        start: 1,
        increment: 1,
        min: 1,
        max: i64::from(i32::MAX),
        cache: 1,
        cycle: false,
        owned_by: Some((Oid(16_400), ColumnId(1))),
    };
    let sequence = TableDescriptor::empty(Oid(16_420), DB, PUBLIC, "item_id_seq", RelationKind::Sequence(sequence));
    let mut part = testing::table(Oid(16_440), PUBLIC, "part", &[("item", SqlType::INT4), ("Tag", SqlType::TEXT)]);
    part.foreign_keys.push(crate::catalog::ForeignKeyDescriptor {
        oid: Oid(16_441),
        name: "part_item_fkey".into(),
        columns: vec![ColumnId(1)],
        target: Oid(16_400),
        target_columns: vec![ColumnId(1)],
        on_delete: ReferentialAction::Cascade,
        on_update: ReferentialAction::NoAction,
        match_full: false,
        deferrable: true,
        initially_deferred: false,
        validated: true,
    });
    testing::catalog(DB, &[(PUBLIC, "public")], vec![item, sequence, part])
}

/// The rows of a relation as lines, some of their columns.
fn ask(relation: &str, columns: &[&str], equal: &[(&str, Datum)]) -> Vec<String> {
    let catalog = catalog();
    let path = catalog.search_path(DB, "root", &["public"]);
    let views = Views::default();
    let cx = VirtualContext { catalog: &catalog, path: &path, user: Oid(10), views: &views, session: 1 };
    let (schema, name) = relation.split_once('.').unwrap_or(("pg_catalog", relation));
    let table = catalog.resolve_relation(&path, Some(schema), name).unwrap().clone();
    let equal: Vec<_> = equal.iter().map(|(c, value)| (table.column_named(c).unwrap().id, value.clone())).collect();
    let rows = futures::executor::block_on(rows(&cx, table.oid, &equal)).unwrap();
    let show = |row: &Row| {
        let cell = |name: &&str| {
            let place = table.columns.iter().position(|column| column.name == *name).unwrap();
            match &row[place] {
                Datum::Null => "NULL".to_owned(),
                value => value.text_form(table.columns[place].ty, &EvalContext::detached()),
            }
        };
        columns.iter().map(cell).collect::<Vec<_>>().join("|")
    };
    rows.iter().map(show).collect()
}

/// Every relation can be asked, and each of its values has a text form of its column's type.
#[test]
fn every_relation_answers_or_says_that_it_cannot() {
    let catalog = catalog();
    let path = catalog.search_path(DB, "root", &["public"]);
    let views = Views::default();
    let cx = VirtualContext { catalog: &catalog, path: &path, user: Oid(10), views: &views, session: 1 };
    let mut refused = Vec::new();
    for relation in relations::all() {
        match futures::executor::block_on(rows(&cx, relation.table.oid, &[])) {
            Ok(rows) => {
                for row in rows {
                    assert_eq!(row.len(), relation.table.columns.len(), "{}", relation.table.name);
                    for (value, column) in row.iter().zip(&relation.table.columns) {
                        let fits =
                            value.is_null() || !value.text_form(column.ty, &EvalContext::detached()).contains('\0');
                        assert!(fits, "{}.{}", relation.table.name, column.name);
                        let is_null = value.is_null() && column.not_null;
                        assert!(!is_null, "{}.{} is NULL", relation.table.name, column.name);
                    }
                }
            }
            Err(error) => {
                assert_eq!(error.state(), "0A000", "{error}");
                refused.push(relation.table.name.as_str());
            }
        }
    }
    assert!(refused.len() < 70, "{refused:?}");
    for needed in ["pg_class", "pg_attribute", "pg_type", "pg_trigger", "columns", "key_column_usage"] {
        assert!(!refused.contains(&needed), "{needed}");
    }
}

#[test]
fn relations_are_found_by_oid_and_by_name() {
    let class = ["oid", "relname", "relkind", "relam", "relnatts"];
    let item = "16400|item|r|2|4";
    assert_eq!(ask("pg_class", &class, &[("oid", Datum::Oid(16_400))]), [item]);
    assert_eq!(ask("pg_class", &class, &[("relname", Datum::text("item"))]), [item]);
    assert_eq!(ask("pg_class", &class, &[("relname", Datum::text("item_pkey"))]), ["16410|item_pkey|i|403|1"]);
    let both = [("relname", Datum::text("item")), ("relkind", Datum::text("v"))];
    assert!(ask("pg_class", &class, &both).is_empty(), "all conditions hold");
    assert!(ask("pg_class", &class, &[("relname", Datum::Null)]).is_empty(), "nothing equals NULL");
    let names = ask("pg_class", &["relname"], &[("relnamespace", Datum::Oid(2200))]);
    assert_eq!(names, ["item", "item_pkey", "item_id_seq", "part"]);
    assert_eq!(ask("pg_class", &["relname"], &[("oid", Datum::Oid(1259))]), ["pg_class"]);
}

#[test]
fn columns_and_their_defaults() {
    let attribute = ["attnum", "attname", "atttypid", "atttypmod", "attnotnull", "atthasdef", "attidentity"];
    let of_item = ask("pg_attribute", &attribute, &[("attrelid", Datum::Oid(16_400))]);
    assert_eq!(of_item, ["1|id|23|-1|t|t|", "2|name|1043|14|f|t|", "3|price|1700|655366|f|f|", "4|n|23|-1|f|f|a"]);
    let of_index = ask("pg_attribute", &attribute, &[("attrelid", Datum::Oid(16_410))]);
    assert_eq!(of_index, ["1|id|23|-1|f|f|"]);
    let index = ["indexrelid", "indisprimary", "indkey", "indclass", "indoption"];
    assert_eq!(ask("pg_index", &index, &[("indrelid", Datum::Oid(16_400))]), ["16410|t|1|1978|0"]);
    let columns = ["column_name", "column_default", "data_type", "character_maximum_length", "numeric_scale"];
    let shown = ask("information_schema.columns", &columns, &[("table_name", Datum::text("item"))]);
    assert_eq!(
        shown,
        [
            "id|nextval('item_id_seq'::regclass)|integer|NULL|0",
            "name|'x'::character varying|character varying|10|NULL",
            "price|NULL|numeric|NULL|2",
            "n|NULL|integer|NULL|0",
        ]
    );
}

#[test]
fn definitions_are_written_as_postgresql_writes_them() {
    let catalog = catalog();
    let path = catalog.search_path(DB, "root", &["public"]);
    let item = catalog.table(Oid(16_400)).unwrap();
    let of = |oid, pretty| constraint_definition(&catalog, &path, item, Oid(oid), pretty).unwrap();
    assert_eq!(of(16_430, false), "CHECK ((price > (0)::numeric))");
    assert_eq!(of(16_430, true), "CHECK (price > 0::numeric)");
    let list = "((name)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))";
    assert_eq!(of(16_431, false), format!("CHECK (({list} OR ((n >= 1) AND (n <= 2))))"));
    let pretty = "CHECK ((name::text = ANY (ARRAY['a'::character varying, 'b'::character varying]::text[])) OR n >= 1 AND n <= 2)";
    assert_eq!(of(16_431, true), pretty);
    assert_eq!(of(16_432, false), "CHECK (((length((name)::text) > 1) AND (NOT (n IS NULL))))");
    assert_eq!(of(16_432, true), "CHECK (length(name::text) > 1 AND NOT n IS NULL)");
    assert_eq!(of(16_411, true), "PRIMARY KEY (id)");
    let part = catalog.table(Oid(16_440)).unwrap();
    let reference = constraint_definition(&catalog, &path, part, Oid(16_441), true).unwrap();
    assert_eq!(reference, "FOREIGN KEY (item) REFERENCES item(id) ON DELETE CASCADE DEFERRABLE");
    let index = &item.indexes[0];
    let whole = |pretty| index_definition(&catalog, &path, item, index, None, pretty);
    assert_eq!(whole(false), "CREATE UNIQUE INDEX item_pkey ON public.item USING btree (id)");
    assert_eq!(whole(true), "CREATE UNIQUE INDEX item_pkey ON item USING btree (id)");
}

#[test]
fn references_in_both_catalogs() {
    let constraint = ["conname", "contype", "conkey", "confrelid", "confkey", "conindid", "confdeltype"];
    let key = "part_item_fkey|f|{1}|16400|{1}|16410|c";
    assert_eq!(ask("pg_constraint", &constraint, &[("conrelid", Datum::Oid(16_440))]), [key]);
    assert_eq!(ask("pg_constraint", &constraint, &[("confrelid", Datum::Oid(16_400))]), [key]);
    let usage = ["constraint_name", "column_name", "ordinal_position", "position_in_unique_constraint"];
    let all = ask("information_schema.key_column_usage", &usage, &[("table_name", Datum::text("part"))]);
    assert_eq!(all, ["part_item_fkey|item|1|1"]);
    let depend = ask("pg_depend", &["refobjid", "refobjsubid", "deptype"], &[("objid", Datum::Oid(16_420))]);
    assert_eq!(depend, ["2200|0|n", "16400|1|a"]);
}

#[test]
fn types_are_all_there() {
    let int4 = ask("pg_type", &["typname", "typarray", "typinput", "typcategory"], &[("oid", Datum::Oid(23))]);
    assert_eq!(int4, ["int4|1007|int4in|N"]);
    assert_eq!(ask("pg_type", &["oid"], &[("typname", Datum::text("_text"))]), ["1009"]);
    assert!(ask("pg_proc", &["oid"], &[("proname", Datum::text("lower"))]).len() >= 2);
}
