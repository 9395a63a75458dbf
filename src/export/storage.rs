//! Volumes: a claim for each named one, an empty folder for those without a name, memory for `tmpfs`.
//!
//! A volume that only the pods of one `StatefulSet` mount becomes a template of claims, so that each pod has its own.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource, Volume,
    VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::project::kubernetes::{AccessMode, WorkloadKind};
use crate::project::syntax::is_qualified;
use crate::project::{self, Mount, MountSource, Service, VolumesSource};

use super::name::label;
use super::pod::{Mounts, Parts, metadata, selector};
use super::{Context, Export, Kind, Reference, Supply, resources, service_key};

/// What a claim asks for when the manifest says nothing of size.
const DEFAULT_SIZE: &str = "1Gi";

/// Writes the claims of the volumes that services mount.
pub(super) fn claims(context: &Context<'_>, export: &mut Export) {
    for (key, users) in &context.volume_users {
        let volume = context.project.volumes.get(*key);
        let place = format!("volumes.{key}");
        if is_in_memory(context, key) {
            continue;
        }
        if let Some(volume) = volume.filter(|volume| volume.external) {
            let reference = Reference { kind: Kind::PersistentVolumeClaim, name: label(&volume.name) };
            export.supplies.push(Supply { kind: reference.kind, object: reference.name.clone(), key: None });
            export.external.insert(reference);
        } else {
            note_driver(volume, &place, export);
            if own_of(context, key).is_none() {
                let mut metadata = metadata(context, &claim_name(context, key), None);
                if let Some(volume) = volume {
                    let labels = volume.labels.iter().filter(|(key, _)| is_qualified(key));
                    let labels = labels.map(|(key, value)| (key.clone(), value.clone()));
                    metadata.annotations.get_or_insert_default().extend(labels);
                    metadata.annotations = metadata.annotations.filter(|annotations| !annotations.is_empty());
                }
                let spec = Some(spec(context, key, users.keys().next().copied()));
                export.objects.push(PersistentVolumeClaim { metadata, spec, status: None }.into());
            }
        }
        let is_shared = users.len() > 1 && access(context, key, None) == AccessMode::ReadWriteOnce;
        if is_shared {
            export.approximated(
                place,
                "several services share it, and a ReadWriteOnce claim is mounted on one node only; write \
                 `x-hoist.kubernetes.access: ReadWriteMany` when they must run on several",
            );
        }
    }
}

/// The service each of whose pods gets a claim of its own for a volume.
fn own_of<'a>(context: &Context<'a>, key: &str) -> Option<&'a Service> {
    let users = context.volume_users.get(key)?;
    let is_external = context.project.volumes.get(key).is_some_and(|volume| volume.external);
    let owner = users.keys().next().filter(|_| users.len() == 1 && !is_external)?;
    let service = context.project.services.get(*owner)?;
    (context.kind(service) == WorkloadKind::StatefulSet).then_some(service)
}

fn note_driver(volume: Option<&project::Volume>, place: &str, export: &mut Export) {
    let Some(volume) = volume else { return };
    if let Some(driver) = volume.driver.as_deref().filter(|driver| *driver != "local") {
        let reason = format!("`{driver}` is a driver of the engine; write `x-hoist.kubernetes.class`");
        export.dropped(format!("{place}.driver"), reason);
    }
    if volume.driver_opts.keys().any(|option| option != "size") {
        let reason = "options of the engine's driver; write `x-hoist.kubernetes.class`";
        export.dropped(format!("{place}.driver_opts"), reason);
    }
}

/// What a claim asks for: what the volume says, its driver's options, what its service says, what the project says.
fn spec(context: &Context<'_>, key: &str, user: Option<&str>) -> PersistentVolumeClaimSpec {
    let volume = context.project.volumes.get(key);
    let own = volume.map(|volume| &volume.storage);
    let of_service = user.and_then(|user| context.settings.get(user)).map(|settings| &settings.storage);
    let of_project = &context.project.kubernetes.storage;
    let written = || volume.and_then(|volume| quantity(volume.driver_opts.get("size")?));
    let labelled = || volume.and_then(|volume| volume.labels.get("kompose.volume.size")).cloned();
    let size = own
        .and_then(|storage| storage.size.clone())
        .or_else(written)
        .or_else(|| labelled().filter(|size| project::syntax::quantity(size).is_some()))
        .or_else(|| of_service?.size.clone())
        .or_else(|| of_project.size.clone())
        .unwrap_or_else(|| DEFAULT_SIZE.to_owned());
    let class = own
        .and_then(|storage| storage.class.clone())
        .or_else(|| of_service?.class.clone())
        .or_else(|| of_project.class.clone());
    PersistentVolumeClaimSpec {
        access_modes: Some(vec![access(context, key, user).as_str().to_owned()]),
        resources: Some(VolumeResourceRequirements {
            requests: Some(BTreeMap::from([("storage".to_owned(), Quantity(size))])),
            limits: None,
        }),
        storage_class_name: class,
        ..PersistentVolumeClaimSpec::default()
    }
}

fn access(context: &Context<'_>, key: &str, user: Option<&str>) -> AccessMode {
    let own = context.project.volumes.get(key).and_then(|volume| volume.storage.access);
    // Of many who share it, the first one has the word.
    let first = context.volume_users.get(key).and_then(|users| users.keys().next().copied());
    let of_service = user.or(first).and_then(|user| context.settings.get(user)?.storage.access);
    own.or(of_service).or(context.project.kubernetes.storage.access).unwrap_or(AccessMode::ReadWriteOnce)
}

fn claim_name(context: &Context<'_>, key: &str) -> String {
    match context.project.volumes.get(key).filter(|volume| volume.external) {
        Some(volume) => label(&volume.name),
        None => context.names.volumes.get(key).cloned().unwrap_or_else(|| label(key)),
    }
}

/// Whether a named volume is nothing but memory.
pub(super) fn is_in_memory(context: &Context<'_>, key: &str) -> bool {
    let options = context.project.volumes.get(key).map(|volume| &volume.driver_opts);
    options.and_then(|options| options.get("type")).is_some_and(|kind| kind == "tmpfs")
}

/// Mounts what is neither a file nor a folder of the host: what the service says, what it takes over from others, and
/// shared memory of its size.
pub(super) fn mounts<'a>(
    context: &Context<'a>,
    service: &'a Service,
    parts: &mut Parts,
    mounts: &mut Mounts,
    export: &mut Export,
) {
    for from in &service.volumes_from {
        let VolumesSource::Service(name) = &from.source else {
            export.dropped(service_key(service, "volumes_from"), "a container outside the project has no pod");
            continue;
        };
        for mount in context.project.services.get(name).into_iter().flat_map(|other| &other.mounts) {
            let read_only = from.read_only.unwrap_or(mount.read_only);
            let own = Mount { read_only, ..mount.clone() };
            if matches!(own.source, MountSource::Volume { .. }) {
                one(context, service, &own, parts, mounts, export);
            } else {
                let key = service_key(service, &format!("volumes_from.{name}"));
                export.dropped(key, format!("only named volumes are shared, and `{}` is none", mount.target));
            }
        }
    }
    for mount in &service.mounts {
        one(context, service, mount, parts, mounts, export);
    }
    if let Some(size) = service.limits.shm_size.filter(|size| *size > 0) {
        let mount = VolumeMount { mount_path: "/dev/shm".to_owned(), ..VolumeMount::default() };
        let volume = empty(Some("Memory"), Some(resources::bytes(size)));
        parts.mount(&service_key(service, "shm_size"), "shared-memory", volume, mount, mounts, export);
    }
}

fn one<'a>(
    context: &Context<'a>,
    service: &'a Service,
    mount: &Mount,
    parts: &mut Parts,
    mounts: &mut Mounts,
    export: &mut Export,
) {
    let key = service_key(service, &format!("volumes.{}", mount.target));
    let mut volume_mount = VolumeMount {
        mount_path: mount.target.clone(),
        read_only: mount.read_only.then_some(true),
        ..VolumeMount::default()
    };
    let (base, volume) = match &mount.source {
        MountSource::Bind { .. } => return,
        MountSource::Volume { key: volume, subpath, .. } => {
            let inside = subpath.as_deref().filter(|path| is_inside(path));
            if subpath.is_some() && inside.is_none() {
                let reason = "a path inside a volume must be relative, without `..`";
                export.dropped(format!("{key}.subpath"), reason);
            }
            volume_mount.sub_path = folder_in(context, volume, inside);
            if let Some(owner) = own_of(context, volume) {
                parts.has_claim = true;
                return parts.mount_own(&key, template(context, volume, owner), volume_mount, mounts, export);
            }
            named(context, volume, parts)
        }
        MountSource::Anonymous { .. } => (format!("data{}", mount.target), empty(None, None)),
        MountSource::Tmpfs { size, mode, options } => {
            if mode.is_some() || options.as_deref().is_some_and(|text| !only_size(text)) {
                let reason = "an empty folder in memory has no mode and no mount options";
                export.dropped(format!("{key}.tmpfs"), reason);
            }
            let size = size
                .and_then(|bytes| i64::try_from(bytes).ok())
                .filter(|bytes| *bytes > 0)
                .map(resources::bytes)
                .or_else(|| size_option(options.as_deref()?));
            (format!("tmpfs{}", mount.target), empty(Some("Memory"), size))
        }
        MountSource::Image { .. } | MountSource::Cluster(_) | MountSource::Pipe(_) => {
            export.dropped(key, "only a folder, a file, a volume or memory can be mounted");
            return;
        }
    };
    parts.mount(&key, &base, volume, volume_mount, mounts, export);
}

/// What each pod's own claim for a volume is made from. It can never be changed, so it says no more than it must.
fn template(context: &Context<'_>, key: &str, owner: &Service) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(claim_name(context, key)),
            labels: Some(selector(context, owner)),
            ..ObjectMeta::default()
        },
        spec: Some(spec(context, key, Some(&owner.name))),
        status: None,
    }
}

/// A volume of Compose is an empty folder at first. The top of a claim's file system is not: many have a `lost+found`,
/// which databases take for data of somebody else. So a folder inside it is mounted.
fn folder_in(context: &Context<'_>, key: &str, inside: Option<&str>) -> Option<String> {
    let is_external = context.project.volumes.get(key).is_some_and(|volume| volume.external);
    if is_external || is_in_memory(context, key) {
        return inside.map(str::to_owned);
    }
    Some(inside.map_or_else(|| "data".to_owned(), |inside| format!("data/{inside}")))
}

fn named(context: &Context<'_>, key: &str, parts: &mut Parts) -> (String, Volume) {
    let base = format!("volume-{key}");
    if is_in_memory(context, key) {
        let options = context.project.volumes.get(key).and_then(|volume| volume.driver_opts.get("o"));
        let size = options.and_then(|options| size_option(options));
        return (base, empty(Some("Memory"), size));
    }
    parts.has_claim = true;
    let access = access(context, key, None);
    parts.holds_claim |= matches!(access, AccessMode::ReadWriteOnce | AccessMode::ReadWriteOncePod);
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
