//! What a cluster could not do, in words.

use std::time::Duration;

use kube::core::Status;

use crate::release::item::Id;

/// A field that somebody else has set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The field: `.spec.replicas`.
    pub field: String,
    /// Who: `kubectl`.
    pub by: String,
}

/// Why a cluster did not do what it was asked for. `Display` is what the person reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeployError {
    /// The kubeconfig does not say how to reach the cluster.
    #[error("{message}")]
    Configuration {
        /// What is wrong with it.
        message: String,
    },
    /// The cluster does not answer.
    #[error("the cluster does not answer: {message}")]
    Unreachable {
        /// What was tried, and what came of it.
        message: String,
    },
    /// Others have set fields that hoist would set.
    #[error("others have set {}", .fields.iter().map(|claimed| format!("`{}` ({})", claimed.field, claimed.by)).collect::<Vec<_>>().join(", "))]
    Claimed {
        /// Which, and who.
        fields: Vec<Claimed>,
    },
    /// A field that cannot be changed is another now.
    #[error("{message}")]
    Immutable {
        /// The cluster's words.
        message: String,
    },
    /// The cluster does not have it.
    #[error("{message}")]
    Missing {
        /// The cluster's words.
        message: String,
    },
    /// Whoever is meant may not do that.
    #[error("{message}")]
    Forbidden {
        /// The cluster's words.
        message: String,
    },
    /// The cluster refused.
    #[error("{message}")]
    Refused {
        /// Its words.
        message: String,
    },
    /// It is gone for good, and has to be listed afresh.
    #[error("the list is too old")]
    Expired,
    /// It took too long.
    #[error("{} still there after {} s", .what, .after.as_secs())]
    Late {
        /// What was waited for.
        what: Id,
        /// How long.
        after: Duration,
    },
}

impl DeployError {
    /// Whether the same may succeed a moment later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

impl From<kube::Error> for DeployError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => from_status(&status),
            kube::Error::Auth(error) => Self::Configuration { message: innermost(&error) },
            kube::Error::InferKubeconfig(error) => Self::Configuration { message: chain(&error) },
            kube::Error::RustlsTls(error) => Self::Configuration { message: chain(&error) },
            kube::Error::ProxyProtocolDisabled { proxy_url, .. }
            | kube::Error::ProxyProtocolUnsupported { proxy_url } => {
                Self::Configuration { message: format!("the proxy `{proxy_url}` is of a kind that hoist cannot use") }
            }
            kube::Error::SerdeError(error) => {
                Self::Refused { message: format!("the cluster's answer cannot be read: {error}") }
            }
            other => Self::Unreachable { message: innermost(&other) },
        }
    }
}

fn from_status(status: &Status) -> DeployError {
    let message = status.message.clone();
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    let claimed = causes.iter().filter(|cause| cause.reason == "FieldManagerConflict").map(|cause| Claimed {
        field: cause.field.clone(),
        by: cause.message.split('"').nth(1).unwrap_or("somebody").to_owned(),
    });
    let fields: Vec<Claimed> = claimed.collect();
    match status.code {
        409 if !fields.is_empty() => DeployError::Claimed { fields },
        422 if message.contains("immutable") || message.contains("are forbidden") => DeployError::Immutable { message },
        404 => DeployError::Missing { message },
        401 => DeployError::Forbidden { message: format!("the cluster does not know who this is: {message}") },
        403 => DeployError::Forbidden { message },
        410 => DeployError::Expired,
        0 | 500..=599 => DeployError::Unreachable { message },
        _ => DeployError::Refused { message },
    }
}

/// The causes of an error, outermost first, each said once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut error = error;
    while let Some(source) = error.source() {
        let words = source.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        error = source;
    }
    text
}

/// The cause at the end of a chain is the only link that says something.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
