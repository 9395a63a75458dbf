//! `hoist build`: builds the images of services.

use clap::Args;

use super::error::Error;
use super::global::Global;

/// Build images
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
    /// Build argument; repeat for several
    #[arg(long = "build-arg", value_name = "KEY=VALUE")]
    pub(super) build_args: Vec<String>,
    /// Use no cache
    #[arg(long)]
    pub(super) no_cache: bool,
    /// Look for newer base images
    #[arg(long)]
    pub(super) pull: bool,
    /// Show no output of the builds
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Build the services too that the named ones need
    #[arg(long)]
    pub(super) with_dependencies: bool,
}

/// Runs the command.
pub(super) async fn run(_global: &Global, _arguments: Arguments) -> Result<u8, Error> {
    Err(Error::failed("not possible yet"))
}
