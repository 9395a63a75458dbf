//! `hoist logs`: what containers have written.

mod follow;
mod merge;

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Args;

use super::engine::{self, Start};
use super::error::Error;
use super::format::Format;
use super::global::Global;
use super::times::{self, fraction};
use super::{images, session};
use crate::engine::LogOptions;
use crate::plan::observed::Container;
use crate::ui::{self, Options, Scene, Style};
use follow::Following;
use merge::history;

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
    #[arg(long, value_name = "TIME", value_parser = times::time)]
    pub(super) since: Option<Duration>,
    /// Only what is older than a time or an age
    #[arg(long, value_name = "TIME", value_parser = times::time)]
    pub(super) until: Option<Duration>,
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
pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<u8, Error> {
    if arguments.no_color {
        session::no_colour();
    }
    let options = LogOptions {
        follow: false,
        tail: match arguments.tail {
            Tail::All => None,
            Tail::Lines(lines) => Some(lines),
        },
        since: arguments.since.map(fraction),
        until: arguments.until.map(fraction),
        timestamps: true,
    };
    let project = session::outline(global)?;
    let docker = engine::connect(global, None, Start::No).await?;
    let mut containers = session::containers(&docker, &project, &arguments.services).await?;
    containers.retain(|container| arguments.index.is_none_or(|index| container.number == index));
    let (sender, printer) = ui::start(&printing(&arguments), &scene(&containers), None);
    let reading = async {
        let seen = history(&docker, &containers, &options, &sender, arguments.timestamps).await?;
        if arguments.follow {
            let following = Following { docker, project, arguments: &arguments, options, sender: &sender };
            following.run(seen).await?;
        }
        Ok(())
    };
    let result = tokio::select! {
        result = reading => result.map(|()| 0),
        () = sender.closed() => Ok(0),
        () = images::interrupted() => Ok(130),
    };
    drop(sender);
    printer.finish().await;
    if matches!(result, Ok(130)) && std::io::stderr().is_terminal() {
        // The terminal has written `^C` and left the cursor behind it.
        anstream::eprintln!();
    }
    result
}

fn printing(arguments: &Arguments) -> Options {
    let style = match arguments.format {
        Format::Text => Style::Plain,
        Format::Json => Style::Json,
    };
    Options { style, prefix: !arguments.no_log_prefix, json_on_stdout: true, ..Options::default() }
}

/// The services by what runs of them: a listing says all that the columns need.
fn scene(containers: &[Container]) -> Scene {
    let mut services: BTreeMap<String, u32> = BTreeMap::new();
    for container in containers {
        let replicas = services.entry(container.service.clone()).or_default();
        *replicas = (*replicas).max(container.number);
    }
    Scene { services, ..Scene::default() }
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
