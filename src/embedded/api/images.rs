//! `/images`, and what becomes one.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use bollard_stubs::models::{ContainerSummaryStateEnum, ImageConfig, ImagePruneResponse};
use serde_json::json;
use tokio::sync::mpsc;

use super::Engine;
use super::answer::{self, Answer, Refusal};
use super::changes;
use super::request::{self, Parameters};
use crate::embedded::containers::ListOptions;
use crate::embedded::images::{News, Use};

/// News that wait for the client to read them.
const NEWS: usize = 64;

pub(super) fn routes() -> Router<Engine> {
    Router::new()
        .route("/images/json", get(list))
        .route("/images/create", post(create))
        .route("/images/search", get(search))
        .route("/images/get", get(save_several))
        .route("/images/load", post(load))
        .route("/images/prune", post(prune))
        // The names of images have slashes in them.
        .route("/images/{*rest}", get(read).post(act).delete(remove))
}

async fn list(State(engine): State<Engine>, asked: Parameters) -> Answer {
    let mut filters = asked.filters()?;
    // How clients of old asked for a name.
    if let Some(name) = asked.text("filter") {
        filters.entry("reference".to_owned()).or_default().push(name.to_owned());
    }
    Ok(answer::value(&engine.images.list(asked.flag("all"), &filters).await?))
}

fn is_on(text: &str) -> bool {
    matches!(text, "1" | "true" | "True")
}

/// Which containers have which images.
async fn uses(engine: &Engine) -> Result<Vec<Use>, Refusal> {
    let all = ListOptions { all: true, ..ListOptions::default() };
    let containers = engine.containers.list(&all).await?;
    Ok(containers
        .into_iter()
        .filter_map(|container| {
            let running = matches!(
                container.state,
                Some(
                    ContainerSummaryStateEnum::RUNNING
                        | ContainerSummaryStateEnum::PAUSED
                        | ContainerSummaryStateEnum::RESTARTING
                )
            );
            Some(Use { image: container.image_id?, container: container.id?, running })
        })
        .collect())
}

/// `docker pull`, and `docker import`.
async fn create(State(engine): State<Engine>, asked: Parameters, headers: HeaderMap, body: Body) -> Answer {
    if let Some(source) = asked.text("fromSrc") {
        return import(engine, &asked, source, body).await;
    }
    let name = asked.text("fromImage").ok_or_else(|| Refusal::invalid("missing parameter: fromImage or fromSrc"))?;
    let reference = match asked.text("tag") {
        Some(digest) if digest.contains(':') => format!("{name}@{digest}"),
        Some(tag) => format!("{name}:{tag}"),
        None => name.to_owned(),
    };
    let platform = asked.text("platform").map(str::to_owned);
    let credentials = request::credentials(&headers)?;
    let (sender, news) = mpsc::channel(NEWS);
    let pull = async move { Box::pin(engine.images.pull(&reference, platform.as_deref(), credentials, sender)).await };
    answer::work(news, pull, |_| Vec::new()).await
}

async fn import(engine: Engine, asked: &Parameters, source: &str, body: Body) -> Answer {
    if source != "-" {
        return Err(Refusal::unsupported(format!(
            "importing from an address is not supported: fetch `{source}` and send it (`curl … | docker import -`)"
        )));
    }
    let reference = asked.text("repo").map(|name| match asked.text("tag") {
        Some(tag) => format!("{name}:{tag}"),
        None => name.to_owned(),
    });
    let config = changes::apply(ImageConfig::default(), asked.all("changes"))?;
    let message = asked.text("message").unwrap_or("Imported from -").to_owned();
    let (sender, news) = mpsc::channel::<News>(1);
    let tar = request::stream(body);
    let work = async move {
        // No news: an import is as fast as its tar comes.
        drop(sender);
        engine.images.import(tar, reference.as_deref(), config, &message).await
    };
    answer::work(news, work, |image| vec![json!({ "status": image.id })]).await
}

async fn search() -> Refusal {
    Refusal::unsupported("searching a registry is not supported; look on the registry's own pages")
}

async fn save_several(State(engine): State<Engine>, asked: Parameters) -> Answer {
    let names: Vec<String> = asked.all("names").map(str::to_owned).collect();
    if names.is_empty() {
        return Err(Refusal::invalid("missing parameter: names"));
    }
    Ok(answer::bytes("application/x-tar", engine.images.save(&names).await?))
}

async fn load(State(engine): State<Engine>, asked: Parameters, body: Body) -> Answer {
    let (sender, news) = mpsc::channel(NEWS);
    let tar = request::stream(body);
    let quiet = asked.flag("quiet");
    if quiet {
        let (sender, mut unheard) = mpsc::channel(NEWS);
        let listen = async move { while unheard.recv().await.is_some() {} };
        let work = async move { tokio::join!(engine.images.load(tar, sender), listen).0 };
        let (_, none) = mpsc::channel::<News>(1);
        return answer::work(none, work, |images| images.iter().flat_map(loaded).collect()).await;
    }
    let work = async move { engine.images.load(tar, sender).await };
    answer::work(news, work, |images| images.iter().flat_map(loaded).collect()).await
}

/// The lines that tell of an image that was loaded.
fn loaded(image: &crate::embedded::images::Image) -> Vec<serde_json::Value> {
    if image.tags.is_empty() {
        vec![json!({ "stream": format!("Loaded image ID: {}\n", image.id) })]
    } else {
        image.tags.iter().map(|tag| json!({ "stream": format!("Loaded image: {tag}\n") })).collect()
    }
}

async fn prune(State(engine): State<Engine>, asked: Parameters) -> Answer {
    let filters = asked.filters()?;
    let all = filters.get("dangling").is_some_and(|values| values.iter().any(|value| !is_on(value)));
    let in_use = uses(&engine).await?;
    let (removed, bytes) = engine.images.prune(all, &filters, &in_use).await?;
    let space_reclaimed = Some(i64::try_from(bytes).unwrap_or(i64::MAX));
    Ok(answer::value(&ImagePruneResponse { images_deleted: Some(removed), space_reclaimed }))
}

/// `GET /images/{name}/json`, `/history`, `/get`.
async fn read(State(engine): State<Engine>, Path(rest): Path<String>) -> Answer {
    match rest.rsplit_once('/') {
        Some((name, "json")) => Ok(answer::value(&engine.images.inspect(name).await?)),
        Some((name, "history")) => Ok(answer::value(&engine.images.history(name).await?)),
        Some((name, "get")) => Ok(answer::bytes("application/x-tar", engine.images.save(&[name.to_owned()]).await?)),
        _ => Err(super::no_page()),
    }
}

/// `POST /images/{name}/tag`, `/push`.
async fn act(State(engine): State<Engine>, Path(rest): Path<String>, asked: Parameters, headers: HeaderMap) -> Answer {
    match rest.rsplit_once('/') {
        Some((name, "tag")) => {
            let repository = asked.text("repo").ok_or_else(|| Refusal::invalid("missing parameter: repo"))?;
            let reference = format!("{repository}:{}", asked.text("tag").unwrap_or("latest"));
            engine.images.tag(name, &reference).await?;
            Ok(StatusCode::CREATED.into_response())
        }
        Some((name, "push")) => {
            let reference = match asked.text("tag") {
                Some(tag) => format!("{name}:{tag}"),
                None => name.to_owned(),
            };
            let credentials = request::credentials(&headers)?;
            let (sender, news) = mpsc::channel(NEWS);
            let push = async move { Box::pin(engine.images.push(&reference, credentials, sender)).await };
            answer::work(news, push, |()| Vec::new()).await
        }
        _ => Err(super::no_page()),
    }
}

async fn remove(State(engine): State<Engine>, Path(name): Path<String>, asked: Parameters) -> Answer {
    let in_use = uses(&engine).await?;
    Ok(answer::value(&engine.images.remove(&name, asked.flag("force"), &in_use).await?))
}
