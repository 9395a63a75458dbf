//! Projects made by hand, where a manifest would say too much.

use std::collections::BTreeMap;

use hoist::export::{Export, Options, SecretValues, kubernetes};
use hoist::project::{Project, Service};

/// A service with an image and nothing else.
pub(crate) fn service(name: &str) -> Service {
    Service { name: name.to_owned(), image: Some("image".to_owned()), replicas: 1, ..Service::default() }
}

/// A project of these services.
pub(crate) fn project(services: impl IntoIterator<Item = Service>) -> Project {
    Project {
        name: "shop".to_owned(),
        directory: "/shop".into(),
        files: Vec::new(),
        environment_files: Vec::new(),
        services: services.into_iter().map(|service| (service.name.clone(), service)).collect(),
        disabled: BTreeMap::new(),
        networks: BTreeMap::new(),
        volumes: BTreeMap::new(),
        secrets: BTreeMap::new(),
        configs: BTreeMap::new(),
        models: BTreeMap::new(),
        kubernetes: hoist::project::ProjectKubernetes::default(),
    }
}

/// The export of a project without files.
pub(crate) fn exported(project: &Project, secrets: SecretValues) -> Export {
    kubernetes(project, &Options::new(secrets))
}
