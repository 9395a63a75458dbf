//! Puts a keyed hash in the place of every value that a journal must not carry away, also of those into which people put
//! variables: of variables, build arguments, secrets, configs, command lines, healthchecks, labels, options of providers and
//! drivers, addresses of contexts and caches, free extensions. Equal values have equal hashes and other values
//! others, which is all that decisions go by. Hashes that were made from such values are hashed likewise, because who
//! knows the rest could try values out. What builds and containers printed, which may have a value in it, is left out.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::change::rules::Rules;
use crate::plan::observed::{Container, Observed};
use crate::plan::operation::Operation;
use crate::plan::spec::label;
use crate::project::{
    Build, BuildContext, FileObject, FileSource, HealthTest, Hook, MountSource, Networking, Project, Service,
    WatchAction,
};
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
        for volume in project.volumes.values_mut() {
            self.values(volume.driver_opts.values_mut().chain(volume.labels.values_mut()));
        }
        for network in project.networks.values_mut() {
            let options = network.driver_opts.values_mut().chain(network.ipam.options.values_mut());
            self.values(options.chain(network.labels.values_mut()));
        }
        // A service that uses a model gets its name as a variable.
        for model in project.models.values_mut() {
            self.text(&mut model.source);
            self.values(&mut model.runtime_flags);
        }
    }

    fn rules(&self, rules: &mut Arc<Rules>) {
        let mut origin = rules.origin().clone();
        origin.services.values_mut().for_each(|service| self.service(service));
        *rules = Arc::new(origin.into());
    }

    fn service(&self, service: &mut Service) {
        self.variables(&mut service.environment);
        self.values(service.command.iter_mut().chain(&mut service.entrypoint).flatten());
        let maps = [&mut service.labels, &mut service.annotations, &mut service.sysctls, &mut service.storage_opt];
        self.values(maps.into_iter().flat_map(BTreeMap::values_mut));
        if let Some(check) = &mut service.healthcheck {
            match &mut check.test {
                HealthTest::Command(words) => self.values(words),
                HealthTest::Shell(line) => self.text(line),
                HealthTest::Inherit | HealthTest::Disabled => {}
            }
        }
        if let Some(build) = &mut service.build {
            self.build(build);
        }
        if let Some(logging) = &mut service.logging {
            self.values(logging.options.values_mut());
        }
        if let Some(provider) = &mut service.provider {
            self.values(provider.options.values_mut().flatten());
        }
        if let Networking::Networks(places) = &mut service.networking {
            self.values(places.values_mut().flat_map(|place| place.driver_opts.values_mut()));
        }
        for mount in &mut service.mounts {
            match &mut mount.source {
                MountSource::Anonymous { labels, .. } => self.values(labels.values_mut()),
                MountSource::Tmpfs { options, .. } => self.values(options),
                _ => {}
            }
        }
        self.values(service.devices.requests.iter_mut().flat_map(|request| request.options.values_mut()));
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

    fn build(&self, build: &mut Build) {
        self.variables(&mut build.args);
        self.values(build.labels.values_mut());
        self.values(build.cache_from.iter_mut().chain(&mut build.cache_to));
        self.values(build.dockerfile_inline.iter_mut().chain(&mut build.provenance).chain(&mut build.sbom));
        if let BuildContext::Remote(address) = &mut build.context {
            self.text(address);
        }
        // An address may have a password in it; the others are folders and services.
        self.values(build.additional_contexts.values_mut().filter(|source| source.contains("://")));
    }

    fn hook(&self, hook: &mut Hook) {
        self.values(&mut hook.command);
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
            Event::Observed(Observed { images, networks, volumes, .. }) => {
                let labels = images.values_mut().map(|image| &mut image.labels);
                let labels = labels.chain(networks.values_mut().map(|network| &mut network.labels));
                labels.chain(volumes.values_mut().map(|volume| &mut volume.labels)).for_each(|it| self.labels(it));
            }
            Event::InputsRead { digest, .. } => self.values(digest),
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
            Event::Answered { answer: Answer::Cancelled, .. }
            | Event::Container { .. }
            | Event::Exited { .. }
            | Event::ProbePassed { .. }
            | Event::Changed(_)
            | Event::Undone(_)
            | Event::Reloaded(None)
            | Event::Interrupted { .. }
            | Event::EngineLost { .. }
            | Event::Reconnected
            | Event::Woken => {}
        }
    }

    fn container(&self, container: &mut Container) {
        self.values(&mut container.config_hash);
        self.labels(&mut container.labels);
        container.command.clear();
    }

    /// Those that hoist and docker compose set stay: decisions go by them.
    fn labels(&self, labels: &mut BTreeMap<String, String>) {
        let is_own = |key: &str| key.starts_with("com.docker.compose.") || key.starts_with("dev.hoist.");
        let secret = [label::CONFIG_HASH, label::DEFINITION, label::INPUTS];
        let hidden = labels.iter_mut().filter(|(key, _)| !is_own(key) || secret.contains(&key.as_str()));
        self.values(hidden.map(|(_, value)| value));
    }

    pub(super) fn action(&self, action: &mut Action) {
        match action {
            Action::Perform { operation, .. } => self.operation(operation),
            Action::Tell(notice) => self.notice(notice),
            Action::Cancel { .. }
            | Action::Observe
            | Action::Reload
            | Action::ReadInputs { .. }
            | Action::Probe { .. }
            | Action::StopProbe { .. }
            | Action::Follow { .. }
            | Action::Kill { .. }
            | Action::End { .. } => {}
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
            Notice::ImageUnchanged { .. }
            | Notice::Healthy { .. }
            | Notice::Unhealthy { .. }
            | Notice::Exited { .. }
            | Notice::Changed { .. }
            | Notice::Edited { .. }
            | Notice::Reloaded { .. }
            | Notice::NotReloaded { .. }
            | Notice::Orphans { .. }
            | Notice::Warning { .. }
            | Notice::ServiceFailed { .. }
            | Notice::Up { .. }
            | Notice::Stopping
            | Notice::Killing
            | Notice::EngineLost { .. }
            | Notice::EngineBack
            | Notice::StopWaits { .. }
            | Notice::LeftRunning { .. }
            | Notice::TimedOut { .. } => {}
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
fn containers_of(event: &mut Event) -> Vec<&mut Container> {
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

/// The hashes of the configurations that what is observed was made from.
pub(super) fn hashes_of(event: &mut Event) -> Vec<&mut String> {
    if let Event::Observed(Observed { containers, networks, volumes, .. }) = event {
        let labels =
            networks.values_mut().map(|it| &mut it.labels).chain(volumes.values_mut().map(|it| &mut it.labels));
        let definitions = labels.filter_map(|labels| labels.get_mut(label::DEFINITION));
        return containers.values_mut().filter_map(|it| it.config_hash.as_mut()).chain(definitions).collect();
    }
    containers_of(event).into_iter().filter_map(|it| it.config_hash.as_mut()).collect()
}
