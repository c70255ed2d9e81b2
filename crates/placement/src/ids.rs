//! Ids that are never given out twice.
//!
//! Of each kind the log holds a bound below which ids may have been given out. They are taken from memory
//! up to the bound; a new leader begins at the bound. What lay between is lost, which does no harm.

use rpc::cluster::IdKind;

const KINDS: [IdKind; 5] = [IdKind::Node, IdKind::Range, IdKind::Replica, IdKind::Storage, IdKind::Oid];

/// The blocks of one leader's term.
#[derive(Debug)]
pub struct Ids {
    blocks: [Block; 5],
}

#[derive(Clone, Copy, Debug)]
struct Block {
    next: u64,
    bound: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocated {
    First(u64),
    /// Persist this bound, then ask again.
    Exhausted {
        bound: u64,
    },
}

impl Ids {
    /// The register that holds the bound of a kind.
    pub fn register(kind: IdKind) -> &'static str {
        match kind {
            IdKind::Node => "ids/node",
            IdKind::Range => "ids/range",
            IdKind::Replica => "ids/replica",
            IdKind::Storage => "ids/storage",
            IdKind::Oid => "ids/oid",
        }
    }

    /// What a new cluster has not used itself: node 1, the ranges 1 and 2 with one replica each, the catalog's own
    /// storage ids, PostgreSQL's own OIDs.
    pub fn first(kind: IdKind) -> u64 {
        match kind {
            IdKind::Node => 2,
            IdKind::Range | IdKind::Replica => 3,
            IdKind::Storage => keyspace::FIRST_USER_TABLE.0,
            IdKind::Oid => 16_384,
        }
    }

    /// Ids that are persisted ahead, so that not each one costs a log entry. Nodes are numbered without gaps.
    fn block(kind: IdKind) -> u64 {
        match kind {
            IdKind::Node => 0,
            IdKind::Range | IdKind::Replica => 16,
            IdKind::Storage | IdKind::Oid => 64,
        }
    }

    /// `persisted` reads a kind's register (0 where there is none).
    pub fn load<E>(mut persisted: impl FnMut(IdKind) -> Result<u64, E>) -> Result<Ids, E> {
        let mut blocks = [Block { next: 0, bound: 0 }; 5];
        for (block, kind) in blocks.iter_mut().zip(KINDS) {
            let bound = persisted(kind)?.max(Ids::first(kind));
            *block = Block { next: bound, bound };
        }
        Ok(Ids { blocks })
    }

    pub fn allocate(&mut self, kind: IdKind, count: u32) -> Allocated {
        let block = &mut self.blocks[kind as usize];
        let end = block.next + u64::from(count.max(1));
        if end > block.bound {
            return Allocated::Exhausted { bound: end + Ids::block(kind) };
        }
        let first = std::mem::replace(&mut block.next, end);
        Allocated::First(first)
    }

    pub fn bound_persisted(&mut self, kind: IdKind, bound: u64) {
        let block = &mut self.blocks[kind as usize];
        block.bound = block.bound.max(bound);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_given_out_once_over_leaders() {
        let mut persisted = [0_u64; 5];
        let mut given = Vec::new();
        for _leader in 0..3 {
            let mut ids = Ids::load(|kind| Ok::<_, ()>(persisted[kind as usize])).unwrap();
            for count in [1, 1, 20, 1] {
                let first = loop {
                    match ids.allocate(IdKind::Range, count) {
                        Allocated::First(first) => break first,
                        Allocated::Exhausted { bound } => {
                            persisted[IdKind::Range as usize] = bound;
                            ids.bound_persisted(IdKind::Range, bound);
                        }
                    }
                };
                given.extend(first..first + u64::from(count));
            }
        }
        assert_eq!(given[0], 3);
        assert!(given.is_sorted_by(|a, b| a < b), "{given:?}");
    }

    #[test]
    fn node_ids_have_no_gaps() {
        let mut ids = Ids::load(|_| Ok::<_, ()>(0)).unwrap();
        assert_eq!(ids.allocate(IdKind::Node, 1), Allocated::Exhausted { bound: 3 });
        ids.bound_persisted(IdKind::Node, 3);
        assert_eq!(ids.allocate(IdKind::Node, 1), Allocated::First(2));
        assert_eq!(ids.allocate(IdKind::Node, 1), Allocated::Exhausted { bound: 4 });
    }
}
