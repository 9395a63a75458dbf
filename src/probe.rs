//! Health, known early: hoist runs a healthcheck's command itself while somebody waits for it, instead of waiting for
//! the engine's interval. The engine's own word counts too and may come first.
//!
//! A command that runs before the program listens only takes time from it. Where the container's process is one of this
//! machine's, its listening sockets are looked up, without connecting to any, and the command runs right after the
//! first one is there.

use std::fs;
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::plan::observed::Container;
use crate::project::{HealthTest, Healthcheck, Hook};

/// The pause before the first run and after it.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The pause before the first run when nobody waits: a run takes time from the service that is starting up.
const LEISURELY_PAUSE: Duration = Duration::from_millis(300);
/// The pause before a run when the program does not listen yet, which not every program ever does.
const DEAF_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause, when the healthcheck's interval is longer still.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The engine's timeout for a healthcheck that names none.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The pause between two looks for a listening socket, which grows to [`SLOWEST_LOOK`].
const FIRST_LOOK: Duration = Duration::from_millis(2);
/// See [`FIRST_LOOK`].
const SLOWEST_LOOK: Duration = Duration::from_millis(20);
/// A program that does not listen by then may never do so.
const LOOKS_FOR: Duration = Duration::from_secs(2);

/// Runs a container's healthcheck command, as soon as its program listens, and until then less and less often, the first time
/// soon when it is `urgent`, until it succeeds once. Without a command in the manifest it returns `false` at
/// once: what the image brings is left to the engine.
pub async fn until_healthy<E: Engine>(engine: &E, container: &Container, check: &Healthcheck, urgent: bool) -> bool {
    let command = match &check.test {
        HealthTest::Command(words) => words.clone(),
        HealthTest::Shell(line) => vec!["/bin/sh".into(), "-c".into(), line.clone()],
        HealthTest::Inherit | HealthTest::Disabled => return false,
    };
    let hook = Hook { command, ..Hook::default() };
    let timeout = check.timeout.unwrap_or(TIMEOUT);
    let longest = check.interval.unwrap_or(LONGEST_PAUSE).clamp(FIRST_PAUSE, LONGEST_PAUSE);
    let process = container.process.filter(|process| is_of_this_machine(*process, &container.id));
    let first = match process {
        Some(_) => DEAF_PAUSE,
        None if urgent => FIRST_PAUSE,
        None => LEISURELY_PAUSE,
    };
    let mut pause = first.min(longest);
    let mut listening = pin!(until_listening(process));
    let mut listens = false;
    loop {
        tokio::select! {
            () = &mut listening, if !listens => (listens, pause) = (true, FIRST_PAUSE),
            () = tokio::time::sleep(pause) => pause = (pause * 3 / 2).min(longest),
        }
        // A container that has just exited refuses: the engine's events tell of that.
        if let Ok(Ok(outcome)) = tokio::time::timeout(timeout, engine.exec(&container.id, &hook)).await
            && outcome.code == 0
        {
            return true;
        }
    }
}

/// Waits until a process of the container listens for connections; for ever when that cannot be known from here.
async fn until_listening(process: Option<u32>) {
    let began = Instant::now();
    let mut pause = FIRST_LOOK;
    while let Some(process) = process
        && began.elapsed() < LOOKS_FOR
    {
        match is_listening(process) {
            Some(true) => return,
            Some(false) => {}
            None => break,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(SLOWEST_LOOK);
    }
    std::future::pending::<()>().await;
}

/// Whether a process number is that of the container here, and not on the machine or in the virtual machine of an
/// engine elsewhere: engines name control groups after their containers.
fn is_of_this_machine(process: u32, id: &str) -> bool {
    !id.is_empty() && fs::read_to_string(format!("/proc/{process}/cgroup")).is_ok_and(|groups| groups.contains(id))
}

/// Whether some socket in the process's network listens; `None` when it cannot be looked at.
fn is_listening(process: u32) -> Option<bool> {
    let read = |name: &str| fs::read_to_string(Path::new("/proc").join(process.to_string()).join("net").join(name));
    let tables = [read("tcp").ok()?, read("tcp6").unwrap_or_default()];
    Some(tables.iter().any(|table| has_listener(table)))
}

/// Whether a table of the kernel (proc(5), `/proc/net/tcp`) has a socket in the state `0A`, which is `LISTEN`, that
/// others can reach.
fn has_listener(table: &str) -> bool {
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, state) = (fields.next().unwrap_or_default(), fields.nth(1));
        // An engine's own name server listens on 127.0.0.11 inside the container.
        state == Some("0A") && !local.starts_with("0B00007F:")
    })
}

#[cfg(test)]
mod tests {
    use super::has_listener;

    const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n";

    #[test]
    fn a_listening_socket_is_found_in_the_kernels_table() {
        let listens = "   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0\n";
        let connected = "   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0\n";
        let names = "   2: 0B00007F:A8C1 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0\n";
        assert!(has_listener(&[HEAD, connected, listens].concat()));
        assert!(!has_listener(&[HEAD, connected, names].concat()), "the engine's name server is not the program");
        assert!(!has_listener(HEAD));
    }
}
