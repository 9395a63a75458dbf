//! `hoist deploy down`: everything of the project out of the cluster.

use std::collections::BTreeSet;

use clap::Args;
use serde_json::Value;
use tokio::time::Instant;

use super::super::error::Error;
use super::super::global::Global;
use super::super::images::interrupted;
use super::super::session;
use super::{Place, cannot, connect, counted};
use crate::deploy::Cluster;
use crate::release::applyset::{self, GroupKind, Parent};
use crate::release::item::Id;
use crate::release::order::is_workload;

/// Remove everything that was deployed
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The namespace that it was deployed to; that of the context when none is named
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Remove volumes too, with their data
    #[arg(long)]
    volumes: bool,
}

impl Arguments {
    /// The namespace that is asked for, before or after the word `down`.
    pub(super) fn namespace<'a>(&'a self, above: &'a super::Arguments) -> Option<&'a str> {
        self.namespace.as_deref().or_else(|| above.objects.namespace())
    }
}

/// Runs the command.
pub(super) async fn run(
    global: &Global,
    place: &Place,
    namespace: Option<&str>,
    arguments: &Arguments,
) -> Result<u8, Error> {
    let project = session::outline(global)?.name;
    let own = session::loaded_quietly(global).and_then(|project| project.kubernetes.namespace);
    let cluster = connect(place, namespace.or(own.as_deref())).await?;
    let parent = applyset::parent_id(&project);
    let set = applyset::id(&parent, cluster.namespace());
    let namespace = cluster.namespace().to_owned();
    let Some(there) = cluster.get(&parent).await.map_err(cannot("read what was deployed"))? else {
        anstream::eprintln!("nothing of `{project}` is deployed to namespace `{namespace}`");
        return Ok(0);
    };
    let kinds = match applyset::read(&there, &set) {
        Parent::Ours(kinds) => kinds,
        Parent::Foreign(tool) => return Err(Error::failed(format!("{parent} belongs to {tool}"))),
    };
    let mut members = members(&cluster, &kinds, &set).await?;
    let kept = members.iter().filter(|object| is_volume(object)).count();
    if !arguments.volumes {
        members.retain(|object| !is_volume(object));
    }
    // What runs goes first, so that nothing misses what it reads.
    members.sort_by_key(|object| {
        let id = Id::of(object);
        (!is_workload(&id.kind), id)
    });
    let mut removed = Vec::new();
    let ended = tokio::select! {
        ended = remove(&cluster, &members, place, &mut removed) => Some(ended),
        () = interrupted() => None,
    };
    match ended {
        None => {
            anstream::eprintln!("interrupted; {} of {} removed", removed.len(), counted(members.len(), "object"));
            return Ok(130);
        }
        Some(ended) => ended?,
    }
    if kept > 0 && !arguments.volumes {
        let stay = if kept == 1 { "1 volume stays".to_owned() } else { format!("{kept} volumes stay") };
        anstream::eprintln!("{stay}, with what is in it; `hoist deploy down --volumes` removes it");
    } else {
        cluster
            .delete(&parent, there["metadata"]["uid"].as_str())
            .await
            .map_err(cannot(format_args!("remove {parent}")))?;
    }
    anstream::eprintln!("{} removed from namespace `{namespace}`", counted(removed.len(), "object"));
    Ok(0)
}

fn is_volume(object: &Value) -> bool {
    object["kind"] == "PersistentVolumeClaim"
}

async fn members(cluster: &Cluster, kinds: &BTreeSet<GroupKind>, set: &str) -> Result<Vec<Value>, Error> {
    let mut members = Vec::new();
    let labels = format!("{}={set}", applyset::PART_OF);
    for kind in kinds {
        let listed = cluster.list(&super::prepare::version_of(kind), &labels).await;
        members.extend(listed.map_err(cannot(format_args!("list what is there of {kind}")))?);
    }
    let volumes = volumes_of_sets(cluster, &members).await?;
    members.extend(volumes);
    Ok(members)
}

/// The volumes that the cluster has made for the pods of `StatefulSet`s: they carry the labels of the pods.
async fn volumes_of_sets(cluster: &Cluster, members: &[Value]) -> Result<Vec<Value>, Error> {
    let claim = super::prepare::version_of(&GroupKind { kind: "PersistentVolumeClaim".into(), group: String::new() });
    let mut volumes = Vec::new();
    for set in members.iter().filter(|object| object["kind"] == "StatefulSet") {
        let selector = set["spec"]["selector"]["matchLabels"].as_object();
        let labels =
            selector.into_iter().flatten().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
        let labels: Vec<String> = labels.collect();
        let names = set["spec"]["volumeClaimTemplates"].as_array();
        let mut names = names.into_iter().flatten().filter_map(|claim| claim["metadata"]["name"].as_str()).peekable();
        if labels.is_empty() || names.peek().is_none() {
            continue;
        }
        let own = format!("-{}-", set["metadata"]["name"].as_str().unwrap_or_default());
        let prefixes: Vec<String> = names.map(|name| format!("{name}{own}")).collect();
        let listed = cluster.list(&claim, &labels.join(",")).await.map_err(cannot("list volumes"))?;
        volumes.extend(listed.into_iter().filter(|volume| {
            let name = volume["metadata"]["name"].as_str().unwrap_or_default();
            prefixes.iter().any(|prefix| name.starts_with(prefix))
        }));
    }
    Ok(volumes)
}

async fn remove(cluster: &Cluster, members: &[Value], place: &Place, removed: &mut Vec<Id>) -> Result<(), Error> {
    let end = Instant::now() + place.timeout;
    for object in members {
        let (id, uid) = (Id::of(object), object["metadata"]["uid"].as_str());
        cluster.delete(&id, uid).await.map_err(cannot(format_args!("remove {id}")))?;
        anstream::eprintln!("{id} removed");
        removed.push(id);
    }
    for object in members {
        let (id, uid) = (Id::of(object), object["metadata"]["uid"].as_str().unwrap_or_default());
        let left = end.saturating_duration_since(Instant::now());
        cluster.gone(&id, uid, left).await.map_err(cannot(format_args!("wait for the end of {id}")))?;
    }
    Ok(())
}
