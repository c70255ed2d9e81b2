//! A transaction larger than its buffer: written out, read back, undone, committed piece by piece over several ranges.

use bytes::Bytes;
use env::Knobs;
use keyspace::{Key, NodeId, Span};
use txn::fake::{self, Fake};
use txn::{Isolation, ScanSpec, Transaction, TxnOptions, Visible};

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
