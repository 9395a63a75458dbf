//! `hoist engine`: hoist's own engine, and when commands use it.
//!
//! It is used when it is asked for, when a service has no image, and when no other engine answers.

#[cfg(target_os = "linux")]
mod linux;

use clap::{Args, Subcommand};

use super::error::Error;
use super::global::Global;
use super::session;
use crate::engine::EngineError;
use crate::engine::docker::Docker;
use crate::project::Project;
#[cfg(target_os = "linux")]
use linux as own;

/// Start, stop and look at hoist's own engine
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start it in the background
    Start,
    /// Stop its containers, and then it
    Stop,
    /// Say whether it runs, since when and where
    Status(Format),
    /// Say what this machine offers to it
    Info(Format),
    /// Run it in the foreground
    Serve,
}

#[derive(Debug, Args)]
struct Format {
    /// Print an object of JSON
    #[arg(long)]
    json: bool,
}

/// Whether a command may start hoist's own engine where no engine answers: one that only looks does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// It may.
    Allowed,
    /// It finds one that runs.
    No,
}

/// Runs the command.
pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<u8, Error> {
    own::run(global, arguments.command).await
}

/// Finds the engine that a command works with. `project` is what its manifest says, where the command has read it.
pub(super) async fn connect(global: &Global, project: Option<&Project>, start: Start) -> Result<Docker, Error> {
    let reach = |source| Error::Engine { action: "reach a container engine".into(), source };
    let asked = global.engine.as_deref().filter(|asked| *asked != "auto");
    if asked == Some("embedded") {
        return own::reach(start).await;
    }
    let on_machine = match project {
        Some(project) => service_on_machine(project),
        None => session::loaded_quietly(global).and_then(|project| service_on_machine(&project)),
    };
    let Some(service) = on_machine else {
        return match Docker::connect(asked).await {
            Ok(docker) => Ok(docker),
            Err(error) if asked.is_none() && !is_named_by_docker() => own::instead(error, start).await,
            Err(error) => Err(reach(error)),
        };
    };
    match asked.map(str::to_owned).or_else(docker_host) {
        None => own::reach(start).await,
        Some(named) if own::is_its_address(&named) => Docker::connect(Some(&named)).await.map_err(reach),
        Some(named) => Err(Error::Failed {
            message: format!(
                "`{service}` has no image, and the engine `{named}` cannot run it on this machine's files"
            ),
            hint: Some("give it an `image` or a `build`, or use hoist's own engine: `--engine embedded`".into()),
        }),
    }
}

/// A service that runs on this machine's own root file system.
fn service_on_machine(project: &Project) -> Option<String> {
    let found = project.services.values().chain(project.disabled.values()).find(|service| service.is_on_machine());
    found.map(|service| service.name.clone())
}

fn docker_host() -> Option<String> {
    std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty())
}

/// Whether the docker CLI's own variables say which engine it is.
fn is_named_by_docker() -> bool {
    let context = std::env::var("DOCKER_CONTEXT").ok().filter(|context| !context.is_empty());
    docker_host().is_some() || context.is_some_and(|context| context != "default")
}

/// Where there is no such engine.
#[cfg(not(target_os = "linux"))]
mod own {
    use super::{Command, Docker, EngineError, Error, Global, Start};

    fn none() -> Error {
        Error::Failed {
            message: "hoist's own engine runs on Linux only".into(),
            hint: Some("start Docker, Podman, Colima, OrbStack or Rancher Desktop".into()),
        }
    }

    #[expect(clippy::unused_async, reason = "the same signature as on Linux")]
    pub(super) async fn run(_global: &Global, _command: Command) -> Result<u8, Error> {
        Err(none())
    }

    #[expect(clippy::unused_async, reason = "the same signature as on Linux")]
    pub(super) async fn reach(_start: Start) -> Result<Docker, Error> {
        Err(none())
    }

    #[expect(clippy::unused_async, reason = "the same signature as on Linux")]
    pub(super) async fn instead(error: EngineError, _start: Start) -> Result<Docker, Error> {
        Err(Error::Engine { action: "reach a container engine".into(), source: error })
    }

    pub(super) fn is_its_address(_address: &str) -> bool {
        false
    }
}
