//! The engine's own routes, which no other engine has: how it is, and its end.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use super::Engine;
use super::answer::{self, Answer, Refusal};
use super::request;

pub(super) fn routes() -> Router<Engine> {
    Router::new().route("/hoist/status", get(status)).route("/hoist/stop", post(stop))
}

async fn status(State(engine): State<Engine>) -> Answer {
    Ok(answer::value(&json!({
        "pid": std::process::id(),
        "since": engine.session.began(),
        "version": env!("CARGO_PKG_VERSION"),
        "socket": engine.layout.socket(),
        "state": engine.layout.state(),
        "run": engine.layout.run(),
        "log": engine.layout.log(),
        "running": engine.containers.running().await,
        "lastRequest": engine.session.last_request(),
        "stopping": engine.session.is_stopping(),
    })))
}

/// What `POST /hoist/stop` is asked.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Stop {
    /// Stop the containers that run; without it their running is a refusal.
    containers: bool,
}

/// Stops the containers and takes the networks down; the answer says that it is done, and the process ends after it.
async fn stop(State(engine): State<Engine>, body: Body) -> Answer {
    let asked: Stop = request::json(body).await?;
    let running = engine.containers.running().await;
    if running > 0 && !asked.containers {
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            match running {
                1 => "a container runs; stop it first, or ask for it to be stopped too".into(),
                _ => format!("{running} containers run; stop them first, or ask for them to be stopped too"),
            },
        ));
    }
    if !engine.session.begin_stop() {
        return Err(Refusal::new(StatusCode::CONFLICT, "the engine stops already"));
    }
    tracing::info!(running, "stopping because a client asks for it");
    engine.containers.stop_all().await;
    if let Err(error) = engine.networks.close().await {
        tracing::warn!("the networks were not taken down: {error}");
    }
    engine.session.end();
    Ok(answer::value(&json!({ "stopped": running })))
}
