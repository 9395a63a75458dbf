//! The answers of a build, of either builder, → steps, lines of output, and in the end the image or the failing step.

use std::collections::{BTreeMap, VecDeque};

use bollard::moby::buildkit::v1::StatusResponse;
use bollard::models::{BuildInfo, BuildInfoAux};

use super::error::readable;
use crate::engine::{EngineError, Progress};

/// How many of a step's last lines are shown when it fails.
const LAST_LINES: usize = 40;
/// A line longer than this is cut into several.
const LONGEST_LINE: usize = 8 * 1024;
/// The step of a line that belongs to none.
const NO_STEP: &str = "";
/// What BuildKit does for itself.
const INTERNAL: [&str; 2] = ["[internal]", "copy /context"];
/// The one of those that fails for the person's reasons: it looks a base image up.
const METADATA: &str = "[internal] load metadata for ";
/// What BuildKit puts in front of a reason: the beginning and what ends it.
const WRAPPINGS: [(&str, &str); 6] = [
    ("failed to solve", ": "),
    ("failed to create LLB definition", ": "),
    ("executor failed running [", "]: "),
    ("process \"", "\" did not complete successfully: "),
    ("failed to compute cache key", ": "),
    ("failed to calculate checksum of ref ", ": "),
];

/// What has been heard of a build so far.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    steps: BTreeMap<String, Step>,
    /// The classic builder's step at hand; its lines do not say which they belong to.
    current: String,
    /// The step that BuildKit says has failed.
    failed: Option<String>,
    image: Option<String>,
}

#[derive(Debug, Default)]
struct Step {
    name: String,
    announced: bool,
    /// The beginning of a line whose end has not come yet.
    unfinished: String,
    last: VecDeque<String>,
}

impl Transcript {
    /// Takes in one answer and returns what is new in it.
    pub(super) fn read(&mut self, info: BuildInfo) -> Vec<Progress> {
        let mut news = Vec::new();
        match info.aux {
            Some(BuildInfoAux::BuildKit(status)) => self.read_buildkit(status, &mut news),
            Some(BuildInfoAux::Default(image)) => self.image = image.id,
            None => {}
        }
        if let Some(text) = info.stream {
            self.read_classic(&text, &mut news);
        }
        news
    }

    /// The id of the image that was built.
    pub(super) fn image(&self) -> Option<&str> {
        self.image.as_deref()
    }

    /// The failure in terms of the step that it happened in.
    pub(super) fn failure(mut self, message: &str) -> EngineError {
        let key = self.failed.clone().unwrap_or_else(|| self.current.clone());
        let step = self.steps.remove(&key).unwrap_or_default();
        let reason = reason(message);
        let mut output: Vec<String> = step.last.into();
        output.extend(Some(step.unfinished).filter(|line| !line.is_empty()));
        let message = match step.name.strip_prefix(METADATA) {
            Some(image) => format!("base image `{image}`: {reason}"),
            None if step.name.is_empty() || INTERNAL.iter().any(|words| step.name.starts_with(words)) => reason,
            None => format!("{}: {reason}", step.name),
        };
        EngineError::CommandFailed { message, output }
    }

    fn read_buildkit(&mut self, status: StatusResponse, news: &mut Vec<Progress>) {
        for vertex in status.vertexes {
            let internal = INTERNAL.iter().any(|words| vertex.name.starts_with(words));
            let step = self.steps.entry(vertex.digest.clone()).or_default();
            step.name.clone_from(&vertex.name);
            if !step.announced && !internal && (vertex.started.is_some() || vertex.cached) {
                step.announced = true;
                news.push(Progress::Step(vertex.name));
            }
            if !vertex.error.is_empty() && !vertex.error.contains("context canceled") {
                self.failed = Some(vertex.digest);
            }
        }
        for log in status.logs {
            let step = self.steps.entry(log.vertex).or_default();
            step.read(&String::from_utf8_lossy(&log.msg), news);
        }
    }

    fn read_classic(&mut self, text: &str, news: &mut Vec<Progress>) {
        if let Some((numbers, instruction)) = text.strip_prefix("Step ").and_then(|rest| rest.split_once(" : ")) {
            let name = format!("[{}] {}", numbers.trim(), instruction.trim_end());
            let step = Step { name: name.clone(), announced: true, ..Default::default() };
            self.steps.insert(name.clone(), step);
            self.current.clone_from(&name);
            news.push(Progress::Step(name));
            return;
        }
        let housekeeping = [" --->", "Removing intermediate container", "Successfully built", "Successfully tagged"];
        if housekeeping.iter().any(|words| text.starts_with(words)) || self.current == NO_STEP {
            return;
        }
        self.steps.entry(self.current.clone()).or_default().read(text, news);
    }
}

impl Step {
    fn read(&mut self, text: &str, news: &mut Vec<Progress>) {
        for piece in text.split_inclusive('\n') {
            self.unfinished.push_str(piece);
            if !piece.ends_with('\n') && self.unfinished.len() < LONGEST_LINE {
                continue;
            }
            let line = std::mem::take(&mut self.unfinished);
            // A progress bar draws over itself: what it showed last counts.
            let line = line.trim_end_matches(['\n', '\r']).rsplit('\r').next().unwrap_or_default().to_owned();
            if line.trim().is_empty() {
                continue;
            }
            if self.last.len() == LAST_LINES {
                self.last.pop_front();
            }
            self.last.push_back(line.clone());
            news.push(Progress::Output(line));
        }
    }
}

/// `exit code 1` where a command failed, else the engine's words without what wraps them.
fn reason(message: &str) -> String {
    for marker in ["exit code: ", "returned a non-zero code: "] {
        if let Some((_, rest)) = message.rsplit_once(marker) {
            let code: String = rest.chars().take_while(char::is_ascii_digit).collect();
            if !code.is_empty() {
                // hoist's own engine says where in the Dockerfile.
                let place = message.split_once(": The command '").map(|(place, _)| place);
                return place
                    .map_or_else(|| format!("exit code {code}"), |place| format!("exit code {code} ({place})"));
            }
        }
    }
    let mut text = message;
    if let Some((_, rest)) = text.rsplit_once("code = Unknown desc = ") {
        text = rest;
    }
    while let Some(rest) = unwrapped(text) {
        text = rest;
    }
    readable(text)
}

fn unwrapped(text: &str) -> Option<&str> {
    let (_, end) = WRAPPINGS.iter().find(|(beginning, _)| text.starts_with(beginning))?;
    text.split_once(end).map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use bollard::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog};
    use bollard::models::{BuildInfo, BuildInfoAux};

    use super::Transcript;
    use crate::engine::{EngineError, Progress};

    fn classic(text: &str) -> BuildInfo {
        BuildInfo { stream: Some(text.to_owned()), ..Default::default() }
    }

    fn vertex(digest: &str, name: &str, error: &str) -> Vertex {
        Vertex { digest: digest.into(), name: name.into(), cached: true, error: error.into(), ..Default::default() }
    }

    fn log(digest: &str, text: &str) -> VertexLog {
        VertexLog { vertex: digest.into(), msg: text.as_bytes().to_vec(), ..Default::default() }
    }

    fn status(vertexes: Vec<Vertex>, logs: Vec<VertexLog>) -> BuildInfo {
        let status = StatusResponse { vertexes, logs, ..Default::default() };
        BuildInfo { aux: Some(BuildInfoAux::BuildKit(status)), ..Default::default() }
    }

    #[test]
    fn the_classic_builders_failure_names_the_step_and_its_last_lines() {
        let mut transcript = Transcript::default();
        let mut news = Vec::new();
        for text in ["Step 1/2 : FROM scratch\n", " ---> 1234\n", "Step 2/2 : RUN make", "\n", "cc a.c\n", "oh no\n"] {
            news.extend(transcript.read(classic(text)));
        }
        assert_eq!(
            news,
            [
                Progress::Step("[1/2] FROM scratch".into()),
                Progress::Step("[2/2] RUN make".into()),
                Progress::Output("cc a.c".into()),
                Progress::Output("oh no".into())
            ]
        );
        let error = transcript.failure("The command '/bin/sh -c make' returned a non-zero code: 2");
        let output = vec!["cc a.c".to_owned(), "oh no".to_owned()];
        assert_eq!(error, EngineError::CommandFailed { message: "[2/2] RUN make: exit code 2".into(), output });
    }

    #[test]
    fn buildkits_failure_names_the_step_and_its_last_lines() {
        let mut transcript = Transcript::default();
        let first = status(vec![vertex("a", "[internal] load x", ""), vertex("b", "[2/2] RUN make", "")], vec![]);
        assert_eq!(transcript.read(first), [Progress::Step("[2/2] RUN make".into())]);
        let lines = status(vec![], vec![log("b", "10%\r20%\rcc a"), log("b", ".c\noh"), log("c", "other\n")]);
        let lines = transcript.read(lines);
        assert_eq!(lines, [Progress::Output("cc a.c".into()), Progress::Output("other".into())]);
        transcript.read(status(vec![vertex("b", "[2/2] RUN make", "exit code: 2")], vec![]));
        let error = transcript.failure("executor failed running [/bin/sh -c make]: exit code: 2");
        let output = vec!["cc a.c".to_owned(), "oh".to_owned()];
        assert_eq!(error, EngineError::CommandFailed { message: "[2/2] RUN make: exit code 2".into(), output });
    }

    #[test]
    fn the_reason_is_what_is_left_without_the_wrapping() {
        for (message, reason) in [
            (
                "failed to compute cache key: failed to calculate checksum of ref a1::b2: \"/x\": not found",
                "\"/x\": not found",
            ),
            ("executor failed running [/bin/sh -c a; b]: no bridge", "no bridge"),
            ("Dockerfile:4: The command '/bin/sh -c a' returned a non-zero code: 7", "exit code 7 (Dockerfile:4)"),
            ("process \"/bin/sh -c a\" did not complete successfully: no bridge", "no bridge"),
        ] {
            assert_eq!(super::reason(message), reason);
        }
    }

    #[test]
    fn a_base_image_that_cannot_be_had_is_named() {
        let mut transcript = Transcript::default();
        transcript.read(status(vec![vertex("a", "[internal] load metadata for a:1", "no such host")], vec![]));
        let error = transcript.failure("no such host");
        assert_eq!(
            error,
            EngineError::CommandFailed { message: "base image `a:1`: no such host".into(), output: vec![] }
        );
    }

    #[test]
    fn a_failure_outside_any_step_keeps_the_engines_words() {
        let message = "failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse error line 1: unknown instruction: FORM";
        let error = Transcript::default().failure(message);
        let message = "dockerfile parse error line 1: unknown instruction: FORM".into();
        assert_eq!(error, EngineError::CommandFailed { message, output: vec![] });
    }
}
