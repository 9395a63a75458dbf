//! What a deployment would do, found out without doing any of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use futures_util::{StreamExt as _, stream};
use serde_json::Value;

use super::super::error::Error;
use super::{Deployment, cannot, counted, external};
use crate::deploy::{Apply, DeployError};
use crate::export::Export;
use crate::release::applyset::{self, GroupKind, Parent};
use crate::release::item::{Id, Item};
use crate::release::{change, owned, secret};

/// How many objects are looked at at once.
const PARALLEL: usize = 8;

/// What becomes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It is made.
    Create,
    /// Some of its fields change.
    Update,
    /// It cannot be changed, and is made anew: a Job.
    Replace,
    /// It is as it should be.
    Same,
    /// Somebody else looks after it.
    Leave,
}

/// What becomes of one object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Planned {
    pub(super) item: Item,
    /// What the cluster has.
    pub(super) live: Option<Value>,
    /// What it would have.
    after: Value,
    pub(super) change: Change,
    /// Fields of others are taken over.
    pub(super) force: bool,
}

/// What a deployment would do.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    pub(super) planned: Vec<Planned>,
    /// What the project no longer has.
    pub(super) pruned: Vec<Value>,
    /// Volumes that it no longer has, and that stay.
    kept: Vec<Id>,
    /// The kinds that the set had members of before.
    pub(super) kinds: BTreeSet<GroupKind>,
    /// The namespace is to be made.
    pub(super) create_namespace: bool,
}

impl Plan {
    /// Whether nothing would change.
    pub(super) fn is_empty(&self) -> bool {
        self.planned.iter().all(|planned| matches!(planned.change, Change::Same | Change::Leave))
            && self.pruned.is_empty()
    }

    /// What would happen, for people.
    pub(super) fn summary(&self, deployment: &Deployment<'_>) -> String {
        let cluster = &deployment.cluster;
        let mut text = format!("namespace `{}` of {}\n", cluster.namespace(), cluster.address());
        if self.create_namespace {
            let _ = writeln!(text, "  create  Namespace `{}`", cluster.namespace());
        }
        for planned in &self.planned {
            let word = match planned.change {
                Change::Create => "create",
                Change::Update => "change",
                Change::Replace => "replace",
                Change::Leave => "leave",
                Change::Same => continue,
            };
            let note = if planned.change == Change::Leave { ", which somebody else supplies" } else { "" };
            let _ = writeln!(text, "  {word:<7} {}{note}", planned.item.id);
        }
        for object in &self.pruned {
            let _ = writeln!(text, "  remove  {}", Id::of(object));
        }
        for id in &self.kept {
            let _ = writeln!(text, "  keep    {id}, which the project no longer has, for its data (`--prune-volumes`)");
        }
        let same = self.planned.iter().filter(|planned| planned.change == Change::Same).count();
        if same > 0 {
            let _ =
                writeln!(text, "  {} as {} should be", counted(same, "object"), if same == 1 { "it" } else { "they" });
        }
        text
    }

    /// What would change, as diffs.
    pub(super) fn diff(&self) -> String {
        let mut text = String::new();
        for planned in self.planned.iter().filter(|planned| planned.change != Change::Leave) {
            text.push_str(&change::diff(&planned.item.id, planned.live.as_ref(), Some(&planned.after)));
        }
        for object in &self.pruned {
            text.push_str(&change::diff(&Id::of(object), Some(object), None));
        }
        text
    }
}

/// Finds out what a deployment would do. All that is in its way is told at once.
pub(super) async fn plan(deployment: &Deployment<'_>, export: &Export, items: Vec<Item>) -> Result<Plan, Error> {
    let cluster = &deployment.cluster;
    let has_namespace = cluster.has_namespace().await.map_err(cannot("look at the cluster"))?;
    let create_namespace = has_namespace == Some(false);
    let kinds = read_parent(deployment, create_namespace).await?;
    let looked = stream::iter(items)
        .map(|item| async move {
            let live = if create_namespace { Ok(None) } else { cluster.get(&item.id).await };
            (item, live)
        })
        .buffered(PARALLEL)
        .collect::<Vec<_>>()
        .await;
    let mut found = Vec::new();
    for (item, live) in looked {
        let live = live.map_err(cannot(format_args!("read {}", item.id)))?;
        found.push((item, live));
    }
    let missing = missing_externals(deployment, export, create_namespace).await?;
    let (planned, missing, foreign) = settle(deployment, found, missing);
    if !missing.is_empty() {
        return Err(unsupplied(deployment, &missing));
    }
    if !foreign.is_empty() {
        return Err(Error::Failed {
            message: format!(
                "the namespace has objects of the same names that others have made:\n  {}",
                foreign.join("\n  ")
            ),
            hint: Some("deploy into another namespace with `-n`, or take them over with `--adopt`".into()),
        });
    }
    let planned = try_out(deployment, planned, create_namespace).await?;
    let (pruned, kept) = leftovers(deployment, &planned, &kinds).await?;
    Ok(Plan { planned, pruned, kept, kinds, create_namespace })
}

/// The kinds that the set has members of so far.
async fn read_parent(deployment: &Deployment<'_>, no_namespace: bool) -> Result<BTreeSet<GroupKind>, Error> {
    if no_namespace {
        return Ok(BTreeSet::new());
    }
    let parent = deployment.cluster.get(&deployment.parent).await.map_err(cannot("read what was deployed"))?;
    match parent.map(|parent| applyset::read(&parent, &deployment.set)) {
        None => Ok(BTreeSet::new()),
        Some(Parent::Ours(kinds)) => Ok(kinds),
        Some(Parent::Foreign(tool)) => Err(Error::Failed {
            message: format!("{} is there, and belongs to {tool}", deployment.parent),
            hint: Some("give the project another name with `-p`, or deploy into another namespace with `-n`".into()),
        }),
    }
}

type Found = (Item, Option<Value>);
type Missing = BTreeMap<String, Vec<String>>;

/// Sorts what was found: what is applied, what nobody has supplied, and what others have made.
fn settle(
    deployment: &Deployment<'_>,
    found: Vec<Found>,
    mut missing: Missing,
) -> (Vec<Planned>, Missing, Vec<String>) {
    let (mut planned, mut foreign) = (Vec::new(), Vec::new());
    for (item, live) in found {
        let id = item.id.clone();
        let leave =
            Planned { item: item.clone(), live: live.clone(), after: Value::Null, change: Change::Leave, force: false };
        let item = match secret::settle(item, live.as_ref(), &deployment.set) {
            Ok(secret::Settled::Apply(item)) => item,
            Ok(secret::Settled::Leave) => {
                planned.push(leave);
                continue;
            }
            Err(keys) => {
                missing.insert(id.to_string(), keys);
                continue;
            }
        };
        let set = live.as_ref().map(|live| applyset::set_of(live).map(str::to_owned));
        let force = match set {
            None => false,
            Some(Some(set)) if set == deployment.set => deployment.arguments.force_conflicts,
            Some(None) if deployment.arguments.adopt => true,
            Some(set) => {
                let by = live.as_ref().map(owned::managers).unwrap_or_default();
                let by = if by.is_empty() { String::new() } else { format!(", made by {}", by.join(", ")) };
                let set = set.map(|set| format!(", of the set `{set}`")).unwrap_or_default();
                foreign.push(format!("{id}{by}{set}"));
                continue;
            }
        };
        planned.push(Planned { item, live, after: Value::Null, change: Change::Create, force });
    }
    (planned, missing, foreign)
}

/// What the project expects somebody else to have made, and nobody has.
async fn missing_externals(deployment: &Deployment<'_>, export: &Export, no_namespace: bool) -> Result<Missing, Error> {
    let mut missing = Missing::new();
    for id in external(export) {
        let there =
            !no_namespace && deployment.cluster.get(&id).await.map_err(cannot(format_args!("read {id}")))?.is_some();
        if !there {
            missing.insert(id.to_string(), Vec::new());
        }
    }
    Ok(missing)
}

fn unsupplied(deployment: &Deployment<'_>, missing: &Missing) -> Error {
    let mut message = "somebody has to supply these first:".to_owned();
    for (object, keys) in missing {
        let keys = if keys.is_empty() { String::new() } else { format!(": {}", keys.join(", ")) };
        let _ = write!(message, "\n  {object}{keys}");
    }
    let secret = missing.iter().find(|(object, keys)| object.starts_with("Secret") && !keys.is_empty());
    let hint = secret.map(|(object, keys)| {
        let name = object.split('`').nth(1).unwrap_or_default();
        let literals: Vec<String> = keys.iter().map(|key| format!("--from-literal={key}=…")).collect();
        let namespace = deployment.cluster.namespace();
        format!(
            "`kubectl -n {namespace} create secret generic {name} {}`, or `--secrets values` for the values of this machine",
            literals.join(" ")
        )
    });
    Error::Failed { message, hint }
}

/// Has the cluster say what would come of every apply.
async fn try_out(
    deployment: &Deployment<'_>,
    planned: Vec<Planned>,
    no_namespace: bool,
) -> Result<Vec<Planned>, Error> {
    let tried = stream::iter(planned).map(|planned| try_one(deployment, planned, no_namespace));
    let tried: Vec<_> = tried.buffered(PARALLEL).collect().await;
    let (mut good, mut refused, mut claimed) = (Vec::new(), Vec::new(), false);
    for (planned, problem) in tried {
        match problem {
            None => good.push(planned),
            Some(error @ DeployError::Unreachable { .. }) => {
                return Err(cannot(format_args!("try {}", planned.item.id))(error));
            }
            Some(error) => {
                claimed |= matches!(error, DeployError::Claimed { .. });
                refused.push(format!("{}: {error}", planned.item.id));
            }
        }
    }
    if refused.is_empty() {
        return Ok(good);
    }
    let hint = claimed.then(|| "`--force-conflicts` takes over fields that others have set".to_owned());
    Err(Error::Failed { message: format!("the cluster would refuse:\n  {}", refused.join("\n  ")), hint })
}

async fn try_one(
    deployment: &Deployment<'_>,
    mut planned: Planned,
    no_namespace: bool,
) -> (Planned, Option<DeployError>) {
    if planned.change == Change::Leave {
        return (planned, None);
    }
    if no_namespace {
        planned.after = planned.item.body.clone();
        return (planned, None);
    }
    let how = Apply { dry_run: true, force: planned.force };
    match deployment.cluster.apply(&planned.item.id, &planned.item.body, how).await {
        Ok(after) => {
            planned.change = match &planned.live {
                None => Change::Create,
                Some(live) if change::is_same(live, &after) => Change::Same,
                Some(_) => Change::Update,
            };
            planned.after = after;
            (planned, None)
        }
        // What a Job runs cannot be changed, and a Job that has run holds nothing.
        Err(DeployError::Immutable { .. }) if planned.item.id.kind == "Job" => {
            planned.change = Change::Replace;
            planned.after = planned.item.body.clone();
            (planned, None)
        }
        Err(error) => (planned, Some(error)),
    }
}

/// Members of the set that the project no longer has: what is removed, and what is kept.
async fn leftovers(
    deployment: &Deployment<'_>,
    planned: &[Planned],
    kinds: &BTreeSet<GroupKind>,
) -> Result<(Vec<Value>, Vec<Id>), Error> {
    let current: BTreeSet<(GroupKind, &str)> =
        planned.iter().map(|planned| (GroupKind::of(&planned.item.id), planned.item.id.name.as_str())).collect();
    let (mut pruned, mut kept) = (Vec::new(), Vec::new());
    for kind in kinds {
        for object in members(deployment, kind).await? {
            let id = Id::of(&object);
            if current.contains(&(kind.clone(), id.name.as_str())) {
                continue;
            }
            if id.kind == "PersistentVolumeClaim" && !deployment.arguments.prune_volumes {
                kept.push(id);
            } else {
                pruned.push(object);
            }
        }
    }
    Ok((pruned, kept))
}

/// The members of the set of a kind.
pub(super) async fn members(deployment: &Deployment<'_>, kind: &GroupKind) -> Result<Vec<Value>, Error> {
    let id = version_of(kind);
    let labels = format!("{}={}", applyset::PART_OF, deployment.set);
    deployment.cluster.list(&id, &labels).await.map_err(cannot(format_args!("list what is there of {kind}")))
}

/// A kind in the version that hoist exports it in.
pub(super) fn version_of(kind: &GroupKind) -> Id {
    let version = match kind.group.as_str() {
        "autoscaling" => "v2",
        "bitnami.com" => "v1alpha1",
        _ => "v1",
    };
    Id { group: kind.group.clone(), version: version.into(), kind: kind.kind.clone(), name: String::new() }
}
