//! `hoist kill`: sends a signal to containers.

use clap::Args;

use super::error::Error;
use super::global::Global;

/// Send a signal to containers, at once
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
    /// The signal, by name or number
    #[arg(short, long, value_name = "SIGNAL", default_value = "SIGKILL")]
    pub(super) signal: String,
    /// Remove containers whose service is not in the manifest
    #[arg(long)]
    pub(super) remove_orphans: bool,
}

/// Runs the command.
pub(super) async fn run(_global: &Global, _arguments: Arguments) -> Result<u8, Error> {
    Err(Error::failed("not possible yet"))
}
