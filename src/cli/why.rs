//! `hoist why`: what a service waits for, or why it does not run.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;

use clap::Args;

use super::engine::{self, Start};
use super::error::Error;
use super::global::Global;
use super::output::print;
use super::{plan, session};
use crate::plan::observed::{Container, ContainerState, Health, Observed};
use crate::plan::operation::Hold;
use crate::plan::{Entry, Plan};
use crate::project::Project;

/// Tell what a service waits for, or why it is not running
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The service
    #[arg(value_name = "SERVICE")]
    pub(super) service: String,
}

/// Runs the command.
pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<u8, Error> {
    let named = std::slice::from_ref(&arguments.service);
    let project = session::load(global, named)?.project;
    let services = session::select_with_dependencies(&project, named)?;
    let docker = engine::connect(global, Some(&project), Start::No).await?;
    let state = plan::look(&docker, project.clone(), services).await?;
    print(&explain(&project, state.observed(), &state.plan(), &arguments.service))?;
    Ok(0)
}

/// The service's containers and what keeps its operations back, then the same for every service that it waits for.
fn explain(project: &Project, observed: &Observed, plan: &Plan, service: &str) -> String {
    let mut text = String::new();
    let mut told = BTreeSet::new();
    let mut queue = VecDeque::from([service.to_owned()]);
    while let Some(service) = queue.pop_front() {
        if !told.insert(service.clone()) {
            continue;
        }
        let entries: Vec<&Entry> =
            plan.entries.iter().filter(|entry| entry.operation.service() == Some(service.as_str())).collect();
        section(&mut text, project, observed, &service, &entries);
        for hold in entries.iter().flat_map(|entry| &entry.holds) {
            if let Hold::Dependency { service, .. } | Hold::DependencyFailed { service, .. } = hold {
                queue.push_back(service.clone());
            }
        }
    }
    text
}

fn section(text: &mut String, project: &Project, observed: &Observed, service: &str, entries: &[&Entry]) {
    let bold = console::Style::new().bold();
    let _ = writeln!(text, "{}", bold.apply_to(service));
    let mut containers: Vec<&Container> =
        observed.containers.values().filter(|container| container.service == service && !container.one_off).collect();
    containers.sort_by_key(|container| container.number);
    for container in &containers {
        let _ = writeln!(text, "  {}-{} {}", container.service, container.number, condition(container));
    }
    if containers.is_empty() {
        let wanted = project.services.get(service).map_or(0, |service| service.replicas);
        let words = if wanted == 0 { "has no containers, and none are wanted" } else { "has no container" };
        let _ = writeln!(text, "  {words}");
    }
    for entry in entries {
        let holds: Vec<String> = entry.holds.iter().map(ToString::to_string).collect();
        let tail = if holds.is_empty() { String::new() } else { format!("; {}", holds.join(", ")) };
        let _ = writeln!(text, "  next: {} ({}){tail}", entry.operation, entry.cause);
    }
    let unwell = containers.iter().any(|container| container.health == Health::Unhealthy);
    match (entries, unwell) {
        ([], true) => {
            let _ = writeln!(text, "  its healthcheck fails: see `hoist logs {service}`");
        }
        ([], false) if !containers.is_empty() => text.push_str("  as the manifest asks, nothing to do\n"),
        _ => {}
    }
}

/// How a container is: `is running, healthy`.
fn condition(container: &Container) -> String {
    let state = match container.state {
        ContainerState::Exited(code) => format!("exited with code {code}"),
        state => format!("is {}", state.as_str()),
    };
    match (container.state.is_running(), container.health) {
        (true, Health::Starting) => format!("{state}, not healthy yet"),
        (true, Health::Healthy) => format!("{state}, healthy"),
        (true, Health::Unhealthy) => format!("{state}, unhealthy"),
        _ => state,
    }
}
