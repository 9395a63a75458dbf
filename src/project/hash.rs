//! The stable hash of a service's configuration, which decides whether a running container is still the one asked for.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{FileGrant, FileObject, FileSource, Project, Service};

/// SHA-256, in hexadecimal, of what a container of this service is created from.
///
/// Left out is what does not change a container: how its image is built, how many there are, whom it waits for, its
/// profiles and its watch rules. What nobody wrote is left out too, so that a newer hoist with more attributes gives
/// the same hash to a file that uses none of them. Put in is the content of secrets and configs that are copied into the
/// container: when it changes, only a new container sees it.
#[must_use]
pub fn config_hash(project: &Project, service: &Service) -> String {
    let mut reduced = service.clone();
    reduced.image = Some(project.image_of(service));
    reduced.build = None;
    reduced.replicas = 0;
    reduced.depends_on.clear();
    reduced.profiles.clear();
    reduced.watch.clear();
    reduced.extensions.clear();
    let files: Vec<&str> = copied_files(&service.secrets, &project.secrets)
        .chain(copied_files(&service.configs, &project.configs))
        .collect();
    let value = serde_json::json!({ "service": written(&reduced), "files": files });
    hexadecimal(&Sha256::digest(value.to_string().as_bytes()))
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

/// The service as a map, without the attributes that nobody wrote.
fn written(service: &Service) -> Value {
    let as_map = |service: &Service| match serde_json::to_value(service) {
        Ok(Value::Object(map)) => map,
        other => unreachable!("a service serialises to a map, not to {other:?}"),
    };
    let defaults = as_map(&Service::default());
    let mut map = as_map(service);
    map.retain(|key, value| defaults.get(key) != Some(value));
    Value::Object(map)
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
