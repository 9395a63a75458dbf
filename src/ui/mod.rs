//! Typed notices, plans and states → text for a person or a program. One task owns the terminal and prints what it is
//! sent; nothing else in a run prints.

pub mod board;
mod flight;
mod json;
#[cfg(unix)]
mod keys;
mod lines;
pub mod page;
mod printer;
pub mod problems;
pub mod replay;
pub mod report;
pub mod table;
mod text;
mod timings;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::engine::Progress;
use crate::project::{HealthTest, Port, Project, Protocol, Published, Service};
use crate::reconcile::notice::Notice;

pub use flight::bytes;
pub use printer::{Printer, start};
pub use text::clean;

/// How many messages may wait for the printing task; senders wait beyond that.
pub const QUEUE: usize = 1024;

/// What the printing task is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// News of the run.
    Notice(Notice),
    /// A whole line of a container's output.
    Line(Line),
    /// Whole lines of containers' output, in their order: cheaper than one message a line.
    Lines(Vec<Line>),
    /// The last lines of output of a container that failed; sent right after the notice that says so.
    LastLines {
        /// The service.
        service: String,
        /// The lines, oldest first.
        lines: Vec<String>,
    },
    /// The project is another than before.
    Scene(Scene),
    /// News of a build or a pull.
    Progress {
        /// The service whose image it is.
        service: String,
        /// What.
        progress: Progress,
    },
}

/// A whole line of a container's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The service.
    pub service: String,
    /// The container's number within it.
    pub number: u32,
    /// Whether it came from standard error.
    pub stderr: bool,
    /// The text, without its line end and without what would move the cursor.
    pub text: String,
}

/// How the printing task prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// For a person at a terminal: spinners for what is in flight, a line for what is done.
    Terminal,
    /// A line for each thing.
    Plain,
    /// An object for each thing, a line each.
    Json,
    /// Errors and containers' output only.
    Quiet,
}

/// What the printing task is told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How to print.
    pub style: Style,
    /// Whether a container's output begins with its service.
    pub prefix: bool,
    /// The services whose output is not shown.
    pub hidden: BTreeSet<String>,
    /// Whether JSON goes to standard output instead of standard error.
    pub json_on_stdout: bool,
    /// Whether the critical path of a start is shown.
    pub timings: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { style: Style::Plain, prefix: true, hidden: BTreeSet::new(), json_on_stdout: false, timings: false }
    }
}

/// What the printing task knows of the project, to lay out its columns before it has seen every name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scene {
    /// How many containers each service has.
    pub services: BTreeMap<String, u32>,
    /// The services with a healthcheck: they are not up before they are healthy.
    pub checked: Vec<String>,
    /// Where the published ports of services are reached from this machine, by service.
    pub addresses: Vec<(String, String)>,
    /// The folder that paths are shown relative to.
    pub directory: PathBuf,
}

impl Scene {
    /// Of a loaded project.
    #[must_use]
    pub fn of(project: &Project) -> Self {
        let checked = |test: &HealthTest| matches!(test, HealthTest::Command(_) | HealthTest::Shell(_));
        Self {
            services: project.services.values().map(|service| (service.name.clone(), service.replicas)).collect(),
            checked: project
                .services
                .values()
                .filter(|service| service.healthcheck.as_ref().is_some_and(|check| checked(&check.test)))
                .map(|service| service.name.clone())
                .collect(),
            addresses: addresses(project),
            directory: project.directory.clone(),
        }
    }
}

/// `localhost:8080` for every port whose number is known before the engine gives it out.
fn addresses(project: &Project) -> Vec<(String, String)> {
    let of = |service: &Service| {
        let ports = service.ports.iter().filter(|port| port.protocol == Protocol::Tcp);
        let shown: Vec<String> = ports.filter_map(address).collect();
        (!shown.is_empty()).then(|| (service.name.clone(), shown.join(", ")))
    };
    project.services.values().filter_map(of).collect()
}

fn address(port: &Port) -> Option<String> {
    let Published::Port(number) = port.published else { return None };
    match port.host_ip.as_deref() {
        None | Some("0.0.0.0" | "::" | "127.0.0.1" | "::1") => Some(format!("localhost:{number}")),
        Some(address) if address.contains(':') => Some(format!("[{address}]:{number}")),
        Some(address) => Some(format!("{address}:{number}")),
    }
}
