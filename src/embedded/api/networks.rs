//! `/networks`.

use std::collections::HashMap;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use bollard_stubs::models::{
    NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest, NetworkInspect, NetworkPruneResponse,
};
use serde_json::json;

use super::Engine;
use super::answer::{self, Answer, Refusal};
use super::filter;
use super::request::{self, Parameters};
use crate::embedded::containers::Filters;
use crate::embedded::error::Error;

pub(super) fn routes() -> Router<Engine> {
    Router::new()
        .route("/networks", get(list))
        .route("/networks/create", post(create))
        .route("/networks/prune", post(prune))
        .route("/networks/{id}", get(inspect).delete(remove))
        .route("/networks/{id}/connect", post(connect))
        .route("/networks/{id}/disconnect", post(disconnect))
}

async fn list(State(engine): State<Engine>, asked: Parameters) -> Answer {
    let filters = asked.filters()?;
    let mut networks = engine.networks.list().await?;
    networks.retain(|network| chooses(&filters, network));
    Ok(answer::value(&networks))
}

fn chooses(filters: &Filters, network: &NetworkInspect) -> bool {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let any = |name: &str, matches: &dyn Fn(&String) -> bool| {
        filters.get(name).is_none_or(|wanted| wanted.is_empty() || wanted.iter().any(matches))
    };
    let unused = network.containers.as_ref().is_none_or(HashMap::is_empty) && !is_predefined(network);
    any("id", &|wanted| text(&network.id).starts_with(wanted.as_str()))
        && any("name", &|wanted| text(&network.name).contains(wanted.as_str()))
        && any("driver", &|wanted| text(&network.driver) == *wanted)
        && any("scope", &|wanted| text(&network.scope) == *wanted)
        && any("type", &|wanted| (wanted == "builtin") == is_predefined(network))
        && any("dangling", &|wanted| matches!(wanted.as_str(), "1" | "true" | "True") == unused)
        && filters.get("label").is_none_or(|all| all.iter().all(|one| filter::label(one, network.labels.as_ref())))
}

fn is_predefined(network: &NetworkInspect) -> bool {
    matches!(network.name.as_deref(), Some("bridge" | "host" | "none"))
}

async fn create(State(engine): State<Engine>, body: Body) -> Answer {
    let request: NetworkCreateRequest = request::json(body).await?;
    let id = engine.networks.create(request).await?;
    Ok(answer::with_status(StatusCode::CREATED, &json!({ "Id": id, "Warning": "" })))
}

async fn inspect(State(engine): State<Engine>, Path(id): Path<String>) -> Answer {
    Ok(answer::value(&engine.networks.inspect(&id).await?))
}

async fn remove(State(engine): State<Engine>, Path(id): Path<String>) -> Answer {
    engine.networks.remove(&id).await?;
    Ok(answer::nothing())
}

async fn connect(State(engine): State<Engine>, Path(id): Path<String>, body: Body) -> Answer {
    let request: NetworkConnectRequest = request::json(body).await?;
    let settings = request.endpoint_config.unwrap_or_default();
    engine.containers.connect(&request.container, &id, settings).await?;
    Ok(StatusCode::OK.into_response())
}

async fn disconnect(State(engine): State<Engine>, Path(id): Path<String>, body: Body) -> Answer {
    let request: NetworkDisconnectRequest = request::json(body).await?;
    engine.containers.disconnect(&request.container, &id, request.force.unwrap_or_default()).await?;
    Ok(StatusCode::OK.into_response())
}

/// Removes the networks that nobody is on.
async fn prune(State(engine): State<Engine>, asked: Parameters) -> Answer {
    let filters = asked.filters()?;
    let until = until(&filters)?;
    let mut removed = Vec::new();
    for network in engine.networks.list().await? {
        let young = until.is_some_and(|until| network.created.is_some_and(|created| created.timestamp() >= until));
        let (Some(name), Some(id)) = (&network.name, &network.id) else { continue };
        if is_predefined(&network) || young || !filter::prunes(&filters, network.labels.as_ref()) {
            continue;
        }
        match engine.networks.remove(id).await {
            Ok(()) => removed.push(name.clone()),
            // Somebody is on it, or it has gone meanwhile.
            Err(Error::Conflict(_) | Error::Forbidden(_) | Error::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(answer::value(&NetworkPruneResponse { networks_deleted: Some(removed) }))
}

/// Seconds since 1970 before which something must have been made to be pruned: a moment, or `10m` ago.
fn until(filters: &Filters) -> Result<Option<i64>, Refusal> {
    let Some(text) = filters.get("until").and_then(|values| values.first()) else { return Ok(None) };
    filter::until(text).map(Some).ok_or_else(|| Refusal::invalid(format!("`until` is no time: `{text}`")))
}
