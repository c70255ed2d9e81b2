//! `pg_database`, `pg_extension`, `pg_available_extensions`.

use expr::{Oid, Row};

use super::VirtualContext;
use super::row::{Equal, row};
use crate::catalog::builtin::{PG_CATALOG, ROOT};
use crate::catalog::ddl::EXTENSIONS;
use crate::catalog::{DatabaseDescriptor, ExtensionDescriptor};

/// `UTF8`, the one encoding there is.
const UTF8: i32 = 6;
/// `pg_default`.
const TABLESPACE: Oid = Oid(1663);

pub(super) fn rows(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |database: &DatabaseDescriptor| {
        row! { equal.relation;
            oid: database.oid,
            datname: &database.name,
            datdba: database.owner,
            encoding: UTF8,
            datlocprovider: 'c',
            datistemplate: false,
            datallowconn: true,
            datconnlimit: -1,
            datfrozenxid: Oid(0),
            datminmxid: Oid(0),
            dattablespace: TABLESPACE,
            datcollate: "C.UTF-8",
            datctype: "C.UTF-8",
        }
    };
    match equal.text("datname") {
        Some(name) => cx.catalog.database(name).map(|database| make(database)).into_iter().collect(),
        None => cx.catalog.databases().into_iter().map(|database| make(database)).collect(),
    }
}

/// What is there without CREATE EXTENSION.
fn plpgsql(database: Oid) -> ExtensionDescriptor {
    ExtensionDescriptor {
        oid: Oid(13_500),
        database,
        name: "plpgsql".into(),
        schema: PG_CATALOG,
        version: "1.0".into(),
    }
}

pub(super) fn extensions(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let make = |extension: &ExtensionDescriptor| {
        row! { equal.relation;
            oid: extension.oid,
            extname: &extension.name,
            extowner: ROOT,
            extnamespace: extension.schema,
            extrelocatable: false,
            extversion: &extension.version,
        }
    };
    let own = cx.catalog.extensions(cx.database());
    std::iter::once(make(&plpgsql(cx.database()))).chain(own.into_iter().map(|extension| make(extension))).collect()
}

pub(super) fn available_extensions(cx: &VirtualContext<'_>, equal: &Equal<'_>) -> Vec<Row> {
    let installed =
        |name: &str| name == "plpgsql" || cx.catalog.extensions(cx.database()).iter().any(|e| e.name == name);
    let make = |(name, version): &(&str, &str)| {
        row! { equal.relation;
            name: *name,
            default_version: *version,
            installed_version: installed(name).then_some(*version),
            comment: "built in",
        }
    };
    EXTENSIONS.iter().map(make).collect()
}
