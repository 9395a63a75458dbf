//! `hoist start`: starts containers that exist.

use clap::Args;

use super::error::Error;
use super::global::Global;

/// Start containers that exist
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
}

/// Runs the command.
pub(super) async fn run(_global: &Global, _arguments: Arguments) -> Result<u8, Error> {
    Err(Error::failed("not possible yet"))
}
