use std::collections::BTreeSet;

use super::super::{Kind, Object, Options, Reference, SecretValues, kubernetes};
use super::check;
use crate::project::{Port, Project, Protocol, Published, Service};

fn objects() -> Vec<Object> {
    let service = Service {
        name: "web".to_owned(),
        image: Some("web:1".to_owned()),
        replicas: 1,
        ports: vec![Port {
            target: 80,
            published: Published::Port(8080),
            host_ip: None,
            protocol: Protocol::Tcp,
            name: None,
            app_protocol: None,
        }],
        environment: [("MODE".to_owned(), Some("on".to_owned()))].into(),
        ..Service::default()
    };
    let project = Project {
        name: "shop".to_owned(),
        directory: "/shop".into(),
        files: Vec::new(),
        environment_files: Vec::new(),
        services: [("web".to_owned(), service)].into(),
        disabled: [].into(),
        networks: [].into(),
        volumes: [].into(),
        secrets: [].into(),
        configs: [].into(),
        models: [].into(),
        kubernetes: crate::project::ProjectKubernetes::default(),
    };
    kubernetes(&project, &Options::new(SecretValues::Placeholder)).objects
}

/// What is wrong once every object has gone through `edit`.
fn found(edit: impl Fn(&mut Object)) -> Vec<String> {
    let mut objects = objects();
    objects.iter_mut().for_each(edit);
    check(&objects, &BTreeSet::new()).iter().map(ToString::to_string).collect()
}

fn edit_pod(object: &mut Object, edit: impl FnOnce(&mut k8s_openapi::api::core::v1::PodSpec)) {
    if let Object::Deployment(deployment) = object
        && let Some(pod) = deployment.spec.as_mut().and_then(|spec| spec.template.spec.as_mut())
    {
        edit(pod);
    }
}

#[test]
fn what_is_exported_breaks_no_rule() {
    assert_eq!(found(|_| {}), Vec::<String>::new());
}

#[test]
fn a_name_that_is_no_dns_name_is_found() {
    let found = found(|object| {
        if let Object::Service(service) = object {
            service.metadata.name = Some("my_svc".to_owned());
        }
    });
    assert_eq!(found, ["Service `my_svc`: `metadata.name` is not a DNS name"]);
}

#[test]
fn a_selector_that_matches_nothing_is_found() {
    let found = found(|object| {
        if let Object::Deployment(deployment) = object
            && let Some(spec) = deployment.spec.as_mut()
        {
            spec.template.metadata = None;
        }
    });
    assert_eq!(
        found,
        [
            "Service `web`: `spec.selector` matches no pods",
            "Deployment `web`: `spec.selector` does not match the labels of its pods",
        ]
    );
}

#[test]
fn a_reference_to_what_is_not_there_is_found() {
    let found = found(|object| {
        if let Object::ConfigMap(map) = object {
            map.metadata.name = Some("other".to_owned());
        }
    });
    assert_eq!(
        found,
        [
            "Deployment `web`: `spec.template.spec.containers.web.envFrom` refers to the ConfigMap `web-env`, which is not there"
        ]
    );
}

#[test]
fn a_reference_to_what_others_make_is_fine() {
    let mut objects = objects();
    objects.retain(|object| object.kind() != Kind::ConfigMap);
    let external = BTreeSet::from([Reference { kind: Kind::ConfigMap, name: "web-env".to_owned() }]);
    assert_eq!(check(&objects, &external), []);
}

#[test]
fn two_objects_of_one_name_are_found() {
    let mut objects = objects();
    objects.extend(objects.clone());
    let found = check(&objects, &BTreeSet::new());
    assert!(found.iter().all(|violation| violation.rule.contains("another object")), "{found:?}");
    assert_eq!(found.len(), objects.len() / 2);
}

#[test]
fn ports_out_of_range_long_names_and_doubles_are_found() {
    let found = found(|object| {
        edit_pod(object, |pod| {
            let ports = pod.containers[0].ports.get_or_insert_default();
            ports[0].name = Some("a-name-of-sixteen".to_owned());
            let mut second = ports[0].clone();
            second.container_port = 70000;
            second.name = None;
            ports.push(second.clone());
            ports.push(second);
        });
    });
    assert_eq!(found.len(), 4, "{found:?}");
}

#[test]
fn a_mount_without_its_volume_and_a_restart_of_the_wrong_kind_are_found() {
    let found = found(|object| {
        edit_pod(object, |pod| {
            pod.restart_policy = Some("Never".to_owned());
            pod.containers[0].volume_mounts = Some(vec![k8s_openapi::api::core::v1::VolumeMount {
                mount_path: "data".to_owned(),
                name: "data".to_owned(),
                ..Default::default()
            }]);
        });
    });
    assert_eq!(
        found,
        [
            "Deployment `web`: `spec.template.spec.containers.web.volumeMounts` has a path that is not absolute or has a colon",
            "Deployment `web`: `spec.template.spec.containers.web.volumeMounts` has one of a volume that is not there",
            "Deployment `web`: `spec.template.spec.restartPolicy` is not one of its kind",
        ]
    );
}

#[test]
fn a_label_that_is_too_long_is_found() {
    let found = found(|object| {
        if let Object::ConfigMap(map) = object {
            map.metadata.labels.get_or_insert_default().insert("a".to_owned(), "x".repeat(64));
        }
    });
    assert_eq!(found, ["ConfigMap `web-env`: `metadata.labels.a` is not a valid value of a label"]);
}

#[test]
fn a_service_without_ports_must_be_headless() {
    let found = found(|object| {
        if let Object::Service(service) = object
            && let Some(spec) = service.spec.as_mut()
        {
            spec.ports = None;
        }
    });
    assert_eq!(found, ["Service `web`: `spec.ports` is empty, which only a headless Service may be"]);
}
