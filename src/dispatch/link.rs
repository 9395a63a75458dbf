//! The engine's news: single containers as events come, everything when asked, and word when the engine is gone.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt as _};
use futures_util::{FutureExt as _, stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, EngineError, Wanted};
use crate::reconcile::event::Event;

/// How many containers are looked at together.
const TOGETHER: usize = 16;
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
async fn pass_on<E: Engine>(
    engine: &E,
    mut stream: BoxStream<'static, Result<String, EngineError>>,
    events: &mpsc::Sender<Event>,
) -> String {
    const ENDED: &str = "the connection to the engine was closed";
    loop {
        let mut ids = BTreeSet::new();
        match stream.next().await {
            Some(Ok(id)) => ids.insert(id),
            Some(Err(error)) => return error.to_string(),
            None => return ENDED.into(),
        };
        // One look is enough for all that has happened to a container by now.
        while let Some(Some(Ok(id))) = stream.next().now_or_never() {
            ids.insert(id);
        }
        let looks = stream::iter(ids).map(|id| async move { (engine.container(&id).await, id) });
        let mut looks = looks.buffer_unordered(TOGETHER);
        while let Some((container, id)) = looks.next().await {
            match container {
                Ok(container) => {
                    let event = Event::Container { id, container: container.map(Box::new) };
                    if events.send(event).await.is_err() {
                        return ENDED.into();
                    }
                }
                Err(error) => return error.to_string(),
            }
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
