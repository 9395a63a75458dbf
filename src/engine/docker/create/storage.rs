//! What is mounted into a container.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use bollard::models::{
    Mount as ApiMount, MountBindOptions, MountBindOptionsPropagationEnum, MountImageOptions, MountTmpfsOptions,
    MountType, MountVolumeOptions,
};

use super::{Surroundings, Version};
use crate::engine::EngineError;
use crate::plan::spec::ContainerSpec;
use crate::project::{Mount, MountSource, Recursion};

/// From this version on, a mount can say what becomes of mounts below a read-only bind.
const READ_ONLY_RECURSION: Version = Version(1, 44);
/// From this version on, a volume can be mounted by a folder inside it.
const VOLUME_SUBPATH: Version = Version(1, 45);
/// From this version on, an image can be mounted.
const IMAGE_MOUNT: Version = Version(1, 48);
/// Where docker's clients look for the engine's socket.
const SOCKET: &str = "/var/run/docker.sock";

/// Everything mounted, in the three forms of the API.
#[derive(Default)]
pub(super) struct Storage {
    pub(super) binds: Vec<String>,
    pub(super) mounts: Vec<ApiMount>,
    pub(super) tmpfs: HashMap<String, String>,
}

pub(super) fn storage(spec: &ContainerSpec, surroundings: &Surroundings) -> Result<Storage, EngineError> {
    let mut storage = Storage::default();
    for mount in &spec.service.mounts {
        add(&mut storage, spec, surroundings, mount)?;
    }
    for (source, target) in &spec.file_mounts {
        must_exist(source, surroundings)?;
        storage.mounts.push(bind_mount(source, target, true, None, None));
    }
    if spec.service.use_api_socket {
        storage.binds.push(format!("{}:{SOCKET}", socket(surroundings)?));
    }
    let taken: BTreeSet<&str> = spec.service.mounts.iter().map(|mount| mount.target.as_str()).collect();
    for (target, volume) in &surroundings.inherited {
        if !taken.contains(target.as_str()) {
            storage.mounts.push(volume_mount(Some(volume.clone()), target, false, None));
        }
    }
    Ok(storage)
}

fn add(
    storage: &mut Storage,
    spec: &ContainerSpec,
    surroundings: &Surroundings,
    mount: &Mount,
) -> Result<(), EngineError> {
    let target = &mount.target;
    match &mount.source {
        MountSource::Bind { path, create_host_path, propagation, selinux, recursion } => {
            if !create_host_path {
                must_exist(path, surroundings)?;
            }
            let text = path.to_string_lossy();
            // Only the form with colons makes missing folders and knows SELinux; it cannot hold a colon of its own.
            let fits = recursion.is_none() && !text.contains(':') && !target.contains(':');
            if (*create_host_path || selinux.is_some()) && fits {
                let options =
                    [Some(if mount.read_only { "ro" } else { "rw" }), propagation.as_deref(), selinux.as_deref()];
                let options: Vec<&str> = options.into_iter().flatten().collect();
                storage.binds.push(format!("{text}:{target}:{}", options.join(",")));
            } else {
                if *create_host_path && surroundings.local && !path.exists() {
                    std::fs::create_dir_all(path).map_err(|error| EngineError::Refused {
                        message: format!("`{text}` cannot be made: {error}"),
                    })?;
                }
                if *recursion == Some(Recursion::ReadOnly) {
                    needs("a bind that is read-only in depth", surroundings, READ_ONLY_RECURSION)?;
                }
                storage.mounts.push(bind_mount(path, target, mount.read_only, propagation.as_deref(), *recursion));
            }
        }
        MountSource::Volume { key, nocopy, subpath } => {
            if subpath.is_some() {
                needs("a mounted folder of a volume", surroundings, VOLUME_SUBPATH)?;
            }
            let name = spec.volumes.get(key).unwrap_or(key).clone();
            let options =
                MountVolumeOptions { no_copy: nocopy.then_some(true), subpath: subpath.clone(), ..Default::default() };
            storage.mounts.push(volume_mount(Some(name), target, mount.read_only, Some(options)));
        }
        MountSource::Anonymous { nocopy, labels } => {
            let labels = (!labels.is_empty()).then(|| labels.clone().into_iter().collect());
            let options = MountVolumeOptions { no_copy: nocopy.then_some(true), labels, ..Default::default() };
            let inherited = surroundings.inherited.get(target).cloned();
            storage.mounts.push(volume_mount(inherited, target, mount.read_only, Some(options)));
        }
        MountSource::Tmpfs { size, mode, options } => match options {
            Some(options) => {
                let read_only = mount.read_only.then_some("ro");
                let words = [Some(options.as_str()).filter(|options| !options.is_empty()), read_only];
                let words: Vec<&str> = words.into_iter().flatten().collect();
                storage.tmpfs.insert(target.clone(), words.join(","));
            }
            None => storage.mounts.push(tmpfs_mount(target, mount.read_only, *size, *mode)),
        },
        MountSource::Image { reference, subpath } => {
            needs("a mounted image", surroundings, IMAGE_MOUNT)?;
            storage.mounts.push(ApiMount {
                typ: Some(MountType::IMAGE),
                source: Some(reference.clone()),
                target: Some(target.clone()),
                read_only: Some(mount.read_only),
                image_options: subpath.clone().map(|subpath| MountImageOptions { subpath: Some(subpath) }),
                ..Default::default()
            });
        }
        MountSource::Cluster(name) => storage.mounts.push(plain(MountType::CLUSTER, name, mount)),
        MountSource::Pipe(name) => storage.mounts.push(plain(MountType::NPIPE, name, mount)),
    }
    Ok(())
}

fn plain(kind: MountType, source: &str, mount: &Mount) -> ApiMount {
    ApiMount {
        typ: Some(kind),
        source: Some(source.to_owned()),
        target: Some(mount.target.clone()),
        read_only: Some(mount.read_only),
        ..Default::default()
    }
}

/// A mount that an older engine would make as something else.
fn needs(what: &str, surroundings: &Surroundings, version: Version) -> Result<(), EngineError> {
    if surroundings.version >= version {
        return Ok(());
    }
    let message = format!("{what} needs API {version}, and the engine has {}", surroundings.version);
    Err(EngineError::Refused { message })
}

/// The engine's socket as the engine itself sees it.
fn socket(surroundings: &Surroundings) -> Result<&str, EngineError> {
    if !surroundings.local {
        return Ok(SOCKET);
    }
    surroundings.socket.as_deref().ok_or_else(|| EngineError::Refused {
        message: "`use_api_socket` needs an engine with a socket on this machine".to_owned(),
    })
}

fn must_exist(path: &Path, surroundings: &Surroundings) -> Result<(), EngineError> {
    if surroundings.local && !path.exists() {
        return Err(EngineError::MissingPath { path: PathBuf::from(path) });
    }
    Ok(())
}

fn bind_mount(
    source: &Path,
    target: &str,
    read_only: bool,
    propagation: Option<&str>,
    recursion: Option<Recursion>,
) -> ApiMount {
    let propagation = propagation.and_then(|word| match word {
        "private" => Some(MountBindOptionsPropagationEnum::PRIVATE),
        "rprivate" => Some(MountBindOptionsPropagationEnum::RPRIVATE),
        "shared" => Some(MountBindOptionsPropagationEnum::SHARED),
        "rshared" => Some(MountBindOptionsPropagationEnum::RSHARED),
        "slave" => Some(MountBindOptionsPropagationEnum::SLAVE),
        "rslave" => Some(MountBindOptionsPropagationEnum::RSLAVE),
        _ => None,
    });
    let options = MountBindOptions {
        propagation,
        non_recursive: (recursion == Some(Recursion::Disabled)).then_some(true),
        read_only_non_recursive: (recursion == Some(Recursion::Writable)).then_some(true),
        read_only_force_recursive: (recursion == Some(Recursion::ReadOnly)).then_some(true),
        create_mountpoint: None,
    };
    ApiMount {
        typ: Some(MountType::BIND),
        source: Some(source.to_string_lossy().into_owned()),
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        bind_options: Some(options).filter(|options| *options != MountBindOptions::default()),
        ..Default::default()
    }
}

fn volume_mount(name: Option<String>, target: &str, read_only: bool, options: Option<MountVolumeOptions>) -> ApiMount {
    ApiMount {
        typ: Some(MountType::VOLUME),
        source: name,
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        volume_options: options.filter(|options| *options != MountVolumeOptions::default()),
        ..Default::default()
    }
}

fn tmpfs_mount(target: &str, read_only: bool, size: Option<u64>, mode: Option<u32>) -> ApiMount {
    ApiMount {
        typ: Some(MountType::TMPFS),
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        tmpfs_options: Some(MountTmpfsOptions {
            size_bytes: size.and_then(|size| i64::try_from(size).ok()),
            mode: mode.map(i64::from),
            options: None,
        }),
        ..Default::default()
    }
}
