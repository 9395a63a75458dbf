//! Where journals are: a folder a project in the user's state folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::kept;
use crate::project::Project;

/// After so long nobody asks for what a run has left.
const MONTH: Duration = Duration::from_hours(31 * 24);

/// The folder of a project's journals; `None` when the user has none for the state of programs.
#[must_use]
pub fn folder(project: &Project) -> Option<PathBuf> {
    kept::of_project("journals", &project.name, &project.directory)
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

/// Removes the folders beside one in which nothing has been written for a month: those of projects that are no more.
pub(super) fn remove_forgotten(folder: &Path) {
    let beside = folder.parent().and_then(|above| fs::read_dir(above).ok()).into_iter().flatten().flatten();
    for other in beside.map(|entry| entry.path()).filter(|path| path != folder) {
        let entries = fs::read_dir(&other).into_iter().flatten().flatten();
        let written = entries.filter_map(|entry| entry.metadata().ok()?.modified().ok()).max();
        if written.is_some_and(|time| time.elapsed().is_ok_and(|age| age > MONTH)) {
            // Another run may do the same just now.
            let _ = fs::remove_dir_all(&other);
        }
    }
}
