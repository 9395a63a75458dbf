//! `hoist exec`: runs a command in a running container, with the terminal when there is one.

use clap::Args;

use super::build::variable;
use super::engine::{self, Start};
use super::error::Error;
use super::global::Global;
use super::session;
use super::terminal::{self, Raw};
use super::wait::exit_code;
use crate::engine::docker::ExecOptions;
use crate::project::Hook;

/// Run a command in a running container
#[derive(Debug, Args)]
#[command(override_usage = "hoist exec [OPTIONS] SERVICE COMMAND [ARGUMENT]...")]
pub(super) struct Arguments {
    /// The service, then the command and its arguments
    #[arg(value_name = "SERVICE", required = true, trailing_var_arg = true)]
    pub(super) words: Vec<String>,
    /// Return at once and leave the command running
    #[arg(short, long)]
    pub(super) detach: bool,
    /// Variable for the command; repeat for several
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(super) env: Vec<String>,
    /// The container with this number, in place of the first
    #[arg(long, value_name = "NUMBER")]
    pub(super) index: Option<u32>,
    /// What is so by default, for those who are used to `-it`
    #[arg(short, long, hide = true)]
    pub(super) interactive: bool,
    /// As above
    #[arg(short, long, hide = true)]
    pub(super) tty: bool,
    /// Use no terminal
    #[arg(short = 'T', long = "no-tty", alias = "no-TTY")]
    pub(super) no_tty: bool,
    /// Give the command all privileges
    #[arg(long)]
    pub(super) privileged: bool,
    /// Run as this user
    #[arg(short, long, value_name = "USER")]
    pub(super) user: Option<String>,
    /// Run in this folder
    #[arg(short, long, value_name = "FOLDER")]
    pub(super) workdir: Option<String>,
}

/// Runs the command.
pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<u8, Error> {
    let Some((service, command)) = arguments.words.split_first() else {
        return Err(Error::usage("a service is missing"));
    };
    if command.is_empty() {
        return Err(Error::Usage {
            message: "a command is missing".into(),
            hint: Some(format!("`hoist exec {service} sh` opens a shell")),
        });
    }
    let project = session::outline(global)?;
    let docker = engine::connect(global, None, Start::No).await?;
    let container = session::running(&docker, &project, service, arguments.index).await?;
    let tty = !arguments.no_tty && !arguments.detach && terminal::is_there();
    let options = ExecOptions {
        hook: Hook {
            command: command.to_vec(),
            user: arguments.user,
            privileged: arguments.privileged,
            working_dir: arguments.workdir,
            environment: arguments.env.iter().map(|text| variable(text)).collect(),
        },
        tty,
        stdin: !arguments.detach,
    };
    let failed = || Error::engine(format!("run a command in `{}`", container.name));
    if arguments.detach {
        docker.exec_detached(&container.id, &options).await.map_err(failed())?;
        return Ok(0);
    }
    let attached = docker.exec_interactive(&container.id, &options).await.map_err(failed())?;
    let exec = attached.id.clone();
    let raw = if tty { Some(Raw::enter()?) } else { None };
    let resizing = terminal::follow_size(tty, async |width, height| docker.resize_exec(&exec, width, height).await);
    let ended = tokio::select! {
        ended = terminal::connect(attached, true) => ended.map(|()| None),
        () = resizing => Ok(None),
        code = terminal::told_to_end() => Ok(Some(code)),
    };
    drop(raw);
    match ended? {
        Some(code) => Ok(code),
        None => docker.exec_exit_code(&exec).await.map(exit_code).map_err(failed()),
    }
}
