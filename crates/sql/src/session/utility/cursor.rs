//! DECLARE, FETCH, MOVE and CLOSE.

use std::sync::Arc;

use expr::{Datum, Row};

use crate::exec::HeldRows;
use crate::parse::ast::{DeclareCursor, Fetch, FetchDirection, Name, Statement};
use crate::session::Session;
use crate::session::answer::Answer;
use crate::session::portal::{Cursor, Portal, Progress, RunningQuery, no_such_cursor};
use crate::session::prepared::Prepared;
use crate::session::run::{Columns, Limit, Outcome};
use crate::{SqlError, SqlResult};

/// Rows read at a time when a cursor is moved.
const STEP: usize = 1024;

impl Session {
    pub(super) async fn declare_cursor(
        &mut self,
        declare: &DeclareCursor,
        within: &Prepared,
        params: &[Datum],
        limit: &Limit,
    ) -> SqlResult<()> {
        if !declare.hold {
            self.require_block("DECLARE CURSOR")?;
        }
        let name = declare.name.as_str();
        if self.portals.contains_key(name) {
            return Err(SqlError::new("42P03", format!("cursor \"{name}\" already exists")));
        }
        let query = Statement::Query(declare.query.clone());
        let now = self.server.now_micros();
        let prepared = Arc::new(Prepared::new(within.source.clone(), Some(query), within.declared.clone(), now));
        let (open, catalog, planned) = self.start_planned(&prepared, limit).await?;
        if planned.writes {
            return Err(SqlError::new("0A000", "DECLARE CURSOR must not contain data-modifying statements in WITH"));
        }
        let mut slots = params.to_vec();
        slots.resize(planned.slots.max(params.len()), Datum::Null);
        let ctx = self.context(&open, catalog, slots);
        let mut portal = Portal::new(prepared, Some(planned.clone()), Vec::new(), self.depth());
        let scroll = declare.scroll.unwrap_or(!planned.locks);
        portal.cursor = Some(Cursor {
            hold: declare.hold,
            scroll,
            binary: declare.binary,
            declared_at: now,
            seen: scroll.then(|| HeldRows::new(&ctx)),
            position: 0,
            fields: planned.plan.fields.clone(),
        });
        portal.progress = Progress::Running { query: RunningQuery::start(planned.clone(), ctx), planned };
        self.portals.insert(name.to_owned(), portal);
        Ok(())
    }

    pub(super) async fn fetch_cursor(
        &mut self,
        fetch: &Fetch,
        answer: &mut Answer<'_>,
        limit: &Limit,
    ) -> SqlResult<Outcome> {
        let name = fetch.cursor.as_str();
        let surroundings = self.surroundings();
        let portal = self.portals.get_mut(name).ok_or_else(|| no_such_cursor(name))?;
        let (Some(cursor), Progress::Running { query, .. }) = (&mut portal.cursor, &mut portal.progress) else {
            return Err(SqlError::new("24000", format!("portal \"{name}\" cannot be fetched from by SQL")));
        };
        let rows = Position { cursor, query, limit }.fetch(fetch.direction).await?;
        let fields = cursor.fields.clone();
        let count = rows.len();
        if fetch.is_move {
            return Ok(Outcome::done(format!("MOVE {count}")));
        }
        answer.rows(&fields, rows, &surroundings.eval()).await?;
        Ok(Outcome { tag: format!("FETCH {count}"), columns: Columns::Own(fields) })
    }

    pub(super) fn close_cursor(&mut self, name: Option<&Name>) -> SqlResult<Outcome> {
        match name {
            None => {
                self.portals.retain(|_, portal| portal.cursor.is_none());
                Ok(Outcome::done("CLOSE CURSOR ALL"))
            }
            Some(name) => match self.portals.remove(name.as_str()) {
                Some(_) => Ok(Outcome::done("CLOSE CURSOR")),
                None => Err(no_such_cursor(name.as_str())),
            },
        }
    }
}

/// A cursor's place among its rows: before the first (0), on a row, or after the last.
struct Position<'a> {
    cursor: &'a mut Cursor,
    query: &'a mut RunningQuery,
    limit: &'a Limit,
}

impl Position<'_> {
    async fn fetch(&mut self, direction: FetchDirection) -> SqlResult<Vec<Row>> {
        match direction {
            FetchDirection::Forward(0) | FetchDirection::Backward(0) | FetchDirection::Relative(0) => {
                self.again().await
            }
            FetchDirection::Forward(count) if count > 0 => self.forward(count as u64).await,
            FetchDirection::Backward(count) if count < 0 => self.forward(count.unsigned_abs()).await,
            FetchDirection::Forward(count) | FetchDirection::Backward(count) => {
                self.backward(count.unsigned_abs()).await
            }
            FetchDirection::Absolute(to) if to >= 0 => self.go_to(to as u64).await,
            FetchDirection::Absolute(to) => {
                while !self.forward(STEP as u64).await?.is_empty() {}
                let end = self.cursor.position;
                self.go_to(end.saturating_sub(to.unsigned_abs())).await
            }
            FetchDirection::Relative(by) => {
                let to = self.cursor.position.saturating_add_signed(by);
                self.go_to(to).await
            }
        }
    }

    /// The row it is on.
    async fn again(&mut self) -> SqlResult<Vec<Row>> {
        let position = self.cursor.position;
        match position.checked_sub(1) {
            None => Ok(Vec::new()),
            Some(before) => {
                self.must_scroll()?;
                self.cursor.position = before;
                self.forward(1).await
            }
        }
    }

    /// To the row of this number, which is the answer if there is one.
    async fn go_to(&mut self, to: u64) -> SqlResult<Vec<Row>> {
        let Some(before) = to.checked_sub(1) else {
            if self.cursor.position > 0 {
                self.must_scroll()?;
            }
            self.cursor.position = 0;
            return Ok(Vec::new());
        };
        if before < self.cursor.position {
            self.must_scroll()?;
            self.cursor.position = before;
        }
        while self.cursor.position < before {
            let step = (before - self.cursor.position).min(STEP as u64);
            if self.forward(step).await?.is_empty() {
                return Ok(Vec::new());
            }
        }
        self.forward(1).await
    }

    async fn forward(&mut self, count: u64) -> SqlResult<Vec<Row>> {
        let mut out = Vec::new();
        // Rows that were read before it went back.
        if let Some(seen) = &self.cursor.seen {
            let from = (self.cursor.position as usize).min(seen.len());
            let to = from.saturating_add(usize::try_from(count).unwrap_or(usize::MAX)).min(seen.len());
            out.extend(seen.rows()[from..to].iter().cloned());
        }
        while (out.len() as u64) < count {
            let step = (count - out.len() as u64).min(STEP as u64) as usize;
            let rows = self.limit.run(self.query.fetch(step)).await?;
            if rows.is_empty() {
                // After the last row, which is one further than on it.
                self.cursor.position += out.len() as u64 + u64::from(!self.cursor.at_end(out.len() as u64));
                return Ok(out);
            }
            if let Some(seen) = &mut self.cursor.seen {
                seen.extend(rows.clone())?;
            }
            out.extend(rows);
        }
        self.cursor.position += out.len() as u64;
        Ok(out)
    }

    async fn backward(&mut self, count: u64) -> SqlResult<Vec<Row>> {
        self.must_scroll()?;
        let Some(seen) = &self.cursor.seen else { return Ok(Vec::new()) };
        let last = self.cursor.position.saturating_sub(1).min(seen.len() as u64);
        let first = last.saturating_sub(count);
        let mut rows = seen.rows()[first as usize..last as usize].to_vec();
        rows.reverse();
        // On the last row given out; before the first one if there were not enough.
        self.cursor.position = if last - first < count { 0 } else { first + 1 };
        Ok(rows)
    }

    fn must_scroll(&self) -> SqlResult<()> {
        if self.cursor.scroll {
            return Ok(());
        }
        Err(SqlError::new("55000", "cursor can only scan forward")
            .with_hint("Declare it with SCROLL option to enable backward scan."))
    }
}
