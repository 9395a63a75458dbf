//! `/session`, `/grpc`, and `/build` as clients of BuildKit ask for it: connections that are taken over, and builds whose
//! context comes in a session.

use std::collections::HashMap;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, UPGRADE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard_stubs::models::ResourcesUlimits;
use futures_util::StreamExt as _;
use hyper::upgrade::{OnUpgrade, Upgraded};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

use super::Engine;
use super::answer::{self, Answer, Refusal};
use super::request::{self, Parameters};
use super::session::Hold;
use crate::embedded::id;
use crate::embedded::kit::{self, Kit, Output};

/// The context is in the client's session.
const SESSION: &str = "client-session";
/// The context comes in another request of the same build.
const UPLOAD: &str = "upload-request";
/// News that wait for the client to read them.
const NEWS: usize = 64;

pub(super) fn routes() -> Router<Engine> {
    Router::new().route("/session", post(session)).route("/grpc", post(grpc))
}

async fn grpc(State(engine): State<Engine>, request: Request) -> Answer {
    let kit = engine.kit.clone();
    take_over(&engine, request, async move |connection, _| kit.serve(connection).await)
}

async fn session(State(engine): State<Engine>, request: Request) -> Answer {
    Kit::session_name(request.headers())?;
    let kit = engine.kit.clone();
    take_over(&engine, request, async move |connection, headers| kit.attach(&headers, connection).await)
}

/// Answers that the protocol changes, and does something with the connection until that is done or the daemon ends.
fn take_over<F: Future<Output = ()> + Send>(
    engine: &Engine,
    request: Request,
    work: impl FnOnce(Upgraded, HeaderMap) -> F + Send + 'static,
) -> Answer {
    let (mut parts, _) = request.into_parts();
    let hold = parts.extensions.remove::<Hold>();
    let protocol = parts.headers.get(UPGRADE).cloned();
    let upgrade = parts.extensions.remove::<OnUpgrade>();
    let (Some(protocol), Some(upgrade)) = (protocol, upgrade) else {
        return Err(Refusal::invalid("this is asked with `Upgrade: h2c`, and the connection is then spoken gRPC on"));
    };
    let session = engine.session.clone();
    engine.session.streams().spawn(async move {
        let serve = async {
            match upgrade.await {
                Ok(connection) => work(connection, parts.headers).await,
                Err(error) => tracing::debug!("a connection was not taken over: {error}"),
            }
        };
        tokio::select! {
            () = serve => {}
            () = session.ended() => {}
        }
        drop(hold);
    });
    let headers = [(CONNECTION, HeaderValue::from_static("Upgrade")), (UPGRADE, protocol)];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

/// An output of a build, as the parameter `outputs` lists them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Exporter {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    attrs: HashMap<String, String>,
}

/// `POST /build?version=2`.
pub(super) async fn build(engine: Engine, asked: &Parameters, headers: &HeaderMap, body: Body) -> Answer {
    let name = asked.text("buildid").map_or_else(id::random, str::to_owned);
    if let Some(other) = name.strip_prefix(UPLOAD).and_then(|name| name.strip_prefix(':')) {
        // Sent while the build waits for it; answered when it has been read.
        engine.kit.bring(other, request::stream(body)).await?;
        return Ok(StatusCode::OK.into_response());
    }
    let outputs: Vec<Exporter> = asked.json("outputs")?.unwrap_or_default();
    let output = match &outputs[..] {
        [] => Output::Image(asked.all("t").filter(|tag| !tag.is_empty()).map(str::to_owned).collect()),
        [one] => kit::output(&one.r#type, &one.attrs)?,
        _ => return Err(Refusal::unsupported("a build has one output on this engine")),
    };
    let context = match asked.text("remote") {
        None => Some(request::stream(body)),
        Some(UPLOAD) => Some(engine.kit.uploaded(&name).await?),
        Some(_) => None,
    };
    let request = kit::Request {
        id: name,
        session: asked.text("session").map(str::to_owned),
        attributes: attributes(asked)?,
        context,
        output,
        credentials: request::all_credentials(headers)?,
    };
    let started = engine.kit.start(request);
    let (sender, news) = mpsc::channel(NEWS);
    let mut told = started.news();
    let work = async move {
        let tell = async {
            while let Some(news) = told.next().await {
                let line = json!({ "id": "moby.buildkit.trace", "aux": STANDARD.encode(news) });
                if sender.send(line).await.is_err() {
                    return;
                }
            }
        };
        // What it tells ends with it.
        tokio::join!(Box::pin(started.run()), tell).0
    };
    let image = |id: Option<String>| id.map(|id| json!({ "id": "moby.image.id", "aux": { "ID": id } }));
    answer::work(news, work, move |id| image(id).into_iter().collect()).await
}

/// Parameters as BuildKit calls them.
fn attributes(asked: &Parameters) -> Result<HashMap<String, String>, Refusal> {
    let mut attributes = HashMap::new();
    let texts = [
        ("dockerfile", "filename"),
        ("target", "target"),
        ("platform", "platform"),
        ("shmsize", "shm-size"),
        ("networkmode", "force-network-mode"),
        ("cgroupparent", "cgroup-parent"),
    ];
    for (parameter, attribute) in texts {
        attributes.extend(asked.text(parameter).map(|text| (attribute.to_owned(), text.to_owned())));
    }
    let arguments: HashMap<String, Option<String>> = asked.json("buildargs")?.unwrap_or_default();
    attributes.extend(arguments.into_iter().filter_map(|(name, value)| Some((format!("build-arg:{name}"), value?))));
    let labels: HashMap<String, String> = asked.json("labels")?.unwrap_or_default();
    attributes.extend(labels.into_iter().map(|(name, value)| (format!("label:{name}"), value)));
    let ulimits: Vec<ResourcesUlimits> = asked.json("ulimits")?.unwrap_or_default();
    let ulimits = ulimits.into_iter().filter_map(|limit| {
        let (soft, hard) = (limit.soft.unwrap_or_default(), limit.hard.unwrap_or_default());
        Some(format!("{}={soft}:{hard}", limit.name?))
    });
    let caches: Vec<String> = asked.json("cachefrom")?.unwrap_or_default();
    let lists = [
        ("ulimit", ulimits.collect::<Vec<_>>()),
        ("add-hosts", asked.all("extrahosts").map(str::to_owned).collect()),
        ("cache-from", caches),
    ];
    for (attribute, list) in lists {
        if !list.is_empty() {
            attributes.insert(attribute.to_owned(), list.join(","));
        }
    }
    if asked.flag("nocache") {
        attributes.insert("no-cache".to_owned(), String::new());
    }
    if asked.flag("pull") {
        attributes.insert("image-resolve-mode".to_owned(), "pull".to_owned());
    }
    if let Some(address) = asked.text("remote").filter(|remote| !matches!(*remote, SESSION | UPLOAD)) {
        attributes.insert("context".to_owned(), address.to_owned());
    }
    Ok(attributes)
}
