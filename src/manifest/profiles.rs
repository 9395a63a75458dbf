//! Which services are on.

use std::collections::BTreeMap;

use super::nearest::nearest;
use super::problem::Problem;
use super::raw::service::Service;
use super::{Request, files::Variables};

/// Takes out the services that no active profile switches on. Services that are named switch on their own profiles.
pub(super) fn split(
    services: &mut BTreeMap<String, Service>,
    request: &Request,
    variables: &Variables,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, Service> {
    let mut active: Vec<String> = request.profiles.clone();
    if active.is_empty() {
        let listed = variables.get("COMPOSE_PROFILES").map(String::as_str).unwrap_or_default();
        active.extend(listed.split(',').map(|profile| profile.trim().to_owned()));
    }
    for name in &request.services {
        if let Some(service) = services.get(name) {
            active.extend(service.profiles.0.iter().cloned());
            continue;
        }
        let problem = Problem::error(format!("there is no service `{name}`"));
        problems.push(match nearest(name, services.keys().map(String::as_str)) {
            Some(similar) => problem.hint(format!("did you mean `{similar}`?")),
            None => problem.hint(format!("the manifest has `{}`", names(services))),
        });
    }
    let is_on = |service: &Service| {
        let profiles = &service.profiles.0;
        profiles.is_empty() || profiles.iter().any(|profile| active.iter().any(|on| on == "*" || on == profile))
    };
    services.extract_if(.., |_, service| !is_on(service)).collect()
}

fn names(services: &BTreeMap<String, Service>) -> String {
    services.keys().map(String::as_str).collect::<Vec<_>>().join("`, `")
}
