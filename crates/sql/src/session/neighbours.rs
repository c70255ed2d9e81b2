//! What the sessions of one node ask those of another.
//!
//! The messages below carry questions and answers as bytes that only this file reads. Both begin with a version; a node that does
//! not know a question says so.

use std::sync::Arc;

use bytes::Bytes;
use expr::Oid;
use keyspace::encoding::{put_uint, take_uint};
use keyspace::{NodeId, TxnId};
use txn::LockMode;

use super::Server;
use super::table_locks::Announcement;
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
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Failed,
    Announced(Vec<Announcement>),
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
            _ => return None,
        })
    }
}

fn put_announcement(out: &mut Vec<u8>, announcement: &Announcement) {
    let Announcement { table, owner, node, mode } = announcement;
    let mode = LockMode::ALL.iter().position(|known| known == mode).unwrap_or(0);
    for number in [u64::from(table.0), owner.0, node.0, mode as u64] {
        put_uint(out, number);
    }
}

fn take_announcement(rest: &mut &[u8]) -> Option<Announcement> {
    let (table, owner, node) = (take_oid(rest)?, TxnId(take_uint(rest)?), NodeId(take_uint(rest)?));
    let mode = *LockMode::ALL.get(usize::try_from(take_uint(rest)?).ok()?)?;
    Some(Announcement { table, owner, node, mode })
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
        for question in [Question::Announce(lock), withdraw, Question::Announced] {
            let bytes = question.encode();
            assert_eq!(Question::decode(&bytes), Some(question));
            assert!((0..bytes.len()).all(|end| Question::decode(&bytes[..end]).is_none()), "cut short");
        }
        for answer in [Answer::Done, Answer::Failed, Answer::Announced(vec![lock, lock])] {
            assert_eq!(Answer::decode(&answer.encode()), Some(answer));
        }
        assert_eq!(Question::decode(&[VERSION, 200]), None);
    }
}
