//! The loop: an event comes in, [`step`] says what to do, and it is begun. The loop spawns and cancels; it never waits
//! for anything but the next event, so no build makes it deaf to Ctrl-C or to the next save.

mod differ;
mod exchange;
mod link;
mod perform;
mod prepare;
mod reading;
mod signals;
mod sync;
mod unsettled;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::Shared;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::change::rules::Rules;
use crate::content::Hashes;
use crate::engine::{Engine, LogOptions};
use crate::journal::Journal;
use crate::log;
use crate::plan::goal::{Goal, Up};
use crate::plan::observed::ContainerId;
use crate::probe::until_healthy;
use crate::project::Project;
use crate::reconcile::event::{Action, Event, Ticket};
use crate::reconcile::notice::Notice;
use crate::reconcile::{State, step};
use crate::standing::{Keeper, Standing};
use crate::ui::{Message, Scene};
use crate::watch::{Told, Watch};

use prepare::ManifestRead;
pub use prepare::observe_once;
pub use reading::{Manifest, Read};
use reading::{Reading, finished};
use signals::Signals;
use unsettled::Unsettled;

/// How many events may wait for the loop; a task that has one more waits itself.
const EVENTS: usize = 1024;
/// How long nothing may come of the last lines of output, once everything has stopped, before they are given up; and how
/// long an engine has then to answer what it was asked.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// The same of an engine when the person did not want to wait any longer.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// What a run needs.
#[derive(Debug)]
pub struct Setup {
    /// What the manifest asks for.
    pub project: Arc<Project>,
    /// What the run is to bring about.
    pub goal: Goal,
    /// Act on saved files.
    pub watch: bool,
    /// How the manifest is read again once it is saved; `None` when it is not.
    pub manifest: Option<Manifest>,
    /// What is known of the files' contents.
    pub hashes: Hashes,
    /// Pass on the containers' output.
    pub follow_logs: bool,
    /// Where notices, progress and output go.
    pub messages: mpsc::Sender<Message>,
    /// What every input of the run is noted in; `None` when it is not.
    pub journal: Option<Journal>,
}

/// Why a run could not even begin.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Services depend on each other in a circle.
    #[error("services depend on each other in a circle: {}", .0.iter().map(|cycle| cycle.join(" → ")).collect::<Vec<_>>().join("; "))]
    Cycles(Vec<Vec<String>>),
    /// The signals of the system cannot be had.
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
    /// Files cannot be watched.
    #[error(transparent)]
    Watch(#[from] crate::watch::WatchError),
    /// What the images would be built from cannot be read.
    #[error(transparent)]
    Engine(#[from] crate::engine::EngineError),
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code.
    pub code: u8,
    /// The project as the run had it at last: what its providers and models told is in it.
    pub project: Arc<Project>,
}

/// Runs until the goal is reached or given up.
///
/// # Errors
/// When the run cannot begin. What goes wrong later is told through `messages` and in the exit code.
pub async fn run<E: Engine>(engine: E, setup: Setup) -> Result<Ended, SetupError> {
    let signals = Signals::new().map_err(SetupError::Signals)?;
    let (run_setup, watch) = prepare::prepare(&setup).await?;
    let rules = run_setup.rules.clone();
    let mut journal = setup.journal;
    let noted = journal.is_some().then(|| run_setup.clone());
    let (state, first) = State::new(run_setup).map_err(SetupError::Cycles)?;
    if let (Some(journal), Some(setup)) = (&mut journal, noted) {
        journal.begin(setup, &first);
    }
    let (events, inbox) = mpsc::channel(EVENTS);
    let keeper = Keeper::of_project(&setup.project.name, &setup.project.directory);
    let dispatcher = Dispatcher {
        engine,
        manifest: setup.manifest,
        reloading: None,
        rereading: None,
        is_outdated: false,
        unsettled: Unsettled::default(),
        hashes: setup.hashes,
        keeper,
        grace: grace(&setup.goal),
        messages: setup.messages,
        journal,
        state,
        rules,
        watched: None,
        began: Instant::now(),
        events,
        outbox: VecDeque::new(),
        operations: BTreeMap::new(),
        probes: BTreeMap::new(),
        backups: sync::Backups::default(),
        tasks: TaskTracker::new(),
        followers: TaskTracker::new(),
        cancel: CancellationToken::new(),
        abandoned: CancellationToken::new(),
    };
    // Too much for the stack of whoever waits for it.
    Ok(Box::pin(dispatcher.run(first, inbox, signals, watch)).await)
}

fn grace(goal: &Goal) -> Option<Duration> {
    match goal {
        Goal::Up(Up { grace, .. }) | Goal::Stop { grace, .. } | Goal::Restart { grace, .. } => *grace,
        Goal::Down(down) => down.grace,
        Goal::Start { .. } => None,
    }
}

/// What the loop waits for.
enum Came {
    Event(Event),
    /// What has become of files.
    Told(BTreeMap<PathBuf, Told>),
    /// The manifest, read again.
    Manifest(ManifestRead),
}

struct Dispatcher<E> {
    engine: E,
    manifest: Option<Manifest>,
    /// The manifest is being read again.
    reloading: Option<Reading<ManifestRead>>,
    /// What the rules are made from is being read again.
    rereading: Option<Reading<Arc<Rules>>>,
    /// That has changed since the reading of the manifest began.
    is_outdated: bool,
    unsettled: Unsettled,
    hashes: Hashes,
    keeper: Keeper,
    grace: Option<Duration>,
    messages: mpsc::Sender<Message>,
    journal: Option<Journal>,
    state: State,
    rules: Option<Arc<Rules>>,
    /// Whether the watch has gone over to them.
    watched: Option<Shared<oneshot::Receiver<()>>>,
    began: Instant,
    events: mpsc::Sender<Event>,
    /// Messages that the printing task has not taken yet; the loop must not wait for a slow terminal.
    outbox: VecDeque<Message>,
    operations: BTreeMap<Ticket, CancellationToken>,
    probes: BTreeMap<ContainerId, CancellationToken>,
    backups: sync::Backups,
    tasks: TaskTracker,
    followers: TaskTracker,
    cancel: CancellationToken,
    /// Operations that an engine does not answer are left to it.
    abandoned: CancellationToken,
}

impl<E: Engine> Dispatcher<E> {
    async fn run(
        mut self,
        first: Vec<Action>,
        mut inbox: mpsc::Receiver<Event>,
        mut signals: Signals,
        watch: Option<Watch>,
    ) -> Ended {
        self.tasks.spawn(link::listen(
            self.engine.clone(),
            self.state.project().name.clone(),
            self.events.clone(),
            self.cancel.clone(),
        ));
        self.warn_of_watching(watch.as_ref());
        let mut ended = self.act(first);
        let mut is_left = false;
        while ended.is_none() {
            let wake = self.state.wake_at().map(|at| self.began + at);
            let came = tokio::select! {
                biased;
                code = signals.next() => Came::Event(Event::Interrupted { code }),
                permit = self.messages.reserve(), if !self.outbox.is_empty() => {
                    if let (Ok(permit), Some(message)) = (permit, self.outbox.pop_front()) {
                        permit.send(message);
                    }
                    continue;
                }
                Some(event) = inbox.recv() => Came::Event(event),
                told = told(watch.as_ref()) => Came::Told(told),
                Some(rules) = finished(&mut self.rereading) => Came::Event(Event::RulesRead(rules)),
                Some(read) = finished(&mut self.reloading) => Came::Manifest(read),
                () = sleep_until(wake) => Came::Event(Event::Woken),
            };
            let event = match came {
                Came::Event(event) => event,
                Came::Manifest(read) => Event::Reloaded(self.take_manifest(read)),
                Came::Told(told) => {
                    let (paths, undone) = self.unsettled.sort(told, |path| self.state.is_unsettled(path));
                    if !undone.is_empty() {
                        let actions = self.step(Event::Undone(undone));
                        ended = self.act(actions);
                        if ended.is_some() {
                            break;
                        }
                    }
                    Event::Changed(paths)
                }
            };
            match &event {
                Event::Answered { ticket, .. } => drop(self.operations.remove(ticket)),
                Event::Changed(paths) => {
                    self.warn_of_looking(watch.as_ref());
                    self.reread_rules(paths);
                    // There was something to tell and nothing that changed.
                    if paths.is_empty() {
                        continue;
                    }
                }
                Event::Container { id, container: Some(container) } if container.state.is_running() => {
                    self.remove_left(id);
                }
                Event::RulesRead(rules) => self.take_rules(rules, watch.as_ref()),
                Event::Reloaded(Some(reloaded)) => {
                    self.take_rules(&reloaded.rules, watch.as_ref());
                    self.send(Message::Scene(Scene::of(&reloaded.project)));
                }
                _ => {}
            }
            tracing::debug!(?event, "event");
            let is_of_new_project = matches!(event, Event::Reloaded(Some(_)));
            let is_interrupt = matches!(event, Event::Interrupted { .. });
            let actions = self.step(event);
            ended = self.act(actions);
            is_left = is_interrupt && ended.is_some();
            if is_of_new_project && std::mem::take(&mut self.is_outdated) {
                self.reread();
            }
        }
        // Tasks that still want to report must not wait for a loop that has gone.
        inbox.close();
        let project = Arc::clone(self.state.project());
        if !is_left {
            self.hear_last_words(signals).await;
        }
        let patience = if is_left { LAST_MOMENT } else { LAST_WORDS };
        Ended { code: self.wind_up(ended.unwrap_or(1), patience).await, project }
    }

    /// Removes files that could only be emptied while their container did not run.
    fn remove_left(&self, id: &ContainerId) {
        let left = self.backups.take_left(id);
        if !left.is_empty() {
            let (engine, id) = (self.engine.clone(), id.clone());
            self.spawn(async move {
                if let Err(error) = engine.remove_files(&id, &left).await {
                    tracing::debug!(id, %error, "emptied files stay");
                }
            });
        }
    }

    /// Moves the run by one event, and notes it.
    fn step(&mut self, event: Event) -> Vec<Action> {
        let now = self.began.elapsed();
        let Some(journal) = &mut self.journal else { return step(&mut self.state, event, now) };
        let noted = event.clone();
        let actions = step(&mut self.state, event, now);
        journal.step(noted, now, &actions, self.state.project());
        if let Some(trouble) = journal.take_trouble() {
            self.tell_of_journal(&trouble);
        }
        actions
    }

    fn tell_of_journal(&mut self, trouble: &str) {
        let message = format!("this run's journal ends here: {trouble}");
        self.tell(Notice::Warning { message, hint: Some("`hoist --no-journal up` keeps none".into()) });
    }

    /// Tells what keeps saved files from being noticed as they should be.
    fn warn_of_watching(&mut self, watch: Option<&Watch>) {
        self.warn_of_looking(watch);
        let rules = self.rules.clone();
        for problem in rules.iter().flat_map(|rules| rules.problems()) {
            self.tell(Notice::Warning { message: problem.to_string(), hint: None });
        }
    }

    /// Tells which changes are looked for because the system does not tell of them.
    fn warn_of_looking(&mut self, watch: Option<&Watch>) {
        for warning in watch.map(Watch::take_warnings).unwrap_or_default() {
            self.tell(Notice::Warning { message: warning.to_string(), hint: warning.hint() });
        }
    }

    /// Begins what is to be done; the exit code when the run is over.
    fn act(&mut self, actions: Vec<Action>) -> Option<u8> {
        let mut ended = None;
        for action in actions {
            tracing::debug!(?action, "action");
            match action {
                Action::Perform { ticket, operation } => self.perform(ticket, operation),
                Action::Cancel { ticket } => {
                    if let Some(token) = self.operations.get(&ticket) {
                        token.cancel();
                    }
                }
                Action::Observe => {
                    let wanted = prepare::wanted(self.state.project());
                    let (engine, name) = (self.engine.clone(), self.state.project().name.clone());
                    self.spawn(link::observe(engine, name, wanted, self.events.clone()));
                }
                Action::Reload => self.reload(),
                Action::ReadInputs { service, generation } => self.read_inputs(service, generation),
                Action::Probe { service, container, urgent } => self.probe(&service, container, urgent),
                Action::StopProbe { container } => {
                    if let Some(token) = self.probes.remove(&container) {
                        token.cancel();
                    }
                }
                Action::Follow { service, number, container, since } => {
                    self.follow(service, number, container, since);
                }
                Action::Kill { container } => {
                    let engine = self.engine.clone();
                    self.spawn(async move {
                        // It may have stopped by itself just now; what is left shows in the next event.
                        let _ = engine.kill_container(&container, "SIGKILL").await;
                    });
                }
                Action::Tell(notice) => {
                    self.keep_standing(&notice);
                    self.tell(notice);
                }
                Action::End { code } => ended = Some(code),
            }
        }
        ended
    }

    /// Keeps how services stand for `hoist ps`: once what was saved has come to its effect, and of those without an image,
    /// which nothing else tells of, once they are up.
    fn keep_standing(&self, notice: &Notice) {
        match notice {
            Notice::Edited { service, failure, .. } => self.keep_standing_of(service, failure.clone(), None),
            Notice::Reverted { service, reason, .. } => self.keep_standing_of(service, Some(reason.clone()), None),
            Notice::Up { .. } => {
                let project = self.state.project();
                for service in project.services.values().filter(|service| service.is_on_machine()) {
                    if let Some(started_with) = self.state.inputs(&service.name) {
                        self.keep_standing_of(&service.name, None, Some(started_with.clone()));
                    }
                }
            }
            _ => {}
        }
    }

    fn keep_standing_of(&self, service: &str, failure: Option<String>, inputs: Option<String>) {
        let (project, containers) = (Arc::clone(self.state.project()), self.state.serving(service));
        let (hashes, keeper, service) = (self.hashes.clone(), self.keeper.clone(), service.to_owned());
        let (copied, cancel) = (self.state.has_copies(&service), self.cancel.clone());
        self.tasks.spawn(async move {
            let inputs = match inputs {
                Some(inputs) => Some(inputs),
                None => match cancel.run_until_cancelled(prepare::digest(&project, &service, &hashes)).await {
                    Some(inputs) => inputs,
                    None => return,
                },
            };
            let standing = Standing { containers, inputs, copied, failure };
            // Its panic would have been reported where it happened. It is waited for although the run may be over.
            tokio::task::spawn_blocking(move || keeper.note(service, standing)).await.ok();
        });
    }

    fn tell(&mut self, notice: Notice) {
        self.send(Message::Notice(notice));
    }

    fn send(&mut self, message: Message) {
        // Straight away when there is room, so that a notice comes before the output that it speaks of.
        if self.outbox.is_empty() {
            match self.messages.try_send(message) {
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
                Err(mpsc::error::TrySendError::Full(message)) => self.outbox.push_back(message),
            }
        } else {
            self.outbox.push_back(message);
        }
    }

    /// A task that ends when it is done or when the run does.
    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            let _ = cancel.run_until_cancelled(future).await;
        });
    }

    fn perform(&mut self, ticket: Ticket, operation: crate::plan::operation::Operation) {
        let token = self.cancel.child_token();
        self.operations.insert(ticket, token.clone());
        let job = perform::Job {
            engine: self.engine.clone(),
            project: Arc::clone(self.state.project()),
            grace: self.grace,
            messages: self.messages.clone(),
            cancel: token,
            context: perform::Context::of(
                self.state.project(),
                self.state.observed(),
                self.rules.as_deref(),
                &operation,
            ),
            operation,
            backups: self.backups.clone(),
            parts: std::sync::Mutex::default(),
        };
        let (events, abandoned) = (self.events.clone(), self.abandoned.clone());
        self.tasks.spawn(async move {
            let Some((answer, parts)) = abandoned.run_until_cancelled(job.answer()).await else { return };
            // The loop is gone when nobody receives, and then nobody needs the answer.
            let _ = events.send(Event::Answered { ticket, answer, parts }).await;
        });
    }

    /// Reads what a service's image is built from.
    fn read_inputs(&self, service: String, generation: u64) {
        let (project, events) = (Arc::clone(self.state.project()), self.events.clone());
        let (hashes, watched) = (self.hashes.clone(), self.watched.clone());
        self.spawn(async move {
            // Then no save can fall between the reading and the watch. That has ended when it does not answer.
            if let Some(watched) = watched {
                let _ = watched.await;
            }
            let digest = prepare::digest(&project, &service, &hashes).await;
            let _ = events.send(Event::InputsRead { service, generation, digest }).await;
        });
    }

    fn probe(&mut self, service: &str, container: ContainerId, urgent: bool) {
        let Some(check) = self.state.project().services.get(service).and_then(|service| service.healthcheck.clone())
        else {
            return;
        };
        let Some(observed) = self.state.observed().containers.get(&container).cloned() else { return };
        let token = self.cancel.child_token();
        self.probes.insert(container.clone(), token.clone());
        let (engine, events) = (self.engine.clone(), self.events.clone());
        self.tasks.spawn(async move {
            if token.run_until_cancelled(until_healthy(&engine, &observed, &check, urgent)).await == Some(true) {
                let _ = events.send(Event::ProbePassed { container }).await;
            }
        });
    }

    fn follow(&self, service: String, number: u32, container: ContainerId, since: Option<u64>) {
        let options = LogOptions {
            follow: true,
            since: since.map(|nanos| format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)),
            tail: if since.is_none() { Some(0) } else { None },
            ..LogOptions::default()
        };
        let origin = log::Origin { service, number };
        let (engine, sink, cancel) = (self.engine.clone(), self.messages.clone(), self.cancel.child_token());
        self.followers.spawn(async move {
            // A stream that breaks off does so because the engine is gone, which the loop hears by its own way.
            let _ = log::follow(engine, container, origin, options, sink, cancel).await;
        });
    }

    /// Waits for the last lines of output.
    async fn hear_last_words(&self, mut signals: Signals) {
        self.followers.close();
        loop {
            tokio::select! {
                () = self.followers.wait() => break,
                // The person does not want to read all that a chatty service still has to say.
                _ = signals.next() => break,
                () = tokio::time::sleep(LAST_WORDS) => {}
            }
            let is_silent = self.messages.capacity() == self.messages.max_capacity();
            if is_silent {
                break;
            }
        }
    }

    /// Waits for every task, for those that the engine does not answer only so long, and hands over what is left to say.
    async fn wind_up(mut self, code: u8, patience: Duration) -> u8 {
        self.cancel.cancel();
        (self.reloading, self.rereading) = (None, None);
        self.tasks.close();
        self.followers.close();
        self.followers.wait().await;
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            tracing::debug!(operations = self.operations.len(), "not waited for any longer");
            self.abandoned.cancel();
            self.tasks.wait().await;
        }
        if let Some(journal) = self.journal.take()
            && let Some(trouble) = journal.finish().await
        {
            self.tell_of_journal(&trouble);
        }
        for message in self.outbox.drain(..) {
            let _ = tokio::time::timeout(LAST_WORDS, self.messages.send(message)).await;
        }
        code
    }
}

async fn told(watch: Option<&Watch>) -> BTreeMap<PathBuf, Told> {
    match watch {
        Some(watch) => watch.told().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
