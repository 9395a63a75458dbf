//! Health, known early: hoist runs a healthcheck's command itself while somebody waits for it, instead of waiting for
//! the engine's interval. The engine's own word counts too and may come first.

use std::time::Duration;

use crate::engine::Engine;
use crate::project::{HealthTest, Healthcheck, Hook};

/// The pause before the first run and after it.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The pause before the first run when nobody waits: a run takes time from the service that is starting up.
const LEISURELY_PAUSE: Duration = Duration::from_millis(300);
/// The longest pause, when the healthcheck's interval is longer still.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The engine's timeout for a healthcheck that names none.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Runs a container's healthcheck command, every 50 ms at first (when it is `urgent`) and then less often, until it
/// succeeds once. Without a
/// command in the manifest it returns `false` at once: what the image brings is left to the engine.
pub async fn until_healthy<E: Engine>(engine: &E, container: &str, check: &Healthcheck, urgent: bool) -> bool {
    let command = match &check.test {
        HealthTest::Command(words) => words.clone(),
        HealthTest::Shell(line) => vec!["/bin/sh".into(), "-c".into(), line.clone()],
        HealthTest::Inherit | HealthTest::Disabled => return false,
    };
    let hook = Hook { command, ..Hook::default() };
    let timeout = check.timeout.unwrap_or(TIMEOUT);
    let longest = check.interval.unwrap_or(LONGEST_PAUSE).clamp(FIRST_PAUSE, LONGEST_PAUSE);
    let mut pause = if urgent { FIRST_PAUSE } else { LEISURELY_PAUSE };
    loop {
        tokio::time::sleep(pause).await;
        // A container that has just exited refuses: the engine's events tell of that.
        if let Ok(Ok(outcome)) = tokio::time::timeout(timeout, engine.exec(container, &hook)).await
            && outcome.code == 0
        {
            return true;
        }
        pause = (pause * 3 / 2).min(longest);
    }
}
