//! The digest in a pod's annotation of what the pod reads from `ConfigMap`s and Secrets, so that a change of their
//! content rolls out.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodSpec;
use sha2::{Digest as _, Sha256};

use crate::project::hexadecimal;

use super::{Kind, Object, Reference};

/// The annotation.
pub(super) const ANNOTATION: &str = "checksum/config";

/// Writes the digests anew. Whoever changes the content of a `ConfigMap` or Secret afterwards calls it again.
pub fn update_digests(objects: &mut [Object]) {
    let contents: BTreeMap<Reference, [u8; 32]> =
        objects.iter().filter_map(|object| Some((object.reference(), content(object)?))).collect();
    for object in objects {
        let Some(template) = object.template_mut() else { continue };
        let read = template.spec.as_ref().map(references).unwrap_or_default();
        let mut digest = Sha256::new();
        let mut any = false;
        for (reference, content) in read.iter().filter_map(|reference| contents.get_key_value(reference)) {
            any = true;
            digest.update(reference.kind.as_str());
            digest.update([0]);
            digest.update(&reference.name);
            digest.update([0]);
            digest.update(content);
        }
        let annotations = &mut template.metadata.get_or_insert_default().annotations;
        if any {
            let short = hexadecimal(&digest.finalize()[..8]);
            annotations.get_or_insert_default().insert(ANNOTATION.to_owned(), short);
        } else if let Some(annotations) = annotations {
            annotations.remove(ANNOTATION);
        }
    }
}

/// The digest of what an object holds for pods.
fn content(object: &Object) -> Option<[u8; 32]> {
    let mut digest = Sha256::new();
    let mut entry = |key: &str, value: &[u8]| {
        for part in [key.as_bytes(), value] {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
    };
    match object {
        Object::ConfigMap(map) => {
            map.data.iter().flatten().for_each(|(key, value)| entry(key, value.as_bytes()));
            map.binary_data.iter().flatten().for_each(|(key, value)| entry(key, &value.0));
        }
        Object::Secret(secret) => {
            secret.string_data.iter().flatten().for_each(|(key, value)| entry(key, value.as_bytes()));
            secret.data.iter().flatten().for_each(|(key, value)| entry(key, &value.0));
        }
        _ => return None,
    }
    Some(digest.finalize().into())
}

/// The `ConfigMap`s and Secrets that a pod reads, sorted.
pub(super) fn references(pod: &PodSpec) -> Vec<Reference> {
    let mut found = Vec::new();
    let mut add = |kind: Kind, name: Option<&String>| {
        found.extend(name.map(|name| Reference { kind, name: name.clone() }));
    };
    for volume in pod.volumes.iter().flatten() {
        add(Kind::ConfigMap, volume.config_map.as_ref().map(|source| &source.name));
        add(Kind::Secret, volume.secret.as_ref().and_then(|source| source.secret_name.as_ref()));
        for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
            add(Kind::ConfigMap, source.config_map.as_ref().map(|source| &source.name));
            add(Kind::Secret, source.secret.as_ref().map(|source| &source.name));
        }
    }
    for container in pod.containers.iter().chain(pod.init_containers.iter().flatten()) {
        for source in container.env_from.iter().flatten() {
            add(Kind::ConfigMap, source.config_map_ref.as_ref().map(|source| &source.name));
            add(Kind::Secret, source.secret_ref.as_ref().map(|source| &source.name));
        }
    }
    found.sort();
    found.dedup();
    found
}
