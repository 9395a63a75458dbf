//! What a Docker engine hands over piece by piece: events, logs, and the output of commands.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::container::LogOutput;
use bollard::query_parameters::{EventsOptions, LogsOptions};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;

use super::error::from_bollard;
use super::{Docker, ExecOptions};
use crate::engine::{ContainerEvent, EngineError, ExecOutcome, LogChunk, LogOptions};
use crate::plan::spec::label;
use crate::project::Hook;

/// How much of a command's output is kept.
const OUTPUT_LIMIT: usize = 64 * 1024;
/// How long an engine may take to notice that a command whose output has ended is gone.
const EXIT_DEADLINE: Duration = Duration::from_secs(5);

/// Container events that change nothing which is observed; commands run inside give most of them.
const IDLE_ACTIONS: [&str; 9] =
    ["exec_", "exec", "top", "attach", "detach", "resize", "archive-path", "extract-to-dir", "export"];

impl Docker {
    pub(super) fn event_stream(&self, project: &str) -> BoxStream<'static, Result<ContainerEvent, EngineError>> {
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("label".to_owned(), vec![format!("{}={project}", label::PROJECT)]),
        ]);
        // The engine is asked when the stream is first read; what happens until then is handed over after the fact.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        let since = since.map(|since| format!("{}.{:09}", since.as_secs(), since.subsec_nanos()));
        let events = self.patient.events(Some(EventsOptions { since, filters: Some(filters), ..Default::default() }));
        let relevant = events.filter_map(|event| async move {
            match event {
                Ok(event) => {
                    let action = event.action.unwrap_or_default();
                    let idle = IDLE_ACTIONS.iter().any(|idle| action == *idle || action.starts_with("exec_"));
                    let actor = event.actor.filter(|_| !idle)?;
                    let code = || actor.attributes.as_ref()?.get("exitCode")?.parse().ok();
                    let exited = if action == "die" { code() } else { None };
                    Some(Ok(ContainerEvent { id: actor.id?, exited }))
                }
                Err(error) => Some(Err(from_bollard(error))),
            }
        });
        relevant.boxed()
    }

    pub(super) fn log_stream(
        &self,
        id: &str,
        options: &LogOptions,
    ) -> BoxStream<'static, Result<LogChunk, EngineError>> {
        let mut client = self.patient.clone();
        if options.since.is_some() || options.until.is_some() {
            let (since, until) = (options.since.clone(), options.until.clone());
            // bollard's options hold whole seconds only.
            client = client.with_request_modifier(move |mut request| {
                let text = request.uri().to_string();
                let exact = [("since", &since), ("until", &until)].into_iter().fold(text, |text, (key, time)| {
                    let time = time.as_ref().filter(|time| is_time(time));
                    time.map_or(text.clone(), |time| text.replace(&format!("&{key}=0"), &format!("&{key}={time}")))
                });
                if let Ok(uri) = exact.parse() {
                    *request.uri_mut() = uri;
                }
                request
            });
        }
        let options = LogsOptions {
            follow: options.follow,
            stdout: true,
            stderr: true,
            timestamps: options.timestamps,
            tail: options.tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string()),
            ..Default::default()
        };
        client.logs(id, Some(options)).map(|chunk| chunk.map(log_chunk).map_err(from_bollard)).boxed()
    }

    pub(super) async fn run_hook(&self, id: &str, hook: &Hook) -> Result<ExecOutcome, EngineError> {
        let options = ExecOptions { hook: hook.clone(), tty: false, stdin: false };
        let mut started = self.exec_interactive(id, &options).await?;
        let mut output = Vec::new();
        while let Some(chunk) = started.output.next().await {
            let chunk = chunk?.bytes;
            let room = OUTPUT_LIMIT.saturating_sub(output.len());
            output.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        let code = self.exec_exit_code(&started.id).await?;
        Ok(ExecOutcome { code, output: String::from_utf8_lossy(&output).into_owned() })
    }

    /// The exit code of a command whose output has ended.
    pub async fn exec_exit_code(&self, exec: &str) -> Result<i64, EngineError> {
        let code = async {
            let mut pause = Duration::from_millis(1);
            loop {
                let state = self.client.inspect_exec(exec).await.map_err(from_bollard)?;
                if let (Some(false), Some(code)) = (state.running, state.exit_code) {
                    return Ok(code);
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(100));
            }
        };
        let unknown = || EngineError::Refused { message: "the engine does not say how the command ended".to_owned() };
        tokio::time::timeout(EXIT_DEADLINE, code).await.unwrap_or_else(|_| Err(unknown()))
    }
}

pub(super) fn log_chunk(output: LogOutput) -> LogChunk {
    let stderr = matches!(output, LogOutput::StdErr { .. });
    LogChunk { stderr, bytes: output.into_bytes() }
}

/// Only digits and a point may get into a query unescaped.
fn is_time(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_digit() || letter == '.')
}
