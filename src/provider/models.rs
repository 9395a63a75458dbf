//! Models, by the plugin `docker-model` of the docker CLI.

use serde::Deserialize;
use tokio::sync::mpsc;

use super::ProviderError;
use super::program::Program;
use crate::engine::Progress;
use crate::project::Model;

/// A model that is there.
#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    tags: Vec<String>,
}

/// What runs the models.
#[derive(Deserialize)]
struct Runner {
    endpoint: String,
}

/// Has a model pulled when it is not there, and set up; returns the address at which it answers. Dropping the future kills
/// the program.
///
/// # Errors
/// The plugin is missing, says no, or cannot be understood.
pub async fn prepare_model(model: &Model, progress: &mpsc::Sender<Progress>) -> Result<String, ProviderError> {
    let program = Program::plugin("model").await.ok_or(ProviderError::NoModels)?;
    let there: Vec<Listed> = ask(&program, &["ls", "--json"]).await?;
    if !there.iter().any(|listed| listed.tags.contains(&model.source)) {
        program.run("pull", &["pull".to_owned(), model.source.clone()], progress).await?;
    }
    program.run("configure", &configuration(model), progress).await?;
    let runner: Runner = ask(&program, &["status", "--json"]).await?;
    Ok(runner.endpoint)
}

fn configuration(model: &Model) -> Vec<String> {
    let mut arguments = vec!["configure".to_owned()];
    if let Some(size) = model.context_size.filter(|size| *size > 0) {
        arguments.extend(["--context-size".to_owned(), size.to_string()]);
    }
    arguments.push(model.source.clone());
    if !model.runtime_flags.is_empty() {
        arguments.push("--".to_owned());
        arguments.extend(model.runtime_flags.iter().cloned());
    }
    arguments
}

async fn ask<T: serde::de::DeserializeOwned>(program: &Program, arguments: &[&str]) -> Result<T, ProviderError> {
    let verb = arguments.first().copied().unwrap_or_default();
    let said = program.output(verb, arguments).await?;
    serde_json::from_slice(&said).map_err(|_| ProviderError::NotUnderstood {
        program: program.name().to_owned(),
        verb: verb.to_owned(),
        text: String::from_utf8_lossy(&said).chars().take(200).collect(),
    })
}
