//! `/events`.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use bollard_stubs::models::EventMessage;
use chrono::Utc;
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::Engine;
use super::answer::{self, Answer};
use super::filter;
use super::request::Parameters;
use crate::embedded::containers::Filters;

pub(super) fn routes() -> Router<Engine> {
    Router::new().route("/events", get(events))
}

/// What happened since `since`, and what happens until `until` or until the client goes. With `until` alone, all that is
/// remembered up to then, as with Docker.
async fn events(State(engine): State<Engine>, asked: Parameters) -> Answer {
    let filters = asked.filters()?;
    let (since, until) = (asked.moment("since")?, asked.moment("until")?);
    let (past, live) = engine.events.listen();
    let moment = |event: &EventMessage| event.time_nano.unwrap_or_default();
    let past: Vec<_> = past
        .into_iter()
        .filter(|event| since.map_or(until.is_some(), |since| moment(event) >= since))
        .filter(|event| until.is_none_or(|until| moment(event) <= end_of_second(until)))
        .collect();
    let left = until.map(|until| {
        let left = until.saturating_sub(Utc::now().timestamp_nanos_opt().unwrap_or_default());
        Duration::from_nanos(u64::try_from(left).unwrap_or_default())
    });
    let live = stream::unfold(live, |mut live| async move { next(&mut live).await.map(|event| (event, live)) });
    let live = match left {
        Some(left) => live.take_until(tokio::time::sleep(left)).boxed(),
        None => live.boxed(),
    };
    let chosen = stream::iter(past).chain(live).filter_map(move |event| {
        let chosen = chooses(&filters, &event).then(|| written(&event));
        async move { chosen }
    });
    Ok(answer::lines(chosen))
}

/// The docker CLI names whole seconds (`--until 0s`) and means what has happened by now, this second's events among it.
fn end_of_second(moment: i64) -> i64 {
    const SECOND: i64 = 1_000_000_000;
    if moment % SECOND == 0 { moment.saturating_add(SECOND - 1) } else { moment }
}

/// The next event; a client that reads too slowly misses some.
async fn next(live: &mut Receiver<EventMessage>) -> Option<EventMessage> {
    loop {
        match live.recv().await {
            Ok(event) => return Some(event),
            Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "a client reads events too slowly"),
            Err(RecvError::Closed) => return None,
        }
    }
}

/// An event with the fields of old, which some clients still read.
fn written(event: &EventMessage) -> Value {
    let mut written = serde_json::to_value(event).unwrap_or_default();
    let kind = kind(event);
    if let Some(fields) = written.as_object_mut()
        && matches!(kind.as_str(), "container" | "image")
    {
        fields.insert("status".into(), json!(event.action));
        fields.insert("id".into(), json!(event.actor.as_ref().and_then(|actor| actor.id.as_ref())));
        if let Some(image) = attribute(event, "image").filter(|_| kind == "container") {
            fields.insert("from".into(), json!(image));
        }
    }
    written
}

fn kind(event: &EventMessage) -> String {
    event.typ.map(|kind| kind.to_string()).unwrap_or_default()
}

fn attribute<'a>(event: &'a EventMessage, name: &str) -> Option<&'a str> {
    event.actor.as_ref()?.attributes.as_ref()?.get(name).map(String::as_str)
}

fn chooses(filters: &Filters, event: &EventMessage) -> bool {
    let any = |name: &str, matches: &dyn Fn(&str) -> bool| {
        filters.get(name).is_none_or(|wanted| wanted.is_empty() || wanted.iter().any(|wanted| matches(wanted)))
    };
    let kind = kind(event);
    let action = event.action.as_deref().unwrap_or_default();
    let id = event.actor.as_ref().and_then(|actor| actor.id.as_deref()).unwrap_or_default();
    let named = |wanted: &str| id.starts_with(wanted) || attribute(event, "name") == Some(wanted);
    let is = |one: &str, wanted: &str| {
        kind == one && named(wanted) || attribute(event, one).is_some_and(|found| found.starts_with(wanted))
    };
    let labels = event.actor.as_ref().and_then(|actor| actor.attributes.as_ref());
    any("type", &|wanted| kind == wanted)
        // `exec_create: sh` is an `exec_create`.
        && any("event", &|wanted| action == wanted || action.split(':').next() == Some(wanted))
        && any("scope", &|wanted| event.scope.is_some_and(|scope| scope.to_string() == wanted))
        && any("container", &|wanted| is("container", wanted))
        && any("image", &|wanted| {
            let untagged = attribute(event, "image").and_then(|image| image.rsplit_once(':')).map(|(name, _)| name);
            is("image", wanted) || untagged == Some(wanted)
        })
        && any("network", &|wanted| is("network", wanted))
        && any("volume", &|wanted| is("volume", wanted))
        && any("daemon", &|wanted| is("daemon", wanted))
        && filters.get("label").is_none_or(|all| all.iter().all(|one| filter::label(one, labels)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard_stubs::models::EventMessageTypeEnum;

    use super::*;
    use crate::embedded::events::Events;

    fn event(action: &str) -> EventMessage {
        let events = Events::default();
        let attributes = [("name", "web"), ("image", "shop:1"), ("tier", "front")];
        let attributes = attributes.map(|(name, text)| (name.to_owned(), text.to_owned()));
        events.tell(EventMessageTypeEnum::CONTAINER, action, "abcdef", HashMap::from(attributes));
        events.listen().0.remove(0)
    }

    fn chosen(name: &str, wanted: &[&str], event: &EventMessage) -> bool {
        let wanted = wanted.iter().map(|&wanted| wanted.to_owned()).collect();
        chooses(&Filters::from([(name.to_owned(), wanted)]), event)
    }

    #[test]
    fn events_are_chosen_by_what_they_are_about() {
        let start = event("start");
        for (name, wanted) in [
            ("type", "container"),
            ("event", "start"),
            ("container", "web"),
            ("container", "abc"),
            ("image", "shop:1"),
            ("image", "shop"),
            ("label", "tier"),
            ("label", "tier=front"),
            ("scope", "local"),
        ] {
            assert!(chosen(name, &[wanted], &start), "{name} {wanted}");
        }
        for (name, wanted) in [
            ("type", "image"),
            ("event", "stop"),
            ("container", "b"),
            ("label", "tier=back"),
            ("network", "web"),
            ("scope", "swarm"),
        ] {
            assert!(!chosen(name, &[wanted], &start), "{name} {wanted}");
        }
        assert!(chosen("event", &["stop", "start"], &start));
        assert!(chosen("event", &["exec_create"], &event("exec_create: sh -c x")));
    }

    #[test]
    fn an_event_has_the_fields_of_old() {
        let written = written(&event("start"));
        assert_eq!(
            (&written["status"], &written["id"], &written["from"], &written["Actor"]["ID"]),
            (&json!("start"), &json!("abcdef"), &json!("shop:1"), &json!("abcdef"))
        );
    }
}
