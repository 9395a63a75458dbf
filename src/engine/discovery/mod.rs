//! Where the engine is: the places where the docker CLI looks, in its order, and then the usual sockets of the engines
//! that speak the Docker API. Reads the environment and the docker config; starts nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::API_DEFAULT_VERSION;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::EngineError;
use super::credentials::Credentials;
use super::docker::{Docker, Greeting, Version, ping};

/// An engine that is there answers at once.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// The oldest API that is enough: Docker 20.10, Podman 4.
const OLDEST: Version = Version(1, 41);
/// Seconds that an answer may take to begin, for questions that an engine answers by itself.
const REQUEST_TIMEOUT: u64 = 120;
/// No config file of docker's comes near this many bytes.
const LARGEST_FILE: u64 = 1024 * 1024;

/// An engine's address and who named it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    /// `unix:///path`, `tcp://host:port`, `https://host:port`.
    url: String,
    /// Who named it, for people.
    origin: String,
    /// Certificates, where TLS is asked for.
    tls: Option<Certificates>,
}

/// The files of a TLS client.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Certificates {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Certificates {
    fn of_folder(folder: &Path) -> Self {
        Self { authority: folder.join("ca.pem"), certificate: folder.join("cert.pem"), key: folder.join("key.pem") }
    }
}

/// The part of docker's `config.json` that says where the engine is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DockerConfig {
    current_context: Option<String>,
}

/// The part of a context's `meta.json` that says where its engine is.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextMeta {
    #[serde(default)]
    endpoints: BTreeMap<String, ContextEndpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextEndpoint {
    host: Option<String>,
}

/// Finds an engine and asks it what it can do.
///
/// `asked` is a URL, the path of a socket, the name of a docker context, or one of the words `docker` and `podman` for
/// the usual sockets of these.
pub(super) async fn connect(asked: Option<&str>) -> Result<Docker, EngineError> {
    let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let candidates = candidates(asked, &environment)?;
    let credentials = Credentials::in_folder(docker_config_folder(&environment));
    let mut tried = Vec::new();
    for candidate in candidates {
        match open(&candidate, &credentials).await {
            Ok(docker) if environment("DOCKER_BUILDKIT").as_deref() == Some("0") => {
                return Ok(docker.without_buildkit());
            }
            Ok(docker) => return Ok(docker),
            Err(reason) => tried.push(format!("  {} ({}): {reason}", candidate.url, candidate.origin)),
        }
    }
    Err(EngineError::Unreachable { message: format!("no container engine answers; tried\n{}", tried.join("\n")) })
}

fn candidates(
    asked: Option<&str>,
    environment: &impl Fn(&str) -> Option<String>,
) -> Result<Vec<Candidate>, EngineError> {
    match asked {
        Some("docker") => return Ok(sockets(docker_sockets(environment))),
        Some("podman") => return Ok(sockets(podman_sockets(environment))),
        Some(address) if address.contains("://") => return Ok(vec![named(address, "--engine", environment)]),
        Some(path) if path.starts_with('/') => {
            return Ok(vec![named(&format!("unix://{path}"), "--engine", environment)]);
        }
        Some(context) => return Ok(vec![context_candidate(context, environment)?]),
        None => {}
    }
    if let Some(host) = environment("DOCKER_HOST") {
        return Ok(vec![named(&host, "DOCKER_HOST", environment)]);
    }
    let configured = || {
        let text = read(&docker_config_folder(environment)?.join("config.json"))?;
        serde_json::from_str::<DockerConfig>(&text).ok()?.current_context
    };
    if let Some(context) = environment("DOCKER_CONTEXT").or_else(configured)
        && !context.is_empty()
        && context != "default"
    {
        return Ok(vec![context_candidate(&context, environment)?]);
    }
    let mut usual = docker_sockets(environment);
    usual.extend(podman_sockets(environment));
    usual.extend(other_sockets(environment));
    Ok(sockets(usual))
}

fn named(url: &str, origin: &str, environment: &impl Fn(&str) -> Option<String>) -> Candidate {
    let secure = url.starts_with("https://") || environment("DOCKER_TLS_VERIFY").is_some();
    let folder = environment("DOCKER_CERT_PATH").map(PathBuf::from).or_else(|| docker_config_folder(environment));
    let remote = !url.starts_with("unix://");
    Candidate {
        url: url.to_owned(),
        origin: origin.to_owned(),
        tls: folder.filter(|_| secure && remote).map(|folder| Certificates::of_folder(&folder)),
    }
}

/// A context lies under the SHA-256 of its name.
fn context_candidate(context: &str, environment: &impl Fn(&str) -> Option<String>) -> Result<Candidate, EngineError> {
    let unknown = |detail: &str| EngineError::Unreachable { message: format!("docker context `{context}` {detail}") };
    let folder = docker_config_folder(environment).ok_or_else(|| unknown("cannot be looked up without `HOME`"))?;
    let contexts = folder.join("contexts");
    let hashed = crate::project::hexadecimal(&Sha256::digest(context.as_bytes()));
    let text = read(&contexts.join("meta").join(&hashed).join("meta.json")).ok_or_else(|| unknown("does not exist"))?;
    let meta: ContextMeta =
        serde_json::from_str(&text).map_err(|_| unknown("has a `meta.json` that cannot be read"))?;
    let host = meta.endpoints.get("docker").and_then(|endpoint| endpoint.host.clone());
    let host = host.ok_or_else(|| unknown("names no engine"))?;
    let certificates = Certificates::of_folder(&contexts.join("tls").join(&hashed).join("docker"));
    let tls = (!host.starts_with("unix://") && certificates.authority.exists()).then_some(certificates);
    Ok(Candidate { url: host, origin: format!("context `{context}`"), tls })
}

fn docker_config_folder(environment: &impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let home = || environment("HOME").map(|home| Path::new(&home).join(".docker"));
    environment("DOCKER_CONFIG").map(PathBuf::from).or_else(home)
}

fn docker_sockets(environment: &impl Fn(&str) -> Option<String>) -> Vec<(&'static str, String)> {
    let mut sockets = vec![("Docker", "/var/run/docker.sock".to_owned())];
    if let Some(home) = environment("HOME") {
        sockets.push(("Docker Desktop", format!("{home}/.docker/run/docker.sock")));
        sockets.push(("Docker Desktop", format!("{home}/.docker/desktop/docker.sock")));
    }
    if let Some(runtime) = runtime_folder(environment) {
        sockets.push(("rootless Docker", format!("{runtime}/docker.sock")));
    }
    sockets
}

fn podman_sockets(environment: &impl Fn(&str) -> Option<String>) -> Vec<(&'static str, String)> {
    let mut sockets = Vec::new();
    if let Some(runtime) = runtime_folder(environment) {
        sockets.push(("rootless Podman", format!("{runtime}/podman/podman.sock")));
    }
    sockets.push(("Podman", "/run/podman/podman.sock".to_owned()));
    if let Some(home) = environment("HOME") {
        let machine = format!("{home}/.local/share/containers/podman/machine/podman.sock");
        sockets.push(("Podman machine", machine));
    }
    sockets
}

fn other_sockets(environment: &impl Fn(&str) -> Option<String>) -> Vec<(&'static str, String)> {
    let Some(home) = environment("HOME") else { return Vec::new() };
    vec![
        ("Colima", format!("{home}/.colima/default/docker.sock")),
        ("Colima", format!("{home}/.config/colima/default/docker.sock")),
        ("OrbStack", format!("{home}/.orbstack/run/docker.sock")),
        ("Rancher Desktop", format!("{home}/.rd/docker.sock")),
    ]
}

fn runtime_folder(environment: &impl Fn(&str) -> Option<String>) -> Option<String> {
    #[cfg(unix)]
    let usual = Some(format!("/run/user/{}", rustix::process::getuid().as_raw()));
    #[cfg(not(unix))]
    let usual = None;
    environment("XDG_RUNTIME_DIR").or(usual)
}

fn sockets(paths: Vec<(&'static str, String)>) -> Vec<Candidate> {
    let candidate = |(origin, path): (&str, String)| Candidate {
        url: format!("unix://{path}"),
        origin: origin.to_owned(),
        tls: None,
    };
    paths.into_iter().map(candidate).collect()
}

fn read(path: &Path) -> Option<String> {
    let small = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() <= LARGEST_FILE);
    small.then(|| std::fs::read_to_string(path).ok()).flatten()
}

async fn open(candidate: &Candidate, credentials: &Credentials) -> Result<Docker, String> {
    let opened = tokio::time::timeout(CONNECT_DEADLINE, greet(candidate)).await;
    let (client, greeting) =
        opened.map_err(|_| format!("does not answer within {} s", CONNECT_DEADLINE.as_secs()))??;
    if greeting.version < OLDEST {
        return Err(format!("speaks API {}, hoist needs {OLDEST} (Docker 20.10 or newer)", greeting.version));
    }
    let local = candidate.url.starts_with("unix://");
    Ok(Docker::new(client, &greeting, candidate.url.clone(), local, credentials.clone()))
}

async fn greet(candidate: &Candidate) -> Result<(bollard::Docker, Greeting), String> {
    let url = candidate.url.as_str();
    if let Some(path) = url.strip_prefix("unix://") {
        return greet_unix(path).await;
    }
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    let address = url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/');
    match scheme {
        "tcp" | "http" | "https" => {}
        "ssh" => {
            let advice = "an engine behind ssh is not supported; forward its socket with `ssh -L` and name that";
            return Err(advice.to_owned());
        }
        _ => return Err("is not an address: write `unix://`, `tcp://` or `https://`".to_owned()),
    }
    match &candidate.tls {
        Some(certificates) => greet_tls(&with_port(address, 2376), certificates).await,
        None if scheme == "https" => Err("needs certificates: set `DOCKER_CERT_PATH`".to_owned()),
        None => {
            let address = with_port(address, 2375);
            let greeting = ping::tcp(&address).await.map_err(|error| error.to_string())?;
            let client =
                bollard::Docker::connect_with_http(&format!("tcp://{address}"), REQUEST_TIMEOUT, API_DEFAULT_VERSION);
            Ok((client.map_err(|error| error.to_string())?, greeting))
        }
    }
}

#[cfg(unix)]
async fn greet_unix(path: &str) -> Result<(bollard::Docker, Greeting), String> {
    let greeting = ping::unix(path).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "no such socket".to_owned(),
        std::io::ErrorKind::PermissionDenied => {
            "permission denied; join the group of the socket, or use a rootless engine".to_owned()
        }
        std::io::ErrorKind::ConnectionRefused => "nobody listens".to_owned(),
        _ => error.to_string(),
    })?;
    let client = bollard::Docker::connect_with_unix(path, REQUEST_TIMEOUT, API_DEFAULT_VERSION);
    Ok((client.map_err(|error| error.to_string())?, greeting))
}

#[cfg(not(unix))]
#[expect(clippy::unused_async, reason = "the same signature as on Unix")]
async fn greet_unix(_path: &str) -> Result<(bollard::Docker, Greeting), String> {
    Err("this system has no Unix sockets".to_owned())
}

async fn greet_tls(address: &str, certificates: &Certificates) -> Result<(bollard::Docker, Greeting), String> {
    // An error means that a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = bollard::Docker::connect_with_ssl(
        &format!("tcp://{address}"),
        &certificates.key,
        &certificates.certificate,
        &certificates.authority,
        REQUEST_TIMEOUT,
        API_DEFAULT_VERSION,
    );
    let client = client.map_err(|error| error.to_string())?;
    let version = client.version().await.map_err(super::docker::message)?;
    let api = version.api_version.as_deref().unwrap_or_default().parse();
    let api: Version = api.map_err(|()| "does not say which API it speaks".to_owned())?;
    let names = version.components.unwrap_or_default().into_iter().map(|component| component.name);
    let podman = names.into_iter().any(|name| name.contains("Podman"));
    let buildkit = api >= Version(1, 39) && !podman;
    Ok((client, Greeting { version: api, buildkit }))
}

fn with_port(address: &str, port: u16) -> String {
    let after_bracket = address.rsplit_once(']').map_or(address, |(_, rest)| rest);
    if after_bracket.contains(':') { address.to_owned() } else { format!("{address}:{port}") }
}

#[cfg(test)]
mod tests;
