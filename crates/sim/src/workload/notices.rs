//! Notes, and a board that says which is the newest. Both rows are written by one transaction that has read nothing, in two ranges,
//! and everybody looks at the board all the time: the number with which a writer began is mostly refused there, after the note's
//! range has accepted it. So there are many second attempts over intents and records of a first one, nothing but the order of
//! attempts keeps the two apart (rule 4), and late copies of the first come while the second is being decided.
//!
//! Whoever sees a note on the board finds it; what failed is never seen there; what was acknowledged is there at the end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use keyspace::{Key, TableId, encoding};
use parking_lot::Mutex;
use txn::{TxnError, TxnOptions, TxnResult, Visible};

use super::recorder::Recorded;
use super::rows::{check_failure, get, row_key, rows_span, scan};
use super::{RETRY, Shift};
use crate::gateway::{Gateway, Gateways, Outcome};
use crate::world::spawn;
use crate::{Random, World};

/// Below the board: the anchor of every transaction is its note.
const NOTES: TableId = TableId(1040);
const BOARD: TableId = TableId(1041);

const PLACES: i64 = 3;

/// Client and its running number.
type Note = (i64, i64);

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Notices {
    world: World,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    clients: i64,
    written: BTreeSet<Note>,
    failed: BTreeSet<Note>,
    looks: u64,
}

impl Notices {
    pub fn boxed(world: &World) -> Box<dyn Recorded> {
        Box::new(Notices { world: world.clone(), state: Arc::default() })
    }

    async fn write(&self, gateway: &Gateway, note: Note, place: i64, thinks: Duration) {
        let world = self.world.clone();
        let outcome = gateway.transact(TxnOptions::default(), move |txn| {
            let world = world.clone();
            async move {
                world.sleep(thinks).await;
                txn.put(row_key(NOTES, &[note.0, note.1]), Some(Bytes::from_static(b"note")), false)?;
                txn.put(row_key(BOARD, &[place]), Some(encode(note)), false)
            }
        });
        match outcome.await {
            Outcome::Committed(()) => {
                self.state.lock().written.insert(note);
            }
            Outcome::Failed(error) => {
                check_failure(&self.world, "notices_errors", &error);
                self.state.lock().failed.insert(note);
            }
            Outcome::Unknown => {}
        }
    }

    /// Now and then also whether what is on the board is there.
    async fn look(&self, gateway: &Gateway, finds: bool) {
        let options = TxnOptions { read_only: true, ..TxnOptions::default() };
        let outcome = gateway.transact(options, move |txn| async move {
            let places: Vec<Key> = (0..PLACES).map(|place| row_key(BOARD, &[place])).collect();
            let board = txn.get_many(&places, None, Visible::EarlierStatements, false).await?;
            let mut seen = Vec::new();
            for row in board.into_iter().flatten() {
                let note = decode(&row)?;
                let is_there = !finds || get(&txn, &row_key(NOTES, &[note.0, note.1]), None).await?.is_some();
                seen.push((note, is_there));
            }
            Ok(seen)
        });
        let Outcome::Committed(seen) = outcome.await else { return };
        let mut state = self.state.lock();
        state.looks += 1;
        for (note, is_there) in seen {
            if !is_there {
                self.world.violation("notices", format!("{note:?} is on the board and nowhere else"));
            }
            if state.failed.contains(&note) {
                self.world.violation("notices", format!("{note:?} failed, and is on the board"));
            }
        }
    }

    /// Everything, when all is over.
    async fn audit(&self, gateway: &Gateway) -> bool {
        let outcome =
            gateway.transact(TxnOptions::default(), |txn| async move { scan(&txn, rows_span(NOTES, &[])).await });
        let Outcome::Committed(rows) = outcome.await else { return false };
        let found: BTreeSet<Note> = rows.iter().filter_map(|row| note_of(&row.key)).collect();
        let state = self.state.lock();
        for lost in state.written.difference(&found) {
            self.world.violation("notices", format!("{lost:?} was acknowledged and is not there"));
        }
        for ghost in state.failed.intersection(&found) {
            self.world.violation("notices", format!("{ghost:?} failed and is there"));
        }
        true
    }

    async fn work(&self, client: i64, gateways: &Gateways, shift: &Shift, mut random: Random) {
        for sequence in 0.. {
            if shift.is_over() {
                return;
            }
            let Some(gateway) = gateways.get(random.below(gateways.len() as u64) as usize) else {
                self.world.sleep(RETRY).await;
                continue;
            };
            if client == 0 {
                self.look(&gateway, random.chance(0.2)).await;
            } else {
                let place = random.below(PLACES as u64) as i64;
                let thinks = Duration::from_millis(random.below(40));
                self.write(&gateway, (client, sequence), place, thinks).await;
            }
            shift.turn().await;
            // Whatever fails at once must not be tried for ever at one instant.
            self.world.sleep(Duration::from_millis(random.between(1, 20))).await;
        }
    }
}

fn encode((client, sequence): Note) -> Bytes {
    [client.to_be_bytes(), sequence.to_be_bytes()].concat().into()
}

fn decode(row: &Bytes) -> TxnResult<Note> {
    let (numbers, rest) = row.as_chunks();
    match (numbers, rest) {
        ([client, sequence], []) => Ok((i64::from_be_bytes(*client), i64::from_be_bytes(*sequence))),
        _ => Err(TxnError::Corrupt { what: format!("the board says {row:?}") }),
    }
}

fn note_of(key: &Key) -> Option<Note> {
    let mut columns = key.strip_prefix(&row_key(NOTES, &[])[..])?;
    Some((encoding::take_int(&mut columns)?, encoding::take_int(&mut columns)?))
}

impl Recorded for Notices {
    fn name(&self) -> &'static str {
        "notices"
    }

    fn split_keys(&self) -> Vec<Key> {
        vec![row_key(NOTES, &[]), row_key(BOARD, &[]), rows_span(BOARD, &[]).end]
    }

    fn more_split_keys(&self) -> Vec<Key> {
        (1..4).flat_map(|client| (0..4).map(move |part| row_key(NOTES, &[client, 100 * part]))).collect()
    }

    /// Of four clients one looks, three write.
    fn start_client(&self, gateways: &Gateways, shift: &Shift) {
        let (notices, gateways, shift) = (self.clone(), gateways.clone(), shift.clone());
        let random = self.world.split_random();
        let client = {
            let mut state = self.state.lock();
            state.clients += 1;
            state.clients - 1
        };
        let working = shift.clock_in();
        spawn(async move {
            notices.work(client, &gateways, &shift, random).await;
            drop(working);
        });
    }

    fn read_all<'a>(&'a self, gateway: &'a Gateway) -> BoxFuture<'a, bool> {
        Box::pin(self.audit(gateway))
    }

    fn acknowledged(&self) -> u64 {
        self.counts().0
    }

    /// What is wrong is seen at once.
    fn judge(&self) {}

    fn counts(&self) -> (u64, u64) {
        let state = self.state.lock();
        let acknowledged = state.written.len() as u64 + state.looks;
        (acknowledged, acknowledged)
    }

    fn history(&self) -> String {
        String::new()
    }
}
