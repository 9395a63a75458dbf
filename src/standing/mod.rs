//! What a run knows of the code in its containers, kept for `hoist ps`: the image tells what it was built from, and nothing
//! tells which files were copied in since, or what a saved version failed with.
//!
//! One small file a project, in the user's folder for state. It is believed only of the containers that it names, so that
//! what another tool has made meanwhile is judged by its image alone, and forgetting it is harmless.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::plan::observed::ContainerId;

/// No file of so many services is larger.
const LARGEST: u64 = 4 << 20;

/// What is known of every service.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Standings {
    services: BTreeMap<String, Standing>,
}

/// What is known of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The containers of which it holds.
    pub containers: BTreeSet<ContainerId>,
    /// The digest of what the image would be built from, when the service last came to rest; `None` when it has no build.
    pub inputs: Option<String>,
    /// What the version that was saved last failed with, in words for people; what runs is the one before it.
    pub failure: Option<String>,
}

impl Standings {
    /// What earlier runs of the project in this folder have left.
    #[must_use]
    pub fn of_project(name: &str, directory: &Path) -> Self {
        place(name, directory).and_then(|place| read(&place)).unwrap_or_default()
    }

    /// What is known of a service whose containers are these.
    #[must_use]
    pub fn of(&self, service: &str, containers: &BTreeSet<ContainerId>) -> Option<&Standing> {
        self.services.get(service).filter(|standing| standing.containers == *containers)
    }
}

/// Keeps what a run learns. Clones share it.
#[derive(Debug, Clone)]
pub struct Keeper {
    place: Option<PathBuf>,
    standings: Arc<Mutex<Standings>>,
}

impl Keeper {
    /// Goes on with what earlier runs have left.
    #[must_use]
    pub fn of_project(name: &str, directory: &Path) -> Self {
        let place = place(name, directory);
        let standings = place.as_deref().and_then(read).unwrap_or_default();
        Self { place, standings: Arc::new(Mutex::new(standings)) }
    }

    /// Notes how a service stands now. Blocks. That it cannot be written is no reason to stop anything: the next `ps` then
    /// knows less.
    pub fn note(&self, service: String, standing: Standing) {
        // Held while writing, so that what was learnt last is what is written last.
        let mut standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        standings.services.insert(service, standing);
        if let Some(place) = &self.place
            && let Err(error) = write(place, &standings)
        {
            tracing::debug!(place = %place.display(), %error, "not kept");
        }
    }
}

/// Where the file of a project is; `None` when there is no place for it.
fn place(name: &str, directory: &Path) -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    let sum = blake3::hash(directory.as_os_str().as_encoded_bytes()).to_hex();
    Some(folder.join("hoist/standing").join(format!("{name}-{}.json", sum.get(..12)?)))
}

fn read(place: &Path) -> Option<Standings> {
    let nofollow = OFlags::NOFOLLOW.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nofollow).open(place).ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.uid() != rustix::process::geteuid().as_raw() || metadata.len() > LARGEST {
        return None;
    }
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// Whole and put in place at once, so that who reads meanwhile does not see half of it.
fn write(place: &Path, standings: &Standings) -> io::Result<()> {
    let folder = place.parent().ok_or(io::ErrorKind::InvalidInput)?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let other = place.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&other)?;
    let written = file.write_all(&serde_json::to_vec(standings)?).and_then(|()| fs::rename(&other, place));
    if written.is_err() {
        fs::remove_file(&other).ok();
    }
    written
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Keeper, Standing, Standings, read, write};

    fn standing(failure: Option<&str>) -> Standing {
        Standing {
            containers: BTreeSet::from(["a".to_owned()]),
            inputs: Some("digest".into()),
            failure: failure.map(str::to_owned),
        }
    }

    #[test]
    fn what_was_noted_is_read_again_for_the_same_containers_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("deep/shop.json");
        let keeper = Keeper { place: Some(place.clone()), standings: std::sync::Arc::default() };
        keeper.note("web".into(), standing(None));
        keeper.note("web".into(), standing(Some("build failed")));
        let again = read(&place).expect("it was written");
        let known = again.of("web", &BTreeSet::from(["a".to_owned()]));
        assert_eq!(known, Some(&standing(Some("build failed"))));
        assert_eq!(again.of("web", &BTreeSet::from(["b".to_owned()])), None, "another container");
        assert_eq!(again.of("api", &BTreeSet::from(["a".to_owned()])), None, "another service");
    }

    #[test]
    fn a_file_that_is_not_whole_is_as_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("shop.json");
        write(&place, &Standings::default()).expect("written");
        assert!(read(&place).is_some());
        std::fs::write(&place, "{\"services\": {\"web\"").expect("written");
        assert!(read(&place).is_none());
        let link = folder.path().join("link.json");
        std::os::unix::fs::symlink(&place, &link).expect("a link");
        assert!(read(&link).is_none(), "a link is not followed");
    }
}
