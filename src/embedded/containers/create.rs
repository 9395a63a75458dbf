//! Making containers.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::Arc;

use bollard_stubs::models::{
    ContainerCreateBody, ContainerCreateResponse, EndpointSettings, HostConfig, HostConfigLogConfig,
    VolumeCreateRequest,
};
use chrono::Utc;

use super::mounts::{self, Planned};
use super::owner::{self, Resumed};
use super::record::{self, MountKind, MountRecord, Record, State};
use super::shared::Shared;
use super::{launch, merge};
use crate::embedded::error::Error;
use crate::embedded::id;
use crate::embedded::images::Image;
use crate::embedded::root;

/// Makes a container; see [`super::Containers::create`].
pub(super) async fn create(
    shared: &Arc<Shared>,
    name: Option<&str>,
    platform: Option<&str>,
    body: ContainerCreateBody,
) -> Result<ContainerCreateResponse, Error> {
    let id = id::random();
    let name = match name.filter(|name| !name.is_empty()) {
        Some(name) => checked_name(name)?,
        None => id::name(&id),
    };
    shared.table().reserve(&name, &id)?;
    let result = make(shared, &id, &name, platform, body).await;
    if result.is_err() {
        shared.table().release(&name, &id);
        // Nothing is on record yet.
        if let Err(error) = root::remove(&shared.layout.container(&id)).await {
            tracing::debug!("nothing to remove of container {id}: {error}");
        }
    }
    result
}

async fn make(
    shared: &Arc<Shared>,
    id: &str,
    name: &str,
    platform: Option<&str>,
    mut body: ContainerCreateBody,
) -> Result<ContainerCreateResponse, Error> {
    let reference = body.image.clone().unwrap_or_default();
    if reference.is_empty() {
        return Err(Error::Invalid("invalid reference format".into()));
    }
    let image = shared.images.find(&reference).await?;
    check_platform(&image, &reference, platform)?;
    let networking = body.networking_config.take().and_then(|config| config.endpoints_config).unwrap_or_default();
    let mut host = body.host_config.take().unwrap_or_default();
    merge::check(&body, &host)?;
    merge::with_image(&mut body, &image.document.config);
    let arguments = merge::arguments(&body)?;
    merge::check(&ContainerCreateBody { exposed_ports: None, hostname: None, ..body.clone() }, &host)?;
    defaults(&mut body, &mut host, id).await;
    refer_by_id(shared, &mut host)?;
    if let Some(other) = host.network_mode.as_deref().and_then(|mode| mode.strip_prefix("container:")) {
        // Who shares a network shares the name that it is known by there.
        body.hostname = Some(shared.find(other)?.record().hostname());
    }
    let endpoints = endpoints(shared, &mut host, networking.into_iter().collect()).await?;
    let planned = mounts::plan(&body, &host, inherited(shared, &host)?)?;
    let mut record = Record {
        id: id.to_owned(),
        name: name.to_owned(),
        created: Utc::now(),
        body: ContainerCreateBody { host_config: Some(host), ..body },
        arguments,
        image: image.id.clone(),
        lower: (!image.machine).then(|| image.layers.iter().rev().map(|layer| layer.folder.clone()).collect()),
        mounts: Vec::new(),
        endpoints,
        replaces: None,
        given: None,
        state: State::default(),
        restart_count: 0,
        stopped_by_hand: false,
    };
    // One that is there no more is nobody's place.
    record.replaces = record.label(record::REPLACES).and_then(|other| Some(shared.find(other).ok()?.id.clone()));
    launch::log_file(&shared.layout, &record)?;
    make_folder(shared, id).await?;
    let mut made = Vec::new();
    let written = async {
        record.mounts = resolve(shared, planned, &mut made).await?;
        record.write(&shared.layout).await
    };
    if let Err(error) = written.await {
        for volume in made {
            let _ = shared.volumes.remove(&volume).await;
        }
        return Err(error);
    }
    shared.tell(&record, "create", &[]);
    owner::adopt(shared, record, Resumed::Idle);
    Ok(ContainerCreateResponse { id: id.to_owned(), warnings: Vec::new() })
}

/// A name without its slash, of letters that names have.
pub(super) fn checked_name(name: &str) -> Result<String, Error> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let mut letters = bare.chars();
    let first = letters.next().is_some_and(|letter| letter.is_ascii_alphanumeric());
    let rest = letters.all(|letter| letter.is_ascii_alphanumeric() || "_.-".contains(letter));
    if first && rest && bare.len() > 1 {
        return Ok(bare.to_owned());
    }
    Err(Error::Invalid(format!("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")))
}

fn check_platform(image: &Image, reference: &str, platform: Option<&str>) -> Result<(), Error> {
    let Some(platform) = platform.filter(|platform| !platform.is_empty() && !image.machine) else { return Ok(()) };
    let mut parts = platform.split('/');
    let (os, architecture) = match (parts.next(), parts.next()) {
        (Some(os), Some(architecture)) => (os, architecture),
        // One word is either.
        (Some("linux"), None) => return Ok(()),
        (word, _) => ("linux", word.unwrap_or_default()),
    };
    let plain = |name: &str| match name {
        "x86_64" | "x86-64" => "amd64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        name => name.to_owned(),
    };
    let document = &image.document;
    if (document.os.is_empty() || document.os == os) && plain(&document.architecture) == plain(architecture) {
        return Ok(());
    }
    Err(Error::NotFound(format!(
        "image with reference {reference} was found but its platform ({}/{}) does not match the specified platform \
         ({platform})",
        document.os, document.architecture
    )))
}

/// What an inspection is to show where nothing was asked for.
async fn defaults(body: &mut ContainerCreateBody, host: &mut HostConfig, id: &str) {
    let mode = host.network_mode.as_deref().unwrap_or_default();
    if mode.is_empty() || mode == "default" {
        host.network_mode = Some("bridge".to_owned());
    }
    let shares = host.network_mode.as_deref().is_some_and(|mode| mode.starts_with("container:"));
    if body.hostname.as_deref().unwrap_or_default().is_empty() && !shares {
        let short = || id.get(..12).unwrap_or(id).to_owned();
        body.hostname = if host.network_mode.as_deref() == Some("host") {
            let name = tokio::fs::read_to_string("/proc/sys/kernel/hostname").await;
            Some(name.map_or_else(|_| short(), |name| name.trim().to_owned()))
        } else {
            Some(short())
        };
    }
    let log = host.log_config.get_or_insert_with(HostConfigLogConfig::default);
    if log.typ.as_deref().unwrap_or_default().is_empty() {
        log.typ = Some("json-file".to_owned());
    }
    log.config.get_or_insert_default();
    host.restart_policy.get_or_insert_default();
    if host.shm_size.unwrap_or(0) == 0 {
        host.shm_size = Some(64 << 20);
    }
}

/// Other containers are named by id, so that a change of their names changes nothing.
fn refer_by_id(shared: &Shared, host: &mut HostConfig) -> Result<(), Error> {
    for mode in [&mut host.network_mode, &mut host.pid_mode, &mut host.ipc_mode] {
        if let Some(other) = mode.as_deref().and_then(|mode| mode.strip_prefix("container:")) {
            *mode = Some(format!("container:{}", shared.find(other)?.id));
        }
    }
    Ok(())
}

/// The networks that it is to be on, by name.
async fn endpoints(
    shared: &Shared,
    host: &mut HostConfig,
    asked: BTreeMap<String, EndpointSettings>,
) -> Result<BTreeMap<String, EndpointSettings>, Error> {
    let mode = host.network_mode.clone().unwrap_or_default();
    let mut endpoints = BTreeMap::new();
    if mode.starts_with("container:") {
        if asked.is_empty() {
            return Ok(endpoints);
        }
        return Err(Error::Invalid(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes".into(),
        ));
    }
    for (network, settings) in asked {
        let network = if network == "default" { "bridge".to_owned() } else { network };
        endpoints.insert(network_name(shared, &network).await, settings);
    }
    let name = network_name(shared, &mode).await;
    if ["host", "none"].contains(&name.as_str()) && endpoints.keys().any(|other| *other != name) {
        return Err(Error::Invalid(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes".into(),
        ));
    }
    endpoints.entry(name.clone()).or_default();
    host.network_mode = Some(name);
    Ok(endpoints)
}

/// A network's own name, however it is referred to. One that is not there is missed at the start, as with Docker.
async fn network_name(shared: &Shared, reference: &str) -> String {
    let found = shared.networks.inspect(reference).await.ok().and_then(|network| network.name);
    found.unwrap_or_else(|| reference.to_owned())
}

/// The mounts of the containers in `volumes_from`.
fn inherited(shared: &Shared, host: &HostConfig) -> Result<Vec<MountRecord>, Error> {
    let mut inherited = Vec::new();
    for text in host.volumes_from.iter().flatten() {
        let (other, read_write) = mounts::volumes_from(text)?;
        for mut mount in shared.find(other)?.record().mounts.clone() {
            mount.read_write = read_write.unwrap_or(mount.read_write);
            if !matches!(mount.kind, MountKind::Tmpfs) {
                inherited.push(mount);
            }
        }
    }
    Ok(inherited)
}

async fn make_folder(shared: &Shared, id: &str) -> Result<(), Error> {
    let folder = shared.layout.container(id);
    let tried = format!("make {}", folder.display());
    let made = tokio::task::spawn_blocking(move || {
        // What a container keeps is nobody else's to read.
        std::fs::DirBuilder::new().recursive(true).mode(0o710).create(&folder)
    });
    made.await.map_err(|error| Error::Failed(format!("cannot {tried}: {error}")))?.map_err(Error::io(tried))
}

/// Makes volumes that are not there; `made` are those that would be left over after a failure.
async fn resolve(shared: &Shared, planned: Vec<Planned>, made: &mut Vec<String>) -> Result<Vec<MountRecord>, Error> {
    let mut mounts = Vec::with_capacity(planned.len());
    for Planned { mut mount, labels, driver, options } in planned {
        match &mut mount.kind {
            MountKind::Bind { source, make: false } => launch::bind_source(source, false).await?,
            MountKind::Bind { .. } | MountKind::Tmpfs => {}
            MountKind::Volume { name, anonymous, .. } => {
                let request = VolumeCreateRequest {
                    name: Some(name.clone()),
                    driver,
                    driver_opts: (!options.is_empty()).then(|| options.into_iter().collect()),
                    labels: (!labels.is_empty()).then(|| labels.into_iter().collect()),
                    ..Default::default()
                };
                // Inherited ones have a name and are somebody else's to keep.
                let unnamed = name.is_empty();
                let volume = shared.volumes.create(request).await?;
                if unnamed {
                    made.push(volume.name.clone());
                }
                *anonymous = unnamed || *anonymous;
                *name = volume.name;
            }
        }
        mounts.push(mount);
    }
    Ok(mounts)
}

#[cfg(test)]
mod tests {
    use super::checked_name;

    #[test]
    fn names_are_checked() {
        assert_eq!(checked_name("/web-1"), Ok("web-1".to_owned()));
        for bad in ["", "/", "a", "-a", "a b", "a/b", "ü1"] {
            assert!(checked_name(bad).is_err(), "{bad}");
        }
    }
}
