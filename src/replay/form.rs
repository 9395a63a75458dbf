//! The lines of a journal: an object each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::redact::Redactor;
use crate::project::{ConfigHashes, Project};
use crate::reconcile::Setup;
use crate::reconcile::event::{Action, Event};

/// The form of the lines; what reads them knows one form only.
pub const FORMAT: u32 = 1;

/// What a journal begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The form of the lines: [`FORMAT`].
    pub journal: u32,
    /// The version of hoist whose run it is.
    pub hoist: String,
    /// When the run began: nanoseconds since 1970.
    pub began: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Line {
    Head(Head),
    Begin(Box<Begin>),
    Step(Box<Step>),
    End(End),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Begin {
    pub(super) setup: Setup,
    pub(super) actions: Vec<Value>,
    /// What hashes of configurations became: those of containers, networks and volumes, by those that the journal's project
    /// has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) hashes: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) number: u64,
    /// Nanoseconds since the run began.
    pub(super) at: u64,
    pub(super) event: Event,
    pub(super) actions: Vec<Value>,
    /// As at the beginning, where the project has become another.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) hashes: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) reason: String,
}

/// An action as the journal has it.
pub(super) fn value(action: &Action) -> Value {
    serde_json::to_value(action).unwrap_or_else(|error| Value::String(format!("cannot be written: {error}")))
}

/// Writes the journal of one run, line by line.
#[derive(Debug)]
pub struct Scribe {
    redactor: Redactor,
    /// The project whose hashes have been written last.
    project: Option<Arc<Project>>,
    steps: u64,
}

impl Scribe {
    /// For one run; with a key that nobody else knows and that is kept nowhere.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self { redactor: Redactor::new(key), project: None, steps: 0 }
    }

    /// The first two lines: what the run is about and what it begins with.
    ///
    /// # Errors
    /// When something has no form as text, such as a path.
    pub fn begin(&mut self, mut setup: Setup, actions: Vec<Action>, version: &str) -> serde_json::Result<String> {
        let head = Head { journal: FORMAT, hoist: version.to_owned(), began: setup.began };
        let hashes = self.hashes(&setup.project);
        self.redactor.setup(&mut setup);
        let begin = Begin { setup, actions: self.actions(actions), hashes };
        Ok(line(&Line::Head(head))? + &line(&Line::Begin(Box::new(begin)))?)
    }

    /// The line of a step. `project` is what the run has after it.
    ///
    /// # Errors
    /// When something has no form as text, such as a path.
    pub fn step(
        &mut self,
        mut event: Event,
        at: Duration,
        actions: Vec<Action>,
        project: &Arc<Project>,
    ) -> serde_json::Result<String> {
        self.steps += 1;
        self.redactor.event(&mut event);
        let is_same = self.project.as_ref().is_some_and(|before| Arc::ptr_eq(before, project));
        let hashes = if is_same { BTreeMap::new() } else { self.hashes(project) };
        let at = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        line(&Line::Step(Box::new(Step { number: self.steps, at, event, actions: self.actions(actions), hashes })))
    }

    /// The last line: why nothing follows.
    ///
    /// # Errors
    /// None that a text could lead to.
    pub fn end(&self, reason: &str) -> serde_json::Result<String> {
        line(&Line::End(End { reason: reason.to_owned() }))
    }

    fn actions(&self, mut actions: Vec<Action>) -> Vec<Value> {
        for action in &mut actions {
            self.redactor.action(action);
        }
        actions.iter().map(value).collect()
    }

    fn hashes(&mut self, project: &Arc<Project>) -> BTreeMap<String, String> {
        self.project = Some(Arc::clone(project));
        let mut journaled = Project::clone(project);
        self.redactor.project(&mut journaled);
        let (real, written) = (ConfigHashes::of(project), ConfigHashes::of(&journaled));
        let services = real.services.values().zip(written.services.values());
        let networks = real.networks.values().zip(written.networks.values());
        let volumes = real.volumes.values().zip(written.volumes.values());
        let hashes = services.chain(networks).chain(volumes);
        hashes.map(|(real, written)| (self.redactor.hash(real), written.clone())).collect()
    }
}

fn line(line: &Line) -> serde_json::Result<String> {
    serde_json::to_string(line).map(|text| text + "\n")
}
