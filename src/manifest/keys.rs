//! What is known about keys beyond the fields of the types: which must be there, and which are legal but have no
//! effect here.

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
        _ => &[],
    }
}

/// Why a legal key has no effect here: what only a cluster, a cloud or Windows does.
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

/// A hint for a key that resembles none that is known here.
pub(super) fn where_known(key: &str, name: &str) -> String {
    let top = ["services", "networks", "volumes", "secrets", "configs", "include", "models"];
    if name != "Manifest" && top.contains(&key) {
        return format!("`{key}` belongs to the top of the file");
    }
    if name == "Manifest" {
        return format!("a service belongs below `services`; keys of your own begin with `x-`: `x-{key}`");
    }
    format!("keys of your own begin with `x-`: `x-{key}`")
}
