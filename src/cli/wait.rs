//! `hoist wait`: until containers exit.

use clap::Args;

use super::error::Error;
use super::global::Global;

/// Wait until containers exit, and print their exit codes
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Services
    #[arg(value_name = "SERVICE", required = true)]
    pub(super) services: Vec<String>,
    /// Bring the project down when the first one exits
    #[arg(long)]
    pub(super) down_project: bool,
}

/// Runs the command.
pub(super) async fn run(_global: &Global, _arguments: Arguments) -> Result<u8, Error> {
    Err(Error::failed("not possible yet"))
}
