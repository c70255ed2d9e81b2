//! The first rows of a new cluster: the role `root`, the databases `cairn` and `postgres`, each with a schema `public`.

use std::sync::Arc;

use expr::Oid;
use keyspace::catalog_version_key;
use txn::{IdKind, Transaction, TxnClient, TxnError, TxnOptions, TxnResult, Visible};

use super::rows::{NameClass, descriptor_key, name_key, name_value};
use super::*;

/// Databases that exist from the start, with PostgreSQL's own number where it has one.
const DATABASES: [(&str, Option<Oid>); 2] = [("cairn", None), ("postgres", Some(Oid(5)))];
/// The schema `public` of the first database has PostgreSQL's number.
const PUBLIC: Oid = Oid(2200);
/// Times that a node tries while others write the same rows.
const TRIES_MAX: u32 = 10;

/// Writes the first rows unless they are there. Every node may call it, at once and again.
pub async fn bootstrap(client: &TxnClient) -> TxnResult<()> {
    let mut tries = 0;
    loop {
        match try_bootstrap(client).await {
            Err(TxnError::Serialization { .. } | TxnError::KeyExists { .. } | TxnError::StatementRestart { .. })
                if tries < TRIES_MAX =>
            {
                tries += 1;
            }
            result => return result,
        }
    }
}

async fn try_bootstrap(client: &TxnClient) -> TxnResult<()> {
    let options = TxnOptions::default();
    let txn = client.begin(options).await?;
    let first = name_key(NameClass::Database, Oid(0), DATABASES[0].0);
    let there = txn.get_many(&[first], None, Visible::EarlierStatements, false).await?;
    if there.iter().any(Option::is_some) {
        txn.rollback().await;
        return Ok(());
    }
    let count = (DATABASES.len() * 2) as u32;
    let next = client.oracle().allocate_ids(IdKind::Oid, count).await?;
    for descriptor in first_descriptors(next) {
        write(&txn, &descriptor)?;
    }
    txn.mark_catalog_change(catalog_version_key());
    txn.commit().await?;
    Ok(())
}

fn write(txn: &Transaction, descriptor: &Descriptor) -> TxnResult<()> {
    let (class, parent, name) = match descriptor {
        Descriptor::Role(role) => (NameClass::Role, Oid(0), &role.name),
        Descriptor::Database(database) => (NameClass::Database, Oid(0), &database.name),
        Descriptor::Schema(schema) => (NameClass::Schema, schema.database, &schema.name),
        other => unreachable!("no first row: {other:?}"),
    };
    txn.put_new(name_key(class, parent, name), name_value(descriptor.oid()))?;
    txn.put_new(descriptor_key(descriptor.kind(), descriptor.oid()), descriptor.encode().into())
}

/// `next` and the numbers after it are free OIDs.
fn first_descriptors(next: u64) -> Vec<Descriptor> {
    let mut free = (next..).map(|oid| Oid(oid as u32));
    let mut fresh = || free.next().expect("the sequence does not end");
    let owner = builtin::ROOT;
    let mut out = vec![Descriptor::Role(Arc::new(superuser(owner, "root")))];
    for (place, (name, known)) in DATABASES.iter().enumerate() {
        let oid = known.unwrap_or_else(&mut fresh);
        out.push(Descriptor::Database(Arc::new(DatabaseDescriptor { oid, name: (*name).to_owned(), owner })));
        let schema = if place == 0 { PUBLIC } else { fresh() };
        let name = "public".to_owned();
        out.push(Descriptor::Schema(Arc::new(SchemaDescriptor { oid: schema, database: oid, name, owner })));
    }
    out
}

/// A role that may do everything.
pub(crate) fn superuser(oid: Oid, name: &str) -> RoleDescriptor {
    RoleDescriptor {
        oid,
        name: name.to_owned(),
        superuser: true,
        inherit: true,
        create_role: true,
        create_db: true,
        login: true,
        replication: true,
        bypass_rls: true,
        connection_limit: -1,
        password: None,
        valid_until: None,
        member_of: Vec::new(),
        settings: Vec::new(),
    }
}
