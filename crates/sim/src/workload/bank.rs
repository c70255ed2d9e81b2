//! Transfers between accounts, each written down in a journal by the same transaction.
//!
//! An account is a balance and the number of transfers that touched it. What must hold:
//! * whoever reads all accounts at one number finds the money that was there at the begin;
//! * a reader that begins after a transfer was acknowledged, or after another reader saw it, sees it (strict
//!   serializability, in real time);
//! * at the end, the journal has every acknowledged transfer and none that failed, and the accounts are
//!   exactly what the journal says: nothing lost, nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keyspace::{IndexId, Key, TableId, encoding, index_span};
use parking_lot::Mutex;
use txn::{Isolation, KeyValue, LockMode, LockSpec, LockWait, Transaction, TxnError, TxnOptions, TxnResult, Visible};

use super::rows::{check_failure, row_key, scan};
use super::{RETRY, Shift};
use crate::gateway::{Gateway, Gateways, Outcome};
use crate::world::spawn;
use crate::{Random, World};

const ACCOUNTS: TableId = TableId(1000);
const JOURNAL: TableId = TableId(1001);
const OPENING_BALANCE: i64 = 100;

/// Cheap to clone.
#[derive(Clone)]
pub struct Bank {
    world: World,
    accounts: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    acknowledged: BTreeSet<Receipt>,
    failed: BTreeSet<Receipt>,
    unknown: u64,
    /// Transfers of each account that any later reader must see.
    seen: Vec<u64>,
    reads: u64,
}

/// Client and its running number.
type Receipt = (i64, i64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Transfer {
    receipt: Receipt,
    from: usize,
    to: usize,
    amount: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Account {
    balance: i64,
    transfers: u64,
}

impl Bank {
    pub fn new(world: &World, accounts: usize) -> Bank {
        let state = State { seen: vec![0; accounts], ..State::default() };
        Bank { world: world.clone(), accounts, state: Arc::new(Mutex::new(state)) }
    }

    /// Keys at which the tables may be split, so that most transfers meet several ranges.
    pub fn split_keys(&self) -> Vec<Key> {
        let third = self.accounts / 3;
        vec![account_key(third), account_key(2 * third), index_span(JOURNAL, IndexId::PRIMARY).start]
    }

    /// More of them, for splits in the middle of everything.
    pub fn more_split_keys(&self) -> Vec<Key> {
        let accounts = (1..self.accounts).map(account_key);
        let places = [0, 30, 60, 100, 150, 200];
        let clients = (0..4).flat_map(|client| places.map(|place| row_key(JOURNAL, &[client, place])));
        accounts.chain(clients).collect()
    }

    pub fn acknowledged(&self) -> u64 {
        self.state.lock().acknowledged.len() as u64
    }

    pub fn failed(&self) -> u64 {
        self.state.lock().failed.len() as u64
    }

    /// Transfers of which nobody told what became of them.
    pub fn unknown(&self) -> u64 {
        self.state.lock().unknown
    }

    pub fn reads(&self) -> u64 {
        self.state.lock().reads
    }

    /// Opens the accounts. Safe to repeat until it says that it is done.
    pub async fn open(&self, gateway: &Gateway) -> bool {
        let accounts = self.accounts;
        let outcome = gateway.transact(TxnOptions::default(), move |txn| async move {
            for number in 0..accounts {
                let account = Account { balance: OPENING_BALANCE, transfers: 0 };
                txn.put(account_key(number), Some(account.encode()), false)?;
            }
            Ok(())
        });
        matches!(outcome.await, Outcome::Committed(()))
    }

    /// One client: transfers, and now and then looks at everything. Each of its operations goes to some node.
    pub fn start_client(&self, number: i64, gateways: &Gateways, shift: &Shift) {
        let (bank, gateways, shift) = (self.clone(), gateways.clone(), shift.clone());
        let mut random = self.world.split_random();
        let working = shift.clock_in();
        spawn(async move {
            for sequence in 0.. {
                if shift.is_over() {
                    break;
                }
                let gateway = gateways.get(random.below(gateways.len() as u64) as usize);
                match gateway {
                    None => bank.world.sleep(RETRY).await,
                    Some(gateway) if random.chance(0.2) => bank.look(&gateway).await,
                    Some(gateway) => bank.transfer(&gateway, (number, sequence), &mut random).await,
                }
                shift.turn().await;
                bank.world.sleep(Duration::from_millis(random.below(50))).await;
            }
            drop(working);
        });
    }

    async fn transfer(&self, gateway: &Gateway, receipt: Receipt, random: &mut Random) {
        let from = random.below(self.accounts as u64) as usize;
        let to = (from + 1 + random.below(self.accounts as u64 - 1) as usize) % self.accounts;
        let transfer = Transfer { receipt, from, to, amount: random.between(1, 20) as i64 };
        // Each level with what makes a transfer right under it.
        let (isolation, locks) = match random.below(4) {
            0 => (Isolation::Serializable, false),
            1 => (Isolation::Serializable, true),
            2 => (Isolation::RepeatableRead, false),
            _ => (Isolation::ReadCommitted, true),
        };
        let options = TxnOptions { isolation, ..TxnOptions::default() };
        let outcome = gateway.transact(options, move |txn| async move { carry_out(&txn, transfer, locks).await });
        match outcome.await {
            Outcome::Committed(counts) => {
                self.world.note(format!("acknowledged {receipt:?}: {from} → {to}"));
                let mut state = self.state.lock();
                state.acknowledged.insert(receipt);
                // Not one more than before: a reader may have seen it before its client was told.
                for (account, count) in [from, to].into_iter().zip(counts) {
                    state.seen[account] = state.seen[account].max(count);
                }
            }
            Outcome::Failed(error) => {
                self.world.note(format!("failed {receipt:?}: {error}"));
                check_failure(&self.world, "bank_errors", &error);
                self.state.lock().failed.insert(receipt);
            }
            Outcome::Unknown => {
                self.world.note(format!("unknown {receipt:?}"));
                self.state.lock().unknown += 1;
            }
        }
    }

    /// Reads all accounts and checks what it sees against what it must see.
    async fn look(&self, gateway: &Gateway) {
        let must_see = self.state.lock().seen.clone();
        let options = TxnOptions { read_only: true, ..TxnOptions::default() };
        let outcome = gateway
            .transact(options, |txn| async move { scan(&txn, index_span(ACCOUNTS, IndexId::PRIMARY)).await })
            .await;
        let Outcome::Committed(rows) = outcome else { return };
        let accounts: Vec<Option<Account>> = rows.iter().map(|row| Account::decode(&row.value)).collect();
        let Some(accounts) = accounts.into_iter().collect::<Option<Vec<Account>>>() else {
            return self.world.violation("bank_total", "an account is not what was written");
        };
        self.check_total(&accounts);
        let mut state = self.state.lock();
        state.reads += 1;
        for (number, (account, must_see)) in accounts.iter().zip(must_see).enumerate() {
            if account.transfers < must_see {
                let found = account.transfers;
                let what = format!("account {number}: {must_see} transfers were known before, {found} were read");
                self.world.violation("bank_real_time", what);
            }
            state.seen[number] = state.seen[number].max(account.transfers);
        }
    }

    fn check_total(&self, accounts: &[Account]) {
        let total: i64 = accounts.iter().map(|account| account.balance).sum();
        let expected = self.accounts as i64 * OPENING_BALANCE;
        if accounts.len() != self.accounts || total != expected {
            let what = format!("{} accounts hold {total}, and it should be {expected}", accounts.len());
            self.world.violation("bank_total", what);
        }
    }

    /// After everything has healed and all clients have come to an end. `false`: ask again, nobody answered.
    pub async fn audit(&self, gateway: &Gateway) -> bool {
        let outcome = gateway.transact(TxnOptions::default(), |txn| async move {
            Ok((
                scan(&txn, index_span(ACCOUNTS, IndexId::PRIMARY)).await?,
                scan(&txn, index_span(JOURNAL, IndexId::PRIMARY)).await?,
            ))
        });
        let Outcome::Committed((accounts, journal)) = outcome.await else { return false };
        let accounts: Option<Vec<Account>> = accounts.iter().map(|row| Account::decode(&row.value)).collect();
        let journal: Option<Vec<Transfer>> = journal.iter().map(decode_journal).collect();
        let (Some(accounts), Some(journal)) = (accounts, journal) else {
            self.world.violation("bank_audit", "a row is not what was written");
            return true;
        };
        self.check_total(&accounts);
        self.check_journal(&accounts, &journal);
        true
    }

    fn check_journal(&self, accounts: &[Account], journal: &[Transfer]) {
        let state = self.state.lock();
        let receipts: BTreeSet<Receipt> = journal.iter().map(|transfer| transfer.receipt).collect();
        for lost in state.acknowledged.difference(&receipts) {
            self.world.violation("bank_audit", format!("{lost:?} was acknowledged and is not there"));
        }
        for ghost in state.failed.intersection(&receipts) {
            self.world.violation("bank_audit", format!("{ghost:?} failed and is there"));
        }
        let mut expected: BTreeMap<usize, Account> = BTreeMap::new();
        for number in 0..self.accounts {
            expected.insert(number, Account { balance: OPENING_BALANCE, transfers: 0 });
        }
        for transfer in journal {
            for (number, amount) in [(transfer.from, -transfer.amount), (transfer.to, transfer.amount)] {
                let account = expected.entry(number).or_default();
                account.balance += amount;
                account.transfers += 1;
            }
        }
        for (number, found) in accounts.iter().enumerate() {
            if expected.get(&number) != Some(found) {
                let what = format!("account {number} is {found:?}, by the journal {:?}", expected.get(&number));
                self.world.violation("bank_audit", what);
            }
        }
    }
}

/// Answers with how many transfers each of the two accounts has had then.
async fn carry_out(txn: &Transaction, transfer: Transfer, locks: bool) -> TxnResult<[u64; 2]> {
    let lock = LockSpec { mode: LockMode::Update, wait: LockWait::Block { timeout: None }, absent_too: false };
    let keys = [account_key(transfer.from), account_key(transfer.to)];
    let found = txn.get_many(&keys, locks.then_some(lock), Visible::EarlierStatements, false).await?;
    let mut counts = [0; 2];
    for (((key, found), amount), count) in
        keys.into_iter().zip(found).zip([-transfer.amount, transfer.amount]).zip(&mut counts)
    {
        let mut account = found
            .as_deref()
            .and_then(Account::decode)
            .ok_or_else(|| TxnError::Corrupt { what: format!("account {key} is gone") })?;
        account.balance += amount;
        account.transfers += 1;
        *count = account.transfers;
        txn.put(key, Some(account.encode()), false)?;
    }
    let (client, sequence) = transfer.receipt;
    let entry = [transfer.from as i64, transfer.to as i64, transfer.amount].map(i64::to_be_bytes).concat();
    txn.put_new(row_key(JOURNAL, &[client, sequence]), entry.into())?;
    Ok(counts)
}

fn account_key(number: usize) -> Key {
    row_key(ACCOUNTS, &[number as i64])
}

impl Account {
    fn encode(self) -> Bytes {
        [self.balance.to_be_bytes(), self.transfers.to_be_bytes()].concat().into()
    }

    fn decode(bytes: &[u8]) -> Option<Account> {
        let (balance, transfers) = bytes.split_first_chunk()?;
        Some(Account {
            balance: i64::from_be_bytes(*balance),
            transfers: u64::from_be_bytes(transfers.try_into().ok()?),
        })
    }
}

fn decode_journal(row: &KeyValue) -> Option<Transfer> {
    let mut key = row.key.strip_prefix(&index_span(JOURNAL, IndexId::PRIMARY).start[..])?;
    let receipt = (encoding::take_int(&mut key)?, encoding::take_int(&mut key)?);
    let number = |part: usize| Some(i64::from_be_bytes(row.value.get(part * 8..part * 8 + 8)?.try_into().ok()?));
    Some(Transfer {
        receipt,
        from: usize::try_from(number(0)?).ok()?,
        to: usize::try_from(number(1)?).ok()?,
        amount: number(2)?,
    })
}
