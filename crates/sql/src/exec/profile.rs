//! What each operator of a statement has done, for EXPLAIN ANALYZE.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use expr::Row;
use parking_lot::Mutex;

use super::{BoxOperator, Context, Operator};
use crate::SqlResult;
use crate::plan::Plan;

/// By the address of a plan node, which stays where it is while it runs.
#[derive(Default)]
pub(crate) struct Profile(Mutex<BTreeMap<usize, Figures>>);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub rows: u64,
    /// How often it was started.
    pub loops: u64,
    /// With everything below it.
    pub time: Duration,
}

impl Profile {
    pub fn of(&self, plan: &Plan) -> Option<Figures> {
        self.0.lock().get(&address(plan)).copied()
    }

    pub fn watch<'p>(&'p self, plan: &'p Plan, operator: BoxOperator<'p>) -> BoxOperator<'p> {
        self.0.lock().entry(address(plan)).or_default().loops += 1;
        Box::new(Watched { profile: self, plan: address(plan), operator })
    }
}

fn address(plan: &Plan) -> usize {
    std::ptr::from_ref(plan).addr()
}

struct Watched<'p> {
    profile: &'p Profile,
    plan: usize,
    operator: BoxOperator<'p>,
}

#[async_trait]
impl Operator for Watched<'_> {
    async fn next(&mut self, ctx: &Context) -> SqlResult<Option<Vec<Row>>> {
        let start = ctx.shared.env.now();
        let result = self.operator.next(ctx).await;
        let mut figures = self.profile.0.lock();
        let figures = figures.entry(self.plan).or_default();
        figures.time += ctx.shared.env.now().since(start);
        if let Ok(Some(rows)) = &result {
            figures.rows += rows.len() as u64;
        }
        result
    }

    fn changed(&self) -> Option<u64> {
        self.operator.changed()
    }
}
