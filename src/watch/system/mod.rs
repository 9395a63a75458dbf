//! The system's own events of changes: inotify on Linux, whatever `notify` finds elsewhere. Either watches folders one by
//! one, what lies in them and nothing below, and says what has to be looked into.

#[cfg(target_os = "linux")]
mod inotify;
#[cfg(any(test, not(target_os = "linux")))]
mod other;

#[cfg(target_os = "linux")]
pub(super) use inotify::System;
#[cfg(not(target_os = "linux"))]
pub(super) use other::System;

/// What keeps a folder from being watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is not there.
    Absent,
    /// The system watches no more.
    Full,
    /// It is not ours, or anything else.
    Other(String),
}
