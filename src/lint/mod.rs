//! What will bite in a manifest that loads: rules over the project and over how it is written, each with a code and a
//! page that explains it. Reads files (Dockerfiles, mostly) through the manifest's [`Loader`] and changes nothing.

mod allow;
mod dockerfile;
mod image;
pub mod page;
mod rules;

use std::collections::BTreeMap;

use crate::manifest::Loader;
use crate::manifest::problem::{Place, Problem, Sources};
use crate::manifest::written::{Item, Written};
use crate::project::{Port, Project, Service};

/// What the rules look at.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The project as it is meant.
    pub project: &'a Project,
    /// The manifest as it is written.
    pub written: &'a Written,
    /// The files that it was read from.
    pub sources: &'a Sources,
    /// The variables that it was read with.
    pub environment: &'a BTreeMap<String, String>,
    /// The file system.
    pub loader: &'a dyn Loader,
}

impl std::fmt::Debug for Subject<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Subject").field("project", &self.project.name).finish_non_exhaustive()
    }
}

/// What looks for one kind of thing.
#[derive(Debug, Clone, Copy)]
struct Rule {
    code: &'static str,
    /// `None` when the loader itself finds it.
    find: Option<fn(&Subject<'_>) -> Vec<Problem>>,
}

/// Every rule, in the order of the codes.
const RULES: &[Rule] = &[
    Rule { code: "H001", find: Some(rules::ports::open_database) },
    Rule { code: "H002", find: Some(rules::images::unpinned) },
    Rule { code: "H003", find: Some(rules::waiting::no_healthcheck) },
    Rule { code: "H004", find: Some(rules::waiting::started_not_ready) },
    Rule { code: "H005", find: Some(rules::unused::resources) },
    Rule { code: "H006", find: None },
    Rule { code: "H007", find: Some(rules::mounts::hidden) },
    Rule { code: "H008", find: None },
    Rule { code: "H009", find: Some(rules::ports::taken_twice) },
    Rule { code: "H010", find: Some(rules::ports::one_for_many) },
    Rule { code: "H011", find: Some(rules::waiting::endless_job) },
    Rule { code: "H012", find: Some(rules::waiting::job_not_awaited) },
    Rule { code: "H013", find: Some(rules::environment::plain_secret) },
    Rule { code: "H014", find: Some(rules::health::cannot_run) },
    Rule { code: "H015", find: Some(rules::waiting::links) },
    Rule { code: "H016", find: Some(rules::images::no_dockerignore) },
    Rule { code: "H017", find: Some(rules::mounts::privileged) },
    Rule { code: "H018", find: Some(rules::mounts::engine_socket) },
    Rule { code: "H019", find: Some(rules::environment::missing_file) },
    Rule { code: "H020", find: Some(rules::mounts::anonymous) },
    Rule { code: "H021", find: Some(rules::mounts::one_machine) },
    Rule { code: "H022", find: Some(rules::ports::on_host_network) },
    Rule { code: "H023", find: Some(rules::mounts::missing_source) },
    Rule { code: "H024", find: Some(rules::mounts::data_elsewhere) },
    Rule { code: "H025", find: Some(rules::environment::quoted) },
    Rule { code: UNUSED_ALLOWANCE, find: None },
];

/// The rule about allowances themselves.
const UNUSED_ALLOWANCE: &str = "H026";

/// Adds to the loader's problems what the rules find, and takes out what the manifest allows.
#[must_use]
pub fn check(subject: &Subject<'_>, mut problems: Vec<Problem>) -> Vec<Problem> {
    for rule in RULES {
        let found = rule.find.map(|find| find(subject)).unwrap_or_default();
        problems.extend(found.into_iter().map(|problem| problem.code(rule.code)));
    }
    subject.written.name_paths(&mut problems);
    allow::apply(subject, problems)
}

impl<'a> Subject<'a> {
    /// All services, those included that the profiles leave out.
    fn services(&self) -> impl Iterator<Item = &'a Service> {
        self.project.services.values().chain(self.project.disabled.values())
    }

    /// A service by its name.
    fn service(&self, name: &str) -> Option<&'a Service> {
        self.project.services.get(name).or_else(|| self.project.disabled.get(name))
    }

    /// What is written under a key of a service.
    fn attribute(&self, service: &Service, key: &str) -> Option<Item<'a>> {
        self.written.attribute(&service.name, key)
    }

    /// Where an attribute is, else where its service is.
    fn place(&self, service: &Service, key: &str) -> Option<Place> {
        let attribute = self.attribute(service, key).map(Item::place);
        attribute.or_else(|| self.written.service(&service.name).map(Item::key_place))
    }

    /// Where a port is published.
    fn port_place(&self, service: &Service, port: &Port) -> Option<Place> {
        let target = port.target.to_string();
        let publishes = |item: &Item<'_>| match item.text() {
            Some(text) => {
                let container = text.rsplit(':').next().unwrap_or(text).split('/').next().unwrap_or(text);
                let (first, last) = container.split_once('-').unwrap_or((container, container));
                let bounds = first.parse::<u16>().ok().zip(last.parse::<u16>().ok());
                bounds.is_some_and(|(first, last)| (first..=last).contains(&port.target))
            }
            None => item.get("target").and_then(Item::text) == Some(&target),
        };
        let item = self.attribute(service, "ports").and_then(|ports| ports.items().find(publishes));
        item.map(Item::place).or_else(|| self.place(service, "ports"))
    }

    /// What is written about the mount at a path of the container.
    fn mount(&self, service: &Service, target: &str) -> Option<Item<'a>> {
        let clean = |path: &str| path.trim_end_matches('/').to_owned();
        let is_it = |item: &Item<'_>| match item.text() {
            Some(text) => {
                text.split(':').skip(usize::from(text.contains(':'))).any(|part| clean(part) == clean(target))
            }
            None => item.get("target").and_then(Item::text).is_some_and(|written| clean(written) == clean(target)),
        };
        self.attribute(service, "volumes")?.items().find(is_it)
    }

    /// The characters of a file that a value was read from.
    fn source(&self, place: Place) -> &'a str {
        self.sources.get(place.file).and_then(|source| source.text.get(place.range())).unwrap_or_default()
    }
}

/// A warning at a place, when there is one.
fn warning(message: impl Into<String>, place: Option<Place>) -> Problem {
    let problem = Problem::warning(message);
    match place {
        Some(place) => problem.at(place),
        None => problem,
    }
}
