//! Ports of the host.

use crate::lint::image::{DATABASE_PORTS, Image};
use crate::lint::{Subject, warning};
use crate::manifest::problem::Problem;
use crate::project::{Networking, Port, Published, Service};

fn is_open(port: &Port) -> bool {
    port.host_ip.as_deref().is_none_or(|address| matches!(address, "0.0.0.0" | "::" | "[::]"))
}

/// A database's port that the whole network reaches.
pub(in crate::lint) fn open_database(subject: &Subject<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    for service in subject.services() {
        let known = service.image.as_deref().map(Image::parse).map(|image| image.database_ports()).unwrap_or_default();
        for port in service.ports.iter().filter(|port| is_open(port)) {
            if !known.contains(&port.target) && !DATABASE_PORTS.contains(&port.target) {
                continue;
            }
            let host = match port.published {
                Published::Port(published) => published.to_string(),
                Published::Range(first, last) => format!("{first}-{last}"),
                Published::Ephemeral => String::new(),
            };
            let message = format!("the database `{}` can be reached from the whole network", service.name);
            let problem = warning(message, subject.port_place(service, port)).label("on every address of this machine");
            found.push(problem.hint(format!("publish it for this machine only: `127.0.0.1:{host}:{}`", port.target)));
        }
    }
    found
}

/// One port on every address and on a certain one.
pub(in crate::lint) fn taken_twice(subject: &Subject<'_>) -> Vec<Problem> {
    let fixed = |service: &Service| service.replicas > 0;
    let all = subject.project.services.values().filter(|service| fixed(service));
    let ports: Vec<(&Service, &Port)> =
        all.flat_map(|service| service.ports.iter().map(move |port| (service, port))).collect();
    let mut found = Vec::new();
    for (service, port) in ports.iter().filter(|(_, port)| is_open(port)) {
        let Published::Port(number) = port.published else { continue };
        let same = |other: &Port| other.published == port.published && other.protocol == port.protocol;
        for (second, other) in ports.iter().filter(|(_, other)| same(other) && !is_open(other)) {
            let message = format!(
                "`{}` publishes the port {number} on every address, and `{}` on one of them",
                service.name, second.name
            );
            let mut problem = warning(message, subject.port_place(second, other)).label("taken already");
            if let Some(place) = subject.port_place(service, port) {
                problem = problem.related(place, "by this one");
            }
            found.push(problem.hint("publish one of them on another port"));
        }
    }
    found
}

/// A port of the host that several containers of a service want.
pub(in crate::lint) fn one_for_many(subject: &Subject<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    for service in subject.services().filter(|service| service.replicas > 1) {
        for port in &service.ports {
            let Published::Port(number) = port.published else { continue };
            let message = format!("{} containers of `{}` want the port {number}", service.replicas, service.name);
            let problem = warning(message, subject.port_place(service, port)).label("only one of them can have it");
            let last = u32::from(number) + service.replicas - 1;
            found.push(
                problem
                    .hint(format!("publish a range, `{number}-{last}:{}`, or leave the host's port out", port.target)),
            );
        }
    }
    found
}

/// Published ports that the host's own network ignores.
pub(in crate::lint) fn on_host_network(subject: &Subject<'_>) -> Vec<Problem> {
    let on_host = |service: &&Service| service.networking == Networking::Host && !service.ports.is_empty();
    let found = subject.services().filter(on_host).map(|service| {
        let message = format!("the ports of `{}` are ignored: it is on the host's own network", service.name);
        let mut problem = warning(message, subject.place(service, "ports")).label("without effect");
        if let Some(mode) = subject.attribute(service, "network_mode") {
            problem = problem.related(mode.place(), "because of this");
        }
        problem.hint("take `ports` away, or `network_mode: host`")
    });
    found.collect()
}
