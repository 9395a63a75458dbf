//! `hoist config --check`: everything that is wrong with a manifest, and what will bite.

use std::path::PathBuf;

use super::error::Error;
use super::global::Global;
use super::output::print;
use super::{load, session};
use crate::manifest::Steps;
use crate::manifest::problem::Problem;
use crate::ui::{problems, report};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// How it is told.
    pub(super) report: Report,
    /// The services whose profiles are switched on.
    pub(super) services: Vec<String>,
    /// Replace variables.
    pub(super) interpolate: bool,
    /// Warnings fail too.
    pub(super) strict: bool,
    /// Where to, instead of standard output.
    pub(super) file: Option<PathBuf>,
}

/// How findings are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    /// Drawn, for people.
    Text,
    /// As JSON.
    Json,
    /// As SARIF.
    Sarif,
}

/// Tells all, and returns 2 when there is an error, 1 for warnings that are to fail.
pub(super) fn run(global: &Global, asked: &Asked) -> Result<u8, Error> {
    let steps = Steps { interpolate: asked.interpolate, ..Steps::default() };
    let checked = load::check(&session::request(global, &asked.services, steps)?);
    let found = problems::in_order(&checked.problems);
    let colour = asked.file.is_none() && console::colors_enabled();
    let text = match asked.report {
        Report::Text => problems::render(&checked.problems, &checked.sources, colour),
        Report::Json => format!("{:#}\n", report::json(&found, &checked.sources)),
        Report::Sarif => format!("{:#}\n", report::sarif(&found, &checked.sources)),
    };
    match &asked.file {
        Some(file) => std::fs::write(file, text).map_err(Error::io(format!("write `{}`", file.display())))?,
        None => print(&text)?,
    }
    let errors = found.iter().filter(|problem| problem.is_error()).count();
    let warnings = found.len() - errors;
    if asked.report == Report::Text {
        anstream::eprint!("{}", summary(&found, errors, warnings));
    }
    Ok(match (errors, warnings) {
        (0, 0) => 0,
        (0, _) => u8::from(asked.strict),
        _ => 2,
    })
}

fn summary(found: &[&Problem], errors: usize, warnings: usize) -> String {
    let count = |number: usize, what: &str| match number {
        0 => None,
        1 => Some(format!("1 {what}")),
        _ => Some(format!("{number} {what}s")),
    };
    let counts: Vec<String> = count(errors, "error").into_iter().chain(count(warnings, "warning")).collect();
    if counts.is_empty() {
        return "nothing to find fault with\n".to_owned();
    }
    let code = found.iter().find_map(|problem| problem.code);
    let explain = code.map(|code| format!("; `hoist explain {code}` says more")).unwrap_or_default();
    format!("\n{}{explain}\n", counts.join(", "))
}
