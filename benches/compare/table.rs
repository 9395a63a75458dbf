//! Medians, ratios and verdicts as a table.

use std::fmt::Write as _;

use crate::tool::Tool;

/// What a measure is counted in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit {
    /// Thousandths of a second.
    Milliseconds,
    /// Millions of bytes.
    Megabytes,
}

/// A measure and what came of it.
pub(crate) struct Row {
    /// Its name.
    pub(crate) name: &'static str,
    unit: Unit,
    target: f64,
    hoist: Vec<f64>,
    compose: Vec<f64>,
}

impl Row {
    pub(crate) fn new(name: &'static str, unit: Unit, target: f64) -> Self {
        Self { name, unit, target, hoist: Vec::new(), compose: Vec::new() }
    }

    /// Takes a result.
    pub(crate) fn add(&mut self, tool: &Tool, value: f64) {
        let values = if tool.name == "hoist" { &mut self.hoist } else { &mut self.compose };
        values.push(value);
    }

    fn draw(&self) -> Option<String> {
        let (hoist, compose) = (median(&self.hoist), median(&self.compose));
        if hoist.is_none() && compose.is_none() {
            return None;
        }
        let shown = |value: Option<f64>| match (value, self.unit) {
            (None, _) => "-".to_owned(),
            (Some(value), Unit::Milliseconds) => format!("{value:.1} ms"),
            (Some(value), Unit::Megabytes) => format!("{value:.1} MB"),
        };
        let (ratio, verdict) = match (hoist, compose) {
            (Some(hoist), Some(compose)) => {
                let ratio = hoist / compose;
                (format!("{ratio:.3}"), if ratio <= self.target { "met" } else { "MISSED" })
            }
            _ => ("-".to_owned(), "-"),
        };
        let (name, target) = (self.name, self.target);
        Some(format!("{name:<20} {:>12} {:>15} {ratio:>7} {target:>7.2}  {verdict}", shown(hoist), shown(compose)))
    }
}

/// All measures that have results.
pub(crate) fn draw(rows: &[Row], rounds: usize) -> String {
    let mut text = format!("medians of {rounds} rounds, the tools in turn\n");
    let _ =
        writeln!(text, "{:<20} {:>12} {:>15} {:>7} {:>7}", "measure", "hoist", "docker compose", "ratio", "at most");
    for row in rows.iter().filter_map(Row::draw) {
        let _ = writeln!(text, "{row}");
    }
    text
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted.get(middle).copied()
    } else {
        Some((sorted.get(middle)? + sorted.get(middle.checked_sub(1)?)?) / 2.0)
    }
}
