//! The engine's news: single containers as events come, everything when asked, and word when the engine is gone.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::{BoxStream, FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::engine::{ContainerEvent, Engine, EngineError, Wanted};
use crate::plan::observed::ContainerId;
use crate::reconcile::event::Event;

/// The pause before an engine that did not answer is asked again, which grows to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// A connection that was made anew and has lasted this long is taken to hold.
const STEADY_AFTER: Duration = Duration::from_millis(250);
/// See [`FIRST_PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Looks at every container that something happens to, until cancelled. A broken connection is told once and made anew.
pub(super) async fn listen<E: Engine>(
    engine: E,
    project: String,
    events: mpsc::Sender<Event>,
    cancel: CancellationToken,
) {
    let mut pause = FIRST_PAUSE;
    let mut was_lost = false;
    loop {
        let stream = engine.events(&project);
        let passing = pass_on(&engine, stream, &events);
        let reconnected = async {
            tokio::time::sleep(STEADY_AFTER).await;
            let _ = events.send(Event::Reconnected).await;
            std::future::pending::<String>().await
        };
        let listening = tokio::time::Instant::now();
        let until_lost = async {
            tokio::select! {
                reason = passing => reason,
                never = reconnected, if was_lost => never,
            }
        };
        let Some(reason) = cancel.run_until_cancelled(until_lost).await else { return };
        if listening.elapsed() > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        was_lost = true;
        if events.send(Event::EngineLost { reason }).await.is_err() {
            return;
        }
        if cancel.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Passes on events until the stream ends; returns why it did.
///
/// An exit is told at once: the engine answers no question about the container until it has cleaned up behind it. For
/// the rest, each container is looked at, once for all that has happened to it by then, beside the others.
async fn pass_on<E: Engine>(
    engine: &E,
    mut stream: BoxStream<'static, Result<ContainerEvent, EngineError>>,
    events: &mpsc::Sender<Event>,
) -> String {
    const ENDED: &str = "the connection to the engine was closed";
    let look = |id: ContainerId| async move { (engine.container(&id).await, id) };
    let mut looks = FuturesUnordered::new();
    // Containers that are being looked at, and whether something has happened to them since that began.
    let mut under_way: BTreeMap<ContainerId, bool> = BTreeMap::new();
    loop {
        let event = tokio::select! {
            event = stream.next() => {
                let ContainerEvent { id, exited } = match event {
                    Some(Ok(event)) => event,
                    Some(Err(error)) => return error.to_string(),
                    None => return ENDED.into(),
                };
                if let Some(again) = under_way.get_mut(&id) {
                    *again = true;
                } else {
                    under_way.insert(id.clone(), false);
                    looks.push(look(id.clone()));
                }
                exited.map(|code| Event::Exited { id, code })
            }
            Some((container, id)) = looks.next() => {
                if under_way.remove(&id) == Some(true) {
                    under_way.insert(id.clone(), false);
                    looks.push(look(id.clone()));
                }
                match container {
                    Ok(container) => Some(Event::Container { id, container: container.map(Box::new) }),
                    Err(error) => return error.to_string(),
                }
            }
        };
        if let Some(event) = event
            && events.send(event).await.is_err()
        {
            return ENDED.into();
        }
    }
}

/// Asks for everything until the engine answers.
pub(super) async fn observe<E: Engine>(engine: E, project: String, wanted: Wanted, events: mpsc::Sender<Event>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let event = match engine.observe(&project, &wanted).await {
            Ok(observed) => Event::Observed(observed),
            Err(error) => Event::EngineLost { reason: error.to_string() },
        };
        let is_answer = matches!(event, Event::Observed(_));
        if events.send(event).await.is_err() || is_answer {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
