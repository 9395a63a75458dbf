//! What a run needs to know before it begins: what is watched, and what the images would be built from.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future;

use super::{Setup, SetupError};
use crate::change::SyncFiles;
use crate::change::rules::Rules;
use crate::engine::context::inputs_digest;
use crate::engine::{Engine, Wanted};
use crate::plan::goal::{BuildPolicy, Goal};
use crate::plan::spec;
use crate::project::Project;
use crate::reconcile::{Setup as RunSetup, State};
use crate::watch::{Watch, files_below, read_ignore_files};

/// Begins to watch, then reads what would be built: in this order no save can fall between the two.
pub(super) async fn prepare(setup: &Setup) -> Result<(RunSetup, Option<Watch>), SetupError> {
    let mut run = RunSetup {
        project: Arc::clone(&setup.project),
        goal: setup.goal.clone(),
        rules: None,
        inputs: BTreeMap::new(),
        initial_syncs: BTreeMap::new(),
        follow: setup.follow_logs,
    };
    let mut watching = None;
    if setup.watch {
        let rules = read_rules(Arc::clone(&setup.project)).await;
        watching = Some(Watch::start(Arc::clone(&rules)).await?);
        run.initial_syncs = initial_syncs(Arc::clone(&rules)).await;
        run.rules = Some(rules);
    }
    run.inputs = inputs(&setup.project, &setup.goal).await;
    Ok((run, watching))
}

/// What saved files lead to, by the manifest and the ignore files as they are now.
pub(super) async fn read_rules(project: Arc<Project>) -> Arc<Rules> {
    let read = move || Arc::new(Rules::new(&project, &read_ignore_files(&project)));
    tokio::task::spawn_blocking(read).await.expect("reading small files does not panic")
}

async fn initial_syncs(rules: Arc<Rules>) -> BTreeMap<String, SyncFiles> {
    let read = move || {
        let roots = rules.initial_roots();
        if roots.is_empty() { BTreeMap::new() } else { rules.initial(&files_below(&rules, &roots)) }
    };
    tokio::task::spawn_blocking(read).await.expect("walking folders does not panic")
}

/// The digests of what the services in the goal are built from. A context that cannot be read has none: its build says
/// why, if it comes to one.
async fn inputs(project: &Project, goal: &Goal) -> BTreeMap<String, String> {
    let Goal::Up(up) = goal else { return BTreeMap::new() };
    if up.build == BuildPolicy::Never {
        return BTreeMap::new();
    }
    let services = project.services.values().filter(|service| up.services.contains(&service.name));
    let digests = services.filter_map(|service| spec::build(project, service)).map(|build| async move {
        let digest = inputs_digest(&build).await.ok()?;
        Some((build.service, digest))
    });
    future::join_all(digests).await.into_iter().flatten().collect()
}

/// What is looked up beside what carries the project's label.
pub(super) fn wanted(project: &Project) -> Wanted {
    Wanted {
        images: project.services.values().chain(project.disabled.values()).map(|it| project.image_of(it)).collect(),
        networks: project.networks.values().map(|network| network.name.clone()).collect(),
        volumes: project.volumes.values().map(|volume| volume.name.clone()).collect(),
    }
}

/// A run that has only looked: for commands that show what is left to do without doing it.
///
/// # Errors
/// When the engine does not answer, or services depend on each other in a circle.
pub async fn observe_once<E: Engine>(engine: &E, project: Arc<Project>, goal: Goal) -> Result<State, SetupError> {
    let inputs = inputs(&project, &goal).await;
    let observed = engine.observe(&project.name, &wanted(&project)).await?;
    let run = RunSetup { project, goal, rules: None, inputs, initial_syncs: BTreeMap::new(), follow: false };
    State::looking(run, observed).map_err(SetupError::Cycles)
}
