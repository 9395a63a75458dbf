//! What leads hosts of the outside to a service: an Ingress, or a route of a Gateway.

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend, IngressSpec,
    IngressTLS, ServiceBackendPort,
};

use crate::project::kubernetes::{Entry, Tls};
use crate::project::{Protocol, Service};

use super::custom::{
    BackendReference, HTTPRoute, HTTPRouteMatch, HTTPRouteRule, HTTPRouteSpec, ParentReference, PathMatch,
};
use super::name::label;
use super::pod::metadata;
use super::ports::{self, PodPort};
use super::{Context, Export, Kind, Object, Reference, Supply, service_key};

/// Writes what leads a service's hosts to it.
pub(super) fn write<'a>(context: &Context<'a>, service: &'a Service, export: &mut Export) {
    let settings = context.settings(service);
    if settings.hosts.is_empty() {
        return;
    }
    let key = service_key(service, "x-hoist.kubernetes.host");
    if context.is_job(service) {
        return export.dropped(key, "what runs to its end is reached by nobody");
    }
    let ports = ports::of(context, service);
    let Some(port) = led_to(context, service, &ports) else {
        return export.dropped(key, "nothing says on which port it listens: write `x-hoist.kubernetes.port`");
    };
    let hosts = hosts(&settings.hosts);
    let default = Entry::Ingress { class: None, annotations: std::collections::BTreeMap::new() };
    let entry = settings.entry.as_ref().or(context.project.kubernetes.entry.as_ref()).unwrap_or(&default);
    let objects: Vec<Object> = match entry {
        Entry::Ingress { class, annotations } => {
            let mut ingress = ingress(context, service, &hosts, port, class.as_deref(), export);
            ingress.metadata.annotations.get_or_insert_default().extend(annotations.clone());
            ingress.metadata.annotations = ingress.metadata.annotations.filter(|annotations| !annotations.is_empty());
            vec![ingress.into()]
        }
        Entry::Gateway { name, namespace, listener } => {
            if settings.tls != Tls::Off {
                let reason = "the listener of the Gateway holds the certificate";
                export.approximated(service_key(service, "x-hoist.kubernetes.tls"), reason);
            }
            let parent =
                ParentReference { name: name.clone(), namespace: namespace.clone(), section_name: listener.clone() };
            routes(context, service, &hosts, port, &parent)
        }
    };
    export.objects.extend(objects);
}

/// The port that hosts lead to: the one that is said, else the first that is published, else the first there is.
fn led_to<'p>(context: &Context<'_>, service: &Service, ports: &'p [PodPort]) -> Option<&'p PodPort> {
    let tcp = || ports.iter().filter(|port| port.protocol == Protocol::Tcp);
    let said = context.settings(service).port;
    if said.is_some() {
        return tcp().find(|port| Some(port.number) == said);
    }
    let published = service.ports.iter().find_map(|port| tcp().find(|there| there.number == port.target));
    published.or_else(|| tcp().next())
}

/// Each host with its paths, in the order written.
fn hosts(written: &[String]) -> Vec<(&str, Vec<String>)> {
    let mut hosts: Vec<(&str, Vec<String>)> = Vec::new();
    for text in written {
        let (host, path) = text.split_once('/').map_or((text.as_str(), ""), |(host, path)| (host, path));
        let path = format!("/{}", path.trim_end_matches('/'));
        match hosts.iter_mut().find(|(known, _)| *known == host) {
            Some((_, paths)) if paths.contains(&path) => {}
            Some((_, paths)) => paths.push(path),
            None => hosts.push((host, vec![path])),
        }
    }
    hosts
}

fn ingress(
    context: &Context<'_>,
    service: &Service,
    hosts: &[(&str, Vec<String>)],
    port: &PodPort,
    class: Option<&str>,
    export: &mut Export,
) -> Ingress {
    let name = context.names.service(&service.name);
    let backend = IngressBackend {
        service: Some(IngressServiceBackend {
            name: name.clone(),
            port: Some(ServiceBackendPort { name: Some(port.name.clone()), number: None }),
        }),
        resource: None,
    };
    let path = |path: &String| HTTPIngressPath {
        backend: backend.clone(),
        path: Some(path.clone()),
        path_type: "Prefix".to_owned(),
    };
    let rules = hosts.iter().map(|(host, paths)| IngressRule {
        host: Some((*host).to_owned()),
        http: Some(HTTPIngressRuleValue { paths: paths.iter().map(path).collect() }),
    });
    let secret = match &context.settings(service).tls {
        Tls::Off => None,
        Tls::Own => Some(label(&format!("{name}-tls"))),
        Tls::Secret(name) => Some(name.clone()),
    };
    if let Some(secret) = &secret {
        let reference = Reference { kind: Kind::Secret, name: secret.clone() };
        export.supplies.push(Supply { kind: Kind::Secret, object: secret.clone(), key: None });
        export.external.insert(reference);
    }
    let tls = secret.map(|secret| {
        let hosts = hosts.iter().map(|(host, _)| (*host).to_owned()).collect();
        vec![IngressTLS { hosts: Some(hosts), secret_name: Some(secret) }]
    });
    Ingress {
        metadata: metadata(context, &name, Some(service)),
        spec: Some(IngressSpec {
            default_backend: None,
            ingress_class_name: class.map(str::to_owned),
            rules: Some(rules.collect()),
            tls,
        }),
        status: None,
    }
}

/// A route for all hosts that have the same paths.
fn routes(
    context: &Context<'_>,
    service: &Service,
    hosts: &[(&str, Vec<String>)],
    port: &PodPort,
    parent: &ParentReference,
) -> Vec<Object> {
    let name = context.names.service(&service.name);
    let mut groups: Vec<(Vec<String>, &Vec<String>)> = Vec::new();
    for (host, paths) in hosts {
        match groups.iter_mut().find(|(_, known)| *known == paths) {
            Some((names, _)) => names.push((*host).to_owned()),
            None => groups.push((vec![(*host).to_owned()], paths)),
        }
    }
    let matched =
        |path: &String| HTTPRouteMatch { path: PathMatch { type_: "PathPrefix".to_owned(), value: path.clone() } };
    let route = |(number, (hostnames, paths)): (usize, (Vec<String>, &Vec<String>))| {
        let name = if number == 0 { name.clone() } else { label(&format!("{name}-{}", number + 1)) };
        let rule = HTTPRouteRule {
            matches: paths.iter().map(matched).collect(),
            backend_refs: vec![BackendReference {
                name: context.names.service(&service.name),
                port: port.number.into(),
            }],
        };
        let spec = HTTPRouteSpec { parent_refs: vec![parent.clone()], hostnames, rules: vec![rule] };
        HTTPRoute::new(metadata(context, &name, Some(service)), spec).into()
    };
    groups.into_iter().enumerate().map(route).collect()
}
