//! `hoist pull`: pulls the images of services.

use clap::{Args, ValueEnum};

use super::error::Error;
use super::global::Global;

/// Pull images
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
    /// Show no progress
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Leave out the services that have a `build`
    #[arg(long)]
    pub(super) ignore_buildable: bool,
    /// Succeed even where an image cannot be pulled
    #[arg(long)]
    pub(super) ignore_pull_failures: bool,
    /// Pull for the services too that the named ones need
    #[arg(long)]
    pub(super) include_deps: bool,
    /// Pull always, or only what is missing
    #[arg(long, value_name = "WHEN", default_value = "always", hide_default_value = true)]
    pub(super) policy: Policy,
}

/// Runs the command.
pub(super) async fn run(_global: &Global, _arguments: Arguments) -> Result<u8, Error> {
    Err(Error::failed("not possible yet"))
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Policy {
    /// When it is not there.
    Missing,
    /// In any case.
    Always,
}
