//! For each row of the input, rows of a table that its values name.
//!
//! Where the values name one row each, the look-ups of a whole batch are one request; else each input row has a scan of
//! its own.

use async_trait::async_trait;
use expr::Row;
use keyspace::{Key, Span};
use txn::{ScanSpec, Visible};

use super::hash_join::pad_right;
use super::scan::{Located, Reader, lock};
use super::spans::{Targets, targets};
use super::{BoxOperator, Context, Operator};
use crate::plan::{JoinKind, Scan};
use crate::{SqlError, SqlResult};

pub(crate) struct LookupJoin<'p> {
    input: BoxOperator<'p>,
    lookup: Lookup<'p>,
    reader: Option<Reader>,
}

/// What is joined, apart from where the rows come from.
struct Lookup<'p> {
    kind: JoinKind,
    scan: &'p Scan,
    condition: Option<&'p expr::Expr>,
}

impl<'p> LookupJoin<'p> {
    pub fn new(
        input: BoxOperator<'p>,
        kind: JoinKind,
        scan: &'p Scan,
        condition: Option<&'p expr::Expr>,
    ) -> SqlResult<LookupJoin<'p>> {
        match kind {
            JoinKind::Right | JoinKind::Full => {
                Err(SqlError::new("XX000", "a lookup join cannot keep rows that no input row names"))
            }
            _ => Ok(LookupJoin { input, lookup: Lookup { kind, scan, condition }, reader: None }),
        }
    }
}

impl Lookup<'_> {
    /// The rows that each input row names, before filter and condition.
    async fn look_up(&self, ctx: &Context, reader: &Reader, outer: &[Row]) -> SqlResult<Vec<Vec<Located>>> {
        let mut wanted: Vec<Targets> = Vec::with_capacity(outer.len());
        for row in outer {
            wanted.push(targets(ctx, reader.index(), &self.scan.ranges, row).await?);
        }
        let locate = self.scan.lock.is_some();
        let mut found: Vec<Vec<Located>> = Vec::with_capacity(outer.len());
        let mut points: Vec<(usize, Key)> = Vec::new();
        for (at, wanted) in wanted.into_iter().enumerate() {
            found.push(Vec::new());
            match wanted {
                Targets::Points(keys) => points.extend(keys.into_iter().map(|key| (at, key))),
                Targets::Spans(spans) => {
                    for span in spans {
                        let entries = read_span(ctx, span, self.scan.reverse).await?;
                        found[at].extend(reader.rows(ctx, entries, locate).await?);
                    }
                }
            }
        }
        if points.is_empty() {
            return Ok(found);
        }
        // Rows of a batch often name the same key.
        let mut keys: Vec<Key> = points.iter().map(|(_, key)| key.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        let values = ctx.txn().get_many(&keys, None, Visible::EarlierStatements, false).await?;
        let mut entries = Vec::new();
        let mut owners = Vec::new();
        for (at, key) in points {
            let place = keys.binary_search(&key).unwrap_or_else(|_| unreachable!("it was put there"));
            if let Some(value) = &values[place] {
                entries.push((key, value.clone()));
                owners.push(at);
            }
        }
        let rows = reader.rows(ctx, entries, locate).await?;
        for (at, row) in owners.into_iter().zip(rows) {
            found[at].push(row);
        }
        Ok(found)
    }

    async fn join(&self, ctx: &Context, left: Row, found: Vec<Located>, out: &mut Vec<Row>) -> SqlResult<()> {
        let mut matched = false;
        for Located { row: right, .. } in found {
            let mut pair = Vec::with_capacity(left.len() + right.len());
            pair.extend(left.iter().cloned());
            pair.extend(right);
            let holds = match self.condition {
                None => true,
                Some(condition) => ctx.holds(condition, &pair).await?,
            };
            if holds {
                matched = true;
                match self.kind {
                    JoinKind::Semi | JoinKind::Anti => break,
                    _ => out.push(pair),
                }
            }
        }
        match self.kind {
            JoinKind::Semi if matched => out.push(left),
            JoinKind::Anti if !matched => out.push(left),
            JoinKind::Left if !matched => out.push(pad_right(left, self.scan.columns.len())),
            _ => {}
        }
        Ok(())
    }

    async fn filter_and_lock(&self, ctx: &Context, rows: Vec<Located>) -> SqlResult<Vec<Located>> {
        let mut kept = match &self.scan.filter {
            None => rows,
            Some(filter) => {
                let mut kept = Vec::with_capacity(rows.len());
                for located in rows {
                    if ctx.holds(filter, &located.row).await? {
                        kept.push(located);
                    }
                }
                kept
            }
        };
        if let Some((mode, wait)) = self.scan.lock.filter(|_| !kept.is_empty()) {
            lock(ctx, &mut kept, mode, wait).await?;
        }
        Ok(kept)
    }
}

async fn read_span(ctx: &Context, span: Span, reverse: bool) -> SqlResult<Vec<(Key, bytes::Bytes)>> {
    let visible = Visible::EarlierStatements;
    let spec = ScanSpec { span, reverse, rows_max: 0, program: None, lock: None, visible, untracked: false };
    let mut scan = ctx.txn().scan(spec);
    let mut entries = Vec::new();
    loop {
        let page = scan.next_page().await?;
        if page.is_empty() {
            return Ok(entries);
        }
        ctx.breathe().await?;
        entries.extend(page.into_iter().map(|entry| (entry.key, entry.value)));
    }
}

#[async_trait]
impl Operator for LookupJoin<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        while let Some(rows) = self.input.next(ctx).await? {
            ctx.breathe().await?;
            let reader = match self.reader.take() {
                Some(reader) => reader,
                None => Reader::new(self.lookup.scan, ctx)?,
            };
            let mut out = Vec::new();
            // Not too many at once: each may name many rows.
            let mut rows = rows.into_iter();
            loop {
                let some: Vec<Row> = rows.by_ref().take(256).collect();
                if some.is_empty() {
                    break;
                }
                let found = self.lookup.look_up(ctx, &reader, &some).await?;
                for (left, found) in some.into_iter().zip(found) {
                    let found = self.lookup.filter_and_lock(ctx, found).await?;
                    self.lookup.join(ctx, left, found, &mut out).await?;
                }
            }
            self.reader = Some(reader);
            if !out.is_empty() {
                return Ok(Some(out));
            }
        }
        Ok(None)
    }
}
