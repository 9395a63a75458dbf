//! `hoist plan`: what `up` would do and why, without doing it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use clap::Args;

use super::drive::not_begun;
use super::engine::{self, Start};
use super::error::Error;
use super::format::Format;
use super::global::Global;
use super::output::print;
use super::session;
use crate::dispatch::observe_once;
use crate::engine::docker::Docker;
use crate::manifest::Steps;
use crate::plan::Plan;
use crate::plan::goal::{BuildPolicy, Goal, Until, Up};
use crate::project::Project;
use crate::reconcile::State;

/// Show what `up` would do and why, without doing it
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
    /// Text or JSON
    #[arg(long, value_name = "FORMAT", default_value = "text", hide_default_value = true)]
    pub(super) format: Format,
}

/// Runs the command.
pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<u8, Error> {
    let project = session::load_as(global, &arguments.services, Steps::default())?.project;
    let services = session::select_with_dependencies(&project, &arguments.services)?;
    let docker = engine::connect(global, Some(&project), Start::No).await?;
    let state = look(&docker, project, services).await?;
    let plan = state.plan();
    let text = match arguments.format {
        Format::Text if plan.entries.is_empty() => "nothing to do\n".to_owned(),
        Format::Text => text(&plan),
        Format::Json => {
            let plan = serde_json::to_string_pretty(&plan);
            plan.map_err(|error| Error::failed(format!("cannot write the plan: {error}")))? + "\n"
        }
    };
    print(&text)?;
    Ok(0)
}

/// What `up` would find for these services, and so what it would do.
pub(super) async fn look(docker: &Docker, project: Project, services: BTreeSet<String>) -> Result<State, Error> {
    let goal = Goal::Up(Up {
        services,
        models: BTreeSet::new(),
        build: BuildPolicy::Needed,
        force_recreate: false,
        no_recreate: false,
        remove_orphans: false,
        grace: None,
        until: Until::Started,
    });
    observe_once(docker, Arc::new(project), goal).await.map_err(not_begun)
}

/// A line for each operation: what, why, and what keeps it back.
fn text(plan: &Plan) -> String {
    let dim = console::Style::new().dim();
    let width = plan.entries.iter().map(|entry| entry.operation.to_string().chars().count()).max().unwrap_or(0);
    plan.entries.iter().fold(String::new(), |mut text, entry| {
        let what = format!("{:<width$}", entry.operation.to_string());
        let _ = write!(text, "{what}  {}", entry.cause);
        for (place, hold) in entry.holds.iter().enumerate() {
            let joint = if place == 0 { "; " } else { ", " };
            let _ = write!(text, "{}", dim.apply_to(format!("{joint}{hold}")));
        }
        text.push('\n');
        text
    })
}
