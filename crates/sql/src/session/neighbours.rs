//! What the sessions of one node ask those of another.
//!
//! The messages below carry questions and answers as bytes that only this file reads. Both begin with a version; a node that does
//! not know a question says so.

use std::sync::Arc;

use bytes::Bytes;
use expr::Oid;
use keyspace::encoding::{put_bytes, put_uint, take_bytes, take_uint};
use keyspace::{Key, NodeId, TxnId};
use txn::LockMode;

use super::Server;
use super::table_locks::Announcement;
use crate::catalog::providers::{OwnerRow, SessionView, TransactionRow, Views};
use crate::{SqlError, SqlResult};

const VERSION: u8 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Enter your transactions that use the table into the queue for its lock.
    Announce(Announcement),
    Withdraw {
        owner: TxnId,
        tables: Vec<Oid>,
    },
    /// What do your own sessions lock, or are about to?
    Announced,
    /// Which transactions are open?
    Transactions,
    /// Under which ids do sessions hold locks?
    Owners,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Failed,
    Announced(Vec<Announcement>),
    Transactions(Vec<TransactionRow>),
    Owners(Vec<OwnerRow>),
}

impl Server {
    /// Answers a node that asked with [`ClusterView::ask_sessions`](crate::catalog::providers::ClusterView::ask_sessions).
    pub async fn answer(self: &Arc<Self>, question: Bytes) -> Bytes {
        let answer = match Question::decode(&question) {
            None => Answer::Failed,
            Some(Question::Announce(announcement)) => match self.enter_users(announcement).await {
                Ok(()) => Answer::Done,
                Err(error) => {
                    tracing::info!(%error, "a table lock of another node cannot be prepared yet");
                    Answer::Failed
                }
            },
            Some(Question::Withdraw { owner, tables }) => {
                self.table_locks.withdraw(owner, &tables.into_iter().collect());
                Answer::Done
            }
            Some(Question::Announced) => Answer::Announced(self.table_locks.of_node(self.config.node)),
            Some(Question::Transactions) => Answer::Transactions(self.sessions.transactions()),
            Some(Question::Owners) => Answer::Owners(self.sessions.owners()),
        };
        answer.encode()
    }

    /// Asks the sessions of another node.
    pub(crate) async fn ask(&self, node: NodeId, question: &Question) -> SqlResult<Answer> {
        let Some(cluster) = self.views().cluster.clone() else {
            return Err(SqlError::new("XX000", "there is no other node"));
        };
        let answer = cluster.ask_sessions(node, question.encode()).await?;
        match Answer::decode(&answer) {
            None | Some(Answer::Failed) => Err(SqlError::new("57P03", format!("{node} has no answer"))),
            Some(answer) => Ok(answer),
        }
    }
}

impl Question {
    fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        match self {
            Question::Announce(announcement) => {
                out.push(1);
                put_announcement(&mut out, announcement);
            }
            Question::Withdraw { owner, tables } => {
                out.push(2);
                put_uint(&mut out, owner.0);
                put_uint(&mut out, tables.len() as u64);
                tables.iter().for_each(|table| put_uint(&mut out, u64::from(table.0)));
            }
            Question::Announced => out.push(3),
            Question::Transactions => out.push(4),
            Question::Owners => out.push(5),
        }
        out.into()
    }

    fn decode(bytes: &[u8]) -> Option<Question> {
        let [VERSION, kind, rest @ ..] = bytes else { return None };
        let mut rest = rest;
        Some(match kind {
            1 => Question::Announce(take_announcement(&mut rest)?),
            2 => {
                let owner = TxnId(take_uint(&mut rest)?);
                let count = take_uint(&mut rest)?;
                Question::Withdraw { owner, tables: (0..count).map(|_| take_oid(&mut rest)).collect::<Option<_>>()? }
            }
            3 => Question::Announced,
            4 => Question::Transactions,
            5 => Question::Owners,
            _ => return None,
        })
    }
}

impl Answer {
    fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        match self {
            Answer::Done => out.push(1),
            Answer::Failed => out.push(2),
            Answer::Announced(list) => {
                out.push(3);
                put_uint(&mut out, list.len() as u64);
                list.iter().for_each(|announcement| put_announcement(&mut out, announcement));
            }
            Answer::Transactions(list) => {
                out.push(4);
                put_uint(&mut out, list.len() as u64);
                list.iter().for_each(|transaction| put_transaction(&mut out, transaction));
            }
            Answer::Owners(list) => {
                out.push(5);
                put_uint(&mut out, list.len() as u64);
                for OwnerRow { session, txn, advisory } in list {
                    [u64::from(*session), txn.0, advisory.0].iter().for_each(|number| put_uint(&mut out, *number));
                }
            }
        }
        out.into()
    }

    fn decode(bytes: &[u8]) -> Option<Answer> {
        let [VERSION, kind, rest @ ..] = bytes else { return None };
        let mut rest = rest;
        Some(match kind {
            1 => Answer::Done,
            2 => Answer::Failed,
            3 => {
                let count = take_uint(&mut rest)?;
                Answer::Announced((0..count).map(|_| take_announcement(&mut rest)).collect::<Option<_>>()?)
            }
            4 => {
                let count = take_uint(&mut rest)?;
                Answer::Transactions((0..count).map(|_| take_transaction(&mut rest)).collect::<Option<_>>()?)
            }
            5 => {
                let count = take_uint(&mut rest)?;
                let mut owner = || {
                    let session = take_uint(&mut rest)?.try_into().ok()?;
                    let (txn, advisory) = (TxnId(take_uint(&mut rest)?), TxnId(take_uint(&mut rest)?));
                    Some(OwnerRow { session, txn, advisory })
                };
                Answer::Owners((0..count).map(|_| owner()).collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }
}

/// The open transactions of all nodes, as far as they answer.
pub(crate) async fn all_transactions(views: &Views) -> Vec<TransactionRow> {
    let own = views.sessions.iter().flat_map(|sessions| sessions.transactions());
    let mut all: Vec<_> = own.collect();
    for answer in ask_others(views, &Question::Transactions).await {
        if let Answer::Transactions(list) = answer {
            all.extend(list);
        }
    }
    all
}

/// The ids under which sessions of all nodes hold locks.
async fn all_owners(views: &Views) -> Vec<OwnerRow> {
    let mut all: Vec<_> = views.sessions.iter().flat_map(|sessions| sessions.owners()).collect();
    for answer in ask_others(views, &Question::Owners).await {
        if let Answer::Owners(list) = answer {
            all.extend(list);
        }
    }
    all
}

/// `pg_blocking_pids`: the sessions, on whichever node, whose transactions are in the way of that of `session`.
pub(crate) async fn blockers(views: &Views, session: u32) -> SqlResult<Vec<u32>> {
    let Some(cluster) = &views.cluster else { return Ok(Vec::new()) };
    let (waits, owners) = futures::join!(cluster.waits(), all_owners(views));
    let waits = waits?;
    let Some(waiter) = owners.iter().find(|owner| owner.session == session) else { return Ok(Vec::new()) };
    let holders: Vec<TxnId> = waits.iter().filter(|wait| waiter.owns(wait.waiter)).map(|wait| wait.holder).collect();
    let mut blockers: Vec<u32> = owners
        .iter()
        .filter(|owner| holders.iter().any(|holder| owner.owns(*holder)))
        .map(|owner| owner.session)
        .collect();
    blockers.sort_unstable();
    blockers.dedup();
    Ok(blockers)
}

async fn ask_others(views: &Views, question: &Question) -> Vec<Answer> {
    let Some(cluster) = &views.cluster else { return Vec::new() };
    let answers = cluster.ask_all_sessions(question.encode()).await;
    answers.iter().filter_map(|answer| Answer::decode(answer)).collect()
}

fn put_transaction(out: &mut Vec<u8>, transaction: &TransactionRow) {
    let TransactionRow { node, session, database, id, advisory, started, buffered_bytes, .. } = transaction;
    let numbers = [node.0, u64::from(*session), u64::from(database.0), id.0, advisory.0, *buffered_bytes];
    numbers.iter().for_each(|number| put_uint(out, *number));
    // Microseconds before 2000 are no start of a transaction.
    put_uint(out, started.map_or(0, |started| started as u64 + 1));
    for text in [&transaction.isolation, &transaction.state, &transaction.query] {
        put_bytes(out, text.as_bytes());
    }
    put_uint(out, transaction.locks.len() as u64);
    for (key, mode) in &transaction.locks {
        put_bytes(out, key);
        put_mode(out, *mode);
    }
    put_uint(out, transaction.uses.len() as u64);
    for (table, mode) in &transaction.uses {
        put_uint(out, u64::from(table.0));
        put_mode(out, *mode);
    }
}

fn take_transaction(rest: &mut &[u8]) -> Option<TransactionRow> {
    let node = NodeId(take_uint(rest)?);
    let session = take_uint(rest)?.try_into().ok()?;
    let database = take_oid(rest)?;
    let (id, advisory) = (TxnId(take_uint(rest)?), TxnId(take_uint(rest)?));
    let buffered_bytes = take_uint(rest)?;
    let started = take_uint(rest)?.checked_sub(1).map(|started| started as i64);
    let mut text = || String::from_utf8(take_bytes(rest)?).ok();
    let (isolation, state, query) = (text()?, text()?, text()?);
    let count = take_uint(rest)?;
    let mut lock = || Some((Key::from(take_bytes(rest)?), take_mode(rest)?));
    let locks = (0..count).map(|_| lock()).collect::<Option<_>>()?;
    let count = take_uint(rest)?;
    let mut used = || Some((take_oid(rest)?, take_mode(rest)?));
    let uses = (0..count).map(|_| used()).collect::<Option<_>>()?;
    Some(TransactionRow {
        node,
        session,
        database,
        id,
        advisory,
        isolation,
        state,
        started,
        query,
        buffered_bytes,
        locks,
        uses,
    })
}

fn put_mode(out: &mut Vec<u8>, mode: LockMode) {
    put_uint(out, LockMode::ALL.iter().position(|known| *known == mode).unwrap_or(0) as u64);
}

fn take_mode(rest: &mut &[u8]) -> Option<LockMode> {
    LockMode::ALL.get(usize::try_from(take_uint(rest)?).ok()?).copied()
}

fn put_announcement(out: &mut Vec<u8>, announcement: &Announcement) {
    let Announcement { table, owner, node, mode } = announcement;
    for number in [u64::from(table.0), owner.0, node.0] {
        put_uint(out, number);
    }
    put_mode(out, *mode);
}

fn take_announcement(rest: &mut &[u8]) -> Option<Announcement> {
    let (table, owner, node) = (take_oid(rest)?, TxnId(take_uint(rest)?), NodeId(take_uint(rest)?));
    Some(Announcement { table, owner, node, mode: take_mode(rest)? })
}

fn take_oid(rest: &mut &[u8]) -> Option<Oid> {
    take_uint(rest)?.try_into().ok().map(Oid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_arrive_as_they_were_sent() {
        let lock =
            Announcement { table: Oid(70_000), owner: TxnId(1 << 60), node: NodeId(3), mode: LockMode::Exclusive };
        let withdraw = Question::Withdraw { owner: TxnId(9), tables: vec![Oid(1), Oid(u32::MAX)] };
        let asking = [Question::Announced, Question::Transactions, Question::Owners];
        for question in [Question::Announce(lock), withdraw].into_iter().chain(asking) {
            let bytes = question.encode();
            assert_eq!(Question::decode(&bytes), Some(question));
            assert!((0..bytes.len()).all(|end| Question::decode(&bytes[..end]).is_none()), "cut short");
        }
        let transaction = TransactionRow {
            node: NodeId(2),
            session: 2 << 22 | 7,
            database: Oid(5),
            id: TxnId(1 << 60),
            advisory: TxnId(0),
            isolation: "serializable".into(),
            state: "idle in transaction".into(),
            started: Some(0),
            query: "select 'ü'".into(),
            buffered_bytes: 1 << 40,
            locks: vec![(Key::from("k\0"), LockMode::KeyShare), (Key::MIN, LockMode::AccessExclusive)],
            uses: vec![(Oid(16_384), LockMode::RowExclusive)],
        };
        let other = TransactionRow { started: None, locks: Vec::new(), uses: Vec::new(), ..transaction.clone() };
        let owner = OwnerRow { session: 9, txn: TxnId(1 << 60), advisory: TxnId(3) };
        let lists = [Answer::Transactions(vec![transaction, other]), Answer::Owners(vec![owner, owner])];
        for answer in [Answer::Done, Answer::Failed, Answer::Announced(vec![lock, lock])].into_iter().chain(lists) {
            assert_eq!(Answer::decode(&answer.encode()), Some(answer));
        }
        assert_eq!(Question::decode(&[VERSION, 200]), None);
    }
}
