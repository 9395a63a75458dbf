//! Commands in containers: `/containers/{id}/exec` and `/exec`.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::UPGRADE;
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use bollard_stubs::models::{ExecConfig, ExecStartConfig};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use serde_json::json;

use super::Engine;
use super::answer::{self, Answer, Refusal};
use super::containers::size;
use super::escape::Escape;
use super::request::{self, Parameters, Version};
use super::stream::{Conversation, converse, frame, frames};
use crate::embedded::error::Error;
use crate::embedded::process::{Output, Source};

pub(super) fn routes() -> Router<Engine> {
    Router::new()
        .route("/containers/{id}/exec", post(create))
        .route("/exec/{id}/start", post(start))
        .route("/exec/{id}/resize", post(resize))
        .route("/exec/{id}/json", get(inspect))
}

async fn create(State(engine): State<Engine>, Path(id): Path<String>, body: Body) -> Answer {
    let config: ExecConfig = request::json(body).await?;
    if config.cmd.as_ref().is_none_or(Vec::is_empty) {
        return Err(Refusal::invalid("No exec command specified"));
    }
    let id = engine.containers.exec_create(&id, config).await?;
    Ok(answer::with_status(StatusCode::CREATED, &json!({ "Id": id })))
}

async fn start(State(engine): State<Engine>, Path(id): Path<String>, version: Version, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    // The body is short and ends before the connection becomes the command's input.
    let (config, body): (ExecStartConfig, _) = if parts.headers.contains_key(UPGRADE) {
        (request::json(body).await?, Body::empty())
    } else {
        first_value(body).await?
    };
    let request = Request::from_parts(parts, body);
    let detach = config.detach.unwrap_or_default();
    let terminal_size = match config.console_size.as_deref() {
        Some(&[rows, columns]) => u16::try_from(columns).ok().zip(u16::try_from(rows).ok()),
        _ => None,
    };
    let terminal = config.tty.unwrap_or_default();
    let conversation = match engine.containers.exec_start(&id, detach, terminal_size).await {
        Ok(started) => {
            let Some(attached) = started.attached else { return Ok(StatusCode::OK.into_response()) };
            let escape = started.terminal.then(|| Escape::new(None)).transpose()?;
            let output = frames(attached.output, started.terminal, (true, true));
            Conversation { output, input: attached.input, terminal: started.terminal, escape }
        }
        // The command could not be executed: a client looks for that in the command's output and its exit code.
        Err(error @ (Error::Failed(_) | Error::Invalid(_))) if !detach => {
            let output = Output { source: Source::Stderr, bytes: Bytes::from(format!("{error}\r\n")) };
            let output = stream::once(async move { frame(&output, terminal) }).boxed();
            Conversation { output, input: None, terminal, escape: None }
        }
        Err(error) => return Err(error.into()),
    };
    converse(request, &engine.session, version, conversation)
}

/// The JSON that a body begins with, when the rest of it is the command's input.
async fn first_value(body: Body) -> Result<(ExecStartConfig, Body), Refusal> {
    const LONGEST: usize = 64 << 10;
    let mut stream = request::stream(body);
    let mut text = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| Refusal::invalid(error.to_string()))?;
        text.extend_from_slice(&chunk);
        let mut values = serde_json::Deserializer::from_slice(&text).into_iter::<ExecStartConfig>();
        match values.next() {
            Some(Ok(config)) => {
                let rest = Bytes::copy_from_slice(text.get(values.byte_offset()..).unwrap_or_default());
                return Ok((config, Body::from_stream(stream::once(async move { Ok(rest) }).chain(stream))));
            }
            Some(Err(error)) if !error.is_eof() || text.len() > LONGEST => {
                return Err(Refusal::invalid(format!("cannot read the request's JSON: {error}")));
            }
            _ => {}
        }
    }
    Ok((ExecStartConfig::default(), Body::empty()))
}

async fn resize(State(engine): State<Engine>, Path(id): Path<String>, asked: Parameters) -> Answer {
    let (columns, rows) = size(&asked)?;
    engine.containers.exec_resize(&id, columns, rows).await?;
    Ok(StatusCode::OK.into_response())
}

async fn inspect(State(engine): State<Engine>, Path(id): Path<String>) -> Answer {
    Ok(answer::value(&engine.containers.exec_inspect(&id).await?))
}
