//! The lock table's stories. The language:
//!
//! * `lock TXN KEY MODE [nowait]`: asks; prints `granted`, `waits #N for …`, or `busy`. A wait that closes
//!   a cycle prints the cycle and is withdrawn.
//! * `release TXN [KEY…]`, `weaken TXN KEY MODE`, `cancel #N`: prints who was granted and who is blocked by whom.
//! * `table`: nothing to print beyond what is held; used to see that nothing is left over.

use std::error::Error;
use std::fmt::Write as _;

use super::*;

#[derive(Default)]
struct Story {
    table: LockTable,
    graph: WaitsFor,
    next: u64,
}

impl Story {
    fn publish(&mut self, changes: Changes, out: &mut String) {
        for id in changes.granted {
            self.graph.remove(id);
            writeln!(out, "#{} granted", id.0).unwrap();
        }
        for id in changes.withdrawn {
            self.graph.remove(id);
            writeln!(out, "#{} withdrawn", id.0).unwrap();
        }
        for (id, blockers) in changes.blocked {
            writeln!(out, "#{} waits for {}", id.0, list(&blockers)).unwrap();
            assert_eq!(self.graph.update(id, blockers), None, "a cycle without a new wait");
        }
    }
}

fn list(txns: &[TxnId]) -> String {
    txns.iter().map(|txn| format!("T{}", txn.0)).collect::<Vec<_>>().join(" ")
}

fn txn(word: &str) -> Result<TxnId, Box<dyn Error>> {
    Ok(TxnId(word.trim_start_matches('T').parse()?))
}

fn mode(word: &str) -> Result<LockMode, Box<dyn Error>> {
    Ok(match word {
        "keyshare" => LockMode::KeyShare,
        "share" => LockMode::Share,
        "nokeyupdate" => LockMode::NoKeyUpdate,
        "update" => LockMode::Update,
        other => return Err(format!("no mode {other}").into()),
    })
}

impl goldenscript::Runner for Story {
    type Command = goldenscript::Command;

    fn run(&mut self, command: &Self::Command, _: &goldenscript::Context) -> Result<String, Box<dyn Error>> {
        let mut args = command.consume_args();
        let mut out = String::new();
        match command.name.as_str() {
            "lock" => {
                let who = txn(args.next_pos().ok_or("TXN")?)?;
                let key = Key::from(args.next_pos().ok_or("KEY")?);
                let mode = mode(args.next_pos().ok_or("MODE")?)?;
                let nowait = args.next_pos() == Some("nowait");
                self.next += u64::from(!nowait);
                let id = WaitId(self.next);
                match self.table.acquire(who, NodeId(1), &key, mode, (!nowait).then_some(id)) {
                    Acquired::Granted => writeln!(out, "granted")?,
                    Acquired::GrantedBeforeOthers => {
                        writeln!(out, "granted before others")?;
                        let changes = self.table.overtaken(&key);
                        self.publish(changes, &mut out);
                    }
                    Acquired::Busy { holder } => writeln!(out, "busy: {}", list(&[holder]))?,
                    Acquired::Waiting { blockers } => {
                        writeln!(out, "waits #{} for {}", id.0, list(&blockers))?;
                        if let Some(cycle) = self.graph.set(id, who, RangeId(1), Some((key, mode)), blockers) {
                            writeln!(out, "deadlock: {}", list(&cycle))?;
                            self.graph.remove(id);
                            let changes = self.table.cancel(id);
                            self.publish(changes, &mut out);
                        }
                    }
                }
            }
            "release" => {
                let who = txn(args.next_pos().ok_or("TXN")?)?;
                let keys: Vec<Key> = std::iter::from_fn(|| args.next_pos().map(Key::from)).collect();
                let changes = self.table.release(who, (!keys.is_empty()).then_some(&keys[..]));
                self.publish(changes, &mut out);
            }
            "weaken" => {
                let who = txn(args.next_pos().ok_or("TXN")?)?;
                let key = Key::from(args.next_pos().ok_or("KEY")?);
                let mode = mode(args.next_pos().ok_or("MODE")?)?;
                let changes = self.table.weaken(who, &[(key, mode)]);
                self.publish(changes, &mut out);
            }
            "cancel" => {
                let id = WaitId(args.next_pos().ok_or("#N")?.trim_start_matches('#').parse()?);
                self.graph.remove(id);
                let changes = self.table.cancel(id);
                self.publish(changes, &mut out);
            }
            "split" => {
                let (right, waits) = self.table.split_off(&Key::from(args.next_pos().ok_or("KEY")?));
                let waits: Vec<String> = waits.iter().map(|id| format!("#{}", id.0)).collect();
                writeln!(
                    out,
                    "left {} keys, right {} keys, ask again: {}",
                    self.table.len(),
                    right.len(),
                    waits.join(" ")
                )?;
            }
            "keys" => writeln!(out, "{}", self.table.len())?,
            other => return Err(format!("no command {other}").into()),
        }
        args.reject_next()?;
        Ok(out)
    }
}

#[test]
fn stories() {
    for entry in std::fs::read_dir("testscripts/lock_table").unwrap() {
        goldenscript::run(&mut Story::default(), entry.unwrap().path()).unwrap();
    }
}

/// A cancelled wait and a granted one that nobody came back for leave nothing behind.
#[tokio::test]
async fn a_dropped_wait_leaves_its_queue() {
    let deadlocks = Arc::new(Deadlocks::default());
    let locks = Locks::new(Env::os(), RangeId(1), deadlocks.clone());
    let key = Key::from("k");
    let block = LockWait::Block { timeout: None };
    let lock = |txn| locks.acquire(TxnId(txn), NodeId(1), &key, LockMode::Update, block);
    assert!(!lock(1).await.unwrap());
    {
        let mut second = std::pin::pin!(lock(2));
        assert!(futures::poll!(second.as_mut()).is_pending());
        assert_eq!(deadlocks.edges().len(), 1);
    }
    assert_eq!(deadlocks.edges().len(), 0);
    locks.end(TxnId(1));
    assert!(!lock(3).await.unwrap(), "nobody is left in the way");
    assert_eq!(lock(1).await, Err(KvError::TxnAborted), "a late request of a transaction that ended");
}

#[tokio::test]
async fn a_timeout_and_a_broken_wait_are_told_apart() {
    let deadlocks = Arc::new(Deadlocks::default());
    let locks = Locks::new(Env::os(), RangeId(1), deadlocks.clone());
    let key = Key::from("k");
    locks.acquire(TxnId(1), NodeId(1), &key, LockMode::Update, LockWait::NoWait).await.unwrap();
    let brief = LockWait::Block { timeout: Some(std::time::Duration::from_millis(1)) };
    let late = locks.acquire(TxnId(2), NodeId(1), &key, LockMode::Share, brief).await;
    assert_eq!(late, Err(KvError::LockNotAvailable { key: key.clone(), holder: TxnId(1), timed_out: true }));

    let mut second =
        std::pin::pin!(locks.acquire(TxnId(2), NodeId(1), &key, LockMode::Share, LockWait::Block { timeout: None }));
    assert!(futures::poll!(second.as_mut()).is_pending());
    locks.end(TxnId(2));
    assert_eq!(second.await, Err(KvError::TxnAborted), "it ended while it waited");

    let mut third =
        std::pin::pin!(locks.acquire(TxnId(3), NodeId(1), &key, LockMode::Share, LockWait::Block { timeout: None }));
    assert!(futures::poll!(third.as_mut()).is_pending());
    let edge = deadlocks.edges().remove(0);
    assert!(!deadlocks.break_wait(TxnId(2), edge.wait, Vec::new()), "another transaction's wait");
    assert!(deadlocks.break_wait(TxnId(3), edge.wait, vec![TxnId(3), TxnId(1)]));
    assert_eq!(third.await, Err(KvError::Deadlock { cycle: vec![TxnId(3), TxnId(1)] }));
}

/// A request that was on its way when its node died finds its session over, also in ranges that came later.
#[tokio::test]
async fn a_session_that_is_over_takes_no_lock() {
    let deadlocks = Arc::new(Deadlocks::default());
    let locks = Locks::new(Env::os(), RangeId(1), deadlocks.clone());
    let key = Key::from("k");
    let block = LockWait::Block { timeout: None };
    let lock = |txn, node| locks.acquire(TxnId(txn), NodeId(node), &key, LockMode::Update, block);
    assert!(!lock(5, 2).await.unwrap());
    let mut waiting = std::pin::pin!(lock(6, 1));
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    locks.end_session(NodeId(1), Timestamp(10));
    assert_eq!(waiting.await, Err(KvError::TxnAborted), "it waited when its session ended");
    locks.end(TxnId(5));
    assert_eq!(lock(7, 1).await, Err(KvError::TxnAborted), "its request came late");
    let later = Locks::new(Env::os(), RangeId(2), deadlocks.clone());
    assert_eq!(later.acquire_now(TxnId(7), NodeId(1), &key, LockMode::Update), Err(KvError::TxnAborted));
    assert!(!lock(7, 2).await.unwrap(), "another node's session goes on");
    locks.end(TxnId(7));
    assert!(!lock(11, 1).await.unwrap(), "the node's next life");
}
