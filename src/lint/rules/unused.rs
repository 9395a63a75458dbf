//! What is declared and not used.

use std::collections::BTreeSet;

use crate::lint::{Subject, warning};
use crate::manifest::problem::Problem;
use crate::manifest::written::Item;

/// Networks, volumes, secrets and configs that no service names, and profiles that no service has.
pub(in crate::lint) fn resources(subject: &Subject<'_>) -> Vec<Problem> {
    let root = subject.written.root();
    let services: Vec<Item<'_>> =
        root.get("services").into_iter().flat_map(Item::entries).map(|(_, service)| service).collect();
    let mut found = Vec::new();
    for (section, kind) in
        [("networks", "network"), ("volumes", "volume"), ("secrets", "secret"), ("configs", "config")]
    {
        let used: BTreeSet<&str> = services.iter().flat_map(|service| used(*service, section)).collect();
        for (key, item) in root.get(section).into_iter().flat_map(Item::entries) {
            let is_default = section == "networks" && key == "default";
            if !is_default && !key.starts_with("x-") && !used.contains(key) {
                let message = format!("no service uses the {kind} `{key}`");
                found.push(warning(message, Some(item.key_place())).hint("take it away, or name it in a service"));
            }
        }
    }
    found.extend(profiles(subject));
    found
}

/// The resources of a kind that a service names.
fn used<'a>(service: Item<'a>, section: &str) -> Vec<&'a str> {
    let own = service.get(section);
    let built = service.get("build").and_then(|build| build.get(section));
    let network = service.get("build").and_then(|build| build.get("network")).filter(|_| section == "networks");
    let mut names: Vec<&str> = network.and_then(Item::text).into_iter().collect();
    for item in own.into_iter().chain(built) {
        names.extend(item.entries().map(|(key, _)| key));
        for item in item.items() {
            let text = item.text().map(|text| text.split(':').next().unwrap_or(text));
            names.extend(text.or_else(|| item.get("source").and_then(Item::text)));
        }
    }
    names
}

/// Profiles that `COMPOSE_PROFILES` switches on and no service has.
fn profiles(subject: &Subject<'_>) -> Vec<Problem> {
    let known: BTreeSet<&String> = subject.services().flat_map(|service| &service.profiles).collect();
    let asked = subject.environment.get("COMPOSE_PROFILES").map(String::as_str).unwrap_or_default();
    let asked = asked.split(',').map(str::trim).filter(|profile| !profile.is_empty() && *profile != "*");
    let unknown = asked.filter(|profile| !known.iter().any(|known| known == profile));
    let found = unknown.map(|profile| {
        warning(format!("no service has the profile `{profile}` that `COMPOSE_PROFILES` switches on"), None)
            .hint("take it out of `COMPOSE_PROFILES`, or give it to a service with `profiles`")
    });
    found.collect()
}
