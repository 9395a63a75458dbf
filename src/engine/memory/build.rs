//! Builds of the engine of maps: the context is read from the disk, `RUN` lines go through the small shell, and the
//! image is the digest of its inputs.

use tokio_util::sync::CancellationToken;

use super::command;
use super::state::StoredImage;
use crate::content::Hashes;
use crate::engine::context::Context;
use crate::engine::{EngineError, Progress};
use crate::plan::observed::Image;
use crate::plan::spec::{BuildSpec, label};

/// What a build came to.
pub(super) struct Outcome {
    pub(super) news: Vec<Progress>,
    pub(super) image: StoredImage,
    pub(super) error: Option<EngineError>,
}

/// The digest of a build's inputs and the text of its Dockerfile.
pub(super) async fn read_context(spec: BuildSpec) -> Result<(String, String), EngineError> {
    let read = move || {
        let context = Context::find(&spec)?;
        let digest = context.digest(&Hashes::default(), &CancellationToken::new())?;
        Ok((digest, context.dockerfile_text().unwrap_or_default()))
    };
    tokio::task::spawn_blocking(read).await.unwrap_or(Err(EngineError::Cancelled))
}

/// Goes through the instructions of a Dockerfile.
pub(super) fn run(dockerfile: &str, spec: &BuildSpec, digest: &str) -> Outcome {
    let mut labels = spec.labels.clone();
    labels.insert(label::INPUTS.to_owned(), digest.to_owned());
    let image = Image {
        tagged_at: 0,
        id: format!("sha256:{digest}"),
        identity: digest.to_owned(),
        labels,
        has_healthcheck: dockerfile.lines().any(|line| line.starts_with("HEALTHCHECK ")),
    };
    let mut outcome = Outcome { news: Vec::new(), image: StoredImage { image, command: Vec::new() }, error: None };
    let lines: Vec<&str> = dockerfile.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    for (index, line) in lines.iter().enumerate() {
        let step = format!("[{}/{}] {line}", index + 1, lines.len());
        outcome.news.push(Progress::Step(step.clone()));
        if let Some(command) = line.strip_prefix("CMD ") {
            outcome.image.command = serde_json::from_str(command).unwrap_or_default();
        } else if let Some(command) = line.strip_prefix("RUN ") {
            let ran = command::run_line(command);
            let output: Vec<String> = ran.output.into_iter().map(|(_, line)| line).collect();
            outcome.news.extend(output.iter().cloned().map(Progress::Output));
            if let Some(code) = ran.code.filter(|code| *code != 0) {
                let message = format!("{step}: exit code {code}");
                outcome.error = Some(EngineError::CommandFailed { message, output });
                break;
            }
        }
    }
    outcome
}
