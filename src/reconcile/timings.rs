//! Where the time of a start goes: what waited for what, and how much sooner everything would be up without it.
//!
//! What was done is noted as it is told. Of all that had to be over before a thing could begin, what was over last is
//! what it waited for; from the last thing of all that leads back to the beginning: the critical path.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::event::Action;
use super::notice::Notice;
use crate::plan::operation::{Operation, Subject};
use crate::project::{Build, Condition, Dependency, Project};

/// The engine tells that a container runs before it answers who started it: what waits for that is begun earlier.
const TOLD_LATE: Duration = Duration::from_millis(100);

/// A start of more parts goes on for so long that nobody asks where its time has gone.
const MOST: usize = 20_000;

/// A part of the critical path of a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leg {
    /// What was done.
    pub stage: Stage,
    /// When it began, since the run did.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
    /// How much sooner everything would have been up if it had taken no time.
    pub saves: Duration,
    /// The service whose start waited for it, and the condition that it asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holds: Option<(String, Condition)>,
}

/// What takes time in a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The engine was asked for what is there.
    Look,
    /// An operation.
    Operation(Operation),
    /// A build that gave the image that was there.
    Unchanged {
        /// The service.
        service: String,
    },
    /// From a container's start until its healthcheck passed.
    Healthy {
        /// The service.
        service: String,
        /// The container's number.
        number: u32,
    },
    /// From a container's start until it had exited with code 0.
    Completed {
        /// The service.
        service: String,
        /// The container's number.
        number: u32,
    },
}

/// What has been done so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Timings {
    spans: Vec<Span>,
}

#[derive(Debug, Clone)]
struct Span {
    stage: Stage,
    begin: Duration,
    end: Duration,
}

impl Timings {
    /// Notes that the engine has told what is there.
    pub(super) fn looked(&mut self, now: Duration) {
        if self.spans.is_empty() {
            self.spans.push(Span { stage: Stage::Look, begin: Duration::ZERO, end: now });
        }
    }

    /// Notes what is told to be done.
    pub(super) fn note(&mut self, actions: &[Action], now: Duration) {
        for action in actions {
            let Action::Tell(notice) = action else { continue };
            if let Some((stage, took)) = self.told(notice, now).filter(|_| self.spans.len() < MOST) {
                self.spans.push(Span { stage, begin: now.saturating_sub(took), end: now });
            }
        }
    }

    fn told(&self, notice: &Notice, now: Duration) -> Option<(Stage, Duration)> {
        Some(match notice {
            // What was copied is nothing that a start is shown by.
            Notice::Done { operation: Operation::Sync { .. }, .. } => return None,
            Notice::Done { operation, took, .. } => (Stage::Operation(operation.clone()), *took),
            Notice::ImageUnchanged { service, took, .. } => (Stage::Unchanged { service: service.clone() }, *took),
            Notice::Healthy { service, number, took, .. } => {
                (Stage::Healthy { service: service.clone(), number: *number }, *took)
            }
            Notice::Exited { service, number, code: 0, .. } => {
                let subject = Subject::Replica(service.clone(), *number);
                let started = self.spans.iter().rev().find(|span| span.stage.starts(&subject))?.end;
                (Stage::Completed { service: service.clone(), number: *number }, now.saturating_sub(started))
            }
            _ => return None,
        })
    }

    /// The critical path, from its beginning.
    pub(super) fn path(mut self, project: &Project) -> Vec<Leg> {
        self.spans.sort_by_key(|span| span.end);
        let before = self.before(project);
        let whole = self.end(&before, None);
        let mut legs = Vec::new();
        let mut holds = None;
        let mut next = self.spans.len().checked_sub(1);
        while let Some(index) = next {
            let span = &self.spans[index];
            legs.push(Leg {
                stage: span.stage.clone(),
                at: span.begin,
                took: span.end.saturating_sub(span.begin),
                saves: whole.saturating_sub(self.end(&before, Some(index))),
                holds: holds.take(),
            });
            next = before[index].last().copied();
            holds = next.and_then(|before| held(project, &self.spans[before].stage, &span.stage));
        }
        legs.reverse();
        legs
    }

    /// For each span those that had to be over before it could begin, in the order of their ends.
    fn before(&self, project: &Project) -> Vec<Vec<usize>> {
        let mut by_owner: BTreeMap<Owner<'_>, Vec<usize>> = BTreeMap::new();
        let mut all = Vec::with_capacity(self.spans.len());
        for (index, span) in self.spans.iter().enumerate() {
            let owners = owners_before(project, &span.stage);
            let earlier = owners.iter().filter_map(|owner| by_owner.get(owner)).flatten().copied();
            let mut earlier: Vec<usize> =
                earlier.filter(|other| self.spans[*other].end <= span.begin + TOLD_LATE).collect();
            earlier.sort_unstable();
            earlier.dedup();
            all.push(earlier);
            by_owner.entry(Owner::of(&span.stage)).or_default().push(index);
        }
        all
    }

    /// When the last span ends if one takes no time. What lies between a span and those before it stays as it was.
    fn end(&self, before: &[Vec<usize>], without: Option<usize>) -> Duration {
        let mut ends: Vec<Duration> = Vec::with_capacity(self.spans.len());
        for (index, span) in self.spans.iter().enumerate() {
            let was_ready = before[index].last().map_or(Duration::ZERO, |last| self.spans[*last].end);
            let is_ready = before[index].iter().map(|other| ends[*other]).max().unwrap_or_default();
            let took = if without == Some(index) { Duration::ZERO } else { span.end.saturating_sub(span.begin) };
            ends.push(is_ready + span.begin.saturating_sub(was_ready) + took);
        }
        ends.into_iter().max().unwrap_or_default()
    }
}

/// Whose time a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Owner<'a> {
    Engine,
    /// Networks, volumes and models.
    Project,
    Image(&'a str),
    Started(&'a str),
    Created(&'a str),
    Healthy(&'a str),
    Completed(&'a str),
}

impl<'a> Owner<'a> {
    fn of(stage: &'a Stage) -> Self {
        match stage {
            Stage::Look => Self::Engine,
            Stage::Unchanged { service } => Self::Image(service),
            Stage::Healthy { service, .. } => Self::Healthy(service),
            Stage::Completed { service, .. } => Self::Completed(service),
            Stage::Operation(operation) => match operation.service() {
                None => Self::Project,
                Some(service) if operation.starts() || matches!(operation, Operation::Provide { .. }) => {
                    Self::Started(service)
                }
                Some(service) if matches!(operation.target(), Subject::Image(_)) => Self::Image(service),
                Some(service) => Self::Created(service),
            },
        }
    }

    fn of_condition(service: &'a str, condition: Condition) -> Self {
        match condition {
            Condition::Started => Self::Started(service),
            Condition::Healthy => Self::Healthy(service),
            Condition::Completed => Self::Completed(service),
        }
    }
}

/// Whose spans have to be over before one can begin.
fn owners_before<'a>(project: &'a Project, stage: &'a Stage) -> Vec<Owner<'a>> {
    let mut owners = vec![Owner::Engine];
    match Owner::of(stage) {
        Owner::Engine | Owner::Project => {}
        Owner::Image(service) => {
            let build = project.services.get(service).and_then(|service| service.build.as_ref());
            owners.extend(build.into_iter().flat_map(Build::bases).map(Owner::Image));
            if let Stage::Operation(Operation::Tag { from, .. }) = stage {
                owners.push(Owner::Image(from));
            }
        }
        Owner::Created(service) => {
            let own = [Owner::Image(service), Owner::Started(service), Owner::Healthy(service)];
            owners.extend(own.into_iter().chain([Owner::Project]));
        }
        Owner::Started(service) => {
            owners.extend([Owner::Project, Owner::Created(service)]);
            let dependencies = project.services.get(service).into_iter().flat_map(|service| &service.depends_on);
            owners.extend(dependencies.map(|(name, asked)| Owner::of_condition(name, asked.condition)));
        }
        Owner::Healthy(service) | Owner::Completed(service) => owners.push(Owner::Started(service)),
    }
    owners
}

/// The service that a stage kept from its start, and by which condition.
fn held(project: &Project, stage: &Stage, next: &Stage) -> Option<(String, Condition)> {
    let Owner::Started(waiting) = Owner::of(next) else { return None };
    let mut dependencies = project.services.get(waiting)?.depends_on.iter();
    let is_asked =
        |(name, asked): &(&String, &Dependency)| Owner::of_condition(name, asked.condition) == Owner::of(stage);
    dependencies.find(is_asked).map(|(_, asked)| (waiting.to_owned(), asked.condition))
}

impl Stage {
    fn starts(&self, subject: &Subject) -> bool {
        matches!(self, Self::Operation(operation) if operation.starts() && operation.target() == *subject)
    }
}
