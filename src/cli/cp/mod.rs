//! `hoist cp`: files out of a container or into it.

mod unpack;

use clap::Args;

use crate::cli::error::Error;
use crate::cli::global::Global;

/// Copy files between a container and this machine
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where from: `SERVICE:PATH`, a path here, or `-` for a tar on standard input
    #[arg(value_name = "SOURCE")]
    pub(super) source: String,
    /// Where to: a path here, `SERVICE:PATH`, or `-` for a tar on standard output
    #[arg(value_name = "TARGET")]
    pub(super) target: String,
    /// The container with this number; all of them are copied to when it is not given
    #[arg(long, value_name = "NUMBER")]
    pub(super) index: Option<u32>,
    /// Keep owners and groups
    #[arg(short, long)]
    pub(super) archive: bool,
    /// Follow symbolic links in SOURCE
    #[arg(short = 'L', long)]
    pub(super) follow_link: bool,
}

/// Runs the command.
pub(super) async fn run(_global: &Global, _arguments: Arguments) -> Result<u8, Error> {
    Err(Error::failed("not possible yet"))
}
