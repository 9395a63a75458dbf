//! A run that is replayed: each event and what it led to, as text or as JSON.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::json::seconds_for_durations;
use super::text::{clean, sentence};
use super::words::{plural, quoted, said};
use std::path::PathBuf;

use crate::plan::observed::{Container, Health};
use crate::reconcile::event::{Action, Answer, Event, Outcome};
use crate::replay::{Moment, Parting};

/// A step in lines: the event with its time, and below it each thing that is to be done about it.
#[must_use]
pub fn lines(moment: &Moment<'_>) -> String {
    let event = moment.event.map_or_else(|| "the run begins".to_owned(), event);
    let mut text = format!("{:>9}  {}\n", time(moment.at), clean(&event));
    for line in moment.actions.iter().filter_map(action) {
        let _ = writeln!(text, "             → {}", clean(&line));
    }
    text
}

/// A step as an object, with its line end.
#[must_use]
pub fn object(moment: &Moment<'_>) -> String {
    let value = |value: serde_json::Result<Value>| value.unwrap_or_else(|error| json!({ "error": error.to_string() }));
    let (event, actions) = (value(serde_json::to_value(moment.event)), value(serde_json::to_value(moment.actions)));
    let actions = seconds_for_durations(actions);
    let event = seconds_for_durations(event);
    let at = moment.at.as_secs_f64();
    format!("{}\n", json!({ "step": moment.number, "at": at, "event": event, "actions": actions }))
}

/// Where journal and replay part: `step 412 at 3.084 s: journal has …, replay has …`.
#[must_use]
pub fn parting(parting: &Parting) -> String {
    let Parting { number, at, journal, replay } = parting;
    let side = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing more".to_owned(), Value::to_string);
    format!("step {number} at {}: journal has {}, replay has {}", time(*at), side(journal), side(replay))
}

/// With the milliseconds that steps are told apart by.
fn time(at: Duration) -> String {
    format!("{}.{:03} s", at.as_secs(), at.subsec_millis())
}

fn event(event: &Event) -> String {
    match event {
        Event::Observed(observed) => {
            let count = observed.containers.len();
            format!("the engine has {count} {}", plural(count, "container"))
        }
        Event::Container { id, container: None } => format!("container {id:.12} is gone"),
        Event::Container { container: Some(container), .. } => condition(container),
        Event::Exited { id, code } => format!("the process of container {id:.12} exited with code {code}"),
        Event::Answered { ticket, answer, .. } => format!("#{} {}", ticket.0, how(answer)),
        Event::InputsRead { service, generation, digest } => {
            let how = if digest.is_some() { "read" } else { "cannot be read" };
            format!("the files of {service}'s image, generation {generation}, {how}")
        }
        Event::ProbePassed { container } => format!("the healthcheck of container {container:.12} passed"),
        Event::Changed(paths) => format!("saved: {}", listed(paths.keys())),
        Event::Undone(paths) => format!("as before the save: {}", listed(paths)),
        Event::RulesRead(_) => "the ignore files were read".into(),
        Event::Reloaded(Some(_)) => "the manifest was read".into(),
        Event::Reloaded(None) => "the manifest was read and does not load".into(),
        Event::Interrupted { code } => format!("interrupted, to exit with code {code}"),
        Event::EngineLost { reason } => format!("the engine does not answer: {reason}"),
        Event::Reconnected => "the engine answers again".into(),
        Event::Woken => "woken".into(),
    }
}

fn listed<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> String {
    let paths: Vec<String> = paths.into_iter().map(|path| path.display().to_string()).collect();
    quoted(paths.iter())
}

fn condition(container: &Container) -> String {
    let health = match container.health {
        Health::None => "",
        Health::Starting => ", not healthy yet",
        Health::Healthy => ", healthy",
        Health::Unhealthy => ", unhealthy",
    };
    format!("{}-{} is {}{health}", container.service, container.number, container.state.as_str())
}

fn how(answer: &Answer) -> String {
    match answer {
        Answer::Done(Outcome::Container(container) | Outcome::Reverted { container, .. }) => {
            format!("is done: {}", condition(container))
        }
        Answer::Done(Outcome::Image(image)) => format!("is done: image {}", image.id),
        Answer::Done(_) => "is done".into(),
        Answer::Failed(failure) => format!("failed: {}", failure.reason),
        Answer::Cancelled => "was called off".into(),
    }
}

fn action(action: &Action) -> Option<String> {
    Some(match action {
        Action::Perform { ticket, operation } => format!("#{} {operation}", ticket.0),
        Action::Cancel { ticket } => format!("call off #{}", ticket.0),
        Action::Observe => "ask the engine for everything".into(),
        Action::Reload => "read the manifest".into(),
        Action::ReadInputs { service, generation } => {
            format!("read the files of {service}'s image, generation {generation}")
        }
        Action::Probe { service, container, .. } => format!("probe {service}, container {container:.12}"),
        Action::StopProbe { container } => format!("stop probing container {container:.12}"),
        Action::Follow { service, number, .. } => format!("follow the output of {service}-{number}"),
        Action::Kill { container } => format!("kill container {container:.12}"),
        Action::Tell(notice) => {
            let said = said(notice, None, Path::new("/"))?;
            format!("tell: {}", sentence(&said).lines().next().unwrap_or_default())
        }
        Action::End { code } => format!("end with code {code}"),
    })
}
