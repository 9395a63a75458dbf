//! Puts a keyed hash in the place of every value that a journal must not carry away: of variables, build arguments,
//! secrets, configs, options of providers and drivers, free extensions. Equal values have equal hashes and other values
//! others, which is all that decisions go by. Hashes that were made from such values are hashed likewise, because who
//! knows the rest could try values out. What builds and containers printed, which may have a value in it, is left out.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::change::rules::Rules;
use crate::plan::observed::{Container, Observed};
use crate::plan::operation::Operation;
use crate::plan::spec::label;
use crate::project::{FileObject, FileSource, Hook, Project, Service, WatchAction};
use crate::reconcile::Setup;
use crate::reconcile::event::{Action, Answer, Event, Outcome};
use crate::reconcile::notice::Notice;

/// So much of a hash tells values apart.
const DIGITS: usize = 24;

pub(super) struct Redactor {
    key: [u8; 32],
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Redactor")
    }
}

impl Redactor {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// What stands for a text.
    pub(super) fn hash(&self, text: &str) -> String {
        let hash = blake3::keyed_hash(&self.key, text.as_bytes());
        format!("redacted-{}", &hash.to_hex()[..DIGITS])
    }

    fn text(&self, text: &mut String) {
        *text = self.hash(text);
    }

    fn values<'a>(&self, values: impl IntoIterator<Item = &'a mut String>) {
        values.into_iter().for_each(|value| self.text(value));
    }

    fn variables(&self, variables: &mut BTreeMap<String, Option<String>>) {
        self.values(variables.values_mut().flatten());
    }

    pub(super) fn setup(&self, setup: &mut Setup) {
        self.shared_project(&mut setup.project);
        if let Some(rules) = &mut setup.rules {
            self.rules(rules);
        }
        self.values(setup.inputs.values_mut());
    }

    fn shared_project(&self, shared: &mut Arc<Project>) {
        let mut project = Project::clone(shared);
        self.project(&mut project);
        *shared = Arc::new(project);
    }

    pub(super) fn project(&self, project: &mut Project) {
        for service in project.services.values_mut().chain(project.disabled.values_mut()) {
            self.service(service);
        }
        for object in project.secrets.values_mut().chain(project.configs.values_mut()) {
            self.file(object);
        }
        self.values(project.volumes.values_mut().flat_map(|volume| volume.driver_opts.values_mut()));
        // A service that uses a model gets its name as a variable.
        self.values(project.models.values_mut().map(|model| &mut model.source));
    }

    fn rules(&self, rules: &mut Arc<Rules>) {
        let mut origin = rules.origin().clone();
        origin.services.values_mut().for_each(|service| self.service(service));
        *rules = Arc::new(origin.into());
    }

    fn service(&self, service: &mut Service) {
        self.variables(&mut service.environment);
        if let Some(build) = &mut service.build {
            self.variables(&mut build.args);
        }
        if let Some(logging) = &mut service.logging {
            self.values(logging.options.values_mut());
        }
        if let Some(provider) = &mut service.provider {
            self.values(provider.options.values_mut().flatten());
        }
        service.post_start.iter_mut().chain(&mut service.pre_stop).for_each(|hook| self.hook(hook));
        for rule in &mut service.watch {
            if let WatchAction::SyncExec { exec, .. } = &mut rule.action {
                self.hook(exec);
            }
        }
        for value in service.extensions.values_mut() {
            *value = self.hash(&value.to_string()).into();
        }
    }

    fn hook(&self, hook: &mut Hook) {
        self.variables(&mut hook.environment);
    }

    fn file(&self, object: &mut FileObject) {
        match &mut object.source {
            FileSource::Environment { value, .. } | FileSource::Content(value) => self.text(value),
            FileSource::File(_) | FileSource::External => {}
        }
    }

    pub(super) fn event(&self, event: &mut Event) {
        for container in containers_of(event) {
            self.container(container);
        }
        match event {
            Event::Observed(Observed { images, .. }) => {
                for image in images.values_mut() {
                    self.labels(&mut image.labels);
                }
            }
            Event::InputsRead { digest: Some(digest), .. } => self.text(digest),
            Event::RulesRead(rules) => self.rules(rules),
            Event::Reloaded(Some(reloaded)) => {
                self.shared_project(&mut reloaded.project);
                self.rules(&mut reloaded.rules);
                self.values(reloaded.inputs.values_mut());
            }
            Event::Answered { answer: Answer::Failed(failure), .. } => failure.output.clear(),
            Event::Answered { answer: Answer::Done(outcome), .. } => match outcome {
                Outcome::Image(image) => self.labels(&mut image.labels),
                Outcome::Provided(variables) => {
                    self.values(variables.named.values_mut().chain(variables.plain.values_mut()));
                }
                Outcome::Model(address) => self.text(address),
                Outcome::Reverted { output, .. } => output.clear(),
                Outcome::Container(_) | Outcome::Nothing => {}
            },
            _ => {}
        }
    }

    fn container(&self, container: &mut Container) {
        self.values(&mut container.config_hash);
        self.labels(&mut container.labels);
    }

    fn labels(&self, labels: &mut BTreeMap<String, String>) {
        for key in [label::CONFIG_HASH, label::INPUTS] {
            self.values(labels.get_mut(key));
        }
    }

    pub(super) fn action(&self, action: &mut Action) {
        match action {
            Action::Perform { operation, .. } => self.operation(operation),
            Action::Tell(notice) => self.notice(notice),
            _ => {}
        }
    }

    fn notice(&self, notice: &mut Notice) {
        match notice {
            Notice::Failed { output, operation, .. } => {
                output.clear();
                self.operation(operation);
            }
            Notice::Reverted { output, .. } => output.clear(),
            Notice::Began { operation, .. } | Notice::Done { operation, .. } | Notice::Cancelled { operation } => {
                self.operation(operation);
            }
            _ => {}
        }
    }

    fn operation(&self, operation: &mut Operation) {
        if let Operation::Sync { exec, .. } = operation {
            for hook in exec {
                self.hook(hook);
            }
        }
    }
}

/// The containers that an event tells of.
pub(super) fn containers_of(event: &mut Event) -> Vec<&mut Container> {
    match event {
        Event::Observed(observed) => observed.containers.values_mut().collect(),
        Event::Container { container: Some(container), .. }
        | Event::Answered {
            answer: Answer::Done(Outcome::Container(container) | Outcome::Reverted { container, .. }),
            ..
        } => vec![&mut **container],
        _ => Vec::new(),
    }
}
