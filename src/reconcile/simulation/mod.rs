//! A seeded world in which operations take any time and end in any order, containers crash, builds fail, files are
//! saved, the engine goes away and the person loses patience. What must hold is checked after every step; the seed of
//! a world that breaks it is in the failure.

mod chance;
mod checks;
mod engine;
mod replays;
mod saves;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::event::{Action, Answer, Event, Failure, Ticket};
use super::{Setup, State, step};
use crate::change::PathState;
use crate::change::rules::Rules;
use crate::plan::fixtures::up;
use crate::plan::goal::{Goal, Until};
use crate::plan::observed::{Container, ContainerState, Health, Observed};
use crate::plan::operation::Operation;
use crate::project::{Network, Project, Service, WatchAction};
use chance::{Dice, any_project};

/// How many worlds one test run sees; `HOIST_WORLDS` says otherwise, and `tests/worlds` is quicker with many.
const WORLDS: u64 = 1_000;
/// A world that has not come to rest after so many steps never will.
const STEPS: usize = 4_000;

/// Files of a service, and whether it comes up with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Content {
    version: u64,
    crashes: bool,
}

/// Something that will come about.
enum Due {
    Answer(Ticket),
    Health(String),
    /// Of the life that began then; of any when that is 0.
    Exit(String, i64, u64),
    /// An exit with 1, unless it has other files by then.
    Trip(String, u64),
    Listing,
    /// What was there when the engine looked.
    Listed(Box<Observed>),
    Manifest,
    Inputs(String, u64),
    /// News of a container come late.
    News(String),
    /// A part of an operation is done before the whole is answered.
    Removal(String),
    /// The engine answers again.
    Return,
}

struct World {
    seed: u64,
    dice: Dice,
    /// Every service that there ever was, as it was read last.
    project: Arc<Project>,
    /// What the manifest says; `None` when it would not load.
    written: Option<Arc<Project>>,
    state: State,
    now: Duration,
    /// What really is there.
    truth: Observed,
    operations: BTreeMap<Ticket, (Operation, bool)>,
    due: Vec<(Duration, Due)>,
    made: u64,
    clock: u64,
    /// The content of each folder that images are built from.
    sources: BTreeMap<String, u64>,
    /// What is in the containers' files now, by container, and whether it lets them come up.
    files: BTreeMap<String, Content>,
    /// What is in images of services whose files are also copied.
    contents: BTreeMap<String, Content>,
    /// The services that may be touched now; all when it is `None`.
    concerned: Option<BTreeSet<String>>,
    /// The engine does not answer.
    is_away: bool,
    /// What was in them before.
    kept: BTreeMap<String, Content>,
    /// What lies in each service's folder that is copied.
    tree: BTreeMap<String, Content>,
    /// Services that ran when the last save came, and of which nothing has been taken since but by the saves.
    good: BTreeSet<(String, u32)>,
    /// How each network was defined when it was last asked for.
    asked_networks: BTreeMap<String, Network>,
    /// The networks that each container is on or was when it last ran, by name, and when they were made.
    joined: BTreeMap<String, BTreeMap<String, u64>>,
    /// A container of nobody's is on the network `back`.
    has_stranger: bool,
    /// The services of the manifest that was read last.
    asked_for: BTreeSet<String>,
    broken: BTreeSet<String>,
    calm: bool,
    ended: Option<u8>,
    /// Everything that happens, in words; of a world that went wrong, when it is lived through once more.
    story: Option<String>,
    /// The journal of it all, where it is to be replayed.
    journal: Option<replays::Recorder>,
}

impl World {
    fn new(seed: u64, telling: bool) -> Self {
        Self::begun(seed, telling, false)
    }

    /// A world whose journal is kept, when it is to be.
    fn begun(seed: u64, telling: bool, journaled: bool) -> Self {
        let mut dice = Dice(seed);
        let project = Arc::new(any_project(&mut dice));
        let has_stranger = dice.one_in(10);
        let until = Until::Interrupted { abort_on_exit: false, abort_on_failure: false, exit_code_from: None };
        let setup = Setup {
            began: 0,
            project: project.clone(),
            goal: Goal::Up(up(&project, until)),
            rules: Some(Arc::new(Rules::new(&project, &BTreeMap::new()))),
            inputs: BTreeMap::new(),
            stale: BTreeSet::new(),
            initial_syncs: BTreeMap::new(),
            follow: true,
        };
        let (state, first) = State::new(setup.clone()).expect("the project has no cycle");
        let asked_for = project.services.keys().cloned().collect();
        let mut world = Self {
            seed,
            dice,
            written: Some(project.clone()),
            project,
            state,
            now: Duration::ZERO,
            truth: Observed::default(),
            operations: BTreeMap::new(),
            due: Vec::new(),
            made: 0,
            clock: 10,
            sources: BTreeMap::new(),
            files: BTreeMap::new(),
            contents: BTreeMap::new(),
            concerned: None,
            is_away: false,
            kept: BTreeMap::new(),
            tree: BTreeMap::new(),
            good: BTreeSet::new(),
            asked_networks: BTreeMap::new(),
            joined: BTreeMap::new(),
            has_stranger,
            asked_for,
            broken: BTreeSet::new(),
            calm: false,
            ended: None,
            story: telling.then(String::new),
            journal: journaled.then(|| replays::Recorder::new(setup, first.clone())),
        };
        world.act(first);
        world
    }

    fn fail(&self, why: &str) -> ! {
        if let Some(story) = &self.story {
            panic!("seed {}: {why}\nplan:\n{}story:\n{story}", self.seed, self.state.plan());
        }
        a_stormy_day(self.seed, true);
        panic!("seed {}: {why}, but not when it is told", self.seed)
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(story) = &mut self.story {
            let _ = writeln!(story, "{now:?} {}", what());
        }
    }

    fn later(&mut self, longest_millis: u64, due: Due) {
        let after = Duration::from_millis(1 + self.dice.roll(longest_millis));
        self.due.push((self.now + after, due));
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn feed(&mut self, event: Event) {
        if self.ended.is_some() {
            return;
        }
        self.note(|| format!("← {}", shortened(&event)));
        let recorded = self.journal.is_some().then(|| event.clone());
        let actions = step(&mut self.state, event, self.now);
        if let (Some(journal), Some(event)) = (&mut self.journal, recorded) {
            journal.step(event, self.now, actions.clone(), self.state.project());
        }
        self.check_memory();
        self.act(actions);
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Perform { ticket, operation } => {
                    self.note(|| format!("→ {operation}"));
                    self.check_begin(&operation);
                    if let Operation::CreateNetwork { key } = &operation {
                        let network = self.state.project.networks[key].clone();
                        self.asked_networks.insert(key.clone(), network);
                    }
                    if let Operation::Stop { service, number, .. } = &operation {
                        // It makes room for a network, and what comes up after it has no way back.
                        self.good.remove(&(service.clone(), *number));
                    }
                    if let Operation::Revert { new, .. } = &operation {
                        self.later(200, Due::Removal(new.clone()));
                    }
                    self.operations.insert(ticket, (operation, false));
                    self.later(400, Due::Answer(ticket));
                }
                Action::Cancel { ticket } => match self.operations.get_mut(&ticket) {
                    Some((_, cancelled)) => *cancelled = true,
                    None => self.fail("an operation was cancelled that is not under way"),
                },
                Action::Observe => self.later(20, Due::Listing),
                Action::Reload => self.later(50, Due::Manifest),
                Action::ReadInputs { service, generation } => self.later(40, Due::Inputs(service, generation)),
                Action::Probe { container, .. } => self.later(300, Due::Health(container)),
                Action::Kill { container } => self.later(5, Due::Exit(container, 137, 0)),
                Action::End { code } => self.ended = Some(code),
                Action::StopProbe { .. } | Action::Follow { .. } | Action::Tell(_) => {}
            }
        }
    }

    fn advance(&mut self) -> bool {
        let wake = self.state.wake_at();
        let next = self.due.iter().map(|(at, _)| *at).chain(wake).min();
        let Some(next) = next else { return false };
        self.now = self.now.max(next);
        match self.due.iter().position(|(at, _)| *at <= self.now) {
            Some(position) => {
                let (_, due) = self.due.swap_remove(position);
                self.come_about(due);
            }
            None => self.feed(Event::Woken),
        }
        true
    }

    fn come_about(&mut self, due: Due) {
        match due {
            Due::Answer(ticket) => self.answer(ticket),
            // It is asked until it answers.
            Due::Listing | Due::Listed(_) if self.is_away => self.later(50, Due::Listing),
            Due::Return => {
                self.is_away = false;
                self.feed(Event::Reconnected);
            }
            Due::Listing => {
                let listing = Box::new(self.truth.clone());
                self.later(20, Due::Listed(listing));
            }
            Due::Listed(listing) => self.feed(Event::Observed(*listing)),
            Due::News(id) => self.tell(&id),
            Due::Removal(id) => {
                let is_under_way = |(operation, _): &(Operation, bool)| matches!(operation, Operation::Revert { new, .. } if *new == id);
                if self.operations.values().any(is_under_way) && self.truth.containers.remove(&id).is_some() {
                    self.tell(&id);
                }
            }
            Due::Manifest => self.read_manifest(),
            Due::Inputs(service, generation) => {
                let digest = Some(self.digest(&service));
                self.feed(Event::InputsRead { service, generation, digest });
            }
            Due::Health(id) => {
                let runs = self.truth.containers.get(&id).is_some_and(|it| it.state.is_running());
                if runs && !self.is_away && self.dice.one_in(2) {
                    self.feed(Event::ProbePassed { container: id });
                } else if runs && self.is_away {
                    self.later(300, Due::Health(id));
                } else if runs {
                    self.truth.containers.entry(id.clone()).and_modify(|it| it.health = Health::Healthy);
                    self.tell(&id);
                }
            }
            Due::Trip(id, life) if self.files.get(&id).is_some_and(|content| content.crashes) => {
                self.come_about(Due::Exit(id, 1, life));
            }
            Due::Trip(..) => {}
            Due::Exit(id, code, life) => {
                let at = self.tick();
                let Some(container) = self.truth.containers.get_mut(&id) else { return };
                if container.state.is_running() && (life == 0 || life == container.started_at) {
                    // Who kills what has no successor takes it away.
                    let is_taken = life == 0 && !self.state.is_replacement(&id);
                    if code == 0 || is_taken || !self.state.is_on_trial(&container.clone()) {
                        self.good.remove(&(container.service.clone(), container.number));
                    }
                    container.state = ContainerState::Exited(code);
                    container.finished_at = at;
                    if self.dice.one_in(3) && !self.is_away {
                        // Engines tell of an exit before they have cleaned up behind it.
                        self.feed(Event::Exited { id: id.clone(), code });
                        self.later(20, Due::News(id));
                        return;
                    }
                    self.tell(&id);
                    if self.dice.one_in(10) {
                        self.tell(&id);
                    }
                }
            }
        }
    }

    fn tell(&mut self, id: &str) {
        if self.is_away {
            return;
        }
        let container = self.truth.containers.get(id).cloned().map(Box::new);
        self.feed(Event::Container { id: id.into(), container });
    }

    fn answer(&mut self, ticket: Ticket) {
        let (operation, cancelled) = self.operations.remove(&ticket).expect("every ticket is answered once");
        if cancelled && self.dice.one_in(2) {
            self.feed(Event::Answered { ticket, answer: Answer::Cancelled, parts: Vec::new() });
            return;
        }
        let breaks = match &operation {
            Operation::Build { service, .. } => self.broken.contains(service),
            Operation::Start { .. } | Operation::Create { .. } | Operation::Exchange { .. } => {
                !self.calm && self.dice.one_in(60)
            }
            Operation::RemoveNetwork { name } => self.has_stranger && name == "shop_back",
            _ => false,
        };
        if self.is_away {
            // What was asked for may be done all the same.
            if !breaks && self.dice.one_in(2) {
                self.perform(&operation);
            }
            let reason = "it is away".to_owned();
            let answer = Answer::Failed(Failure { reason, output: Vec::new(), unreachable: true });
            self.feed(Event::Answered { ticket, answer, parts: Vec::new() });
            return;
        }
        if breaks && let Operation::Exchange { old, .. } = &operation {
            self.end(old);
            self.later(20, Due::News(old.clone()));
        }
        let answer = if breaks {
            let reason = "the dice said so".to_owned();
            Answer::Failed(Failure { reason, output: Vec::new(), unreachable: false })
        } else {
            Answer::Done(self.perform(&operation))
        };
        self.feed(Event::Answered { ticket, answer, parts: Vec::new() });
    }

    fn something_happens(&mut self) {
        match self.dice.roll(40) {
            0..=2 => self.save(),
            6 | 7 => self.save_synced(),
            3 => {
                let runs: Vec<String> =
                    self.truth.containers.values().filter(|it| it.state.is_running()).map(|it| it.id.clone()).collect();
                if let Some(id) = runs.first() {
                    self.later(1, Due::Exit(id.clone(), 137, 0));
                }
            }
            4 if self.dice.one_in(4) && !self.is_away => {
                self.is_away = true;
                self.feed(Event::EngineLost { reason: "gone".into() });
                self.later(400, Due::Return);
            }
            8 => self.save_others(),
            10 => self.put_back(),
            9 if self.dice.one_in(20) && !self.is_away => self.feed(Event::Interrupted { code: 130 }),
            5 if self.dice.one_in(2) => self.edit_manifest(),
            _ => {}
        }
    }

    fn run_until_rest(&mut self) {
        if !self.comes_to_rest(STEPS) {
            self.fail("the world does not come to rest");
        }
    }

    fn comes_to_rest(&mut self, steps: usize) -> bool {
        (0..steps).any(|_| self.ended.is_some() || !self.advance())
    }
}

fn is_synced(service: &Service) -> bool {
    use WatchAction::{Sync, SyncExec, SyncRestart};
    service.watch.iter().any(|rule| matches!(rule.action, Sync { .. } | SyncExec { .. } | SyncRestart { .. }))
}

fn shortened(event: &Event) -> String {
    match event {
        Event::Observed(_) => "listing".into(),
        Event::Container { id, container } => {
            let how = |it: &Container| format!("{:?} {:?}", it.state, it.health);
            format!("{id} is {}", container.as_deref().map_or("gone".into(), how))
        }
        Event::Answered { ticket, answer, .. } => match answer {
            Answer::Done(_) => format!("{ticket:?} done"),
            Answer::Failed(_) => format!("{ticket:?} failed"),
            Answer::Cancelled => format!("{ticket:?} cancelled"),
        },
        Event::Reloaded(read) => format!("a manifest that {}", if read.is_some() { "loads" } else { "does not load" }),
        Event::RulesRead(_) => "rules".into(),
        other => format!("{other:?}"),
    }
}

/// Storms for a while, then everything gets a save that works, and the world has to become what was asked for.
fn a_stormy_day(seed: u64, telling: bool) {
    let mut world = World::new(seed, telling);
    for _ in 0..150 {
        if world.ended.is_some() || !world.advance() {
            break;
        }
        world.something_happens();
        if world.state.is_ending() && world.ended.is_none() {
            return an_early_end(world);
        }
    }
    if world.ended.is_some() {
        // A start that failed for good ends the run; it must say so. A project of jobs is done when they are.
        let is_job = |service: &Service| service.labels.contains_key("job");
        if world.state.project.services.values().all(is_job) {
            return;
        }
        if world.ended == Some(0) {
            world.fail("a failed start ended well");
        }
        return;
    }
    world.calm = true;
    // Some files let a container come up and crash later; it is then started again and again.
    let rests = world.comes_to_rest(400);
    if world.ended.is_some() {
        return;
    }
    if rests {
        world.check_good();
    }
    world.broken.clear();
    world.written.get_or_insert_with(|| world.state.project.clone());
    world.save_manifest();
    let built: Vec<String> =
        world.project.services.values().filter(|it| it.build.is_some()).map(|it| it.name.clone()).collect();
    for service in built {
        let folder = world.folder(&service);
        *world.sources.entry(folder.clone()).or_default() += 1;
        world.feed(Event::Changed([(format!("{folder}/main.js").into(), PathState::Present)].into()));
    }
    let synced: Vec<String> =
        world.project.services.values().filter(|it| is_synced(it)).map(|it| it.name.clone()).collect();
    for service in synced {
        world.write_synced(&service, false);
        world.feed(Event::Changed([(format!("/shop/{service}/sync/a.js").into(), PathState::Present)].into()));
    }
    world.run_until_rest();
    if world.ended.is_some() {
        return;
    }
    world.check_good();
    let plan = world.state.plan();
    let moving = plan.entries.iter().any(|entry| entry.holds.is_empty());
    if moving || !world.operations.is_empty() {
        world.fail("the world rests although something can be done");
    }
    if world.written.as_ref() != Some(&world.state.project) {
        world.fail("what runs is not what the manifest says");
    }
    world.check_content();
    world.check_networks();
    for container in world.truth.containers.values() {
        if world.state.observed().containers.get(&container.id) != Some(container) {
            world.fail(&format!("what is observed of {} is not what is there", container.id));
        }
    }
    world.a_last_network();
    world.a_last_save();
    if world.ended.is_none() {
        world.feed(Event::Interrupted { code: 130 });
        world.run_until_rest();
    }
    world.check_end();
}

/// The person asks for the end in the middle of it all.
fn an_early_end(mut world: World) {
    world.run_until_rest();
    world.check_end();
}

/// Every world is one seed's; processors share them.
#[test]
fn whatever_happens_the_world_becomes_what_was_asked_for_and_stops_when_told() {
    let number = |variable: &str| std::env::var(variable).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("HOIST_SEED") {
        return a_stormy_day(seed, true);
    }
    let (next, last) = (AtomicU64::new(0), number("HOIST_WORLDS").unwrap_or(WORLDS));
    let live = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= last {
                return;
            }
            a_stormy_day(seed, false);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(live);
        }
    });
}
