//! What is in flight: each operation from its beginning to its end, with what it is doing now. Knows neither clock nor
//! terminal.

use std::time::{Duration, Instant};

use super::words::{plural, present, seconds, subject};
use super::{Scene, words};
use crate::engine::Progress;
use crate::plan::operation::{Cause, Operation};
use crate::reconcile::notice::Notice;

/// One thing under way.
#[derive(Debug)]
struct Flight {
    operation: Operation,
    cause: Cause,
    since: Instant,
    doing: Option<String>,
}

/// A container that runs and is not healthy yet.
#[derive(Debug)]
struct Unproven {
    subject: String,
    since: Instant,
    /// What is said when nobody waits for it to be healthy.
    done: words::Said,
}

/// Everything under way, oldest first.
#[derive(Debug, Default)]
pub(super) struct Flights {
    flights: Vec<Flight>,
    unproven: Vec<Unproven>,
}

impl Flights {
    /// Takes a notice into account; returns the cause of the operation that it ends.
    pub(super) fn take(&mut self, notice: &Notice, now: Instant) -> Option<Cause> {
        match notice {
            Notice::Began { operation, cause, .. } => {
                let flight = Flight { operation: operation.clone(), cause: cause.clone(), since: now, doing: None };
                self.flights.push(flight);
                None
            }
            Notice::Done { operation, .. } | Notice::Failed { operation, .. } | Notice::Cancelled { operation } => {
                self.end(|flight| flight == operation)
            }
            Notice::ImageUnchanged { service, .. } => {
                self.end(|flight| matches!(flight, Operation::Build { service: built, .. } if built == service))
            }
            // It is told in other words than the operation that it ends.
            Notice::Reverted { service, number, .. } => self.end(|flight| match flight {
                Operation::Revert { service: of, number: at, .. }
                | Operation::Restore { service: of, number: at, .. } => of == service && at == number,
                _ => false,
            }),
            _ => None,
        }
    }

    fn end(&mut self, is_it: impl Fn(&Operation) -> bool) -> Option<Cause> {
        let place = self.flights.iter().position(|flight| is_it(&flight.operation))?;
        Some(self.flights.remove(place).cause)
    }

    /// Notes what a build, a pull or a provider is doing.
    pub(super) fn progress(&mut self, service: &str, progress: &Progress) {
        let doing = match progress {
            Progress::Step(step) => step.clone(),
            Progress::Bytes { received, total: Some(total) } => format!("{} of {}", bytes(*received), bytes(*total)),
            Progress::Bytes { received, total: None } => bytes(*received),
            Progress::Output(_) => return,
        };
        let image = |operation: &Operation| match operation {
            Operation::Build { service: of, .. }
            | Operation::Pull { service: of }
            | Operation::Provide { service: of }
            | Operation::PrepareModel { key: of } => of == service,
            _ => false,
        };
        if let Some(flight) = self.flights.iter_mut().find(|flight| image(&flight.operation)) {
            flight.doing = Some(doing);
        }
    }

    /// Holds back the line that says that a container started, until it is healthy; says whether it did.
    pub(super) fn hold(&mut self, notice: &Notice, said: &words::Said, scene: &Scene, now: Instant) -> bool {
        let Notice::Done { operation, .. } = notice else { return false };
        let checked = match operation {
            Operation::Start { service, .. }
            | Operation::Exchange { service, .. }
            | Operation::Restart { service, .. } => scene.checked.contains(service),
            _ => false,
        };
        if !checked {
            return false;
        }
        let subject = subject(operation);
        self.unproven.retain(|other| other.subject != subject);
        self.unproven.push(Unproven { subject, since: now, done: said.clone() });
        true
    }

    /// Drops the line held back for a container, because there is newer news of it; returns it.
    pub(super) fn release(&mut self, subject: &str) -> Option<words::Said> {
        let place = self.unproven.iter().position(|held| held.subject == subject)?;
        Some(self.unproven.remove(place).done)
    }

    /// Drops the lines held back for a service that has failed.
    pub(super) fn forget(&mut self, service: &str) {
        let is_of = |subject: &str| subject.rsplit_once('-').is_some_and(|(name, _)| name == service);
        self.unproven.retain(|held| !is_of(&held.subject));
    }

    /// All lines held back, which are due now.
    pub(super) fn release_all(&mut self) -> Vec<words::Said> {
        self.unproven.drain(..).map(|held| held.done).collect()
    }

    /// Whether nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.flights.is_empty() && self.unproven.is_empty()
    }

    /// A line for each, `limit` at most, the last one counting the rest; parts are subject, words and time.
    pub(super) fn lines(&self, limit: usize, now: Instant) -> Vec<(String, String, Duration)> {
        let flights = self.flights.iter().map(|flight| {
            let mut text = present(&flight.operation).to_owned();
            if let Some(doing) = &flight.doing {
                text = format!("{text}  {doing}");
            }
            (subject(&flight.operation), text, now.saturating_duration_since(flight.since))
        });
        let unproven = self.unproven.iter().map(|held| {
            (held.subject.clone(), "started, not healthy yet".into(), now.saturating_duration_since(held.since))
        });
        let mut lines: Vec<_> = flights.chain(unproven).collect();
        if lines.len() > limit {
            let rest = lines.split_off(limit.saturating_sub(1));
            let longest = rest.iter().map(|(_, _, time)| *time).max().unwrap_or_default();
            lines.push((String::new(), format!("and {} more {}", rest.len(), plural(rest.len(), "thing")), longest));
        }
        lines
    }
}

/// A line of what is in flight: the time is shown once it is worth looking at.
pub(super) fn laid_out(subject: &str, text: &str, time: Duration, column: usize) -> String {
    let time = if time < Duration::from_millis(100) { String::new() } else { format!("  {}", coarse(time)) };
    format!("{subject:<column$}  {text}{time}")
}

/// Ticks every tenth of a second, without flicker in the hundredths.
fn coarse(time: Duration) -> String {
    if time < Duration::from_mins(1) { format!("{:.1} s", time.as_secs_f64()) } else { seconds(time) }
}

/// A count of bytes for people: `12.3 MB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", count / unit, count % unit * 10 / unit);
    match count {
        0..1_000_000 => format!("{} kB", count / 1_000),
        1_000_000..1_000_000_000 => format!("{} MB", tenths(1_000_000)),
        _ => format!("{} GB", tenths(1_000_000_000)),
    }
}
