//! What is mounted, as it is meant.

use std::path::PathBuf;

use super::given;
use crate::manifest::paths;
use crate::manifest::raw::mount::{Mount as RawMount, MountType, Recursive, Selinux};
use crate::manifest::value::size;
use crate::project::{Mount, MountSource, Recursion};

pub(super) fn mount(raw: &RawMount) -> Mount {
    let source = match raw.r#type {
        MountType::Bind => bind(raw),
        MountType::Volume => volume(raw),
        MountType::Tmpfs => {
            let options = raw.tmpfs.as_ref();
            MountSource::Tmpfs {
                size: options.and_then(|options| u64::try_from(options.size.0).ok()).filter(|size| *size > 0),
                mode: options.and_then(|options| options.mode).map(|mode| mode.0),
                options: None,
            }
        }
        MountType::Image => MountSource::Image {
            reference: raw.source.clone(),
            subpath: raw.image.as_ref().and_then(|image| given(&image.subpath)),
        },
        MountType::Cluster => MountSource::Cluster(raw.source.clone()),
        MountType::Npipe => MountSource::Pipe(raw.source.clone()),
    };
    Mount { target: raw.target.clone(), read_only: raw.read_only.0, source }
}

fn bind(raw: &RawMount) -> MountSource {
    let bind = raw.bind.as_ref();
    let selinux = bind.and_then(|bind| bind.selinux).map(|selinux| match selinux {
        Selinux::Shared => "z".to_owned(),
        Selinux::Private => "Z".to_owned(),
    });
    let recursion = bind.and_then(|bind| bind.recursive).and_then(|recursive| match recursive {
        Recursive::Enabled => None,
        Recursive::Disabled => Some(Recursion::Disabled),
        Recursive::Writable => Some(Recursion::Writable),
        Recursive::Readonly => Some(Recursion::ReadOnly),
    });
    MountSource::Bind {
        path: PathBuf::from(&raw.source),
        create_host_path: bind.and_then(|bind| bind.create_host_path).is_none_or(|create| create.0),
        propagation: bind.and_then(|bind| given(&bind.propagation)),
        selinux,
        recursion,
    }
}

fn volume(raw: &RawMount) -> MountSource {
    let options = raw.volume.as_ref();
    let nocopy = options.is_some_and(|options| options.nocopy.0);
    if raw.source.is_empty() {
        let labels = options.map(|options| options.labels.0.clone()).unwrap_or_default();
        return MountSource::Anonymous { nocopy, labels };
    }
    let subpath = options.and_then(|options| given(&options.subpath));
    MountSource::Volume { key: raw.source.clone(), nocopy, subpath }
}

pub(super) fn tmpfs(text: &str) -> Mount {
    let (target, options) = text.split_once(':').map_or((text, None), |(target, options)| (target, Some(options)));
    let option = |name: &str| {
        options?.split(',').find_map(|option| option.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
    };
    let source = MountSource::Tmpfs {
        size: option("size").and_then(|size| size::parse(&size).ok()).and_then(|size| u64::try_from(size).ok()),
        mode: option("mode").and_then(|mode| u32::from_str_radix(&mode, 8).ok()),
        options: Some(options.unwrap_or_default().to_owned()),
    };
    Mount { target: paths::clean_target(target), read_only: false, source }
}
