//! Runs the stories in tests/scripts, each on the memory engine and on RocksDB, which must tell the same.
//!
//! Keys are words, timestamps numbers, a transaction is its start number. Commands:
//!
//! ```text
//!   put KEY VALUE at=T [by=TXN] [changes_key=true]     a committed version
//!   delete KEY at=T [by=TXN]                           a committed deletion
//!   intend KEY [VALUE] txn=TXN [at=T] [anchor=KEY]     an intent; without a value it deletes
//!   resolve KEY txn=TXN [at=T]                         to a version at T, or away
//!   record ANCHOR txn=TXN STATE [at=T] [resolved=true] pending, staging, committed, aborted
//!   get KEY at=T
//!   newest KEY
//!   written KEY by=TXN                                 the version that TXN wrote
//!   key_changed KEY above=T
//!   changed FROM TO after=T to=T                       anything committed into the span in (after, to]
//!   scan [FROM] [TO] at=T [reverse=true] [rows=N]
//!   intents, records                                   all of them
//!   collect floor=T [max=N]                            garbage, in chunks of N
//!   split [FROM] [TO]
//!   copy bytes=N                                       the state, in chunks, to a second engine, and compares
//!   dump                                               raw versions
//! ```

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use bytes::Bytes;
use keyspace::{Key, Span, Timestamp, TxnId};
use mvcc::{Cursor, Direction, Intent, Intents, Limits, Record, Visit};
use storage::{
    Batch, Durability, Engine, Family, Identity, MemoryDisk, MemoryEngine, RocksEngine, RocksOptions, Snapshot,
    StoreDirectory,
};

#[test]
fn stories() {
    for name in ["versions", "scans", "intents", "garbage", "transfer"] {
        let rocks = tempfile::tempdir().unwrap();
        let mut directory = StoreDirectory::open(rocks.path()).unwrap();
        directory.set_identity(Identity { token: 1, member: None }).unwrap();
        let rocks = RocksEngine::open(directory, &RocksOptions::default()).unwrap();
        let memory = MemoryEngine::open(&MemoryDisk::new());
        let mut runner = Runner { engines: [Box::new(memory), Box::new(rocks)] };
        goldenscript::run(&mut runner, Path::new("tests/scripts").join(name)).unwrap();
    }
}

type Outcome = Result<String, Box<dyn Error>>;

struct Runner {
    engines: [Box<dyn Engine>; 2],
}

#[derive(goldenscript::Command)]
enum Command {
    Put(
        String,
        String,
        #[arg(key = "at")] u64,
        #[arg(key = "by")] Option<u64>,
        #[arg(key = "changes_key", optional)] bool,
    ),
    Delete(String, #[arg(key = "at")] u64, #[arg(key = "by")] Option<u64>),
    Intend(
        String,
        Option<String>,
        #[arg(key = "txn")] u64,
        #[arg(key = "at")] Option<u64>,
        #[arg(key = "anchor")] Option<String>,
    ),
    Resolve(String, #[arg(key = "txn")] u64, #[arg(key = "at")] Option<u64>),
    Record(
        String,
        String,
        #[arg(key = "txn")] u64,
        #[arg(key = "at")] Option<u64>,
        #[arg(key = "resolved", optional)] bool,
    ),
    Get(String, #[arg(key = "at")] u64),
    Newest(String),
    Written(String, #[arg(key = "by")] u64),
    KeyChanged(String, #[arg(key = "above")] u64),
    Changed(String, String, #[arg(key = "after")] u64, #[arg(key = "to")] u64),
    Scan(
        Option<String>,
        Option<String>,
        #[arg(key = "at")] u64,
        #[arg(key = "reverse", optional)] bool,
        #[arg(key = "rows", optional)] u64,
    ),
    Intents,
    Records,
    Collect(#[arg(key = "floor")] u64, #[arg(key = "max")] Option<u64>),
    Split(Option<String>, Option<String>),
    Copy(#[arg(key = "bytes")] usize),
    Dump,
}

impl goldenscript::Runner for Runner {
    type Command = Command;

    fn run(&mut self, command: &Command, _context: &goldenscript::Context) -> Outcome {
        let [memory, rocks] = self.engines.each_ref().map(|engine| run(&**engine, command));
        let (memory, rocks) = (memory?, rocks?);
        assert_eq!(memory, rocks, "the engines differ");
        Ok(memory)
    }
}

fn run(engine: &dyn Engine, command: &Command) -> Outcome {
    let snapshot = engine.snapshot();
    let snapshot = &*snapshot;
    let mut batch = Batch::new();
    let mut out = String::new();
    match command {
        Command::Put(key, value, at, by, changes_key) => {
            put(&mut batch, key, Some(value), *at, *by, *changes_key);
        }
        Command::Delete(key, at, by) => put(&mut batch, key, None, *at, *by, true),
        Command::Intend(key, value, txn, at, anchor) => {
            let intent = Intent {
                txn: TxnId(*txn),
                at: Timestamp(at.unwrap_or(*txn)),
                anchor: Key::from(anchor.as_deref().unwrap_or(key)),
                attempt: 1,
                sequence: 0,
                value: value.as_ref().map(|value| Bytes::copy_from_slice(value.as_bytes())),
                changes_key: false,
            };
            mvcc::put_intent(&mut batch, &Key::from(&key[..]), &intent);
        }
        Command::Resolve(key, txn, at) => {
            let at = at.map(Timestamp);
            let found = mvcc::resolve_intent(snapshot, &mut batch, &Key::from(&key[..]), TxnId(*txn), at)?;
            writeln!(out, "{}", if found { "resolved" } else { "nothing to resolve" })?;
        }
        Command::Record(anchor, state, txn, at, resolved) => {
            let at = Timestamp(at.unwrap_or_default());
            let record = match &state[..] {
                "pending" => Record::Pending,
                "staging" => Record::Staging { at, attempt: 1, keys: vec!["a".into(), "b".into()] },
                "committed" => Record::Committed { at, resolved: *resolved },
                "aborted" => Record::Aborted,
                state => return Err(format!("no such state: {state}").into()),
            };
            mvcc::put_record(&mut batch, anchor.as_bytes(), TxnId(*txn), &record);
            assert_eq!(Record::decode(&record.encode())?, record);
        }
        Command::Get(key, at) => match mvcc::get(snapshot, key.as_bytes(), Timestamp(*at))? {
            Some(found) => writeln!(out, "{key} = {} {} by {}", found.value.escape_ascii(), found.at, found.writer)?,
            None => writeln!(out, "{key} is not there")?,
        },
        Command::Newest(key) => writeln!(out, "{}", head(mvcc::newest(snapshot, key.as_bytes())?))?,
        Command::Written(key, by) => {
            writeln!(out, "{}", head(mvcc::version_by_writer(snapshot, key.as_bytes(), TxnId(*by))?))?;
        }
        Command::KeyChanged(key, above) => {
            let at = mvcc::key_changed_since(snapshot, key.as_bytes(), Timestamp(*above))?;
            writeln!(out, "{}", at.map_or("no".to_owned(), |head| head.at.to_string()))?;
        }
        Command::Changed(from, to, after, until) => {
            let span = span(Some(from), Some(to));
            match mvcc::changed_in(snapshot, &span, Timestamp(*after), Timestamp(*until))? {
                Some((key, head)) => writeln!(out, "{key} {}", head.at)?,
                None => writeln!(out, "unchanged")?,
            }
        }
        Command::Scan(from, to, at, reverse, rows) => {
            let direction = if *reverse { Direction::Reverse } else { Direction::Forward };
            let limits = Limits { rows: *rows, bytes: 0 };
            let span = span(from.as_deref(), to.as_deref());
            let rest = mvcc::scan::<Box<dyn Error>>(snapshot, &span, Timestamp(*at), direction, limits, |row| {
                writeln!(out, "{} = {} {}", row.key.escape_ascii(), row.value.escape_ascii(), row.at)?;
                Ok(Visit::Take { bytes: row.value.len() })
            })?;
            if let Some(rest) = rest {
                writeln!(out, "rest {rest}")?;
            }
        }
        Command::Intents => {
            let mut intents = Intents::new(snapshot, &Span::all())?;
            while let Some((key, intent)) = intents.next()? {
                let value =
                    intent.value.as_ref().map_or("deletes".to_owned(), |value| value.escape_ascii().to_string());
                writeln!(out, "{key}: {value} {} of {}, anchor {}", intent.at, intent.txn, intent.anchor)?;
            }
        }
        Command::Records => {
            for (anchor, txn, record) in mvcc::records(snapshot, &Span::all(), 100)? {
                writeln!(out, "{anchor} {txn}: {record:?}")?;
            }
        }
        Command::Collect(floor, max) => {
            batch = mvcc::collect_records(snapshot, &Span::all(), Timestamp(*floor), 100)?;
            writeln!(out, "records: {}", batch.operations().len())?;
            engine.write(&batch, Durability::Logged)?;
            return collect(engine, Timestamp(*floor), max.unwrap_or(1000), out);
        }
        Command::Split(from, to) => {
            let key = mvcc::split_key(snapshot, &span(from.as_deref(), to.as_deref()))?;
            writeln!(out, "{}", key.map_or("nowhere".to_owned(), |key| key.to_string()))?;
        }
        Command::Copy(bytes) => return copy(snapshot, *bytes),
        Command::Dump => dump(snapshot, &mut out)?,
    }
    engine.write(&batch, Durability::Logged)?;
    Ok(out)
}

fn put(batch: &mut Batch, key: &str, value: Option<&String>, at: u64, by: Option<u64>, changes_key: bool) {
    let value = value.map(String::as_bytes);
    mvcc::put_version(batch, key.as_bytes(), Timestamp(at), TxnId(by.unwrap_or(at)), value, changes_key);
}

fn head(head: Option<mvcc::VersionHead>) -> String {
    let Some(head) = head else { return "none".to_owned() };
    let deleted = if head.deleted { " deleted" } else { "" };
    let changes_key = if head.changes_key { " changes its key" } else { "" };
    format!("{} by {}{deleted}{changes_key}", head.at, head.writer)
}

fn span(from: Option<&str>, to: Option<&str>) -> Span {
    Span::new(from.map_or(Key::MIN, Key::from), to.map_or(Key::MAX, Key::from))
}

fn collect(engine: &dyn Engine, floor: Timestamp, max: u64, mut out: String) -> Outcome {
    let mut span = Some(Span::all());
    while let Some(todo) = span {
        let collected = mvcc::collect_versions(&*engine.snapshot(), &todo, floor, max, 1000)?;
        write!(out, "versions: {}", collected.versions)?;
        writeln!(out, "{}", collected.resume.as_ref().map_or(String::new(), |rest| format!(", then {rest}")))?;
        engine.write(&collected.batch, Durability::Logged)?;
        span = collected.resume;
    }
    Ok(out)
}

fn copy(snapshot: &dyn Snapshot, bytes: usize) -> Outcome {
    let target = MemoryEngine::open(&MemoryDisk::new());
    let mut cursor = Some(Cursor::start(&Span::all()));
    let mut chunks = 0;
    while let Some(from) = cursor {
        let (chunk, next) = mvcc::export_chunk(snapshot, &Span::all(), &from, bytes)?;
        let mut batch = Batch::new();
        mvcc::import_chunk(&chunk, &Span::all(), &mut batch)?;
        target.write(&batch, Durability::Logged)?;
        cursor = next;
        chunks += 1;
    }
    let (mut before, mut after) = (String::new(), String::new());
    dump(snapshot, &mut before)?;
    dump(&*target.snapshot(), &mut after)?;
    assert_eq!(before, after);
    let checksum = mvcc::checksum(&*target.snapshot(), &Span::all(), Timestamp::ZERO)?;
    assert_eq!(checksum, mvcc::checksum(snapshot, &Span::all(), Timestamp::ZERO)?);
    Ok(format!("{chunks} chunks, the same state\n"))
}

fn dump(snapshot: &dyn Snapshot, out: &mut String) -> Result<(), Box<dyn Error>> {
    for family in [Family::Data, Family::Intents, Family::Txns] {
        let mut iter = snapshot.iter(family, &[], &[0xff]);
        iter.seek(&[])?;
        while iter.valid() {
            writeln!(out, "{family:?} {} → {}", iter.key().escape_ascii(), iter.value().escape_ascii())?;
            iter.next()?;
        }
    }
    Ok(())
}
