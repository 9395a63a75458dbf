//! `hoist kill`: sends a signal to containers.

use clap::Args;
use futures_util::future::join_all;

use super::engine::{self, Start};
use super::error::Error;
use super::global::Global;
use super::session::{self, Outline};
use crate::engine::Engine as _;
use crate::engine::docker::Docker;

/// Send a signal to containers, at once
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
    /// The signal, by name or number
    #[arg(short, long, value_name = "SIGNAL", default_value = "SIGKILL")]
    pub(super) signal: String,
    /// Remove containers whose service is not in the manifest
    #[arg(long)]
    pub(super) remove_orphans: bool,
}

/// Runs the command.
pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<u8, Error> {
    let signal = signal(&arguments.signal)?;
    let project = session::outline(global)?;
    let docker = engine::connect(global, None, Start::No).await?;
    let mut containers = session::containers(&docker, &project, &arguments.services).await?;
    containers.retain(|container| container.state.is_running());
    if containers.is_empty() {
        anstream::eprintln!("nothing of `{}` is running", project.name);
    }
    let kills = containers.iter().map(|container| async {
        let killed = docker.kill_container(&container.id, &signal).await;
        killed.map_err(Error::engine(format!("send {signal} to `{}`", container.name)))?;
        anstream::eprintln!("sent {signal} to {}", container.name);
        Ok(())
    });
    join_all(kills).await.into_iter().collect::<Result<(), Error>>()?;
    if arguments.remove_orphans {
        remove_orphans(global, &docker).await?;
    }
    Ok(0)
}

/// A signal's name or number, as engines take it.
fn signal(text: &str) -> Result<String, Error> {
    let wrong =
        text.is_empty() || !text.chars().all(|character| character.is_ascii_alphanumeric() || "+-".contains(character));
    if wrong {
        return Err(Error::usage(format!("`{text}` is not a signal")));
    }
    let upper = text.to_ascii_uppercase();
    let is_whole = text.parse::<u8>().is_ok() || upper.starts_with("SIG");
    Ok(if is_whole { upper } else { format!("SIG{upper}") })
}

async fn remove_orphans(global: &Global, docker: &Docker) -> Result<(), Error> {
    let project = session::load(global, &[])?.project;
    let known = |name: &String| project.services.contains_key(name) || project.disabled.contains_key(name);
    let containers = session::containers(docker, &Outline::of(&project), &[]).await?;
    for orphan in containers.iter().filter(|container| !known(&container.service)) {
        let removed = docker.remove_container(&orphan.id, false).await;
        removed.map_err(Error::engine(format!("remove `{}`", orphan.name)))?;
        anstream::eprintln!("removed {}", orphan.name);
    }
    Ok(())
}
