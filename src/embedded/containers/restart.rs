//! Pure: whether and when a container that ended is started again.

use std::time::Duration;

use bollard_stubs::models::{RestartPolicy, RestartPolicyNameEnum};

/// After the first end.
const FIRST: Duration = Duration::from_millis(100);
/// Never longer.
const LONGEST: Duration = Duration::from_mins(1);
/// Who has run for so long starts from the beginning.
const STEADY: Duration = Duration::from_secs(10);

/// How patient a restart policy still is; forgotten when somebody starts the container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    pause: Option<Duration>,
}

impl Backoff {
    /// The pause before the next start, after one that lasted for `ran`.
    pub(super) fn next(&mut self, ran: Duration) -> Duration {
        let pause = match self.pause {
            Some(pause) if ran < STEADY => (pause * 2).min(LONGEST),
            _ => FIRST,
        };
        self.pause = Some(pause);
        pause
    }
}

/// Whether a container that ended by itself with `code`, after `restarts` restarts, is started again.
pub(super) fn wanted(policy: &RestartPolicy, code: i64, restarts: i64, stopped_by_hand: bool) -> bool {
    match policy.name {
        Some(RestartPolicyNameEnum::ALWAYS | RestartPolicyNameEnum::UNLESS_STOPPED) => !stopped_by_hand,
        Some(RestartPolicyNameEnum::ON_FAILURE) => {
            let most = policy.maximum_retry_count.unwrap_or(0);
            code != 0 && !stopped_by_hand && (most == 0 || restarts < most)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bollard_stubs::models::{RestartPolicy, RestartPolicyNameEnum};

    use super::{Backoff, wanted};

    #[test]
    fn the_pause_doubles_up_to_a_minute_and_begins_anew_after_a_steady_run() {
        let mut backoff = Backoff::default();
        let quick = Duration::from_millis(1);
        let pauses: Vec<u128> = (0..12).map(|_| backoff.next(quick).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
        assert_eq!(backoff.next(Duration::from_secs(10)).as_millis(), 100);
    }

    #[test]
    fn a_policy_says_who_comes_back() {
        let policy = |name, most| RestartPolicy { name: Some(name), maximum_retry_count: Some(most) };
        assert!(!wanted(&policy(RestartPolicyNameEnum::NO, 0), 1, 0, false));
        assert!(wanted(&policy(RestartPolicyNameEnum::ALWAYS, 0), 0, 9, false));
        assert!(!wanted(&policy(RestartPolicyNameEnum::ALWAYS, 0), 0, 9, true));
        assert!(wanted(&policy(RestartPolicyNameEnum::ON_FAILURE, 3), 1, 2, false));
        assert!(!wanted(&policy(RestartPolicyNameEnum::ON_FAILURE, 3), 1, 3, false));
        assert!(!wanted(&policy(RestartPolicyNameEnum::ON_FAILURE, 0), 0, 0, false));
    }
}
