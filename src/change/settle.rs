//! When a burst of changes is over.

use std::time::Duration;

/// A lone save is acted on after this much quiet: longer than an editor takes from its first to its last system call.
const SHORTEST: Duration = Duration::from_millis(20);
/// Many files (a branch switch, a code generator) pause for longer in between: so much more for each, up to 50 ms.
const MORE: Duration = Duration::from_micros(500);
/// So many changed paths make the quiet time the longest.
const MANY: u32 = 60;
/// A burst without end is acted on nevertheless.
const AT_MOST: Duration = Duration::from_secs(1);

/// Collects the times of changes. All times are counted from the start of the run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settle {
    burst: Option<Burst>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Burst {
    began: Duration,
    last: Duration,
    count: usize,
}

impl Settle {
    /// Notes that so many paths changed now.
    pub fn note(&mut self, now: Duration, count: usize) {
        let burst = self.burst.get_or_insert(Burst { began: now, last: now, count: 0 });
        burst.last = now;
        burst.count = burst.count.saturating_add(count);
    }

    /// When the burst began.
    #[must_use]
    pub fn began(&self) -> Option<Duration> {
        self.burst.as_ref().map(|burst| burst.began)
    }

    /// When to act, or `None` when nothing changed.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let burst = self.burst.as_ref()?;
        let others = u32::try_from(burst.count.saturating_sub(1)).unwrap_or(MANY).min(MANY);
        let quiet = SHORTEST + MORE * others;
        Some((burst.last + quiet).min(burst.began + AT_MOST))
    }

    /// Whether it is time; the burst is over then and the next change begins another.
    pub fn settled(&mut self, now: Duration) -> bool {
        let settled = self.deadline().is_some_and(|deadline| now >= deadline);
        if settled {
            self.burst = None;
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Settle;

    const fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_lone_save_is_acted_on_after_20_ms() {
        let mut settle = Settle::default();
        assert_eq!((settle.began(), settle.deadline()), (None, None));
        settle.note(at(100), 1);
        assert_eq!(settle.deadline(), Some(at(120)));
        assert!(!settle.settled(at(119)));
        assert!(settle.settled(at(120)));
        assert_eq!((settle.began(), settle.deadline()), (None, None));
    }

    #[test]
    fn a_burst_begins_with_its_first_save() {
        let mut settle = Settle::default();
        settle.note(at(100), 1);
        settle.note(at(110), 1);
        assert_eq!(settle.began(), Some(at(100)));
    }

    #[test]
    fn every_event_puts_it_off_and_many_files_are_given_up_to_50_ms() {
        let mut settle = Settle::default();
        settle.note(at(0), 1);
        settle.note(at(15), 1);
        assert!(settle.deadline() > Some(at(35)) && settle.deadline() < Some(at(40)), "{:?}", settle.deadline());
        settle.note(at(30), 10_000);
        assert_eq!(settle.deadline(), Some(at(80)));
    }

    #[test]
    fn a_burst_without_end_is_acted_on_once_a_second() {
        let mut settle = Settle::default();
        let mut acted = Vec::new();
        for now in (0..3_000).step_by(10).map(at) {
            if settle.settled(now) {
                acted.push(now);
            }
            settle.note(now, 1);
        }
        assert_eq!(acted, [at(1_000), at(2_000)]);
    }
}
