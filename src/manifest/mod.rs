//! YAML text, variables and a base folder → a [`Project`], or every problem found with its place, in small passes.
//!
//! Reads no file and no variable itself: it is given a [`Loader`] and the environment in its [`Request`]. What is
//! written (`raw`) and what is meant ([`crate::project`]) are different types.

pub mod problem;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::project::Project;
use problem::{Problem, Sources};

/// What is to be loaded, as the command line and the environment say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The files of `-f`, in order; empty looks for them as Compose does. `-` is standard input.
    pub files: Vec<PathBuf>,
    /// The folder of `--project-directory`.
    pub project_directory: Option<PathBuf>,
    /// The name of `-p`.
    pub project_name: Option<String>,
    /// The profiles of `--profile`; empty takes those of `COMPOSE_PROFILES`, `*` is all.
    pub profiles: Vec<String>,
    /// The files of `--env-file`, in order; empty takes the default `.env`.
    pub env_files: Vec<PathBuf>,
    /// The folder that the command runs in, absolute.
    pub current_directory: PathBuf,
    /// The variables of the process.
    pub environment: BTreeMap<String, String>,
    /// The services named on the command line: their profiles are switched on.
    pub services: Vec<String>,
    /// Replace variables; `config --no-interpolate` does not.
    pub interpolate: bool,
}

/// A project that was loaded.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The resolved project, with all services that the profiles leave in (named or not).
    pub project: Project,
    /// The canonical model, as `config --format json` prints it.
    pub model: serde_json::Value,
    /// What is doubtful about the manifest.
    pub warnings: Vec<Problem>,
    /// The files that were read, for showing the warnings.
    pub sources: Sources,
    /// The variables that the manifest was read with: the process's over those of the `.env` files.
    pub environment: BTreeMap<String, String>,
}

/// Why nothing could be loaded: at least one error, and the warnings found on the way.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Everything found.
    pub problems: Vec<Problem>,
    /// The files that were read, for showing the problems.
    pub sources: Sources,
}

/// The file system as the manifest needs it; the edge implements it. Paths are absolute, or `-` for standard input.
pub trait Loader {
    /// The text of a file of [`MAX_FILE_SIZE`] bytes at most.
    fn read(&self, path: &Path) -> Result<String, ReadError>;
    /// Whether there is a file (or pipe, or device) at the path.
    fn is_file(&self, path: &Path) -> bool;
    /// Whether there is a folder at the path.
    fn is_directory(&self, path: &Path) -> bool;
    /// The path without symbolic links, as far as it exists.
    fn real_path(&self, path: &Path) -> PathBuf;
}

/// The largest file that is read, in bytes.
pub const MAX_FILE_SIZE: u64 = 16 * 1024 * 1024;

/// Why a file could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is none.
    #[error("no such file")]
    Missing,
    /// It is a folder.
    #[error("it is a folder")]
    Directory,
    /// It is larger than [`MAX_FILE_SIZE`].
    #[error("it is larger than {} MiB", MAX_FILE_SIZE / 1024 / 1024)]
    TooLarge,
    /// It is not UTF-8.
    #[error("it is not UTF-8 text")]
    NotText,
    /// The system's words.
    #[error("{0}")]
    System(String),
}

/// Loads what is asked for.
///
/// # Errors
/// Every problem found, when there is an error among them.
pub fn load(request: &Request, loader: &dyn Loader) -> Result<Loaded, Failure> {
    let _ = (request, loader);
    Err(Failure { problems: vec![Problem::error("manifests cannot be loaded yet")], sources: Sources::default() })
}
