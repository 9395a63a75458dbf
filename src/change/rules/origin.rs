//! What rules are made from. A run that is replayed makes them anew from the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::paths::clean;
use super::{IgnoreFile, Rules};
use crate::change::infer::{self, BuildFiles};
use crate::project::{Project, Service, WatchRule};

/// What rules are made from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Origin {
    /// The services whose changes count.
    pub services: BTreeMap<String, Service>,
    /// Those that do not run and whose images theirs are built with.
    #[serde(default)]
    pub bases: BTreeMap<String, Service>,
    /// The ignore file of each service that has one.
    pub(super) ignore_files: BTreeMap<String, IgnoreFile>,
    /// The rules of those services that are built and have none of their own.
    pub(super) inferred: BTreeMap<String, Vec<WatchRule>>,
    /// The files that the manifest was made from, or would be if they were there.
    pub(super) manifest: BTreeSet<PathBuf>,
}

impl Origin {
    pub(super) fn new(
        project: &Project,
        ignore_files: &BTreeMap<String, IgnoreFile>,
        build_files: &BTreeMap<String, BuildFiles>,
    ) -> Self {
        let counting = project.services.values().filter(|service| !service.ignores_changes);
        let services: BTreeMap<String, Service> =
            counting.map(|service| (service.name.clone(), service.clone())).collect();
        let without_rules = services.values().filter(|service| service.watch.is_empty() && !service.is_on_machine());
        let inferred = without_rules.filter_map(|service| {
            let told = infer::infer(service, service.build.as_ref()?, build_files.get(&service.name));
            Some((service.name.clone(), told.rules.into_iter().map(|reasoned| reasoned.rule).collect()))
        });
        let used = services.values().flat_map(|service| project.bases_of(service));
        let bases = used.filter(|base| !project.services.contains_key(&base.name));
        Self {
            bases: bases.map(|base| (base.name.clone(), base.clone())).collect(),
            inferred: inferred.collect(),
            ignore_files: ignore_files.clone(),
            manifest: project.files.iter().chain(&project.environment_files).map(|file| clean(file)).collect(),
            services,
        }
    }
}

impl From<Origin> for Rules {
    fn from(origin: Origin) -> Self {
        let mut rules = Self { manifest: origin.manifest.clone(), ..Self::default() };
        for service in origin.services.values() {
            let inferred = origin.inferred.get(&service.name).map_or(&[][..], Vec::as_slice);
            rules.add_service(service, origin.ignore_files.get(&service.name), inferred);
        }
        for base in origin.bases.values() {
            rules.add_base(base, origin.ignore_files.get(&base.name));
        }
        rules.origin = origin;
        rules
    }
}

impl From<Rules> for Origin {
    fn from(rules: Rules) -> Self {
        rules.origin
    }
}
