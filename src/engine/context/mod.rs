//! A build's context: the files that are sent to an engine, as a tar and as a digest.
//!
//! What `.dockerignore` leaves out is never opened. Files are read in pieces, never whole. Nothing here talks to an
//! engine.

mod additional;
mod pack;
mod sink;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::EngineError;
use crate::change::ignore::Patterns;
use crate::content::Hashes;
use crate::plan::spec::BuildSpec;
use crate::project::BuildContext;

use additional::Additional;
pub(super) use pack::PackError;
pub(super) use sink::{Pipe, Spool};

/// The name in the tar of a Dockerfile that is not a file of the context.
const ADDED_DOCKERFILE: &str = ".hoist.Dockerfile";
/// No Dockerfile or ignore file comes near this many bytes.
const LARGEST_TEXT: u64 = 4 * 1024 * 1024;

/// A build's context, found and checked but not read.
#[derive(Debug)]
pub(super) struct Context {
    /// The folder; `None` when the engine fetches the context itself.
    root: Option<PathBuf>,
    patterns: Patterns,
    /// The Dockerfile's path in the context, as the engine is told.
    dockerfile: String,
    /// Its text, where it is not a file of the context.
    added: Option<Vec<u8>>,
    /// Further contexts that it speaks of.
    additional: Additional,
    /// What else decides about the result: arguments, target, platform.
    settings: Vec<(String, String)>,
    /// Files that are sent and do not count in the digest.
    aside: BTreeSet<PathBuf>,
}

/// BLAKE3, in hexadecimal, of everything that a build's result depends on: paths, modes, contents and link targets of
/// the files that would be sent but those put aside, the Dockerfile, arguments and target. Never times or absolute paths.
/// Files whose hashes are known are not read.
pub async fn inputs_digest(spec: &BuildSpec, hashes: &Hashes) -> Result<String, EngineError> {
    let (spec, hashes) = (spec.clone(), hashes.clone());
    let cancel = CancellationToken::new();
    // A caller that goes away takes the reading with it.
    let _guard = cancel.clone().drop_guard();
    let digest = move || Context::find(&spec)?.digest(&hashes, &cancel).map_err(EngineError::from);
    tokio::task::spawn_blocking(digest).await.unwrap_or(Err(EngineError::Cancelled))
}

impl Context {
    /// Finds the folder, the Dockerfile and the ignore file. Blocks.
    pub(super) fn find(spec: &BuildSpec) -> Result<Self, EngineError> {
        let build = &spec.build;
        let mut settings: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in &build.args {
            settings.extend(value.clone().map(|value| (format!("arg {name}"), value)));
        }
        settings.extend(build.target.clone().map(|target| ("target".to_owned(), target)));
        let additional = Additional::find(&build.additional_contexts)?;
        for (name, value) in &build.labels {
            settings.insert(format!("label {name}"), value.clone());
        }
        settings.extend(build.tags.iter().map(|tag| (format!("tag {tag}"), String::new())));
        settings.extend(build.network.clone().map(|network| ("network".to_owned(), network)));
        settings.extend(spec.platform.clone().map(|platform| ("platform".to_owned(), platform)));
        let root = match &build.context {
            BuildContext::Local(root) => root,
            BuildContext::Remote(_) if !additional.is_empty() => {
                let message = "`build.additional_contexts` needs a context that is a folder of this machine";
                return Err(EngineError::Refused { message: message.to_owned() });
            }
            BuildContext::Remote(url) => {
                settings.insert("remote".to_owned(), url.clone());
                return Ok(Self {
                    root: None,
                    patterns: Patterns::default(),
                    dockerfile: build.dockerfile.clone(),
                    added: None,
                    additional,
                    settings: settings.into_iter().collect(),
                    aside: BTreeSet::new(),
                });
            }
        };
        if !root.is_dir() {
            return Err(EngineError::MissingPath { path: root.clone() });
        }
        let (dockerfile, added) = match &build.dockerfile_inline {
            Some(text) => (ADDED_DOCKERFILE.to_owned(), Some(text.clone().into_bytes())),
            None => find_dockerfile(root, &build.dockerfile)?,
        };
        let beside = clean(&root.join(format!("{}.dockerignore", build.dockerfile)));
        let patterns = patterns(&[beside, root.join(".dockerignore")])?;
        let settings = settings.into_iter().collect();
        let aside = spec.aside.iter().map(|file| clean(file)).collect();
        let root = Some(clean(root));
        let mut context = Self { root, patterns, dockerfile, added, additional, settings, aside };
        if !context.additional.is_empty()
            && let Some(text) = context.dockerfile_text()
        {
            context.added = Some(context.additional.join(&text).into_bytes());
            ADDED_DOCKERFILE.clone_into(&mut context.dockerfile);
        }
        Ok(context)
    }

    /// The Dockerfile's path in the context.
    pub(super) fn dockerfile(&self) -> &str {
        &self.dockerfile
    }

    /// The Dockerfile's text, where this machine has it. Blocks.
    pub(super) fn dockerfile_text(&self) -> Option<String> {
        let bytes = match (&self.added, &self.root) {
            (Some(text), _) => text.clone(),
            (None, Some(root)) => read_text(&root.join(&self.dockerfile)).ok()?,
            (None, None) => return None,
        };
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Writes the tar and returns the digest of what is in it. Blocks; ends early when `cancel` is.
    pub(super) fn pack(
        &self,
        output: impl io::Write,
        hashes: &Hashes,
        cancel: &CancellationToken,
    ) -> Result<String, PackError> {
        self.go_through(Some(output), hashes, cancel)
    }

    /// The digest that [`Context::pack`] would return. Blocks; ends early when `cancel` is.
    pub(super) fn digest(&self, hashes: &Hashes, cancel: &CancellationToken) -> Result<String, PackError> {
        self.go_through(None::<io::Sink>, hashes, cancel)
    }

    fn go_through(
        &self,
        output: Option<impl io::Write>,
        hashes: &Hashes,
        cancel: &CancellationToken,
    ) -> Result<String, PackError> {
        let mut hash = blake3::Hasher::new();
        hash.update(format!("dockerfile {}\n", self.dockerfile).as_bytes());
        for (key, value) in &self.settings {
            hash.update(format!("{} {key}={} {value}\n", key.len(), value.len()).as_bytes());
        }
        let mut packer = pack::Packer::new(output, hash, hashes, &self.patterns, &self.aside, cancel);
        if let Some(root) = &self.root {
            packer.folder(root)?;
            if self.added.is_none() && self.patterns.excludes(&self.dockerfile) {
                packer.file(&root.join(&self.dockerfile), &self.dockerfile)?;
            }
        }
        for folder in &self.additional.folders {
            packer.folder_at(&folder.root, &folder.place, &folder.patterns)?;
        }
        if let Some(text) = &self.added {
            packer.bytes(ADDED_DOCKERFILE, text)?;
        }
        Ok(packer.finish()?.to_hex().to_string())
    }
}

/// The Dockerfile's path inside the context, or, of one outside, the name that it gets there and its text.
fn find_dockerfile(root: &Path, written: &str) -> Result<(String, Option<Vec<u8>>), EngineError> {
    let mut path = clean(&root.join(written));
    if written == "Dockerfile" && !path.exists() && root.join("dockerfile").is_file() {
        path = root.join("dockerfile");
    }
    if !path.is_file() {
        return Err(EngineError::MissingPath { path });
    }
    if let Some(inside) = path.strip_prefix(clean(root)).ok().and_then(Path::to_str) {
        return Ok((inside.replace('\\', "/"), None));
    }
    let text = read_text(&path).map_err(|error| unreadable(&path, &error))?;
    Ok((ADDED_DOCKERFILE.to_owned(), Some(text)))
}

/// The patterns of the first of these files that is there.
fn patterns(files: &[PathBuf]) -> Result<Patterns, EngineError> {
    let Some(file) = files.iter().find(|file| file.is_file()) else { return Ok(Patterns::default()) };
    let text = read_text(file).map_err(|error| unreadable(file, &error))?;
    Patterns::parse(&String::from_utf8_lossy(&text))
        .map_err(|error| EngineError::Refused { message: format!("`{}`: {error}", file.display()) })
}

fn read_text(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > LARGEST_TEXT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "is larger than 4 MiB"));
    }
    fs::read(path)
}

fn unreadable(path: &Path, error: &io::Error) -> EngineError {
    EngineError::Refused { message: format!("`{}` cannot be read: {error}", path.display()) }
}

/// The path without `.` and `..`, going by its words alone.
fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                cleaned.pop();
            }
            other => cleaned.push(other),
        }
    }
    cleaned
}

#[cfg(test)]
mod tests;
