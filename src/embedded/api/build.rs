//! `/build`.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use bollard_stubs::models::BuildPruneResponse;
use serde_json::json;
use tokio::sync::mpsc;

use super::Engine;
use super::answer::{self, Answer, Refusal};
use super::request::{self, Parameters};
use crate::embedded::build::{News, Options};

/// News that wait for the client to read them.
const NEWS: usize = 256;

pub(super) fn routes() -> Router<Engine> {
    Router::new()
        .route("/build", post(build))
        .route("/build/prune", post(prune))
        .route("/build/cancel", post(answer_of_cancel))
}

async fn build(State(engine): State<Engine>, asked: Parameters, headers: HeaderMap, body: Body) -> Answer {
    refuse(&asked)?;
    let options = options(&asked, &headers)?;
    let (sender, news) = mpsc::channel::<News>(NEWS);
    let context = request::stream(body);
    let work = async move { engine.builder.build(&options, context, sender).await };
    answer::work(news, work, |_| Vec::new()).await
}

/// What other builders do and this one does not.
fn refuse(asked: &Parameters) -> Result<(), Refusal> {
    if asked.text("version") == Some("2") {
        return Err(Refusal::unsupported(
            "this engine builds with its own builder, which knows BuildKit's syntax but not its protocol; set \
             DOCKER_BUILDKIT=0",
        ));
    }
    if asked.has("outputs") {
        return Err(Refusal::unsupported("builds with other outputs than an image are not supported"));
    }
    if let Some(address) = asked.text("remote").filter(|remote| *remote != "client-session") {
        return Err(Refusal::unsupported(format!(
            "building from an address is not supported: fetch `{address}` and build from the folder"
        )));
    }
    if asked.flag("squash") {
        return Err(Refusal::unsupported("squashing the layers of a build is not supported"));
    }
    Ok(())
}

fn options(asked: &Parameters, headers: &HeaderMap) -> Result<Options, Refusal> {
    Ok(Options {
        dockerfile: asked.text("dockerfile").unwrap_or("Dockerfile").to_owned(),
        tags: asked.all("t").filter(|tag| !tag.is_empty()).map(str::to_owned).collect(),
        arguments: asked.json("buildargs")?.unwrap_or_default(),
        labels: asked.json("labels")?.unwrap_or_default(),
        target: asked.text("target").unwrap_or_default().to_owned(),
        platform: asked.text("platform").map(str::to_owned),
        no_cache: asked.flag("nocache"),
        pull: asked.flag("pull"),
        network: asked.text("networkmode").unwrap_or_default().to_owned(),
        extra_hosts: asked.all("extrahosts").flat_map(|hosts| hosts.split(',')).map(str::to_owned).collect(),
        cache_from: asked.json("cachefrom")?.unwrap_or_default(),
        shm_size: asked.number::<u64>("shmsize")?.filter(|size| *size > 0),
        credentials: request::all_credentials(headers)?,
        quiet: asked.flag("q"),
    })
}

async fn prune(State(engine): State<Engine>) -> Answer {
    let bytes = engine.builder.prune().await?;
    let space_reclaimed = Some(i64::try_from(bytes).unwrap_or(i64::MAX));
    Ok(answer::value(&BuildPruneResponse { caches_deleted: Some(Vec::new()), space_reclaimed }))
}

async fn answer_of_cancel() -> Answer {
    // A build ends when the client that asked for it goes; there is nothing else to cancel.
    Ok(answer::value(&json!({})))
}
