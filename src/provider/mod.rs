//! Services that a program provides in place of a container, and models: both are programs that are run and read, as
//! docker compose does (chapter 5, `provider` and `models`; docker compose's `docs/extension.md`).

mod message;
mod models;
mod program;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::engine::Progress;
use crate::project::provided::Variables;
use crate::project::{Project, Provider, Service};
use message::Message;
pub use models::prepare_model;
use program::Program;

/// How long a provider may take to describe itself.
const DESCRIPTION: Duration = Duration::from_secs(10);

/// What keeps a provider or a model from being there.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// There is no such program.
    #[error(
        "there is no provider `{0}`: it is neither a plugin of the docker CLI (`docker-{0}`) nor a program on the path"
    )]
    NoProgram(String),
    /// The one plugin that cannot be a provider.
    #[error("`compose` is no provider")]
    Compose,
    /// Docker's plugin for models is not there.
    #[error("models need the plugin `docker-model` of the docker CLI, which is not installed")]
    NoModels,
    /// The provider wants an option that the manifest does not give.
    #[error("provider `{program}` needs the option `{option}`: add it below `provider.options`")]
    OptionMissing {
        /// The provider.
        program: String,
        /// What it calls the option.
        option: String,
    },
    /// The program says what is wrong.
    #[error("`{program} {verb}`: {message}")]
    Told {
        /// The program.
        program: String,
        /// What it was asked to do.
        verb: String,
        /// Its words.
        message: String,
    },
    /// The program ended badly.
    #[error("`{program} {verb}` {ended}{}", if said.is_empty() { String::new() } else { format!(": {said}") })]
    Ended {
        /// The program.
        program: String,
        /// What it was asked to do.
        verb: String,
        /// How it ended.
        ended: String,
        /// The last it said.
        said: String,
    },
    /// The program says something that is not in the protocol.
    #[error("`{program} {verb}` answers with what is not understood: `{text}`")]
    NotUnderstood {
        /// The program.
        program: String,
        /// What it was asked to do.
        verb: String,
        /// The beginning of its answer.
        text: String,
    },
    /// The program cannot be run, or not be read.
    #[error("cannot run `{program}`: {error}")]
    Run {
        /// The program.
        program: String,
        /// Why.
        error: std::io::Error,
    },
}

/// What a provider says of itself; one that does not is given every option.
#[derive(Debug, Default, Deserialize)]
struct Description {
    up: Option<Verb>,
    down: Option<Verb>,
    stop: Option<Verb>,
}

/// What it says of something that it can do.
#[derive(Debug, Default, Deserialize)]
struct Verb {
    #[serde(default)]
    parameters: Vec<Parameter>,
}

/// An option.
#[derive(Debug, Deserialize)]
struct Parameter {
    name: String,
    #[serde(default)]
    required: bool,
}

/// Has what a service stands for provided, and returns the variables that tell its dependents how to reach it. Dropping
/// the future kills the program.
///
/// # Errors
/// The program is missing, says no, or cannot be understood.
pub async fn provide(
    project: &Project,
    service: &Service,
    progress: &mpsc::Sender<Progress>,
) -> Result<Variables, ProviderError> {
    let Some(provider) = &service.provider else { return Ok(Variables::default()) };
    let program = find(provider).await?;
    let description = describe(&program).await;
    call(&program, "up", description.as_ref().map(|it| parameters(it.up.as_ref())), project, service, progress).await
}

/// Has it given up.
///
/// # Errors
/// As for [`provide`].
pub async fn withdraw(
    project: &Project,
    service: &Service,
    progress: &mpsc::Sender<Progress>,
) -> Result<(), ProviderError> {
    let Some(provider) = &service.provider else { return Ok(()) };
    let program = find(provider).await?;
    let description = describe(&program).await;
    call(&program, "down", description.as_ref().map(|it| parameters(it.down.as_ref())), project, service, progress)
        .await
        .map(drop)
}

/// Has it stopped and kept; a provider that does not say that it can is left alone.
///
/// # Errors
/// As for [`provide`].
pub async fn suspend(
    project: &Project,
    service: &Service,
    progress: &mpsc::Sender<Progress>,
) -> Result<(), ProviderError> {
    let Some(provider) = &service.provider else { return Ok(()) };
    // Where it is not there any more, there is nothing that it could stop.
    let Ok(program) = find(provider).await else { return Ok(()) };
    match describe(&program).await {
        Some(Description { stop: Some(verb), .. }) => {
            call(&program, "stop", Some(&verb.parameters), project, service, progress).await.map(drop)
        }
        _ => Ok(()),
    }
}

async fn find(provider: &Provider) -> Result<Program, ProviderError> {
    if provider.program == "compose" {
        return Err(ProviderError::Compose);
    }
    let missing = || ProviderError::NoProgram(provider.program.clone());
    Program::find(&provider.program).await.ok_or_else(missing)
}

/// Asks what it can do. Most cannot say, and then all that they print is a complaint.
async fn describe(program: &Program) -> Option<Description> {
    let said = timeout(DESCRIPTION, program.output("metadata", &["compose", "metadata"])).await.ok()?.ok()?;
    serde_json::from_slice(&said).ok()
}

fn parameters(verb: Option<&Verb>) -> &[Parameter] {
    verb.map(|verb| &*verb.parameters).unwrap_or_default()
}

/// Runs it: `up`, `down` or `stop`. `known` are the options that it has for that, where it says anything of itself.
async fn call(
    program: &Program,
    verb: &str,
    known: Option<&[Parameter]>,
    project: &Project,
    service: &Service,
    progress: &mpsc::Sender<Progress>,
) -> Result<Variables, ProviderError> {
    let options = service.provider.as_ref().map(|provider| &provider.options);
    let mut arguments = vec!["compose".to_owned(), format!("--project-name={}", project.name), verb.to_owned()];
    arguments.extend(flags(program, options.unwrap_or(&BTreeMap::new()), known)?);
    arguments.push(service.name.clone());
    let mut variables = Variables::default();
    let mut messages = program.start(verb, &arguments, progress.clone())?;
    while let Some(message) = messages.next().await? {
        match message {
            // Nobody to tell is no reason to stop.
            Message::Info(text) => drop(progress.send(Progress::Step(text)).await),
            Message::Debug(text) => tracing::debug!(program = program.name(), text),
            Message::Variable { name, value, plain } => {
                let of = if plain { &mut variables.plain } else { &mut variables.named };
                of.insert(name, value);
            }
            Message::Error(message) => {
                return Err(ProviderError::Told { program: program.name().to_owned(), verb: verb.to_owned(), message });
            }
        }
    }
    messages.end().await?;
    Ok(variables)
}

/// The options as flags: all of them, or those that it knows where it says which these are.
fn flags(
    program: &Program,
    options: &BTreeMap<String, Vec<String>>,
    known: Option<&[Parameter]>,
) -> Result<Vec<String>, ProviderError> {
    if let Some(missing) = known.into_iter().flatten().find(|it| it.required && !options.contains_key(&it.name)) {
        let (program, option) = (program.name().to_owned(), missing.name.clone());
        return Err(ProviderError::OptionMissing { program, option });
    }
    let is_known = |name: &str| known.is_none_or(|known| known.iter().any(|it| it.name == name));
    let wanted = options.iter().filter(|(name, _)| is_known(name));
    Ok(wanted.flat_map(|(name, values)| values.iter().map(move |value| format!("--{name}={value}"))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(of: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        of.iter().map(|(name, values)| ((*name).to_owned(), owned(values))).collect()
    }

    fn verb(text: &str) -> Verb {
        serde_json::from_str(text).expect("a description")
    }

    #[test]
    fn a_provider_that_says_nothing_of_itself_gets_every_option_and_value() {
        let program = Program::at("cloud", "/bin/cloud");
        let flags = flags(&program, &options(&[("size", &["1"]), ("zone", &["a", "b"])]), None).expect("flags");
        assert_eq!(flags, ["--size=1", "--zone=a", "--zone=b"]);
    }

    #[test]
    fn a_provider_that_describes_itself_gets_the_options_it_knows() {
        let program = Program::at("cloud", "/bin/cloud");
        let up = verb(r#"{"parameters": [{"name": "size", "required": true}, {"name": "zone"}]}"#);
        let given = options(&[("size", &["1"]), ("color", &["red"])]);
        assert_eq!(flags(&program, &given, Some(&up.parameters)).expect("flags"), ["--size=1"]);
        assert_eq!(flags(&program, &given, Some(&[])).expect("flags"), [""; 0]);
        let error = flags(&program, &options(&[("zone", &["a"])]), Some(&up.parameters)).expect_err("size is missing");
        assert_eq!(error.to_string(), "provider `cloud` needs the option `size`: add it below `provider.options`");
    }
}
