//! How a project is exported: what the command line and `x-hoist.kubernetes` at the top say together.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::project::Project;
use crate::project::kubernetes::{SecretStore, ServiceType};

use super::File;

/// How a project is exported. What is `None` is left to the manifest, and then to what is usual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What goes before the names of images that the project builds: `registry.example.com/team`.
    pub registry: Option<String>,
    /// The tags of images that the project builds, by service.
    pub tags: BTreeMap<String, String>,
    /// The images that are written otherwise, most often by digest, by how the manifest names them.
    pub pins: BTreeMap<String, String>,
    /// What stands in the Secrets.
    pub secrets: SecretValues,
    /// The files that [`wanted_files`](super::wanted_files) asked for; one that is missing here is dropped with a note.
    pub files: BTreeMap<PathBuf, File>,
    /// The namespace of the objects.
    pub namespace: Option<String>,
    /// How published ports are reached.
    pub service_type: Option<ServiceType>,
    /// Whether pods wait for what they depend on.
    pub waits: Option<bool>,
    /// The image that they wait with.
    pub wait_image: Option<String>,
    /// Whether only who is meant to reach a service does.
    pub network_policies: bool,
}

impl Options {
    /// With nothing but this asked for.
    #[must_use]
    pub fn new(secrets: SecretValues) -> Self {
        Self {
            registry: None,
            tags: BTreeMap::new(),
            pins: BTreeMap::new(),
            secrets,
            files: BTreeMap::new(),
            namespace: None,
            service_type: None,
            waits: None,
            wait_image: None,
            network_policies: false,
        }
    }

    /// The same, where the manifest has the last word on what nobody asked for.
    pub(super) fn over(&self, project: &Project) -> Self {
        let own = &project.kubernetes;
        Self {
            registry: self.registry.clone().or_else(|| own.registry.clone()),
            namespace: self.namespace.clone().or_else(|| own.namespace.clone()),
            service_type: self.service_type.or(own.service_type),
            waits: self.waits.or(own.waits),
            wait_image: self.wait_image.clone().or_else(|| own.wait_image.clone()),
            network_policies: self.network_policies || own.network_policies == Some(true),
            secrets: match (&self.secrets, &own.secret_store) {
                (SecretValues::External(None), Some(store)) => SecretValues::External(Some(store.clone())),
                (secrets, _) => secrets.clone(),
            },
            ..self.clone()
        }
    }
}

/// What stands in the exported Secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretValues {
    /// A word that says that the value is still to be supplied.
    Placeholder,
    /// The values of this machine.
    Values,
    /// Nothing: an operator fetches the values from this store, or from that of the manifest.
    External(Option<SecretStore>),
}
