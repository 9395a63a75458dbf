//! `hoist logs`: what containers have written.

use clap::{Args, ValueEnum};

use super::error::Error;
use super::global::Global;

/// Show what containers have written
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
    /// Go on as more comes
    #[arg(short, long)]
    pub(super) follow: bool,
    /// So many lines from the end of each container's, or `all`
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all", hide_default_value = true, value_parser = parse_tail)]
    pub(super) tail: Tail,
    /// Only what is newer than a time (`2026-01-02T13:23:37Z`) or an age (`42m`)
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<String>,
    /// Only what is older than a time or an age
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<String>,
    /// Begin each line with its time
    #[arg(short, long)]
    pub(super) timestamps: bool,
    /// Only the container with this number
    #[arg(long, value_name = "NUMBER")]
    pub(super) index: Option<u32>,
    /// Show lines without the service before them
    #[arg(long)]
    pub(super) no_log_prefix: bool,
    /// Colour nothing
    #[arg(long)]
    pub(super) no_color: bool,
    /// Print plain text, or an object for each line
    #[arg(long, value_name = "FORMAT", default_value = "text", hide_default_value = true)]
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
    Text,
    /// For programs.
    Json,
}

/// How much of the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// Everything.
    All,
    /// So many lines.
    Lines(u64),
}

fn parse_tail(text: &str) -> Result<Tail, String> {
    match text {
        "all" | "-1" => Ok(Tail::All),
        number => number.parse().map(Tail::Lines).map_err(|_| "expected a number or `all`".into()),
    }
}
