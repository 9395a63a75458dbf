//! What is written → what is meant: completed sections become a [`Project`]. Nothing can fail here; what cannot be meant
//! was told before.

mod build;
mod cluster;
mod machine;
mod mount;
mod own;
mod service;

pub(super) use service::restart_policy;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::files::Variables;
use super::paths;
use super::raw;
use super::raw::forms::Form;
use super::raw::network::External;
use super::raw::service::Service as RawService;
use super::sections::Sections;
use crate::project::{
    FileObject, FileSource, Ipam, IpamPool, MACHINE_IMAGE, Model, Mount, MountSource, Network, Project, Service, Volume,
};

/// What a project is called and where it comes from.
pub(super) struct Origin {
    pub(super) name: String,
    pub(super) directory: PathBuf,
    pub(super) files: Vec<PathBuf>,
    pub(super) environment_files: Vec<PathBuf>,
}

pub(super) fn project(
    origin: Origin,
    sections: &Sections,
    disabled: &BTreeMap<String, RawService>,
    variables: &Variables,
) -> Project {
    let directory = origin.directory.clone();
    let service = |(name, raw): (&String, &RawService)| {
        let extensions = sections.service_extensions.get(name).cloned().unwrap_or_default();
        let mut service = service::service(name, raw, extensions);
        if service.image.is_none() && service.build.is_none() && raw.provider.is_none() {
            on_machine(&mut service, &directory);
        }
        (name.clone(), service)
    };
    Project {
        name: origin.name,
        directory: origin.directory,
        files: origin.files,
        environment_files: origin.environment_files,
        services: sections.services.iter().map(service).collect(),
        disabled: disabled.iter().map(service).collect(),
        networks: sections.networks.iter().map(|(key, raw)| (key.clone(), network(raw))).collect(),
        volumes: sections.volumes.iter().map(|(key, raw)| (key.clone(), volume(raw))).collect(),
        secrets: sections.secrets.iter().map(|(key, raw)| (key.clone(), secret(raw, variables))).collect(),
        configs: sections.configs.iter().map(|(key, raw)| (key.clone(), config(raw, variables))).collect(),
        models: sections.models.iter().map(|(key, raw)| (key.clone(), model(raw))).collect(),
        kubernetes: own::project(sections.own.as_ref()),
    }
}

/// A service with neither image nor build runs on this machine's own root file system, with the project's folder at its own
/// path. Its process is not the first one, so that a signal to stop ends it even where it listens to none.
fn on_machine(service: &mut Service, directory: &Path) {
    let written = service.working_dir.as_deref().unwrap_or_default();
    let folder = paths::absolute(written, &directory.to_string_lossy(), None);
    service.working_dir = Some(folder);
    service.image = Some(MACHINE_IMAGE.to_owned());
    service.init = service.init.or(Some(true));
    let target = directory.to_string_lossy().into_owned();
    if service.mounts.iter().all(|mount| mount.target != target) {
        let path = directory.to_owned();
        let source =
            MountSource::Bind { path, create_host_path: false, propagation: None, selinux: None, recursion: None };
        // What is mounted below it comes after it.
        service.mounts.insert(0, Mount { target, read_only: false, source });
    }
}

/// A text that was written.
fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn is_external(external: Option<&Form<External>>) -> bool {
    external.is_some_and(|external| !external.off)
}

fn network(raw: &raw::network::Network) -> Network {
    let ipam = raw.ipam.as_ref().map(|ipam| Ipam {
        driver: given(&ipam.driver).filter(|driver| driver != "default"),
        pools: ipam.config.iter().map(pool).collect(),
        options: ipam.options.clone(),
    });
    Network {
        name: raw.name.clone(),
        external: is_external(raw.external.as_ref()),
        driver: given(&raw.driver),
        driver_opts: raw.driver_opts.0.clone(),
        internal: raw.internal.0,
        attachable: raw.attachable.0,
        enable_ipv4: raw.enable_ipv4.map(|flag| flag.0),
        enable_ipv6: raw.enable_ipv6.map(|flag| flag.0),
        labels: raw.labels.0.clone(),
        ipam: ipam.unwrap_or_default(),
    }
}

fn model(raw: &raw::storage::Model) -> Model {
    Model {
        source: raw.source.clone(),
        context_size: raw.context_size.map(|size| size.0),
        runtime_flags: raw.runtime_flags.clone(),
    }
}

fn pool(raw: &raw::network::Pool) -> IpamPool {
    IpamPool {
        subnet: given(&raw.subnet),
        ip_range: given(&raw.ip_range),
        gateway: given(&raw.gateway),
        aux_addresses: raw.aux_addresses.clone(),
    }
}

fn volume(raw: &raw::storage::Volume) -> Volume {
    Volume {
        name: raw.name.clone(),
        external: is_external(raw.external.as_ref()),
        driver: given(&raw.driver),
        driver_opts: raw.driver_opts.0.clone(),
        labels: raw.labels.0.clone(),
        storage: raw.own.0.as_ref().and_then(|own| own.kubernetes.0.as_ref()).map(own::storage).unwrap_or_default(),
    }
}

fn from_variable(variable: &str, variables: &Variables) -> FileSource {
    let value = variables.get(variable).cloned().unwrap_or_default();
    FileSource::Environment { variable: variable.to_owned(), value }
}

fn secret(raw: &raw::storage::Secret, variables: &Variables) -> FileObject {
    let source = if is_external(raw.external.as_ref()) {
        FileSource::External
    } else if raw.environment.is_empty() {
        FileSource::File(PathBuf::from(&raw.file.0))
    } else {
        from_variable(&raw.environment, variables)
    };
    FileObject { name: raw.name.clone(), source }
}

fn config(raw: &raw::storage::Config, variables: &Variables) -> FileObject {
    let source = if is_external(raw.external.as_ref()) {
        FileSource::External
    } else if !raw.environment.is_empty() {
        from_variable(&raw.environment, variables)
    } else if !raw.file.0.is_empty() {
        FileSource::File(PathBuf::from(&raw.file.0))
    } else {
        FileSource::Content(raw.content.clone())
    };
    FileObject { name: raw.name.clone(), source }
}
