//! `hoist stop`: stops containers and keeps them.

use clap::Args;

use super::error::Error;
use super::global::Global;

/// Stop containers without removing them
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
    /// Seconds that containers may take to stop before they are killed
    #[arg(short, long, value_name = "SECONDS")]
    pub(super) timeout: Option<u64>,
}

/// Runs the command.
pub(super) async fn run(_global: &Global, _arguments: Arguments) -> Result<u8, Error> {
    Err(Error::failed("not possible yet"))
}
