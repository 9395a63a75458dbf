//! `hoist down`: stops and removes what `up` made.

use clap::{Args, ValueEnum};

use super::drive::{View, drive};
use super::engine::{self, Start};
use super::error::Error;
use super::global::Global;
use super::{remnant, session};
use crate::plan::goal::{Down, Goal, RemoveImages};

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
pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<u8, Error> {
    let docker = engine::connect(global, None, Start::No).await?;
    let project = remnant::project(global, &docker, &arguments.services).await?;
    session::check_services(&arguments.services, project.services.keys())?;
    let goal = Goal::Down(Down {
        services: arguments.services.into_iter().collect(),
        volumes: arguments.volumes,
        images: match arguments.rmi {
            None => RemoveImages::None,
            Some(Rmi::Local) => RemoveImages::Local,
            Some(Rmi::All) => RemoveImages::All,
        },
        remove_orphans: arguments.remove_orphans,
        grace: session::grace(arguments.timeout),
    });
    drive(docker, project, goal, View::brief(global)).await
}

/// Which images go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Rmi {
    /// Those without a name of their own.
    Local,
    /// Every one.
    All,
}
