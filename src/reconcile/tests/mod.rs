//! Transcripts: what happens, and what is then done, as text.

mod bases;
mod copies;
mod dead_ends;
mod edits;
mod endings;
mod exchanges;
mod gaps;
mod interrupts;
mod networks;
mod news;
mod output;
mod proofs;
mod provided;
mod reloads;
mod saves;
mod starts;
mod timings;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::edits::Deed;
use super::event::{Action, Answer, Event, Failure, Outcome, Part, Reloaded, Ticket};
use super::notice::Notice;
use super::{Setup, State, step};
use crate::change::PathState;
use crate::change::rules::Rules;
use crate::plan::fixtures::{ServiceExt as _, container, image, prepared, project, service, up, with};
use crate::plan::goal::{Goal, Until};
use crate::plan::observed::{Container, ContainerState, Health, Image, Observed};
use crate::plan::spec::label;
use crate::project::{Condition, Project, RestartPolicy, Service, WatchAction, WatchRule};

struct Run {
    project: Arc<Project>,
    state: State,
    now: Duration,
}

fn attached() -> Until {
    Until::Interrupted { abort_on_exit: false, abort_on_failure: false, exit_code_from: None }
}

impl Run {
    fn new(project: Project, until: Until) -> Self {
        let goal = Goal::Up(up(&project, until));
        Self::towards(project, goal)
    }

    fn towards(project: Project, goal: Goal) -> Self {
        let project = Arc::new(project);
        let (state, first) =
            State::new(Self::setup(Arc::clone(&project), goal)).expect("the tests' projects have no cycles");
        assert_eq!(first, [Action::Observe]);
        Self { project, state, now: Duration::ZERO }
    }

    fn setup(project: Arc<Project>, goal: Goal) -> Setup {
        Setup {
            began: 0,
            goal,
            rules: Some(Arc::new(Rules::new(&project, &BTreeMap::new()))),
            project,
            inputs: BTreeMap::new(),
            stale: BTreeSet::new(),
            initial_syncs: BTreeMap::new(),
            follow: false,
        }
    }

    /// A project in which everything runs.
    fn running(project: Project) -> (Self, Vec<String>) {
        let mut run = Self::new(project, attached());
        let containers: Vec<Container> = run
            .project
            .services
            .keys()
            .map(|name| Container { health: Health::Healthy, ..run.container(name, ContainerState::Running) })
            .collect();
        let listing = with(prepared(&run.project), containers);
        let done = run.on(Event::Observed(listing));
        (run, done)
    }

    /// A service `api` that is built, whose image was built from files of this digest, and that runs.
    fn built_from(inputs: &str) -> Self {
        let mut run = Self::new(project([service("api").built()]), attached());
        let mut listing = with(prepared(&run.project), [run.container("api", ContainerState::Running)]);
        listing.images.insert("shop-api".into(), image_from(inputs));
        run.on(Event::Observed(listing));
        run
    }

    fn container(&self, service: &str, state: ContainerState) -> Container {
        container(&self.project, service, 1, state)
    }

    fn at(&mut self, millis: u64) -> &mut Self {
        self.now = Duration::from_millis(millis);
        self
    }

    /// What is done about an event, without what is merely told unless it is the point.
    fn on(&mut self, event: Event) -> Vec<String> {
        step(&mut self.state, event, self.now).iter().filter_map(worded).collect()
    }

    fn done(&mut self, ticket: u64, outcome: Outcome) -> Vec<String> {
        self.on(Event::Answered { ticket: Ticket(ticket), answer: Answer::Done(outcome), parts: Vec::new() })
    }

    fn failed(&mut self, ticket: u64, reason: &str) -> Vec<String> {
        let failure = Failure { reason: reason.into(), output: Vec::new(), unreachable: false };
        self.on(Event::Answered { ticket: Ticket(ticket), answer: Answer::Failed(failure), parts: Vec::new() })
    }

    fn became(&mut self, container: Container) -> Vec<String> {
        self.on(Event::Container { id: container.id.clone(), container: Some(Box::new(container)) })
    }

    fn saved(&mut self, path: &str) -> Vec<String> {
        self.on(Event::Changed([(path.into(), PathState::Present)].into()))
    }

    fn interrupted(&mut self) -> Vec<String> {
        self.on(Event::Interrupted { code: 130 })
    }

    fn lost(&mut self) -> Vec<String> {
        self.on(Event::EngineLost { reason: "closed".into() })
    }

    /// The engine is asked for everything and finds what is known already.
    fn listed(&mut self) -> Vec<String> {
        let listing = self.state.observed().clone();
        self.on(Event::Observed(listing))
    }

    /// All that is told about an event, and nothing of what is done.
    fn told(&mut self, event: Event) -> Vec<String> {
        let actions = step(&mut self.state, event, self.now);
        let notices = actions.iter().filter_map(|action| match action {
            Action::Tell(notice) => Some(notice),
            _ => None,
        });
        notices.map(in_full).collect()
    }

    fn told_of(&mut self, container: &Container) -> Vec<String> {
        self.told(Event::Container { id: container.id.clone(), container: Some(Box::new(container.clone())) })
    }

    fn later(&mut self, millis: u64) -> Vec<String> {
        self.now += Duration::from_millis(millis);
        self.on(Event::Woken)
    }

    fn settled(&mut self) -> Vec<String> {
        self.now = self.state.wake_at().expect("a burst has to settle");
        self.on(Event::Woken)
    }

    /// The files of a service's build are read now, and have this digest.
    fn read(&mut self, service: &str, digest: &str) -> Vec<String> {
        let generation = self.state.facts.generation(service);
        self.on(Event::InputsRead { service: service.into(), generation, digest: Some(digest.into()) })
    }

    /// The burst is over, and the files of a service's build turn out to be others.
    fn settled_anew(&mut self, service: &str) -> Vec<String> {
        let mut done = self.settled();
        let reading = done.iter().position(|line| *line == format!("read {service}")).expect("its files are read");
        done.remove(reading);
        done.extend(self.read(service, "others"));
        done
    }
}

/// What a saved manifest asks for, once it is read.
fn reloaded(services: impl IntoIterator<Item = Service>) -> Event {
    let project = project(services);
    Event::Reloaded(Some(Box::new(Reloaded {
        services: project.services.keys().cloned().collect(),
        rules: Arc::new(Rules::new(&project, &BTreeMap::new())),
        inputs: BTreeMap::new(),
        initial_syncs: BTreeMap::new(),
        project: Arc::new(project),
    })))
}

fn worded(action: &Action) -> Option<String> {
    Some(match action {
        Action::Perform { ticket, operation } => format!("{}: {operation}", ticket.0),
        Action::Cancel { ticket } => format!("cancel {}", ticket.0),
        Action::Observe => "observe".into(),
        Action::Reload => "reload".into(),
        Action::ReadInputs { service, .. } => format!("read {service}"),
        Action::Probe { container, .. } => format!("probe {container}"),
        Action::StopProbe { container } => format!("stop probing {container}"),
        Action::Follow { container, .. } => format!("follow {container}"),
        Action::Kill { container } => format!("kill {container}"),
        Action::End { code } => format!("end with {code}"),
        Action::Tell(Notice::ServiceFailed { service, needed_by, reason, .. }) => {
            format!("{service} {reason}, needed by {needed_by:?}")
        }
        Action::Tell(Notice::ImageUnchanged { service, .. }) => format!("image of {service} unchanged"),
        Action::Tell(Notice::Exited { service, code, restart_in, .. }) => {
            format!("{service} exited with {code}, again in {restart_in:?}")
        }
        Action::Tell(Notice::TimedOut { services }) => format!("timed out: {services:?}"),
        Action::Tell(Notice::Reloaded { changed, added, removed, .. }) => {
            format!("changed {changed:?}, added {added:?}, removed {removed:?}")
        }
        Action::Tell(Notice::EngineLost { .. }) => "engine lost".into(),
        Action::Tell(Notice::EngineBack) => "engine back".into(),
        Action::Tell(Notice::StopWaits { patience }) => format!("waits {patience:?} for the engine"),
        Action::Tell(Notice::LeftRunning { containers }) => format!("left running: {containers:?}"),
        Action::Tell(Notice::Reverted { service, reason, still_running, .. }) => {
            format!("{service} {reason}, taken back{}", if *still_running { ", running" } else { "" })
        }
        Action::Tell(Notice::Failed { operation, still_running, .. }) => {
            format!("failed: {operation}{}", if *still_running { ", still running" } else { "" })
        }
        Action::Tell(_) => return None,
    })
}

fn in_full(notice: &Notice) -> String {
    let of = |edit: &Option<u64>| edit.map(|edit| format!(" for edit {edit}")).unwrap_or_default();
    let in_words = |deeds: &[Deed]| format!("{deeds:?}").to_lowercase();
    match notice {
        Notice::Began { operation, edit, .. } => format!("begins to {operation}{}", of(edit)),
        Notice::Done { operation, edit, .. } => format!("done: {operation}{}", of(edit)),
        Notice::ImageUnchanged { service, edit, .. } => format!("image of {service} unchanged{}", of(edit)),
        Notice::Failed { operation, reason, edit, .. } => format!("failed: {operation}: {reason}{}", of(edit)),
        Notice::Cancelled { operation } => format!("cancelled: {operation}"),
        Notice::Healthy { service, took, .. } => format!("{service} healthy after {took:?}"),
        Notice::Changed { edit, service, .. } => format!("edit {edit} concerns {service}"),
        Notice::Edited { edits, service, deeds, failure, .. } => {
            let failure = failure.as_ref().map(|failure| format!(", {failure}")).unwrap_or_default();
            format!("edit {edits:?} of {service} done: {}{failure}", in_words(deeds))
        }
        Notice::Orphans { names } => format!("orphans: {names:?}"),
        Notice::ServiceFailed { service, reason, container, .. } => format!("{service} {reason}, see {container:?}"),
        Notice::Up { running, .. } => format!("up: {running} running"),
        other => worded(&Action::Tell(other.clone())).unwrap_or_else(|| format!("{other:?}").to_lowercase()),
    }
}

/// A container of `hoist run` for the service.
fn task(run: &Run, service: &str) -> Container {
    Container { id: "task".into(), one_off: true, ..run.container(service, ContainerState::Running) }
}

/// A container of a service that the manifest does not have.
fn stranger(run: &Run) -> Container {
    let any = run.project.services.keys().next().expect("there is a service").clone();
    let (id, service) = ("stranger-1".into(), "stranger".into());
    Container { id, service, name: "shop-stranger-1".into(), ..run.container(&any, ContainerState::Running) }
}

/// The image of `api`, built from files of this digest.
fn image_from(inputs: &str) -> Image {
    let mut labelled = image("api");
    labelled.labels.insert(label::INPUTS.into(), inputs.into());
    labelled
}

fn built(service: &str, identity: &str) -> Outcome {
    Outcome::Image(Image { id: format!("sha256:{identity}"), identity: identity.into(), ..image(service) })
}

fn now_a(container: &Container) -> Outcome {
    Outcome::Container(Box::new(container.clone()))
}

#[test]
fn a_detached_up_ends_when_everything_is_started() {
    let mut run = Run::new(project([service("db"), service("api").needs("db", Condition::Started)]), Until::Started);
    let listing = prepared(&run.project);
    assert_eq!(run.on(Event::Observed(listing)), ["1: create db-1", "2: create api-1"]);
    let db = run.container("db", ContainerState::Created);
    assert_eq!(run.done(1, now_a(&db)), ["3: start db-1"]);
    let api = run.container("api", ContainerState::Created);
    assert!(run.done(2, now_a(&api)).is_empty(), "the dependency does not run yet");
    let db = run.container("db", ContainerState::Running);
    assert_eq!(run.done(3, now_a(&db)), ["4: start api-1"]);
    let api = run.container("api", ContainerState::Running);
    assert_eq!(run.done(4, now_a(&api)), ["end with 0"]);
}

#[test]
fn an_up_with_nothing_to_do_ends_at_once() {
    let mut run = Run::new(project([service("db")]), Until::Started);
    let listing = with(prepared(&run.project), [run.container("db", ContainerState::Running)]);
    assert_eq!(run.on(Event::Observed(listing)), ["end with 0"]);
}

#[test]
fn a_dependent_starts_the_moment_a_probe_passes_before_the_engine_has_noticed() {
    let mut run =
        Run::new(project([service("db").checked(), service("api").needs("db", Condition::Healthy)]), Until::Started);
    let mut db = run.container("db", ContainerState::Running);
    db.health = Health::Starting;
    let listing = with(prepared(&run.project), [db, run.container("api", ContainerState::Created)]);
    assert_eq!(run.on(Event::Observed(listing)), ["probe db-1"]);
    let done = run.on(Event::ProbePassed { container: "db-1".into() });
    assert_eq!(done, ["1: start api-1", "stop probing db-1"]);
}

#[test]
fn a_needed_service_that_fails_ends_the_start_and_says_who_needs_it() {
    let services = [service("seed"), service("api").needs("seed", Condition::Completed), service("mail")];
    let mut run = Run::new(project(services), Until::Started);
    let containers = [
        run.container("seed", ContainerState::Running),
        run.container("api", ContainerState::Created),
        run.container("mail", ContainerState::Running),
    ];
    let listing = with(prepared(&run.project), containers);
    assert!(run.on(Event::Observed(listing)).is_empty());
    let seed = run.container("seed", ContainerState::Exited(3));
    assert_eq!(
        run.became(seed),
        ["seed exited with 3, again in None", "seed exited with code 3, needed by [\"api\"]", "end with 1",]
    );
}

#[test]
fn a_save_settles_and_builds_and_replaces_only_its_service() {
    let (mut run, done) = Run::running(project([service("api").built(), service("db")]));
    assert!(done.is_empty(), "everything runs: {done:?}");
    assert!(run.at(1_000).saved("/shop/api/main.js").is_empty(), "the burst may not be over");
    assert_eq!(run.settled_anew("api"), ["1: build image of api"]);
    assert!(run.now <= Duration::from_millis(1_050), "acted {:?} after a save at 1 s", run.now);
    assert_eq!(run.done(1, built("api", "newer")), ["2: create api-1"]);
    let mut new = run.container("api", ContainerState::Created);
    (new.id, new.image_id, new.replaces) = ("new".into(), "sha256:newer".into(), Some("api-1".into()));
    assert_eq!(run.done(2, now_a(&new)), ["3: replace api-1"]);
    new.state = ContainerState::Running;
    assert!(run.done(3, now_a(&new)).is_empty());
    assert_eq!(run.later(1_000), ["4: keep api-1"], "it has stayed alive for a moment");
    assert!(run.done(4, now_a(&new)).is_empty());
    assert!(run.state.plan().entries.is_empty());
}

#[test]
fn a_build_that_gives_the_same_image_replaces_nothing() {
    let (mut run, _) = Run::running(project([service("api").built()]));
    run.saved("/shop/api/README.md");
    assert_eq!(run.settled_anew("api"), ["1: build image of api"]);
    assert_eq!(run.done(1, built("api", "identity of api")), ["image of api unchanged"]);
}

#[test]
fn a_save_during_a_build_voids_it_and_builds_once_more() {
    let (mut run, _) = Run::running(project([service("api").built()]));
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled_anew("api"), ["1: build image of api"]);
    for _ in 0..10 {
        assert!(run.saved("/shop/api/main.js").is_empty());
    }
    assert_eq!(run.settled_anew("api"), ["cancel 1"]);
    let cancelled = Event::Answered { ticket: Ticket(1), answer: Answer::Cancelled, parts: Vec::new() };
    assert_eq!(run.on(cancelled), ["2: build image of api"]);
}

#[test]
fn a_void_build_that_succeeds_all_the_same_is_followed_by_another() {
    let (mut run, _) = Run::running(project([service("api").built()]));
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled_anew("api"), ["1: build image of api"]);
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled_anew("api"), ["cancel 1"]);
    assert_eq!(run.done(1, built("api", "half old")), ["2: build image of api"]);
}

#[test]
fn ten_thousand_files_at_once_are_one_build() {
    let (mut run, _) = Run::running(project([service("api").built()]));
    for batch in 0..10 {
        let paths = (0..1_000).map(|file| (format!("/shop/api/{batch}/{file}.js").into(), PathState::Present));
        assert!(run.at(batch * 10).on(Event::Changed(paths.collect())).is_empty());
    }
    assert_eq!(run.settled_anew("api"), ["1: build image of api"]);
}

#[test]
fn a_file_that_comes_back_before_its_removal_was_synced_is_copied() {
    let mut api = service("api");
    let action = WatchAction::Sync { target: "/app".into() };
    api.watch = vec![WatchRule::new("/shop/api".into(), action)];
    let (mut run, _) = Run::running(project([api]));
    run.saved("/shop/api/main.js");
    run.settled();
    run.on(Event::Changed([("/shop/api/x.js".into(), PathState::Gone)].into()));
    run.settled();
    run.saved("/shop/api/x.js");
    run.settled();
    let waiting = &run.state.facts.syncs["api"].files;
    assert!(waiting.deleted.is_empty(), "{waiting:?}");
    assert!(waiting.copied.contains(&("/shop/api/x.js".into(), "/app/x.js".into())), "{waiting:?}");
}

#[test]
fn a_failed_build_keeps_what_runs_and_the_next_save_tries_again() {
    let (mut run, _) = Run::running(project([service("api").built(), service("web").needs("api", Condition::Started)]));
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled_anew("api"), ["1: build image of api"]);
    assert_eq!(run.failed(1, "exit code 1"), ["observe", "failed: build image of api, still running"]);
    let listing = run.state.observed().clone();
    assert!(run.on(Event::Observed(listing)).is_empty());
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled_anew("api"), ["2: build image of api"]);
}

#[test]
fn a_container_killed_from_outside_is_started_again_after_a_pause_that_grows() {
    let services = [service("api").restart(RestartPolicy::Always)];
    let (mut run, _) = Run::running(project(services));
    let mut api = run.container("api", ContainerState::Exited(137));
    assert_eq!(run.became(api.clone()), ["api exited with 137, again in Some(1s)"]);
    assert_eq!(run.at(1_000).on(Event::Woken), ["1: start api-1"]);
    api.state = ContainerState::Running;
    assert!(run.done(1, now_a(&api)).is_empty());
    api.state = ContainerState::Exited(1);
    assert_eq!(run.became(api), ["api exited with 1, again in Some(2s)"]);
}

#[test]
fn a_container_without_a_restart_policy_stays_down_until_a_save() {
    let (mut run, _) = Run::running(project([service("api").built(), service("db")]));
    let api = run.container("api", ContainerState::Exited(1));
    assert_eq!(run.became(api), ["api exited with 1, again in None"]);
    assert!(run.state.plan().entries.is_empty());
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled_anew("api"), ["1: build image of api"]);
    assert_eq!(run.done(1, built("api", "identity of api")), ["image of api unchanged", "2: start api-1"]);
}

#[test]
fn an_answer_that_comes_before_a_listing_makes_the_listing_outdated() {
    let (mut run, _) = Run::running(project([service("api").built(), service("db")]));
    run.saved("/shop/api/main.js");
    assert_eq!(run.settled_anew("api"), ["1: build image of api"]);
    assert_eq!(run.on(Event::Reconnected), ["observe"]);
    assert!(run.done(1, built("api", "newer")).is_empty(), "nothing is begun on what may be stale");
    let listing = run.state.observed().clone();
    assert_eq!(run.on(Event::Observed(Observed::default())), ["observe"]);
    assert_eq!(run.on(Event::Observed(listing)), ["2: create api-1"]);
}

#[test]
fn late_news_of_a_removed_container_does_not_bring_it_back() {
    let fewer = project([service("api")]);
    let mut run = Run::new(fewer, attached());
    let mut second = container(&run.project, "api", 2, ContainerState::Running);
    second.id = "second".into();
    let listing = with(prepared(&run.project), [run.container("api", ContainerState::Running), second.clone()]);
    assert_eq!(run.on(Event::Observed(listing)), ["1: remove api-2"]);
    assert!(run.done(1, Outcome::Nothing).is_empty());
    second.state = ContainerState::Exited(0);
    assert!(run.became(second).is_empty());
}

#[test]
fn an_exit_counts_before_the_engine_lets_itself_be_asked_about_the_container() {
    let services = [service("db"), service("api").needs("db", Condition::Started)];
    let (mut run, _) = Run::running(project(services));
    assert_eq!(run.on(Event::Interrupted { code: 130 }), ["1: stop api-1"]);
    assert_eq!(run.on(Event::Exited { id: "api-1".into(), code: 0 }), ["2: stop db-1"]);
}

#[test]
fn a_container_that_has_used_up_its_retries_stays_down_and_fails_who_waits_for_it() {
    let job = service("job").restart(RestartPolicy::OnFailure { max_retries: Some(1) });
    let mut run = Run::new(project([job, service("api").needs("job", Condition::Completed)]), Until::Started);
    let containers = [run.container("job", ContainerState::Running), run.container("api", ContainerState::Created)];
    let listing = with(prepared(&run.project), containers);
    assert!(run.on(Event::Observed(listing)).is_empty());
    let exit = || Event::Exited { id: "job-1".into(), code: 1 };
    assert_eq!(run.on(exit()), ["job exited with 1, again in Some(1s)"]);
    let again = run.container("job", ContainerState::Running);
    assert!(run.became(again).is_empty(), "the engine started it again");
    assert_eq!(
        run.on(exit()),
        ["job exited with 1, again in None", "job exited with code 1, needed by [\"api\"]", "end with 1"]
    );
}

#[test]
fn a_save_is_a_new_try_for_what_has_used_up_its_retries() {
    let job = service("job").built().restart(RestartPolicy::OnFailure { max_retries: Some(0) });
    let (mut run, _) = Run::running(project([job, service("db")]));
    assert_eq!(run.on(Event::Exited { id: "job-1".into(), code: 1 }), ["job exited with 1, again in None"]);
    assert!(run.later(60_000).is_empty(), "it stays down");
    run.saved("/shop/job/main.js");
    assert_eq!(run.settled_anew("job"), ["1: build image of job"]);
    assert_eq!(run.done(1, built("job", "identity of job")), ["image of job unchanged", "2: start job-1"]);
}

#[test]
fn health_is_told_of_when_the_engine_says_so_and_only_then() {
    let mut run = Run::new(project([service("db").checked()]), attached());
    let db = |health| Container { health, ..run.container("db", ContainerState::Running) };
    let (starting, healthy, unhealthy) = (db(Health::Starting), db(Health::Healthy), db(Health::Unhealthy));
    let listing = with(prepared(&run.project), [run.container("db", ContainerState::Created)]);
    run.on(Event::Observed(listing));
    run.done(1, now_a(&starting));
    let told = |run: &mut Run, container: &Container| {
        let event = Event::Container { id: container.id.clone(), container: Some(Box::new(container.clone())) };
        let actions = step(&mut run.state, event, run.now);
        let news = actions.iter().filter_map(|action| match action {
            Action::Tell(Notice::Healthy { .. }) => Some("healthy"),
            Action::Tell(Notice::Unhealthy { .. }) => Some("unhealthy"),
            _ => None,
        });
        news.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(told(&mut run, &starting), "");
    assert_eq!(told(&mut run, &healthy), "healthy");
    assert_eq!(told(&mut run, &healthy), "");
    assert_eq!(told(&mut run, &unhealthy), "unhealthy");
    assert_eq!(told(&mut run, &unhealthy), "");
}
