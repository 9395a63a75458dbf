//! `hoist events`: what the runs of a project tell, as they tell it.

use std::io::IsTerminal as _;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Local, Utc};
use clap::Args;
use serde_json::Value;

use super::error::Error;
use super::format::Format;
use super::global::Global;
use super::output::print;
use super::times::time;
use super::{images, session};
use crate::journal::Reader;
use crate::ui::clean;

/// How often it is looked for more.
const PAUSE: Duration = Duration::from_millis(100);

/// Show what the runs of the project do: starts, exits, health, saves and what came of them
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
    /// Begin with what is newer than a time (`2026-01-02T13:23:37Z`) or an age (`42m`)
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) since: Option<Duration>,
    /// End with what is older than a time or an age; `0s` is now
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) until: Option<Duration>,
    /// Print plain text, or an object for each event
    #[arg(long, value_name = "FORMAT", default_value = "text", hide_default_value = true)]
    pub(super) format: Format,
    /// Taken for the sake of scripts: `--format json`
    #[arg(long, hide = true)]
    pub(super) json: bool,
}

/// Runs the command.
pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<u8, Error> {
    let project = session::load(global, &[])?.project;
    session::check_services(&arguments.services, project.services.keys())?;
    let reader = match arguments.since {
        Some(_) => Reader::from_start(&project),
        None => Reader::from_end(&project),
    };
    let unreadable = || Error::io("read the events of earlier runs");
    let reader = reader.map_err(unreadable())?.ok_or_else(|| Error::Failed {
        message: "there is no place that runs could leave their events in".into(),
        hint: Some("set `XDG_STATE_HOME` or `HOME` to a folder".into()),
    })?;
    if std::io::stderr().is_terminal() && arguments.until.is_none() && arguments.since.is_none() {
        anstream::eprintln!("what runs of `{}` do from now on; ctrl-c ends", project.name);
    }
    tokio::select! {
        shown = follow(reader, &arguments) => shown.map(|()| 0),
        () = images::interrupted() => Ok(130),
    }
}

async fn follow(mut reader: Reader, arguments: &Arguments) -> Result<(), Error> {
    loop {
        while let Some(line) = reader.next_line().map_err(Error::io("read the events"))? {
            let Some(event) = Event::read(&line) else { continue };
            if arguments.until.is_some_and(|until| event.at >= until) {
                return Ok(());
            }
            if arguments.since.is_none_or(|since| event.at >= since) && event.concerns(&arguments.services) {
                match arguments.format {
                    Format::Text if !arguments.json => print(&event.text())?,
                    _ => print(&(line + "\n"))?,
                }
            }
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if arguments.until.is_some_and(|until| now >= until) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One line that a run has left.
struct Event {
    /// Since 1970.
    at: Duration,
    object: Value,
}

impl Event {
    /// `None` for what no run of this version would leave.
    fn read(line: &str) -> Option<Self> {
        let object: Value = serde_json::from_str(line).ok()?;
        let time = DateTime::parse_from_rfc3339(object["time"].as_str()?).ok()?;
        let at = Duration::from_millis(u64::try_from(time.timestamp_millis()).ok()?);
        Some(Self { at, object })
    }

    fn concerns(&self, services: &[String]) -> bool {
        services.is_empty() || self.service().is_some_and(|service| services.iter().any(|name| name == service))
    }

    /// The service that it is about, itself or through its operation.
    fn service(&self) -> Option<&str> {
        self.object.get("service").or_else(|| self.object["operation"].get("service"))?.as_str()
    }

    /// As a line for people; empty for what is only a step of something that is told as a whole.
    fn text(&self) -> String {
        let Some(words) = self.object["text"].as_str() else { return String::new() };
        let time = DateTime::<Utc>::from(SystemTime::UNIX_EPOCH + self.at).with_timezone(&Local);
        let lines: Vec<String> = words.lines().map(clean).collect();
        format!("{}  {}\n", time.format("%Y-%m-%d %H:%M:%S%.3f"), lines.join("\n"))
    }
}
