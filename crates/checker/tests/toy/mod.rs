//! A strictly serializable store of lists in memory, and what takes that from it, one switch each.
//!
//! Transactions run step by step, many at a time, in an order drawn from a seed. Each reads at the number of its
//! begin, keeps its appends to itself, and commits only if nobody has committed into what it read or
//! appended to since: optimistic concurrency control.

use std::collections::BTreeMap;

use checker::append::{Generator, Sizes, Step, Txn};
use checker::{History, Load, Outcome, Process};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// As it should be.
    Off,
    /// Now and then a read-only transaction reads at an old number.
    StaleRead,
    /// Now and then one append of an acknowledged transaction is forgotten.
    LostAppend,
    /// Reads see what others have not committed.
    DirtyRead,
    /// What a transaction only read is not looked at again: snapshot isolation.
    UnprotectedReads,
    /// Numbers are of clocks that go apart: begin and commit come from the client's.
    SkewedClocks,
    /// Now and then an append happens twice.
    DoubleApply,
}

/// The simplest generator that does: xorshift.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

struct Client {
    process: Process,
    clock_ahead: u64,
    open: Option<Open>,
}

/// A transaction under way.
struct Open {
    asked: Txn,
    /// Its steps so far, with what was read.
    done: Vec<Step>,
    /// It sees what has a smaller number.
    at: u64,
}

#[derive(Default)]
struct Key {
    list: Vec<Element>,
}

struct Element {
    value: u32,
    at: u64,
}

pub struct Toy {
    switch: Switch,
    dice: Dice,
    now: u64,
    keys: BTreeMap<u32, Key>,
    clients: Vec<Client>,
    generator: Generator,
    pub history: History<Txn>,
}

impl Toy {
    pub fn new(switch: Switch, seed: u64, clients: u32) -> Toy {
        let mut dice = Dice::new(seed);
        let mut history = History::default();
        let clients = (0..clients)
            .map(|_| Client { process: history.new_process(), clock_ahead: dice.below(20), open: None })
            .collect();
        let generator = Generator::new(Sizes { keys: 8, steps_max: 4, appends_max: 32 });
        Toy { switch, dice, now: 1000, keys: BTreeMap::new(), clients, generator, history }
    }

    /// Runs until `txns` have ended.
    pub fn run(mut self, txns: usize) -> History<Txn> {
        let mut ended = 0;
        while ended < txns {
            let client = self.dice.below(self.clients.len() as u64) as usize;
            ended += usize::from(self.step(client));
        }
        self.history
    }

    /// Did a transaction end?
    fn step(&mut self, number: usize) -> bool {
        self.now += 1;
        let Some(mut open) = self.clients[number].open.take() else {
            self.begin(number);
            return false;
        };
        match open.asked.0.get(open.done.len()).cloned() {
            None => {
                self.end(number, open);
                true
            }
            Some(step) => {
                let done = match step {
                    Step::Read { key, .. } => Step::Read { key, seen: Some(self.read(&open, key)) },
                    append @ Step::Append { .. } => append,
                };
                open.done.push(done);
                self.clients[number].open = Some(open);
                false
            }
        }
    }

    fn number(&self, client: usize) -> u64 {
        let ahead = if self.switch == Switch::SkewedClocks { self.clients[client].clock_ahead } else { 0 };
        self.now + ahead
    }

    fn begin(&mut self, client: usize) {
        let dice = &mut self.dice;
        let asked = self.generator.next_op(&mut |bound| dice.below(bound));
        let only_reads = asked.0.iter().all(|step| matches!(step, Step::Read { .. }));
        let is_stale = self.switch == Switch::StaleRead && only_reads && self.dice.below(20) == 0;
        let at = self.number(client) - if is_stale { 100 } else { 0 };
        self.history.invoke(self.clients[client].process, self.now, asked.clone());
        self.clients[client].open = Some(Open { asked, done: Vec::new(), at });
    }

    fn read(&self, open: &Open, key: u32) -> Vec<u32> {
        let committed = self.keys.get(&key).into_iter().flat_map(|key| &key.list);
        let mut seen: Vec<u32> =
            committed.filter(|element| element.at < open.at).map(|element| element.value).collect();
        if self.switch == Switch::DirtyRead {
            for other in self.clients.iter().filter_map(|client| client.open.as_ref()) {
                seen.extend(appends(&other.done).filter(|(other, _)| *other == key).map(|(_, value)| value));
            }
        }
        seen.extend(appends(&open.done).filter(|(own, _)| *own == key).map(|(_, value)| value));
        seen
    }

    fn end(&mut self, client: usize, open: Open) {
        let at = self.number(client);
        // One in fifty is never heard of again, whether it happened or not; one in fifty gives up.
        let fate = self.dice.below(50);
        let conflict = open.done.iter().any(|step| self.is_in_conflict(&open, step));
        let outcome = match (conflict || fate == 0, fate) {
            (_, 1) => Outcome::Info,
            (true, _) => Outcome::Fail,
            (false, _) => Outcome::Ok,
        };
        if !conflict && fate != 0 {
            self.apply(&open, at);
        }
        let done = if outcome == Outcome::Ok { Txn(open.done) } else { open.asked };
        self.history.complete(self.clients[client].process, self.now, outcome, done);
        if outcome == Outcome::Info {
            self.clients[client].process = self.history.new_process();
        }
    }

    fn is_in_conflict(&self, open: &Open, step: &Step) -> bool {
        let (key, is_read) = match step {
            Step::Read { key, .. } => (key, true),
            Step::Append { key, .. } => (key, false),
        };
        if is_read && self.switch == Switch::UnprotectedReads {
            return false;
        }
        let only_reads = appends(&open.done).next().is_none();
        // A reader that writes nothing happens at the number of its begin.
        let newest = self.keys.get(key).and_then(|key| key.list.iter().map(|element| element.at).max());
        !only_reads && newest.is_some_and(|newest| newest >= open.at)
    }

    fn apply(&mut self, open: &Open, at: u64) {
        for (key, value) in appends(&open.done) {
            let fate = self.dice.below(200);
            let times = match self.switch {
                Switch::LostAppend if fate == 0 => 0,
                Switch::DoubleApply if fate == 0 => 2,
                _ => 1,
            };
            let list = &mut self.keys.entry(key).or_default().list;
            list.extend((0..times).map(|_| Element { value, at }));
        }
    }
}

fn appends(steps: &[Step]) -> impl Iterator<Item = (u32, u32)> + '_ {
    steps.iter().filter_map(|step| match step {
        Step::Append { key, value } => Some((*key, *value)),
        Step::Read { .. } => None,
    })
}
