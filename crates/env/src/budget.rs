//! Memory accounting: a statement reserves what it is about to hold and gives it back by dropping.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A limit in bytes shared by everyone who holds a clone. A child budget charges its parent too.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
    parent: Option<Budget>,
}

/// What was asked for did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetExceeded {
    pub wanted_bytes: usize,
    pub limit_bytes: usize,
}

impl fmt::Display for BudgetExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes more do not fit into the budget of {} bytes", self.wanted_bytes, self.limit_bytes)
    }
}

impl std::error::Error for BudgetExceeded {}

impl Budget {
    pub fn new(limit_bytes: usize) -> Budget {
        Budget(Arc::new(Pool { limit_bytes, used_bytes: AtomicUsize::new(0), parent: None }))
    }

    pub fn child(&self, limit_bytes: usize) -> Budget {
        Budget(Arc::new(Pool { limit_bytes, used_bytes: AtomicUsize::new(0), parent: Some(self.clone()) }))
    }

    pub fn used_bytes(&self) -> usize {
        self.0.used_bytes.load(Ordering::Relaxed)
    }

    pub fn limit_bytes(&self) -> usize {
        self.0.limit_bytes
    }

    /// An empty reservation, to grow as memory is taken.
    pub fn reservation(&self) -> Reservation {
        Reservation { budget: self.clone(), bytes: 0 }
    }

    fn take(&self, bytes: usize) -> Result<(), BudgetExceeded> {
        if let Some(parent) = &self.0.parent {
            parent.take(bytes)?;
        }
        let before = self.0.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.0.limit_bytes {
            self.give_back(bytes);
            return Err(BudgetExceeded { wanted_bytes: bytes, limit_bytes: self.0.limit_bytes });
        }
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        self.0.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(parent) = &self.0.parent {
            parent.give_back(bytes);
        }
    }
}

/// Bytes taken from a [`Budget`], given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Budget,
    bytes: usize,
}

impl Reservation {
    pub fn grow(&mut self, bytes: usize) -> Result<(), BudgetExceeded> {
        self.budget.take(bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives everything back but stays usable: what was held has been spilled.
    pub fn clear(&mut self) {
        self.budget.give_back(std::mem::take(&mut self.bytes));
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_charges_its_parent_and_gives_back() {
        let node = Budget::new(100);
        let statement = node.child(60);
        let mut held = statement.reservation();
        held.grow(50).unwrap();
        assert_eq!(node.used_bytes(), 50);
        assert_eq!(held.grow(20), Err(BudgetExceeded { wanted_bytes: 20, limit_bytes: 60 }));
        assert_eq!((node.used_bytes(), statement.used_bytes()), (50, 50));
        let mut other = node.child(100).reservation();
        assert!(other.grow(51).is_err());
        drop(held);
        assert_eq!(node.used_bytes(), 0);
    }
}
