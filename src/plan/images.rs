//! The part of an `up` that sees to images: what is built, what is pulled, and what waits for it.

use super::goal::{BuildPolicy, Up};
use super::observed::Image;
use super::operation::{Cause, Hold, Operation};
use super::services::Planner;
use super::spec::label;
use crate::project::{PullPolicy, Service};

/// What is to be known of a service's image before its containers are planned.
pub(super) struct ImageOutlook<'a> {
    pub(super) reference: String,
    pub(super) available: Option<&'a Image>,
    /// It is there and nothing newer is being made.
    pub(super) settled: bool,
}

impl ImageOutlook<'_> {
    pub(super) fn hold(&self) -> Hold {
        Hold::Image { image: self.reference.clone() }
    }
}

impl<'a> Planner<'a> {
    /// Plans the image and says what is to be known of it.
    pub(super) fn image(&mut self, service: &Service, up: &Up) -> ImageOutlook<'a> {
        let reference = self.situation.project.image_of(service);
        let available = self.situation.observed.images.get(&reference);
        let cause = match (&service.build, available) {
            (Some(_), _) if up.build != BuildPolicy::Never => self.build_cause(service, up, available),
            (None, Some(image)) => self.pull_cause(service, image),
            (_, None) => Some(Cause::Missing),
            (Some(_), Some(_)) => None,
        };
        if let Some(cause) = cause.clone() {
            if service.build.is_none() {
                self.pull(service, &reference, cause);
            } else {
                self.build(service, up, &reference, cause);
            }
        }
        ImageOutlook { reference, available, settled: cause.is_none() }
    }

    fn pull(&mut self, service: &Service, reference: &str, cause: Cause) {
        let reason = format!("image `{reference}` does not exist and `pull_policy: never` forbids pulling it");
        let forbidden = service.pull_policy == PullPolicy::Never;
        let holds = if forbidden { vec![Hold::Failed { reason }] } else { Vec::new() };
        self.push(Operation::Pull { service: service.name.clone() }, cause, holds);
    }

    fn build(&mut self, service: &Service, up: &Up, reference: &str, cause: Cause) {
        let generation = self.situation.facts.generation(&service.name);
        let reason = format!("image `{reference}` does not exist and `--no-build` forbids building it");
        let holds = if up.build == BuildPolicy::Never { vec![Hold::Failed { reason }] } else { Vec::new() };
        self.push(Operation::Build { service: service.name.clone(), generation }, cause, holds);
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
