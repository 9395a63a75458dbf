//! The daemon: takes the lock, cleans up what a crash or a reboot has left, opens everything, serves the socket, and ends
//! when it is told to or has nothing to do.

use std::time::Duration;

use super::error::Error;
use super::layout::Layout;

/// How a daemon runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its folders.
    pub layout: Layout,
    /// Ends by itself after so long without a running container and without a request; `None` never.
    pub idle: Option<Duration>,
}

/// Serves until it is told to stop (SIGTERM, SIGINT: containers are left running, as their shims are; a hoist that wants
/// them stopped says so over the API before) or is idle for too long.
pub async fn serve(_options: Options) -> Result<(), Error> {
    Err(Error::Unsupported("daemon".into()))
}
