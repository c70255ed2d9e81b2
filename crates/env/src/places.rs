//! A bounded number of places for those who have not shown yet that they are worth one.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Connections of which nothing is known yet may be anybody's, and as many as he likes. Who comes when all places are taken gets
/// the place of who has had his for longest: a crowd that takes places and does nothing with them keeps nobody out.
#[derive(Clone, Debug)]
pub struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    count: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// In the order they came.
    by_age: BTreeMap<u64, oneshot::Sender<()>>,
}

/// A place; given up when dropped. Resolves when somebody else needs it.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    number: u64,
    lost: Option<oneshot::Receiver<()>>,
}

impl Places {
    pub fn new(count: usize) -> Places {
        assert!(count > 0, "somebody must get in");
        Places(Arc::new(Shared { count, taken: Mutex::default() }))
    }

    pub fn take(&self) -> Place {
        let (keep, lost) = oneshot::channel();
        let mut taken = self.0.taken.lock();
        if taken.by_age.len() >= self.0.count {
            taken.by_age.pop_first();
        }
        let number = taken.next;
        taken.next += 1;
        taken.by_age.insert(number, keep);
        Place { shared: self.0.clone(), number, lost: Some(lost) }
    }
}

impl Future for Place {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // The other end says nothing: it is dropped when the place goes to somebody else.
        if let Some(lost) = &mut self.lost {
            let _dropped = ready!(Pin::new(lost).poll(cx));
            self.lost = None;
        }
        Poll::Ready(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.taken.lock().by_age.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn the_oldest_makes_room() {
        let places = Places::new(2);
        let (mut first, mut second) = (places.take(), places.take());
        assert_eq!((&mut first).now_or_never(), None);
        let mut third = places.take();
        assert_eq!((&mut first).now_or_never(), Some(()));
        assert_eq!((&mut second).now_or_never(), None);
        drop(second);
        let _fourth = places.take();
        assert_eq!((&mut third).now_or_never(), None, "a place was free");
    }
}
