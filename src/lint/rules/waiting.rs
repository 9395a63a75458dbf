//! Dependencies: what a service waits for.

use std::collections::BTreeSet;

use crate::lint::image::Image;
use crate::lint::{Subject, dockerfile, warning};
use crate::manifest::problem::{Place, Problem};
use crate::manifest::written::Item;
use crate::project::{Condition, Dependency, HealthTest, RestartPolicy, Service};

/// The dependencies that are written, with where.
fn written<'a>(subject: &Subject<'a>, service: &'a Service) -> Vec<(&'a str, &'a Dependency, Place)> {
    let Some(item) = subject.attribute(service, "depends_on") else { return Vec::new() };
    let listed = item.items().filter_map(|item| Some((item.text()?, item.place())));
    let mapped = item.entries().map(|(name, item)| (name, item.get("condition").map_or(item.key_place(), Item::place)));
    let all = listed.chain(mapped);
    all.filter_map(|(name, place)| Some((name, service.depends_on.get(name)?, place))).collect()
}

/// The services that end: others wait until they have.
fn jobs<'a>(subject: &Subject<'a>) -> BTreeSet<&'a str> {
    let all = subject.services().flat_map(|service| &service.depends_on);
    all.filter(|(_, dependency)| dependency.condition == Condition::Completed).map(|(name, _)| name.as_str()).collect()
}

fn has_own_test(service: &Service) -> bool {
    let test = service.healthcheck.as_ref().map(|health| &health.test);
    matches!(test, Some(HealthTest::Command(_) | HealthTest::Shell(_)))
}

/// Why a service can never be healthy.
fn never_healthy(subject: &Subject<'_>, service: &Service) -> Option<String> {
    let test = service.healthcheck.as_ref().map_or(&HealthTest::Inherit, |health| &health.test);
    match test {
        HealthTest::Command(_) | HealthTest::Shell(_) => return None,
        HealthTest::Disabled => return Some("its healthcheck is switched off".to_owned()),
        HealthTest::Inherit => {}
    }
    let Some(file) = dockerfile::of(subject, service) else {
        let image = service.image.as_deref().filter(|_| service.build.is_none())?;
        let has_none = Image::parse(image).is_official && !service.is_on_machine();
        return has_none.then(|| format!("neither it nor the image `{image}` has a healthcheck"));
    };
    let has_none = file.instructions().iter().all(|(word, _)| *word != "HEALTHCHECK")
        && file.base().is_some_and(|base| !base.contains('$') && Image::parse(base).is_official);
    has_none.then(|| "neither it nor its Dockerfile has a healthcheck".to_owned())
}

/// Waiting for health where nothing measures it.
pub(in crate::lint) fn no_healthcheck(subject: &Subject<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    for service in subject.services() {
        for (name, dependency, place) in written(subject, service) {
            let Some(other) = subject.service(name).filter(|_| dependency.condition == Condition::Healthy) else {
                continue;
            };
            if let Some(why) = never_healthy(subject, other) {
                let message = format!("`{}` waits until `{name}` is healthy, which never happens: {why}", service.name);
                found.push(warning(message, Some(place)).hint(format!("give `{name}` a `healthcheck`")));
            }
        }
    }
    found
}

/// Not waiting for a health that is measured.
pub(in crate::lint) fn started_not_ready(subject: &Subject<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    for service in subject.services() {
        for (name, dependency, place) in written(subject, service) {
            let measured = subject.service(name).is_some_and(has_own_test);
            if measured && dependency.condition == Condition::Started {
                let message =
                    format!("`{}` does not wait until `{name}` is ready, only until it is started", service.name);
                let hint = format!("use its healthcheck: `{name}: {{condition: service_healthy}}`");
                found.push(warning(message, Some(place)).hint(hint));
            }
        }
    }
    found
}

/// A job that is started again whenever it has ended.
pub(in crate::lint) fn endless_job(subject: &Subject<'_>) -> Vec<Problem> {
    let jobs = jobs(subject);
    let endless = |service: &&Service| {
        jobs.contains(service.name.as_str())
            && matches!(service.restart, RestartPolicy::Always | RestartPolicy::UnlessStopped)
    };
    let found = subject.services().filter(endless).map(|service| {
        let message = format!("others wait until `{}` has ended, but it is always started again", service.name);
        warning(message, subject.place(service, "restart")).hint("write `restart: on-failure`, or take it away")
    });
    found.collect()
}

/// A job whose result a service does not wait for.
pub(in crate::lint) fn job_not_awaited(subject: &Subject<'_>) -> Vec<Problem> {
    let jobs = jobs(subject);
    let mut found = Vec::new();
    for service in subject.services() {
        for (name, dependency, place) in written(subject, service) {
            if dependency.condition == Condition::Started && jobs.contains(name) {
                let message = format!("`{}` may start before `{name}` has done its work", service.name);
                let problem = warning(message, Some(place)).label("only waits for its start");
                found.push(problem.hint("write `condition: service_completed_successfully`, as others do"));
            }
        }
    }
    found
}

/// An attribute that networks have replaced.
pub(in crate::lint) fn links(subject: &Subject<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    for service in subject.services() {
        let Some(links) = subject.attribute(service, "links") else { continue };
        if links.one_or_many().next().is_some_and(|link| link.text().is_some()) {
            let message =
                format!("`links` of `{}` is obsolete: services of one network know each other's names", service.name);
            let problem = warning(message, Some(links.key_place()));
            found.push(
                problem.hint("take it away; `depends_on` gives the order, `networks` with `aliases` another name"),
            );
        }
    }
    found
}
