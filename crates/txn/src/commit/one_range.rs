//! All keys in one range: one request, one round of consensus, final versions.

use keyspace::{Key, Timestamp};
use rpc::KvError;
use rpc::range::{CheckKeysReply, CheckKeysRequest, CommitRequest, Mutation, RangeBody, RangeReply};

use super::Commit;
use crate::read::unexpected;
use crate::route::{Patience, Sent};
use crate::{TxnError, TxnResult};

impl Commit<'_> {
    /// `None`: the keys lie in several ranges, and nothing of this has happened or will.
    pub(super) async fn in_one_range(&mut self, mut mutations: Vec<Mutation>) -> TxnResult<Option<Timestamp>> {
        let router = &self.core.client.router;
        let mut patience = Patience::new();
        loop {
            let (first, last) = (mutations[0].key.clone(), &mutations[mutations.len() - 1].key);
            let route = router.route(&first, &mut patience).await?;
            let locked = self.locked()?;
            if !route.contains(last) || !locked.iter().all(|locked| route.contains(&locked.key)) {
                return Ok(None);
            }
            self.attempt += 1;
            self.core.client.metrics.commit_rounds.inc();
            let request = || {
                let writes = self.writes(mutations.clone(), locked.clone());
                RangeBody::CommitOneRange(CommitRequest { writes })
            };
            match router.send(&route, &mut patience, request).await {
                Ok(Sent::Answer(RangeReply::Committed { at })) => {
                    self.applied_in = Some(route);
                    return Ok(Some(at));
                }
                Err(KvError::TxnCommitted { at }) => return Ok(Some(at)),
                Ok(Sent::Answer(other)) => return Err(unexpected(&other)),
                // Should an earlier copy of the request have committed under the old descriptor, every key has a version
                // of this transaction, and whatever is sent next finds it (rule 7).
                Ok(Sent::Rerouted) => {}
                Err(refused @ (KvError::Pushed { .. } | KvError::WriteTooOld { .. })) => {
                    self.move_on(Some(refused)).await?;
                    mutations = self.batch(&Key::MIN)?.0;
                }
                // An earlier copy of the request may have committed before the floor passed it (rule 7).
                Err(error @ KvError::BelowGarbageFloor { .. }) if !patience.is_fresh() => {
                    env::probe!("an_outcome_below_the_garbage_floor");
                    return Err(TxnError::OutcomeUnknown { why: error.to_string() });
                }
                Err(error) => return self.after_failure(&first, error).await.map(Some),
            }
        }
    }

    /// The number may still live: it is killed before anybody is told (rule 3).
    async fn after_failure(&self, key: &Key, error: KvError) -> TxnResult<Timestamp> {
        match error {
            KvError::BelowGarbageFloor { .. } | KvError::TooLarge { .. } | KvError::NotSupported { .. } => {
                return Err(error.into());
            }
            // It has been asked for as long as anybody is asked.
            KvError::Unavailable { .. } => return Err(TxnError::OutcomeUnknown { why: error.to_string() }),
            _ => {}
        }
        if env::sabotage("tell_failure_at_once") {
            return Err(error.into());
        }
        let request = |keys: &[Key]| {
            RangeBody::CheckKeys(CheckKeysRequest { txn: self.core.id, at: self.stamp.at, keys: keys.to_vec() })
        };
        let mut answers = self.core.client.router.scatter(vec![key.clone()], request).await;
        match answers.pop() {
            Some((_, Ok(RangeReply::Checked(CheckKeysReply::Absent { .. })))) => {
                env::probe!("one_range_commit_was_fenced");
                Err(error.into())
            }
            Some((_, Ok(RangeReply::Checked(CheckKeysReply::Committed { at })))) => Ok(at),
            Some((_, Ok(other))) => Err(unexpected(&other)),
            Some((_, Err(unknown))) => Err(TxnError::OutcomeUnknown { why: unknown.to_string() }),
            None => Err(TxnError::OutcomeUnknown { why: error.to_string() }),
        }
    }
}
