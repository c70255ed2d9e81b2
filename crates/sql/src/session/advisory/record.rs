//! Who holds an advisory lock, on disk.
//!
//! A row of the system range for each lock that is held: format version, then node, start of the owner and mode of each
//! holder. It is changed in small transactions of its own. Holders whose node is dead, or lives another life, are left out
//! whenever somebody looks.

use std::sync::Arc;

use bytes::Bytes;
use expr::Oid;
use keyspace::encoding::{put_uint, take_uint};
use keyspace::{IndexId, Key, NodeId, TableId, Timestamp};
use txn::{Isolation, LockMode, LockSpec, LockWait, TxnOptions, Visible};

use crate::session::Server;
use crate::{Retry, SqlError, SqlResult};

/// See the list in `catalog/rows.rs`.
const ADVISORY: TableId = TableId(6);
const FORMAT: u8 = 1;

/// Times to try while others change the same record.
const TRIES_MAX: u32 = 100;

/// One number of 64 bits, or two of 32: two spaces that do not meet, in each database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LockName {
    pub database: Oid,
    pub is_pair: bool,
    pub number: u64,
}

impl LockName {
    /// What is locked in memory.
    pub fn queue_key(self) -> Key {
        self.key(0)
    }

    /// What [`LockName::queue_key`] put in.
    pub fn of_queue_key(key: &[u8]) -> Option<LockName> {
        let mut rest = key;
        let mut next = || take_uint(&mut rest);
        if next()? != ADVISORY.0 || next()? != IndexId::PRIMARY.0 {
            return None;
        }
        let (database, is_pair, number) = (Oid(next()?.try_into().ok()?), next()? == 1, next()?);
        (next()? == 0).then_some(LockName { database, is_pair, number })
    }

    fn record_key(self) -> Key {
        self.key(1)
    }

    fn key(self, what: u64) -> Key {
        let mut key = Vec::with_capacity(32);
        put_uint(&mut key, ADVISORY.0);
        put_uint(&mut key, IndexId::PRIMARY.0);
        put_uint(&mut key, u64::from(self.database.0));
        put_uint(&mut key, u64::from(self.is_pair));
        put_uint(&mut key, self.number);
        put_uint(&mut key, what);
        key.into()
    }
}

/// As its functions take it.
impl std::fmt::Display for LockName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.is_pair {
            true => write!(f, "({}, {})", (self.number >> 32) as i32, self.number as i32),
            false => write!(f, "({})", self.number as i64),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub node: NodeId,
    /// The start number of the transaction that owns the session's locks.
    pub began: Timestamp,
    pub is_shared: bool,
}

/// Puts `me` among the holders, or makes it stronger; `false` if somebody else is in the way.
pub(super) async fn join(server: &Arc<Server>, name: LockName, me: Holder) -> SqlResult<bool> {
    change(server, name, |holders| {
        let others = holders.iter().filter(|holder| holder.began != me.began);
        let mut in_the_way = others.filter(|holder| !(holder.is_shared && me.is_shared));
        if in_the_way.next().is_some() {
            return false;
        }
        holders.retain(|holder| holder.began != me.began);
        holders.push(me);
        true
    })
    .await
}

pub(super) async fn leave(server: &Arc<Server>, name: LockName, began: Timestamp) -> SqlResult<()> {
    change(server, name, |holders| holders.retain(|holder| holder.began != began)).await
}

async fn change<T>(server: &Arc<Server>, name: LockName, change: impl Fn(&mut Vec<Holder>) -> T) -> SqlResult<T> {
    let mut tries = 0;
    loop {
        match try_change(server, &name.record_key(), &change).await {
            Err(error) if error.0.retry != Retry::No && tries < TRIES_MAX => tries += 1,
            result => return result,
        }
    }
}

async fn try_change<T>(server: &Arc<Server>, key: &Key, change: impl Fn(&mut Vec<Holder>) -> T) -> SqlResult<T> {
    let txn =
        server.config.txn.begin(TxnOptions { isolation: Isolation::ReadCommitted, ..TxnOptions::default() }).await?;
    txn.begin_statement().await?;
    let wait = LockWait::Block { timeout: None };
    let lock = LockSpec { mode: LockMode::Update, wait, absent_too: true };
    let found = txn.get_many(std::slice::from_ref(key), Some(lock), Visible::Everything, true).await?;
    let before = match found.into_iter().next().flatten() {
        Some(value) => {
            decode(&value).ok_or_else(|| SqlError::new("XX001", "an advisory lock's record cannot be read"))?
        }
        None => Vec::new(),
    };
    let cluster = server.views().cluster.as_ref();
    let is_over = |holder: &Holder| cluster.is_some_and(|it| it.is_session_over(holder.node, holder.began));
    let mut after: Vec<Holder> = before.iter().filter(|holder| !is_over(holder)).copied().collect();
    let result = change(&mut after);
    if after != before {
        txn.put(key.clone(), (!after.is_empty()).then(|| encode(&after)), false)?;
    }
    txn.commit().await?;
    Ok(result)
}

fn encode(holders: &[Holder]) -> Bytes {
    let mut out = vec![FORMAT];
    for holder in holders {
        put_uint(&mut out, holder.node.0);
        put_uint(&mut out, holder.began.0);
        put_uint(&mut out, u64::from(holder.is_shared));
    }
    out.into()
}

/// `None`: malformed.
fn decode(bytes: &[u8]) -> Option<Vec<Holder>> {
    let [FORMAT, rest @ ..] = bytes else { return None };
    let mut rest = rest;
    let mut holders = Vec::new();
    while !rest.is_empty() {
        let (node, began) = (NodeId(take_uint(&mut rest)?), Timestamp(take_uint(&mut rest)?));
        let is_shared = match take_uint(&mut rest)? {
            0 => false,
            1 => true,
            _ => return None,
        };
        holders.push(Holder { node, began, is_shared });
    }
    Some(holders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_their_keys() {
        let name = LockName { database: Oid(5), is_pair: true, number: 7 << 32 | 9 };
        assert_eq!(LockName::of_queue_key(&name.queue_key()), Some(name));
        assert_eq!(LockName::of_queue_key(&name.record_key()), None);
        assert_eq!(name.to_string(), "(7, 9)");
        assert_eq!(LockName { is_pair: false, number: -1_i64 as u64, ..name }.to_string(), "(-1)");
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let holder = |node, began, is_shared| Holder { node: NodeId(node), began: Timestamp(began), is_shared };
        let holders = vec![holder(1, 1 << 60, false), holder(300, 7, true)];
        assert_eq!(decode(&encode(&holders)), Some(holders.clone()));
        let whole = encode(&holders);
        assert_eq!(decode(&whole[..whole.len() - 1]), None);
        assert_eq!(decode(b"\x02"), None, "of another version");
    }
}
