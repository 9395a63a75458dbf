//! `hoist start`: starts containers that exist.

use clap::Args;

use super::drive::{View, drive};
use super::engine::{self, Start};
use super::error::Error;
use super::global::Global;
use super::{remnant, session};
use crate::plan::goal::Goal;

/// Start containers that exist
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
}

/// Runs the command.
pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<u8, Error> {
    let docker = engine::connect(global, None, Start::Allowed).await?;
    let project = remnant::project(global, &docker, &arguments.services).await?;
    let services = session::select(&project, &arguments.services)?;
    let goal = Goal::Start { services };
    drive(docker, project, goal, View::brief(global)).await
}
