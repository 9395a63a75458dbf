//! What rules are made from. A run that is replayed makes them anew from the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::paths::clean;
use super::{IgnoreFile, Rules};
use crate::project::{Project, Service};

/// What rules are made from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sources {
    /// The services that run.
    pub services: BTreeMap<String, Service>,
    /// The ignore file of each service that has one.
    ignore_files: BTreeMap<String, IgnoreFile>,
    /// The files that the manifest was made from, or would be if they were there.
    manifest: BTreeSet<PathBuf>,
}

impl Sources {
    pub(super) fn new(project: &Project, ignore_files: &BTreeMap<String, IgnoreFile>) -> Self {
        Self {
            services: project.services.clone(),
            ignore_files: ignore_files.clone(),
            manifest: project.files.iter().chain(&project.environment_files).map(|file| clean(file)).collect(),
        }
    }

    pub(super) fn add_files(&mut self, files: &BTreeSet<PathBuf>) {
        self.manifest.extend(files.iter().cloned());
    }
}

impl From<Sources> for Rules {
    fn from(sources: Sources) -> Self {
        let mut rules = Self { manifest: sources.manifest.clone(), ..Self::default() };
        for service in sources.services.values() {
            rules.add_service(service, sources.ignore_files.get(&service.name));
        }
        rules.sources = sources;
        rules
    }
}

impl From<Rules> for Sources {
    fn from(rules: Rules) -> Self {
        rules.sources
    }
}
