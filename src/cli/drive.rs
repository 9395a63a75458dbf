//! Runs a goal to its end: the loop at work, the printing task beside it.

use std::io::IsTerminal as _;
use std::sync::Arc;

use super::error::Error;
use super::global::{Global, Progress};
use crate::dispatch::{self, Setup};
use crate::engine::docker::Docker;
use crate::plan::goal::Goal;
use crate::project::Project;
use crate::ui::{self, Options, Scene, Style};

/// What a person sees of a run.
#[derive(Debug, Clone)]
pub(super) struct View {
    /// Whether files are watched.
    pub(super) watch: bool,
    /// Whether containers' output is shown.
    pub(super) follow_logs: bool,
    /// How it is printed.
    pub(super) options: Options,
}

impl View {
    /// For a command that ends when its goal is reached.
    pub(super) fn brief(global: &Global) -> Self {
        Self { watch: false, follow_logs: false, options: options(global) }
    }
}

/// How a command prints, as far as the options for all commands say.
pub(super) fn options(global: &Global) -> Options {
    let style = match global.progress {
        Progress::Auto if is_lively() => Style::Terminal,
        Progress::Auto | Progress::Plain => Style::Plain,
        Progress::Tty => Style::Terminal,
        Progress::Json => Style::Json,
        Progress::Quiet => Style::Quiet,
    };
    Options { style, ..Options::default() }
}

/// Whether spinners are welcome.
fn is_lively() -> bool {
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    std::io::stderr().is_terminal() && console::colors_enabled_stderr() && !dumb
}

/// Runs a goal to its end and returns the exit code.
pub(super) async fn drive(docker: Docker, project: Project, goal: Goal, view: View) -> Result<u8, Error> {
    let (messages, printer) = ui::start(&view.options, &Scene::of(&project));
    let setup = Setup { project: Arc::new(project), goal, watch: view.watch, follow_logs: view.follow_logs, messages };
    let ended = dispatch::run(docker, setup).await;
    printer.finish().await;
    ended.map_err(|error| Error::failed(error.to_string()))
}
