//! The lock table of one range: who holds which key in which mode, and who waits in which order.
//!
//! A plain synchronous struct: calls in, changes out. [`super::Locks`] puts a mutex around it and turns
//! the changes into wake-ups; `testscripts/lock_table/` tells its behaviour as stories.
//!
//! ```text
//!   key ──► holders  T1:NoKeyUpdate  T4:KeyShare          held together only if compatible
//!       └─► queue    T7:NoKeyUpdate  T2:Update  T9:Share  first come, first served
//! ```
//!
//! * A request is granted at once when it is compatible with every other holder, as in PostgreSQL: who shares a row
//!   does not wait for somebody who waits to have it alone. (A queue that he had to join could only be left in
//!   deadlocks that PostgreSQL does not have: a transaction that shares a row already, and wants more, would
//!   wait for one that waits for it.) Those who have to wait are served in their order.
//! * A transaction that already holds the key in a weaker mode *upgrades*: it queues before all who hold
//!   nothing (whoever waits for it cannot go first anyway), behind earlier upgraders.
//! * A wait is blocked by the incompatible holders and by the incompatible ones before it in the queue:
//!   its edges in the waits-for graph. A change of either is reported so that the graph stays exact.
//! * Locks live in memory only. A leader that crashes takes them along; each locked key is therefore
//!   validated at commit (protocol.md, rule 19).

use std::collections::{BTreeMap, VecDeque};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use keyspace::{Key, NodeId, Timestamp, TxnId};
use rpc::range::LockMode;
use smallvec::SmallVec;

/// One wait of one transaction; unique within the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaitId(pub u64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquired {
    Granted,
    /// Granted while others wait: [`LockTable::overtaken`] says what they wait for now.
    GrantedBeforeOthers,
    /// In the queue; a later [`Changes::granted`] names it.
    Waiting {
        blockers: Vec<TxnId>,
    },
    /// Not available and not to be waited for.
    Busy {
        holder: TxnId,
    },
}

/// What a release or a cancelled wait brought about.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub granted: Vec<WaitId>,
    /// Waits of a transaction that gave up everything.
    pub withdrawn: Vec<WaitId>,
    /// Waits that go on, with the transactions that block them now.
    pub blocked: Vec<(WaitId, Vec<TxnId>)>,
}

#[derive(Debug, Default)]
pub struct LockTable {
    keys: BTreeMap<Key, KeyLocks>,
    owners: HashMap<TxnId, Owner, FixedState>,
    /// The key each wait is for.
    waits: HashMap<WaitId, Key, FixedState>,
}

#[derive(Debug, Default)]
struct KeyLocks {
    holders: SmallVec<[Holder; 1]>,
    queue: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Holder {
    txn: TxnId,
    mode: LockMode,
}

#[derive(Debug)]
struct Waiter {
    id: WaitId,
    txn: TxnId,
    mode: LockMode,
    upgrades: bool,
}

#[derive(Debug)]
struct Owner {
    /// Whose session the transaction belongs to.
    node: NodeId,
    /// Keys it holds; one that was given up singly may still be listed.
    keys: Vec<Key>,
    waits: SmallVec<[WaitId; 1]>,
}

impl Owner {
    fn new(node: NodeId) -> Owner {
        Owner { node, keys: Vec::new(), waits: SmallVec::new() }
    }
}

impl LockTable {
    /// Asks for `key`. With `wait` the request queues under that id, else it is refused when it cannot be
    /// granted at once.
    pub fn acquire(&mut self, txn: TxnId, node: NodeId, key: &Key, mode: LockMode, wait: Option<WaitId>) -> Acquired {
        // Almost every request finds nobody: one search of the tree, then.
        let locks = match self.keys.get_mut(key) {
            Some(locks) => locks,
            None => self.keys.entry(key.clone()).or_default(),
        };
        let held = locks.mode_of(txn);
        if held.is_some_and(|held| held.includes(mode)) {
            return Acquired::Granted;
        }
        let upgrades = held.is_some();
        let in_the_way = locks.blockers(txn, mode, 0);
        if in_the_way.is_empty() {
            locks.hold(txn, mode);
            let overtakes = !locks.queue.is_empty();
            if !upgrades {
                self.note_owner(txn, node, key);
            }
            return if overtakes { Acquired::GrantedBeforeOthers } else { Acquired::Granted };
        }
        let Some(id) = wait else { return Acquired::Busy { holder: in_the_way[0] } };
        let place = locks.place_of_newcomer(upgrades);
        let blockers = locks.blockers(txn, mode, place);
        locks.queue.insert(place, Waiter { id, txn, mode, upgrades });
        let known = self.waits.insert(id, key.clone());
        assert!(known.is_none(), "a wait id is used once");
        self.owners.entry(txn).or_insert_with(|| Owner::new(node)).waits.push(id);
        Acquired::Waiting { blockers }
    }

    /// What those wait for now whom somebody has gone before.
    pub fn overtaken(&mut self, key: &Key) -> Changes {
        let mut changes = Changes::default();
        self.settle(key, &mut changes);
        changes
    }

    /// Gives up `keys`, or everything, and the places in their queues.
    pub fn release(&mut self, txn: TxnId, keys: Option<&[Key]>) -> Changes {
        let mut changes = Changes::default();
        match keys {
            Some(keys) => {
                for key in keys {
                    self.release_key(txn, key, &mut changes);
                }
            }
            None => {
                let Some(owner) = self.owners.remove(&txn) else { return changes };
                for key in owner.keys {
                    self.release_key(txn, &key, &mut changes);
                }
                for id in owner.waits {
                    self.cancel_into(id, &mut changes);
                    changes.withdrawn.push(id);
                }
            }
        }
        changes
    }

    /// Holds `keys` in these modes only, where it holds them in stronger ones.
    pub fn weaken(&mut self, txn: TxnId, keys: &[(Key, LockMode)]) -> Changes {
        let mut changes = Changes::default();
        for (key, mode) in keys {
            let Some(locks) = self.keys.get_mut(key) else { continue };
            let held = locks.holders.iter_mut().find(|holder| holder.txn == txn && holder.mode.includes(*mode));
            if let Some(holder) = held.filter(|holder| holder.mode != *mode) {
                holder.mode = *mode;
                self.settle(key, &mut changes);
            }
        }
        changes
    }

    /// Takes a wait out of its queue; nothing happens if it was granted meanwhile.
    pub fn cancel(&mut self, id: WaitId) -> Changes {
        let mut changes = Changes::default();
        self.cancel_into(id, &mut changes);
        changes
    }

    /// The mode in which `txn` holds `key`.
    pub fn held(&self, txn: TxnId, key: &[u8]) -> Option<LockMode> {
        self.keys.get(key)?.mode_of(txn)
    }

    /// Who stands in the way of `txn` if it asked for `key` now.
    pub fn blocker(&self, txn: TxnId, key: &[u8], mode: LockMode) -> Option<TxnId> {
        let locks = self.keys.get(key)?;
        let held = locks.mode_of(txn);
        if held.is_some_and(|held| held.includes(mode)) {
            return None;
        }
        locks.blockers(txn, mode, 0).first().copied()
    }

    /// Who holds `key` in a mode that `txn` has to wait for, with the nodes of their sessions.
    pub fn holders_in_the_way(&self, txn: TxnId, key: &[u8], mode: LockMode) -> Vec<(TxnId, NodeId)> {
        let Some(locks) = self.keys.get(key) else { return Vec::new() };
        let holders = locks.blockers(txn, mode, 0).into_iter();
        holders.filter_map(|holder| Some((holder, self.owners.get(&holder)?.node))).collect()
    }

    /// Transactions of sessions on `node` that began before `before`: that node's earlier lives.
    pub fn owned_by_session(&self, node: NodeId, before: Timestamp) -> Vec<TxnId> {
        let mut txns: Vec<TxnId> = self
            .owners
            .iter()
            .filter(|(txn, owner)| owner.node == node && txn.start() < before)
            .map(|(txn, _)| *txn)
            .collect();
        txns.sort_unstable();
        txns
    }

    /// Every wait, forgotten together with every lock: this replica no longer leads.
    pub fn clear(&mut self) -> Vec<WaitId> {
        let mut waits: Vec<WaitId> = self.waits.keys().copied().collect();
        waits.sort_unstable();
        *self = LockTable::default();
        waits
    }

    /// Cuts off the locks at and above `at`: they move to the right-hand side of a split. Waits there are
    /// not moved but returned, to ask again at the new range.
    pub fn split_off(&mut self, at: &Key) -> (LockTable, Vec<WaitId>) {
        let mut right = LockTable::default();
        let mut waits = Vec::new();
        for (key, locks) in self.keys.split_off(at) {
            waits.extend(locks.queue.iter().map(|waiter| waiter.id));
            for holder in &locks.holders {
                let node = self.owners.get(&holder.txn).map_or(NodeId(0), |owner| owner.node);
                right.note_owner(holder.txn, node, &key);
            }
            if !locks.holders.is_empty() {
                right.keys.insert(key, KeyLocks { holders: locks.holders, queue: VecDeque::new() });
            }
        }
        for id in &waits {
            self.waits.remove(id);
        }
        self.owners.retain(|_, owner| {
            owner.keys.retain(|key| key < at);
            owner.waits.retain(|id| !waits.contains(id));
            !owner.keys.is_empty() || !owner.waits.is_empty()
        });
        (right, waits)
    }

    /// Keys with a lock or a wait.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn note_owner(&mut self, txn: TxnId, node: NodeId, key: &Key) {
        self.owners.entry(txn).or_insert_with(|| Owner::new(node)).keys.push(key.clone());
    }

    /// The wait is over, one way or the other.
    fn forget_wait(&mut self, id: WaitId, txn: TxnId) {
        self.waits.remove(&id);
        if let Some(owner) = self.owners.get_mut(&txn) {
            owner.waits.retain(|wait| *wait != id);
            if owner.keys.is_empty() && owner.waits.is_empty() {
                self.owners.remove(&txn);
            }
        }
    }

    fn release_key(&mut self, txn: TxnId, key: &Key, changes: &mut Changes) {
        let Some(locks) = self.keys.get_mut(key) else { return };
        let before = locks.holders.len();
        locks.holders.retain(|holder| holder.txn != txn);
        if locks.holders.len() != before {
            self.settle(key, changes);
        }
    }

    fn cancel_into(&mut self, id: WaitId, changes: &mut Changes) {
        let Some(key) = self.waits.get(&id).cloned() else { return };
        let locks = self.keys.get_mut(&key).expect("a wait stands in the queue of its key");
        let place =
            locks.queue.iter().position(|waiter| waiter.id == id).expect("a wait stands in the queue of its key");
        let waiter = locks.queue.remove(place).expect("the place was just found");
        self.forget_wait(id, waiter.txn);
        self.settle(&key, changes);
    }

    /// Grants what can be granted now, in order, and reports the rest.
    fn settle(&mut self, key: &Key, changes: &mut Changes) {
        let Some(locks) = self.keys.get_mut(key) else { return };
        let mut granted: SmallVec<[(WaitId, TxnId, bool); 2]> = SmallVec::new();
        let mut at = 0;
        while at < locks.queue.len() {
            let Waiter { id, txn, mode, .. } = locks.queue[at];
            let blockers = locks.blockers(txn, mode, at);
            if blockers.is_empty() {
                locks.queue.remove(at);
                granted.push((id, txn, locks.mode_of(txn).is_none()));
                locks.hold(txn, mode);
            } else {
                changes.blocked.push((id, blockers));
                at += 1;
            }
        }
        if locks.holders.is_empty() && locks.queue.is_empty() {
            self.keys.remove(key);
        }
        for (id, txn, is_new) in granted {
            if is_new {
                let owner = self.owners.get_mut(&txn).expect("who waits is known as an owner");
                owner.keys.push(key.clone());
            }
            self.forget_wait(id, txn);
            changes.granted.push(id);
        }
    }
}

impl KeyLocks {
    fn mode_of(&self, txn: TxnId) -> Option<LockMode> {
        self.holders.iter().find(|holder| holder.txn == txn).map(|holder| holder.mode)
    }

    fn hold(&mut self, txn: TxnId, mode: LockMode) {
        match self.holders.iter_mut().find(|holder| holder.txn == txn) {
            Some(holder) => holder.mode = holder.mode.with(mode),
            None => self.holders.push(Holder { txn, mode }),
        }
    }

    fn place_of_newcomer(&self, upgrades: bool) -> usize {
        if upgrades { self.queue.iter().take_while(|waiter| waiter.upgrades).count() } else { self.queue.len() }
    }

    /// Holders, and waiters before `place`, that `txn` would have to wait for; each once.
    fn blockers(&self, txn: TxnId, mode: LockMode, place: usize) -> Vec<TxnId> {
        let holders = self.holders.iter().map(|holder| (holder.txn, holder.mode));
        let earlier = self.queue.iter().take(place).map(|waiter| (waiter.txn, waiter.mode));
        let mut blockers = Vec::new();
        for (other, other_mode) in holders.chain(earlier) {
            if other != txn && !mode.is_compatible_with(other_mode) && !blockers.contains(&other) {
                blockers.push(other);
            }
        }
        blockers
    }
}
