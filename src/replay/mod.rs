//! The journal of a run: every input of [`step`](crate::reconcile::step) in its order, with what it answered. A run that
//! is read back and run through `step` again does the same, without any engine.
//!
//! Pure: events come in and lines go out, and the other way round. It opens no file. Values that are nobody else's
//! business (of variables, build arguments, secrets) do not get into a line: a keyed hash stands in their place, and
//! the key is kept nowhere.

mod form;
mod redact;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::reconcile::event::{Action, Event};
use crate::reconcile::{State, step};

use form::{Begin, End, Line, Step};
pub use form::{FORMAT, Head, Scribe};

/// A journal that was read.
#[derive(Debug)]
pub struct Journal {
    /// What it begins with.
    pub head: Head,
    /// How it ended; `None` when the run was killed or goes on.
    pub end: Option<String>,
    /// Where it stops to make sense; everything before is in it.
    pub problem: Option<Problem>,
    begin: Begin,
    steps: Vec<Step>,
}

/// What is wrong with a journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// Why it cannot be read.
    pub reason: String,
}

/// One step of a run that is replayed.
#[derive(Debug)]
pub struct Moment<'a> {
    /// Its number, from 1; 0 is the beginning of the run.
    pub number: u64,
    /// Since the run began.
    pub at: Duration,
    /// What happened; `None` at the beginning.
    pub event: Option<&'a Event>,
    /// What is to be done about it.
    pub actions: &'a [Action],
}

/// Where journal and replay part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parting {
    /// The step; 0 is the beginning of the run.
    pub number: u64,
    /// Since the run began.
    pub at: Duration,
    /// The first action that only the journal has there; `None` when it has no more.
    pub journal: Option<Value>,
    /// The first action that only the replay has there; `None` when it has no more.
    pub replay: Option<Value>,
}

impl Journal {
    /// Reads a journal.
    ///
    /// # Errors
    /// When not even the beginning of its run can be read.
    pub fn read(text: &str) -> Result<Self, Problem> {
        let mut lines = Lines { rest: text, number: 0 };
        let head = match lines.next().unwrap_or_else(|| Err(lines.wrong("the journal is empty")))? {
            Line::Head(head) if head.journal == FORMAT => head,
            Line::Head(Head { journal, .. }) => {
                return Err(lines.wrong(format!("a journal of format {journal}; this hoist reads format {FORMAT}")));
            }
            _ => return Err(lines.wrong("a journal begins with a head")),
        };
        let begin = match lines.next().unwrap_or_else(|| Err(lines.wrong("the run has no beginning")))? {
            Line::Begin(begin) => *begin,
            _ => return Err(lines.wrong("the beginning of the run is expected after the head")),
        };
        let mut journal = Self { head, begin, steps: Vec::new(), end: None, problem: None };
        while let Some(line) = lines.next() {
            if let Err(problem) = line.and_then(|line| journal.take(line, &lines)) {
                journal.problem = Some(problem);
                break;
            }
        }
        journal.translate();
        Ok(journal)
    }

    fn take(&mut self, line: Line, lines: &Lines<'_>) -> Result<(), Problem> {
        if self.end.is_some() {
            return Err(lines.wrong("nothing comes after the end"));
        }
        match line {
            Line::Step(step) if step.number == self.steps.len() as u64 + 1 => self.steps.push(*step),
            Line::Step(step) => {
                let expected = self.steps.len() + 1;
                return Err(lines.wrong(format!("step {} where step {expected} is expected", step.number)));
            }
            Line::End(End { reason }) => self.end = Some(reason),
            Line::Head(_) | Line::Begin(_) => return Err(lines.wrong("the run has begun already")),
        }
        Ok(())
    }

    /// Containers, networks and volumes were made from a configuration with its values in it, of which the journal has none:
    /// their hashes become those that the configuration has as it is journaled.
    fn translate(&mut self) {
        let steps = self.steps.iter().flat_map(|step| &step.hashes);
        let hashes: BTreeMap<String, String> =
            self.begin.hashes.iter().chain(steps).map(|(a, b)| (a.clone(), b.clone())).collect();
        for hash in self.steps.iter_mut().flat_map(|step| redact::hashes_of(&mut step.event)) {
            if let Some(journaled) = hashes.get(hash) {
                journaled.clone_into(hash);
            }
        }
    }

    /// How many steps it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether nothing happened in its run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Runs it again, and tells of each step.
    ///
    /// # Errors
    /// Where what is to be done is not what the journal has: it is of another version of hoist, or was altered.
    pub fn replay(&self, mut tell: impl FnMut(&Moment<'_>)) -> Result<(), Box<Parting>> {
        // A run whose services depend on each other in a circle never began.
        let Ok((mut state, actions)) = State::new(self.begin.setup.clone()) else {
            return Err(parting(0, Duration::ZERO, &self.begin.actions, &[])
                .unwrap_or_else(|| Box::new(Parting { number: 0, at: Duration::ZERO, journal: None, replay: None })));
        };
        tell(&Moment { number: 0, at: Duration::ZERO, event: None, actions: &actions });
        if let Some(parting) = parting(0, Duration::ZERO, &self.begin.actions, &actions) {
            return Err(parting);
        }
        for journaled in &self.steps {
            let at = Duration::from_nanos(journaled.at);
            let actions = step(&mut state, journaled.event.clone(), at);
            tell(&Moment { number: journaled.number, at, event: Some(&journaled.event), actions: &actions });
            if let Some(parting) = parting(journaled.number, at, &journaled.actions, &actions) {
                return Err(parting);
            }
        }
        Ok(())
    }
}

fn parting(number: u64, at: Duration, journal: &[Value], replay: &[Action]) -> Option<Box<Parting>> {
    let replay: Vec<Value> = replay.iter().map(form::value).collect();
    let place = (0..journal.len().max(replay.len())).find(|place| journal.get(*place) != replay.get(*place))?;
    let (journal, replay) = (journal.get(place).cloned(), replay.get(place).cloned());
    Some(Box::new(Parting { number, at, journal, replay }))
}

/// The lines of a journal, read one by one.
struct Lines<'a> {
    rest: &'a str,
    number: usize,
}

impl Lines<'_> {
    fn wrong(&self, reason: impl Into<String>) -> Problem {
        Problem { line: self.number.max(1), reason: reason.into() }
    }
}

impl Iterator for Lines<'_> {
    type Item = Result<Line, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let Some((line, rest)) = self.rest.split_once('\n') else {
            self.rest = "";
            return Some(Err(self.wrong("the line is cut short")));
        };
        self.rest = rest;
        Some(serde_json::from_str(line).map_err(|error| self.wrong(format!("not a line of a journal: {error}"))))
    }
}
