//! Builds on a Docker engine: the context goes out as a stream, steps and output come back.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bollard::query_parameters::{BuildImageOptions, BuilderVersion};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::error::from_bollard;
use super::progress::Transcript;
use super::{Docker, kit};
use crate::content::Hashes;
use crate::engine::context::{Context, PackError, Pipe, Spool};
use crate::engine::{EngineError, Progress};
use crate::plan::observed::Image;
use crate::plan::spec::{BuildSpec, label};
use crate::project::{Build, BuildContext, Ulimit};

/// A context up to this size is read once and held; a larger one is read twice and streamed.
const HELD: usize = 16 * 1024 * 1024;
/// How many pieces of a context may wait for the connection.
const QUEUE: usize = 8;
/// How often a context that changes while it is read is read anew.
const ATTEMPTS: usize = 4;

/// Tells the sessions of one process apart.
static SESSIONS: AtomicU64 = AtomicU64::new(0);

/// A context that has been read once.
struct Packed {
    context: Context,
    digest: String,
    /// The tar, when it is small.
    pieces: Option<Vec<Bytes>>,
}

/// Why an attempt came to nothing.
enum Failure {
    /// Files changed while they were sent.
    Changed(EngineError),
    Final(EngineError),
}

impl Docker {
    pub(super) async fn build_image(
        &self,
        spec: &BuildSpec,
        progress: mpsc::Sender<Progress>,
        cancel: CancellationToken,
    ) -> Result<Image, EngineError> {
        // Dropping the request closes its connection, upon which the engine gives the build up.
        cancel.run_until_cancelled(self.attempts(spec, &progress)).await.unwrap_or(Err(EngineError::Cancelled))
    }

    async fn attempts(&self, spec: &BuildSpec, progress: &mpsc::Sender<Progress>) -> Result<Image, EngineError> {
        // Ends the reading of files when this future is dropped.
        let reading = CancellationToken::new();
        let _guard = reading.clone().drop_guard();
        let mut changed = EngineError::Cancelled;
        for _ in 0..ATTEMPTS {
            let attempt = async {
                let packed = pack(spec.clone(), self.hashes.clone(), reading.clone()).await?;
                self.attempt(spec, packed, progress, &reading).await
            };
            match attempt.await {
                Err(Failure::Changed(error)) => changed = error,
                Err(Failure::Final(error)) => return Err(error),
                Ok(image) => return Ok(image),
            }
        }
        Err(changed)
    }

    async fn attempt(
        &self,
        spec: &BuildSpec,
        packed: Packed,
        progress: &mpsc::Sender<Progress>,
        reading: &CancellationToken,
    ) -> Result<Image, Failure> {
        let Packed { context, digest, pieces } = packed;
        let mut options = options(spec, &context, &digest);
        let text = context.dockerfile_text().unwrap_or_default();
        let credentials = self.credentials.of_dockerfile(&text, &spec.build.args).await;
        let credentials: HashMap<_, _> = credentials.into_iter().collect();
        if let Some(what) = kit::need(spec) {
            if !self.facts.buildkit {
                let message = format!("{what} needs BuildKit, and this engine builds without it");
                return Err(Failure::Final(EngineError::Refused { message }));
            }
            let pieces = pieces.ok_or_else(|| {
                let message = format!("{what} needs a context of at most {} MiB", HELD / 1024 / 1024);
                Failure::Final(EngineError::Refused { message })
            })?;
            let dockerfile = context.dockerfile();
            self.build_with_session(spec, dockerfile, &digest, pieces, credentials, progress)
                .await
                .map_err(Failure::Final)?;
            return self.built(spec, None).await.map_err(Failure::Final);
        }
        let client = self.builder(&mut options, credentials.is_empty(), more_options(&spec.build));
        let (body, sending) = if let Some(pieces) = pieces {
            (stream::iter(pieces.into_iter().map(Ok)).boxed(), None)
        } else {
            let (body, sending) = send(context, self.hashes.clone(), reading.clone());
            (body.boxed(), Some(sending))
        };
        let credentials = Some(credentials).filter(|credentials| !credentials.is_empty());
        let answers = client.build_image(options, credentials, Some(bollard::body_try_stream(body)));
        let built = read(answers, progress).await;
        if let Some(sending) = sending {
            // The engine can refuse before it has read everything; then the sending is cut off and does not count.
            match (sending.await, &built) {
                (Ok(Err(error @ PackError::Changed { .. })), _) => return Err(Failure::Changed(error.into())),
                (Ok(Err(PackError::Failed { path, error })), Err(_)) if error.kind() != io::ErrorKind::BrokenPipe => {
                    return Err(Failure::Final(PackError::Failed { path, error }.into()));
                }
                (Ok(Ok(sent)), Ok(_)) if sent != digest => {
                    return Err(Failure::Changed(PackError::Changed { path: ".".into() }.into()));
                }
                _ => {}
            }
        }
        let id = built.map_err(Failure::Final)?;
        self.built(spec, id).await.map_err(Failure::Final)
    }

    /// The image that a build made, by the id that the engine named, else by its name.
    async fn built(&self, spec: &BuildSpec, id: Option<String>) -> Result<Image, EngineError> {
        let image = match id {
            Some(id) => self.inspected_image(&id).await?,
            None => None,
        };
        let image = match image {
            Some(image) => Some(image),
            None => self.inspected_image(&spec.image).await?,
        };
        let lost =
            || EngineError::NotFound { message: format!("the engine built `{}` and does not have it", spec.image) };
        image.ok_or_else(lost)
    }

    /// The client to build with. BuildKit asks for a session only to be able to ask back for credentials; without any,
    /// the build does without, which saves the engine the waiting for it.
    fn builder(&self, options: &mut BuildImageOptions, anonymous: bool, more: String) -> bollard::Docker {
        let client = self.patient.clone();
        // bollard insists on a session where it is told of BuildKit.
        let version = if self.facts.buildkit && anonymous { "version=2" } else { "version=1" };
        let client = client.with_request_modifier(move |mut request| {
            if request.uri().path().ends_with("/build") {
                let uri = format!("{}{more}", request.uri().to_string().replace("version=1", version));
                if let Ok(uri) = uri.parse() {
                    *request.uri_mut() = uri;
                }
            }
            request
        });
        if !self.facts.buildkit || anonymous {
            return client;
        }
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let count = SESSIONS.fetch_add(1, Ordering::Relaxed);
        options.version = BuilderVersion::BuilderBuildKit;
        options.session = Some(format!("hoist{}x{time}x{count}", std::process::id()));
        client
    }
}

fn options(spec: &BuildSpec, context: &Context, digest: &str) -> BuildImageOptions {
    let build = &spec.build;
    let mut labels: HashMap<String, String> = spec.labels.clone().into_iter().collect();
    labels.insert(label::INPUTS.to_owned(), digest.to_owned());
    let arguments = build.args.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
    BuildImageOptions {
        dockerfile: context.dockerfile().to_owned(),
        t: Some(spec.image.clone()),
        remote: match &build.context {
            BuildContext::Remote(url) => Some(url.clone()),
            BuildContext::Local(_) => None,
        },
        nocache: spec.no_cache,
        pull: spec.pull.then(|| "true".to_owned()),
        rm: true,
        forcerm: true,
        buildargs: Some(arguments.collect()),
        labels: Some(labels),
        cachefrom: Some(build.cache_from.clone()).filter(|images| !images.is_empty()),
        networkmode: build.network.clone(),
        shmsize: build.shm_size.and_then(|size| i32::try_from(size).ok()),
        platform: spec.platform.clone().unwrap_or_default(),
        target: build.target.clone().unwrap_or_default(),
        ..Default::default()
    }
}

/// The options that bollard has no place for, as the end of a query.
fn more_options(build: &Build) -> String {
    let mut options: Vec<(&str, String)> = Vec::new();
    options.extend(build.tags.iter().map(|tag| ("t", tag.clone())));
    options.extend(build.extra_hosts.iter().map(|host| ("extrahosts", host.clone())));
    if !build.ulimits.is_empty() {
        let limit = |(name, limit): (&String, &Ulimit)| json!({ "Name": name, "Soft": limit.soft, "Hard": limit.hard });
        let limits: Vec<_> = build.ulimits.iter().map(limit).collect();
        options.push(("ulimits", json!(limits).to_string()));
    }
    options.extend(build.isolation.iter().map(|isolation| ("isolation", isolation.clone())));
    options.iter().fold(String::new(), |query, (name, value)| query + "&" + name + "=" + &encoded(value))
}

/// A value as it stands in a query.
fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

async fn pack(spec: BuildSpec, hashes: Hashes, cancel: CancellationToken) -> Result<Packed, Failure> {
    let pack = move || {
        let context = Context::find(&spec).map_err(Failure::Final)?;
        let mut spool = Spool::new(HELD);
        let digest = context.pack(&mut spool, &hashes, &cancel).map_err(|error| match error {
            PackError::Changed { .. } => Failure::Changed(error.into()),
            error => Failure::Final(error.into()),
        })?;
        Ok(Packed { context, digest, pieces: spool.into_pieces() })
    };
    tokio::task::spawn_blocking(pack).await.unwrap_or(Err(Failure::Final(EngineError::Cancelled)))
}

/// Reads a large context a second time and hands it over piece by piece.
fn send(
    context: Context,
    hashes: Hashes,
    cancel: CancellationToken,
) -> (impl Stream<Item = io::Result<Bytes>> + Send + 'static, tokio::task::JoinHandle<Result<String, PackError>>) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let sending = tokio::task::spawn_blocking(move || {
        let sent = context.pack(Pipe::new(sender.clone()), &hashes, &cancel);
        if sent.is_err() {
            // Without this the engine would take half a context for a whole one.
            let _ = sender.blocking_send(Err(io::Error::other("the context cannot be read")));
        }
        sent
    });
    let body = stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    });
    (body, sending)
}

/// Passes on what a build says and returns the image's id, where the engine names it.
async fn read(
    answers: impl Stream<Item = Result<bollard::models::BuildInfo, bollard::errors::Error>>,
    progress: &mpsc::Sender<Progress>,
) -> Result<Option<String>, EngineError> {
    let mut transcript = Transcript::default();
    let mut answers = std::pin::pin!(answers);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(info) => {
                for news in transcript.read(info) {
                    // Nobody has to listen.
                    let _ = progress.send(news).await;
                }
            }
            Err(bollard::errors::Error::DockerStreamError { error }) => return Err(transcript.failure(&error)),
            Err(bollard::errors::Error::DockerResponseServerError { message, .. }) => {
                return Err(transcript.failure(&message));
            }
            Err(error) => return Err(from_bollard(error)),
        }
    }
    Ok(transcript.image().map(ToOwned::to_owned))
}
