//! The export held against what Kompose makes of its own fixtures, object by object. Kompose is not the truth: each
//! difference is listed in `kompose.tsv` with why it is as good or better. The fixtures are no part of the project: they lie
//! in the corpus beside it, or where `HOIST_CORPUS` says, and the test says so when they are not there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde::Deserialize as _;
use serde_json::{Value, json};

/// What is said of each thing: `web`, `replicas` → `2`.
type Facts = BTreeMap<(String, String), String>;

fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let path = std::env::var_os("HOIST_CORPUS").map_or(beside, PathBuf::from).join("kompose");
    path.is_dir().then_some(path)
}

/// A fixture: its name, its manifest, and what Kompose makes of it.
fn fixtures(corpus: &Path) -> Vec<(String, PathBuf, PathBuf)> {
    let manifests = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
    let outputs = ["output-k8s.yaml", "output-k8s.json", "output-k8s-template.json"];
    let first = |folder: &Path, names: &[&str]| names.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    let mut found = Vec::new();
    let mut open = vec![corpus.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the corpus").flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
            }
        }
        if let (Some(manifest), Some(output)) = (first(&folder, &manifests), first(&folder, &outputs)) {
            let name = folder.strip_prefix(corpus).expect("it is below").display().to_string();
            found.push((name, manifest, output));
        }
    }
    found.sort();
    found
}

/// All objects of a text, which may be a stream or a list.
fn objects(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text)
        .filter_map(|document| Value::deserialize(document).ok())
        .flat_map(|document| match document.get("items").and_then(Value::as_array) {
            Some(items) => items.clone(),
            None => vec![document],
        })
        .filter(|object| object.get("kind").is_some())
        .collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn list<'v>(value: &'v Value, path: &str) -> &'v [Value] {
    value.pointer(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// What the objects say, in words that do not depend on how they are called or put together.
fn facts(objects: &[Value]) -> Facts {
    let mut facts = Facts::new();
    let mut add = |about: &str, fact: &str, value: String| {
        if !value.is_empty() {
            facts.insert((about.to_owned(), fact.to_owned()), value);
        }
    };
    for object in objects {
        let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
        match kind.as_str() {
            "Deployment" | "StatefulSet" | "DaemonSet" | "Job" | "CronJob" | "Pod" | "ReplicationController" => {
                workload(objects, object, &kind, &name, &mut add);
            }
            "Service" => {
                let ports = list(object, "/spec/ports").iter().map(|port| {
                    let target = match &port["targetPort"] {
                        Value::String(name) => named_port(objects, &object["spec"]["selector"], name),
                        target => text(target),
                    };
                    format!("{}→{target}/{}", port["port"], port["protocol"].as_str().unwrap_or("TCP"))
                });
                let mut ports: Vec<String> = ports.collect();
                ports.sort();
                add(&name, "service.ports", ports.join(" "));
                let type_ = object["spec"]["type"].as_str().unwrap_or("ClusterIP");
                let headless = object["spec"]["clusterIP"] == "None";
                add(&name, "service.type", if headless { "headless".to_owned() } else { type_.to_owned() });
                add(&name, "service.traffic", text(&object["spec"]["externalTrafficPolicy"]));
            }
            "Ingress" => {
                let hosts = list(object, "/spec/rules").iter().map(|rule| text(&rule["host"]));
                add(&name, "ingress.hosts", hosts.collect::<Vec<_>>().join(" "));
                add(&name, "ingress.class", text(&object["spec"]["ingressClassName"]));
                add(&name, "ingress.tls", text(object.pointer("/spec/tls/0/secretName").unwrap_or(&Value::Null)));
            }
            "PersistentVolumeClaim" => claim(object, &name, &mut add),
            "HorizontalPodAutoscaler" => {
                let spec = &object["spec"];
                let metrics = list(object, "/spec/metrics").iter().map(|metric| {
                    let resource = &metric["resource"];
                    format!("{}={}", text(&resource["name"]), resource["target"]["averageUtilization"])
                });
                let metrics: Vec<String> = metrics.collect();
                let value = format!("{}–{} {}", spec["minReplicas"], spec["maxReplicas"], metrics.join(" "));
                add(&name, "autoscale", value);
            }
            "ConfigMap" | "Secret" | "ServiceAccount" | "PodDisruptionBudget" | "Role" | "RoleBinding" => {}
            "Namespace" => add(&name, "namespace", "made".to_owned()),
            other => add(&name, other, "made".to_owned()),
        }
    }
    facts
}

fn claim(object: &Value, name: &str, add: &mut dyn FnMut(&str, &str, String)) {
    let size = object.pointer("/spec/resources/requests/storage").unwrap_or(&Value::Null);
    add(name, "claim.size", text(size));
    add(name, "claim.class", text(&object["spec"]["storageClassName"]));
    add(name, "claim.modes", object["spec"]["accessModes"].to_string());
    let selector = &object["spec"]["selector"];
    add(name, "claim.selector", if selector.is_null() { String::new() } else { selector.to_string() });
}

/// The number of a port that pods call so.
fn named_port(objects: &[Value], selector: &Value, name: &str) -> String {
    let selected = |object: &&Value| {
        let labels = object.pointer("/spec/template/metadata/labels");
        let wanted = selector.as_object();
        wanted.zip(labels).is_some_and(|(wanted, labels)| wanted.iter().all(|(key, value)| labels[key] == *value))
    };
    let containers = objects.iter().filter(selected).flat_map(|object| list(object, "/spec/template/spec/containers"));
    let port = containers.flat_map(|container| list(container, "/ports")).find(|port| port["name"] == name);
    port.map(|port| port["containerPort"].to_string()).unwrap_or_default()
}

fn workload(objects: &[Value], object: &Value, kind: &str, name: &str, add: &mut dyn FnMut(&str, &str, String)) {
    let pod = match kind {
        "Pod" => &object["spec"],
        "CronJob" => &object["spec"]["jobTemplate"]["spec"]["template"]["spec"],
        _ => &object["spec"]["template"]["spec"],
    };
    add(name, "kind", kind.to_owned());
    add(
        name,
        "replicas",
        object["spec"]["replicas"]
            .as_i64()
            .filter(|count| *count != 1)
            .map(|count| count.to_string())
            .unwrap_or_default(),
    );
    add(name, "schedule", text(&object["spec"]["schedule"]));
    for (fact, path) in [
        ("hostname", "/hostname"),
        ("network", "/hostNetwork"),
        ("restart", "/restartPolicy"),
        ("grace", "/terminationGracePeriodSeconds"),
        ("fsGroup", "/securityContext/fsGroup"),
        ("supplementalGroups", "/securityContext/supplementalGroups"),
        ("nodes", "/nodeSelector"),
        ("affinity", "/affinity/nodeAffinity"),
        ("pull.secrets", "/imagePullSecrets"),
        ("dns", "/dnsConfig"),
        ("aliases", "/hostAliases"),
    ] {
        let usual =
            fact == "restart" && pod[fact].is_null() || pod.pointer(path).is_some_and(|value| value == "Always");
        add(name, fact, if usual { String::new() } else { pod.pointer(path).map(text).unwrap_or_default() });
    }
    for template in list(object, "/spec/volumeClaimTemplates") {
        claim(template, &text(&template["metadata"]["name"]), add);
    }
    let init: Vec<String> = list(pod, "/initContainers").iter().map(|container| text(&container["name"])).collect();
    add(name, "init", init.join(" "));
    for container in list(pod, "/containers") {
        let about = text(&container["name"]);
        for (fact, path) in [
            ("image", "/image"),
            ("command", "/command"),
            ("args", "/args"),
            ("folder", "/workingDir"),
            ("tty", "/tty"),
            ("stdin", "/stdin"),
            ("pull", "/imagePullPolicy"),
            ("limits", "/resources/limits"),
            ("requests", "/resources/requests"),
            ("user", "/securityContext/runAsUser"),
            ("group", "/securityContext/runAsGroup"),
            ("privileged", "/securityContext/privileged"),
            ("capabilities", "/securityContext/capabilities"),
            ("read.only", "/securityContext/readOnlyRootFilesystem"),
        ] {
            let value = container.pointer(path).filter(|value| **value != json!({})).map(text).unwrap_or_default();
            add(&about, fact, value);
        }
        let ports: BTreeSet<String> = list(container, "/ports")
            .iter()
            .map(|port| format!("{}/{}", port["containerPort"], port["protocol"].as_str().unwrap_or("TCP")))
            .collect();
        add(&about, "ports", ports.into_iter().collect::<Vec<_>>().join(" "));
        for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
            add(&about, probe, if container[probe].is_null() { String::new() } else { container[probe].to_string() });
        }
        for (variable, value) in environment(objects, container) {
            add(&about, &format!("env.{variable}"), if value.is_empty() { "(empty)".to_owned() } else { value });
        }
        for mount in list(container, "/volumeMounts") {
            let own = |volume: &&Value| volume["name"] == mount["name"];
            let volume =
                list(pod, "/volumes").iter().find(own).cloned().unwrap_or_else(|| json!({ "claimTemplate": {} }));
            let kinds = volume.as_object().into_iter().flat_map(|map| map.keys()).filter(|key| *key != "name");
            let kinds: Vec<&str> = kinds.map(String::as_str).collect();
            add(&about, &format!("mount.{}", text(&mount["mountPath"])), kinds.join(" "));
        }
    }
}

/// The variables of a container, whatever they are read from.
fn environment(objects: &[Value], container: &Value) -> BTreeMap<String, String> {
    let data = |kind: &str, name: &Value, field: &str| -> BTreeMap<String, String> {
        let object = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == *name);
        let entries = object.and_then(|object| object[field].as_object());
        entries.into_iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect()
    };
    let mut found = BTreeMap::new();
    for source in list(container, "/envFrom") {
        found.extend(data("ConfigMap", &source["configMapRef"]["name"], "data"));
        found.extend(data("Secret", &source["secretRef"]["name"], "stringData"));
    }
    for variable in list(container, "/env") {
        let reference = &variable["valueFrom"]["configMapKeyRef"];
        let value = if reference.is_null() {
            text(&variable["value"])
        } else {
            data("ConfigMap", &reference["name"], "data").remove(&text(&reference["key"])).unwrap_or_default()
        };
        found.insert(text(&variable["name"]), value);
    }
    found
}

/// A listed difference: fixture, what it is about, the fact, and why it is so; `*` at an end is anything.
struct Listed {
    fixture: String,
    about: String,
    fact: String,
    theirs: String,
    ours: String,
}

fn is_like(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => pattern == text,
    }
}

fn listed() -> Vec<Listed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/export/kompose.tsv");
    let text = fs::read_to_string(path).unwrap_or_default();
    let rows = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    rows.map(|row| {
        let columns: Vec<&str> = row.split('\t').collect();
        let [fixture, about, fact, theirs, ours, reason] = columns[..] else { panic!("not six columns: {row}") };
        assert!(!reason.is_empty(), "a difference without a reason: {row}");
        let own = str::to_owned;
        Listed { fixture: own(fixture), about: own(about), fact: own(fact), theirs: own(theirs), ours: own(ours) }
    })
    .collect()
}

#[test]
fn every_difference_from_kompose_is_listed_with_its_reason() {
    let Some(corpus) = corpus() else {
        println!("SKIPPED: there is no corpus beside the project and HOIST_CORPUS is not set");
        return;
    };
    let listed = listed();
    let mut used = BTreeSet::new();
    let mut wrong = Vec::new();
    let (mut compared, mut same) = (0, 0);
    for (fixture, manifest, output) in fixtures(&corpus) {
        let mut hoist = Command::cargo_bin("hoist").expect("the binary is built");
        hoist.env_clear().arg("-f").arg(&manifest).args(["--profile", "*", "export", "kubernetes", "--stdout"]);
        let made = hoist.args(["--secrets", "values", "--wait", "none"]).output().expect("the binary runs");
        if !made.status.success() {
            let said = String::from_utf8_lossy(&made.stderr);
            let matching = listed.iter().position(|row| is_like(&row.fixture, &fixture) && row.ours == "refused");
            match matching {
                Some(at) => drop(used.insert(at)),
                None => wrong.push(format!("{fixture}: not exported: {}", said.lines().next().unwrap_or_default())),
            }
            continue;
        }
        let ours = facts(&objects(&String::from_utf8_lossy(&made.stdout)));
        let theirs = facts(&objects(&fs::read_to_string(&output).expect("what Kompose makes")));
        compared += 1;
        let keys: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        for key in keys {
            let (their, our) = (theirs.get(key).map_or("", |it| it), ours.get(key).map_or("", |it| it));
            if their == our {
                same += 1;
                continue;
            }
            let matching = listed.iter().position(|row| {
                is_like(&row.fixture, &fixture)
                    && is_like(&row.about, &key.0)
                    && is_like(&row.fact, &key.1)
                    && is_like(&row.theirs, their)
                    && is_like(&row.ours, our)
            });
            match matching {
                Some(at) => drop(used.insert(at)),
                None => wrong.push(format!("{fixture}\t{}\t{}\t{their}\t{our}\t", key.0, key.1)),
            }
        }
    }
    for (at, row) in listed.iter().enumerate().filter(|(at, _)| !used.contains(at)) {
        wrong.push(format!("row {at} is not used: {} {} {}", row.fixture, row.about, row.fact));
    }
    println!("{compared} fixtures, {same} facts are the same, {} rows of differences", listed.len());
    assert!(wrong.is_empty() && compared > 30, "{}", wrong.join("\n"));
}
