//! Objects read back from what is written, and a manifest found again in its objects.

use std::collections::BTreeMap;

use hoist::export::{Object, SecretValues, stream};
use hoist::project::Project;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_assert_eq, prop_oneof, proptest};
use proptest::{collection, option};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::support::{exported, loaded};

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9]{0,7}"
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        word(),
        Just("yes".to_owned()),
        Just("1:30".to_owned()),
        "[ -~]{0,12}".prop_map(|text| text.replace('$', "")),
        Just("a\nb\n".to_owned())
    ]
}

/// A service of a generated manifest.
fn service() -> impl Strategy<Value = Value> {
    let command = option::of(collection::vec(text(), 1..4));
    let environment = collection::btree_map("[A-Z]{1,6}", text(), 0..5);
    let ports = collection::btree_set(1024_u16..60000, 0..4);
    let limits = option::of((1_u32..64, 16_u32..2048));
    let around = (1_u32..5, option::of(1_i64..60000), option::of(1_u64..600), proptest::bool::ANY);
    (word(), command, environment, ports, limits, around).prop_map(|(image, command, environment, ports, limits, around)| {
        let (replicas, user, grace, read_only) = around;
        let mut service = json!({ "image": format!("{image}:1"), "environment": environment, "deploy": { "replicas": replicas } });
        if let Some(command) = command {
            service["command"] = json!(command);
        }
        if !ports.is_empty() {
            service["expose"] = ports.iter().map(ToString::to_string).collect();
        }
        if let Some((cpus, memory)) = limits {
            service["cpus"] = json!(f64::from(cpus) / 8.0);
            service["mem_limit"] = json!(format!("{memory}m"));
        }
        if let Some(user) = user {
            service["user"] = json!(user.to_string());
        }
        if let Some(grace) = grace {
            service["stop_grace_period"] = json!(format!("{grace}s"));
        }
        if read_only {
            service["read_only"] = json!(true);
        }
        service
    })
}

fn manifest() -> impl Strategy<Value = Value> {
    collection::btree_map(word(), service(), 1..5).prop_map(|services| json!({ "name": "shop", "services": services }))
}

/// What the pods of a service run, as its objects say: variables, words, replicas, ports, user, limits.
fn found(objects: &[Object], name: &str) -> Value {
    let of = |kind: &str, name: &str| {
        let object = objects.iter().find(|object| object.kind().as_str() == kind && object.name() == name);
        object.map(|object| serde_json::to_value(object).expect("an object is JSON")).unwrap_or_default()
    };
    let deployment = of("Deployment", name);
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let variables = |object: Value, field: &str| object[field].as_object().cloned().unwrap_or_default();
    let mut environment = variables(of("ConfigMap", &format!("{name}-env")), "data");
    environment.extend(variables(of("Secret", &format!("{name}-env")), "stringData"));
    json!({
        "args": container["args"],
        "environment": environment,
        "grace": pod["terminationGracePeriodSeconds"],
        "image": container["image"],
        "limits": container["resources"]["limits"],
        "ports": container["ports"].as_array().map(|ports| ports.iter().map(|port| port["containerPort"].clone()).collect::<Vec<_>>()),
        "read_only": container["securityContext"]["readOnlyRootFilesystem"],
        "replicas": deployment["spec"]["replicas"],
        "user": container["securityContext"]["runAsUser"],
    })
}

/// The same, as the project means it.
fn meant(project: &Project, name: &str) -> Value {
    let service = &project.services[name];
    let environment: BTreeMap<_, _> =
        service.environment.iter().filter_map(|(key, value)| Some((key, value.as_ref()?))).collect();
    let mut limits = serde_json::Map::new();
    if let Some(cpus) = service.limits.nano_cpus {
        let millis = cpus / 1_000_000;
        limits.insert(
            "cpu".to_owned(),
            if millis % 1000 == 0 { json!((millis / 1000).to_string()) } else { json!(format!("{millis}m")) },
        );
    }
    if let Some(memory) = service.limits.memory {
        let mebi = memory >> 20;
        limits.insert(
            "memory".to_owned(),
            if mebi % 1024 == 0 { json!(format!("{}Gi", mebi / 1024)) } else { json!(format!("{mebi}Mi")) },
        );
    }
    let ports: Vec<u16> = service.expose.iter().filter_map(|port| port.parse().ok()).collect();
    let mut ports = ports;
    ports.sort_unstable();
    json!({
        "args": service.command,
        "environment": environment,
        "grace": service.stop_grace_period.map(|period| period.as_secs()),
        "image": service.image,
        "limits": if limits.is_empty() { Value::Null } else { Value::Object(limits) },
        "ports": if ports.is_empty() { Value::Null } else { json!(ports) },
        "read_only": if service.read_only { json!(true) } else { Value::Null },
        "replicas": service.replicas,
        "user": service.user.as_ref().and_then(|user| user.parse::<i64>().ok()),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_generated_manifest_is_found_again_in_what_is_written(manifest in manifest()) {
        let project = loaded(&manifest.to_string());
        let export = exported(&project, SecretValues::Values);
        let written = stream(&export.objects).expect("every object can be written");
        let read: Vec<Object> = serde_yaml::Deserializer::from_str(&written)
            .map(|document| Value::deserialize(document).expect("a document"))
            .map(|value| Object::from_value(value).expect("an object that was written"))
            .collect();
        prop_assert_eq!(&read, &export.objects);
        for name in project.services.keys() {
            prop_assert_eq!(found(&read, name), meant(&project, name));
        }
    }
}
