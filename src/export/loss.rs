//! What an export could not carry over, and what somebody has to supply, as data.

use serde::Serialize;

/// Something of the manifest that the objects do not say as it was said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Loss {
    /// The place in the manifest: `services.web.user`.
    pub key: String,
    /// What became of it.
    pub fate: Fate,
    /// Why, and what can be done, in words for people.
    pub reason: String,
}

/// What became of a key of the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// The objects say nearly the same.
    Approximated,
    /// The objects say nothing of it.
    Dropped,
}

impl Fate {
    /// The word for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approximated => "approximated",
            Self::Dropped => "dropped",
        }
    }
}

/// A value that stands as a placeholder in a Secret, or an object that somebody else has to make.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Supply {
    /// The kind of object: `Secret`, `ConfigMap`, `PersistentVolumeClaim`.
    pub kind: super::Kind,
    /// Its name.
    pub object: String,
    /// The key inside it; `None` when the whole object is to be made.
    pub key: Option<String>,
}
