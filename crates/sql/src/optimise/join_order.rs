//! Inner joins in the order that keeps intermediate results small.
//!
//! A group of inner joins (whatever its nesting was) is taken apart into relations and conditions, and put together
//! again from the smallest relation on, each time with the relation that makes the fewest rows. Relations that no
//! condition connects come last. The original order decides between equals.

use expr::{Expr, SqlType};

use super::estimate::{self, distinct_values, selectivity};
use super::{deeper, take};
use crate::plan::expression::{columns, conjunction, conjuncts, map_columns};
use crate::plan::{Field, Join, JoinKind, Node, Plan};

pub fn order_joins(plan: &mut Plan) {
    if !is_inner_join(plan) {
        for input in plan.node.inputs_mut() {
            deeper(|| order_joins(input));
        }
        return;
    }
    let fields = std::mem::take(&mut plan.fields);
    let mut group = Group::default();
    group.gather(take(plan));
    for relation in &mut group.relations {
        deeper(|| order_joins(&mut relation.plan));
    }
    *plan = group.together(fields);
}

fn is_inner_join(plan: &Plan) -> bool {
    matches!(&plan.node, Node::Join(join) if join.kind == JoinKind::Inner && join.equal.is_empty())
}

struct Relation {
    plan: Plan,
    /// Its first column in the group's original row.
    start: usize,
    rows: f64,
}

#[derive(Default)]
struct Group {
    relations: Vec<Relation>,
    /// Over the original row.
    conditions: Vec<Expr>,
    width: usize,
}

impl Group {
    /// Takes a tree of inner joins apart, left to right.
    fn gather(&mut self, plan: Plan) {
        if !is_inner_join(&plan) {
            let start = self.width;
            self.width += plan.fields.len();
            self.relations.push(Relation { plan, start, rows: 0.0 });
            return;
        }
        let Node::Join(Join { left, right, condition, .. }) = plan.node else { unreachable!("it was just looked at") };
        let start = self.width;
        self.gather(*left);
        self.gather(*right);
        for mut condition in condition.into_iter().flat_map(conjuncts) {
            map_columns(&mut condition, &mut |index| index + start);
            self.conditions.push(condition);
        }
    }

    fn relation_of(&self, column: usize) -> usize {
        self.relations.partition_point(|relation| relation.start <= column) - 1
    }

    /// The relations that a condition is about.
    fn needs(&self, condition: &Expr) -> Vec<usize> {
        let mut out: Vec<usize> = Vec::with_capacity(2);
        columns(condition, &mut |column| {
            let relation = self.relation_of(column);
            if !out.contains(&relation) {
                out.push(relation);
            }
        });
        out
    }

    fn together(mut self, fields: Vec<Field>) -> Plan {
        for relation in &mut self.relations {
            relation.rows = estimate::rows(&relation.plan);
        }
        let conditions: Vec<(Expr, Vec<usize>)> = std::mem::take(&mut self.conditions)
            .into_iter()
            .map(|condition| {
                let needs = self.needs(&condition);
                (condition, needs)
            })
            .collect();
        let order = self.order(&conditions);
        self.build(&order, conditions, fields)
    }

    /// Numbers of relations, in the order of joining.
    fn order(&self, conditions: &[(Expr, Vec<usize>)]) -> Vec<usize> {
        let count = self.relations.len();
        let smallest = (0..count).min_by(|a, b| self.relations[*a].rows.total_cmp(&self.relations[*b].rows));
        let first = smallest.expect("a join has relations");
        let mut order = vec![first];
        let mut rows = self.relations[first].rows;
        while order.len() < count {
            let rest = (0..count).filter(|relation| !order.contains(relation));
            let candidates = rest.map(|relation| {
                let (connected, result) = self.joined_rows(&order, rows, relation, conditions);
                (!connected, result, relation)
            });
            let best = candidates.min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
            let (_, result, relation) = best.expect("there is one left");
            rows = result;
            order.push(relation);
        }
        order
    }

    /// Is the relation connected with those joined already, and how many rows does it make with them?
    fn joined_rows(
        &self,
        order: &[usize],
        rows: f64,
        relation: usize,
        conditions: &[(Expr, Vec<usize>)],
    ) -> (bool, f64) {
        let next = &self.relations[relation];
        let mut result = rows * next.rows;
        let mut connected = false;
        for (condition, needs) in conditions {
            let now = needs.contains(&relation)
                && needs.len() > 1
                && needs.iter().all(|need| *need == relation || order.contains(need));
            if !now {
                continue;
            }
            connected = true;
            result *= self.equality(condition).unwrap_or_else(|| selectivity(condition));
        }
        (connected, result.max(1.0))
    }

    /// The selectivity of an equality between relations.
    fn equality(&self, condition: &Expr) -> Option<f64> {
        let Expr::Call { args, .. } = condition else { return None };
        if expr::operators::by_function(function_of(condition)?)?.name != "=" {
            return None;
        }
        let most = args.iter().map(|side| self.distinct_in_own(side)).fold(1.0, f64::max);
        Some(1.0 / most)
    }

    fn distinct_in_own(&self, side: &Expr) -> f64 {
        let [relation] = self.needs(side)[..] else { return 1.0 };
        let own = &self.relations[relation];
        let mut side = side.clone();
        map_columns(&mut side, &mut |column| column - own.start);
        distinct_values(&own.plan, &side)
    }

    fn build(mut self, order: &[usize], mut conditions: Vec<(Expr, Vec<usize>)>, fields: Vec<Field>) -> Plan {
        // Where each original column is in the row made so far.
        let mut places = vec![usize::MAX; self.width];
        let mut joined: Vec<usize> = Vec::with_capacity(order.len());
        let mut plan: Option<Plan> = None;
        for number in order {
            let relation = &mut self.relations[*number];
            let next = take(&mut relation.plan);
            let offset = plan.as_ref().map_or(0, |plan| plan.fields.len());
            for column in 0..next.fields.len() {
                places[relation.start + column] = offset + column;
            }
            joined.push(*number);
            let (ready, later): (Vec<_>, Vec<_>) =
                conditions.into_iter().partition(|(_, needs)| needs.iter().all(|need| joined.contains(need)));
            conditions = later;
            let ready = ready.into_iter().map(|(mut condition, _)| {
                map_columns(&mut condition, &mut |column| places[column]);
                condition
            });
            plan = Some(match plan {
                None => match conjunction(ready) {
                    None => next,
                    Some(condition) => next.filter(condition),
                },
                Some(left) => {
                    let fields = left.fields.iter().chain(&next.fields).cloned().collect();
                    let join = Join {
                        kind: JoinKind::Inner,
                        left: Box::new(left),
                        right: Box::new(next),
                        equal: Vec::new(),
                        condition: conjunction(ready),
                    };
                    Plan::new(Node::Join(join), fields)
                }
            });
        }
        let plan = plan.expect("a join has relations");
        if places.iter().enumerate().all(|(column, place)| column == *place) {
            return Plan { fields, ..plan };
        }
        let exprs =
            places.iter().zip(&fields).map(|(place, field)| Expr::Column { index: *place, ty: field.ty }).collect();
        Plan::new(Node::Project { input: Box::new(plan), exprs }, fields)
    }
}

fn function_of(condition: &Expr) -> Option<expr::FunctionId> {
    match condition {
        Expr::Call { function, ty, .. } if ty.base() == SqlType::BOOL => Some(*function),
        _ => None,
    }
}
