//! Worlds whose journal is kept, and what is read back from it.

use std::sync::Arc;
use std::time::Duration;

use super::World;
use crate::project::Project;
use crate::reconcile::Setup;
use crate::reconcile::event::{Action, Event};
use crate::replay::{Journal, Scribe};

/// How many worlds are replayed.
const WORLDS: u64 = 300;

pub(super) struct Recorder {
    scribe: Scribe,
    text: String,
}

impl Recorder {
    pub(super) fn new(setup: Setup, first: Vec<Action>) -> Self {
        let mut scribe = Scribe::new([7; 32]);
        let text = scribe.begin(setup, first, "0").expect("a setup can be written");
        Self { scribe, text }
    }

    pub(super) fn step(&mut self, event: Event, now: Duration, actions: Vec<Action>, project: &Arc<Project>) {
        self.text += &self.scribe.step(event, now, actions, project).expect("a step can be written");
    }
}

/// The journal of a world in which much happens.
fn journal_of(seed: u64) -> String {
    let mut world = World::begun(seed, false, true);
    for _ in 0..400 {
        if world.ended.is_some() || !world.advance() {
            break;
        }
        world.something_happens();
    }
    world.journal.take().expect("it is kept").text
}

#[test]
fn every_journal_replays_to_the_same_actions_and_holds_no_value() {
    let (mut steps, mut replaced) = (0, 0);
    for seed in 0..WORLDS {
        let text = journal_of(seed);
        let journal = Journal::read(&text).expect("a journal that was written can be read");
        assert_eq!(journal.problem, None, "seed {seed}");
        if let Err(parting) = journal.replay(|_| steps += 1) {
            panic!("seed {seed}: {parting:?}");
        }
        // The worlds set this variable, and containers are replaced because of it.
        assert!(!text.contains(r#""SETTING":"0""#) && !text.contains(r#""SETTING":"1""#), "seed {seed}");
        replaced += text.matches("config-changed").count();
    }
    assert!(steps > 10_000, "only {steps} steps");
    assert!(replaced > 100, "only {replaced} containers were replaced for another configuration");
}

#[test]
fn a_journal_with_one_altered_event_parts_at_its_step() {
    let text = journal_of(3);
    let lines: Vec<&str> = text.lines().collect();
    let (place, line) = (lines.iter().enumerate())
        .find(|(_, line)| line.contains(r#""answered""#) && line.contains(r#""done""#))
        .expect("something was done in that world");
    let start = line.find(r#""answer":"#).expect("it has an answer");
    let end = line.find(r#","parts""#).expect("it has parts");
    let altered = format!("{}\"answer\":\"cancelled\"{}", &line[..start], &line[end..]);
    let text = lines
        .iter()
        .enumerate()
        .fold(String::new(), |text, (at, line)| text + if at == place { &altered } else { line } + "\n");
    let parting = Journal::read(&text).expect("it can be read").replay(|_| {}).expect_err("it differs");
    // Two lines go before the first step.
    assert_eq!(parting.number, place as u64 - 1);
    assert_ne!(parting.journal, parting.replay);
}
