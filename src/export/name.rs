//! Names that Kubernetes accepts for what the manifest calls as it likes.
//!
//! A name keeps to itself: whether `my_svc` becomes `my-svc` does not depend on the order of services, only on whether
//! somebody else is called that. Sources: the Kubernetes documentation, "Object Names and IDs" and "Labels and
//! Selectors".

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use crate::project::syntax::{LABEL_LENGTH, SUBDOMAIN_LENGTH};
use crate::project::{MountSource, Project, hexadecimal};

use super::hosts::aliases;

/// The names that the project's parts have in the cluster, by their key in the manifest.
pub(super) struct Names {
    pub(super) services: BTreeMap<String, String>,
    pub(super) volumes: BTreeMap<String, String>,
    pub(super) configs: BTreeMap<String, String>,
    pub(super) secrets: BTreeMap<String, String>,
    /// Which service answers to a further name, by that name; never the name of a service itself.
    pub(super) aliases: BTreeMap<String, String>,
}

impl Names {
    pub(super) fn of(project: &Project) -> Self {
        let services = assign(project.services.keys(), &BTreeSet::new());
        let reserved: BTreeSet<String> =
            services.values().flat_map(|name| [environment_object(name), files_object(name)]).collect();
        Self {
            volumes: assign(volume_keys(project).into_iter(), &BTreeSet::new()),
            configs: assign(project.configs.keys(), &reserved),
            secrets: assign(project.secrets.keys(), &reserved),
            aliases: alias_owners(project, &services),
            services,
        }
    }

    /// The name of a service; its own when the project does not know it.
    pub(super) fn service(&self, key: &str) -> String {
        self.services.get(key).cloned().unwrap_or_else(|| label(key))
    }
}

/// The `ConfigMap` and the Secret that hold a service's environment.
pub(super) fn environment_object(service: &str) -> String {
    format!("{service}-env")
}

/// The `ConfigMap` and the Secret that hold the single files bound into a service.
pub(super) fn files_object(service: &str) -> String {
    format!("{service}-files")
}

/// The volumes that are declared or mounted.
fn volume_keys(project: &Project) -> BTreeSet<&String> {
    let mounted =
        project.services.values().flat_map(|service| &service.mounts).filter_map(|mount| match &mount.source {
            MountSource::Volume { key, .. } => Some(key),
            _ => None,
        });
    project.volumes.keys().chain(mounted).collect()
}

/// The first service that claims a name has it; aliases come before container names.
fn alias_owners(project: &Project, services: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let taken: BTreeSet<&String> = services.values().collect();
    let written = project.services.values().flat_map(|service| aliases(service).map(move |alias| (alias, service)));
    let containers =
        project.services.values().filter_map(|service| Some((service.container_name.as_deref()?, service)));
    let links = project.services.values().flat_map(|service| &service.links);
    let links = links.filter_map(|link| Some((link.alias.as_str(), project.services.get(&link.target)?)));
    let mut owners = BTreeMap::new();
    for (alias, service) in written.chain(links).chain(containers) {
        let name = label(alias);
        if !taken.contains(&name) {
            owners.entry(name).or_insert_with(|| service.name.clone());
        }
    }
    owners
}

/// A valid name for each key, no two the same and none of the reserved ones. A key that is valid already keeps its name.
fn assign<'a>(keys: impl Iterator<Item = &'a String>, reserved: &BTreeSet<String>) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    let mut taken = reserved.clone();
    let (valid, other): (Vec<_>, Vec<_>) = keys.partition(|key| label(key) == **key);
    for key in valid.into_iter().chain(other) {
        let plain = label(key);
        let name = if taken.contains(&plain) { with_digest(&plain, key) } else { plain };
        taken.insert(name.clone());
        names.insert(key.clone(), name);
    }
    names
}

/// A name that keeps apart what would otherwise be called the same.
pub(super) fn with_digest(name: &str, key: &str) -> String {
    let digest = short_digest(key.as_bytes(), 8);
    let kept: String = name.chars().take(LABEL_LENGTH - digest.len() - 1).collect();
    format!("{}-{digest}", kept.trim_end_matches('-'))
}

/// A name of so many letters at most.
pub(super) fn shortened(name: &str, length: usize) -> String {
    if name.len() <= length {
        return name.to_owned();
    }
    let digest = short_digest(name.as_bytes(), 8);
    let kept: String = name.chars().take(length - digest.len() - 1).collect();
    format!("{}-{digest}", kept.trim_end_matches('-'))
}

/// The first hexadecimal digits of a SHA-256.
fn short_digest(bytes: &[u8], digits: usize) -> String {
    let mut text = hexadecimal(&Sha256::digest(bytes));
    text.truncate(digits);
    text
}

/// The nearest DNS label that starts with a letter, as the name of a Service must (RFC 1035).
pub(super) fn label(text: &str) -> String {
    let mut name = dashed(text);
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        name = format!("s-{name}");
    }
    if name.len() > LABEL_LENGTH {
        return with_digest(&name, text);
    }
    name.trim_end_matches('-').to_owned()
}

/// Lower-case letters, digits and single dashes, none at an end.
fn dashed(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            name.push(character.to_ascii_lowercase());
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    name.trim_end_matches('-').to_owned()
}

/// The nearest value that a label may have: at most 63 of `[A-Za-z0-9._-]`, a letter or digit at both ends.
pub(super) fn label_value(text: &str) -> String {
    let replaced: String = text
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() || "._-".contains(character) { character } else { '-' })
        .take(LABEL_LENGTH)
        .collect();
    replaced.trim_matches(|end: char| !end.is_ascii_alphanumeric()).to_owned()
}

/// The nearest name that a port may have: at most 15 of `[a-z0-9-]`, with a letter, no two dashes in a row.
pub(super) fn port_name(text: &str) -> String {
    let mut name: String = dashed(text).chars().take(15).collect();
    name.truncate(name.trim_end_matches('-').len());
    if !name.contains(|character: char| character.is_ascii_lowercase()) {
        name = format!("p-{name}").chars().take(15).collect();
    }
    name.trim_end_matches('-').to_owned()
}

/// The nearest key of a `ConfigMap` or Secret.
pub(super) fn data_key(text: &str) -> String {
    let key: String = text
        .chars()
        .map(|character| if is_data_key_character(character) { character } else { '_' })
        .take(SUBDOMAIN_LENGTH)
        .collect();
    if key.is_empty() || key == "." || key.starts_with("..") { format!("file{key}") } else { key }
}

pub(super) fn is_data_key(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= SUBDOMAIN_LENGTH
        && text != "."
        && !text.starts_with("..")
        && text.chars().all(is_data_key_character)
}

fn is_data_key_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_.".contains(character)
}

/// Whether an environment variable may be called that: every version of Kubernetes takes a C identifier with dots and
/// dashes.
pub(super) fn is_variable(text: &str) -> bool {
    is_data_key(text) && !text.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

    use super::{assign, data_key, is_data_key, label, label_value, port_name, short_digest};
    use crate::project::syntax::{is_label, is_label_value};
    use std::collections::BTreeSet;

    #[test]
    fn an_underscore_becomes_a_dash_and_a_leading_digit_gets_a_letter() {
        assert_eq!(label("my_svc"), "my-svc");
        assert_eq!(label("My.Svc"), "my-svc");
        assert_eq!(label("1password"), "s-1password");
        assert_eq!(label("web"), "web");
    }

    #[test]
    fn two_keys_that_would_be_called_the_same_stay_apart_and_the_valid_one_keeps_its_name() {
        let keys = ["a_b".to_owned(), "a-b".to_owned(), "a.b".to_owned()];
        let names = assign(keys.iter(), &BTreeSet::new());
        assert_eq!(names["a-b"], "a-b");
        assert_eq!(names.values().collect::<BTreeSet<_>>().len(), 3);
    }

    #[test]
    fn a_digest_has_as_many_digits_as_asked_for() {
        assert_eq!(short_digest(b"x", 7).len(), 7);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn whatever_a_key_is_its_name_is_valid(text in any::<String>(), long in "[a-zA-Z0-9._-]{1,120}") {
            for text in [text, long] {
                prop_assert!(is_label(&label(&text), false), "{text:?} gave {:?}", label(&text));
                prop_assert!(is_label_value(&label_value(&text)));
                prop_assert!(is_data_key(&data_key(&text)));
                let port = port_name(&text);
                prop_assert!((1..=15).contains(&port.len()) && !port.contains("--"), "{port:?}");
                prop_assert!(port.contains(|letter: char| letter.is_ascii_lowercase()));
                prop_assert!(is_label(&port, true));
            }
        }

        #[test]
        fn any_set_of_service_names_gives_as_many_different_names(keys in proptest::collection::btree_set("[a-c_.-]{1,4}", 1..40)) {
            let names = assign(keys.iter(), &BTreeSet::new());
            prop_assert_eq!(names.values().collect::<BTreeSet<_>>().len(), keys.len());
        }
    }
}
