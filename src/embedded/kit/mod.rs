//! BuildKit's protocol, for clients that build with it (`docker build`, `docker buildx`, `docker compose`): gRPC over a
//! connection that was taken over.
//!
//! A client opens two: on one it asks (`/grpc`), on the other (`/session`) the engine asks back, for files, secrets, SSH
//! agents and credentials. What is built is a Dockerfile; the builder is the engine's own. BuildKit's lower language (LLB)
//! is not spoken but for one thing: what a build has made can be named in another one.
//!
//! | module | what it does |
//! |---|---|
//! | `sessions` | the connections on which clients are asked |
//! | `receive`, `send` | files from a client and to it |
//! | `uploads` | contexts that come in a request of their own |
//! | `frontend` | pure: a build's attributes → the builder's options |
//! | `control`, `bridge` | the two services that a client asks |
//! | `jobs`, `log` | builds that run, and what they tell |
//! | `failure` | errors as clients show them |
//! | `wire` | messages of the second service |

mod bridge;
mod control;
mod failure;
mod frontend;
mod jobs;
mod log;
mod receive;
mod send;
mod sessions;
mod uploads;
mod wire;

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use bollard_buildkit_proto::moby::buildkit::v1::control_server::ControlServer;
use bollard_buildkit_proto::moby::buildkit::v1::types::{BuildkitVersion, WorkerRecord};
use bollard_buildkit_proto::pb::{Definition, Platform};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use hyper::header::HeaderMap;
use hyper::server::conn::http2;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioExecutor;
use hyper_util::service::TowerToHyperService;
use tonic::service::Routes;

use self::bridge::Bridge;
use self::control::Service;
use self::frontend::{Asked, Place};
use self::jobs::{Job, Jobs, Running};
use self::sessions::{Caller, Sessions};
use self::uploads::Uploads;
use super::ByteStream;
use super::build::client::Client;
use super::build::files::Origin;
use super::build::tell::Audience;
use super::build::{Builder, Failure, Order, Product};
use super::error::Error;
use super::layout::Layout;

/// As large as a message of a client may be.
const LARGEST_MESSAGE: usize = 16 << 20;
/// What a stream of a client may send before it is read.
const STREAM_WINDOW: u32 = 1 << 20;
/// What all streams of a connection may.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// The version of BuildKit that a client may take this for.
const VERSION: &str = "v0.13.0";

/// The protocol's server; clones are the same.
#[derive(Debug, Clone)]
pub struct Kit {
    builder: Builder,
    layout: Layout,
    /// The machine's address as containers know it.
    host: IpAddr,
    sessions: Sessions,
    uploads: Uploads,
    jobs: Jobs,
}

/// A build that comes as one request of the Docker Engine API.
pub struct Request {
    /// What it is called by the client, to be given up by.
    pub id: String,
    /// The session that can be asked, if there is one.
    pub session: Option<String>,
    /// Attributes, as BuildKit calls them.
    pub attributes: HashMap<String, String>,
    /// The context, when it comes with the request.
    pub context: Option<ByteStream>,
    /// What becomes of the result.
    pub output: Output,
    /// Credentials by registry, which come with the request.
    pub credentials: HashMap<String, bollard_stubs::models::AuthConfig>,
}

/// What becomes of what was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Nothing.
    Nothing,
    /// An image with these names.
    Image(Vec<String>),
    /// Its files, which are sent to the client as one tar.
    Tar,
    /// Its files, which are sent to the client one by one.
    Files,
}

/// A build that has been asked for by [`Kit::start`].
pub struct Started {
    running: Running,
    kit: Kit,
    request: Request,
}

/// The output of a kind that clients name, with its attributes.
pub fn output<S: BuildHasher>(kind: &str, attributes: &HashMap<String, String, S>) -> Result<Output, Error> {
    let is_set = |name: &str| attributes.get(name).is_some_and(|value| matches!(value.as_str(), "true" | "1"));
    match kind {
        "" | "cacheonly" => Ok(Output::Nothing),
        "image" if is_set("push") => {
            let hint = "build first, then `docker push`";
            Err(Error::Unsupported(format!("pushing what was just built is not supported: {hint}")))
        }
        "moby" | "image" | "docker" => {
            let names = attributes.get("name").map_or("", String::as_str).split(',');
            Ok(Output::Image(names.filter(|name| !name.is_empty()).map(str::to_owned).collect()))
        }
        "tar" => Ok(Output::Tar),
        "local" => Ok(Output::Files),
        other => {
            let known = "an image, tar and local are";
            Err(Error::Unsupported(format!("an output of the type `{other}` is not supported: {known}")))
        }
    }
}

impl Kit {
    /// Over the engine's builder. `host` is the machine's address as containers know it.
    #[must_use]
    pub fn new(layout: Layout, builder: Builder, host: IpAddr) -> Self {
        let (sessions, uploads, jobs) = (Sessions::default(), Uploads::default(), Jobs::default());
        Self { builder, layout, host, sessions, uploads, jobs }
    }

    /// Serves a client's questions until it closes the connection.
    pub async fn serve(&self, connection: Upgraded) {
        let control = ControlServer::new(Service::new(self.clone())).max_decoding_message_size(LARGEST_MESSAGE);
        let routes = Routes::new(control).add_service(Bridge::new(self.clone()));
        let mut server = http2::Builder::new(TokioExecutor::new());
        server.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        if let Err(error) = server.serve_connection(connection, TowerToHyperService::new(routes)).await {
            tracing::debug!("a connection for builds ended: {error}");
        }
    }

    /// The name of the session that a request wants to open.
    pub fn session_name(headers: &HeaderMap) -> Result<String, Error> {
        sessions::name(headers)
    }

    /// Keeps a session until its client closes the connection.
    pub async fn attach(&self, headers: &HeaderMap, connection: Upgraded) {
        self.sessions.serve(headers, connection).await;
    }

    /// Hands over the context of a build that is asked for in another request; returns when it has been read.
    pub async fn bring(&self, build: &str, context: ByteStream) -> Result<(), Error> {
        self.uploads.bring(build, context).await
    }

    /// The context that another request brings for a build.
    pub async fn uploaded(&self, build: &str) -> Result<ByteStream, Error> {
        self.uploads.take(build).await
    }

    /// Begins a build that comes as one request; [`Started::run`] carries it out.
    #[must_use]
    pub fn start(&self, request: Request) -> Started {
        let running = self.jobs.run(&request.id, request.session.as_deref().unwrap_or_default());
        Started { running, kit: self.clone(), request }
    }

    /// Gives a build up that was begun so.
    pub fn cancel(&self, id: &str) {
        if let Some(job) = self.jobs.find(id) {
            job.cancel.cancel();
        }
    }

    /// Builds for a job. Dropped, it gives up.
    fn make<'a>(
        &'a self,
        job: &'a Job,
        attributes: &'a HashMap<String, String>,
        inputs: &'a HashMap<String, Definition>,
        here: Here,
    ) -> BoxFuture<'a, Result<Product, Failure>> {
        self.make_one(job, attributes, inputs, here).boxed()
    }

    async fn make_one(
        &self,
        job: &Job,
        attributes: &HashMap<String, String>,
        inputs: &HashMap<String, Definition>,
        here: Here,
    ) -> Result<Product, Failure> {
        let product = |name: &str| inputs.get(name).and_then(bridge::product_of).and_then(|id| self.jobs.product(&id));
        let Asked { mut options, context, mut definition, sessions } = frontend::read(attributes, product)?;
        options.credentials = here.credentials;
        if here.context.is_some() {
            // The Dockerfile is in what comes with the request.
            definition = None;
        }
        for host in &mut options.extra_hosts {
            *host = host.replace(frontend::HOST_GATEWAY, &self.host.to_string());
        }
        let caller = match job.session() {
            Some(session) => Some(Arc::new(self.caller(&session, sessions).await?)),
            None => None,
        };
        let no_client = || Error::Invalid("there is no session that could send the build context".into());
        let origin = match (here.context, context) {
            (Some(context), _) => Origin::Tar(context),
            (None, Place::Folder(name)) => Origin::Folder(name),
            (None, Place::Upload(path)) => {
                let caller = caller.as_ref().ok_or_else(no_client)?;
                Origin::Tar(caller.upload(&path).await?.boxed())
            }
            (None, Place::Address(address)) => {
                let hint = format!("fetch `{address}` and build from the folder");
                return Err(Error::Unsupported(format!("building from an address is not supported: {hint}")).into());
            }
        };
        let client = caller.map(|caller| -> Arc<dyn Client> { caller });
        let audience = Audience::Steps(job.listener());
        let order = Order { options, origin, definition, client, audience };
        let made = job.cancel.run_until_cancelled(self.builder.make(order)).await;
        made.unwrap_or_else(|| Err(Error::Failed("the build was given up".into()).into()))
    }

    async fn caller(&self, session: &str, others: HashMap<String, String>) -> Result<Caller, Error> {
        let own = self.sessions.find(session).await?;
        let mut folders = HashMap::new();
        for (folder, session) in others {
            folders.insert(folder, self.sessions.find(&session).await?);
        }
        Ok(Caller { own, folders })
    }

    /// What there is to build with.
    fn worker(&self) -> WorkerRecord {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let platform = Platform { architecture: architecture.into(), os: "linux".into(), ..Platform::default() };
        let labels = [("org.mobyproject.buildkit.worker.moby.host-gateway-ip", self.host.to_string())];
        WorkerRecord {
            id: self.layout.name(),
            labels: labels.map(|(name, value)| (name.to_owned(), value)).into(),
            platforms: vec![platform],
            buildkit_version: Some(version()),
            ..WorkerRecord::default()
        }
    }
}

/// What comes with the request itself.
#[derive(Default)]
struct Here {
    context: Option<ByteStream>,
    credentials: HashMap<String, bollard_stubs::models::AuthConfig>,
}

fn version() -> BuildkitVersion {
    BuildkitVersion {
        package: "hoist".into(),
        version: VERSION.into(),
        revision: format!("hoist {}", env!("CARGO_PKG_VERSION")),
    }
}

impl Started {
    /// What the build tells, as BuildKit's messages in bytes, until it has ended.
    #[must_use]
    pub fn news(&self) -> futures_util::stream::BoxStream<'static, Vec<u8>> {
        self.running.job.log.clone().news().map(|news| prost::Message::encode_to_vec(&news)).boxed()
    }

    /// Carries it out; the id of the image, if one is made. Dropped, it gives up.
    pub async fn run(self) -> Result<Option<String>, Error> {
        let Self { running, kit, request } = self;
        let job = &running.job;
        let Request { attributes, context, output, credentials, .. } = request;
        let here = Here { context, credentials };
        let made = kit.make(job, &attributes, &HashMap::new(), here).await;
        let product = made.map_err(|failure| failure.error)?;
        kit.put_out(job, &product, &output).await
    }
}
