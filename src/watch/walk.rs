//! Walks folders minus what the rules leave out. Symbolic links are files here: what they lead to belongs to others.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::change::rules::Rules;

/// What a walk comes by.
#[derive(Debug)]
pub(super) enum Visit<'walk> {
    /// A folder, before it is read. The answer says whether to go in.
    Folder(&'walk Path),
    /// Anything else that concerns a rule. The answer does not matter.
    File(PathBuf, &'walk Metadata),
    /// A path of which nobody can say what is there. The answer does not matter.
    Unreadable(&'walk Path),
}

/// Whether an error says that nothing is there. Any other says nothing of that: a server may be out of reach for a while.
pub(super) fn is_gone(error: &io::Error) -> bool {
    let gone = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| gone.contains(&code))
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
        if let Err(error) = walk_folder(rules, &folder, &mut folders, visit)
            && !is_gone(&error)
        {
            visit(Visit::Unreadable(&folder));
        }
    }
}

/// Visits the files of a folder and notes the folders in it. That one of them has gone meanwhile is no error.
fn walk_folder(
    rules: &Rules,
    folder: &Path,
    folders: &mut Vec<PathBuf>,
    visit: &mut dyn FnMut(Visit<'_>) -> bool,
) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let looked = entry.file_type().and_then(|kind| {
            if kind.is_dir() {
                if !rules.prunes(&path) {
                    folders.push(path.clone());
                }
            } else if rules.concerns(&path) {
                let metadata = entry.metadata()?;
                visit(Visit::File(path.clone(), &metadata));
            }
            Ok(())
        });
        if let Err(error) = looked
            && !is_gone(&error)
        {
            visit(Visit::Unreadable(&path));
        }
    }
    Ok(())
}
