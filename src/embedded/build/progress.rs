//! What a build does, step by step, for a client that draws it itself.

use std::fmt;
use std::sync::Arc;

use crate::embedded::process::Source;

/// Something that has happened in a step of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Which step: the same text is the same step.
    pub step: String,
    /// What of it.
    pub what: Happening,
}

/// What happens in a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// It begins, and is called so.
    Began(String),
    /// What it would make is here already.
    Cached,
    /// It has written something.
    Output(Source, String),
    /// A part of it: so many bytes so far, of so many in all.
    Part {
        /// What the part is called; the same name is the same part.
        name: String,
        /// So far.
        current: u64,
        /// In all, where that is known.
        total: Option<u64>,
        /// Whether that was all.
        done: bool,
    },
    /// Something that a person should know and that ends nothing.
    Warned(String),
    /// It has ended; the text says why, when it has failed.
    Ended(Option<String>),
}

/// Who listens. Called from a build's tasks, which do not wait for it.
#[derive(Clone)]
pub struct Listener(Arc<dyn Fn(Progress) + Send + Sync>);

impl Listener {
    /// One that does this with each piece of news.
    pub fn new(listen: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listen))
    }

    /// Tells it.
    pub fn tell(&self, step: &str, what: Happening) {
        (self.0)(Progress { step: step.to_owned(), what });
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Listener")
    }
}
