//! `hoist wait`: until containers exit.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use futures_util::StreamExt as _;

use super::drive::{View, drive};
use super::engine::{self, Start};
use super::error::Error;
use super::global::Global;
use super::output::print;
use super::remnant;
use super::session::{self, Outline};
use crate::engine::Engine as _;
use crate::engine::docker::Docker;
use crate::plan::goal::{Down, Goal, RemoveImages};
use crate::plan::observed::ContainerState;

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
pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<u8, Error> {
    let project = session::outline(global)?;
    let docker = engine::connect(global, None, Start::No).await?;
    let code = wait(&docker, &project, &arguments).await?;
    if arguments.down_project {
        let project = remnant::project(global, &docker, &[]).await?;
        let down = Down {
            services: BTreeSet::new(),
            volumes: false,
            images: RemoveImages::None,
            remove_orphans: false,
            grace: None,
        };
        drive(docker, project, Goal::Down(down), View::brief(global)).await?;
    }
    Ok(code)
}

/// Waits for all the containers, or for the first one when the project is to come down then.
async fn wait(docker: &Docker, project: &Outline, arguments: &Arguments) -> Result<u8, Error> {
    // Subscribed before the listing, so that no exit falls between the two.
    let mut events = docker.events(&project.name);
    let mut waiting: BTreeMap<String, String> = BTreeMap::new();
    let mut code = 0;
    for container in session::containers(docker, project, &arguments.services).await? {
        waiting.insert(container.id, container.name);
    }
    let mut check: Vec<String> = waiting.keys().cloned().collect();
    loop {
        for id in check.drain(..) {
            let Some(name) = waiting.get(&id) else { continue };
            let container = docker.container(&id).await.map_err(Error::engine(format!("inspect `{name}`")))?;
            match container.map(|container| container.state) {
                Some(ContainerState::Exited(exit)) => {
                    print(&format!("{name} exited with code {exit}\n"))?;
                    code = exit_code(exit);
                }
                Some(ContainerState::Dead) | None => print(&format!("{name} was removed\n"))?,
                Some(_) => continue,
            }
            waiting.remove(&id);
            if arguments.down_project {
                return Ok(code);
            }
        }
        if waiting.is_empty() {
            return Ok(code);
        }
        match events.next().await {
            Some(event) => check.push(event.map_err(Error::engine("follow the engine's events"))?.id),
            None => return Err(Error::failed("the engine went away")),
        }
    }
}

/// A container's exit code as a process's.
pub(super) fn exit_code(code: i64) -> u8 {
    u8::try_from(code & 0xff).unwrap_or(1)
}
