//! A seeded world in which operations take any time and end in any order, containers crash, builds fail, files are
//! saved, the engine goes away and the person loses patience. What must hold is checked after every step; the seed of
//! a world that breaks it is in the failure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::event::{Action, Answer, Event, Failure, Outcome, Reloaded, Ticket};
use super::{Setup, State, step};
use crate::change::PathState;
use crate::change::rules::Rules;
use crate::plan::fixtures::{ServiceExt as _, project, service, up};
use crate::plan::goal::{Goal, Until};
use crate::plan::observed::{Container, ContainerState, Health, Image, Observed, ObservedNetwork};
use crate::plan::operation::Operation;
use crate::plan::{replicas_of, spec};
use crate::project::{Condition, Project, RestartPolicy, Service};

/// How many worlds one test run sees.
const WORLDS: u64 = 1_000;
/// A world that has not come to rest after so many steps never will.
const STEPS: usize = 4_000;

/// Small, seeded and good enough (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

/// A project of two to six services, each depending on some before it.
fn any_project(dice: &mut Dice) -> Project {
    let count = 2 + dice.roll(5);
    let name = |number: u64| format!("s{number}");
    let mut services: Vec<Service> = Vec::new();
    for number in 0..count {
        let mut made = service(&name(number));
        // The first one is a job now and then, of which others need that it completes.
        let is_job = number == 0 && dice.one_in(3);
        if !is_job && dice.one_in(2) {
            made = made.checked();
        }
        if dice.one_in(2) {
            made = made.built();
        }
        if !is_job && dice.one_in(2) {
            made = made.restart(RestartPolicy::Always);
        }
        if !is_job && dice.one_in(4) {
            made = made.times(2);
        }
        for other in 0..number {
            if !dice.one_in(3) {
                continue;
            }
            let checked = services[usize::try_from(other).expect("a small number")].healthcheck.is_some();
            let condition = if other == 0 && services[0].labels.contains_key("job") {
                Condition::Completed
            } else if checked {
                Condition::Healthy
            } else {
                Condition::Started
            };
            made = made.needs(&name(other), condition);
            if condition != Condition::Completed && dice.one_in(3) {
                made.depends_on.get_mut(&name(other)).expect("just added").restart = true;
            }
        }
        if is_job {
            made.labels.insert("job".into(), String::new());
        }
        services.push(made);
    }
    project(services)
}

/// Something that will come about.
enum Due {
    Answer(Ticket),
    Health(String),
    Exit(String, i64),
    Listing,
    Manifest,
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
    sources: BTreeMap<String, u64>,
    broken: BTreeSet<String>,
    calm: bool,
    ended: Option<u8>,
    story: String,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let project = Arc::new(any_project(&mut dice));
        let until = Until::Interrupted { abort_on_exit: false, abort_on_failure: false, exit_code_from: None };
        let setup = Setup {
            began: 0,
            project: project.clone(),
            goal: Goal::Up(up(&project, until)),
            rules: Some(Arc::new(Rules::new(&project, &BTreeMap::new()))),
            inputs: BTreeMap::new(),
            initial_syncs: BTreeMap::new(),
            follow: true,
        };
        let (state, first) = State::new(setup).expect("the project has no cycle");
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
            broken: BTreeSet::new(),
            calm: false,
            ended: None,
            story: String::new(),
        };
        world.act(first);
        world
    }

    fn fail(&self, why: &str) -> ! {
        panic!("seed {}: {why}\nplan:\n{}story:\n{}", self.seed, self.state.plan(), self.story)
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
        let _ = writeln!(self.story, "{:?} ← {}", self.now, shortened(&event));
        let actions = step(&mut self.state, event, self.now);
        self.act(actions);
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Perform { ticket, operation } => {
                    let _ = writeln!(self.story, "{:?} → {operation}", self.now);
                    self.check_begin(&operation);
                    self.operations.insert(ticket, (operation, false));
                    self.later(400, Due::Answer(ticket));
                }
                Action::Cancel { ticket } => match self.operations.get_mut(&ticket) {
                    Some((_, cancelled)) => *cancelled = true,
                    None => self.fail("an operation was cancelled that is not under way"),
                },
                Action::Observe => self.later(20, Due::Listing),
                Action::Reload => self.later(50, Due::Manifest),
                Action::Probe { container, .. } => self.later(300, Due::Health(container)),
                Action::Kill { container } => self.later(5, Due::Exit(container, 137)),
                Action::End { code } => self.ended = Some(code),
                Action::StopProbe { .. } | Action::Follow { .. } | Action::Tell(_) => {}
            }
        }
    }

    /// What must hold whenever an operation is begun.
    fn check_begin(&self, operation: &Operation) {
        let target = operation.target();
        if self.operations.values().any(|(other, _)| other.target() == target) {
            self.fail(&format!("two operations on the same thing at once: {operation}"));
        }
        match operation {
            Operation::Start { service, .. } | Operation::Exchange { service, .. } => self.check_conditions(service),
            Operation::Create { service, .. } => {
                let image = self.project.image_of(&self.project.services[service]);
                if !self.truth.images.contains_key(&image) {
                    self.fail(&format!("a container is made before its image is there: {operation}"));
                }
            }
            Operation::Stop { service, .. } => {
                let dependents =
                    self.state.project.services.values().filter(|other| other.depends_on.contains_key(service));
                for dependent in dependents {
                    let view = replicas_of(self.state.observed(), &dependent.name);
                    if view.values().any(|replica| replica.current.state.is_running()) {
                        self.fail(&format!("{operation} while {} still runs", dependent.name));
                    }
                }
            }
            _ => {}
        }
    }

    fn check_conditions(&self, service: &str) {
        for (name, dependency) in &self.state.project.services[service].depends_on {
            for replica in replicas_of(self.state.observed(), name).values() {
                let current = replica.current;
                let holds = match dependency.condition {
                    Condition::Started => current.state.is_running() || current.state.has_exited(),
                    Condition::Healthy => {
                        current.state.is_running()
                            && (current.health == Health::Healthy || self.state.facts.healthy.contains(&current.id))
                    }
                    Condition::Completed => current.state == ContainerState::Exited(0),
                };
                if !holds {
                    self.fail(&format!("{service} starts although {name} is {:?}", current.state));
                }
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
            Due::Listing => {
                let listing = self.truth.clone();
                self.feed(Event::Observed(listing));
            }
            Due::Manifest => self.read_manifest(),
            Due::Health(id) => {
                let runs = self.truth.containers.get(&id).is_some_and(|it| it.state.is_running());
                if runs && self.dice.one_in(2) {
                    self.feed(Event::ProbePassed { container: id });
                } else if runs {
                    self.truth.containers.entry(id.clone()).and_modify(|it| it.health = Health::Healthy);
                    self.tell(&id);
                }
            }
            Due::Exit(id, code) => {
                let at = self.tick();
                let Some(container) = self.truth.containers.get_mut(&id) else { return };
                if container.state.is_running() {
                    container.state = ContainerState::Exited(code);
                    container.finished_at = at;
                    self.tell(&id);
                }
            }
        }
    }

    fn tell(&mut self, id: &str) {
        let container = self.truth.containers.get(id).cloned().map(Box::new);
        self.feed(Event::Container { id: id.into(), container });
    }

    fn answer(&mut self, ticket: Ticket) {
        let (operation, cancelled) = self.operations.remove(&ticket).expect("every ticket is answered once");
        if cancelled && self.dice.one_in(2) {
            self.feed(Event::Answered { ticket, answer: Answer::Cancelled });
            return;
        }
        let breaks = match &operation {
            Operation::Build { service, .. } => self.broken.contains(service),
            Operation::Start { .. } | Operation::Create { .. } => !self.calm && self.dice.one_in(60),
            _ => false,
        };
        let answer = if breaks {
            let reason = "the dice said so".to_owned();
            Answer::Failed(Failure { reason, output: Vec::new(), unreachable: false })
        } else {
            Answer::Done(self.perform(&operation))
        };
        self.feed(Event::Answered { ticket, answer });
    }

    fn perform(&mut self, operation: &Operation) -> Outcome {
        match operation {
            Operation::CreateNetwork { .. } => {
                let labels = spec::network(&self.project, "default", &self.project.networks["default"]).labels;
                self.truth.networks.insert("shop_default".into(), ObservedNetwork { id: "n".into(), labels });
                Outcome::Nothing
            }
            Operation::Pull { service } => Outcome::Image(self.make_image(service, 0)),
            Operation::Build { service, generation } => Outcome::Image(self.make_image(service, *generation)),
            Operation::Create { service, number, replaces } => self.create(service, *number, replaces.as_deref()),
            Operation::Start { container, .. } => self.start(container),
            Operation::Restart { container, .. } => {
                self.set_state(container, ContainerState::Exited(143));
                self.start(container)
            }
            Operation::Exchange { service, number, old, new } => {
                self.truth.containers.remove(old);
                let name = self.project.container_name(&self.project.services[service], *number);
                self.truth.containers.entry(new.clone()).and_modify(|it| it.name = name);
                self.start(new)
            }
            Operation::Rename { container, .. } => self.outcome(container),
            Operation::Stop { container, .. } => {
                self.set_state(container, ContainerState::Exited(143));
                self.outcome(container)
            }
            Operation::Remove { container, .. } => {
                self.truth.containers.remove(container);
                Outcome::Nothing
            }
            _ => Outcome::Nothing,
        }
    }

    fn make_image(&mut self, service: &str, generation: u64) -> Image {
        let id = format!("sha256:{service}@{generation}");
        let image = Image { identity: id.clone(), id: id.clone(), ..Image::default() };
        let reference = self.project.image_of(&self.project.services[service]);
        self.truth.images.insert(reference, image.clone());
        self.truth.images.insert(id, image.clone());
        image
    }

    fn create(&mut self, service: &str, number: u32, replaces: Option<&str>) -> Outcome {
        self.made += 1;
        let reference = self.project.image_of(&self.project.services[service]);
        let mut made = crate::plan::fixtures::container(&self.project, service, number, ContainerState::Created);
        made.id = format!("{service}-{number}-{}", self.made);
        made.image_id = self.truth.images[&reference].id.clone();
        made.replaces = replaces.map(Into::into);
        made.created_at = self.tick();
        let id = made.id.clone();
        self.truth.containers.insert(id.clone(), made);
        self.outcome(&id)
    }

    fn start(&mut self, id: &str) -> Outcome {
        let at = self.tick();
        let Some(container) = self.truth.containers.get_mut(id) else { return Outcome::Nothing };
        let service = &self.project.services[&container.service];
        container.state = ContainerState::Running;
        container.started_at = at;
        container.health = if service.healthcheck.is_some() { Health::Starting } else { Health::None };
        let is_job = service.labels.contains_key("job");
        if is_job {
            self.later(500, Due::Exit(id.to_owned(), 0));
        } else if self.truth.containers[id].health == Health::Starting {
            self.later(1_000, Due::Health(id.to_owned()));
        }
        if !self.calm && !is_job && self.dice.one_in(8) {
            self.later(2_000, Due::Exit(id.to_owned(), 1));
        }
        self.outcome(id)
    }

    fn set_state(&mut self, id: &str, state: ContainerState) {
        if let Some(container) = self.truth.containers.get_mut(id) {
            container.state = state;
        }
    }

    fn outcome(&self, id: &str) -> Outcome {
        self.truth.containers.get(id).map_or(Outcome::Nothing, |it| Outcome::Container(Box::new(it.clone())))
    }

    /// A save in a built service's folder; now and then it does not compile.
    fn save(&mut self) {
        let built: Vec<String> =
            self.project.services.values().filter(|it| it.build.is_some()).map(|it| it.name.clone()).collect();
        let Some(service) = built.get(usize::try_from(self.dice.roll(6)).expect("a small number")) else { return };
        if !self.calm && self.dice.one_in(3) {
            self.broken.insert(service.clone());
        } else {
            self.broken.remove(service);
        }
        *self.sources.entry(service.clone()).or_default() += 1;
        let path = format!("/shop/{service}/main.js").into();
        self.feed(Event::Changed([(path, PathState::Present)].into()));
    }

    /// A service is set otherwise, or one that nobody needs is taken out, or the manifest is broken or put right.
    fn edit_manifest(&mut self) {
        if self.dice.one_in(4) {
            self.written = None;
        } else {
            let mut project = Project::clone(self.written.as_ref().unwrap_or(&self.project));
            let names: Vec<String> = project.services.keys().cloned().collect();
            let name = &names[usize::try_from(self.dice.roll(names.len() as u64)).expect("a small number")];
            let is_needed = project.services.values().any(|other| other.depends_on.contains_key(name));
            if !is_needed && names.len() > 1 && self.dice.one_in(2) {
                project.services.remove(name);
            } else if let Some(service) = project.services.get_mut(name) {
                let value = self.dice.roll(3).to_string();
                service.environment.insert("SETTING".into(), Some(value));
            }
            self.written = Some(Arc::new(project));
        }
        self.save_manifest();
    }

    fn save_manifest(&mut self) {
        self.feed(Event::Changed([("/shop/compose.yaml".into(), PathState::Present)].into()));
    }

    fn read_manifest(&mut self) {
        let read = self.written.clone().map(|project| {
            let mut known = Project::clone(&self.project);
            known.services.extend(project.services.clone());
            self.project = Arc::new(known);
            let services = project.services.keys().cloned().collect();
            let rules = Arc::new(Rules::new(&project, &BTreeMap::new()));
            Box::new(Reloaded { project, services, rules, inputs: BTreeMap::new() })
        });
        self.feed(Event::Reloaded(read));
    }

    fn something_happens(&mut self) {
        match self.dice.roll(40) {
            0..=2 => self.save(),
            3 => {
                let runs: Vec<String> =
                    self.truth.containers.values().filter(|it| it.state.is_running()).map(|it| it.id.clone()).collect();
                if let Some(id) = runs.first() {
                    self.later(1, Due::Exit(id.clone(), 137));
                }
            }
            4 if self.dice.one_in(4) => {
                self.feed(Event::EngineLost { reason: "gone".into() });
                self.feed(Event::Reconnected);
            }
            5 if self.dice.one_in(2) => self.edit_manifest(),
            _ => {}
        }
    }

    fn run_until_rest(&mut self) {
        for _ in 0..STEPS {
            if self.ended.is_some() || !self.advance() {
                return;
            }
        }
        self.fail("the world does not come to rest");
    }
}

fn shortened(event: &Event) -> String {
    match event {
        Event::Observed(_) => "listing".into(),
        Event::Container { id, container } => {
            let how = |it: &Container| format!("{:?} {:?}", it.state, it.health);
            format!("{id} is {}", container.as_deref().map_or("gone".into(), how))
        }
        Event::Answered { ticket, answer } => match answer {
            Answer::Done(_) => format!("{ticket:?} done"),
            Answer::Failed(_) => format!("{ticket:?} failed"),
            Answer::Cancelled => format!("{ticket:?} cancelled"),
        },
        other => format!("{other:?}"),
    }
}

/// Storms for a while, then everything gets a save that works, and the world has to become what was asked for.
fn a_stormy_day(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..150 {
        if world.ended.is_some() || !world.advance() {
            break;
        }
        world.something_happens();
    }
    if world.ended.is_some() {
        // A start that failed for good ends the run; it must say so. A project of jobs is done when they are.
        let is_job = |service: &Service| service.labels.contains_key("job");
        if world.state.project.services.values().all(is_job) {
            return;
        }
        assert_ne!(world.ended, Some(0), "seed {seed}: a failed start ended well\n{}", world.story);
        return;
    }
    world.calm = true;
    world.broken.clear();
    world.written.get_or_insert_with(|| world.state.project.clone());
    world.save_manifest();
    let built: Vec<String> =
        world.project.services.values().filter(|it| it.build.is_some()).map(|it| it.name.clone()).collect();
    for service in built {
        let path = format!("/shop/{service}/main.js").into();
        world.feed(Event::Changed([(path, PathState::Present)].into()));
    }
    world.run_until_rest();
    if world.ended.is_some() {
        return;
    }
    let plan = world.state.plan();
    let moving = plan.entries.iter().any(|entry| entry.holds.is_empty());
    if moving || !world.operations.is_empty() {
        world.fail("the world rests although something can be done");
    }
    if world.written.as_ref() != Some(&world.state.project) {
        world.fail("what runs is not what the manifest says");
    }
    for (name, service) in &world.state.project.services {
        if service.build.is_some() {
            let generation = world.state.facts.generation(name);
            let built = world.state.facts.built.get(name).copied().unwrap_or(0);
            if built < generation {
                world.fail(&format!("{name} does not run what was saved"));
            }
        }
    }
    for container in world.truth.containers.values() {
        if world.state.observed().containers.get(&container.id) != Some(container) {
            world.fail(&format!("what is observed of {} is not what is there", container.id));
        }
    }
    world.feed(Event::Interrupted { code: 130 });
    world.run_until_rest();
    if world.ended != Some(130) {
        world.fail("the run does not end when it is interrupted");
    }
    if let Some(container) = world.truth.containers.values().find(|it| it.state.is_running()) {
        world.fail(&format!("{} still runs after the end", container.id));
    }
}

#[test]
fn whatever_happens_the_world_becomes_what_was_asked_for_and_stops_when_told() {
    let first = std::env::var("HOIST_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    match first {
        Some(seed) => a_stormy_day(seed),
        None => (0..WORLDS).for_each(a_stormy_day),
    }
}
