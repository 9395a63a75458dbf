//! What the engine refuses, in the words that a client shows to a person, with the kind that becomes an HTTP status.

/// Why something was not done. The text is whole: it names what it is about, and what to do where there is something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// 404: it does not exist (`No such container: web`).
    #[error("{0}")]
    NotFound(String),
    /// 409: the state of things forbids it (`container … is not running`).
    #[error("{0}")]
    Conflict(String),
    /// 400: the request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// 403: it may not be done (a predefined network removed, say).
    #[error("{0}")]
    Forbidden(String),
    /// 304: it is so already.
    #[error("already so")]
    NotModified,
    /// 501: this engine does not do that.
    #[error("{0}")]
    Unsupported(String),
    /// 500: the machine or a registry did not go along.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// For `map_err` on what the machine refuses: says what was tried.
    pub fn io(tried: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::Failed(format!("cannot {}: {error}", tried.into()))
    }
}
