//! What is not written but meant: defaults, names, implicit networks and dependencies, and the variables of containers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::environment::{EnvFileError, read_env_file};
use super::files::{Assembly, Variables};
use super::locate::locate;
use super::node::Node;
use super::paths;
use super::problem::Problem;
use super::raw::forms::{Form, Named};
use super::raw::network::External;
use super::raw::scalars::{Flag, keep_last};
use super::raw::service::{Dependency, Nullable, Service};
use super::sections::Sections;

/// Completes the services that are on.
pub(super) fn services(sections: &mut Sections, variables: &Variables, assembly: &mut Assembly<'_>) {
    for service in sections.services.values_mut() {
        if assembly.steps.normalize {
            build(service, variables);
            networks(service);
            dependencies(service);
        } else if service.networks.as_ref().is_some_and(|networks| networks.0.is_empty()) {
            service.networks = None;
        }
        grants(service);
        limits(service);
        for rule in
            service.develop.iter_mut().filter_map(|develop| develop.0.as_mut()).flat_map(|develop| &mut develop.watch)
        {
            if !assembly.steps.paths {
                continue;
            }
            // Changes are reported under the real path.
            rule.path.0 = assembly.loader.real_path(Path::new(&rule.path.0)).to_string_lossy().into_owned();
        }
        resolve_variables(service, variables);
        if assembly.steps.variables {
            files_of_variables(service, variables, assembly);
        }
        label_files(service, assembly);
    }
}

/// Drops the resources that no service uses, and names the others.
pub(super) fn resources(sections: &mut Sections, tree: &Node, project: &str, assembly: &mut Assembly<'_>) {
    drop_unused(sections, assembly.steps.normalize);
    name_resources(sections, project, assembly, tree);
}

fn build(service: &mut Service, variables: &Variables) {
    let Some(build) = &mut service.build else { return };
    let build = &mut build.0.0;
    if build.dockerfile.is_empty() && build.dockerfile_inline.is_empty() {
        "Dockerfile".clone_into(&mut build.dockerfile);
    }
    for (key, value) in &mut build.args.0 {
        if value.is_none() {
            *value = variables.get(key).cloned();
        }
    }
    build.args.0.retain(|_, value| value.is_some());
}

fn networks(service: &mut Service) {
    let named = service.networks.as_ref().is_some_and(|networks| !networks.0.is_empty());
    if named || !service.network_mode.is_empty() || service.provider.is_some() {
        if !named {
            service.networks = None;
        }
        return;
    }
    service.networks = Some(Named(BTreeMap::from([("default".to_owned(), Nullable(None))])));
}

/// Dependencies that other attributes bring with them; written ones win.
fn dependencies(service: &mut Service) {
    let mut implied: Vec<(String, bool)> = Vec::new();
    implied.extend(service.links.0.iter().map(|link| (link.split(':').next().unwrap_or(link).to_owned(), true)));
    let pid = service.pid.as_ref().and_then(|pid| pid.0.as_deref()).unwrap_or_default();
    for shared in [&*service.network_mode, &service.ipc, pid, &service.uts, &service.cgroup] {
        implied.extend(shared.strip_prefix("service:").map(|other| (other.to_owned(), true)));
    }
    for source in service.volumes_from.0.iter().filter(|source| !source.starts_with("container:")) {
        implied.push((source.split(':').next().unwrap_or(source).to_owned(), false));
    }
    for (other, restart) in implied {
        let dependency = Dependency { restart: Flag(restart), ..Dependency::default() };
        service.depends_on.0.entry(other).or_insert(dependency);
    }
}

fn grants(service: &mut Service) {
    for Form(grant) in &mut service.secrets {
        if grant.target.is_empty() {
            grant.target = format!("/run/secrets/{}", grant.source);
        }
    }
    keep_last(&mut service.secrets, |grant| grant.target.clone());
    keep_last(&mut service.configs, |grant| {
        if grant.target.is_empty() { format!("/{}", grant.source) } else { grant.target.clone() }
    });
    keep_last(&mut service.volumes.0, |mount| mount.target.clone());
    for texts in [&mut service.dns.0, &mut service.dns_search.0, &mut service.tmpfs.0] {
        keep_last(texts, |text| text.split('=').next().map(str::to_owned));
    }
    keep_last(&mut service.devices, |device| device.target.clone());
    keep_last(&mut service.ports.0, |port| {
        let ip = if port.host_ip.0.is_empty() { "0.0.0.0" } else { &port.host_ip.0 };
        format!("{ip}:{}:{}/{}", port.published.0, port.target.0, port.protocol.0)
    });
}

fn limits(service: &mut Service) {
    if service.deploy.as_ref().is_some_and(|deploy| deploy.0.is_none()) {
        service.deploy = None;
    }
    if service.develop.as_ref().is_some_and(|develop| develop.0.is_none()) {
        service.develop = None;
    }
    if service.pid.as_ref().is_some_and(|pid| pid.0.as_ref().is_none_or(String::is_empty)) {
        service.pid = None;
    }
    let deploy = service.deploy.as_mut().and_then(|deploy| deploy.0.as_mut());
    if let Some(reservations) = deploy.and_then(|deploy| deploy.resources.reservations.as_mut()) {
        let devices = std::mem::take(&mut reservations.devices);
        reservations.devices = devices.into_iter().map(super::raw::deploy::DeviceRequest::with_count).collect();
    }
}

/// Reads `env_file` and `label_file`, and gives names without a value the one that they have outside.
fn files_of_variables(service: &mut Service, variables: &Variables, assembly: &mut Assembly<'_>) {
    keep_last(&mut service.env_file.0, |file| file.0.path.clone());
    let mut from_files: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut secret = Vec::new();
    for file in &service.env_file.0 {
        let place = file.place;
        let Form(file) = &file.value.0;
        let lookup = |name: &str| {
            let own = || service.environment.0.get(name).and_then(Option::as_deref);
            let earlier = || from_files.get(name).and_then(Option::as_deref);
            variables.get(name).map(String::as_str).or_else(own).or_else(earlier)
        };
        let raw = file.format == "raw";
        if !raw && !file.format.is_empty() {
            let problem = Problem::error(format!("`{}` is no format of an env file", file.format)).at(place);
            assembly.problems.push(problem.hint("write `raw`"));
            continue;
        }
        let path = &assembly.current.join(&file.path);
        match read_env_file(path, raw, assembly.loader, assembly.current, &mut assembly.sources, &lookup) {
            Ok((read, _)) => {
                if file.own.0.as_ref().and_then(|own| own.secret).is_some_and(|secret| secret.0) {
                    secret.extend(read.iter().map(|(key, _)| key.clone()));
                }
                from_files.extend(read.into_iter().map(|(key, value)| (key, Some(value))));
            }
            Err(EnvFileError::Read(_)) if file.required.is_some_and(|required| !required.0) => {}
            Err(EnvFileError::Read(error)) => {
                let message = format!("cannot read the env file `{}`: {error}", assembly.shown(path));
                let hint = match assembly.file_hint(path, &error) {
                    Some(similar) if similar.starts_with("did you mean") => similar,
                    _ => "make the file, or write `required: false` with its `path`".to_owned(),
                };
                assembly.problems.push(Problem::error(message).at(place).hint(hint));
            }
            Err(EnvFileError::Mistake(problem)) => assembly.problems.push(problem.related(place, "named here")),
        }
    }
    for (key, value) in from_files {
        service.environment.0.entry(key).or_insert(value);
    }
    if !secret.is_empty() {
        let own = service.own.0.get_or_insert_default().kubernetes.0.get_or_insert_default();
        own.secret.0.extend(secret);
    }
}

/// Gives names without a value the one that they have outside.
fn resolve_variables(service: &mut Service, variables: &Variables) {
    for (key, value) in &mut service.environment.0 {
        if value.is_none() {
            *value = variables.get(key).cloned();
        }
    }
}

fn label_files(service: &mut Service, assembly: &mut Assembly<'_>) {
    let mut from_files = BTreeMap::new();
    for file in &service.label_file.0 {
        match read_env_file(
            &assembly.current.join(&file.0),
            false,
            assembly.loader,
            assembly.current,
            &mut assembly.sources,
            &|_| None,
        ) {
            Ok((read, _)) => from_files.extend(read),
            Err(EnvFileError::Mistake(problem)) => assembly.problems.push(problem.related(file.place, "named here")),
            Err(EnvFileError::Read(error)) => {
                let problem = Problem::error(format!("cannot read the label file `{}`: {error}", file.0));
                assembly.problems.push(problem.at(file.place).hint("make the file, or take it out of `label_file`"));
            }
        }
    }
    for (key, value) in from_files {
        service.labels.0.entry(key).or_insert(value);
    }
}

fn drop_unused(sections: &mut Sections, normalize: bool) {
    let services = &sections.services;
    let grants = |grants: &[Form<super::raw::storage::Grant>]| -> Vec<String> {
        grants.iter().map(|grant| grant.source.clone()).collect()
    };
    let networks: BTreeSet<&String> = services
        .values()
        .filter_map(|service| service.networks.as_ref())
        .flat_map(|networks| networks.0.keys())
        .collect();
    let volumes: BTreeSet<&String> =
        services.values().flat_map(|service| &service.volumes.0).map(|mount| &mount.source).collect();
    let built = |service: &Service| service.build.as_ref().map(|build| grants(&build.0.0.secrets)).unwrap_or_default();
    let secrets: BTreeSet<String> =
        services.values().flat_map(|service| grants(&service.secrets).into_iter().chain(built(service))).collect();
    let configs: BTreeSet<String> = services.values().flat_map(|service| grants(&service.configs)).collect();
    let models: BTreeSet<&String> = services.values().flat_map(|service| service.models.0.keys()).collect();
    if normalize && networks.contains(&"default".to_owned()) {
        sections.networks.entry("default".to_owned()).or_default();
    }
    sections.networks.retain(|key, _| networks.contains(key));
    sections.volumes.retain(|key, _| volumes.contains(key));
    sections.secrets.retain(|key, _| secrets.contains(key));
    sections.configs.retain(|key, _| configs.contains(key));
    sections.models.retain(|key, _| models.contains(key));
}

/// The part that resources of every kind have.
fn name_one(
    name: &mut String,
    key: &str,
    (project, normalize): (&str, bool),
    external: &mut Option<Form<External>>,
) -> bool {
    if external.as_ref().is_some_and(|external| external.off) {
        *external = None;
    }
    let legacy = external.as_ref().map(|external| external.name.clone()).unwrap_or_default();
    let deprecated = !legacy.is_empty();
    if name.is_empty() {
        *name = match external {
            Some(_) if deprecated => legacy,
            Some(_) => key.to_owned(),
            None if normalize => format!("{project}_{key}"),
            None => String::new(),
        };
    }
    deprecated
}

fn name_resources(sections: &mut Sections, project: &str, assembly: &mut Assembly<'_>, tree: &Node) {
    let mut deprecated: Vec<(&str, String)> = Vec::new();
    let project = (project, assembly.steps.normalize);
    for (key, network) in &mut sections.networks {
        network.ipam.get_or_insert_default();
        if name_one(&mut network.name, key, project, &mut network.external) {
            deprecated.push(("networks", key.clone()));
        }
    }
    for (key, volume) in &mut sections.volumes {
        if name_one(&mut volume.name, key, project, &mut volume.external) {
            deprecated.push(("volumes", key.clone()));
        }
        let local = volume.driver == "local" && volume.driver_opts.0.get("o").is_some_and(|option| option == "bind");
        let place = locate(tree, &["volumes", key]);
        let base = place.and_then(|place| assembly.sources.get(place.file)).map(|source| source.base.clone());
        if let (true, Some(base), Some(device)) = (local, base, volume.driver_opts.0.get_mut("device")) {
            *device = paths::absolute(device, &base, assembly.home.as_deref());
        }
    }
    for (section, keys) in [
        ("networks", sections.networks.keys().collect::<Vec<_>>()),
        ("volumes", sections.volumes.keys().collect()),
        ("secrets", sections.secrets.keys().collect()),
        ("configs", sections.configs.keys().collect()),
    ] {
        let written = tree.get(section);
        let nameless = |key: &&&String| {
            let name = written.and_then(|items| items.get(key)?.get("name"));
            name.is_some_and(|name| name.as_text().is_none_or(str::is_empty))
        };
        sections.nameless.extend(keys.iter().filter(nameless).map(|key| (section, (*key).clone())));
    }
    for (key, secret) in &mut sections.secrets {
        name_one(&mut secret.name, key, project, &mut secret.external);
    }
    for (key, config) in &mut sections.configs {
        name_one(&mut config.name, key, project, &mut config.external);
    }
    for (section, key) in deprecated {
        let mut problem = Problem::warning(format!("`external.name` of `{key}` is an old form"));
        problem.place = locate(tree, &[section, &key, "external"]);
        assembly.problems.push(problem.hint("write `external: true` and `name` beside it"));
    }
}
