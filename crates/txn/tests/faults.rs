//! Transfers while messages are lost, repeated and delayed, leaders move and ranges split.
//!
//! Each transfer also writes a receipt under a key of its own. What was told must be true: a receipt for each transfer
//! that succeeded, none for one that failed, and the sum of all accounts holds.
#![expect(clippy::disallowed_methods, reason = "a test has a clock and tasks of its own")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::{Env, Knobs};
use keyspace::{Key, NodeId, Span};
use parking_lot::Mutex;
use txn::fake::{self, Fake, Fault, Step};
use txn::{
    Isolation, LockMode, LockSpec, LockWait, ScanSpec, Transaction, TxnClient, TxnError, TxnOptions, TxnResult, Visible,
};

const ACCOUNTS: u64 = 12;
const CLIENTS: u64 = 6;
const TRANSFERS: u64 = 40;
const NODES: u64 = 3;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Committed,
    Failed,
    Unknown,
}

type Ledger = Arc<Mutex<BTreeMap<Key, Told>>>;

#[test]
fn what_is_told_is_true() {
    for seed in 1..=100 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(run(seed));
    }
}

async fn run(seed: u64) {
    let knobs = Knobs {
        txn_expiry: Duration::from_millis(400),
        txn_heartbeat: Duration::from_millis(100),
        rpc_timeout: Duration::from_millis(50),
        ..Knobs::default()
    };
    let env = fake::env_with(knobs);
    (0..seed).for_each(|_| {
        env.random_u64();
    });
    let fake = Fake::new(env.clone(), NODES, [account(4), account(8), Key::from("y")]);
    let client = fake.client(NodeId(1));
    let fill = client.begin(TxnOptions::default()).await.unwrap();
    (0..ACCOUNTS).for_each(|n| fill.put(account(n), Some(Bytes::from("100")), false).unwrap());
    fill.commit().await.unwrap();

    fake.set_latency(Duration::from_millis(3));
    let ledger = Ledger::default();
    let trouble = spawn(trouble(env.clone(), fake.clone()));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| spawn(transfers(env.clone(), fake.client(NodeId(number % NODES + 1)), number, ledger.clone())))
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    trouble.abort();
    pause(60_000).await;
    check(&fake, &client, &ledger, seed).await;
}

fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> tokio::task::JoinHandle<T> {
    tokio::spawn(task)
}

async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

fn account(number: u64) -> Key {
    Key::from(format!("account/{number:02}").into_bytes())
}

// ---- what goes wrong ----

async fn trouble(env: Env, fake: Arc<Fake>) {
    let steps = [
        Step::Read,
        Step::Refresh,
        Step::ReleaseLocks,
        Step::CommitOneRange,
        Step::Prewrite,
        Step::Prewrite,
        Step::CommitRecord,
        Step::AbortRecord,
        Step::Heartbeat,
        Step::CheckKeys,
        Step::Resolve,
        Step::Forget,
    ];
    loop {
        pause(env.random_below(20)).await;
        let step = steps[env.random_below(steps.len() as u64) as usize];
        let long = Duration::from_millis(env.random_below(1500));
        let fault = match env.random_below(5) {
            0 => Fault::LoseRequest,
            1 => Fault::LoseAnswer,
            2 => Fault::Repeat,
            3 => Fault::RepeatAfter(long),
            _ if env.random_below(4) == 0 => Fault::Delay(long),
            _ => Fault::Delay(long / 20),
        };
        fake.inject(step, None, fault);
        let (key, node) = (account(env.random_below(ACCOUNTS)), NodeId(env.random_below(NODES) + 1));
        match env.random_below(40) {
            0 => fake.move_leader(&key, node, true),
            1 => fake.move_leader(&key, node, false),
            2 => fake.split(key),
            _ => {}
        }
    }
}

// ---- what clients do ----

async fn transfers(env: Env, client: TxnClient, number: u64, ledger: Ledger) {
    for round in 0..TRANSFERS {
        for attempt in 0..200 {
            // Beside an account, so that some transfers stay in one range, or elsewhere.
            let beside = if env.random_below(2) == 0 { account(env.random_below(ACCOUNTS)) } else { Key::from("z") };
            let receipt = [&beside[..], format!("/receipt/{number}/{round:03}/{attempt:03}").as_bytes()].concat();
            let receipt = Key::from(receipt);
            // Some clients lose patience, at any moment. Their transfer is decided without them.
            let patience = if env.random_below(8) == 0 { env.random_below(20) } else { 3_600_000 };
            let transfer = transfer(&env, &client, receipt.clone());
            let told = match env.timeout(Duration::from_millis(patience), transfer).await.unwrap_or(Ok(false)) {
                Ok(true) => Told::Committed,
                Ok(false) => Told::Unknown,
                Err(
                    TxnError::Serialization { .. }
                    | TxnError::Deadlock { .. }
                    | TxnError::Unavailable { .. }
                    | TxnError::StatementRestart { .. },
                ) => Told::Failed,
                Err(other) => panic!("{other}"),
            };
            ledger.lock().insert(receipt, told);
            if told != Told::Failed {
                break;
            }
            pause(1 + env.random_below(20)).await;
        }
    }
}

/// `true`: committed.
async fn transfer(env: &Env, client: &TxnClient, receipt: Key) -> TxnResult<bool> {
    let isolation = match env.random_below(3) {
        0 => Isolation::ReadCommitted,
        1 => Isolation::RepeatableRead,
        _ => Isolation::Serializable,
    };
    // SERIALIZABLE needs no locks to be right; the others lock what they change, as UPDATE does.
    let locks = isolation != Isolation::Serializable || env.random_below(2) == 0;
    let txn = client.begin(TxnOptions { isolation, ..TxnOptions::default() }).await?;
    let (from, to) = (account(env.random_below(ACCOUNTS)), account(env.random_below(ACCOUNTS)));
    for (key, change) in [(from, -7), (to, 7)] {
        txn.begin_statement().await?;
        let balance = loop {
            match read(&txn, &key, locks).await {
                Ok(balance) => break balance,
                Err(TxnError::StatementRestart { .. }) => txn.restart_statement().await?,
                Err(error) => return Err(error),
            }
        };
        txn.put(key, Some(Bytes::from((balance + change).to_string())), false)?;
    }
    if env.random_below(2) == 0 {
        txn.put_new(receipt, Bytes::from("paid"))?;
    } else {
        txn.put(receipt, Some(Bytes::from("paid")), false)?;
    }
    txn.commit().await.map(|_| true)
}

async fn read(txn: &Transaction, key: &Key, locks: bool) -> TxnResult<i64> {
    let lock = LockSpec { mode: LockMode::NoKeyUpdate, wait: LockWait::Block { timeout: None }, absent_too: false };
    let value =
        txn.get_many(std::slice::from_ref(key), locks.then_some(lock), Visible::EarlierStatements, false).await?;
    Ok(amount(value[0].as_ref().unwrap()))
}

fn amount(value: &Bytes) -> i64 {
    std::str::from_utf8(value).unwrap().parse().unwrap()
}

// ---- what must hold ----

async fn check(fake: &Fake, client: &TxnClient, ledger: &Ledger, seed: u64) {
    let txn = client.begin(TxnOptions::default()).await.unwrap();
    let is_receipt = |key: &Key| key.windows(8).any(|part| part == b"/receipt");
    let (receipts, accounts): (BTreeMap<Key, Bytes>, BTreeMap<Key, Bytes>) =
        scan(&txn).await.into_iter().partition(|(key, _)| is_receipt(key));
    let sum: i64 = accounts.values().map(amount).sum();
    assert_eq!(sum, 100 * ACCOUNTS as i64, "seed {seed}");
    let ledger = ledger.lock();
    for (receipt, told) in ledger.iter() {
        let is_there = receipts.contains_key(receipt);
        assert!(
            *told == Told::Unknown || is_there == (*told == Told::Committed),
            "seed {seed}: {receipt} was told {told:?}"
        );
    }
    let ends = ledger.values().filter(|told| **told != Told::Failed).count() as u64;
    assert_eq!(ends, CLIENTS * TRANSFERS, "seed {seed}");
    let left = fake.describe().into_iter().filter(|line| line.starts_with("lock"));
    assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new(), "seed {seed}");
}

async fn scan(txn: &Transaction) -> BTreeMap<Key, Bytes> {
    let mut scan = txn.scan(ScanSpec {
        span: Span::all(),
        reverse: false,
        rows_max: 0,
        program: None,
        lock: None,
        visible: Visible::EarlierStatements,
        untracked: false,
    });
    let mut rows = BTreeMap::new();
    loop {
        let page = scan.next_page().await.unwrap();
        if page.is_empty() {
            return rows;
        }
        rows.extend(page.into_iter().map(|row| (row.key, row.value)));
    }
}
