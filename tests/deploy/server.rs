//! A Kubernetes API server over HTTP or HTTPS, as far as a deployment asks one. It holds every request to what a real one
//! wants, and notes what is wrong with it; a scenario fails that has made it note something.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State as Shared};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use futures_util::stream;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::store::{How, Place, Refusal, Store, has_labels, status};
use crate::world;

/// Who may ask.
const TOKEN: &str = "token-of-the-test";

/// How often a watch says that it is still there.
const BOOKMARKS: Duration = Duration::from_millis(200);

/// The most that is listed at once, so that lists have pages.
const PAGE: usize = 2;

/// How the server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// It answers.
    Well,
    /// It ends after so many applies more, and then cuts every connection.
    EndsAfter(usize),
    /// It cuts every connection.
    Gone,
    /// It answers this to everything.
    Refuses(u16),
}

/// What the server knows.
#[derive(Debug)]
pub(crate) struct Inside {
    pub(crate) store: Store,
    pub(crate) health: Health,
    /// What was applied, removed and tried, oldest first: `apply deployments/web`.
    pub(crate) done: Vec<String>,
    /// How many connections there are.
    pub(crate) connections: usize,
    /// What no real server would have taken.
    wrong: Vec<String>,
}

type State = Arc<(Mutex<Inside>, Notify)>;

/// A server that runs until it is dropped.
pub(crate) struct Server {
    state: State,
    address: SocketAddr,
    /// The certificate that it is known by, in PEM.
    certificate: Option<String>,
    /// Its runtime ends with it.
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    /// Starts one.
    pub(crate) fn start(tls: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let inside = Inside {
            store: Store::default(),
            health: Health::Well,
            done: Vec::new(),
            connections: 0,
            wrong: Vec::new(),
        };
        let state: State = Arc::new((Mutex::new(inside), Notify::new()));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("its address");
        let (acceptor, certificate) = if tls { acceptor() } else { (None, None) };
        let router = Router::new().fallback(answer).with_state(Arc::clone(&state));
        runtime.spawn(listen(listener, acceptor, router, Arc::clone(&state)));
        Self { state, address, certificate, _runtime: runtime }
    }

    /// What it knows.
    pub(crate) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, which watches then tell.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Inside) -> T) -> T {
        let result = change(&mut self.inside());
        self.state.1.notify_waiters();
        result
    }

    /// Writes the kubeconfig that leads to it.
    pub(crate) fn write_kubeconfig(&self, path: &Path) {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        let mut cluster = json!({ "server": format!("{scheme}://{}", self.address) });
        if let Some(certificate) = &self.certificate {
            let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, certificate);
            cluster["certificate-authority-data"] = json!(encoded);
        }
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test", "cluster": cluster }],
            "users": [{ "name": "test", "user": { "token": TOKEN } }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test", "namespace": "from-context" } }]
        });
        std::fs::write(path, config.to_string()).expect("it can be written");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let wrong = std::mem::take(&mut self.inside().wrong);
        assert!(wrong.is_empty() || std::thread::panicking(), "no server would take: {wrong:#?}");
    }
}

fn acceptor() -> (Option<TlsAcceptor>, Option<String>) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("the key is the certificate's");
    (Some(TlsAcceptor::from(Arc::new(config))), Some(made.cert.pem()))
}

async fn listen(listener: TcpListener, acceptor: Option<TlsAcceptor>, router: Router, state: State) {
    while let Ok((stream, _)) = listener.accept().await {
        let is_gone = state.0.lock().unwrap_or_else(PoisonError::into_inner).health == Health::Gone;
        if is_gone {
            // Dropping it cuts it.
            continue;
        }
        let service = TowerToHyperService::new(router.clone());
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let http = hyper::server::conn::http1::Builder::new();
            let serve = async {
                match acceptor {
                    Some(acceptor) => match acceptor.accept(stream).await {
                        Ok(stream) => drop(http.serve_connection(TokioIo::new(stream), service).await),
                        Err(error) => eprintln!("TLS: {error}"),
                    },
                    None => drop(http.serve_connection(TokioIo::new(stream), service).await),
                }
            };
            let count = |change: isize| {
                let mut inside = state.0.lock().unwrap_or_else(PoisonError::into_inner);
                inside.connections = inside.connections.saturating_add_signed(change);
            };
            count(1);
            tokio::select! {
                () = serve => {}
                () = cut(&state) => {}
            }
            count(-1);
        });
    }
}

/// Waits until every connection is to be cut.
async fn cut(state: &State) {
    loop {
        let notified = state.1.notified();
        if state.0.lock().unwrap_or_else(PoisonError::into_inner).health == Health::Gone {
            return;
        }
        // A change may have come between the two: then the next one wakes.
        let _ = tokio::time::timeout(BOOKMARKS, notified).await;
    }
}

/// A request, taken apart.
struct Asked {
    method: Method,
    place: Place,
    /// `log`, for the only part of an object that is asked for.
    part: Option<String>,
    query: BTreeMap<String, String>,
    kind: String,
    body: Bytes,
}

async fn answer(Shared(state): Shared<State>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 4 << 20).await.unwrap_or_default();
    let header =
        |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let query = decoded(parts.uri.query().unwrap_or_default());
    let path = parts.uri.path().to_owned();
    let mut inside = state.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Health::Refuses(code) = inside.health {
        return refused(status(code, "InternalError", "etcd has no leader"));
    }
    if header("authorization") != format!("Bearer {TOKEN}") {
        return refused(status(401, "Unauthorized", "Unauthorized"));
    }
    let Some((place, part)) = place(&path) else {
        inside.wrong.push(format!("{} {path}", parts.method));
        return refused(status(404, "NotFound", "the server could not find the requested resource"));
    };
    let asked = Asked { method: parts.method, place, part, query, kind: header("content-type"), body };
    let response = respond(&mut inside, &asked);
    drop(inside);
    state.1.notify_waiters();
    match response {
        Ok(Answer::Object(object)) => json_response(200, &object),
        Ok(Answer::Text(text)) => Response::new(Body::from(text)),
        Ok(Answer::Watch) => watch(state, asked),
        Err(refusal) => refused(refusal),
    }
}

enum Answer {
    Object(Value),
    Text(String),
    Watch,
}

/// The object that a path means: `/apis/apps/v1/namespaces/x/deployments/web`.
fn place(path: &str) -> Option<(Place, Option<String>)> {
    let mut words = path.split('/').skip(1);
    match (words.next()?, words.next()?) {
        ("api", "v1") => {}
        ("apis", group) if group != "core" => drop(words.next().filter(|version| version.starts_with('v'))?),
        _ => return None,
    }
    let rest: Vec<&str> = words.collect();
    let (namespace, rest) = match rest[..] {
        ["namespaces", namespace, _, ..] => (namespace, &rest[2..]),
        _ => ("", &rest[..]),
    };
    let (plural, name, part) = match *rest {
        [plural] => (plural, "", None),
        [plural, name] => (plural, name, None),
        [plural, name, part] => (plural, name, Some(part.to_owned())),
        _ => return None,
    };
    let text = str::to_owned;
    Some((Place { plural: text(plural), namespace: text(namespace), name: text(name) }, part))
}

fn respond(inside: &mut Inside, asked: &Asked) -> Result<Answer, Refusal> {
    let Asked { method, place, query, .. } = asked;
    let shown = format!("{}/{}", place.plural, place.name);
    if method == Method::GET && asked.part.as_deref() == Some("log") && place.plural == "pods" {
        return Ok(Answer::Text(world::log(query)));
    }
    if asked.part.is_some() {
        inside.wrong.push(format!("{method} {shown}: {:?}", asked.part));
    }
    match *method {
        Method::GET if !place.name.is_empty() => match inside.store.get(place) {
            Some(object) => Ok(Answer::Object(object.clone())),
            None => Err(status(404, "NotFound", &format!("{} \"{}\" not found", place.plural, place.name))),
        },
        Method::GET if query.get("watch").is_some_and(|watch| watch == "true") => {
            allow(
                inside,
                asked,
                &["watch", "resourceVersion", "labelSelector", "allowWatchBookmarks", "timeoutSeconds"],
            );
            if query.get("resourceVersion").is_none_or(|version| version.parse::<u64>().is_err()) {
                inside.wrong.push(format!("a watch of {shown} from no version"));
            }
            Ok(Answer::Watch)
        }
        Method::GET => {
            allow(inside, asked, &["labelSelector", "limit", "continue"]);
            Ok(Answer::Object(list(inside, asked)))
        }
        Method::PATCH => apply(inside, asked).map(Answer::Object),
        Method::DELETE => {
            allow(inside, asked, &[]);
            let options: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
            if options["propagationPolicy"] != "Background" {
                inside.wrong.push(format!("DELETE {shown} leaves what belongs to it: {options}"));
            }
            inside.store.delete(place, options["preconditions"]["uid"].as_str())?;
            inside.done.push(format!("delete {shown}"));
            world::react(&mut inside.store, place);
            Ok(Answer::Object(json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" })))
        }
        _ => {
            inside.wrong.push(format!("{method} {shown}"));
            Err(status(405, "MethodNotAllowed", "not allowed"))
        }
    }
}

fn allow(inside: &mut Inside, asked: &Asked, known: &[&str]) {
    for name in asked.query.keys().filter(|name| !known.contains(&name.as_str())) {
        inside.wrong.push(format!("{} {}: `{name}` in the query", asked.method, asked.place.plural));
    }
}

fn list(inside: &Inside, asked: &Asked) -> Value {
    let mut items = inside.store.list(&asked.place.plural, &asked.place.namespace, &labels(&asked.query));
    let from: usize = asked.query.get("continue").and_then(|token| token.parse().ok()).unwrap_or(0);
    let mut metadata = json!({ "resourceVersion": inside.store.version.to_string() });
    items.drain(..from.min(items.len()));
    if asked.query.contains_key("limit") && items.len() > PAGE {
        items.truncate(PAGE);
        metadata["continue"] = json!((from + PAGE).to_string());
    }
    for item in items.iter_mut().filter_map(Value::as_object_mut) {
        // Lists say it once, for all.
        item.remove("kind");
        item.remove("apiVersion");
    }
    json!({ "kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items })
}

fn apply(inside: &mut Inside, asked: &Asked) -> Result<Value, Refusal> {
    let Asked { place, query, .. } = asked;
    let shown = format!("{}/{}", place.plural, place.name);
    allow(inside, asked, &["fieldManager", "fieldValidation", "force", "dryRun"]);
    let dry_run = query.get("dryRun").map(String::as_str);
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let mut wrong = Vec::new();
    for (is_right, what) in [
        (asked.kind == "application/apply-patch+yaml", "the content type"),
        (query.get("fieldManager").is_some_and(|manager| manager == "hoist"), "the field manager"),
        (query.get("fieldValidation").is_some_and(|how| how == "Strict"), "the field validation"),
        (matches!(dry_run, None | Some("All")), "the dry run"),
        (query.get("force").is_none_or(|force| force == "true"), "the force"),
        (body["metadata"]["name"] == place.name.as_str(), "the name"),
        (body["apiVersion"].is_string() && body["kind"].is_string(), "the kind"),
        (body["metadata"].get("managedFields").is_none() && body.get("status").is_none(), "what is the server's"),
        (place.plural != "secrets" || body.get("stringData").is_none(), "texts of a Secret, which have two owners"),
    ] {
        if !is_right {
            wrong.push(format!("PATCH {shown}: {what}: {:?} {query:?}", asked.kind));
        }
    }
    inside.wrong.extend(wrong);
    let namespace = Place { plural: "namespaces".into(), namespace: String::new(), name: place.namespace.clone() };
    if !place.namespace.is_empty() && inside.store.get(&namespace).is_none() {
        return Err(status(404, "NotFound", &format!("namespaces \"{}\" not found", place.namespace)));
    }
    let how = How { manager: "hoist", force: query.contains_key("force"), dry_run: dry_run.is_some() };
    let object = inside.store.apply(place, &body, how)?;
    if dry_run.is_none() {
        inside.done.push(format!("apply {shown}"));
        world::react(&mut inside.store, place);
        if let Health::EndsAfter(left) = inside.health {
            inside.health = if left <= 1 { Health::Gone } else { Health::EndsAfter(left - 1) };
        }
    }
    Ok(object)
}

fn labels(query: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let selector = query.get("labelSelector").map(String::as_str).unwrap_or_default();
    let pairs = selector.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Tells what happens, as lines that have no end.
fn watch(state: State, asked: Asked) -> Response {
    let from: u64 = asked.query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
    let labels = labels(&asked.query);
    let lines = stream::unfold((state, from), move |(state, from)| {
        let (place, labels) = (asked.place.clone(), labels.clone());
        async move {
            let shared = Arc::clone(&state);
            let notified = shared.1.notified();
            let (text, version) = {
                let inside = state.0.lock().unwrap_or_else(PoisonError::into_inner);
                let new = inside.store.events.iter().filter(|event| event.version > from);
                let of = new.filter(|event| {
                    event.place.plural == place.plural
                        && event.place.namespace == place.namespace
                        && has_labels(&event.object, &labels)
                });
                let text = of.fold(String::new(), |text, event| {
                    text + &json!({ "type": event.kind, "object": event.object }).to_string() + "\n"
                });
                (text, inside.store.version)
            };
            if !text.is_empty() {
                return Some((Ok::<_, std::io::Error>(Bytes::from(text)), (state, version)));
            }
            let _ = tokio::time::timeout(BOOKMARKS, notified).await;
            let bookmark = json!({ "type": "BOOKMARK", "object": { "kind": "X", "apiVersion": "v1",
                "metadata": { "resourceVersion": version.to_string() } } });
            Some((Ok(Bytes::from(format!("{bookmark}\n"))), (state, version)))
        }
    });
    Response::new(Body::from_stream(lines))
}

fn refused((code, status): Refusal) -> Response {
    json_response(code, &status)
}

fn json_response(code: u16, value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).expect("a code of HTTP");
    response.headers_mut().insert("content-type", "application/json".parse().expect("a value"));
    response
}

fn decoded(query: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((byte, after)) = rest.split_first() {
            let code = (*byte == b'%').then(|| after.get(..2)).flatten();
            let code = code.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
            bytes.push(code.unwrap_or(*byte));
            rest = if code.is_some() { &after[2..] } else { after };
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}
