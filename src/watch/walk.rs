//! Walks folders minus what the rules leave out. Symbolic links are files here: what they lead to belongs to others.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use crate::change::rules::Rules;

/// What a walk comes by.
#[derive(Debug)]
pub(super) enum Visit<'walk> {
    /// A folder, before it is read. The answer says whether to go in.
    Folder(&'walk Path),
    /// Anything else that concerns a rule. The answer does not matter.
    File(PathBuf, &'walk Metadata),
}

/// The files below some folders that concern a rule; a root may be a file itself. What cannot be read is left out.
#[must_use]
pub fn files_below(rules: &Rules, roots: &BTreeSet<&Path>) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for root in roots {
        let mut visit = |visit: Visit<'_>| {
            if let Visit::File(path, _) = visit {
                files.insert(path);
            }
            true
        };
        match fs::metadata(root) {
            Ok(metadata) if metadata.is_dir() => walk(rules, root, &mut visit),
            Ok(_) if rules.concerns(root) => {
                files.insert((*root).to_owned());
            }
            Ok(_) | Err(_) => {}
        }
    }
    files
}

/// Visits a folder and everything below it that the rules keep.
pub(super) fn walk(rules: &Rules, root: &Path, visit: &mut dyn FnMut(Visit<'_>) -> bool) {
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        if !visit(Visit::Folder(&folder)) {
            continue;
        }
        // A folder that vanished meanwhile or is not ours to read has nothing to tell.
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                if !rules.prunes(&path) {
                    folders.push(path);
                }
            } else if rules.concerns(&path)
                && let Ok(metadata) = entry.metadata()
            {
                visit(Visit::File(path, &metadata));
            }
        }
    }
}
