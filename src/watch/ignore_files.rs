//! Reads the ignore files of builds, and of git for services without an image.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use crate::change::ignore::git;
use crate::change::rules::{IgnoreFile, ignore_file_candidates};
use crate::project::Project;

/// More than this is no ignore file.
const LARGEST: u64 = 4 << 20;

/// The ignore file of each service that builds and has one: the one named after its Dockerfile, else the context's. What
/// cannot be read counts as absent.
#[must_use]
pub fn read_ignore_files(project: &Project) -> BTreeMap<String, IgnoreFile> {
    let found = project.services.values().filter_map(|service| {
        if service.is_on_machine() {
            return Some((service.name.clone(), of_git(Path::new(service.working_dir.as_deref()?))));
        }
        let candidates = ignore_file_candidates(service.build.as_ref()?);
        let file = candidates.into_iter().find_map(|path| {
            let text = read(&path)?;
            Some(IgnoreFile { path, text })
        })?;
        Some((service.name.clone(), file))
    });
    found.collect()
}

/// What the ignore files of git say about a folder: its own, and those above it up to the top of the repository.
fn of_git(folder: &Path) -> IgnoreFile {
    let top = folder.ancestors().find(|above| above.join(".git").exists()).unwrap_or(folder);
    let mut above: Vec<&Path> = folder.ancestors().take_while(|above| above.starts_with(top)).collect();
    // The nearest has the last word.
    above.reverse();
    let patterns = above.into_iter().flat_map(|above| {
        let text = read(&above.join(git::FILE)).unwrap_or_default();
        git::patterns(&text, folder.strip_prefix(above).unwrap_or(Path::new("")))
    });
    IgnoreFile { path: folder.join(git::FILE), text: patterns.collect::<Vec<_>>().join("\n") }
}

fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(LARGEST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
