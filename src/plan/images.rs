//! The part of an `up` that sees to images: what is built, what is pulled, and what waits for it.

use std::collections::BTreeSet;

use super::Situation;
use super::goal::{BuildPolicy, Up};
use super::observed::Image;
use super::operation::{Cause, Hold, Operation, Subject};
use super::services::Planner;
use super::spec::label;
use crate::project::{Build, PullPolicy, Service};

/// What is to be known of a service's image before its containers are planned.
pub(super) struct ImageOutlook<'a> {
    pub(super) available: Option<&'a Image>,
    /// What those wait for that are made from it; nothing when it is there and nothing newer is being made.
    pub(super) hold: Option<Hold>,
}

impl<'a> Planner<'a> {
    /// Plans the image and says what is to be known of it.
    pub(super) fn image(&mut self, service: &'a Service, up: &Up) -> ImageOutlook<'a> {
        let bases = self.bases(service, up);
        let reference = self.situation.project.image_of(service);
        let available = self.situation.observed.images.get(&reference);
        if let Some(builder) = self.builder(service, &reference) {
            let hold = self.planned_image(builder, up);
            self.images.insert(&service.name, hold.clone());
            return ImageOutlook { available, hold };
        }
        let cause = match (&service.build, available) {
            (Some(_), _) if up.build != BuildPolicy::Never => self.build_cause(service, up, available),
            (None, Some(image)) => self.pull_cause(service, image),
            (_, None) => Some(Cause::Missing),
            (Some(_), Some(_)) => None,
        };
        let outlook =
            ImageOutlook { available, hold: cause.as_ref().map(|_| Hold::Image { image: reference.clone() }) };
        if self.images.contains_key(service.name.as_str()) {
            return outlook;
        }
        let first = self.entries.len();
        if let Some(cause) = cause {
            if service.build.is_none() {
                self.pull(service, &reference, cause);
            } else {
                self.build(service, up, &reference, cause, bases);
            }
        }
        let hold = outlook.hold.clone().map(|hold| self.hold_of_dependents(service, hold, first));
        self.images.insert(&service.name, hold);
        outlook
    }

    /// What holds up the builds that are made with an image whose entries begin at `first`.
    fn hold_of_dependents(&self, service: &Service, hold: Hold, first: usize) -> Hold {
        let failed = self.situation.facts.failures.get(&Subject::Image(service.name.clone())).cloned();
        let foreseen = || self.entries[first..].iter().flat_map(|entry| &entry.holds).find_map(Hold::failure);
        match failed.or_else(foreseen) {
            Some(reason) => {
                Hold::DependencyFailed { service: service.name.clone(), reason: format!("cannot be built: {reason}") }
            }
            None => hold,
        }
    }

    /// What the images that a build is made with hold it up for. They are planned first, even those of services that are
    /// not in the run.
    fn bases(&mut self, service: &'a Service, up: &Up) -> Vec<Hold> {
        let project = self.situation.project;
        let bases = service.build.iter().flat_map(Build::bases).filter_map(|name| project.any_service(name));
        let mut holds = Vec::new();
        for base in bases {
            if self.is_made_with(base, base) {
                let reason = format!("the image of `{}` is to be built with itself", base.name);
                holds.push(Hold::Failed { reason });
                continue;
            }
            holds.extend(self.planned_image(base, up));
        }
        holds
    }

    /// Plans a service's image, if it is not yet, and says what it holds up those for that need it.
    fn planned_image(&mut self, service: &'a Service, up: &Up) -> Option<Hold> {
        if !self.images.contains_key(service.name.as_str()) {
            self.image(service, up);
        }
        self.images.get(service.name.as_str()).cloned().flatten()
    }

    /// The service whose build makes the image of one that has none of its own: nobody need pull it.
    fn builder(&self, service: &Service, reference: &str) -> Option<&'a Service> {
        let project = self.situation.project;
        let of_run = self.services.iter().filter_map(|name| project.services.get(name));
        let builds = |other: &&Service| other.build.is_some() && project.image_of(other) == reference;
        let builder = || of_run.chain(project.services.values()).find(builds);
        if service.build.is_none() && service.image.is_some() { builder() } else { None }
    }

    /// Whether one service's image is made with the other's, directly or not.
    fn is_made_with(&self, service: &Service, other: &Service) -> bool {
        let mut seen = BTreeSet::new();
        let mut left: Vec<&Service> = vec![service];
        while let Some(service) = left.pop() {
            for name in service.build.iter().flat_map(Build::bases) {
                if name == other.name {
                    return true;
                }
                left.extend(self.situation.project.any_service(name).filter(|_| seen.insert(name.to_owned())));
            }
        }
        false
    }

    fn pull(&mut self, service: &Service, reference: &str, cause: Cause) {
        let reason = format!("image `{reference}` does not exist and `pull_policy: never` forbids pulling it");
        let forbidden = service.pull_policy == PullPolicy::Never;
        let holds = if forbidden { vec![Hold::Failed { reason }] } else { Vec::new() };
        self.push(Operation::Pull { service: service.name.clone() }, cause, holds);
    }

    fn build(&mut self, service: &'a Service, up: &Up, reference: &str, cause: Cause, bases: Vec<Hold>) {
        let facts = self.situation.facts;
        let (name, generation) = (service.name.clone(), facts.generation(&service.name));
        if up.build == BuildPolicy::Never {
            let reason = format!("image `{reference}` does not exist and `--no-build` forbids building it");
            self.push(Operation::Build { service: name, generation }, cause, vec![Hold::Failed { reason }]);
            return;
        }
        for twin in self.twins(service) {
            let hold = self.planned_image(twin, up);
            if hold.is_some() || self.is_of_same_files(service, twin, &cause) {
                let operation = Operation::Tag { service: name, from: twin.name.clone(), generation };
                self.push(operation, Cause::BuiltTogether, hold.into_iter().collect());
                return;
            }
        }
        let mut holds = bases;
        if cause == Cause::SourcesChanged && !facts.are_inputs_read(&service.name) {
            holds.push(Hold::Inputs);
        }
        self.push(Operation::Build { service: name, generation }, cause, holds);
    }

    /// The services of which one builds for this one too, because they are built from the same: those before it by name.
    fn twins(&self, service: &Service) -> Vec<&'a Service> {
        let project = self.situation.project;
        let before = self.services.iter().take_while(|name| **name != service.name);
        let before = before.filter_map(|name| project.services.get(name));
        before.filter(|other| other.build == service.build && other.platform == service.platform).collect()
    }

    /// Whether the image of a service's twin is built from the files as they are now: the twin may watch fewer of them.
    fn is_of_same_files(&self, service: &Service, twin: &Service, cause: &Cause) -> bool {
        let Situation { project, observed, facts, .. } = self.situation;
        if !facts.are_inputs_read(&service.name) {
            return false;
        }
        match facts.inputs.get(&service.name) {
            Some(inputs) => {
                let image = observed.images.get(&project.image_of(twin));
                image.and_then(|image| image.labels.get(label::INPUTS)) == Some(inputs)
            }
            // They are not files of this machine, or cannot be read.
            None => *cause != Cause::SourcesChanged && facts.built.contains_key(&twin.name),
        }
    }

    /// Why an image that is there is pulled again, once a run.
    fn pull_cause(&self, service: &Service, image: &Image) -> Option<Cause> {
        let facts = self.situation.facts;
        let is_stale = match service.pull_policy {
            PullPolicy::Always => true,
            PullPolicy::Every(period) => u128::from(facts.began.saturating_sub(image.tagged_at)) >= period.as_nanos(),
            PullPolicy::Missing | PullPolicy::Never | PullPolicy::Build => false,
        };
        let may_pull = !facts.pulled.contains(&service.name) && !service.is_on_machine();
        (is_stale && may_pull).then_some(Cause::PullPolicy)
    }

    fn build_cause(&self, service: &Service, up: &Up, available: Option<&Image>) -> Option<Cause> {
        let facts = self.situation.facts;
        let built = facts.built.get(&service.name);
        if facts.generation(&service.name) > built.copied().unwrap_or(0) {
            return Some(Cause::SourcesChanged);
        }
        let Some(image) = available else { return Some(Cause::Missing) };
        if built.is_some() {
            return None;
        }
        if up.build == BuildPolicy::Always {
            return Some(Cause::Asked);
        }
        if service.pull_policy == PullPolicy::Build {
            return Some(Cause::PullPolicy);
        }
        // An image without the label was built by another tool; whether it is current cannot be known.
        let recorded = image.labels.get(label::INPUTS)?;
        (facts.inputs.get(&service.name)? != recorded).then_some(Cause::InputsChanged)
    }
}
