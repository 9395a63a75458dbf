//! What a run needs to know before it begins: what is watched, and what the images would be built from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future;

use super::{Manifest, Read, Setup, SetupError};
use crate::change::SyncFiles;
use crate::change::rules::Rules;
use crate::content::Hashes;
use crate::engine::context::inputs_digest;
use crate::engine::{Engine, Wanted};
use crate::plan::goal::{BuildPolicy, Goal};
use crate::plan::observed::ContainerId;
use crate::plan::spec;
use crate::project::Project;
use crate::reconcile::event::Reloaded;
use crate::reconcile::{Setup as RunSetup, State};
use crate::standing::Standings;
use crate::watch::{Watch, files_below, machine_digest, read_build_files, read_ignore_files};

/// Begins to watch, then reads what would be built: in this order no save can fall between the two.
pub(super) async fn prepare(setup: &Setup) -> Result<(RunSetup, Option<Watch>), SetupError> {
    let mut run = RunSetup {
        project: Arc::clone(&setup.project),
        goal: setup.goal.clone(),
        rules: None,
        began: now(),
        inputs: BTreeMap::new(),
        stale: BTreeSet::new(),
        initial_syncs: BTreeMap::new(),
        follow: setup.follow_logs,
    };
    let mut watching = None;
    if setup.watch {
        let files = setup.manifest.as_ref().map(|manifest| manifest.files.clone()).unwrap_or_default();
        let rules = read_rules(Arc::clone(&setup.project), files).await;
        let watch = Watch::start(Arc::clone(&rules), setup.hashes.clone()).await?;
        // So that even the first touch of a file is known for what it is; nobody waits for it.
        drop(watch.learn());
        watching = Some(watch);
        run.initial_syncs = initial_syncs(Arc::clone(&rules)).await;
        run.rules = Some(rules);
    }
    run.inputs = inputs(&setup.project, &setup.goal, &setup.hashes).await;
    run.stale = stale(&setup.project, &run.inputs).await;
    Ok((run, watching))
}

/// Nanoseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// What saved files lead to, by the manifest, the ignore files and the Dockerfiles as they are now. `files` are those that
/// the manifest was read from.
pub(super) async fn read_rules(project: Arc<Project>, files: BTreeSet<PathBuf>) -> Arc<Rules> {
    let read = move || {
        let ignore_files = read_ignore_files(&project);
        let build_files = read_build_files(&project, &ignore_files);
        Arc::new(Rules::inferred(&project, &ignore_files, &build_files).made_from(&files))
    };
    tokio::task::spawn_blocking(read).await.expect("reading small files does not panic")
}

/// A manifest that was read again.
pub(super) struct ManifestRead {
    /// What it asks for, `None` when there is none to read; or what is wrong with it, in lines for people.
    pub(super) outcome: Result<Option<Reloaded>, String>,
    /// The files that were looked for, there or not.
    pub(super) files: BTreeSet<PathBuf>,
}

/// Reads the manifest as it is now, after it the ignore files, and what is built that was not so built before.
pub(super) async fn reload(manifest: Option<Manifest>, before: Arc<Project>, hashes: Hashes) -> ManifestRead {
    let Some(manifest) = manifest else { return ManifestRead { outcome: Ok(None), files: BTreeSet::new() } };
    let read = tokio::task::spawn_blocking(move || (manifest.read)()).await;
    let read = read.unwrap_or_else(|error| Read {
        outcome: Err(format!("the manifest cannot be read: {error}\n")),
        files: BTreeSet::new(),
    });
    let (project, services) = match read.outcome {
        Ok(read) => read,
        Err(report) => return ManifestRead { outcome: Err(report), files: read.files },
    };
    let rules = read_rules(Arc::clone(&project), read.files.clone()).await;
    let spec_of = |project: &Project, name: &str| project.any_service(name).and_then(|it| spec::build(project, it));
    let is_new =
        |name: &&String| !before.services.contains_key(*name) || spec_of(&before, name) != spec_of(&project, name);
    let with_bases = project.with_bases(&services);
    let inputs = digests(&project, with_bases.iter().filter(is_new), &hashes).await;
    let mut initial_syncs = initial_syncs(Arc::clone(&rules)).await;
    initial_syncs.retain(|name, _| !before.services.contains_key(name));
    let reloaded = Reloaded { project, services, rules, inputs, initial_syncs };
    ManifestRead { outcome: Ok(Some(reloaded)), files: read.files }
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
async fn inputs(project: &Project, goal: &Goal, hashes: &Hashes) -> BTreeMap<String, String> {
    let Goal::Up(up) = goal else { return BTreeMap::new() };
    if up.build == BuildPolicy::Never {
        return BTreeMap::new();
    }
    let digests = digests(project, &project.with_bases(&up.services), hashes).await;
    let hashes = hashes.clone();
    // Something to write is there only when files had to be read, which took longer.
    tokio::task::spawn_blocking(move || hashes.keep()).await.ok();
    digests
}

/// The digest of what one service is built from; `None` when that cannot be read.
pub(super) async fn digest(project: &Project, service: &str, hashes: &Hashes) -> Option<String> {
    let service = project.any_service(service)?;
    if service.is_on_machine() {
        let (project, service, hashes) = (project.clone(), service.clone(), hashes.clone());
        return tokio::task::spawn_blocking(move || machine_digest(&project, &service, &hashes)).await.ok().flatten();
    }
    inputs_digest(&spec::build(project, service)?, hashes).await.ok()
}

/// The containers that have other files than are on disk now and whose image does not tell.
async fn stale(project: &Arc<Project>, inputs: &BTreeMap<String, String>) -> BTreeSet<ContainerId> {
    if inputs.is_empty() {
        return BTreeSet::new();
    }
    let (project, inputs) = (Arc::clone(project), inputs.clone());
    let read = move || {
        let kept = Standings::of_project(&project.name, &project.directory);
        inputs.iter().flat_map(|(service, inputs)| kept.with_others(service, inputs)).cloned().collect()
    };
    tokio::task::spawn_blocking(read).await.unwrap_or_default()
}

async fn digests(
    project: &Project,
    services: impl IntoIterator<Item = &String>,
    hashes: &Hashes,
) -> BTreeMap<String, String> {
    let digests = services
        .into_iter()
        .map(|service| async move { Some((service.clone(), digest(project, service, hashes).await?)) });
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
    let inputs = inputs(&project, &goal, &Hashes::of_project(&project.directory)).await;
    let observed = engine.observe(&project.name, &wanted(&project)).await?;
    let stale = stale(&project, &inputs).await;
    let initial_syncs = BTreeMap::new();
    let run = RunSetup { project, goal, rules: None, began: now(), inputs, stale, initial_syncs, follow: false };
    State::looking(run, observed).map_err(SetupError::Cycles)
}
