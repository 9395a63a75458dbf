//! On which nodes pods run: the platform of their image, what the manifest asks of nodes, and replicas apart from each
//! other.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm, PodAntiAffinity,
    TopologySpreadConstraint, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::project::Service;
use crate::project::kubernetes::WorkloadKind;
use crate::project::syntax::{is_label_value, is_qualified};

use super::pod::selector;
use super::{Context, Export, scale, service_key};

const HOST: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// Where pods run.
#[derive(Default)]
pub(super) struct Placement {
    pub(super) node_selector: Option<BTreeMap<String, String>>,
    pub(super) affinity: Option<Affinity>,
    pub(super) spread: Option<Vec<TopologySpreadConstraint>>,
}

/// Where a service's pods run.
pub(super) fn of<'a>(context: &Context<'a>, service: &'a Service, export: &mut Export) -> Placement {
    let mut labels = node_selector(service, export);
    let mut rules = Vec::new();
    for constraint in &service.cluster.constraints {
        match requirement(constraint) {
            Some((key, false, value)) if key != ROLE => drop(labels.insert(key, value)),
            Some((key, is_not, value)) => rules.push(rule(key, is_not, value)),
            None => {
                let reason = "it names nothing that a node of Kubernetes has";
                export.dropped(service_key(service, &format!("deploy.placement.constraints.{constraint}")), reason);
            }
        }
    }
    let has_replicas = scale::most_replicas(context, service) > 1;
    let is_spread =
        has_replicas && matches!(context.kind(service), WorkloadKind::Deployment | WorkloadKind::StatefulSet);
    let apart = is_spread.then(|| anti_affinity(context, service, export));
    let affinity = Affinity {
        node_affinity: (!rules.is_empty()).then(|| NodeAffinity {
            required_during_scheduling_ignored_during_execution: Some(NodeSelector {
                node_selector_terms: vec![NodeSelectorTerm { match_expressions: Some(rules), match_fields: None }],
            }),
            ..NodeAffinity::default()
        }),
        pod_anti_affinity: apart,
        pod_affinity: None,
    };
    Placement {
        node_selector: (!labels.is_empty()).then_some(labels),
        affinity: (affinity != Affinity::default()).then_some(affinity),
        spread: is_spread.then(|| spread(context, service, export)),
    }
}

/// What a constraint on the role of a node becomes a label of.
const ROLE: &str = "node-role.kubernetes.io/control-plane";

/// The label of a node, whether it must not have it, and the value.
fn requirement(constraint: &str) -> Option<(String, bool, String)> {
    let (name, is_not, value) = match constraint.split_once("!=") {
        Some((name, value)) => (name, true, value),
        None => constraint.split_once("==").map(|(name, value)| (name, false, value))?,
    };
    let (name, value) = (name.trim(), value.trim());
    let key = match name {
        "node.hostname" => HOST.to_owned(),
        "node.platform.os" => "kubernetes.io/os".to_owned(),
        "node.platform.arch" => "kubernetes.io/arch".to_owned(),
        "node.role" => {
            let is_control = value == "manager";
            return Some((ROLE.to_owned(), is_control == is_not, String::new()));
        }
        name => name.strip_prefix("node.labels.")?.to_owned(),
    };
    let value = match (name, value) {
        ("node.platform.arch", "x86_64") => "amd64",
        ("node.platform.arch", "aarch64") => "arm64",
        (_, value) => value,
    };
    (is_qualified(&key) && is_label_value(value)).then(|| (key, is_not, value.to_owned()))
}

fn rule(key: String, is_not: bool, value: String) -> NodeSelectorRequirement {
    let (operator, values) = match (key == ROLE, is_not) {
        (true, true) => ("DoesNotExist", None),
        (true, false) => ("Exists", None),
        (false, true) => ("NotIn", Some(vec![value])),
        (false, false) => ("In", Some(vec![value])),
    };
    NodeSelectorRequirement { key, operator: operator.to_owned(), values }
}

fn node_selector(service: &Service, export: &mut Export) -> BTreeMap<String, String> {
    let Some(platform) = service.platform.as_deref() else { return BTreeMap::new() };
    let mut parts = platform.split('/');
    let (os, architecture) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let known = ["linux", "windows"].contains(&os)
        && ["amd64", "arm64", "arm", "386", "ppc64le", "s390x", "riscv64"].contains(&architecture);
    if !known {
        let reason = format!("`{platform}` is no system and architecture of a node");
        export.dropped(service_key(service, "platform"), reason);
        return BTreeMap::new();
    }
    BTreeMap::from([
        ("kubernetes.io/arch".to_owned(), architecture.to_owned()),
        ("kubernetes.io/os".to_owned(), os.to_owned()),
    ])
}

fn anti_affinity<'a>(context: &Context<'a>, service: &'a Service, export: &mut Export) -> PodAntiAffinity {
    let term = PodAffinityTerm {
        label_selector: Some(pods(context, service)),
        topology_key: HOST.to_owned(),
        ..PodAffinityTerm::default()
    };
    match service.cluster.max_per_node {
        Some(1) => PodAntiAffinity {
            required_during_scheduling_ignored_during_execution: Some(vec![term]),
            ..PodAntiAffinity::default()
        },
        most => {
            if most.is_some() {
                let key = service_key(service, "deploy.placement.max_replicas_per_node");
                export.approximated(key, "replicas are kept apart where nodes allow it");
            }
            let term = WeightedPodAffinityTerm { pod_affinity_term: term, weight: 100 };
            PodAntiAffinity {
                preferred_during_scheduling_ignored_during_execution: Some(vec![term]),
                ..PodAntiAffinity::default()
            }
        }
    }
}

fn pods(context: &Context<'_>, service: &Service) -> LabelSelector {
    LabelSelector { match_labels: Some(selector(context, service)), match_expressions: None }
}

/// Replicas over nodes and zones, as evenly as the cluster allows, never at the price of one that does not run.
fn spread<'a>(context: &Context<'a>, service: &'a Service, export: &mut Export) -> Vec<TopologySpreadConstraint> {
    let mut keys = Vec::new();
    for label in &service.cluster.spread {
        match label.strip_prefix("node.labels.").filter(|key| is_qualified(key)) {
            Some(key) => keys.push(key.to_owned()),
            None if label == "node.hostname" => keys.push(HOST.to_owned()),
            None => {
                let key = service_key(service, &format!("deploy.placement.preferences.{label}"));
                export.dropped(key, "it names nothing that a node of Kubernetes has");
            }
        }
    }
    for usual in [HOST, ZONE] {
        if !keys.iter().any(|key| key == usual) {
            keys.push(usual.to_owned());
        }
    }
    let constraint = |topology_key: String| TopologySpreadConstraint {
        label_selector: Some(pods(context, service)),
        max_skew: 1,
        topology_key,
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        ..TopologySpreadConstraint::default()
    };
    keys.into_iter().map(constraint).collect()
}
