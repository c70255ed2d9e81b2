//! WITH: queries whose rows are read from several places, and recursive ones.
//!
//! A CTE's rows are made as they are asked for and kept; each scan of it has a place of its own among them. An infinite
//! recursion under a LIMIT thus ends. CTEs that change rows run to their end first, whoever reads them.

use std::sync::Arc;

use async_trait::async_trait;
use expr::{Row, SqlType};
use parking_lot::Mutex;

use super::hash_key::KeySet;
use super::{BATCH_ROWS, BoxOperator, Context, HeldRows, Operator, Profile, open};
use crate::SqlResult;
use crate::plan::{Cte, Node, Plan};

/// The CTEs and working tables that a part of a plan may read; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Scope<'p> {
    entry: Option<Arc<Entry<'p>>>,
    /// Where operators leave what they have done, for EXPLAIN ANALYZE.
    profile: Option<&'p Profile>,
}

struct Entry<'p> {
    id: usize,
    what: Source<'p>,
    outer: Scope<'p>,
}

enum Source<'p> {
    Cte(Arc<tokio::sync::Mutex<Stream<'p>>>),
    Working(Arc<Mutex<Arc<Vec<Row>>>>),
}

impl<'p> Scope<'p> {
    pub fn profiled(profile: &'p Profile) -> Scope<'p> {
        Scope { entry: None, profile: Some(profile) }
    }

    /// The operator of `plan`, watched if that is wanted.
    pub fn measured(&self, plan: &'p Plan, operator: BoxOperator<'p>) -> BoxOperator<'p> {
        match self.profile {
            None => operator,
            Some(profile) => profile.watch(plan, operator),
        }
    }

    fn with(&self, id: usize, what: Source<'p>) -> Scope<'p> {
        let entry = Entry { id, what, outer: self.clone() };
        Scope { entry: Some(Arc::new(entry)), profile: self.profile }
    }

    fn find(&self, id: usize, is_cte: bool) -> &Source<'p> {
        let mut scope = self;
        while let Some(entry) = &scope.entry {
            if entry.id == id && matches!(entry.what, Source::Cte(_)) == is_cte {
                return &entry.what;
            }
            scope = &entry.outer;
        }
        unreachable!("a plan reads CTE {id}, which is not in scope")
    }
}

/// A CTE's rows as far as they have been asked for.
struct Stream<'p> {
    operator: BoxOperator<'p>,
    rows: Option<HeldRows>,
    done: bool,
}

impl Stream<'_> {
    /// A batch of rows from `at` on; makes more if they are not there yet.
    async fn read(&mut self, at: usize, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        while !self.done && self.rows.as_ref().is_none_or(|rows| rows.len() <= at) {
            match self.operator.next(ctx).await? {
                Some(rows) => self.rows.get_or_insert_with(|| HeldRows::new(ctx)).extend(rows)?,
                None => self.done = true,
            }
        }
        let rows = self.rows.as_ref().map_or(&[][..], HeldRows::rows);
        let end = rows.len().min(at + BATCH_ROWS);
        Ok((at < end).then(|| rows[at..end].to_vec()))
    }
}

pub(crate) struct With<'p> {
    body: BoxOperator<'p>,
    /// CTEs that change rows, in order, until they have run.
    changing: Vec<Arc<tokio::sync::Mutex<Stream<'p>>>>,
}

impl<'p> With<'p> {
    pub fn open(ctes: &'p [Cte], body: &'p Plan, scope: &Scope<'p>) -> SqlResult<With<'p>> {
        let mut scope = scope.clone();
        let mut changing = Vec::new();
        for cte in ctes {
            let stream = Stream { operator: open(&cte.plan, &scope)?, rows: None, done: false };
            let stream = Arc::new(tokio::sync::Mutex::new(stream));
            if changes_rows(&cte.plan) {
                changing.push(stream.clone());
            }
            scope = scope.with(cte.id, Source::Cte(stream));
        }
        Ok(With { body: open(body, &scope)?, changing })
    }
}

/// Only the top of a CTE can be INSERT, UPDATE or DELETE; a projection of RETURNING may stand above.
fn changes_rows(plan: &Plan) -> bool {
    match &plan.node {
        Node::Insert(_) | Node::Update(_) | Node::Delete(_) => true,
        Node::Project { input, .. } => changes_rows(input),
        Node::With { ctes, body } => changes_rows(body) || ctes.iter().any(|cte| changes_rows(&cte.plan)),
        _ => false,
    }
}

#[async_trait]
impl Operator for With<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        for stream in std::mem::take(&mut self.changing) {
            let mut stream = stream.lock().await;
            let mut at = 0;
            while let Some(rows) = stream.read(at, ctx).await? {
                at += rows.len();
            }
        }
        self.body.next(ctx).await
    }
}

pub(crate) struct CteScan<'p> {
    stream: Arc<tokio::sync::Mutex<Stream<'p>>>,
    at: usize,
}

impl<'p> CteScan<'p> {
    pub fn open(id: usize, scope: &Scope<'p>) -> CteScan<'p> {
        let Source::Cte(stream) = scope.find(id, true) else { unreachable!("asked for a CTE") };
        CteScan { stream: stream.clone(), at: 0 }
    }
}

#[async_trait]
impl Operator for CteScan<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        let rows = self.stream.lock().await.read(self.at, ctx).await?;
        self.at += rows.as_ref().map_or(0, Vec::len);
        Ok(rows)
    }
}

/// `base UNION [ALL] step`, where `step` reads the rows that the round before has put out.
pub(crate) struct Recursive<'p> {
    step: &'p Plan,
    inner: Scope<'p>,
    working: Arc<Mutex<Arc<Vec<Row>>>>,
    /// Of this round.
    operator: Option<BoxOperator<'p>>,
    /// What this round has put out: the working table of the next one.
    made: Vec<Row>,
    distinct: bool,
    types: Vec<SqlType>,
    seen: Option<KeySet>,
}

impl<'p> Recursive<'p> {
    pub fn open(
        id: usize,
        base: &'p Plan,
        step: &'p Plan,
        distinct: bool,
        scope: &Scope<'p>,
    ) -> SqlResult<Recursive<'p>> {
        let working = Arc::new(Mutex::new(Arc::new(Vec::new())));
        let inner = scope.with(id, Source::Working(working.clone()));
        let operator = Some(open(base, scope)?);
        let types = base.fields.iter().map(|field| field.ty).collect();
        Ok(Recursive { step, inner, working, operator, made: Vec::new(), distinct, types, seen: None })
    }
}

#[async_trait]
impl Operator for Recursive<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        while let Some(operator) = &mut self.operator {
            ctx.breathe().await?;
            let Some(mut rows) = operator.next(ctx).await? else {
                let made = std::mem::take(&mut self.made);
                self.operator = if made.is_empty() { None } else { Some(open(self.step, &self.inner)?) };
                *self.working.lock() = Arc::new(made);
                continue;
            };
            if self.distinct {
                let seen = self.seen.get_or_insert_with(|| KeySet::new(ctx, self.types.iter().copied()));
                let mut kept = Vec::with_capacity(rows.len());
                for row in rows {
                    if seen.insert(&row)? {
                        kept.push(row);
                    }
                }
                rows = kept;
            }
            if !rows.is_empty() {
                self.made.extend(rows.iter().cloned());
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }
}

/// The rows of the round before.
pub(crate) struct WorkingTable {
    source: Arc<Mutex<Arc<Vec<Row>>>>,
    rows: Option<Arc<Vec<Row>>>,
    at: usize,
}

impl WorkingTable {
    pub fn open(id: usize, scope: &Scope<'_>) -> WorkingTable {
        let Source::Working(source) = scope.find(id, false) else { unreachable!("asked for a working table") };
        WorkingTable { source: source.clone(), rows: None, at: 0 }
    }
}

#[async_trait]
impl Operator for WorkingTable {
    async fn next(&mut self, _ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        let rows = self.rows.get_or_insert_with(|| self.source.lock().clone());
        let end = rows.len().min(self.at + BATCH_ROWS);
        let batch = rows[self.at..end].to_vec();
        self.at = end;
        Ok(Some(batch).filter(|batch| !batch.is_empty()))
    }
}
