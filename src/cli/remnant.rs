//! A project as its containers remember it, for `down`, `stop`, `start` and `restart` with `-p` where there is no
//! manifest: labels say which services there are and who needs whom.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::global::Global;
use super::session;
use crate::engine::docker::Docker;
use crate::engine::{Engine as _, Wanted};
use crate::plan::observed::{Container, Observed};
use crate::plan::spec::label;
use crate::project::{Condition, Dependency, Project, Service, Volume};

/// The project of the manifest; without one, and with `-p`, what its containers say.
pub(super) async fn project(global: &Global, docker: &Docker, services: &[String]) -> Result<Project, Error> {
    match &global.project_name {
        Some(_) if global.files.is_empty() && !is_manifest_near() => {
            let name = session::outline(global)?.name;
            let observed = docker.observe(&name, &Wanted::default()).await.map_err(Error::engine("list containers"))?;
            Ok(remembered(&name, &observed))
        }
        _ => Ok(session::load(global, services)?.project),
    }
}

/// Whether loading a manifest would find one.
fn is_manifest_near() -> bool {
    const NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];
    let near = |folder: &Path| NAMES.iter().any(|name| folder.join(name).is_file());
    std::env::var_os("COMPOSE_FILE").is_some()
        || std::env::current_dir().is_ok_and(|folder| folder.ancestors().any(near))
}

fn remembered(name: &str, observed: &Observed) -> Project {
    let mut services: BTreeMap<String, Service> = BTreeMap::new();
    for container in observed.containers.values().filter(|container| !container.service.is_empty()) {
        let service = services.entry(container.service.clone()).or_insert_with(|| Service {
            name: container.service.clone(),
            image: Some(container.image.clone()),
            depends_on: dependencies(container),
            ..Service::default()
        });
        service.replicas += 1;
    }
    let volumes = observed
        .volumes
        .keys()
        .map(|volume| (volume.clone(), Volume { name: volume.clone(), ..Volume::default() }))
        .collect();
    Project {
        name: name.to_owned(),
        directory: PathBuf::new(),
        files: Vec::new(),
        environment_files: Vec::new(),
        services,
        disabled: BTreeMap::new(),
        networks: BTreeMap::new(),
        volumes,
        secrets: BTreeMap::new(),
        configs: BTreeMap::new(),
        models: BTreeMap::new(),
        kubernetes: crate::project::ProjectKubernetes::default(),
    }
}

/// Reads `db:service_healthy:true,…`.
fn dependencies(container: &Container) -> BTreeMap<String, Dependency> {
    let label = container.labels.get(label::DEPENDS_ON).map(String::as_str).unwrap_or_default();
    label
        .split(',')
        .filter_map(|entry| {
            let mut parts = entry.split(':');
            let name = parts.next().filter(|name| !name.is_empty())?;
            let condition = match parts.next() {
                Some("service_healthy") => Condition::Healthy,
                Some("service_completed_successfully") => Condition::Completed,
                _ => Condition::Started,
            };
            let restart = parts.next() == Some("true");
            Some((name.to_owned(), Dependency { condition, required: false, restart }))
        })
        .collect()
}
