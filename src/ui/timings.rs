//! The critical path of a start as a table, and what would shorten it.

use std::fmt::Write as _;
use std::time::Duration;

use super::table::table;
use super::words::{past, seconds, subject};
use crate::plan::operation::Operation;
use crate::reconcile::timings::{Leg, Stage};

/// How many pieces of advice are given.
const MOST: usize = 3;
/// What saves less is not worth a line.
const LEAST: Duration = Duration::from_millis(50);

/// The legs of a start that took so long, a row each, and below them what is worth doing about them.
#[must_use]
pub(super) fn text(path: &[Leg], took: Duration) -> String {
    let rows: Vec<Vec<String>> = path.iter().map(row).collect();
    let titles = ["AT", "TOOK", "SAVES", "CRITICAL PATH"];
    let mut text = format!("\n{}", table(&titles, &rows));
    let mut worth: Vec<(Duration, String)> =
        path.iter().filter(|leg| leg.saves >= LEAST.max(took / 20)).filter_map(advice).collect();
    worth.sort_by_key(|(saves, _)| std::cmp::Reverse(*saves));
    for (saves, words) in worth.into_iter().take(MOST) {
        let _ = writeln!(text, "hint: up to {} less: {words}", seconds(saves));
    }
    text.push('\n');
    text
}

fn row(leg: &Leg) -> Vec<String> {
    let mut words = what(&leg.stage);
    if let Some((service, condition)) = &leg.holds {
        let _ = write!(words, "; {service} waits for {}", condition.as_str());
    }
    vec![seconds(leg.at), seconds(leg.took), seconds(leg.saves), words]
}

fn what(stage: &Stage) -> String {
    match stage {
        Stage::Look => "engine asked what is there".into(),
        Stage::Operation(operation) => format!("{} {}", subject(operation), past(operation)),
        Stage::Unchanged { service } => format!("{service} image unchanged"),
        Stage::Healthy { service, number } => format!("{service}-{number} healthy"),
        Stage::Completed { service, number } => format!("{service}-{number} completed"),
    }
}

fn advice(leg: &Leg) -> Option<(Duration, String)> {
    let waiting = leg.holds.as_ref().map(|(service, _)| service);
    let words = match (&leg.stage, waiting) {
        (Stage::Operation(Operation::Pull { service }), _) => format!("pull it beforehand: `hoist pull {service}`"),
        (Stage::Operation(Operation::Build { service, .. }) | Stage::Unchanged { service }, _) => {
            format!("build it beforehand, `hoist build {service}`, and copy last in its Dockerfile what changes most")
        }
        (Stage::Healthy { service, .. }, Some(waiting)) => {
            format!("let `{service}` be ready sooner, or `{waiting}` need `condition: service_started` only")
        }
        (Stage::Healthy { service, .. }, None) => format!("let `{service}` answer its healthcheck sooner"),
        (Stage::Completed { service, .. }, Some(waiting)) => {
            format!("let `{service}` do less, or `{waiting}` not wait for it")
        }
        _ => return None,
    };
    Some((leg.saves, words))
}
