//! What is written → what is meant: completed sections become a [`Project`]. Nothing can fail here; what cannot be meant
//! was told before.

mod service;

pub(super) use service::restart_policy;

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::files::Variables;
use super::raw;
use super::raw::forms::Form;
use super::raw::network::External;
use super::raw::service::Service;
use super::sections::Sections;
use crate::project::{FileObject, FileSource, Ipam, IpamPool, Network, Project, Volume};

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
    disabled: &BTreeMap<String, Service>,
    variables: &Variables,
) -> Project {
    let service = |(name, raw): (&String, &Service)| {
        let extensions = sections.service_extensions.get(name).cloned().unwrap_or_default();
        (name.clone(), service::service(name, raw, extensions))
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
    });
    Network {
        name: raw.name.clone(),
        external: is_external(raw.external.as_ref()),
        driver: given(&raw.driver),
        driver_opts: raw.driver_opts.0.clone(),
        internal: raw.internal.0,
        attachable: raw.attachable.0,
        enable_ipv6: raw.enable_ipv6.map(|flag| flag.0),
        labels: raw.labels.0.clone(),
        ipam: ipam.unwrap_or_default(),
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
