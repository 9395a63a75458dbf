//! Volumes: a claim for each named one, an empty folder for those without a name, memory for `tmpfs`.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource, Volume,
    VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::project::{self, MountSource, Service};

use super::name::label;
use super::workload::{Parts, metadata};
use super::{Context, Export, Kind, Object, Reference, Supply, service_key};

/// What a claim asks for when the manifest says nothing of size.
const DEFAULT_SIZE: &str = "1Gi";

/// Writes the claims of the volumes that services mount.
pub(super) fn claims(context: &Context<'_>, export: &mut Export) {
    let mut users: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for service in context.project.services.values() {
        for mount in &service.mounts {
            if let MountSource::Volume { key, .. } = &mount.source {
                users.entry(key).or_default().insert(&service.name);
            }
        }
    }
    for (key, services) in users {
        let volume = context.project.volumes.get(key);
        let place = format!("volumes.{key}");
        if volume.is_some_and(is_memory) {
            continue;
        }
        if let Some(volume) = volume.filter(|volume| volume.external) {
            let reference = Reference { kind: Kind::PersistentVolumeClaim, name: label(&volume.name) };
            export.supplies.push(Supply { kind: reference.kind, object: reference.name.clone(), key: None });
            export.external.insert(reference);
        } else {
            note_driver(volume, &place, export);
            export.objects.push(claim(context, key, volume));
        }
        if services.len() > 1 {
            export.approximated(
                place,
                "several services share it, and a ReadWriteOnce claim is mounted on one node only; use a storage class \
                 with ReadWriteMany when they must run on several",
            );
        }
    }
}

fn note_driver(volume: Option<&project::Volume>, place: &str, export: &mut Export) {
    let Some(volume) = volume else { return };
    if let Some(driver) = volume.driver.as_deref().filter(|driver| *driver != "local") {
        export.dropped(
            format!("{place}.driver"),
            format!("`{driver}` is a driver of the engine; choose a storage class"),
        );
    }
    if volume.driver_opts.keys().any(|option| option != "size") {
        export.dropped(format!("{place}.driver_opts"), "options of the engine's driver; choose a storage class");
    }
}

fn claim(context: &Context<'_>, key: &str, volume: Option<&project::Volume>) -> Object {
    let size = volume.and_then(|volume| quantity(volume.driver_opts.get("size")?));
    let size = size.unwrap_or_else(|| DEFAULT_SIZE.to_owned());
    Object::PersistentVolumeClaim(Box::new(PersistentVolumeClaim {
        metadata: metadata(context, &claim_name(context, key), None),
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), Quantity(size))])),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }))
}

fn claim_name(context: &Context<'_>, key: &str) -> String {
    match context.project.volumes.get(key).filter(|volume| volume.external) {
        Some(volume) => label(&volume.name),
        None => context.names.volumes.get(key).cloned().unwrap_or_else(|| label(key)),
    }
}

fn is_memory(volume: &project::Volume) -> bool {
    volume.driver_opts.get("type").is_some_and(|kind| kind == "tmpfs")
}

/// Mounts what is neither a file nor a folder of the host.
pub(super) fn mounts(context: &Context<'_>, service: &Service, parts: &mut Parts, export: &mut Export) {
    for mount in &service.mounts {
        let key = service_key(service, &format!("volumes.{}", mount.target));
        let mut volume_mount = VolumeMount {
            mount_path: mount.target.clone(),
            read_only: mount.read_only.then_some(true),
            ..VolumeMount::default()
        };
        let (base, volume) = match &mount.source {
            MountSource::Bind { .. } => continue,
            MountSource::Volume { key: volume, subpath, .. } => {
                let inside = subpath.as_deref().filter(|path| is_inside(path));
                if subpath.is_some() && inside.is_none() {
                    export.dropped(format!("{key}.subpath"), "a path inside a volume must be relative, without `..`");
                }
                volume_mount.sub_path = folder_in(context, volume, inside);
                named(context, volume, parts)
            }
            MountSource::Anonymous { .. } => (format!("data{}", mount.target), empty(None, None)),
            MountSource::Tmpfs { size, mode, options } => {
                if mode.is_some() || options.as_deref().is_some_and(|text| !only_size(text)) {
                    export
                        .dropped(format!("{key}.tmpfs"), "an empty folder in memory has no mode and no mount options");
                }
                let size = size.map(|bytes| bytes.to_string()).or_else(|| size_option(options.as_deref()?));
                (format!("tmpfs{}", mount.target), empty(Some("Memory"), size))
            }
            MountSource::Image { .. } | MountSource::Cluster(_) | MountSource::Pipe(_) => {
                export.dropped(key.clone(), "only a folder, a file, a volume or memory can be mounted");
                continue;
            }
        };
        parts.mount(&key, &base, volume, volume_mount, export);
    }
}

/// A volume of Compose is an empty folder at first. The top of a claim's file system is not: many have a `lost+found`,
/// which databases take for data of somebody else. So a folder inside it is mounted.
fn folder_in(context: &Context<'_>, key: &str, inside: Option<&str>) -> Option<String> {
    match context.project.volumes.get(key) {
        Some(volume) if volume.external || is_memory(volume) => inside.map(str::to_owned),
        _ => Some(inside.map_or_else(|| "data".to_owned(), |inside| format!("data/{inside}"))),
    }
}

fn named(context: &Context<'_>, key: &str, parts: &mut Parts) -> (String, Volume) {
    let declared = context.project.volumes.get(key);
    let base = format!("volume-{key}");
    if let Some(volume) = declared.filter(|volume| is_memory(volume)) {
        let size = volume.driver_opts.get("o").and_then(|options| size_option(options));
        return (base, empty(Some("Memory"), size));
    }
    parts.has_claim = true;
    let source = PersistentVolumeClaimVolumeSource { claim_name: claim_name(context, key), ..Default::default() };
    (base, Volume { persistent_volume_claim: Some(source), ..Volume::default() })
}

fn empty(medium: Option<&str>, size: Option<String>) -> Volume {
    let source = EmptyDirVolumeSource { medium: medium.map(str::to_owned), size_limit: size.map(Quantity) };
    Volume { empty_dir: Some(source), ..Volume::default() }
}

fn is_inside(path: &str) -> bool {
    !path.is_empty() && !path.starts_with('/') && path.split('/').all(|part| part != "..")
}

fn only_size(options: &str) -> bool {
    options.split(',').all(|option| option.is_empty() || option == "rw" || option.starts_with("size="))
}

fn size_option(options: &str) -> Option<String> {
    options.split(',').find_map(|option| quantity(option.strip_prefix("size=")?))
}

/// A size as Docker writes it (`64m`, `1g`, bytes) as a quantity (`64Mi`, `1Gi`).
fn quantity(size: &str) -> Option<String> {
    let lower = size.trim().to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let lower = lower.strip_suffix('i').unwrap_or(lower);
    let (digits, suffix) = match lower.char_indices().next_back()? {
        (end, 'k') => (&lower[..end], "Ki"),
        (end, 'm') => (&lower[..end], "Mi"),
        (end, 'g') => (&lower[..end], "Gi"),
        (end, 't') => (&lower[..end], "Ti"),
        _ => (lower, ""),
    };
    let number: u64 = digits.parse().ok()?;
    (number > 0).then(|| format!("{number}{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::quantity;

    #[test]
    fn sizes_as_docker_writes_them_become_quantities() {
        assert_eq!(quantity("64m").as_deref(), Some("64Mi"));
        assert_eq!(quantity("10GiB").as_deref(), Some("10Gi"));
        assert_eq!(quantity("4096").as_deref(), Some("4096"));
        assert_eq!(quantity("much"), None);
        assert_eq!(quantity(""), None);
        assert_eq!(quantity("0"), None);
    }
}
