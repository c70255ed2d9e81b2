//! A transaction larger than its buffer: written out, read back, undone, committed piece by piece over several ranges.

use std::sync::Arc;

use bytes::Bytes;
use env::Knobs;
use keyspace::{Key, NodeId, Span};
use txn::fake::{self, Fake};
use txn::{AheadRows, Isolation, ScanSpec, Transaction, TxnClient, TxnOptions, Visible};

const ROWS: u32 = 200_000;
const BUFFER_BYTES: usize = 4 << 20;

fn key(number: u32) -> Key {
    Key::from(number.to_be_bytes().to_vec())
}

fn value(number: u32) -> Bytes {
    let mut value = vec![b'.'; 150];
    value[..4].copy_from_slice(&number.to_be_bytes());
    value.into()
}

#[tokio::test(start_paused = true)]
async fn a_large_transaction_stays_within_its_buffer() {
    for isolation in [Isolation::Serializable, Isolation::ReadCommitted] {
        let knobs = Knobs { write_buffer_bytes: BUFFER_BYTES, ..Knobs::default() };
        let env = fake::env_with(knobs);
        let fake = Fake::new(env.clone(), 2, [key(ROWS / 3), key(ROWS / 2)]);
        let client = fake.client(NodeId(1));
        let txn = client.begin(TxnOptions { isolation, ..TxnOptions::default() }).await.unwrap();
        txn.begin_statement().await.unwrap();
        let mut bytes_max = 0;
        // In an order that has nothing to do with the keys'.
        for number in (0..ROWS).map(|n| (u64::from(n) * 7919 % u64::from(ROWS)) as u32) {
            if number % 2 == 0 {
                txn.put_new(key(number), value(number)).unwrap();
            } else {
                txn.put(key(number), Some(value(number)), false).unwrap();
            }
            if number % 512 == 0 {
                bytes_max = bytes_max.max(txn.buffered_bytes());
            }
        }
        // The index of what was written out is a fortieth of it.
        assert!(bytes_max < BUFFER_BYTES + (2 << 20), "{bytes_max}");
        let savepoint = txn.savepoint();
        (0..1000).for_each(|number| txn.put(key(number * 150), None, true).unwrap());
        txn.begin_statement().await.unwrap();
        assert_eq!(count(&txn, true).await, ROWS as usize - 1000);
        txn.rollback_to(savepoint).await.unwrap();
        txn.begin_statement().await.unwrap();
        assert_eq!(count(&txn, false).await, ROWS as usize);
        let again = txn.put_new(key(4242), value(1));
        assert!(matches!(again, Err(txn::TxnError::KeyExists { .. })), "{again:?}");
        txn.commit().await.unwrap();

        env.sleep(std::time::Duration::from_secs(1)).await;
        assert!(fake.take_traffic().iter().filter(|message| message.starts_with("Prewrite")).count() > 50);
        let check = client.begin(TxnOptions::default()).await.unwrap();
        assert_eq!(count(&check, true).await, ROWS as usize);
    }
}

/// Rows of a scan, which must be in order and what was written.
async fn count(txn: &Transaction, reverse: bool) -> usize {
    let mut scan = txn.scan(ScanSpec {
        span: Span::all(),
        reverse,
        rows_max: 0,
        program: None,
        lock: None,
        visible: Visible::EarlierStatements,
        untracked: false,
    });
    let mut rows = 0;
    let mut last: Option<Key> = None;
    loop {
        let page = scan.next_page().await.unwrap();
        let Some(row) = page.last() else { return rows };
        assert!(page.windows(2).all(|pair| (pair[0].key < pair[1].key) != reverse));
        assert!(last.is_none_or(|last| (last < page[0].key) != reverse));
        assert!(page.iter().all(|row| row.value[..4] == row.key[..] && row.value.len() == 150));
        last = Some(row.key.clone());
        rows += page.len();
    }
}

/// Storage that nobody else knows of: the rows are there before the commit, at final versions, and no intent ever was.
#[tokio::test(start_paused = true)]
async fn what_is_owned_is_written_ahead() {
    for isolation in [Isolation::Serializable, Isolation::RepeatableRead, Isolation::ReadCommitted] {
        let (fake, client) = two_ranges();
        let txn = owner(&client, isolation).await;
        // What is read in there is what was written, and no range is asked.
        assert_eq!(owned_rows(&txn).await, OWNED_ROWS as usize);
        let found = txn.get_many(&[key(3), key(3).successor()], None, Visible::EarlierStatements, true).await.unwrap();
        assert_eq!(found, [Some(value(3)), None]);
        assert_eq!(fake.take_traffic(), Vec::<String>::new());
        txn.commit().await.unwrap();

        let traffic = fake.take_traffic();
        assert!(traffic.iter().all(|message| !message.starts_with("Prewrite")), "{traffic:?}");
        assert!(traffic.iter().filter(|message| message.starts_with("Commit")).count() > 10, "{traffic:?}");
        assert_eq!(present(&client).await, (OWNED_ROWS as usize, true, true, true));
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_fails_leaves_a_note_and_no_claim() {
    let (_fake, client) = two_ranges();
    let txn = owner(&client, Isolation::RepeatableRead).await;
    // Somebody else has the row by which others would learn of the rows.
    let other = client.begin(TxnOptions::default()).await.unwrap();
    other.put(catalog_row(), Some(value(0)), false).unwrap();
    other.commit().await.unwrap();
    assert!(matches!(txn.commit().await, Err(txn::TxnError::Serialization { .. })));
    assert_eq!(present(&client).await, (OWNED_ROWS as usize, true, false, true));
}

#[tokio::test(start_paused = true)]
async fn whoever_clears_up_first_stops_the_commit() {
    let (_fake, client) = two_ranges();
    let txn = owner(&client, Isolation::ReadCommitted).await;
    let cleaner = client.begin(TxnOptions::default()).await.unwrap();
    cleaner.put_new(ahead().claim, Bytes::new()).unwrap();
    cleaner.commit().await.unwrap();
    assert!(txn.commit().await.is_err());
    assert!(!present(&client).await.3);
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_again_is_not_written() {
    let (fake, client) = two_ranges();
    let txn = owner(&client, Isolation::Serializable).await;
    txn.put(ahead().given_up, Some(Bytes::new()), false).unwrap();
    txn.commit().await.unwrap();
    assert!(fake.take_traffic().iter().filter(|message| message.starts_with("Commit")).count() < 3);
    assert_eq!(present(&client).await, (0, false, false, true));
}

const OWNED_ROWS: u32 = 40_000;

fn catalog_row() -> Key {
    Key::from("catalog")
}

fn ahead() -> AheadRows {
    AheadRows { note: (Key::from("note"), Bytes::new()), claim: Key::from("claim"), given_up: Key::from("given up") }
}

/// The owned rows in one range, and all others after them in the other.
fn two_ranges() -> (Arc<Fake>, TxnClient) {
    let fake = Fake::new(fake::env_with(Knobs::default()), 2, [key(OWNED_ROWS)]);
    let client = fake.client(NodeId(1));
    (fake, client)
}

async fn owner(client: &TxnClient, isolation: Isolation) -> Transaction {
    let txn = client.begin(TxnOptions { isolation, ..TxnOptions::default() }).await.unwrap();
    txn.begin_statement().await.unwrap();
    txn.own(owned_span(), Some(ahead()));
    (0..OWNED_ROWS).for_each(|number| txn.put(key(number), Some(value(number)), false).unwrap());
    txn.put(catalog_row(), Some(value(0)), false).unwrap();
    txn.begin_statement().await.unwrap();
    txn
}

fn owned_span() -> Span {
    Span::new(key(0), key(OWNED_ROWS))
}

/// Rows in the owned span; is the note there, the claim, the row of the catalog?
async fn present(client: &TxnClient) -> (usize, bool, bool, bool) {
    let txn = client.begin(TxnOptions::default()).await.unwrap();
    let others = [ahead().note.0, ahead().claim, catalog_row()];
    let found = txn.get_many(&others, None, Visible::EarlierStatements, false).await.unwrap();
    (owned_rows(&txn).await, found[0].is_some(), found[1].is_some(), found[2].is_some())
}

async fn owned_rows(txn: &Transaction) -> usize {
    let mut scan = txn.scan(ScanSpec {
        span: owned_span(),
        reverse: false,
        rows_max: 0,
        program: None,
        lock: None,
        visible: Visible::EarlierStatements,
        untracked: false,
    });
    let mut rows = 0;
    loop {
        match scan.next_page().await.unwrap().len() {
            0 => return rows,
            more => rows += more,
        }
    }
}
