//! A Kubernetes cluster, by way of its API: reads, applies, watches and removes objects in one namespace.
//!
//! What this module never does: decide what is applied in which order, or print. `release` decides, `cli` prints.

mod error;
mod watch;

use std::time::Duration;

use kube::api::{
    ApiResource, DeleteParams, GroupVersionKind, ListParams, LogParams, Patch, PatchParams, Preconditions,
    PropagationPolicy, Request, ValidationDirective,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::release::MANAGER;
use crate::release::item::Id;

pub use error::{Claimed, DeployError};
pub use watch::{Picture, Rollout, Subject};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a request is tried again while the cluster does not answer.
const RETRIES: Duration = Duration::from_secs(15);

/// The pause before a request is tried again.
const PAUSE: Duration = Duration::from_millis(250);

/// How many objects are listed at once.
const PAGE: u32 = 500;

/// How many of a container's last lines are asked for.
const LAST_LINES: i64 = 15;

/// The most that is read of them, in bytes.
const LOG_LIMIT: i64 = 64 * 1024;

/// A connection to a namespace of a cluster. Clones share it.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: String,
    address: String,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Cluster").field(&self.address).field(&self.namespace).finish()
    }
}

/// What is done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Apply {
    /// The cluster says what would come of it, and does nothing.
    pub dry_run: bool,
    /// Fields that others have set are taken over.
    pub force: bool,
}

/// The contexts that the kubeconfig has, sorted.
///
/// # Errors
/// When there is no kubeconfig, or it cannot be read.
pub fn contexts() -> Result<Vec<String>, DeployError> {
    let configuration = kubeconfig()?;
    let mut names: Vec<String> = configuration.contexts.into_iter().map(|context| context.name).collect();
    names.sort();
    Ok(names)
}

fn kubeconfig() -> Result<Kubeconfig, DeployError> {
    Kubeconfig::read().map_err(|error| kube::Error::InferKubeconfig(error).into())
}

impl Cluster {
    /// Finds a cluster by a context of the kubeconfig (`KUBECONFIG`, `~/.kube/config`), or by the current one. Inside a
    /// cluster, where there is no kubeconfig, it is that cluster.
    ///
    /// # Errors
    /// When the kubeconfig does not say how to reach one.
    pub async fn connect(context: Option<&str>, namespace: Option<&str>) -> Result<Self, DeployError> {
        let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
        let configuration = match kubeconfig() {
            Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options)
                .await
                .map_err(|error| DeployError::from(kube::Error::InferKubeconfig(error)))?,
            Err(error) if context.is_some() => return Err(error),
            Err(error) => Config::incluster().map_err(|_| error)?,
        };
        let address = configuration.cluster_url.to_string();
        let namespace = namespace.map_or_else(|| configuration.default_namespace.clone(), str::to_owned);
        // hyper finds no provider of cryptography by itself where more than one could be linked.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::try_from(configuration)?;
        Ok(Self { client, namespace, address })
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Where the cluster is.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// An object, when it is there.
    pub async fn get(&self, id: &Id) -> Result<Option<Value>, DeployError> {
        let request = || self.path(id).get(&id.name, &kube::api::GetParams::default());
        match self.answer(request).await {
            Ok(object) => Ok(Some(object)),
            Err(DeployError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the namespace is there; `None` when it is not for us to know.
    pub async fn has_namespace(&self) -> Result<Option<bool>, DeployError> {
        match self.get(&self.namespace_id()).await {
            Ok(found) => Ok(Some(found.is_some())),
            Err(DeployError::Forbidden { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the namespace.
    pub async fn create_namespace(&self) -> Result<Value, DeployError> {
        let body = serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": self.namespace }
        });
        self.apply(&self.namespace_id(), &body, Apply { dry_run: false, force: false }).await
    }

    fn namespace_id(&self) -> Id {
        Id { group: String::new(), version: "v1".into(), kind: "Namespace".into(), name: self.namespace.clone() }
    }

    /// Applies an object and returns what it is then, or would be.
    pub async fn apply(&self, id: &Id, body: &Value, how: Apply) -> Result<Value, DeployError> {
        let parameters = PatchParams {
            dry_run: how.dry_run,
            force: how.force,
            field_manager: Some(MANAGER.to_owned()),
            field_validation: Some(ValidationDirective::Strict),
        };
        let applied = self.answer(|| self.path(id).patch(&id.name, &parameters, &Patch::Apply(body))).await;
        applied.map_err(|error| match error {
            // What is missing is not the object, which would be made, but its whole kind.
            DeployError::Missing { message } if message.contains("could not find the requested resource") => {
                DeployError::Refused { message: format!("the cluster knows no {} of `{}`", id.kind, id.api_version()) }
            }
            error => error,
        })
    }

    /// Removes an object with what belongs to it, if it is still the one with this identity (`uid`). One that is gone is
    /// no error.
    pub async fn delete(&self, id: &Id, uid: Option<&str>) -> Result<(), DeployError> {
        let parameters = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: uid.map(|uid| Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
            ..DeleteParams::default()
        };
        match self.answer(|| self.path(id).delete(&id.name, &parameters)).await {
            Ok(_) | Err(DeployError::Missing { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Waits until an object is gone, or is another one than that with this identity.
    pub async fn gone(&self, id: &Id, uid: &str, deadline: Duration) -> Result<(), DeployError> {
        let end = Instant::now() + deadline;
        loop {
            match self.get(id).await? {
                Some(object) if object["metadata"]["uid"] == uid => {}
                _ => return Ok(()),
            }
            if Instant::now() >= end {
                return Err(DeployError::Late { what: id.clone(), after: deadline });
            }
            sleep(PAUSE).await;
        }
    }

    /// The objects of a kind with these labels. A kind that the cluster does not know has none.
    pub async fn list(&self, kind: &Id, labels: &str) -> Result<Vec<Value>, DeployError> {
        let mut parameters = ListParams::default().labels(labels).limit(PAGE);
        let mut objects = Vec::new();
        loop {
            let page = match self.answer(|| self.path(kind).list(&parameters)).await {
                Err(DeployError::Missing { .. }) => return Ok(objects),
                page => page?,
            };
            objects.extend(items(kind, &page));
            match page["metadata"]["continue"].as_str().filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(token),
                None => return Ok(objects),
            }
        }
    }

    /// The last lines of a container that has ended; none where there are none.
    pub async fn last_lines(&self, pod: &str, container: &str, previous: bool) -> Vec<String> {
        let id = Id { group: String::new(), version: "v1".into(), kind: "Pod".into(), name: pod.to_owned() };
        let parameters = LogParams {
            container: Some(container.to_owned()),
            previous,
            tail_lines: Some(LAST_LINES),
            limit_bytes: Some(LOG_LIMIT),
            ..LogParams::default()
        };
        let Ok(request) = self.path(&id).logs(pod, &parameters) else { return Vec::new() };
        let text = timeout(PATIENCE, self.client.request_text(request)).await;
        text.ok().and_then(Result::ok).map(|text| text.lines().map(str::to_owned).collect()).unwrap_or_default()
    }

    /// Where objects of a kind are.
    fn path(&self, id: &Id) -> Request {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(&id.group, &id.version, &id.kind));
        let root = if id.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", id.group) };
        let within = match id.kind.as_str() {
            "Namespace" => String::new(),
            _ => format!("namespaces/{}/", self.namespace),
        };
        Request::new(format!("{root}/{}/{within}{}", id.version, resource.plural))
    }

    /// Asks, again and again for a while when nobody answers: everything that is asked can be asked twice.
    async fn answer<F>(&self, request: F) -> Result<Value, DeployError>
    where
        F: Fn() -> Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    {
        let end = Instant::now() + RETRIES;
        let mut pause = PAUSE;
        loop {
            let request = request().map_err(|error| DeployError::Refused { message: error.to_string() })?;
            let answer = match timeout(PATIENCE, self.client.request::<Value>(request)).await {
                Ok(answer) => answer.map_err(DeployError::from),
                Err(_) => Err(DeployError::Unreachable { message: format!("no answer in {} s", PATIENCE.as_secs()) }),
            };
            match answer {
                Err(error) if error.may_pass() && Instant::now() + pause < end => {
                    sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
                answer => return answer,
            }
        }
    }
}

/// The objects of a list, each with the kind that a list leaves out.
fn items(kind: &Id, list: &Value) -> Vec<Value> {
    let objects = list["items"].as_array().into_iter().flatten().cloned();
    objects
        .map(|mut object| {
            object["apiVersion"] = kind.api_version().into();
            object["kind"] = kind.kind.clone().into();
            object
        })
        .collect()
}
