//! What a run knows of the code in its containers, kept for `hoist ps`: the image tells what it was built from, and nothing
//! tells which files were copied in since, or what a saved version failed with.
//!
//! One small file a project, in the user's folder for state. It is believed only of the containers that it names, so that
//! what another tool has made meanwhile is judged by its image alone, and forgetting it is harmless.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::kept;
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
    /// Whether the containers have files that no image tells of: copied into them, or all, when there is no image.
    #[serde(default)]
    pub copied: bool,
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

impl Standings {
    /// The containers of a service that are known to have other files than these, which no image tells of.
    pub(crate) fn with_others(&self, service: &str, inputs: &str) -> impl Iterator<Item = &ContainerId> {
        let known = self.services.get(service).filter(|it| it.copied);
        let other = known.filter(|it| it.inputs.as_deref().is_some_and(|known| known != inputs));
        other.into_iter().flat_map(|it| &it.containers)
    }
}

/// Keeps what a run learns. Clones share it.
#[derive(Debug, Clone)]
pub struct Keeper {
    place: Option<PathBuf>,
    /// `None` until there is something to keep: most runs learn nothing, and need not read what earlier ones did.
    standings: Arc<Mutex<Option<Standings>>>,
}

impl Keeper {
    /// Goes on with what earlier runs have left.
    #[must_use]
    pub fn of_project(name: &str, directory: &Path) -> Self {
        Self { place: place(name, directory), standings: Arc::default() }
    }

    /// Notes how a service stands now. Blocks. That it cannot be written is no reason to stop anything: the next `ps` then
    /// knows less.
    pub fn note(&self, service: String, standing: Standing) {
        // Held while writing, so that what was learnt last is what is written last.
        let mut standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        let standings = standings.get_or_insert_with(|| self.place.as_deref().and_then(read).unwrap_or_default());
        standings.services.insert(service, standing);
        if let Some(place) = &self.place
            && let Err(error) = write(place, standings)
        {
            tracing::debug!(place = %place.display(), %error, "not kept");
        }
    }
}

/// Where the file of a project is; `None` when there is no place for it.
fn place(name: &str, directory: &Path) -> Option<PathBuf> {
    Some(kept::of_project("standing", name, directory)?.with_extension("json"))
}

fn read(place: &Path) -> Option<Standings> {
    serde_json::from_slice(&kept::read(place, LARGEST)?).ok()
}

fn write(place: &Path, standings: &Standings) -> std::io::Result<()> {
    kept::write(place, &serde_json::to_vec(standings)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Keeper, Standing, Standings, read, write};

    fn standing(failure: Option<&str>) -> Standing {
        Standing {
            containers: BTreeSet::from(["a".to_owned()]),
            inputs: Some("digest".into()),
            copied: false,
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
