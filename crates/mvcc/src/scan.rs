//! The rows of a span as of a timestamp, in either direction, without copying what nobody wants.
//!
//! [`Scan`] is a cursor that lends each row; [`scan`] runs it with limits and says where to resume. A key
//! with many versions costs a few steps and then a seek: [`STEPS_MAX`].

use keyspace::{Key, Span, Timestamp, TxnId};
use storage::{Family, Iter, SUFFIX_LEN, Snapshot};

use crate::bounds::{after_entries, entries_end};
use crate::version::{HEADER_LEN, data_key, decode_head, split_data_key};
use crate::{Error, Result, VersionHead};

/// Steps over versions of one key before a seek is cheaper.
const STEPS_MAX: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Reverse,
}

/// The version of a key that is visible, and not a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    pub key: &'a [u8],
    pub value: &'a [u8],
    pub at: Timestamp,
    pub writer: TxnId,
}

/// Where a scan stops by itself. Zero is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub rows: u64,
    pub bytes: usize,
}

/// What to do with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// It was taken and counts as one row and this many bytes.
    Take { bytes: usize },
    /// It was not wanted and counts as nothing.
    Drop,
    /// Stop before it; the rest begins with it.
    StopBefore,
}

/// Calls `visit` with each row; what is left of the span when it stopped early is the answer.
pub fn scan<E: From<Error>>(
    snapshot: &dyn Snapshot,
    span: &Span,
    at: Timestamp,
    direction: Direction,
    limits: Limits,
    mut visit: impl FnMut(Row<'_>) -> std::result::Result<Visit, E>,
) -> std::result::Result<Option<Span>, E> {
    let mut scan = Scan::new(snapshot, span.clone(), at, direction);
    let (mut rows, mut bytes) = (0, 0);
    while let Some(row) = scan.next()? {
        match visit(row)? {
            Visit::Drop => {}
            Visit::StopBefore => return Ok(Some(scan.rest(Rest::WithRow))),
            Visit::Take { bytes: taken } => {
                rows += 1;
                bytes += taken;
                if (limits.rows > 0 && rows >= limits.rows) || (limits.bytes > 0 && bytes >= limits.bytes) {
                    return Ok(Some(scan.rest(Rest::WithoutRow)).filter(|rest| !rest.is_empty()));
                }
            }
        }
    }
    Ok(None)
}

/// Does the rest of a scan include the row it stands on?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    WithRow,
    WithoutRow,
}

/// A cursor over visible rows.
pub struct Scan<'s> {
    iter: Box<dyn Iter + 's>,
    span: Span,
    at: Timestamp,
    direction: Direction,
    started: bool,
    /// The key the cursor stands on or has just left.
    key: Vec<u8>,
    /// The stored version, in reverse: it is found out only behind it that it was the newest.
    stored: Vec<u8>,
    head: VersionHead,
}

impl<'s> Scan<'s> {
    pub fn new(snapshot: &'s dyn Snapshot, span: Span, at: Timestamp, direction: Direction) -> Scan<'s> {
        let iter = snapshot.iter(Family::Data, &span.start, &entries_end(&span.end));
        let head = VersionHead { at, writer: TxnId::default(), deleted: false, changes_key: false };
        Scan { iter, span, at, direction, started: false, key: Vec::new(), stored: Vec::new(), head }
    }

    /// The next row, until there is none. Not to be called again after an error.
    #[expect(clippy::should_implement_trait, reason = "it may fail and it lends")]
    pub fn next(&mut self) -> Result<Option<Row<'_>>> {
        let found = match self.direction {
            Direction::Forward => self.advance()?,
            Direction::Reverse => self.retreat()?,
        };
        if !found {
            return Ok(None);
        }
        let stored = match self.direction {
            Direction::Forward => self.iter.value(),
            Direction::Reverse => &self.stored,
        };
        Ok(Some(Row { key: &self.key, value: &stored[HEADER_LEN..], at: self.head.at, writer: self.head.writer }))
    }

    /// What is left of the span, seen from the row that was lent last.
    pub fn rest(&self, rest: Rest) -> Span {
        let here = Key::from(&self.key[..]);
        match (self.direction, rest) {
            (Direction::Forward, Rest::WithRow) => Span::new(here, self.span.end.clone()),
            (Direction::Forward, Rest::WithoutRow) => Span::new(here.successor(), self.span.end.clone()),
            (Direction::Reverse, Rest::WithRow) => Span::new(self.span.start.clone(), here.successor()),
            (Direction::Reverse, Rest::WithoutRow) => Span::new(self.span.start.clone(), here),
        }
    }

    fn advance(&mut self) -> Result<bool> {
        if self.started {
            self.skip_key()?;
        } else {
            self.started = true;
            self.iter.seek(&self.span.start)?;
        }
        while self.iter.valid() {
            let (key, at) = split_data_key(self.iter.key())?;
            if key >= &self.span.end[..] {
                return Ok(false);
            }
            self.key.clear();
            self.key.extend_from_slice(key);
            if self.key[..] < self.span.start[..] {
                self.skip_key()?;
            } else if at > self.at {
                self.skip_invisible()?;
            } else {
                self.head = decode_head(at, self.iter.value())?;
                if !self.head.deleted {
                    return Ok(true);
                }
                self.skip_key()?;
            }
        }
        Ok(false)
    }

    /// Past all versions of the current key.
    fn skip_key(&mut self) -> Result<()> {
        for _ in 0..STEPS_MAX {
            self.iter.next()?;
            if !self.iter.valid() || split_data_key(self.iter.key())?.0 != self.key {
                return Ok(());
            }
        }
        self.iter.seek(&after_entries(&self.key))
    }

    /// Past the versions of the current key that are too new.
    fn skip_invisible(&mut self) -> Result<()> {
        for _ in 0..STEPS_MAX {
            self.iter.next()?;
            if !self.iter.valid() {
                return Ok(());
            }
            let (key, at) = split_data_key(self.iter.key())?;
            if key != self.key || at <= self.at {
                return Ok(());
            }
        }
        self.iter.seek(&data_key(&self.key, self.at))
    }

    fn retreat(&mut self) -> Result<bool> {
        if !self.started {
            self.started = true;
            self.seek_to_end()?;
        }
        while self.iter.valid() {
            let (key, _) = split_data_key(self.iter.key())?;
            if key < &self.span.start[..] {
                return Ok(false);
            }
            self.key.clear();
            self.key.extend_from_slice(key);
            let found = self.collect_visible()?;
            self.leave_key_in_reverse()?;
            if found && !self.head.deleted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// To the last entry of a key below the end. The widened end takes in the entries of `k` where the end
    /// is the successor of `k`. If something not below the end is met there, the end is no successor.
    fn seek_to_end(&mut self) -> Result<()> {
        self.iter.seek_for_prev(&entries_end(&self.span.end))?;
        if self.iter.valid() && split_data_key(self.iter.key())?.0 >= &self.span.end[..] {
            self.iter.seek_for_prev(&self.span.end)?;
        }
        Ok(())
    }

    /// Oldest first, up to the newest visible version, which is copied. `false` if none is visible.
    fn collect_visible(&mut self) -> Result<bool> {
        let mut found = false;
        for _ in 0..STEPS_MAX {
            if !self.iter.valid() {
                return Ok(found);
            }
            let (key, at) = split_data_key(self.iter.key())?;
            if key != self.key || at > self.at {
                return Ok(found);
            }
            self.keep_entry(at)?;
            found = true;
            self.iter.prev()?;
        }
        if self.iter.valid() && split_data_key(self.iter.key())?.0 == self.key {
            self.iter.seek(&data_key(&self.key, self.at))?;
            assert!(self.iter.valid(), "a version at or below this number was just seen");
            let at = split_data_key(self.iter.key())?.1;
            self.keep_entry(at)?;
        }
        Ok(found)
    }

    fn keep_entry(&mut self, at: Timestamp) -> Result<()> {
        let stored = self.iter.value();
        self.head = decode_head(at, stored)?;
        self.stored.clear();
        self.stored.extend_from_slice(stored);
        Ok(())
    }

    fn leave_key_in_reverse(&mut self) -> Result<()> {
        for _ in 0..STEPS_MAX {
            if !self.iter.valid() || split_data_key(self.iter.key())?.0 != self.key {
                return Ok(());
            }
            self.iter.prev()?;
        }
        if self.iter.valid() && split_data_key(self.iter.key())?.0 == self.key {
            let before_newest = [&self.key[..], &[0; SUFFIX_LEN]].concat();
            self.iter.seek_for_prev(&before_newest)?;
        }
        Ok(())
    }
}
