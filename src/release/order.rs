//! In which order objects are applied: what others need comes first, and what waits for a Job comes after its end.

use std::collections::{BTreeMap, BTreeSet};

use super::item::{Id, Item};

/// Objects that are applied one after the other, once the waves before have been.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Wave {
    /// The objects, in their order.
    pub items: Vec<Item>,
    /// The Jobs that must be done before the next wave.
    pub jobs: Vec<Id>,
}

/// Whether an object runs pods.
#[must_use]
pub fn is_workload(kind: &str) -> bool {
    matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet" | "Job" | "CronJob")
}

fn rank(kind: &str) -> u8 {
    match kind {
        "ServiceAccount" | "Role" | "RoleBinding" => 0,
        "ConfigMap" | "Secret" | "ExternalSecret" | "SealedSecret" => 1,
        "PersistentVolumeClaim" => 2,
        "Service" => 3,
        kind if is_workload(kind) => 5,
        _ => 4,
    }
}

/// Sorts objects into waves. `jobs` are, for each service, the services that it waits for until they have ended, both by
/// the names that they have in the cluster.
#[must_use]
pub fn waves(items: Vec<Item>, jobs: &BTreeMap<String, BTreeSet<String>>) -> Vec<Wave> {
    let mut sorted: BTreeMap<usize, Vec<Item>> = BTreeMap::new();
    for item in items {
        let level = match item.service() {
            Some(service) if is_workload(&item.id.kind) => 1 + level(service, jobs, &mut BTreeSet::new()),
            None if is_workload(&item.id.kind) => 1,
            _ => 0,
        };
        sorted.entry(level).or_default().push(item);
    }
    let needed: BTreeSet<&String> = jobs.values().flatten().collect();
    let waves = sorted.into_values().map(|mut items| {
        items.sort_by_key(|item| (rank(&item.id.kind), item.id.clone()));
        let jobs = items.iter().filter(|item| {
            item.id.kind == "Job" && item.service().is_some_and(|service| needed.iter().any(|name| *name == service))
        });
        let jobs = jobs.map(|item| item.id.clone()).collect();
        Wave { items, jobs }
    });
    waves.collect()
}

/// How many Jobs, one after the other, a service waits for.
fn level<'a>(service: &'a str, jobs: &'a BTreeMap<String, BTreeSet<String>>, above: &mut BTreeSet<&'a str>) -> usize {
    // A manifest whose services depend on each other in a circle does not load.
    if !above.insert(service) {
        return 0;
    }
    let needed = jobs.get(service).into_iter().flatten();
    let level = needed.map(|job| 1 + level(job, jobs, above)).max().unwrap_or(0);
    above.remove(service);
    level
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::json;

    use super::super::item::{Id, Item};
    use super::waves;

    fn item(kind: &str, name: &str) -> Item {
        let body = json!({ "kind": kind, "apiVersion": "v1", "metadata": {
            "name": name, "labels": { "app.kubernetes.io/name": name }
        } });
        Item { id: Id::of(&body), body }
    }

    #[test]
    fn what_others_need_comes_first_and_who_waits_for_a_job_comes_after_it() {
        let items = [
            item("Deployment", "web"),
            item("Job", "migrate"),
            item("Job", "seed"),
            item("StatefulSet", "db"),
            item("Ingress", "web"),
            item("Service", "web"),
            item("PersistentVolumeClaim", "data"),
            item("ConfigMap", "web-env"),
            item("ServiceAccount", "web"),
        ];
        let needs = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let jobs =
            BTreeMap::from([("web".to_owned(), needs(&["migrate", "seed"])), ("seed".to_owned(), needs(&["migrate"]))]);
        let waves = waves(items.into(), &jobs);
        let shown: Vec<String> = waves
            .iter()
            .map(|wave| {
                let names: Vec<String> =
                    wave.items.iter().map(|item| format!("{}/{}", item.id.kind, item.id.name)).collect();
                format!("{} then {}", names.join(" "), wave.jobs.len())
            })
            .collect();
        assert_eq!(
            shown,
            [
                "ServiceAccount/web ConfigMap/web-env PersistentVolumeClaim/data Service/web Ingress/web then 0",
                "Job/migrate StatefulSet/db then 1",
                "Job/seed then 1",
                "Deployment/web then 0",
            ]
        );
    }
}
