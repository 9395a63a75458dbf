//! Keeps control keys from being echoed as `^C` into the middle of the spinners, and gives the terminal back as it was.

use std::io;

use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

/// A terminal that echoes control keys as nothing. Dropping it sets the terminal back.
#[derive(Debug)]
pub(super) struct HiddenKeys {
    before: Termios,
}

impl HiddenKeys {
    /// Sets the terminal behind standard error; `None` where that cannot be done, which only costs looks.
    pub(super) fn hide() -> Option<Self> {
        if !is_in_front() {
            return None;
        }
        let before = tcgetattr(io::stderr()).ok()?;
        let mut without = before.clone();
        without.local_modes.remove(LocalModes::ECHOCTL);
        tcsetattr(io::stderr(), OptionalActions::Now, &without).ok()?;
        Some(Self { before })
    }
}

impl Drop for HiddenKeys {
    fn drop(&mut self) {
        if is_in_front() {
            // A terminal that is gone needs nothing back.
            let _ = tcsetattr(io::stderr(), OptionalActions::Now, &self.before);
        }
    }
}

/// Whether the terminal is ours: a job in the background that sets it would be stopped.
fn is_in_front() -> bool {
    tcgetpgrp(io::stderr()).is_ok_and(|group| group == getpgrp())
}
