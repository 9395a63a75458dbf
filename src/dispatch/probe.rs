//! Health, known early: hoist runs a healthcheck's command itself while somebody waits for it, instead of waiting for
//! the engine's interval. The engine's own word counts too and may come first.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::plan::observed::ContainerId;
use crate::project::{HealthTest, Healthcheck, Hook};
use crate::reconcile::event::Event;

/// The pause before the first run and after it.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause, when the healthcheck's interval is longer still.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The engine's timeout for a healthcheck that names none.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Runs the command until it succeeds once or nobody waits any more.
pub(super) async fn run<E: Engine>(
    engine: E,
    container: ContainerId,
    check: Healthcheck,
    events: mpsc::Sender<Event>,
    cancel: CancellationToken,
) {
    let command = match check.test {
        HealthTest::Command(words) => words,
        HealthTest::Shell(line) => vec!["/bin/sh".into(), "-c".into(), line],
        HealthTest::Inherit | HealthTest::Disabled => return,
    };
    let hook = Hook { command, ..Hook::default() };
    let timeout = check.timeout.unwrap_or(TIMEOUT);
    let longest = check.interval.unwrap_or(LONGEST_PAUSE).clamp(FIRST_PAUSE, LONGEST_PAUSE);
    let passes = async {
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            // A container that has just exited refuses: the engine's events tell of that.
            if let Ok(Ok(outcome)) = tokio::time::timeout(timeout, engine.exec(&container, &hook)).await
                && outcome.code == 0
            {
                return;
            }
            pause = (pause * 3 / 2).min(longest);
        }
    };
    if cancel.run_until_cancelled(passes).await.is_some() {
        let _ = events.send(Event::ProbePassed { container }).await;
    }
}
