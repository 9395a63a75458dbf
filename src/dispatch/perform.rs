//! Operations → calls to the engine. Each is a fixed sequence; nothing is decided here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::prepare::now;
use super::sync::Backups;
use crate::change::rules::Rules;
use crate::engine::{Engine, EngineError, ExecOutcome, Progress};
use crate::plan::observed::{Container, ContainerId, ContainerState, Observed};
use crate::plan::operation::{Operation, Restarted};
use crate::plan::spec::Replaces;
use crate::plan::{newest_of, replicas_of, spec};
use crate::project::{Hook, Project, Service};
use crate::provider::{self, ProviderError};
use crate::reconcile::event::{Answer, Failure, Outcome, Part, Parts};
use crate::reconcile::notice::Notice;
use crate::ui::{Line, Message};

/// How much news of a build may wait to be printed.
const PROGRESS: usize = 256;
/// The commands that are run after files were copied.
pub(super) const SYNC: &str = "sync";
/// A command in a container that takes longer than this is told of.
const LONG_HOOK: Duration = Duration::from_secs(10);
/// And of one after files were copied, for which later saves wait, this much later nobody waits any more.
const LONGEST_HOOK: Duration = Duration::from_mins(10);

/// One operation and all that it needs.
pub(super) struct Job<E> {
    pub(super) engine: E,
    pub(super) project: Arc<Project>,
    pub(super) grace: Option<Duration>,
    pub(super) messages: mpsc::Sender<Message>,
    pub(super) cancel: CancellationToken,
    pub(super) context: Context,
    pub(super) operation: Operation,
    pub(super) backups: Backups,
    /// How long the parts took so far.
    pub(super) parts: Mutex<Parts>,
}

/// What of the observed state a container is made with.
#[derive(Debug, Default)]
pub(super) struct Context {
    image_id: String,
    /// The newest container of its service that has its number.
    newest: Option<ContainerId>,
    /// The containers whose namespaces or volumes it uses, by service.
    companions: BTreeMap<String, ContainerId>,
    /// The containers that run, of those that files are copied into.
    running: BTreeSet<ContainerId>,
    /// The engine removes files of containers that do not run, too.
    removes_files: bool,
    /// Saved files are to start its program again.
    restarts_program: bool,
}

impl Context {
    pub(super) fn of(project: &Project, observed: &Observed, rules: Option<&Rules>, operation: &Operation) -> Self {
        let able = Self { removes_files: observed.abilities.removes_files, ..Self::default() };
        if let Operation::Sync { containers, .. } = operation {
            let runs = |id: &&ContainerId| observed.containers.get(*id).is_some_and(|it| it.state.is_running());
            return Self { running: containers.iter().filter(runs).cloned().collect(), ..able };
        }
        let Operation::Create { service, number, .. } = operation else { return able };
        let newest = newest_of(observed, service, *number).map(|container| container.id.clone());
        let Some(service) = project.services.get(service) else { return able };
        let restarts_program = rules.is_some_and(|rules| rules.restart(&service.name));
        let companion = |name: &str| {
            let replica = replicas_of(observed, name).into_values().next()?;
            Some((name.to_owned(), replica.current.id.clone()))
        };
        let companions = service.companions().filter_map(companion).collect();
        let image = observed.images.get(&project.image_of(service));
        let image_id = image.map(|image| image.id.clone()).unwrap_or_default();
        Self { image_id, newest, companions, restarts_program, ..able }
    }
}

type Performed = Result<Outcome, EngineError>;

impl<E: Engine> Job<E> {
    /// Carries the operation out, and says how long its parts took. It answers whatever happens.
    pub(super) async fn answer(self) -> (Answer, Parts) {
        let performed = std::panic::AssertUnwindSafe(self.perform()).catch_unwind().await;
        let parts = std::mem::take(&mut *self.parts.lock().unwrap_or_else(PoisonError::into_inner));
        let answer = match performed {
            Ok(Ok(outcome)) => Answer::Done(outcome),
            Ok(Err(EngineError::Cancelled)) => Answer::Cancelled,
            Ok(Err(error)) => Answer::Failed(failure(error)),
            Err(_) => Answer::Failed(Failure {
                reason: format!("internal error in `{}`; please report it", self.operation),
                output: Vec::new(),
                unreachable: false,
            }),
        };
        (answer, parts)
    }

    /// Notes how long a part takes.
    pub(super) async fn timed<T>(&self, part: Part, future: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let outcome = future.await;
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).push((part, began.elapsed()));
        outcome
    }

    /// Whether files of a container can be removed.
    pub(super) fn is_open(&self, id: &str) -> bool {
        self.context.removes_files || self.is_running(id)
    }

    /// Whether a container ran when the operation was begun.
    pub(super) fn is_running(&self, id: &str) -> bool {
        self.context.running.contains(id)
    }

    async fn perform(&self) -> Performed {
        let engine = &self.engine;
        match &self.operation {
            Operation::CreateNetwork { key } => {
                let Some(network) = self.project.networks.get(key) else { return Ok(Outcome::Nothing) };
                engine.create_network(&spec::network(&self.project, key, network)).await.map(nothing)
            }
            Operation::CreateVolume { key } => {
                let Some(volume) = self.project.volumes.get(key) else { return Ok(Outcome::Nothing) };
                engine.create_volume(&spec::volume(&self.project, key, volume)).await.map(nothing)
            }
            Operation::Provide { service } => self.by_provider(service, provider::provide).await.map(Outcome::Provided),
            Operation::Suspend { service } => self.by_provider(service, provider::suspend).await.map(nothing),
            Operation::Withdraw { service } => self.by_provider(service, provider::withdraw).await.map(nothing),
            Operation::PrepareModel { key } => self.prepare_model(key).await,
            Operation::Pull { service } => self.pull(service).await,
            Operation::Build { service, .. } => self.build(service).await,
            Operation::Tag { service, from, .. } => self.tag(service, from).await,
            Operation::Create { service, number, replaces } => {
                self.create(service, *number, replaces.as_deref()).await.map(container)
            }
            Operation::Start { service, container: id, .. } => self.start(service, id).await.map(container),
            Operation::Exchange { service, old, new, .. } => self.exchange(service, old, new).await.map(container),
            Operation::Promote { service, number, old, new } => {
                self.promote(service, *number, old, new).await.map(container)
            }
            Operation::Revert { service, old, new, .. } => self.revert(service, old, new).await,
            Operation::Restore { service, container: id, .. } => self.restore(service, id).await,
            Operation::Rename { service, number, container: id } => {
                self.rename(service, *number, id).await?;
                Ok(engine.container(id).await?.map_or(Outcome::Nothing, container))
            }
            Operation::Restart { service, container: id, what, .. } => {
                self.again(service, id, *what).await.map(container)
            }
            Operation::Stop { service, container: id, .. } => {
                Ok(self.stop(service, id).await?.map_or(Outcome::Nothing, container))
            }
            Operation::Remove { service, container: id, volumes, .. } => {
                self.stop(service, id).await?;
                self.backups.forget(id);
                engine.remove_container(id, *volumes).await.map(nothing)
            }
            Operation::Sync { containers, files, exec, keep, compare, .. } => {
                self.sync(containers, files, exec, *keep, *compare).await
            }
            Operation::RemoveNetwork { name } => engine.remove_network(name).await.map(nothing),
            Operation::RemoveVolume { name } => engine.remove_volume(name).await.map(nothing),
            Operation::RemoveImage { image } => engine.remove_image(image).await.map(nothing),
        }
    }

    /// Runs the program that provides a service.
    async fn by_provider<T: Default>(
        &self,
        service: &str,
        ask: impl AsyncFnOnce(&Project, &Service, &mpsc::Sender<Progress>) -> Result<T, ProviderError>,
    ) -> Result<T, EngineError> {
        let Some(service) = self.project.services.get(service) else { return Ok(T::default()) };
        let (sender, forwarding) = self.forward_progress(&service.name);
        let asked = async {
            let sender = sender;
            self.cancel.run_until_cancelled(ask(&self.project, service, &sender)).await
        };
        provided(tokio::join!(asked, forwarding).0)
    }

    async fn prepare_model(&self, key: &str) -> Performed {
        let Some(model) = self.project.models.get(key) else { return Ok(Outcome::Nothing) };
        let (sender, forwarding) = self.forward_progress(key);
        let asked = async {
            let sender = sender;
            self.cancel.run_until_cancelled(provider::prepare_model(model, &sender)).await
        };
        provided(tokio::join!(asked, forwarding).0).map(Outcome::Model)
    }

    async fn pull(&self, service: &str) -> Performed {
        let Some(service) = self.project.any_service(service) else { return Ok(Outcome::Nothing) };
        let image = self.project.image_of(service);
        let (sender, forwarding) = self.forward_progress(&service.name);
        let pull = self.engine.pull(&image, service.platform.as_deref(), sender, self.cancel.clone());
        let (pulled, ()) = tokio::join!(pull, forwarding);
        pulled.map(Outcome::Image)
    }

    async fn build(&self, service: &str) -> Performed {
        let service = self.project.any_service(service);
        let Some(build) = service.and_then(|service| spec::build(&self.project, service)) else {
            return Ok(Outcome::Nothing);
        };
        let (sender, forwarding) = self.forward_progress(&build.service);
        let (outcome, ()) = tokio::join!(self.engine.build(&build, sender, self.cancel.clone()), forwarding);
        outcome.map(Outcome::Image)
    }

    /// What was built for one service is another's image too.
    async fn tag(&self, service: &str, from: &str) -> Performed {
        let of = |name: &str| self.project.any_service(name).map(|service| self.project.image_of(service));
        let (Some(image), Some(built)) = (of(service), of(from)) else { return Ok(Outcome::Nothing) };
        if built != image {
            self.engine.tag_image(&built, &image).await?;
        }
        let gone = || EngineError::NotFound { message: format!("the image `{image}` is gone") };
        self.engine.image(&image).await?.ok_or_else(gone).map(Outcome::Image)
    }

    /// A sender for progress, and the future that passes it on until the sender is dropped.
    fn forward_progress(&self, service: &str) -> (mpsc::Sender<Progress>, impl Future<Output = ()>) {
        let (sender, mut receiver) = mpsc::channel(PROGRESS);
        let (messages, service) = (self.messages.clone(), service.to_owned());
        let forwarding = async move {
            while let Some(progress) = receiver.recv().await {
                // Without a printing task there is nobody to tell, but the build must not block on it.
                let _ = messages.send(Message::Progress { service: service.clone(), progress }).await;
            }
        };
        (sender, forwarding)
    }

    async fn create(&self, service: &str, number: u32, replaces: Option<&str>) -> Result<Container, EngineError> {
        let Some(service) = self.project.services.get(service) else {
            return Err(EngineError::NotFound { message: format!("no service `{service}`") });
        };
        let replaces = replaces.map(|old| Replaces { old, newest: self.context.newest.as_deref().unwrap_or(old) });
        let mut spec = spec::container(&self.project, service, number, &self.context.image_id, replaces);
        spec.companions.clone_from(&self.context.companions);
        spec.restarts_program = self.context.restarts_program;
        let made = self.engine.create_container(&spec).await?;
        for warning in made.warnings {
            self.warn(format!("`{}`: {warning}", service.name)).await;
        }
        Ok(made.container)
    }

    /// Starts a container and runs what its service runs then.
    pub(super) async fn start(&self, service: &str, id: &str) -> Result<Container, EngineError> {
        let started = self.engine.start_container(id).await?;
        self.once_started(service, started).await
    }

    /// Runs the commands of `post_start` in a container that was just started, and says how it is after them.
    async fn once_started(&self, service: &str, started: Container) -> Result<Container, EngineError> {
        let hooks = self.project.services.get(service).map(|service| &*service.post_start).unwrap_or_default();
        for hook in hooks {
            self.run_hook("post_start", service, &started.id, hook).await?;
        }
        if hooks.is_empty() {
            return Ok(started);
        }
        // They take their time: it may be another one since.
        Ok(self.engine.container(&started.id).await?.unwrap_or(started))
    }

    /// Stops a container and starts it again, in one request: an engine that knows of the start to come can let what comes
    /// to its ports wait for it.
    async fn again(&self, service: &str, id: &str, what: Restarted) -> Result<Container, EngineError> {
        self.before_stop(service, id).await?;
        let (since, began) = (now(), Instant::now());
        let restarted = self.engine.restart_container(id, self.grace, what).await?;
        let whole = began.elapsed();
        // The engine's clock may be another machine's.
        let stopping = Duration::from_nanos(restarted.finished_at.saturating_sub(since)).min(whole);
        let parts = [(Part::Stop, stopping), (Part::Start, whole.saturating_sub(stopping))];
        // The container did not stop when only its program did.
        let parts = parts.into_iter().filter(|(_, took)| !took.is_zero());
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).extend(parts);
        self.once_started(service, restarted).await
    }

    /// Runs the commands of `pre_stop` in a container that runs, then stops it.
    pub(super) async fn stop(&self, service: &str, id: &str) -> Result<Option<Container>, EngineError> {
        self.before_stop(service, id).await?;
        self.engine.stop_container(id, self.grace).await
    }

    /// Runs the commands of `pre_stop` in a container that runs. One that fails is told of and keeps nobody from stopping.
    async fn before_stop(&self, service: &str, id: &str) -> Result<(), EngineError> {
        let service = self.project.any_service(service);
        let hooks = service.map(|service| &*service.pre_stop).unwrap_or_default();
        if let (Some(service), false) = (service, hooks.is_empty())
            && self.engine.container(id).await?.is_some_and(|container| container.state == ContainerState::Running)
        {
            for hook in hooks {
                if let Err(error) = self.run_hook("pre_stop", &service.name, id, hook).await {
                    self.warn(error.to_string()).await;
                }
            }
        }
        Ok(())
    }

    /// Runs one command and shows what it says among the service's output.
    async fn run_hook(&self, kind: &str, service: &str, id: &str, hook: &Hook) -> Result<(), EngineError> {
        let ended = self.exec(kind, id, hook).await?;
        let lines = ended.output.lines().map(|text| Line {
            service: service.to_owned(),
            number: 1,
            stderr: false,
            text: text.to_owned(),
        });
        // Without a printing task there is nobody to tell.
        let _ = self.messages.send(Message::Lines(lines.collect())).await;
        if ended.code == 0 {
            return Ok(());
        }
        Err(refused(&format!("the `{kind}` command `{}` exited with code {}", hook.command.join(" "), ended.code)))
    }

    /// Runs a command to its end, which a command that never ends does not keep everything behind it from.
    pub(super) async fn exec(&self, kind: &str, id: &str, hook: &Hook) -> Result<ExecOutcome, EngineError> {
        let told = || format!("the `{kind}` command `{}`", hook.command.join(" "));
        let ended = self.engine.exec(id, hook);
        tokio::pin!(ended);
        let waits = async {
            if let Ok(ended) = timeout(LONG_HOOK, &mut ended).await {
                return Some(ended);
            }
            let service = self.operation.service().unwrap_or_default();
            let after = LONG_HOOK.as_secs();
            self.warn(format!("`{service}`: {} still runs after {after} s; what comes next waits for it", told()))
                .await;
            match kind {
                SYNC => timeout(LONGEST_HOOK, &mut ended).await.ok(),
                _ => Some(ended.await),
            }
        };
        let ended = self.cancel.run_until_cancelled(waits).await.ok_or(EngineError::Cancelled)?;
        let minutes = LONGEST_HOOK.as_secs() / 60;
        ended.unwrap_or_else(|| {
            Err(refused(&format!("{} is not waited for any longer: it ran {minutes} minutes", told())))
        })
    }

    pub(super) async fn warn(&self, message: String) {
        // Without a printing task there is nobody to tell.
        let _ = self.messages.send(Message::Notice(Notice::Warning { message, hint: None })).await;
    }
}

fn container(container: Container) -> Outcome {
    Outcome::Container(Box::new(container))
}

fn provided<T>(asked: Option<Result<T, ProviderError>>) -> Result<T, EngineError> {
    asked.ok_or(EngineError::Cancelled)?.map_err(|error| refused(&error.to_string()))
}

fn nothing((): ()) -> Outcome {
    Outcome::Nothing
}

pub(super) fn refused(message: &str) -> EngineError {
    EngineError::Refused { message: message.to_owned() }
}

fn failure(error: EngineError) -> Failure {
    let unreachable = matches!(error, EngineError::Unreachable { .. });
    let reason = error.to_string();
    let output = match error {
        EngineError::CommandFailed { output, .. } => output,
        _ => Vec::new(),
    };
    Failure { reason, output, unreachable }
}
