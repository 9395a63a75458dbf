//! The rules that a real API server has beyond types and required fields, held against an export before it is written.
//!
//! No schema knows them: that names are DNS names, that a selector matches its pods, that what is referred to is there.
//! A violation is a mistake of the export, not of the project.

mod pods;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use crate::project::syntax::{is_label, is_label_value, is_qualified, is_subdomain};

use super::{Kind, Object, Reference};

/// An object that an API server would refuse, or that could not do what it is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The object.
    pub object: Reference,
    /// The field: `spec.template.spec.containers.web.ports`.
    pub field: String,
    /// The rule that it breaks.
    pub rule: String,
}

impl Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reference { kind, name } = &self.object;
        write!(formatter, "{} `{name}`: `{}` {}", kind.as_str(), self.field, self.rule)
    }
}

/// Checks objects that are to be applied together; `external` are those that others make. The result is sorted.
#[must_use]
pub fn check(objects: &[Object], external: &BTreeSet<Reference>) -> Vec<Violation> {
    let known = Known::of(objects, external);
    let mut violations = Vec::new();
    let mut seen = BTreeSet::new();
    for object in objects {
        let mut findings = Findings { object: object.reference(), violations: &mut violations };
        if !seen.insert(object.reference()) {
            findings.add("metadata.name", "is the name of another object of its kind");
        }
        check_metadata(object, &known, &mut findings);
        rules::check(object, &known, &mut findings);
    }
    violations.sort();
    violations
}

/// What the objects may refer to.
struct Known<'a> {
    references: BTreeSet<Reference>,
    objects: BTreeMap<Reference, &'a Object>,
    /// The keys of the `ConfigMap`s and Secrets that are exported.
    keys: BTreeMap<Reference, BTreeSet<&'a str>>,
    /// The labels of all pods, and the names of their ports.
    pods: Vec<(BTreeMap<&'a str, &'a str>, BTreeSet<&'a str>)>,
    /// Which pods have a label.
    by_label: BTreeMap<(&'a str, &'a str), Vec<usize>>,
    /// The namespaces that are made.
    namespaces: BTreeSet<&'a str>,
}

impl<'a> Known<'a> {
    fn of(objects: &'a [Object], external: &BTreeSet<Reference>) -> Self {
        let references = objects.iter().map(Object::reference).chain(external.iter().cloned()).collect();
        let keys = objects.iter().map(|object| (object.reference(), rules::data_keys(object))).collect();
        let mut pods = Vec::new();
        let mut by_label: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for template in objects.iter().filter_map(Object::template) {
            let labels = template.metadata.iter().flat_map(|metadata| metadata.labels.iter().flatten());
            let labels: BTreeMap<&str, &str> = labels.map(|(key, value)| (key.as_str(), value.as_str())).collect();
            for (key, value) in &labels {
                by_label.entry((*key, *value)).or_default().push(pods.len());
            }
            let containers = template.spec.iter().flat_map(|spec| &spec.containers);
            let ports = containers.flat_map(|container| container.ports.iter().flatten());
            pods.push((labels, ports.filter_map(|port| port.name.as_deref()).collect()));
        }
        let namespaces = objects.iter().filter(|object| object.kind() == Kind::Namespace).map(Object::name).collect();
        let by_reference = objects.iter().map(|object| (object.reference(), object)).collect();
        Self { references, objects: by_reference, keys, pods, by_label, namespaces }
    }

    /// The pods that have all of these labels, by the names of their ports.
    fn selected(&self, wanted: &BTreeMap<String, String>) -> Vec<&BTreeSet<&'a str>> {
        let rarest = wanted
            .iter()
            .map(|(key, value)| {
                self.by_label.get(&(key.as_str(), value.as_str())).map(Vec::as_slice).unwrap_or_default()
            })
            .min_by_key(|pods| pods.len());
        let has_all = |labels: &BTreeMap<&str, &str>| {
            wanted.iter().all(|(key, value)| labels.get(key.as_str()) == Some(&value.as_str()))
        };
        let pods = rarest.into_iter().flatten().filter_map(|at| self.pods.get(*at));
        pods.filter(|(labels, _)| has_all(labels)).map(|(_, ports)| ports).collect()
    }
}

struct Findings<'a> {
    object: Reference,
    violations: &'a mut Vec<Violation>,
}

impl Findings<'_> {
    fn add(&mut self, field: impl Into<String>, rule: impl Into<String>) {
        self.violations.push(Violation { object: self.object.clone(), field: field.into(), rule: rule.into() });
    }

    fn need(&mut self, holds: bool, field: &str, rule: &str) {
        if !holds {
            self.add(field, rule);
        }
    }

    /// That something refers to an object that is there, and to keys that it has.
    fn refers<'k>(
        &mut self,
        kind: Kind,
        name: &str,
        mut keys: impl Iterator<Item = &'k str>,
        place: &str,
        known: &Known<'_>,
    ) {
        let reference = Reference { kind, name: name.to_owned() };
        if !known.references.contains(&reference) {
            self.add(place, format!("refers to the {} `{name}`, which is not there", kind.as_str()));
        } else if let Some(there) = known.keys.get(&reference) {
            let all = keys.all(|key| there.contains(key));
            let rule = format!("refers to a key that the {} `{name}` does not have", kind.as_str());
            self.need(all, place, &rule);
        }
    }
}

fn check_metadata(object: &Object, known: &Known<'_>, findings: &mut Findings<'_>) {
    let name = object.name();
    let name_is_valid = match object.kind() {
        Kind::Service => is_label(name, false),
        // Pods carry the name as a label.
        Kind::Job | Kind::Namespace => is_label(name, true),
        Kind::CronJob | Kind::StatefulSet => is_label(name, true) && name.len() <= 52,
        _ => is_subdomain(name),
    };
    findings.need(name_is_valid, "metadata.name", "is not a DNS name");
    let metadata = object.metadata();
    if let Some(namespace) = &metadata.namespace {
        findings.need(is_label(namespace, true), "metadata.namespace", "is not a DNS label");
        let is_there = known.namespaces.is_empty() || known.namespaces.contains(namespace.as_str());
        findings.need(is_there, "metadata.namespace", "is not the one that is made");
    } else {
        let is_apart = known.namespaces.is_empty() || object.kind() == Kind::Namespace;
        findings.need(is_apart, "metadata.namespace", "is missing, although one is made");
    }
    check_labels("metadata", metadata, findings);
}

fn check_labels(place: &str, metadata: &ObjectMeta, findings: &mut Findings<'_>) {
    for (key, value) in metadata.labels.iter().flatten() {
        findings.need(is_qualified(key), &format!("{place}.labels"), "has a key that is not valid");
        findings.need(is_label_value(value), &format!("{place}.labels.{key}"), "is not a valid value of a label");
    }
    let annotations = metadata.annotations.iter().flatten();
    let size: usize = annotations.clone().map(|(key, value)| key.len() + value.len()).sum();
    findings.need(size <= 256 * 1024, &format!("{place}.annotations"), "are more than 256 KiB");
    for (key, _) in annotations {
        findings.need(
            is_qualified(&key.to_ascii_lowercase()),
            &format!("{place}.annotations"),
            "has a key that is not valid",
        );
    }
}

/// That a selector selects something, and only by labels that are valid.
fn check_selector(selector: Option<&LabelSelector>, place: &str, known: &Known<'_>, findings: &mut Findings<'_>) {
    let labels = selector.and_then(|selector| selector.match_labels.as_ref());
    let selects = labels.is_some_and(|labels| !labels.is_empty() && !known.selected(labels).is_empty());
    findings.need(selects, place, "matches no pods");
}

#[cfg(test)]
mod tests;
