//! What is on the disk after a run, and how much of it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::writer::Writer;
use super::{Entry, place};
use crate::plan::fixtures::{goal_up, project, service};
use crate::reconcile::event::Event;
use crate::reconcile::{Setup, State, step};
use crate::replay;

/// Writes the journal of a run that is woken so many times.
fn write(folder: &std::path::Path, longest: u64, wakings: usize) {
    let project = Arc::new(project([service("web")]));
    let setup = Setup {
        goal: goal_up(&project),
        project,
        rules: None,
        began: 0,
        inputs: [].into(),
        stale: BTreeSet::new(),
        initial_syncs: [].into(),
        follow: false,
    };
    let (entries, inbox) = sync_channel(wakings + 2);
    let (mut state, first) = State::new(setup.clone()).expect("there is no circle");
    entries.send(Entry::Begin(Box::new(setup), first)).expect("there is room");
    for millis in 0..wakings as u64 {
        let at = Duration::from_millis(millis);
        let actions = step(&mut state, Event::Woken, at);
        let project = Arc::clone(state.project());
        entries.send(Entry::Step(Box::new(Event::Woken), at, actions, project)).expect("there is room");
    }
    entries.send(Entry::End).expect("there is room");
    drop(entries);
    Writer::bounded(folder.to_owned(), longest).write(&inbox).expect("the folder can be written");
}

fn read(folder: &std::path::Path) -> replay::Journal {
    let path = place::journals(folder).pop().expect("there is a journal");
    replay::Journal::read(&fs::read_to_string(path).expect("it can be read")).expect("it is a journal")
}

#[test]
fn a_journal_is_its_owners_alone_and_says_that_the_run_is_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let inside = folder.path().join("shop-1");
    write(&inside, u64::MAX, 3);
    let journal = read(&inside);
    assert_eq!((journal.len(), journal.end.as_deref()), (3, Some("the run is over")));
    journal.replay(|_| {}).expect("it replays");
    let mode = |path: &std::path::Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&place::journals(&inside)[0]), 0o600);
    assert_eq!(mode(&inside), 0o700);
}

#[test]
fn a_full_journal_says_so_and_replays_to_where_it_stops() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), 20_000, 5_000);
    let journal = read(folder.path());
    assert_eq!(journal.end.as_deref(), Some("the journal is full at 20000 bytes"));
    assert!((1..5_000).contains(&journal.len()), "{} steps", journal.len());
    journal.replay(|_| {}).expect("it replays");
    let length = fs::metadata(&place::journals(folder.path())[0]).expect("it is there").len();
    assert!(length < 20_200, "{length} bytes");
}

#[test]
fn only_the_newest_journals_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let other = folder.path().join("notes.txt");
    fs::write(&other, "mine").expect("it can be written");
    (0..8).for_each(|_| write(folder.path(), u64::MAX, 1));
    assert_eq!(place::journals(folder.path()).len(), 5);
    assert!(other.exists(), "what is no journal stays");
}
