//! Runs a goal to its end: the loop at work, the printing task beside it.

use std::io::IsTerminal as _;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::error::Error;
use super::global::{Global, Progress};
use super::session;
use crate::content::Hashes;
use crate::dispatch::{self, Ended, Manifest, Setup, SetupError};
use crate::engine::docker::Docker;
use crate::journal::{self, Events, Journal};
use crate::log;
use crate::plan::goal::Goal;
use crate::project::Project;
use crate::reconcile::notice::Notice;
use crate::ui::{self, Message, Options, Scene, Style};

/// How many of a failed container's last lines are shown.
const LAST_LINES: usize = 15;

/// How many messages are passed on at once.
const BATCH: usize = 256;

/// What a person sees of a run.
#[derive(Debug, Clone)]
pub(super) struct View {
    /// Whether files are watched.
    pub(super) watch: bool,
    /// How the manifest is read again once it is saved.
    pub(super) manifest: Option<Manifest>,
    /// Whether containers' output is shown.
    pub(super) follow_logs: bool,
    /// How it is printed.
    pub(super) options: Options,
    /// Whether it leaves what it told.
    pub(super) events: bool,
    /// Whether it leaves a journal.
    pub(super) journal: bool,
}

impl View {
    /// For a command that ends when its goal is reached.
    pub(super) fn brief(global: &Global) -> Self {
        let events = global.keeps_journal();
        // What a person asks about is an `up`, which many a brief command would drive out.
        let journal = false;
        Self { watch: false, manifest: None, follow_logs: false, options: options(global), events, journal }
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
    run(docker, project, goal, view).await.map(|ended| ended.code)
}

/// Runs a goal to its end.
pub(super) async fn run(docker: Docker, project: Project, goal: Goal, view: View) -> Result<Ended, Error> {
    let events = if view.events { Events::of(&project) } else { None };
    let (printing, printer) = ui::start(&view.options, &Scene::of(&project), events);
    let (messages, news) = mpsc::channel(ui::QUEUE);
    let View { watch, manifest, follow_logs, journal, .. } = view;
    let hashes = Hashes::of_project(&project.directory);
    let docker = docker.with_hashes(hashes.clone());
    let journal = if journal { Journal::start(&project) } else { None };
    if journal.is_some() {
        name_journal_on_panic();
    }
    let setup = Setup { project: Arc::new(project), goal, watch, manifest, hashes, follow_logs, messages, journal };
    let (ended, ()) = tokio::join!(dispatch::run(docker.clone(), setup), pass_on(docker, news, printing));
    printer.finish().await;
    ended.map_err(not_begun)
}

/// Has a panic name the journal that shows what led to it.
fn name_journal_on_panic() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            usual(panic);
            if let Some(path) = journal::current() {
                let path = path.display();
                anstream::eprintln!("this is a mistake in hoist; what led to it is in `{path}`: put it to your report");
            }
        }));
    });
}

/// Passes everything on to the printing task; a failure is followed by the last lines of the container that failed.
async fn pass_on(docker: Docker, mut news: mpsc::Receiver<Message>, printing: mpsc::Sender<Message>) {
    let mut batch = Vec::new();
    while news.recv_many(&mut batch, BATCH).await > 0 {
        for message in batch.drain(..) {
            let failed = match &message {
                Message::Notice(Notice::ServiceFailed { service, container: Some(container), .. }) => {
                    Some((service.clone(), container.clone()))
                }
                _ => None,
            };
            // The printing task ends only when this one does.
            let _ = printing.send(message).await;
            if let Some((service, container)) = failed {
                let lines = log::tail(&docker, &container, LAST_LINES).await;
                if !lines.is_empty() {
                    let _ = printing.send(Message::LastLines { service, lines }).await;
                }
            }
        }
    }
}

/// Why a run did not begin.
pub(super) fn not_begun(error: SetupError) -> Error {
    match error {
        SetupError::Cycles(cycles) => session::cycles(&cycles),
        SetupError::Engine(source) => Error::engine("look at the engine")(source),
        error @ (SetupError::Signals(_) | SetupError::Watch(_)) => Error::failed(error.to_string()),
    }
}
