//! `/commit`: a container's files as an image.

use std::path::{Path, PathBuf};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use bollard_stubs::models::{ContainerInspectResponse, ImageConfig};
use chrono::Utc;
use serde_json::{Map, Value, json};

use super::Engine;
use super::answer::{self, Answer, Refusal};
use super::changes;
use super::request::{self, Parameters};
use crate::embedded::error::Error;
use crate::embedded::images::{Document, History, Layer};
use crate::embedded::root;

pub(super) fn routes() -> Router<Engine> {
    Router::new().route("/commit", post(commit))
}

async fn commit(State(engine): State<Engine>, asked: Parameters, body: Body) -> Answer {
    let reference = asked.text("container").ok_or_else(|| Refusal::invalid("missing parameter: container"))?;
    let over: Map<String, Value> = request::json(body).await?;
    let found = engine.containers.inspect(reference, false).await?;
    let id = found.id.clone().unwrap_or_default();
    let config = config(&found, over)?;
    let config = changes::apply(config, asked.all("changes"))?;
    let name = asked.text("repo").map(|name| format!("{name}:{}", asked.text("tag").unwrap_or("latest")));
    let runs = found.state.as_ref().is_some_and(|state| state.running == Some(true) && state.paused != Some(true));
    let pause = runs && asked.flag_or("pause", true);
    if pause {
        engine.containers.pause(&id).await?;
    }
    let layer = layer(&engine, &id, &found).await;
    if pause {
        engine.containers.unpause(&id).await?;
    }
    let layer = layer?;
    let mut document = engine.images.find(found.image.as_deref().unwrap_or_default()).await?.document;
    let (author, comment) = (asked.text("author").unwrap_or_default(), asked.text("comment").unwrap_or_default());
    extend(&mut document, &layer, config, author, comment);
    let image = engine.images.add(&document, name.as_slice()).await?;
    Ok(answer::with_status(StatusCode::CREATED, &json!({ "Id": image.id })))
}

/// The container's settings, and over them what the request says.
fn config(found: &ContainerInspectResponse, over: Map<String, Value>) -> Result<ImageConfig, Refusal> {
    let config = found.config.clone().unwrap_or_default();
    let wrong = |error: serde_json::Error| Refusal::invalid(format!("cannot read the request's JSON: {error}"));
    let mut fields = serde_json::to_value(config).map_err(wrong)?;
    if let Some(fields) = fields.as_object_mut() {
        let empty = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        fields.extend(over.into_iter().filter(|(_, value)| !empty(value)));
    }
    serde_json::from_value(fields).map_err(wrong)
}

/// What the container has written, as a layer.
async fn layer(engine: &Engine, id: &str, found: &ContainerInspectResponse) -> Result<Layer, Error> {
    let upper = found.graph_driver.as_ref().and_then(|driver| driver.data.get("UpperDir")).map(PathBuf::from);
    let upper = upper.filter(|upper| upper.starts_with(engine.layout.state())).ok_or_else(|| {
        Error::Unsupported("a container that runs on the machine's own root file system cannot be committed".into())
    })?;
    // On the file system of the images, and gone with the container at the latest.
    let folder = engine.layout.container(id).join("commit");
    let copied = copy(engine, &upper, &folder).await;
    let layer = match copied {
        Ok(()) => engine.images.add_layer(&folder).await,
        Err(error) => Err(error),
    };
    root::remove(&folder).await?;
    layer
}

async fn copy(engine: &Engine, upper: &Path, folder: &Path) -> Result<(), Error> {
    root::remove(folder).await?;
    tokio::fs::create_dir(folder).await.map_err(Error::io(format!("make the folder `{}`", folder.display())))?;
    let tar = root::pack(&engine.layout, upper).await?;
    root::unpack(&engine.layout, folder, tar).await?;
    Ok(())
}

/// The image with one more layer.
fn extend(document: &mut Document, layer: &Layer, config: ImageConfig, author: &str, comment: &str) {
    let created = Some(Utc::now());
    let created_by = config.cmd.clone().unwrap_or_default().join(" ");
    document.created = created;
    author.clone_into(&mut document.author);
    document.config = config;
    document.rootfs.diff_ids.push(layer.diff_id.clone());
    document.history.push(History { created, created_by, comment: comment.to_owned(), empty_layer: false });
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::ContainerConfig;

    use super::*;

    #[test]
    fn what_a_request_says_stands_over_the_containers_settings() {
        let own = ContainerConfig {
            cmd: Some(vec!["a".into()]),
            env: Some(vec!["A=1".into()]),
            hostname: Some("box".into()),
            ..ContainerConfig::default()
        };
        let found = ContainerInspectResponse { config: Some(own), ..ContainerInspectResponse::default() };
        let over = json!({ "Cmd": ["b"], "Env": null, "User": "", "WorkingDir": "/w" });
        let made = config(&found, over.as_object().cloned().unwrap()).unwrap();
        assert_eq!(made.cmd.unwrap(), ["b"]);
        assert_eq!(made.env.unwrap(), ["A=1"]);
        assert_eq!(made.working_dir.as_deref(), Some("/w"));
    }
}
