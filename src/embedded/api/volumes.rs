//! `/volumes`.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use bollard_stubs::models::{Volume, VolumeCreateRequest, VolumeListResponse, VolumePruneResponse};

use super::Engine;
use super::answer::{self, Answer, Refusal};
use super::filter;
use super::request::{self, Parameters, Version};
use crate::embedded::containers::Filters;
use crate::embedded::error::Error;

/// The label that volumes without a name of their own have.
const ANONYMOUS: &str = "com.docker.volume.anonymous";

pub(super) fn routes() -> Router<Engine> {
    Router::new()
        .route("/volumes", get(list))
        .route("/volumes/create", post(create))
        .route("/volumes/prune", post(prune))
        .route("/volumes/{name}", get(inspect).delete(remove))
}

async fn list(State(engine): State<Engine>, asked: Parameters) -> Answer {
    let filters = asked.filters()?;
    let dangling = filters.get("dangling").and_then(|values| values.first());
    let dangling = dangling.map(|value| matches!(value.as_str(), "1" | "true" | "True"));
    let mut chosen = Vec::new();
    for volume in engine.volumes.list().await? {
        if !chooses(&filters, &volume) {
            continue;
        }
        if let Some(dangling) = dangling
            && engine.containers.users_of_volume(&volume.name).await.is_empty() != dangling
        {
            continue;
        }
        chosen.push(volume);
    }
    Ok(answer::value(&VolumeListResponse { volumes: Some(chosen), warnings: Some(Vec::new()) }))
}

fn chooses(filters: &Filters, volume: &Volume) -> bool {
    filters.get("name").is_none_or(|names| names.iter().any(|name| volume.name.contains(name.as_str())))
        && filters.get("driver").is_none_or(|drivers| drivers.contains(&volume.driver))
        && filters.get("label").is_none_or(|all| all.iter().all(|one| filter::label(one, Some(&volume.labels))))
}

async fn create(State(engine): State<Engine>, body: Body) -> Answer {
    let request: VolumeCreateRequest = request::json(body).await?;
    Ok(answer::with_status(StatusCode::CREATED, &engine.volumes.create(request).await?))
}

async fn inspect(State(engine): State<Engine>, Path(name): Path<String>) -> Answer {
    Ok(answer::value(&engine.volumes.inspect(&name).await?))
}

async fn remove(State(engine): State<Engine>, Path(name): Path<String>, asked: Parameters) -> Answer {
    let users = engine.containers.users_of_volume(&name).await;
    if !users.is_empty() {
        let users = users.join(", ");
        return Err(Refusal::new(StatusCode::CONFLICT, format!("remove {name}: volume is in use - [{users}]")));
    }
    match engine.volumes.remove(&name).await {
        Err(Error::NotFound(_)) if asked.flag("force") => Ok(answer::nothing()),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(answer::nothing()),
    }
}

/// Removes the volumes that no container has; those with a name only when `all` are asked for, as clients from 1.42 on
/// have it.
async fn prune(State(engine): State<Engine>, version: Version, asked: Parameters) -> Answer {
    let filters = asked.filters()?;
    let all = filters.get("all").is_some_and(|values| values.iter().any(|value| value != "0" && value != "false"));
    let all = all || version < Version(1, 42);
    let mut response = VolumePruneResponse { volumes_deleted: Some(Vec::new()), space_reclaimed: Some(0) };
    for volume in engine.volumes.list().await? {
        if !(all || volume.labels.contains_key(ANONYMOUS)) || !filter::prunes(&filters, Some(&volume.labels)) {
            continue;
        }
        if !engine.containers.users_of_volume(&volume.name).await.is_empty() {
            continue;
        }
        let size = size(&engine, &volume).await;
        match engine.volumes.remove(&volume.name).await {
            Ok(()) => {
                response.volumes_deleted.get_or_insert_default().push(volume.name);
                response.space_reclaimed = response.space_reclaimed.map(|sum| sum.saturating_add(size));
            }
            // A container has taken it, or it has gone meanwhile.
            Err(Error::Conflict(_) | Error::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(answer::value(&response))
}

/// Bytes of a volume's files.
pub(super) async fn size(engine: &Engine, volume: &Volume) -> i64 {
    let Ok(folder) = engine.volumes.folder(&volume.name).await else { return 0 };
    let size = tokio::task::spawn_blocking(move || super::disk::size(&folder)).await.unwrap_or_default();
    i64::try_from(size).unwrap_or(i64::MAX)
}
