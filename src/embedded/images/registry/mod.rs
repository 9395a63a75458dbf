//! Registries: whom to ask, how, and what their refusals mean.

mod download;
mod look;
pub(super) mod pull;
pub(super) mod push;

use std::net::IpAddr;
use std::time::Duration;

use bollard_stubs::models::AuthConfig;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference as Remote, RegistryOperation};

use super::super::error::Error;
use super::reference::Reference;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(15);
/// How long a registry may be silent in the middle of an answer.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a small answer may take in all.
const SMALL_ANSWER: Duration = Duration::from_mins(1);
/// How often a registry is asked for something before it is given up.
const TRIES: u32 = 4;
/// The first pause between two tries; each next one is twice as long.
const PAUSE: Duration = Duration::from_millis(200);
/// Letters of what a registry says of an error that are passed on.
const LONGEST_MESSAGE: usize = 300;

/// A repository of a registry, ready to be asked.
#[derive(Clone)]
pub(super) struct Session {
    client: Client,
    remote: Remote,
    auth: RegistryAuth,
    name: Reference,
}

impl Session {
    /// Logs in where the registry wants it.
    async fn open(
        name: &Reference,
        credentials: Option<AuthConfig>,
        operation: RegistryOperation,
    ) -> Result<Self, Error> {
        // Whoever was first has chosen; any provider does.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let near = is_near(&name.registry);
        let mut config = ClientConfig {
            protocol: if near { ClientProtocol::Http } else { ClientProtocol::Https },
            accept_invalid_certificates: near,
            use_monolithic_push: true,
            platform_resolver: None,
            read_timeout: Some(SILENCE),
            connect_timeout: Some(CONNECT),
            user_agent: "hoist",
            ..ClientConfig::default()
        };
        if near {
            // A proxy that nothing goes through, so that the one of the environment is not asked for what is on this
            // machine.
            config.https_proxy = Some("http://127.0.0.1:9".to_owned());
            config.no_proxy = Some("*".to_owned());
        }
        let client = Client::try_from(config).map_err(|error| {
            let cause = chain(&error);
            Error::Failed(format!(
                "cannot talk to registries over TLS: {cause}; install the certificates of the system (`ca-certificates`)"
            ))
        })?;
        let auth = match credentials {
            Some(AuthConfig { username: Some(user), password, .. }) if !user.is_empty() => {
                RegistryAuth::Basic(user, password.unwrap_or_default())
            }
            _ => RegistryAuth::Anonymous,
        };
        let session = Self { client, remote: remote(name), auth, name: name.clone() };
        let asked = || session.client.auth(&session.remote, &session.auth, operation);
        ask(&session.name, asked).await?.map_err(|error| refused(&error, name, operation))?;
        Ok(session)
    }
}

/// The same name for the client.
fn remote(name: &Reference) -> Remote {
    let (registry, repository) = (name.registry.clone(), name.repository.clone());
    match &name.digest {
        Some(digest) => Remote::with_digest(registry, repository, digest.clone()),
        None => Remote::with_tag(registry, repository, name.tag.clone().unwrap_or_default()),
    }
}

/// Whether a registry is on this machine, and is asked without TLS.
fn is_near(registry: &str) -> bool {
    let host = match registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => registry.split_once(':').map_or(registry, |(host, _)| host),
    };
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// A small answer, asked for again when its connection is lost; an error when it does not come in time.
async fn ask<T, F>(name: &Reference, asked: impl Fn() -> F) -> Result<Result<T, OciDistributionError>, Error>
where
    F: Future<Output = Result<T, OciDistributionError>>,
{
    let answer = async {
        for tries in 0..TRIES - 1 {
            match asked().await {
                Err(OciDistributionError::RequestError(error)) if is_cut(&error) => {
                    tracing::debug!("the registry {} is asked again: {}", name.registry, chain(&error));
                    tokio::time::sleep(pause(tries)).await;
                }
                answer => return answer,
            }
        }
        asked().await
    };
    tokio::time::timeout(SMALL_ANSWER, answer).await.map_err(|_| {
        let seconds = SMALL_ANSWER.as_secs();
        Error::Failed(format!("the registry {} did not answer within {seconds} seconds", name.registry))
    })
}

/// What a registry's refusal means to a person, in Docker's words where clients know them.
fn refused(error: &OciDistributionError, name: &Reference, operation: RegistryOperation) -> Error {
    let denied = || match operation {
        RegistryOperation::Pull => Error::NotFound(format!(
            "pull access denied for {}, repository does not exist or may require 'docker login': denied: requested access \
             to the resource is denied",
            name.familiar_repository()
        )),
        RegistryOperation::Push => Error::Forbidden(format!(
            "denied: requested access to the resource is denied: {} may not be pushed to without `docker login {}`",
            name.familiar_repository(),
            name.registry
        )),
    };
    let unknown =
        || Error::NotFound(format!("manifest for {} not found: manifest unknown: manifest unknown", name.familiar()));
    let registry = &name.registry;
    match error {
        OciDistributionError::AuthenticationFailure(text) => {
            let text = shortened(text);
            Error::Forbidden(format!("the registry {registry} refused the user name or the password: {text}"))
        }
        OciDistributionError::ImageManifestNotFoundError(_) => unknown(),
        OciDistributionError::RegistryError { envelope, .. } => match envelope.errors.first() {
            Some(first) => match first.code {
                OciErrorCode::ManifestUnknown | OciErrorCode::NotFound => unknown(),
                OciErrorCode::NameUnknown | OciErrorCode::Denied | OciErrorCode::Unauthorized => denied(),
                OciErrorCode::Toomanyrequests => {
                    Error::Failed(format!("toomanyrequests: {}", shortened(&first.message)))
                }
                _ => Error::Failed(format!("the registry {registry} refused: {}", shortened(&first.message))),
            },
            None => Error::Failed(format!("the registry {registry} refused without a reason")),
        },
        OciDistributionError::UnauthorizedError { .. } | OciDistributionError::ServerError { code: 401 | 403, .. } => {
            denied()
        }
        OciDistributionError::ServerError { code: 404, .. } if matches!(operation, RegistryOperation::Pull) => {
            unknown()
        }
        OciDistributionError::ServerError { code, message, .. } => {
            Error::Failed(format!("the registry {registry} answered with status {code}: {}", shortened(message)))
        }
        OciDistributionError::RequestError(error) => {
            let what = if error.is_connect() { "cannot reach" } else { "lost" };
            Error::Failed(format!("{what} the registry {registry}: {}", chain(error)))
        }
        OciDistributionError::DigestError(error) => {
            Error::Failed(format!("the registry {registry} sent something else than was asked for: {error}"))
        }
        other => Error::Failed(format!("the registry {registry} cannot be used: {}", shortened(&other.to_string()))),
    }
}

/// Whether a request went out and its answer did not come whole.
fn is_cut(error: &reqwest::Error) -> bool {
    (error.is_request() || error.is_body()) && !error.is_connect() && error.status().is_none()
}

/// The pause after so many tries that failed.
fn pause(tries: u32) -> Duration {
    PAUSE * 2_u32.pow(tries)
}

/// Whether it may go better the next time.
fn may_pass(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::RequestError(error) => !error.is_builder() && !error.is_redirect(),
        OciDistributionError::ServerError { code, .. } => *code >= 500 || *code == 429,
        OciDistributionError::IoError(_) => true,
        _ => false,
    }
}

/// What a registry says, on one line and not too long.
fn shortened(text: &str) -> String {
    let line: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    line.trim().chars().take(LONGEST_MESSAGE).collect()
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    shortened(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_on_this_machine_is_asked_without_tls() {
        for near in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"] {
            assert!(is_near(near), "{near}");
        }
        for far in ["docker.io", "localhost.example", "10.0.0.1:5000", "[fd00::1]:5000"] {
            assert!(!is_near(far), "{far}");
        }
    }
}
