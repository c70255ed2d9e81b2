//! The workloads of which each seed has one or two.

use std::fmt;
use std::str::FromStr;

use checker::load::{Comments, Forks, Numbers, Parts, Registers, Sets, Skews, Upserts};

use super::append::Append;
use super::causal::Causal;
use super::families::Families;
use super::g2::G2;
use super::long_fork::LongFork;
use super::monotonic::Monotonic;
use super::notices::Notices;
use super::recorder::{Recorded, Recorder};
use super::register::Register;
use super::sequential::Sequential;
use super::set::Set;
use super::upsert::Upsert;
use crate::{Random, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Append,
    Register,
    Set,
    LongFork,
    Causal,
    G2,
    Monotonic,
    Sequential,
    Upsert,
    Families,
    Notices,
}

impl Kind {
    /// What is watched while it goes on: nothing is written down.
    pub const WATCHED: [Kind; 2] = [Kind::Families, Kind::Notices];

    /// Those with a history.
    pub const ALL: [Kind; 9] = [
        Kind::Append,
        Kind::Register,
        Kind::Set,
        Kind::LongFork,
        Kind::Causal,
        Kind::G2,
        Kind::Monotonic,
        Kind::Sequential,
        Kind::Upsert,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Append => "append",
            Kind::Register => "register",
            Kind::Set => "set",
            Kind::LongFork => "longfork",
            Kind::Causal => "causal",
            Kind::G2 => "g2",
            Kind::Monotonic => "monotonic",
            Kind::Sequential => "sequential",
            Kind::Upsert => "upsert",
            Kind::Families => "families",
            Kind::Notices => "notices",
        }
    }

    /// Append in every second seed, as it sees most; of the others one, or one more. And one of those that are watched.
    pub(crate) fn draw(random: &mut Random) -> Vec<Kind> {
        let mut drawn = Kind::draw_recorded(random);
        drawn.extend(random.pick(&Kind::WATCHED));
        drawn
    }

    fn draw_recorded(random: &mut Random) -> Vec<Kind> {
        let others = &Kind::ALL[1..];
        let other = *random.pick(others).expect("there are others");
        match random.below(4) {
            0 => vec![Kind::Append],
            1 => vec![Kind::Append, other],
            2 => vec![other],
            _ => {
                let more = *random.pick(others).expect("there are others");
                if more == other { vec![other] } else { vec![other, more] }
            }
        }
    }

    /// Ready for clients; nothing has to be opened.
    pub fn prepare(self, world: &World, random: &mut Random) -> Box<dyn Recorded> {
        match self {
            Kind::Append => {
                let (append, generator) = Append::draw(random);
                Recorder::boxed(world, append, generator)
            }
            Kind::Register => Recorder::boxed(world, Register, Registers::default()),
            Kind::Set => Recorder::boxed(world, Set, Sets::default()),
            Kind::LongFork => Recorder::boxed(world, LongFork, Forks::default()),
            Kind::Causal => Recorder::boxed(world, Causal, Comments::default()),
            Kind::G2 => Recorder::boxed(world, G2, Skews::default()),
            Kind::Monotonic => Recorder::boxed(world, Monotonic, Numbers),
            Kind::Sequential => Recorder::boxed(world, Sequential, Parts::default()),
            Kind::Upsert => Recorder::boxed(world, Upsert, Upserts::default()),
            Kind::Families => Families::boxed(world),
            Kind::Notices => Notices::boxed(world),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Kind, String> {
        let all = || Kind::ALL.into_iter().chain(Kind::WATCHED);
        all().find(|kind| kind.name() == name).ok_or_else(|| {
            let names: Vec<&str> = all().map(Kind::name).collect();
            format!("there are {}", names.join(", "))
        })
    }
}
