//! The stable hashes of what the manifest says of a service, a network or a volume, which decide whether what is there is
//! still what is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::kubernetes::Storage;
use super::{
    Cluster, FileGrant, FileObject, FileSource, Kubernetes, MountSource, Network, Networking, Project, PullPolicy,
    Service, Volume,
};

/// The hashes of everything that a project says, each by its key in the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigHashes {
    /// Of every service, [`config_hash`].
    pub services: BTreeMap<String, String>,
    /// Of every network, [`network_hash`].
    pub networks: BTreeMap<String, String>,
    /// Of every volume, [`volume_hash`].
    pub volumes: BTreeMap<String, String>,
}

impl ConfigHashes {
    /// The hashes of a project.
    #[must_use]
    pub fn of(project: &Project) -> Self {
        let services = project.services.iter().map(|(name, service)| (name.clone(), config_hash(project, service)));
        let networks = project.networks.iter().map(|(key, network)| (key.clone(), network_hash(network)));
        let volumes = project.volumes.iter().map(|(key, volume)| (key.clone(), volume_hash(volume)));
        Self { services: services.collect(), networks: networks.collect(), volumes: volumes.collect() }
    }
}

/// SHA-256, in hexadecimal, of what a container of this service is created from.
///
/// Left out is what does not change a container: how its image is built and when it is pulled, how many there are, whom
/// it waits for, its profiles, its watch rules, what is run before it stops, whether its output is shown and what only a
/// cluster does. What nobody wrote is left out too, so that a newer hoist with more attributes gives the same hash to a
/// file that uses none of them. Put in is the content of secrets and configs that are copied into the
/// container: when it changes, only a new container sees it.
#[must_use]
pub fn config_hash(project: &Project, service: &Service) -> String {
    let mut reduced = service.clone();
    reduced.image = Some(project.image_of(service));
    reduced.build = None;
    reduced.replicas = 0;
    reduced.update_order = None;
    reduced.depends_on.clear();
    reduced.profiles.clear();
    reduced.watch.clear();
    reduced.pull_policy = PullPolicy::default();
    reduced.hides_output = false;
    reduced.provider = None;
    reduced.pre_stop.clear();
    reduced.extensions.clear();
    reduced.ignores_changes = false;
    reduced.cluster = Cluster::default();
    reduced.kubernetes = Kubernetes::default();
    let files: Vec<&str> = copied_files(&service.secrets, &project.secrets)
        .chain(copied_files(&service.configs, &project.configs))
        .collect();
    let mut value = serde_json::json!({ "service": written(&reduced), "files": files });
    let names = given_names(project, service);
    if !names.is_empty() {
        value["names"] = serde_json::json!(names);
    }
    hexadecimal(&Sha256::digest(value.to_string().as_bytes()))
}

/// SHA-256, in hexadecimal, of how a network is made: not of its name, under which another one would be another.
#[must_use]
pub fn network_hash(network: &Network) -> String {
    let reduced = Network { name: String::new(), external: false, ..network.clone() };
    hexadecimal(&Sha256::digest(written(&reduced).to_string().as_bytes()))
}

/// The same of a volume; what only a cluster does is left out.
#[must_use]
pub fn volume_hash(volume: &Volume) -> String {
    let reduced = Volume { name: String::new(), external: false, storage: Storage::default(), ..volume.clone() };
    hexadecimal(&Sha256::digest(written(&reduced).to_string().as_bytes()))
}

/// The engine's names of the service's networks and volumes, where they are not those that hoist gives.
fn given_names<'a>(project: &'a Project, service: &Service) -> BTreeSet<(&'static str, &'a str, &'a str)> {
    let networks = match &service.networking {
        Networking::Networks(places) => places.keys().collect(),
        _ => Vec::new(),
    };
    let networks = networks.into_iter().filter_map(|key| {
        let (key, network) = project.networks.get_key_value(key)?;
        Some(("network", key.as_str(), network.name.as_str()))
    });
    let volumes = service.mounts.iter().filter_map(|mount| {
        let MountSource::Volume { key, .. } = &mount.source else { return None };
        let (key, volume) = project.volumes.get_key_value(key)?;
        Some(("volume", key.as_str(), volume.name.as_str()))
    });
    networks.chain(volumes).filter(|(_, key, name)| *name != format!("{}_{key}", project.name)).collect()
}

fn copied_files<'a>(
    grants: &'a [FileGrant],
    objects: &'a BTreeMap<String, FileObject>,
) -> impl Iterator<Item = &'a str> {
    grants.iter().filter_map(|grant| match &objects.get(&grant.key)?.source {
        FileSource::Content(text) => Some(text.as_str()),
        FileSource::Environment { value, .. } => Some(value.as_str()),
        FileSource::File(_) | FileSource::External => None,
    })
}

/// It as a map, without the attributes that nobody wrote.
fn written<T: Serialize + Default>(asked: &T) -> Value {
    let as_map = |asked: &T| match serde_json::to_value(asked) {
        Ok(Value::Object(map)) => map,
        other => unreachable!("a part of the manifest serialises to a map, not to {other:?}"),
    };
    let mut map = as_map(asked);
    drop_defaults(&mut map, &as_map(&T::default()));
    Value::Object(map)
}

/// Takes away what is as it would be if nobody had written anything, at every depth.
fn drop_defaults(map: &mut Map<String, Value>, defaults: &Map<String, Value>) {
    map.retain(|key, value| defaults.get(key) != Some(value));
    for (key, value) in map {
        if let (Value::Object(inner), Some(Value::Object(defaults))) = (value, defaults.get(key)) {
            drop_defaults(inner, defaults);
        }
    }
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
