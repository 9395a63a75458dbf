//! Files that are as they were before a burst of changes began: a branch that was left and entered again, a stash that was
//! put away and taken back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::change::PathState;
use crate::watch::{Found, Told};

/// What there was at the paths that the run has been told of and has not acted on yet.
#[derive(Debug, Default)]
pub(super) struct Unsettled(BTreeMap<PathBuf, Found>);

impl Unsettled {
    /// What is new, and which paths are as they were. `is_unsettled` says of which ones the run has not acted on.
    pub(super) fn sort(
        &mut self,
        told: BTreeMap<PathBuf, Told>,
        is_unsettled: impl Fn(&Path) -> bool,
    ) -> (BTreeMap<PathBuf, PathState>, BTreeSet<PathBuf>) {
        self.0.retain(|path, _| is_unsettled(path));
        let (mut changed, mut undone) = (BTreeMap::new(), BTreeSet::new());
        for (path, Told { state, was, is }) in told {
            let was = *self.0.entry(path.clone()).or_insert(was);
            if was.is_same(is) {
                self.0.remove(&path);
                undone.insert(path);
            } else {
                changed.insert(path, state);
            }
        }
        (changed, undone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Print;

    fn told(path: &str, was: Found, is: Found) -> BTreeMap<PathBuf, Told> {
        [(PathBuf::from(path), Told { state: PathState::Present, was, is })].into()
    }

    fn one() -> Found {
        Found::This(Print::of_link(Path::new("one")))
    }

    fn two() -> Found {
        Found::This(Print::of_link(Path::new("two")))
    }

    #[test]
    fn what_is_as_it_was_before_the_burst_is_undone_and_what_was_acted_on_is_not() {
        let mut unsettled = Unsettled::default();
        let sort = |unsettled: &mut Unsettled, was, is, acted: bool| {
            let (changed, undone) = unsettled.sort(told("/a", was, is), |_| !acted);
            (changed.len(), undone.len())
        };
        assert_eq!(sort(&mut unsettled, one(), two(), true), (1, 0));
        assert_eq!(sort(&mut unsettled, two(), one(), false), (0, 1), "away and back");
        assert_eq!(sort(&mut unsettled, one(), two(), true), (1, 0));
        assert_eq!(sort(&mut unsettled, two(), one(), true), (1, 0), "two is what the containers have");
        assert_eq!(sort(&mut unsettled, one(), Found::Nothing, true), (1, 0));
        assert_eq!(sort(&mut unsettled, Found::Nothing, one(), false), (0, 1), "removed and made again");
        assert_eq!(sort(&mut unsettled, one(), two(), true), (1, 0));
        assert_eq!(sort(&mut unsettled, two(), Found::Unknown, false), (1, 0));
    }

    #[test]
    fn what_nobody_knows_is_never_the_same() {
        let mut unsettled = Unsettled::default();
        unsettled.sort(told("/a", Found::Unknown, two()), |_| true);
        let (changed, undone) = unsettled.sort(told("/a", two(), Found::Unknown), |_| true);
        assert_eq!((changed.len(), undone.len()), (1, 0));
    }
}
