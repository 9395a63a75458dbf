//! The system's signals that end a run.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit code that tells of SIGINT.
const INTERRUPTED: u8 = 130;
/// The exit code that tells of SIGTERM.
const TERMINATED: u8 = 143;

/// Ctrl-C, SIGTERM, and the terminal going away.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From now on these signals no longer end the process by themselves.
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The exit code for the next signal.
    pub(super) async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => INTERRUPTED,
            _ = self.terminate.recv() => TERMINATED,
            _ = self.hang_up.recv() => TERMINATED,
        }
    }
}
