//! `hoist ps`: the containers of the project, from one listing of the engine.

use clap::{Args, ValueEnum};

use super::error::Error;
use super::global::Global;

/// List containers
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
    /// List stopped containers too
    #[arg(short, long)]
    pub(super) all: bool,
    /// Print ids only
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Print the names of services only
    #[arg(long = "services", conflicts_with = "quiet")]
    pub(super) list_services: bool,
    /// Only containers in this state; repeat for several
    #[arg(long, value_name = "STATE")]
    pub(super) status: Vec<State>,
    /// Only containers of which this holds: `status=STATE`
    #[arg(long, value_name = "FILTER", value_parser = parse_filter)]
    pub(super) filter: Vec<State>,
    /// Print whole commands and ids
    #[arg(long)]
    pub(super) no_trunc: bool,
    /// Table or JSON, one object a line
    #[arg(long, value_name = "FORMAT", default_value = "table", hide_default_value = true)]
    pub(super) format: Format,
}

/// Runs the command.
pub(super) async fn run(_global: &Global, _arguments: Arguments) -> Result<u8, Error> {
    Err(Error::failed("not possible yet"))
}

/// How the command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// A container's state, by Docker's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum State {
    /// Held still.
    Paused,
    /// About to be started again.
    Restarting,
    /// Being removed.
    Removing,
    /// Running.
    Running,
    /// Broken beyond starting.
    Dead,
    /// Made and never started.
    Created,
    /// Exited.
    Exited,
}

fn parse_filter(text: &str) -> Result<State, String> {
    let state = text.strip_prefix("status=").ok_or("expected `status=STATE`")?;
    State::from_str(state, true).map_err(|_| format!("no container is ever `{state}`"))
}
