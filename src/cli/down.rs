//! `hoist down`: stops and removes what `up` made.

use clap::{Args, ValueEnum};

use super::error::Error;
use super::global::Global;

/// Stop and remove containers and networks
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
    /// Remove the volumes that the manifest declares, and anonymous ones
    #[arg(short, long)]
    pub(super) volumes: bool,
    /// Remove images: `local` those that were built without a name of their own, `all` every one
    #[arg(long, value_name = "WHICH")]
    pub(super) rmi: Option<Rmi>,
    /// Remove containers whose service is not in the manifest
    #[arg(long)]
    pub(super) remove_orphans: bool,
    /// Seconds that containers may take to stop before they are killed
    #[arg(short, long, value_name = "SECONDS")]
    pub(super) timeout: Option<u64>,
}

/// Runs the command.
pub(super) async fn run(_global: &Global, _arguments: Arguments) -> Result<u8, Error> {
    Err(Error::failed("not possible yet"))
}

/// Which images go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Rmi {
    /// Those without a name of their own.
    Local,
    /// Every one.
    All,
}
