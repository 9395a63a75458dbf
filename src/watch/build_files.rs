//! Reads what watch rules are inferred from: Dockerfiles, the names of the files beside them, the scripts of
//! `package.json`, and which files not everybody may read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::path::Path;

use super::ignore_files::read;
use crate::change::ignore::{Patterns, lines};
use crate::change::infer::{self, BuildFiles};
use crate::change::rules::{IgnoreFile, dockerfile};
use crate::project::{Build, BuildContext, Project, Service};

/// More entries of a folder are not looked at.
const MOST_NAMES: usize = 10_000;
/// So many files are asked who may read them.
const MOST_FILES: usize = 2_000;
/// Folders so deep below a context are.
const DEEPEST: usize = 6;

/// What is known of the build of each service whose rules are to be inferred. A service is missing when its Dockerfile
/// cannot be read.
#[must_use]
pub fn read_build_files(
    project: &Project,
    ignore_files: &BTreeMap<String, IgnoreFile>,
) -> BTreeMap<String, BuildFiles> {
    let wanted = |service: &&Service| service.watch.is_empty() && !service.ignores_changes && !service.is_on_machine();
    let found = project.services.values().filter(wanted).filter_map(|service| {
        let files = of_build(service.build.as_ref()?, ignore_files.get(&service.name))?;
        Some((service.name.clone(), files))
    });
    found.collect()
}

fn of_build(build: &Build, ignore_file: Option<&IgnoreFile>) -> Option<BuildFiles> {
    let BuildContext::Local(context) = &build.context else { return None };
    let text = match &build.dockerfile_inline {
        Some(text) => text.clone(),
        None => read(&dockerfile(build)?)?,
    };
    let folders = infer::copied(&text).into_iter().filter(|path| context.join(path).is_dir()).collect();
    let ignored = Patterns::new_leniently(ignore_file.into_iter().flat_map(|file| lines(&file.text))).0;
    Some(BuildFiles {
        dockerfile: text,
        names: names(context),
        folders,
        scripts: scripts(context),
        private: private(context, &ignored),
    })
}

/// The names of the files at the top of a folder.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MOST_NAMES);
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_dir()));
    files.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn scripts(context: &Path) -> BTreeMap<String, String> {
    let package = read(&context.join("package.json")).and_then(|text| serde_json::from_str(&text).ok());
    let package: serde_json::Value = package.unwrap_or_default();
    let scripts = package["scripts"].as_object().into_iter().flatten();
    scripts.filter_map(|(name, script)| Some((name.clone(), script.as_str()?.to_owned()))).collect()
}

/// The files that not everybody may read, each with its owner; folders that not everybody may enter count too. It looks
/// until it knows that there are many.
fn private(context: &Path, ignored: &Patterns) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    let mut left = MOST_FILES;
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(context.join(&folder)).into_iter().flatten().flatten() {
            if left == 0 || found.len() > infer::MOST_PRIVATE {
                return found;
            }
            left -= 1;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let Ok(metadata) = entry.metadata() else { continue };
            if ignored.prunes(&path) || matches!(name.as_str(), ".git" | "node_modules" | ".venv") {
                continue;
            }
            let is_folder = metadata.is_dir();
            if let Some(owner) = kept(&metadata) {
                found.insert(path.clone(), owner);
            }
            if is_folder && path.matches('/').count() < DEEPEST {
                folders.push(path);
            }
        }
    }
    found
}

/// The owner of a file that not everybody may read, or of a folder that not everybody may enter.
#[cfg(unix)]
fn kept(metadata: &Metadata) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;

    let needed = if metadata.is_dir() { 0o005 } else { 0o004 };
    let is_kept = !metadata.is_symlink() && metadata.mode() & needed != needed;
    is_kept.then(|| metadata.uid())
}

/// Windows knows no such modes: the engine gives every file the same.
#[cfg(not(unix))]
fn kept(_: &Metadata) -> Option<u32> {
    None
}
