//! The one error that ends a command, with its exit code and its hint.

use std::io;

use crate::engine::EngineError;

/// Why a command did not do what it was asked for. `Display` is what the person reads after `error: `.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The command line asks for something that makes no sense.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What would be right.
        hint: Option<String>,
    },
    /// A service was named that the project does not have.
    #[error("there is no service `{name}`")]
    UnknownService {
        /// The name given.
        name: String,
        /// The names that would have been right.
        known: Vec<String>,
    },
    /// The manifest has problems.
    #[error("{report}")]
    Manifest {
        /// All of them, drawn, one after the other.
        report: String,
    },
    /// The engine did not do what it was told to.
    #[error("cannot {action}: {source}")]
    Engine {
        /// What: `list containers`.
        action: String,
        /// Why not.
        source: EngineError,
    },
    /// The operating system did not do what it was told to.
    #[error("cannot {action}: {source}")]
    Io {
        /// What: `read standard input`.
        action: String,
        /// Why not.
        source: io::Error,
    },
    /// The reader of standard output went away, which ends the command without a word.
    #[error("standard output was closed")]
    Closed,
    /// The run came to nothing.
    #[error("{message}")]
    Failed {
        /// Why.
        message: String,
        /// What to do next.
        hint: Option<String>,
    },
}

impl Error {
    /// A mistake on the command line.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: None }
    }

    /// A failure with nothing more to say about it.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), hint: None }
    }

    /// All that a person is told, in lines.
    pub(super) fn report(&self) -> String {
        match (self, self.hint()) {
            (Self::Manifest { report }, _) => report.clone(),
            (_, None) => format!("error: {self}\n"),
            (_, Some(hint)) => format!("error: {self}\nhint: {hint}\n"),
        }
    }

    /// Wraps an engine's refusal; `action` completes "cannot …".
    pub(super) fn engine(action: impl Into<String>) -> impl FnOnce(EngineError) -> Self {
        let action = action.into();
        move |source| Self::Engine { action, source }
    }

    /// Wraps the system's refusal; `action` completes "cannot …".
    pub(super) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }

    /// What the process exits with: 2 for a bad command line or manifest, 1 for everything else.
    #[must_use]
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } | Self::UnknownService { .. } | Self::Manifest { .. } => 2,
            Self::Engine { .. } | Self::Io { .. } | Self::Failed { .. } => 1,
            Self::Closed => 0,
        }
    }

    /// The next step, for people.
    #[must_use]
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Usage { hint, .. } | Self::Failed { hint, .. } => hint.clone(),
            Self::UnknownService { name, known } => Some(match nearest(name, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => "the project has no services".into(),
                None => format!("the services are {}", listed(known)),
            }),
            Self::Engine { source: EngineError::Unreachable { .. }, .. } => {
                Some("start Docker, Podman or Colima, or name the engine's address with `--engine`".into())
            }
            Self::Manifest { .. } | Self::Engine { .. } | Self::Io { .. } | Self::Closed => None,
        }
    }
}

/// The candidate most like a misspelt word, when one is like it.
#[must_use]
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a String>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            let lower = candidate.to_lowercase();
            let edits = strsim::damerau_levenshtein(&word, &lower);
            (edits, strsim::jaro_winkler(&word, &lower), candidate.as_str())
        })
        .filter(|(edits, likeness, _)| *edits <= allowed || *likeness >= 0.88)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(_, _, candidate)| candidate)
}

/// Names for a sentence: `a`, `b` and 3 more.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let quoted: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => quoted.join(", "),
        Some(more) => format!("{} and {more} more", quoted.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, nearest};

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_misspelt_service_gets_the_nearest_name() {
        let error = Error::UnknownService { name: "gatway".into(), known: names(&["gateway", "users"]) };
        assert_eq!(error.to_string(), "there is no service `gatway`");
        assert_eq!(error.hint().as_deref(), Some("did you mean `gateway`?"));
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn a_name_like_no_other_gets_the_list() {
        let error = Error::UnknownService { name: "xyz".into(), known: names(&["gateway", "users"]) };
        assert_eq!(error.hint().as_deref(), Some("the services are `gateway`, `users`"));
    }

    #[test]
    fn nothing_is_near_to_a_word_that_is_like_none() {
        assert_eq!(nearest("postgres", &names(&["a", "b"])), None);
        assert_eq!(nearest("wbe", &names(&["db", "web"])), Some("web"));
    }
}
