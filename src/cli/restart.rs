//! `hoist restart`: stops containers and starts them again.

use clap::Args;

use super::drive::{View, drive};
use super::engine::{self, Start};
use super::error::Error;
use super::global::Global;
use super::{remnant, session};
use crate::plan::goal::Goal;

/// Stop containers and start them again
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
    /// Seconds that containers may take to stop before they are killed
    #[arg(short, long, value_name = "SECONDS")]
    pub(super) timeout: Option<u64>,
    /// Leave the services alone that depend on these with `restart: true`
    #[arg(long)]
    pub(super) no_deps: bool,
}

/// Runs the command.
pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<u8, Error> {
    let docker = engine::connect(global, None, Start::Allowed).await?;
    let project = remnant::project(global, &docker, &arguments.services).await?;
    let services = session::select(&project, &arguments.services)?;
    let goal = Goal::Restart { services, grace: session::grace(arguments.timeout), no_deps: arguments.no_deps };
    drive(docker, project, goal, View::brief(global)).await
}
