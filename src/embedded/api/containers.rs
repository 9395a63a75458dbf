//! `/containers`.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post, put};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard_stubs::models::{ContainerCreateBody, ContainerUpdateBody, ContainerWaitExitError, ContainerWaitResponse};
use bytes::Bytes;
use futures_util::future;
use futures_util::stream::{self, BoxStream, StreamExt as _};

use super::Engine;
use super::answer::{self, Answer, Refusal};
use super::escape::Escape;
use super::request::{self, Parameters, Version};
use super::stream::{Conversation, body, converse, frame, frames};
use crate::embedded::containers::{ListOptions, LogOptions, WaitCondition};
use crate::embedded::root::{PathStat, WriteOptions};

/// Where the description of a path is told.
const PATH_STAT: HeaderName = HeaderName::from_static("x-docker-container-path-stat");

pub(super) fn routes() -> Router<Engine> {
    Router::new()
        .route("/containers/json", get(list))
        .route("/containers/create", post(create))
        .route("/containers/prune", post(prune))
        .route("/containers/{id}", delete(remove))
        .route("/containers/{id}/json", get(inspect))
        .route("/containers/{id}/start", post(start))
        .route("/containers/{id}/stop", post(stop))
        .route("/containers/{id}/restart", post(restart))
        .route("/containers/{id}/kill", post(kill))
        .route("/containers/{id}/pause", post(pause))
        .route("/containers/{id}/unpause", post(unpause))
        .route("/containers/{id}/wait", post(wait))
        .route("/containers/{id}/rename", post(rename))
        .route("/containers/{id}/update", post(update))
        .route("/containers/{id}/resize", post(resize))
        .route("/containers/{id}/attach", post(attach))
        .route("/containers/{id}/logs", get(logs))
        .route("/containers/{id}/top", get(top))
        .route("/containers/{id}/stats", get(stats))
        .route("/containers/{id}/changes", get(changes))
        .route("/containers/{id}/export", get(export))
        .route("/containers/{id}/archive", put(write).get(read).head(stat).delete(erase))
}

async fn list(State(engine): State<Engine>, asked: Parameters) -> Answer {
    let limit = asked.number::<i64>("limit")?.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
    let options = ListOptions { all: asked.flag("all"), limit, size: asked.flag("size"), filters: asked.filters()? };
    Ok(answer::value(&engine.containers.list(&options).await?))
}

async fn create(State(engine): State<Engine>, asked: Parameters, body: Body) -> Answer {
    let body: ContainerCreateBody = request::json(body).await?;
    let made = engine.containers.create(asked.text("name"), asked.text("platform"), body).await?;
    Ok(answer::with_status(StatusCode::CREATED, &made))
}

async fn prune(State(engine): State<Engine>, asked: Parameters) -> Answer {
    Ok(answer::value(&engine.containers.prune(&asked.filters()?).await?))
}

async fn remove(State(engine): State<Engine>, Path(id): Path<String>, asked: Parameters) -> Answer {
    if asked.flag("link") {
        return Err(Refusal::unsupported("links between containers are not supported; use a network"));
    }
    engine.containers.remove(&id, asked.flag("force"), asked.flag("v")).await?;
    Ok(answer::nothing())
}

async fn inspect(State(engine): State<Engine>, Path(id): Path<String>, asked: Parameters) -> Answer {
    Ok(answer::value(&engine.containers.inspect(&id, asked.flag("size")).await?))
}

async fn start(State(engine): State<Engine>, Path(id): Path<String>) -> Answer {
    engine.containers.start(&id).await?;
    Ok(answer::nothing())
}

async fn stop(State(engine): State<Engine>, Path(id): Path<String>, asked: Parameters) -> Answer {
    engine.containers.stop(&id, asked.number("t")?, asked.text("signal")).await?;
    Ok(answer::nothing())
}

async fn restart(State(engine): State<Engine>, Path(id): Path<String>, asked: Parameters) -> Answer {
    engine.containers.restart(&id, asked.number("t")?, asked.text("signal")).await?;
    Ok(answer::nothing())
}

async fn kill(State(engine): State<Engine>, Path(id): Path<String>, asked: Parameters) -> Answer {
    engine.containers.kill(&id, asked.text("signal").unwrap_or("SIGKILL")).await?;
    Ok(answer::nothing())
}

async fn pause(State(engine): State<Engine>, Path(id): Path<String>) -> Answer {
    engine.containers.pause(&id).await?;
    Ok(answer::nothing())
}

async fn unpause(State(engine): State<Engine>, Path(id): Path<String>) -> Answer {
    engine.containers.unpause(&id).await?;
    Ok(answer::nothing())
}

/// Answers at once with the headers, and with the body when the condition is met.
async fn wait(State(engine): State<Engine>, Path(id): Path<String>, asked: Parameters) -> Answer {
    let condition = match asked.text("condition") {
        None | Some("not-running") => WaitCondition::NotRunning,
        Some("next-exit") => WaitCondition::NextExit,
        Some("removed") => WaitCondition::Removed,
        Some(other) => return Err(Refusal::invalid(format!("invalid condition: `{other}`"))),
    };
    let ended = engine.containers.wait(&id, condition).await?;
    Ok(answer::lines(stream::once(async move {
        match ended.await {
            Ok(status_code) => ContainerWaitResponse { status_code, error: None },
            Err(error) => ContainerWaitResponse {
                status_code: -1,
                error: Some(ContainerWaitExitError { message: Some(error.to_string()) }),
            },
        }
    })))
}

async fn rename(State(engine): State<Engine>, Path(id): Path<String>, asked: Parameters) -> Answer {
    let name = asked.text("name").ok_or_else(|| Refusal::invalid("Neither old nor new names may be empty"))?;
    engine.containers.rename(&id, name).await?;
    Ok(answer::nothing())
}

async fn update(State(engine): State<Engine>, Path(id): Path<String>, body: Body) -> Answer {
    let body: ContainerUpdateBody = request::json(body).await?;
    Ok(answer::value(&engine.containers.update(&id, body).await?))
}

async fn resize(State(engine): State<Engine>, Path(id): Path<String>, asked: Parameters) -> Answer {
    let (columns, rows) = size(&asked)?;
    engine.containers.resize(&id, columns, rows).await?;
    Ok(StatusCode::OK.into_response())
}

/// Columns and rows of a terminal.
pub(super) fn size(asked: &Parameters) -> Result<(u16, u16), Refusal> {
    let (columns, rows) = (asked.number("w")?, asked.number("h")?);
    columns.zip(rows).ok_or_else(|| Refusal::invalid("a terminal's size is `h` rows and `w` columns"))
}

async fn attach(
    State(engine): State<Engine>,
    Path(id): Path<String>,
    version: Version,
    asked: Parameters,
    request: Request,
) -> Answer {
    let terminal = engine.containers.has_terminal(&id).await?;
    let escape = terminal.then(|| Escape::new(asked.text("detachKeys"))).transpose()?;
    let wanted = (asked.flag("stdout"), asked.flag("stderr"));
    let past = if asked.flag("logs") {
        let options = LogOptions { stdout: wanted.0, stderr: wanted.1, ..LogOptions::default() };
        let past = engine.containers.logs(&id, &options).await?;
        past.filter_map(|piece| future::ready(piece.ok())).map(move |piece| frame(&piece, terminal)).boxed()
    } else {
        stream::empty().boxed()
    };
    let (live, input): (BoxStream<'static, Bytes>, _) = if asked.flag("stream") {
        let attached = engine.containers.attach(&id).await?;
        (frames(attached.output, terminal, wanted), attached.input.filter(|_| asked.flag("stdin")))
    } else {
        (stream::empty().boxed(), None)
    };
    let conversation = Conversation { output: past.chain(live).boxed(), input, terminal, escape };
    converse(request, &engine.session, version, conversation)
}

async fn logs(State(engine): State<Engine>, Path(id): Path<String>, version: Version, asked: Parameters) -> Answer {
    let (stdout, stderr) = (asked.flag("stdout"), asked.flag("stderr"));
    if !stdout && !stderr {
        return Err(Refusal::invalid("Bad parameters: you must choose at least one stream"));
    }
    let tail = asked.text("tail").filter(|tail| *tail != "all").and_then(|tail| tail.parse().ok());
    let options = LogOptions {
        stdout,
        stderr,
        follow: asked.flag("follow"),
        since: asked.moment("since")?,
        until: asked.moment("until")?,
        timestamps: asked.flag("timestamps"),
        tail,
    };
    let terminal = engine.containers.has_terminal(&id).await?;
    Ok(body(engine.containers.logs(&id, &options).await?, terminal, version))
}

async fn top(State(engine): State<Engine>, Path(id): Path<String>, asked: Parameters) -> Answer {
    Ok(answer::value(&engine.containers.top(&id, asked.text("ps_args")).await?))
}

async fn stats(State(engine): State<Engine>, Path(id): Path<String>, asked: Parameters) -> Answer {
    let once = !asked.flag_or("stream", true);
    let usage = engine.containers.stats(&id, once).await?;
    Ok(if once { answer::lines(usage.take(1)) } else { answer::lines(usage) })
}

async fn changes(State(engine): State<Engine>, Path(id): Path<String>) -> Answer {
    Ok(answer::value(&engine.containers.changes(&id).await?))
}

async fn export(State(engine): State<Engine>, Path(id): Path<String>) -> Answer {
    Ok(answer::bytes("application/octet-stream", engine.containers.export(&id).await?))
}

async fn stat(State(engine): State<Engine>, Path(id): Path<String>, asked: Parameters) -> Answer {
    let found = engine.containers.path_stat(&id, path(&asked)?).await?;
    Ok(described(&found)?.into_response())
}

async fn read(State(engine): State<Engine>, Path(id): Path<String>, asked: Parameters) -> Answer {
    let (found, tar) = engine.containers.path_read(&id, path(&asked)?).await?;
    let mut response: Response = answer::bytes("application/x-tar", tar);
    response.headers_mut().extend(described(&found)?);
    Ok(response)
}

async fn write(State(engine): State<Engine>, Path(id): Path<String>, asked: Parameters, body: Body) -> Answer {
    let options = WriteOptions {
        no_overwrite_dir_non_dir: asked.flag("noOverwriteDirNonDir"),
        copy_owner: asked.flag("copyUIDGID"),
    };
    engine.containers.path_write(&id, path(&asked)?, request::stream(body), options).await?;
    Ok(StatusCode::OK.into_response())
}

/// Not among Docker's: removes every `path`.
async fn erase(State(engine): State<Engine>, Path(id): Path<String>, asked: Parameters) -> Answer {
    // One is needed.
    path(&asked)?;
    engine.containers.path_remove(&id, asked.all("path").map(str::to_owned).collect()).await?;
    Ok(answer::nothing())
}

fn path(asked: &Parameters) -> Result<&str, Refusal> {
    asked.text("path").ok_or_else(|| Refusal::invalid("missing parameter: path"))
}

fn described(found: &PathStat) -> Result<HeaderMap, Refusal> {
    let text = serde_json::to_vec(found).map(|json| STANDARD.encode(json)).unwrap_or_default();
    let text = HeaderValue::try_from(text).map_err(|error| Refusal::invalid(error.to_string()))?;
    Ok(HeaderMap::from_iter([(PATH_STAT, text)]))
}
