//! A deployment carried out: objects applied wave after wave, the rollout waited for, leftovers removed, and everything
//! put back when that is asked for and the rollout fails.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tokio::time::Instant;

use super::super::error::Error;
use super::super::images::interrupted;
use super::prepare::{Change, Plan, Planned};
use super::show::View;
use super::{Deployment, cannot, counted, jobs};
use crate::deploy::{Apply, DeployError, Rollout};
use crate::release::applyset::{self, GroupKind};
use crate::release::item::{Id, Item};
use crate::release::order::{Wave, is_workload, waves};
use crate::release::owned;
use crate::ui::Style;

/// What has been done so far, for the case that it does not go on.
#[derive(Debug, Default)]
struct Done {
    /// What was applied, oldest first.
    applied: Vec<Id>,
    /// What is being applied.
    now: Option<Id>,
}

/// Why a deployment did not come to its end.
enum Stop {
    /// The cluster refused or went away.
    Error(Error),
    /// The rollout failed.
    Rollout(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Carries a plan out.
pub(super) async fn run(deployment: &Deployment<'_>, plan: Plan, style: Style) -> Result<u8, Error> {
    let mut done = Done::default();
    let workloads: Vec<Id> = plan.planned.iter().map(|planned| planned.item.id.clone()).collect();
    let workloads: Vec<Id> = workloads.into_iter().filter(|id| is_workload(&id.kind)).collect();
    let mut view = View::new(style, &workloads);
    let stopped = {
        let work = all(deployment, &plan, &mut done, &mut view);
        tokio::pin!(work);
        tokio::select! {
            ended = &mut work => Some(ended),
            () = interrupted() => None,
        }
    };
    view.end();
    match stopped {
        None => {
            anstream::eprintln!("interrupted; {}", told(&done));
            Ok(130)
        }
        Some(Ok(())) => {
            anstream::eprintln!("deployed to namespace `{}`", deployment.cluster.namespace());
            Ok(0)
        }
        Some(Err(stop)) => {
            let (message, hint) = match stop {
                Stop::Error(error) => (error.to_string(), error.hint()),
                Stop::Rollout(message) => (message, None),
            };
            if deployment.arguments.atomic && !done.applied.is_empty() {
                let back = put_back(deployment, &plan, &done, style).await;
                return Err(Error::Failed { message: format!("{message}\n{back}"), hint });
            }
            let message = format!("{message}\n{}", told(&done));
            let again = "deploy again when it is mended: what is as it should be is left alone";
            Err(Error::Failed { message, hint: hint.or_else(|| Some(again.into())) })
        }
    }
}

/// What was applied, in a sentence.
fn told(done: &Done) -> String {
    let names: Vec<String> = done.applied.iter().map(Id::to_string).collect();
    let mut text =
        if names.is_empty() { "nothing was applied".to_owned() } else { format!("applied: {}", names.join(", ")) };
    if let Some(now) = &done.now {
        text = format!("{text}; perhaps {now}");
    }
    text
}

async fn all(deployment: &Deployment<'_>, plan: &Plan, done: &mut Done, view: &mut View) -> Result<(), Stop> {
    let cluster = &deployment.cluster;
    if plan.create_namespace {
        cluster.create_namespace().await.map_err(cannot("make the namespace"))?;
    }
    let current: BTreeSet<GroupKind> = plan.planned.iter().map(|planned| GroupKind::of(&planned.item.id)).collect();
    write_parent(deployment, &current.union(&plan.kinds).cloned().collect()).await?;
    let planned: BTreeMap<&Id, &Planned> = plan.planned.iter().map(|planned| (&planned.item.id, planned)).collect();
    let items: Vec<Item> = plan.planned.iter().map(|planned| planned.item.clone()).collect();
    let mut workloads = Vec::new();
    let pods = pods_of(&items);
    for Wave { items, jobs } in waves(items, &jobs(deployment.project)) {
        for item in &items {
            if let Some(planned) = planned.get(&item.id) {
                apply(deployment, planned, done, view).await?;
            }
        }
        workloads.extend(items.into_iter().map(|item| item.id).filter(|id| is_workload(&id.kind)));
        if !jobs.is_empty() {
            roll_out(deployment, &jobs, &pods, view).await?;
        }
    }
    if !workloads.is_empty() {
        roll_out(deployment, &workloads, &pods, view).await?;
    }
    for object in &plan.pruned {
        let id = Id::of(object);
        cluster.delete(&id, object["metadata"]["uid"].as_str()).await.map_err(cannot(format_args!("remove {id}")))?;
        view.say(&format!("{id} removed\n"));
    }
    let kept = plan.kinds.iter().filter(|kind| kind.kind == "PersistentVolumeClaim");
    write_parent(deployment, &current.iter().chain(kept).cloned().collect()).await?;
    Ok(())
}

async fn write_parent(deployment: &Deployment<'_>, kinds: &BTreeSet<GroupKind>) -> Result<(), Error> {
    let body = applyset::parent(&deployment.parent, &deployment.set, &deployment.project.name, kinds);
    let how = Apply { dry_run: false, force: true };
    let written = deployment.cluster.apply(&deployment.parent, &body, how).await;
    written.map(drop).map_err(cannot("write down what is deployed"))
}

async fn apply(deployment: &Deployment<'_>, planned: &Planned, done: &mut Done, view: &View) -> Result<(), Error> {
    let (cluster, id) = (&deployment.cluster, &planned.item.id);
    if matches!(planned.change, Change::Same | Change::Leave) {
        return Ok(());
    }
    done.now = Some(id.clone());
    if planned.change == Change::Replace {
        let uid = planned.live.as_ref().and_then(|live| live["metadata"]["uid"].as_str()).unwrap_or_default();
        let failed = || cannot(format!("remove the old {id}"));
        cluster.delete(id, Some(uid)).await.map_err(failed())?;
        cluster.gone(id, uid, deployment.arguments.place.timeout).await.map_err(failed())?;
    }
    let how = Apply { dry_run: false, force: planned.force };
    cluster.apply(id, &planned.item.body, how).await.map_err(cannot(format_args!("apply {id}")))?;
    done.now = None;
    done.applied.push(id.clone());
    let word = match planned.change {
        Change::Create => "created",
        Change::Replace => "replaced",
        _ => "changed",
    };
    view.say(&format!("{id} {word}\n"));
    Ok(())
}

/// The labels of the pods of all workloads.
fn pods_of(items: &[Item]) -> String {
    let label = "app.kubernetes.io/part-of";
    let found = items.iter().find_map(|item| {
        let templates = ["/spec/template", "/spec/jobTemplate/spec/template"];
        let template = templates.iter().find_map(|path| item.body.pointer(path))?;
        template["metadata"]["labels"][label].as_str().map(str::to_owned)
    });
    found.map(|project| format!("{label}={project}")).unwrap_or_default()
}

async fn roll_out(deployment: &Deployment<'_>, workloads: &[Id], pods: &str, view: &mut View) -> Result<(), Stop> {
    let set = format!("{}={}", applyset::PART_OF, deployment.set);
    let deadline = Instant::now() + deployment.arguments.place.timeout;
    let mut tell = |picture: &_| view.show(picture);
    let ended = deployment.cluster.rollout(workloads, &set, pods, deadline, &mut tell).await;
    let timeout = deployment.arguments.place.timeout.as_secs();
    match ended.map_err(cannot("watch the rollout"))? {
        Rollout::Ready => Ok(()),
        Rollout::Failed(ids) => Err(Stop::Rollout(format!("the rollout failed: {}", named(&ids)))),
        Rollout::Late(ids) => Err(Stop::Rollout(format!("not ready after {timeout} s: {}", named(&ids)))),
    }
}

fn named(ids: &[Id]) -> String {
    ids.iter().map(Id::to_string).collect::<Vec<_>>().join(", ")
}

/// Puts everything back as it was: what is new is removed, what was hoist's before is applied again. Returns what came of
/// it, in words.
async fn put_back(deployment: &Deployment<'_>, plan: &Plan, done: &Done, style: Style) -> String {
    let (mut back, mut failed) = (Vec::new(), Vec::new());
    let planned = |id: &Id| plan.planned.iter().find(|planned| planned.item.id == *id);
    for id in done.applied.iter().chain(&done.now).rev() {
        let Some(planned) = planned(id) else { continue };
        match put_one_back(deployment, planned).await {
            Ok(true) => back.push(id.clone()),
            Ok(false) => failed.push(format!("{id}: it was not hoist's before, or has run")),
            Err(error) => failed.push(format!("{id}: {error}")),
        }
    }
    let workloads: Vec<Id> = back
        .iter()
        .filter(|id| is_workload(&id.kind) && planned(id).is_some_and(|planned| planned.live.is_some()))
        .cloned()
        .collect();
    let mut text = format!("{} put back as before", counted(back.len(), "object"));
    if !workloads.is_empty() {
        let items: Vec<Item> = plan.planned.iter().map(|planned| planned.item.clone()).collect();
        let mut view = View::new(style, &workloads);
        let ready = roll_out(deployment, &workloads, &pods_of(&items), &mut view).await;
        view.end();
        text.push_str(if ready.is_ok() { ", and ready again" } else { ", and not ready" });
    }
    if !failed.is_empty() {
        text = format!("{text}; left as it is: {}", failed.join(", "));
    }
    text
}

/// Puts one object back; whether that can be done.
async fn put_one_back(deployment: &Deployment<'_>, planned: &Planned) -> Result<bool, DeployError> {
    let (cluster, id) = (&deployment.cluster, &planned.item.id);
    match &planned.live {
        None => cluster.delete(id, None).await.map(|()| true),
        Some(_) if planned.change == Change::Replace => Ok(false),
        Some(live) => match owned::applied(live) {
            None => Ok(false),
            Some(before) => {
                let how = Apply { dry_run: false, force: true };
                cluster.apply(id, &before, how).await.map(|_: Value| true)
            }
        },
    }
}
