//! Where journals are: a folder a project in the user's state folder.

use std::fs;
use std::path::{Path, PathBuf};

use crate::kept;
use crate::project::Project;

/// How much of a hash tells the folders of a name apart.
const DIGITS: usize = 8;

/// The folder of a project's journals; `None` when the user has none for the state of programs.
#[must_use]
pub fn folder(project: &Project) -> Option<PathBuf> {
    let hash = blake3::hash(project.directory.as_os_str().as_encoded_bytes()).to_hex();
    let state = kept::folder("XDG_STATE_HOME", ".local/state")?;
    Some(state.join("hoist/journals").join(format!("{}-{}", project.name, &hash[..DIGITS])))
}

/// The journals in a folder, the oldest first.
pub(super) fn journals(folder: &Path) -> Vec<PathBuf> {
    let is_journal = |path: &PathBuf| {
        let begins = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"journal-"));
        begins && path.extension().is_some_and(|extension| extension == "jsonl")
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_journal).collect();
    // Their names begin with their times.
    paths.sort();
    paths
}

/// The newest journal of a project.
#[must_use]
pub fn latest(project: &Project) -> Option<PathBuf> {
    journals(&folder(project)?).pop()
}
