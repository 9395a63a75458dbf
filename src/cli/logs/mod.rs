//! `hoist logs`: what containers have written.

mod follow;
mod merge;

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::{Duration, SystemTime};

use chrono::DateTime;
use clap::{Args, ValueEnum};

use super::engine::{self, Start};
use super::error::Error;
use super::global::Global;
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
        since: arguments.since.as_deref().map(time).transpose()?,
        until: arguments.until.as_deref().map(time).transpose()?,
        timestamps: true,
    };
    let project = session::outline(global)?;
    let docker = engine::connect(global, None, Start::No).await?;
    let mut containers = session::containers(&docker, &project, &arguments.services).await?;
    containers.retain(|container| arguments.index.is_none_or(|index| container.number == index));
    let (sender, printer) = ui::start(&printing(&arguments), &scene(&containers));
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

/// A time of the command line as seconds since 1970: RFC 3339, a date, a number of seconds, or an age such as `1h30m`.
fn time(text: &str) -> Result<String, Error> {
    let wrong = || Error::Usage {
        message: format!("`{text}` is not a time"),
        hint: Some("write `2026-01-02T13:23:37Z`, `2026-01-02` or an age such as `42m`".into()),
    };
    if text.parse::<f64>().is_ok_and(|number| number >= 0.0) && !text.contains(['e', 'E', 'n', 'N', 'i', 'I']) {
        return Ok(text.to_owned());
    }
    if let Some(age) = age(text) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        return Ok(fraction(now.saturating_sub(age)));
    }
    let date = || chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    let local = || chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok();
    let parsed = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()).ok();
    let parsed = parsed.or_else(|| local().or_else(date).map(|time| time.and_utc())).ok_or_else(wrong)?;
    let since = u64::try_from(parsed.timestamp()).map_err(|_| wrong())?;
    Ok(fraction(Duration::new(since, parsed.timestamp_subsec_nanos())))
}

/// Reads `1h30m`, `90s`, `500ms`.
fn age(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let after = &rest[digits..];
        let unit = after.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(after.len());
        let seconds = match &after[..unit] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        sum = sum.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = &after[unit..];
    }
    (!text.is_empty()).then_some(sum)
}

/// Seconds with nine digits of fraction.
pub(super) fn fraction(time: Duration) -> String {
    format!("{}.{:09}", time.as_secs(), time.subsec_nanos())
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{age, time};

    #[test]
    fn a_time_is_a_date_a_number_or_an_age() {
        assert_eq!(time("2026-01-02T13:23:37Z").ok().as_deref(), Some("1767360217.000000000"));
        assert_eq!(time("2026-01-02T14:23:37.5+01:00").ok().as_deref(), Some("1767360217.500000000"));
        assert_eq!(time("2026-01-02").ok().as_deref(), Some("1767312000.000000000"));
        assert_eq!(time("1767360217.25").ok().as_deref(), Some("1767360217.25"));
        assert_eq!(age("1h30m"), Some(Duration::from_mins(90)));
        assert_eq!(age("500ms"), Some(Duration::from_millis(500)));
        for wrong in ["", "yesterday", "5x", "m", "inf", "nan", "1e5", "-3"] {
            assert!(time(wrong).is_err(), "`{wrong}` was taken");
        }
    }
}
