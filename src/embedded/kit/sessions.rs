//! Sessions: connections of clients on which the engine asks. To the builder each is a client.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::secrets::v1::GetSecretRequest;
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_client::SecretsClient;
use bollard_buildkit_proto::moby::filesync::v1::CredentialsRequest;
use bollard_buildkit_proto::moby::filesync::v1::auth_client::AuthClient;
use bollard_buildkit_proto::moby::sshforward::v1::ssh_client::SshClient;
use bollard_buildkit_proto::moby::sshforward::v1::{BytesMessage as AgentBytes, CheckAgentRequest};
use bollard_buildkit_proto::moby::upload::v1::BytesMessage as UploadBytes;
use bollard_buildkit_proto::moby::upload::v1::upload_client::UploadClient;
use bollard_stubs::models::AuthConfig;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, Stream, StreamExt as _, stream};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::header::HeaderMap;
use hyper::http;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::{Notify, mpsc};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Status};

use super::{CONNECTION_WINDOW, STREAM_WINDOW, receive};
use crate::embedded::build::client::{Client, Wanted};
use crate::embedded::build::context::Context;
use crate::embedded::error::Error;

/// What names a session.
const NAME: &str = "x-docker-expose-session-uuid";
/// What names the methods that it offers.
const METHOD: &str = "x-docker-expose-session-grpc-method";
/// A client asks for a build and opens its session at the same time: how long the one waits for the other.
const PATIENCE: Duration = Duration::from_secs(10);
/// As long as a session's name may be.
const LONGEST_NAME: usize = 256;
/// As large as a secret may be.
const LARGEST_SECRET: usize = 1 << 20;
/// Bytes from an agent's client that are passed on at once.
const PIECE: usize = 16 << 10;
/// Such pieces that wait for the agent.
const QUEUE: usize = 4;

/// The sessions that are open; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Sessions {
    open: Arc<Mutex<HashMap<String, Arc<Session>>>>,
    came: Arc<Notify>,
}

/// A session that is open, or was.
#[derive(Debug)]
pub(super) struct Session {
    line: Line,
    /// The methods that the client offers, in lower case.
    offers: BTreeSet<String>,
}

/// The client of one build: its session, and others that have some of its folders.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) own: Arc<Session>,
    pub(super) folders: HashMap<String, Arc<Session>>,
}

/// The name of the session that a request wants to open.
pub(super) fn name(headers: &HeaderMap) -> Result<String, Error> {
    let name = headers.get(NAME).and_then(|name| name.to_str().ok()).filter(|name| !name.is_empty());
    let name = name.filter(|name| name.len() <= LONGEST_NAME);
    Ok(name.ok_or_else(|| Error::Invalid(format!("a session needs a name: the header `{NAME}`")))?.to_owned())
}

impl Sessions {
    /// Keeps a session open until its client closes the connection.
    pub(super) async fn serve(&self, headers: &HeaderMap, connection: Upgraded) {
        let Ok(name) = name(headers) else { return };
        let offers = headers.get_all(METHOD).iter().filter_map(|method| Some(method.to_str().ok()?.to_lowercase()));
        let mut client = http2::Builder::new(TokioExecutor::new());
        client.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        let (sender, connection) = match client.handshake(connection).await {
            Ok(open) => open,
            Err(error) => return tracing::debug!("a session was not opened: {error}"),
        };
        let session = Arc::new(Session { line: Line(sender), offers: offers.collect() });
        self.all().insert(name.clone(), session.clone());
        self.came.notify_waiters();
        if let Err(error) = connection.await {
            tracing::debug!("a session ended: {error}");
        }
        // Another of the same name may have taken its place.
        let mut all = self.all();
        if all.get(&name).is_some_and(|open| Arc::ptr_eq(open, &session)) {
            all.remove(&name);
        }
    }

    /// The session of this name, as soon as it is open.
    pub(super) async fn find(&self, name: &str) -> Result<Arc<Session>, Error> {
        let found = async {
            loop {
                let mut came = std::pin::pin!(self.came.notified());
                // Before looking, so that nothing is missed in between.
                came.as_mut().enable();
                if let Some(session) = self.all().get(name).cloned() {
                    return session;
                }
                came.await;
            }
        };
        let missing = |_| Error::Invalid(format!("no session `{name}` was opened within {} s", PATIENCE.as_secs()));
        tokio::time::timeout(PATIENCE, found).await.map_err(missing)
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Where its client is asked.
    pub(super) fn line(&self) -> Line {
        self.line.clone()
    }

    /// Whether its client has a method, by its whole path.
    pub(super) fn offers(&self, method: &str) -> bool {
        self.offers.contains(&method.to_lowercase())
    }
}

/// The place where gRPC thinks that a client is.
pub(super) fn origin() -> http::Uri {
    http::Uri::from_static("http://session")
}

/// What a client answered that is no answer.
pub(super) fn refused(tried: &str, status: &Status) -> Error {
    let message = match status.code() {
        Code::Unavailable | Code::Cancelled => "its session has ended".to_owned(),
        _ => status.message().to_owned(),
    };
    Error::Failed(format!("the client did not {tried}: {message}"))
}

impl Caller {
    fn folder(&self, name: &str) -> &Session {
        self.folders.get(name).unwrap_or(&self.own)
    }

    /// Bytes that the client has for the path of an address.
    pub(super) async fn upload(
        &self,
        path: &str,
    ) -> Result<impl Stream<Item = std::io::Result<Bytes>> + Send + 'static + use<>, Error> {
        let mut request = tonic::Request::new(stream::pending::<UploadBytes>());
        let value = MetadataValue::<Ascii>::try_from(path);
        let value = value.map_err(|_| Error::Invalid(format!("`{path}` is not a path of an upload")))?;
        request.metadata_mut().insert("urlpath", value);
        let pulled = UploadClient::with_origin(self.own.line(), origin()).pull(request).await;
        let answers = pulled.map_err(|status| refused("send the build context", &status))?.into_inner();
        Ok(answers.map(|piece| match piece {
            Ok(piece) => Ok(Bytes::from(piece.data)),
            Err(status) => Err(std::io::Error::other(status.message().to_owned())),
        }))
    }
}

impl Client for Caller {
    fn files(&self, wanted: Wanted) -> BoxFuture<'_, Result<Context, Error>> {
        receive::files(self.folder(&wanted.folder), wanted).boxed()
    }

    fn secret(&self, id: &str) -> BoxFuture<'_, Result<Option<Vec<u8>>, Error>> {
        let request = GetSecretRequest { id: id.to_owned(), ..GetSecretRequest::default() };
        async move {
            if !self.own.offers("/moby.buildkit.secrets.v1.Secrets/GetSecret") {
                return Ok(None);
            }
            let client = SecretsClient::with_origin(self.own.line(), origin());
            match client.max_decoding_message_size(LARGEST_SECRET).get_secret(request).await {
                Ok(secret) => Ok(Some(secret.into_inner().data)),
                Err(status) if matches!(status.code(), Code::NotFound | Code::Unimplemented) => Ok(None),
                Err(status) => Err(refused("give a secret", &status)),
            }
        }
        .boxed()
    }

    fn has_agent(&self, id: &str) -> BoxFuture<'_, Result<bool, Error>> {
        let request = CheckAgentRequest { id: id.to_owned() };
        async move {
            match SshClient::with_origin(self.own.line(), origin()).check_agent(request).await {
                Ok(_) => Ok(true),
                Err(status) if status.code() == Code::Unavailable => {
                    Err(refused("say whether it has an agent", &status))
                }
                // It has none, or none of this id.
                Err(_) => Ok(false),
            }
        }
        .boxed()
    }

    fn agent(&self, id: &str, connection: UnixStream) -> BoxFuture<'static, ()> {
        let (line, id) = (self.own.line(), MetadataValue::<Ascii>::try_from(id));
        async move {
            let (reader, mut writer) = connection.into_split();
            let (sender, mut queue) = mpsc::channel(QUEUE);
            let mut request = tonic::Request::new(stream::poll_fn(move |context| queue.poll_recv(context)));
            // The client has been asked for an agent of this id.
            let Ok(id) = id else { return };
            request.metadata_mut().insert("buildkit.ssh.id", id);
            let ask = async {
                pass_on(reader, sender).await;
                // There may be more answers.
                std::future::pending::<()>().await;
            };
            let answer = async {
                let mut answers = match SshClient::with_origin(line, origin()).forward_agent(request).await {
                    Ok(answers) => answers.into_inner(),
                    Err(status) => return tracing::debug!("an SSH agent does not answer: {status}"),
                };
                while let Ok(Some(piece)) = answers.message().await {
                    if writer.write_all(&piece.data).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = ask => {}
                () = answer => {}
            }
        }
        .boxed()
    }

    fn credentials(&self, registry: &str) -> BoxFuture<'_, Option<AuthConfig>> {
        let request = CredentialsRequest { host: registry.to_owned() };
        async move {
            if !self.own.offers("/moby.filesync.v1.Auth/Credentials") {
                return None;
            }
            let answer = AuthClient::with_origin(self.own.line(), origin()).credentials(request).await;
            let answer = match answer {
                Ok(answer) => answer.into_inner(),
                Err(status) => {
                    tracing::debug!("a client gives no credentials: {}", status.message());
                    return None;
                }
            };
            let (username, password) = (answer.username, answer.secret);
            (!username.is_empty()).then(|| AuthConfig {
                username: Some(username),
                password: Some(password),
                ..AuthConfig::default()
            })
        }
        .boxed()
    }
}

/// What a connection brings, to its end, as messages for an agent.
async fn pass_on(mut reader: OwnedReadHalf, agent: mpsc::Sender<AgentBytes>) {
    let mut buffer = vec![0; PIECE];
    // What cannot be read any more is at its end.
    while let Ok(length @ 1..) = reader.read(&mut buffer).await {
        if agent.send(AgentBytes { data: buffer[..length].to_vec() }).await.is_err() {
            return;
        }
    }
}

/// The client's end of a connection, for gRPC.
#[derive(Debug, Clone)]
pub(super) struct Line(http2::SendRequest<Body>);

impl Service<http::Request<Body>> for Line {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.0.send_request(request).boxed()
    }
}
