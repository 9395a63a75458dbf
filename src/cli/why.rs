//! `hoist why`: what a service waits for, or why it does not run.

use clap::Args;

use super::error::Error;
use super::global::Global;

/// Tell what a service waits for, or why it is not running
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The service
    #[arg(value_name = "SERVICE")]
    pub(super) service: String,
}

/// Runs the command.
pub(super) async fn run(_global: &Global, _arguments: Arguments) -> Result<u8, Error> {
    Err(Error::failed("not possible yet"))
}
