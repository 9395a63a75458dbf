//! What is known about keys beyond the fields of the types: which must be there, and which are legal but not supported.

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
        "Grant" | "Device" => &["source"],
        "Ulimit" => &["soft", "hard"],
        "DeviceRequest" => &["capabilities"],
        "Model" => &["model"],
        _ => &[],
    }
}

/// Legal keys that have no effect yet.
fn unsupported(name: &str) -> &'static [&'static str] {
    match name {
        "Manifest" => &["models"],
        "Service" => &[
            "annotations",
            "attach",
            "blkio_config",
            "cgroup",
            "cgroup_parent",
            "cpu_count",
            "cpu_percent",
            "cpu_period",
            "cpu_quota",
            "cpu_rt_period",
            "cpu_rt_runtime",
            "cpu_shares",
            "cpus",
            "cpuset",
            "credential_spec",
            "device_cgroup_rules",
            "devices",
            "dns",
            "dns_opt",
            "dns_search",
            "domainname",
            "external_links",
            "gpus",
            "group_add",
            "ipc",
            "isolation",
            "logging",
            "mac_address",
            "mem_limit",
            "mem_reservation",
            "mem_swappiness",
            "memswap_limit",
            "models",
            "oom_kill_disable",
            "oom_score_adj",
            "pid",
            "pids_limit",
            "post_start",
            "pre_stop",
            "provider",
            "pull_policy",
            "pull_refresh_after",
            "runtime",
            "security_opt",
            "shm_size",
            "storage_opt",
            "sysctls",
            "ulimits",
            "use_api_socket",
            "userns_mode",
            "uts",
            "volumes_from",
        ],
        "Build" => &[
            "entitlements",
            "ssh",
            "labels",
            "cache_from",
            "cache_to",
            "no_cache",
            "additional_contexts",
            "network",
            "provenance",
            "sbom",
            "pull",
            "shm_size",
            "extra_hosts",
            "isolation",
            "privileged",
            "secrets",
            "tags",
            "ulimits",
            "platforms",
        ],
        "Deploy" => &["mode", "labels", "update_config", "rollback_config", "resources", "placement", "endpoint_mode"],
        "Attachment" => &["interface_name", "link_local_ips", "driver_opts", "gw_priority"],
        "Network" => &["enable_ipv4"],
        "Ipam" => &["options"],
        "Mount" => &["consistency", "image"],
        "BindOptions" => &["recursive"],
        "VolumeOptions" => &["labels"],
        "Secret" => &["labels", "driver", "driver_opts", "template_driver"],
        "Config" => &["labels", "template_driver"],
        _ => &[],
    }
}

pub(super) fn is_unsupported(name: &str, key: &str) -> bool {
    unsupported(name).contains(&key)
}

/// The attribute as people write its path.
pub(super) fn attribute(name: &str, key: &str) -> String {
    let prefix = match name {
        "Build" => "build.",
        "Deploy" => "deploy.",
        "Attachment" => "networks.*.",
        "Network" => "networks.",
        "Ipam" => "ipam.",
        "Mount" => "volumes.",
        "BindOptions" => "volumes.bind.",
        "VolumeOptions" => "volumes.volume.",
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
