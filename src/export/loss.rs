//! What an export could not carry over, what somebody has to supply and what is missing in the manifest, as data.

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// The objects say the same.
    Carried,
    /// The objects say nearly the same.
    Approximated,
    /// The objects say nothing of it.
    Dropped,
    /// It is of use on this machine alone, and nothing is lost.
    Local,
}

impl Fate {
    /// Whether something of the manifest is not in the objects as it was said.
    #[must_use]
    pub fn is_loss(self) -> bool {
        matches!(self, Self::Approximated | Self::Dropped)
    }

    /// The word for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Carried => "carried",
            Self::Approximated => "approximated",
            Self::Dropped => "dropped",
            Self::Local => "local",
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

/// Why a manifest cannot be exported as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Refusal {
    /// The place in the manifest.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to write.
    pub hint: String,
}
