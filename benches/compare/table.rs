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
    /// Things that are counted.
    Pieces,
}

/// What is promised.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// hoist ÷ its peer, at most.
    Ratio(f64),
    /// hoist alone, at most.
    Limit(f64),
    /// The ratio first, and the limit.
    Both(f64, f64),
    /// Nothing; it is shown beside a measure of which something is.
    Nothing,
}

impl Target {
    fn ratio(self) -> Option<f64> {
        match self {
            Self::Ratio(ratio) | Self::Both(ratio, _) => Some(ratio),
            Self::Limit(_) | Self::Nothing => None,
        }
    }

    fn limit(self) -> Option<f64> {
        match self {
            Self::Limit(limit) | Self::Both(_, limit) => Some(limit),
            Self::Ratio(_) | Self::Nothing => None,
        }
    }
}

/// A measure and what came of it.
pub(crate) struct Row {
    /// Its name.
    pub(crate) name: &'static str,
    unit: Unit,
    target: Target,
    hoist: Vec<f64>,
    compose: Vec<f64>,
}

impl Row {
    pub(crate) fn new(name: &'static str, unit: Unit, target: Target) -> Self {
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
            (Some(value), Unit::Pieces) => format!("{value:.1}"),
        };
        let ratio = hoist.zip(compose).map(|(hoist, compose)| hoist / compose);
        let by_ratio = self.target.ratio().map(|target| ratio.map(|ratio| ratio <= target));
        let by_limit = self.target.limit().map(|target| hoist.map(|hoist| hoist <= target));
        let verdict = match [by_ratio, by_limit].into_iter().flatten().collect::<Option<Vec<bool>>>() {
            Some(kept) if kept.is_empty() => "-",
            None => "-",
            Some(kept) if kept.iter().all(|kept| *kept) => "met",
            Some(_) => "MISSED",
        };
        let ratio = ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}"));
        let target = self.target.ratio().map_or("-".to_owned(), |target| format!("{target:.2}"));
        let limit = self.target.limit().map_or_else(String::new, |limit| format!(" (at most {})", shown(Some(limit))));
        let (hoist, compose) = (shown(hoist), shown(compose));
        Some(format!("{:<35} {hoist:>12} {compose:>12} {ratio:>7} {target:>7}  {verdict}{limit}", self.name))
    }

    fn lacks_peer(&self) -> bool {
        self.target.ratio().is_some() && !self.hoist.is_empty() && self.compose.is_empty()
    }
}

/// All measures that have results.
pub(crate) fn draw(rows: &[Row], rounds: usize) -> String {
    let mut text = format!("medians of {rounds} rounds, the tools in turn\n");
    let _ = writeln!(text, "{:<35} {:>12} {:>12} {:>7} {:>7}", "measure", "hoist", "docker", "ratio", "at most");
    for row in rows.iter().filter_map(Row::draw) {
        let _ = writeln!(text, "{row}");
    }
    if rows.iter().any(Row::lacks_peer) {
        text.push_str(
            "no docker compose in this run: divide by the figure of the same row of a run with `--only compose`\n",
        );
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
