//! Forty-eight objects of one defect each that a real API server refuses, and what of hoist's keeps each from being
//! written: a type that has no place for it, the writer that quotes what could be mistaken, or a rule of the check.

use hoist::export::{Export, Object, SecretValues, check, document};
use serde_json::{Value, json};

use crate::support::{exported, loaded};

/// A project whose export has an object of nearly every kind.
const PROJECT: &str = "
name: shop
services:
  web:
    image: web:1
    ports: ['80:80', '443:443']
    environment: { MODE: 'on', API_TOKEN: secret }
    user: '1000'
    healthcheck: { test: [CMD, curl, -f, 'http://localhost/'] }
    deploy:
      replicas: 2
      resources: { limits: { cpus: '1', memory: 256M }, reservations: { cpus: '0.5', memory: 128M } }
    depends_on: { db: { condition: service_healthy }, seed: { condition: service_completed_successfully } }
    tmpfs: [/tmp]
    x-hoist: { kubernetes: { host: shop.example.com, tls: true, autoscale: { max: 5 } } }
  api:
    image: api:1
    expose: ['9000']
    x-hoist: { kubernetes: { host: api.example.com, gateway: public } }
  db:
    image: postgres:17
    volumes: ['data:/var/lib/postgresql/data']
    healthcheck: { test: [CMD, pg_isready] }
  seed: { image: seed:1, depends_on: [db] }
  nightly:
    image: seed:1
    x-hoist: { kubernetes: { schedule: '0 3 * * *' } }
  worker: { image: worker:1, volumes: ['shared:/a'] }
  helper: { image: worker:1, volumes: ['shared:/b'] }
volumes: { data: {}, shared: {} }
x-hoist: { kubernetes: { namespace: shop, network_policies: true } }
";

fn export() -> Export {
    exported(&loaded(PROJECT), SecretValues::Values)
}

/// What became of a defect.
#[derive(Debug, PartialEq, Eq)]
enum Kept {
    /// The type refuses it, or has no place for it.
    ByType,
    /// A rule finds it.
    ByRule(String),
    /// Nothing does.
    ByNothing,
}

/// Brings a defect into one object, and looks who finds it.
fn kept(kind: &str, name: &str, defect: &dyn Fn(&mut Value)) -> Kept {
    let mut export = export();
    let at = export.objects.iter().position(|object| object.kind().as_str() == kind && object.name() == name);
    let at = at.unwrap_or_else(|| panic!("no {kind} `{name}` in {:?}", names(&export)));
    let mut value = serde_json::to_value(&export.objects[at]).expect("an object is JSON");
    defect(&mut value);
    let Ok(object) = Object::from_value(value.clone()) else { return Kept::ByType };
    if serde_json::to_value(&object).expect("an object is JSON") != value {
        return Kept::ByType;
    }
    export.objects[at] = object;
    let found = check(&export.objects, &export.external);
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    if found.is_empty() { Kept::ByNothing } else { Kept::ByRule(found.join("; ")) }
}

fn names(export: &Export) -> Vec<String> {
    export.objects.iter().map(Object::file_name).collect()
}

/// Sets what stands at a path, or takes it away.
fn set(value: &mut Value, path: &str, to: Value) {
    let (above, last) = path.rsplit_once('/').expect("a path");
    let parent = value.pointer_mut(above).unwrap_or_else(|| panic!("nothing at {above}"));
    match (parent, last.parse::<usize>()) {
        (Value::Array(items), Ok(at)) if at < items.len() => items[at] = to,
        (Value::Array(items), _) => items.push(to),
        (Value::Object(map), _) if to.is_null() => drop(map.remove(last)),
        (Value::Object(map), _) => drop(map.insert(last.to_owned(), to)),
        (other, _) => panic!("nothing can be set in {other}"),
    }
}

const POD: &str = "/spec/template/spec";
const MAIN: &str = "/spec/template/spec/containers/0";

/// The defects: what each is called, the object, where it stands, what stands there, and what finds it (nothing is a
/// type).
fn defects() -> Vec<(&'static str, &'static str, &'static str, String, Value, &'static str)> {
    let at = |base: &str, rest: &str| format!("{base}/{rest}");
    let probe = json!({ "httpGet": { "port": "http" }, "exec": { "command": ["x"] } });
    let port = |name: &str, number: i32| json!({ "containerPort": number, "name": name, "protocol": "TCP" });
    let service_ports = json!([{ "port": 80, "protocol": "TCP" }, { "port": 443, "protocol": "TCP" }]);
    vec![
        ("01-unknown-field-top", "Deployment", "web", "/sepc".into(), json!({}), ""),
        ("02-unknown-field-nested", "Deployment", "web", at(MAIN, "imagePulPolicy"), json!("Always"), ""),
        ("03-missing-required-selector", "Deployment", "web", "/spec/selector".into(), json!({}), "spec.selector"),
        ("04-missing-container-image", "Deployment", "web", at(MAIN, "image"), Value::Null, "has no image"),
        ("05-replicas-string", "Deployment", "api", "/spec/replicas".into(), json!("3"), ""),
        ("06-env-value-number", "Deployment", "web", at(MAIN, "env"), json!([{ "name": "A", "value": 1 }]), ""),
        ("07-configmap-data-number", "ConfigMap", "web-env", "/data/A".into(), json!(1), ""),
        ("08-enum-pullpolicy", "Deployment", "web", at(MAIN, "imagePullPolicy"), json!("always"), "imagePullPolicy"),
        ("09-enum-service-type", "Service", "web", "/spec/type".into(), json!("Clusterip"), "spec.type"),
        (
            "10-enum-pathtype",
            "Ingress",
            "web",
            "/spec/rules/0/http/paths/0/pathType".into(),
            json!("prefix"),
            "has a type",
        ),
        (
            "11-enum-accessmode",
            "PersistentVolumeClaim",
            "shared",
            "/spec/accessModes".into(),
            json!(["RWO"]),
            "accessModes",
        ),
        ("12-int-or-string-bool", "Service", "web", "/spec/ports/0/targetPort".into(), json!(true), ""),
        (
            "13-portname-too-long",
            "Deployment",
            "web",
            at(MAIN, "ports/0"),
            port("a-name-of-sixteen", 80),
            "more than 15",
        ),
        ("14-port-out-of-range", "Deployment", "web", at(MAIN, "ports/0"), port("http", 70_000), "between 1 and 65535"),
        ("15-name-not-dns", "Deployment", "worker", "/metadata/name".into(), json!("Web_1"), "is not a DNS name"),
        ("16-label-value-syntax", "Deployment", "web", "/metadata/labels/a".into(), json!("a b"), "value of a label"),
        (
            "17-selector-label-mismatch",
            "Deployment",
            "web",
            "/spec/selector/matchLabels/app".into(),
            json!("other"),
            "does not match",
        ),
        (
            "18-volumemount-unknown-volume",
            "Deployment",
            "web",
            at(MAIN, "volumeMounts"),
            json!([{ "mountPath": "/a", "name": "nowhere" }]),
            "volume that is not there",
        ),
        (
            "19-quantity-syntax",
            "Deployment",
            "web",
            at(MAIN, "resources"),
            json!({ "limits": { "memory": "256MB" } }),
            "not a quantity",
        ),
        (
            "20-request-over-limit",
            "Deployment",
            "web",
            at(MAIN, "resources"),
            json!({ "limits": { "cpu": "500m" }, "requests": { "cpu": "1" } }),
            "requests more",
        ),
        ("21-secret-not-base64", "Secret", "web-env", "/data".into(), json!({ "A": "not base64!" }), ""),
        ("22-two-ports-no-name", "Service", "web", "/spec/ports".into(), service_ports, "spec.ports.name"),
        ("23-probe-two-handlers", "Deployment", "web", at(MAIN, "livenessProbe"), probe, "one way to ask"),
        ("24-restartpolicy-deployment", "Deployment", "web", at(POD, "restartPolicy"), json!("Never"), "restartPolicy"),
        ("25-restartpolicy-job", "Job", "seed", at(POD, "restartPolicy"), json!("Always"), "restartPolicy"),
        ("26-cron-schedule", "CronJob", "nightly", "/spec/schedule".into(), json!("0 25 * * *"), "no schedule"),
        (
            "27-hpa-min-over-max",
            "HorizontalPodAutoscaler",
            "web",
            "/spec/minReplicas".into(),
            json!(9),
            "spec.minReplicas",
        ),
        (
            "28-hpa-metric-type-missing",
            "HorizontalPodAutoscaler",
            "web",
            "/spec/metrics/0/type".into(),
            json!(""),
            "spec.metrics.type",
        ),
        (
            "29-netpol-cidr",
            "NetworkPolicy",
            "web",
            "/spec/ingress/0".into(),
            json!({ "from": [{ "ipBlock": { "cidr": "10.0.0.0/33" } }] }),
            "block of addresses",
        ),
        (
            "30-ingress-old-backend",
            "Ingress",
            "web",
            "/spec/rules/0/http/paths/0/backend".into(),
            json!({ "serviceName": "web", "servicePort": 80 }),
            "",
        ),
        ("31-removed-api-version", "Ingress", "web", "/apiVersion".into(), json!("extensions/v1beta1"), ""),
        ("32-wrong-kind-case", "Deployment", "web", "/kind".into(), json!("deployment"), ""),
        (
            "34-duplicate-container-name",
            "Deployment",
            "web",
            at(POD, "containers/9"),
            json!({ "name": "web", "image": "x" }),
            "is there twice",
        ),
        (
            "35-statefulset-vct-no-storage",
            "StatefulSet",
            "db",
            "/spec/volumeClaimTemplates/0/spec/resources".into(),
            json!({}),
            "requests.storage",
        ),
        (
            "36-httproute-path-type",
            "HTTPRoute",
            "api",
            "/spec/rules/0/matches/0/path/type".into(),
            json!("Prefix"),
            "path.type",
        ),
        ("37-gateway-no-listeners", "HTTPRoute", "api", "/spec/parentRefs".into(), json!([]), "spec.parentRefs"),
        (
            "38-env-valuefrom-and-value",
            "Deployment",
            "web",
            at(MAIN, "env"),
            json!([{ "name": "A", "value": "x", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }]),
            "a value and a source",
        ),
        (
            "39-mountpath-duplicate",
            "Deployment",
            "web",
            at(MAIN, "volumeMounts/9"),
            json!({ "mountPath": "/tmp", "name": "tmpfs-tmp" }),
            "has a path twice",
        ),
        ("40-namespace-unknown", "Deployment", "web", "/metadata/namespace".into(), json!("nowhere"), "namespace"),
        ("41-annotation-number", "Deployment", "web", "/metadata/annotations".into(), json!({ "a": 1 }), ""),
        ("42-pdb-both", "PodDisruptionBudget", "web", "/spec/minAvailable".into(), json!(1), "both how many"),
        ("44-yaml11-label-on", "Deployment", "web", "/metadata/labels/a".into(), json!(true), ""),
        ("45-label-number-unquoted", "Deployment", "web", "/metadata/labels/a".into(), json!(1), ""),
        (
            "46-env-name-empty",
            "Deployment",
            "web",
            at(MAIN, "env"),
            json!([{ "name": "", "value": "x" }]),
            "a name that is not valid",
        ),
        (
            "47-pod-affinity-no-topologykey",
            "Deployment",
            "web",
            at(
                POD,
                "affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/0/podAffinityTerm/topologyKey",
            ),
            json!(""),
            "topology key",
        ),
        (
            "48-secret-ref-missing-name-key",
            "Deployment",
            "web",
            at(MAIN, "env"),
            json!([{ "name": "A", "valueFrom": { "secretKeyRef": { "key": "", "name": "web-env" } } }]),
            "no key of a Secret",
        ),
    ]
}

#[test]
fn the_project_that_the_defects_are_brought_into_has_none() {
    let export = export();
    let found: Vec<String> = check(&export.objects, &export.external).iter().map(ToString::to_string).collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn what_a_real_api_server_refuses_is_never_written() {
    let mut wrong = Vec::new();
    let defects = defects();
    for (defect, kind, name, path, to, finds) in &defects {
        let kept = kept(kind, name, &|value| set(value, path, to.clone()));
        let holds = match &kept {
            Kept::ByType => finds.is_empty(),
            Kept::ByRule(rule) => !finds.is_empty() && rule.contains(finds),
            Kept::ByNothing => false,
        };
        if !holds {
            wrong.push(format!("{defect}: {kept:?}, expected `{finds}`"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The two that are left are of the text, not of the object.
    assert_eq!(defects.len(), 46);
}

#[test]
fn a_key_stands_once_and_a_word_that_could_be_a_boolean_in_quotes() {
    // 33-duplicate-key: a map has each key once. 43-yaml11-bool-name: `n` is a boolean to a reader of YAML 1.1.
    let project = loaded("name: shop\nservices: { n: { image: a, environment: { y: 'on' } } }\n");
    for object in exported(&project, SecretValues::Values).objects {
        let text = document(&object).expect("every object can be written");
        let read: serde_yaml::Value = serde_yaml::from_str(&text).expect("no key is there twice");
        assert!(read.get("kind").is_some());
        assert!(!text.contains("name: n\n") && !text.contains(" y: on"), "{text}");
    }
}
