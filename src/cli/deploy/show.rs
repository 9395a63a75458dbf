//! A rollout on the screen: a line for each workload, with what keeps it when it does not get on.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::deploy::{Picture, Subject};
use crate::log::readable;
use crate::release::item::Id;
use crate::release::progress::{Phase, Standing};
use crate::ui::Style;
use crate::ui::board::{Board, State};

/// What is shown of a rollout.
pub(super) struct View {
    board: Board,
    /// Last lines that have been shown, by workload.
    told: BTreeSet<(String, Vec<String>)>,
    /// Workloads that have been told of as ready.
    ready: BTreeSet<String>,
}

impl View {
    /// Of these workloads.
    pub(super) fn new(style: Style, workloads: &[Id]) -> Self {
        let board = Board::new(style, workloads.iter().map(|id| id.name.as_str()));
        Self { board, told: BTreeSet::new(), ready: BTreeSet::new() }
    }

    /// Says something that is no state of a workload.
    pub(super) fn say(&self, text: &str) {
        self.board.say(text);
    }

    /// Shows how all workloads stand.
    pub(super) fn show(&mut self, picture: &Picture) {
        if let Some(reason) = &picture.silent {
            self.board.say(&format!("{reason}; waiting for it\n"));
        }
        for subject in &picture.subjects {
            self.subject(subject);
        }
    }

    fn subject(&mut self, subject: &Subject) {
        let name = &subject.id.name;
        let Some(standing) = &subject.standing else {
            return self.board.set(name, State::Doing, "applied", "");
        };
        let words = progress(&subject.id.kind, standing);
        if standing.phase == Phase::Ready {
            if self.ready.insert(name.clone()) {
                self.board.set(name, State::Done, &words, "");
            }
            return;
        }
        self.ready.remove(name);
        self.quote(subject);
        let reasons: Vec<String> =
            standing.reason.iter().cloned().chain(subject.trouble.as_ref().map(ToString::to_string)).collect();
        let reason = (!reasons.is_empty()).then(|| reasons.join("; "));
        let (state, words) = match (standing.phase, reason) {
            (Phase::Failed, reason) => (State::Failed, format!("failed: {}", reason.unwrap_or_default())),
            (_, Some(reason)) => (State::Stuck, format!("{words}, {reason}")),
            (_, None) => (State::Doing, words),
        };
        self.board.set(name, state, &readable(&words), "");
    }

    /// Shows a container's last lines, once.
    fn quote(&mut self, subject: &Subject) {
        let Some(trouble) = subject.trouble.as_ref().filter(|_| !subject.last_lines.is_empty()) else { return };
        if self.told.insert((subject.id.name.clone(), subject.last_lines.clone())) {
            let container = trouble.container.as_deref().unwrap_or_default();
            let mut text = format!("last lines of `{container}` in `{}`:\n", trouble.pod);
            for line in &subject.last_lines {
                // Writing to a `String` cannot fail.
                let _ = writeln!(text, "    {}", readable(line));
            }
            self.board.say(&text);
        }
    }

    /// Takes the lines that move away.
    pub(super) fn end(&mut self) {
        self.board.clear();
    }
}

fn progress(kind: &str, standing: &Standing) -> String {
    let Standing { phase, ready, desired, .. } = standing;
    match (kind, phase) {
        ("Job", Phase::Ready) => "done".to_owned(),
        ("Job", _) => "running".to_owned(),
        ("CronJob", _) => "scheduled".to_owned(),
        (_, Phase::Ready) => format!("ready, {ready} of {desired}"),
        _ => format!("{ready} of {desired} ready"),
    }
}
