//! The file system and the process's environment for the manifest: the one place where `manifest` meets the disk.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::lint::{self, Subject};
use crate::manifest::problem::{Problem, Sources};
use crate::manifest::{self, Draft, Failure, Loaded, Loader, MAX_FILE_SIZE, ReadError, Request, Use};

/// Loads a project from the disk.
///
/// # Errors
/// Every problem found, when there is an error among them.
pub fn load(request: &Request) -> Result<Loaded, Failure> {
    manifest::load(request, &FileSystem::default())
}

/// Loads a project, and says which files were looked for, whether they are there or not.
pub(super) fn load_watched(request: &Request) -> (Result<Loaded, Failure>, BTreeSet<PathBuf>) {
    let disk = FileSystem::default();
    let loaded = manifest::load(request, &disk);
    (loaded, disk.asked.into_inner())
}

/// Everything found about a manifest.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The errors, and the warnings that are not allowed.
    pub problems: Vec<Problem>,
    /// The files that were read, for showing the problems.
    pub sources: Sources,
}

/// Loads a project from the disk and judges it by all rules. Errors do not keep the rules from what is right.
#[must_use]
pub fn check(request: &Request) -> Checked {
    let disk = FileSystem::default();
    let (problems, sources, draft) = match manifest::load(request, &disk) {
        Ok(Loaded { project, written, environment, warnings, sources, .. }) => {
            (warnings, sources, Some(Draft { project, written, environment }))
        }
        Err(failure) => (failure.problems, failure.sources, failure.draft.map(|draft| *draft)),
    };
    let problems = match &draft {
        Some(Draft { project, written, environment }) => {
            let subject = Subject { project, written, sources: &sources, environment, loader: &disk };
            lint::check(&subject, problems)
        }
        None => problems,
    };
    Checked { problems, sources }
}

/// The variables that a project's manifest names.
///
/// # Errors
/// Every problem found, when the manifest cannot be read.
pub fn variables(request: &Request) -> Result<BTreeMap<String, Use>, Failure> {
    manifest::variables(request, &FileSystem::default())
}

/// How many names of a folder are looked at.
const MAX_NAMES: usize = 10_000;

/// The disk.
#[derive(Debug, Default)]
struct FileSystem {
    /// The files that were read, or would have been if they were there.
    asked: RefCell<BTreeSet<PathBuf>>,
}

impl Loader for FileSystem {
    fn read(&self, path: &Path) -> Result<String, ReadError> {
        self.asked.borrow_mut().insert(path.to_owned());
        let reader: Box<dyn io::Read> = if path == Path::new("-") {
            Box::new(io::stdin())
        } else {
            if path.is_dir() {
                return Err(ReadError::Directory);
            }
            Box::new(fs::File::open(path).map_err(|error| read_error(&error))?)
        };
        let mut bytes = Vec::new();
        reader.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes).map_err(|error| read_error(&error))?;
        if bytes.len() as u64 > MAX_FILE_SIZE {
            return Err(ReadError::TooLarge);
        }
        String::from_utf8(bytes).map_err(|_| ReadError::NotText)
    }

    fn is_file(&self, path: &Path) -> bool {
        self.asked.borrow_mut().insert(path.to_owned());
        fs::metadata(path).is_ok_and(|metadata| !metadata.is_dir())
    }

    fn is_directory(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn names(&self, folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_NAMES);
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn real_path(&self, path: &Path) -> PathBuf {
        let mut missing = Vec::new();
        let mut present = path;
        loop {
            if let Ok(real) = fs::canonicalize(present) {
                return missing.iter().rev().fold(real, |path, name| path.join(name));
            }
            match (present.parent(), present.file_name()) {
                (Some(parent), Some(name)) => {
                    missing.push(name);
                    present = parent;
                }
                _ => return path.to_path_buf(),
            }
        }
    }
}

fn read_error(error: &io::Error) -> ReadError {
    match error.kind() {
        io::ErrorKind::NotFound => ReadError::Missing,
        io::ErrorKind::IsADirectory => ReadError::Directory,
        _ => ReadError::System(error.to_string()),
    }
}
