//! Consensus told as stories: a few replicas over memory disks, every message and every sync by hand.
//!
//! * `replicas 1 2 3`: a new group of voters. `campaign N`, `tick N [times]` (its clock goes on as well), `transfer N TO`, `propose N TEXT…` (several in
//!   one step), `read N CONTEXT`.
//! * `poll N`: takes what has come of it; its messages are put on the way, its writes into the disk's cache.
//! * `sync N`: what was polled is durable; messages that waited for it are put on the way.
//! * `deliver [N]`: hands the messages on the way to their receivers (those for N), and drops none.
//! * `drop [N]`: loses them. `run`: polls, syncs and delivers until nothing moves.
//! * `crash N`: power off and on; what was not synced is gone. `status`: who is what.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;

use storage::{Durability, MemoryDisk, MemoryEngine};

use super::*;

#[derive(Default)]
struct Story {
    replicas: BTreeMap<u64, Member>,
    on_the_way: Vec<Message>,
}

struct Member {
    disk: MemoryDisk,
    engine: Arc<MemoryEngine>,
    consensus: Consensus,
    /// Polled and not yet synced: number and messages that wait.
    unsynced: Vec<(u64, Vec<Message>)>,
    applied: Vec<String>,
    applied_index: u64,
    /// A clock of its own, that goes with its ticks.
    now: Mono,
}

const TICK: Duration = Duration::from_millis(100);
const TIMING: Timing = Timing { election_ticks: 5, heartbeat_ticks: 2, silence: Duration::from_millis(500) };

/// Replica N always draws N: elections are told apart, and the same in every run.
fn draw(id: u64) -> impl FnMut(u64) -> u64 {
    move |bound| id % bound
}

impl Member {
    fn open(id: u64, voters: &[u64], disk: MemoryDisk, now: Mono) -> Result<Member, Defect> {
        let engine = Arc::new(MemoryEngine::open(&disk));
        let mut log = RaftLog::open(engine.clone(), 1).map_err(|error| Defect::Unreadable(error.to_string()))?;
        if log.last_index() == 0 {
            let mut batch = Batch::new();
            begin_log(&mut log, &mut batch);
            engine.write(&batch, Durability::Logged).unwrap();
            engine.sync().unwrap();
        }
        let members = Members { voters: voters.to_vec(), ..Members::default() };
        let consensus =
            Consensus::open(ReplicaId(id), engine.clone(), log, members, INITIAL_INDEX, TIMING, now, &mut draw(id))?;
        let (unsynced, applied, applied_index) = (Vec::new(), Vec::new(), INITIAL_INDEX);
        Ok(Member { disk, engine, consensus, unsynced, applied, applied_index, now })
    }
}

fn describe(message: &Message) -> String {
    let kind = format!("{:?}", message.msg_type()).trim_start_matches("Msg").to_owned();
    let entries: Vec<String> =
        message.entries.iter().map(|entry| String::from_utf8_lossy(&entry.data).into_owned()).collect();
    let entries = if entries.is_empty() { String::new() } else { format!(" [{}]", entries.join(", ")) };
    let reject = if message.reject { " rejects" } else { "" };
    let place = if kind.starts_with("Append") { format!(" at {}", message.index) } else { String::new() };
    format!("{} → {} {kind}{place} term {}{entries}{reject}", message.from, message.to, message.term)
}

impl Story {
    fn member(&mut self, id: u64) -> Result<&mut Member, Box<dyn Error>> {
        self.replicas.get_mut(&id).ok_or_else(|| format!("no replica {id}").into())
    }

    fn poll(&mut self, id: u64, out: &mut String) -> Result<bool, Box<dyn Error>> {
        let member = self.member(id)?;
        let mut batch = Batch::new();
        let Some(output) = member.consensus.poll(&mut batch)? else { return Ok(false) };
        member.engine.write(&batch, Durability::Logged)?;
        if let Some(standing) = output.standing {
            let leader = standing.leader.map_or("nobody".to_owned(), |leader| leader.0.to_string());
            writeln!(out, "{id}: {:?} in term {}, leader {leader}", standing.role, standing.term)?;
        }
        if let Some(term) = output.hands_over {
            writeln!(out, "{id}: has no lease in term {term} any more")?;
        }
        for context in &output.reads {
            writeln!(out, "{id}: a quorum confirms read {context}")?;
        }
        for entry in &output.committed {
            member.applied_index = entry.index;
            if let Content::Command(bytes) = &entry.content {
                let text = String::from_utf8_lossy(bytes).into_owned();
                writeln!(out, "{id}: applies {text}")?;
                member.applied.push(text);
            }
        }
        let index = member.applied_index;
        member.consensus.applied(index)?;
        if output.must_sync || !member.unsynced.is_empty() {
            member.unsynced.push((output.number, output.after_sync));
            self.on_the_way.extend(output.messages);
        } else {
            member.consensus.persisted(output.number)?;
            self.on_the_way.extend(output.messages);
            self.on_the_way.extend(output.after_sync);
        }
        Ok(true)
    }

    fn sync(&mut self, id: u64) -> Result<bool, Box<dyn Error>> {
        let member = self.member(id)?;
        member.engine.sync()?;
        let unsynced = std::mem::take(&mut member.unsynced);
        let any = !unsynced.is_empty();
        for (number, messages) in unsynced {
            let member = self.member(id)?;
            member.consensus.persisted(number)?;
            self.on_the_way.extend(messages);
        }
        Ok(any)
    }

    fn deliver(&mut self, to: Option<u64>, out: Option<&mut String>) -> Result<bool, Box<dyn Error>> {
        let (now, later) = std::mem::take(&mut self.on_the_way)
            .into_iter()
            .partition(|message: &Message| to.is_none_or(|to| message.to == to));
        self.on_the_way = later;
        let any = !now.is_empty();
        let mut told = String::new();
        for message in now {
            writeln!(told, "{}", describe(&message))?;
            if let Some(member) = self.replicas.get_mut(&message.to) {
                member.consensus.step(message, member.now)?;
            }
        }
        if let Some(out) = out {
            out.push_str(&told);
        }
        Ok(any)
    }

    fn run_all(&mut self, out: &mut String) -> Result<(), Box<dyn Error>> {
        let ids: Vec<u64> = self.replicas.keys().copied().collect();
        loop {
            let mut moved = false;
            for id in &ids {
                while self.poll(*id, out)? {
                    moved = true;
                }
                moved |= self.sync(*id)?;
            }
            moved |= self.deliver(None, None)?;
            if !moved {
                return Ok(());
            }
        }
    }
}

impl goldenscript::Runner for Story {
    type Command = goldenscript::Command;

    fn run(&mut self, command: &Self::Command, _: &goldenscript::Context) -> Result<String, Box<dyn Error>> {
        let mut args = command.consume_args();
        let mut out = String::new();
        if command.name == "replicas" {
            let ids: Vec<u64> = std::iter::from_fn(|| args.next_pos().map(str::parse)).collect::<Result<_, _>>()?;
            *self = Story::default();
            for id in &ids {
                self.replicas.insert(*id, Member::open(*id, &ids, MemoryDisk::new(), Mono::default())?);
            }
            return Ok(out);
        }
        let id: Option<u64> = args.next_pos().map(str::parse).transpose()?;
        let texts: Vec<&str> = std::iter::from_fn(|| args.next_pos()).collect();
        let rest = texts.first().copied();
        args.reject_next()?;
        let known = || id.ok_or("N");
        match command.name.as_str() {
            "campaign" => {
                let member = self.member(known()?)?;
                member.consensus.campaign(member.now)?;
            }
            "transfer" => self.member(known()?)?.consensus.transfer_leader(ReplicaId(rest.ok_or("TO")?.parse()?)),
            "tick" => {
                let id = known()?;
                for _ in 0..rest.unwrap_or("1").parse()? {
                    let member = self.member(id)?;
                    member.now = member.now + TICK;
                    member.consensus.tick(member.now, &mut draw(id))?;
                }
            }
            "propose" => match self
                .member(known()?)?
                .consensus
                .propose(texts.iter().map(|text| text.as_bytes().to_vec()).collect())
            {
                Ok(_) => {}
                Err(error) => writeln!(out, "{error}")?,
            },
            "read" => self.member(known()?)?.consensus.read_index(rest.ok_or("CONTEXT")?.parse()?),
            "forward" => {
                // What raft 0.7 would send to the leader if it were asked to propose at a follower.
                let to = known()?;
                let mut message = Message { to, from: rest.ok_or("FROM")?.parse()?, ..Message::default() };
                message.set_msg_type(MessageType::MsgPropose);
                message.entries.push(raft::prelude::Entry { data: b"forwarded".to_vec(), ..Default::default() });
                let member = self.member(to)?;
                member.consensus.step(message, member.now)?;
            }
            "poll" => drop(self.poll(known()?, &mut out)?),
            "sync" => drop(self.sync(known()?)?),
            "deliver" => drop(self.deliver(id, Some(&mut out))?),
            "drop" => self.on_the_way.retain(|message| id.is_some_and(|id| message.to != id)),
            "run" => self.run_all(&mut out)?,
            "stepdown" => self.member(known()?)?.consensus.step_down(),
            "crash" => {
                let id = known()?;
                let member = self.replicas.remove(&id).ok_or("no such replica")?;
                let voters: Vec<u64> = self.replicas.keys().copied().chain([id]).collect();
                member.disk.crash(&mut |_| 0);
                self.on_the_way.retain(|message| message.from != id);
                self.replicas.insert(id, Member::open(id, &voters, member.disk, member.now)?);
            }
            "wipe" => {
                // A disk that lies: the newest entry is gone although it was synced.
                let member = self.member(known()?)?;
                let last = member.consensus.last_index();
                let mut batch = Batch::new();
                let key = [&1u64.to_be_bytes()[..], &[0x10], &last.to_be_bytes()].concat();
                batch.delete(storage::Family::Log, key);
                member.engine.write(&batch, Durability::Logged)?;
                member.engine.sync()?;
            }
            "status" => {
                for (id, member) in &self.replicas {
                    let standing = member.consensus.standing();
                    writeln!(
                        out,
                        "{id}: {:?} in term {}, applied [{}]",
                        standing.role,
                        standing.term,
                        member.applied.join(" ")
                    )?;
                }
            }
            other => return Err(format!("no command {other}").into()),
        }
        Ok(out)
    }
}

#[test]
fn stories() {
    for entry in std::fs::read_dir("testscripts/consensus").unwrap() {
        goldenscript::run(&mut Story::default(), entry.unwrap().path()).unwrap();
    }
}
