//! What is known about keys beyond the fields of the types: which must be there, and which are legal but have no
//! effect here.

use super::nearest::nearest;
use super::node::Node;
use super::raw::build::Build;
use super::raw::deploy::{Deploy, Resources};
use super::raw::develop::Develop;
use super::raw::fields::fields_of;
use super::raw::health::Healthcheck;
use super::raw::manifest::Manifest;
use super::raw::service::{Logging, Service};

/// The keys that a mapping must have.
pub(super) fn required(name: &str) -> &'static [&'static str] {
    match name {
        "Dependency" => &["condition"],
        "Watch" => &["path", "action"],
        "Mount" | "Provider" => &["type"],
        "Port" => &["target"],
        "Extends" => &["service"],
        "Hook" => &["command"],
        "EnvFile" => &["path"],
        "Grant" => &["source"],
        "Device" => &["source", "target"],
        "Ulimit" => &["soft", "hard"],
        "DeviceRequest" => &["capabilities"],
        "Model" => &["model"],
        "Gateway" | "SecretStore" => &["name"],
        "Autoscale" => &["max"],
        _ => &[],
    }
}

/// Why a legal key has no effect here: what only a cluster, a cloud or Windows does, and what is not done yet.
pub(super) fn note(name: &str, key: &str) -> Option<&'static str> {
    const CLUSTER: &str = "only a cluster does it, and this runs on one machine";
    const SWARM: &str = "only Docker Swarm keeps such an object; here its content is mounted";
    const WINDOWS: &str = "only containers of Windows have it";
    Some(match (name, key) {
        ("Service", "credential_spec") | ("Build", "isolation") => WINDOWS,
        ("Build", "provenance" | "sbom") => "an image that stays on this machine carries no attestation",
        ("Build", "entitlements" | "privileged") => "an engine's own builder gives no more privileges",
        ("Deploy", "mode") => "one machine runs as many containers as `replicas` says",
        ("Deploy", "labels") => "they are a cluster's; those of containers are below the service's `labels`",
        ("Deploy", "update_config" | "rollback_config") => "containers are replaced one by one, the old one first",
        ("Deploy", "placement" | "endpoint_mode") => CLUSTER,
        ("Reservations", "cpus" | "generic_resources") => "only a cluster keeps them for a container",
        ("DeployRestart", "delay" | "window") => "the engine chooses the pause before a restart itself",
        ("Mount", "consistency") => "engines of today pass over it",
        ("Secret", "driver" | "driver_opts") | ("Secret" | "Config", "labels" | "template_driver") => SWARM,
        _ => return None,
    })
}

/// The attribute as people write its path.
pub(super) fn attribute(name: &str, key: &str) -> String {
    let prefix = match name {
        "Build" => "build.",
        "Deploy" => "deploy.",
        "Reservations" => "deploy.resources.reservations.",
        "DeployRestart" => "deploy.restart_policy.",
        "Mount" => "volumes.",
        "Secret" => "secrets.",
        "Config" => "configs.",
        _ => "",
    };
    format!("{prefix}{key}")
}

/// What to do about a key that a type does not have, and the key that is meant, if that can be told.
pub(super) fn unknown(
    key: &str,
    value: &Node,
    name: &str,
    fields: &'static [&'static str],
) -> (String, Option<&'static str>) {
    if let Some(meant) = other_word(name, key) {
        return (format!("did you mean `{meant}`?"), Some(meant));
    }
    if let Some(place) = place_of(key, value, name) {
        return (place, None);
    }
    match nearest(key, fields.iter().copied()) {
        Some(similar) => (format!("did you mean `{similar}`?"), Some(similar)),
        None if name == "Manifest" => {
            (format!("services stand below `services:`; keys of your own begin with `x-`: `x-{key}`"), None)
        }
        None => (format!("keys of your own begin with `x-`: `x-{key}`"), None),
    }
}

/// Words that people use for an attribute.
fn other_word(name: &str, key: &str) -> Option<&'static str> {
    Some(match (name, key) {
        ("Service", "cmd") => "command",
        ("Service", "env" | "envs" | "vars" | "variables") => "environment",
        ("Service", "dependencies" | "needs" | "requires") => "depends_on",
        ("Service", "net" | "network") => "networks",
        ("Service", "memory" | "mem") => "mem_limit",
        ("Service", "cpu") => "cpus",
        ("Service", "workdir" | "cwd") => "working_dir",
        ("Service", "health" | "health_check") => "healthcheck",
        ("Service", "restart_policy") => "restart",
        ("Build", "file") => "dockerfile",
        ("Build", "path" | "dir") => "context",
        ("Healthcheck", "command" | "cmd") => "test",
        ("Mount", "src" | "from") => "source",
        ("Mount", "dst" | "dest" | "destination" | "to") | ("Port", "container" | "container_port") => "target",
        ("Port", "host" | "host_port") => "published",
        _ => return None,
    })
}

/// Where a key belongs that is known elsewhere.
fn place_of(key: &str, value: &Node, name: &str) -> Option<String> {
    let has = |(_, fields): (&'static str, &'static [&'static str])| fields.contains(&key);
    let (manifest, service) = (fields_of::<Manifest>(), fields_of::<Service>());
    if name == "Manifest" {
        let is_service = ["image", "build", "command"].iter().any(|own| value.get(own).is_some());
        if is_service {
            return Some(format!("services stand below `services:`: begin with that line and indent `{key}`"));
        }
        return has(service).then(|| format!("`{key}` belongs to a service: write it below the service's name"));
    }
    if name != "Service" && has(service) {
        return Some(format!("`{key}` belongs to the service itself: indent it less"));
    }
    if has(manifest) {
        return Some(format!("`{key}` belongs to the top of the file, without indentation"));
    }
    if name != "Service" {
        return None;
    }
    let parts = [
        ("build", fields_of::<Build>()),
        ("healthcheck", fields_of::<Healthcheck>()),
        ("deploy", fields_of::<Deploy>()),
        ("deploy.resources", fields_of::<Resources>()),
        ("develop", fields_of::<Develop>()),
        ("logging", fields_of::<Logging>()),
    ];
    let (part, _) = parts.into_iter().find(|(_, fields)| has(*fields))?;
    Some(format!("`{key}` belongs below `{part}`"))
}

/// What a key that must be there looks like.
pub(super) fn example(name: &str, key: &str) -> Option<&'static str> {
    Some(match (name, key) {
        ("Dependency", "condition") => "service_started",
        ("Watch", "path") => "./src",
        ("Watch", "action") => "rebuild",
        ("Mount", "type") => "bind",
        ("Port", "target") => "80",
        ("EnvFile", "path") => ".env.local",
        ("Autoscale", "max") => "10",
        ("Gateway", "name") => "public",
        ("SecretStore", "name") => "vault",
        ("Hook", "command") => "[\"sh\", \"-c\", \"echo hello\"]",
        _ => return None,
    })
}
