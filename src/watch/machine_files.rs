//! The files that a service without an image runs with: those whose save restarts it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::{files_below, read_ignore_files};
use crate::change::PathState;
use crate::change::rules::Rules;
use crate::content::Hashes;
use crate::project::{Project, Service};

/// The digest of the files of a service without an image; `None` when nothing watches them. It blocks while it reads.
#[must_use]
pub fn machine_digest(project: &Project, service: &Service, hashes: &Hashes) -> Option<String> {
    let folder = service.working_dir.as_deref().filter(|_| service.is_on_machine() && !service.ignores_changes)?;
    let services = [(service.name.clone(), service.clone())].into();
    let alone = Project { services, disabled: BTreeMap::new(), ..project.clone() };
    let rules = Rules::new(&alone, &read_ignore_files(&alone));
    let files = files_below(&rules, &BTreeSet::from([Path::new(folder)]));
    let saved = files.into_iter().map(|file| (file, PathState::Present)).collect();
    let mut digest = blake3::Hasher::new();
    for path in rules.affected(&saved).remove(&service.name).unwrap_or_default().paths {
        // What has gone since is as if it had never been there.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let content = if metadata.is_symlink() {
            blake3::hash(fs::read_link(&path).ok()?.as_os_str().as_encoded_bytes())
        } else if metadata.is_file() {
            hashes.of(&path, &metadata, &CancellationToken::new()).ok()?.0.into()
        } else {
            continue;
        };
        let name = path.as_os_str().as_encoded_bytes();
        digest.update(&(name.len() as u64).to_le_bytes()).update(name);
        digest.update(&metadata.mode().to_le_bytes()).update(content.as_bytes());
    }
    Some(digest.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::project::MACHINE_IMAGE;

    #[test]
    fn a_save_changes_it_and_neither_a_touch_nor_what_git_ignores() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
        write(".gitignore", "*.log\n");
        write("server.js", "one");
        let service = Service {
            name: "web".into(),
            image: Some(MACHINE_IMAGE.into()),
            working_dir: Some(folder.path().display().to_string()),
            ..Service::default()
        };
        let project = crate::plan::fixtures::project([service.clone()]);
        let hashes = Hashes::of_project(Path::new("/nowhere"));
        let digest = || machine_digest(&project, &service, &hashes).expect("its files are watched");
        let first = digest();
        write("server.js", "one");
        write("debug.log", "noise");
        assert_eq!(digest(), first);
        write("server.js", "two");
        let second = digest();
        assert_ne!(second, first);
        write("added.js", "");
        assert_ne!(digest(), second);
        let unwatched = Service { ignores_changes: true, ..service.clone() };
        assert_eq!(machine_digest(&project, &unwatched, &hashes), None);
    }
}
