//! What a client that stays connected brings to a build when it is asked.

use std::fmt;
use std::path::PathBuf;

use bollard_stubs::models::AuthConfig;
use futures_util::future::BoxFuture;
use tokio::net::UnixStream;

use super::context::Context;
use super::progress::Listener;
use crate::embedded::error::Error;

/// Files that are wanted of a client.
#[derive(Debug)]
pub struct Wanted {
    /// The name under which the client offers the folder.
    pub folder: String,
    /// Only these, with what lies below them and where their links lead; all when empty. Patterns, relative.
    pub paths: Vec<String>,
    /// What is left out: lines of a `.dockerignore`.
    pub without: Vec<String>,
    /// Where their contents are kept; it is made.
    pub spool: PathBuf,
    /// Who is told of the bytes that have come, as which part of which step.
    pub told: Option<(Listener, String, String)>,
}

/// The client of a build. All of its methods may be called at the same time; dropped, what they began ends.
pub trait Client: fmt::Debug + Send + Sync {
    /// Some of its files.
    fn files(&self, wanted: Wanted) -> BoxFuture<'_, Result<Context, Error>>;

    /// A secret; `None` when it has none of this id.
    fn secret(&self, id: &str) -> BoxFuture<'_, Result<Option<Vec<u8>>, Error>>;

    /// Whether it has an SSH agent of this id.
    fn has_agent(&self, id: &str) -> BoxFuture<'_, Result<bool, Error>>;

    /// Carries a connection to that agent until either side ends it.
    fn agent(&self, id: &str, connection: UnixStream) -> BoxFuture<'static, ()>;

    /// Who one is at a registry; `None` when it does not say.
    fn credentials(&self, registry: &str) -> BoxFuture<'_, Option<AuthConfig>>;
}
