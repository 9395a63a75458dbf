//! Who uses a layer or blob that no image may refer to yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// All that is held, by digest; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leases {
    held: Arc<Mutex<HashMap<String, Weak<()>>>>,
}

/// While it lives, what it was taken for is not removed. It says nothing of the thing itself: all are equal.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    _alive: Arc<()>,
}

impl PartialEq for Lease {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Lease {}

impl Leases {
    /// Holds what has this digest, or will.
    pub(crate) fn take(&self, digest: &str) -> Lease {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(alive) = held.get(digest).and_then(Weak::upgrade) {
            return Lease { _alive: alive };
        }
        held.retain(|_, alive| alive.strong_count() > 0);
        let alive = Arc::new(());
        held.insert(digest.to_owned(), Arc::downgrade(&alive));
        Lease { _alive: alive }
    }

    /// Does `work` if nobody holds it, and lets nobody take it meanwhile. `work` is short.
    pub(crate) fn if_free<T>(&self, digest: &str, work: impl FnOnce() -> Option<T>) -> Option<T> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.get(digest).is_some_and(|alive| alive.strong_count() > 0) { None } else { work() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_free_when_its_last_lease_is_gone() {
        let leases = Leases::default();
        let first = leases.take("a");
        let second = leases.take("a");
        assert_eq!(leases.if_free("a", || Some(())), None);
        assert_eq!(leases.if_free("b", || Some(())), Some(()));
        drop(first);
        assert_eq!(leases.if_free("a", || Some(())), None);
        drop(second);
        assert_eq!(leases.if_free("a", || Some(())), Some(()));
    }
}
