//! `hoist deploy`: the project into a cluster, and out of it.
//!
//! Looks before it acts: what the cluster has is read, what others made is left alone, and the cluster itself says what an
//! apply would change. Then images are pushed, objects applied in the order in which they need each other, the rollout is
//! waited for, and what the project no longer has is removed.

mod down;
mod perform;
mod prepare;
mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::engine::{self, Start};
use super::error::Error;
use super::global::Global;
use super::objects::Objects;
use super::output::print;
use super::{drive, push, session};
use crate::deploy::{Cluster, DeployError};
use crate::export::{Export, Fate};
use crate::project::{Condition, Project};
use crate::release::applyset;
use crate::release::item::{Id, items};

use prepare::Plan;

/// Deploy the project to a cluster
#[derive(Debug, Args)]
#[command(
    subcommand_negates_reqs = true,
    after_help = "\
First the cluster is asked what would change; nothing is done that it would refuse. Then images are pushed, and objects are
applied by server-side apply under the name `hoist`: configuration before what reads it, Jobs before what waits for them.
Objects that others have made are left alone, and so are fields that others have set.

A Secret whose values are placeholders takes none of them to the cluster: what is there stays, and what is missing is listed
before anything is done. `--secrets values` takes the values of this machine.

All objects are members of an apply set (`applyset.kubernetes.io`), by which what the project no longer has is found and
removed. Volumes with data stay until `--prune-volumes` or `hoist deploy down --volumes`."
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    objects: Objects,
    /// Show what would change, and do nothing
    #[arg(long)]
    diff: bool,
    /// Have the cluster check everything, and do nothing
    #[arg(long, value_name = "WHERE", num_args = 0..=1, default_missing_value = "server", require_equals = true, hide_possible_values = true)]
    dry_run: Option<DryRun>,
    /// Do not ask before applying on a terminal
    #[arg(short, long)]
    yes: bool,
    /// Push no images: they are in the registry already
    #[arg(long)]
    no_push: bool,
    /// Put everything back as it was when the rollout fails
    #[arg(long)]
    atomic: bool,
    /// Take over objects of the same names that others have made
    #[arg(long)]
    adopt: bool,
    /// Take over fields that others have set
    #[arg(long)]
    force_conflicts: bool,
    /// Remove volumes too that the project no longer has, with their data
    #[arg(long)]
    prune_volumes: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Remove everything that was deployed
    Down(down::Arguments),
}

/// Which cluster, and how long things may take.
#[derive(Debug, Clone, Args)]
struct Place {
    /// Context of the kubeconfig; the current one when none is named
    #[arg(long, value_name = "CONTEXT", global = true)]
    context: Option<String>,
    /// How long Jobs that others wait for, and then all the rest, may take to be ready: `90s`, `5m`
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration, global = true)]
    timeout: Duration,
}

/// Who checks without doing anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DryRun {
    /// The cluster.
    Server,
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::manifest::duration(text).map_err(|error| error.replace('\n', ", "))
}

/// Everything that a deployment needs to know.
struct Deployment<'a> {
    cluster: Cluster,
    project: &'a Project,
    parent: Id,
    /// The identity of the project's apply set.
    set: String,
    arguments: &'a Arguments,
}

/// Runs the command.
pub(super) async fn run(global: &Global, mut arguments: Arguments) -> Result<u8, Error> {
    if let Some(Command::Down(down)) = &arguments.command {
        return down::run(global, &arguments.place, down.namespace(&arguments), down).await;
    }
    let project = session::load_for_cluster(global)?.project;
    let namespace = arguments.objects.namespace().or(project.kubernetes.namespace.as_deref());
    let cluster = connect(&arguments.place, namespace).await?;
    arguments.objects.within(cluster.namespace());
    arguments.objects.learn(global, &project).await?;
    let export = arguments.objects.make(global, &project).await?;
    anstream::eprint!("{}", losses(&export));
    let parent = applyset::parent_id(&project.name);
    let set = applyset::id(&parent, cluster.namespace());
    let deployment = Deployment { cluster, project: &project, parent, set, arguments: &arguments };
    let plan = prepare::plan(&deployment, &export, items(&export.objects, &deployment.set)).await?;
    anstream::eprint!("{}", plan.summary(&deployment));
    if arguments.diff {
        print(&plan.diff())?;
        return Ok(0);
    }
    if arguments.dry_run.is_some() {
        anstream::eprintln!("the cluster accepts all of it; nothing was done");
        return Ok(0);
    }
    if !confirmed(&plan, arguments.yes)? {
        return Err(Error::failed("nothing was done"));
    }
    if !arguments.no_push && !export.images.is_empty() {
        let docker = engine::connect(global, Some(&project), Start::Allowed).await?;
        if push::perform(&docker, &project, &export.images, true, &drive::options(global)).await?.is_none() {
            anstream::eprintln!("interrupted; nothing was applied");
            return Ok(130);
        }
    }
    perform::run(&deployment, plan, drive::options(global).style).await
}

async fn connect(place: &Place, namespace: Option<&str>) -> Result<Cluster, Error> {
    let connected = Cluster::connect(place.context.as_deref(), namespace).await;
    connected.map_err(|error| {
        let known = crate::deploy::contexts().unwrap_or_default();
        let hint = match &place.context {
            _ if known.is_empty() => "`KUBECONFIG` or `~/.kube/config` says where clusters are".to_owned(),
            Some(context) => match super::error::nearest(context, &known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the contexts are `{}`", known.join("`, `")),
            },
            None => format!("name one of the contexts with `--context`: `{}`", known.join("`, `")),
        };
        Error::Failed { message: format!("cannot reach a cluster: {error}"), hint: Some(hint) }
    })
}

/// That not all of the manifest goes to the cluster, in a line.
fn losses(export: &Export) -> String {
    let dropped = export.losses.iter().filter(|loss| loss.fate == Fate::Dropped).count();
    match dropped {
        0 => String::new(),
        count => {
            let does = if count == 1 { "does" } else { "do" };
            format!(
                "{} of the manifest {does} not go to a cluster; `hoist export kubernetes` lists them\n",
                counted(count, "attribute")
            )
        }
    }
}

/// Wraps a cluster's refusal; `action` completes "cannot …".
fn cannot(action: impl std::fmt::Display) -> impl FnOnce(DeployError) -> Error {
    move |error| {
        let hint = match &error {
            DeployError::Unreachable { .. } => Some("see whether `kubectl get nodes` answers".to_owned()),
            DeployError::Forbidden { .. } => Some("ask for the rights of the role `admin` in the namespace".to_owned()),
            DeployError::Claimed { .. } => Some("`--force-conflicts` takes the fields over".to_owned()),
            _ => None,
        };
        Error::Failed { message: format!("cannot {action}: {error}"), hint }
    }
}

/// Asks the person, when there is one to ask.
fn confirmed(plan: &Plan, yes: bool) -> Result<bool, Error> {
    let is_there = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if yes || !is_there || plan.is_empty() {
        return Ok(true);
    }
    loop {
        anstream::eprint!("apply? [y/N, d shows the difference] ");
        std::io::stderr().flush().map_err(Error::io("ask"))?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map_err(Error::io("read the answer"))?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => return Ok(true),
            "d" | "diff" => anstream::eprint!("{}", plan.diff()),
            _ => return Ok(false),
        }
    }
}

/// For each service the services that it waits for until they have ended, by the names that they have in the cluster.
fn jobs(project: &Project) -> BTreeMap<String, BTreeSet<String>> {
    let names = crate::export::service_names(project);
    let name = |service: &str| names.get(service).cloned().unwrap_or_default();
    let of = |service: &crate::project::Service| {
        let needed = service.depends_on.iter().filter(|(_, needed)| needed.condition == Condition::Completed);
        (name(&service.name), needed.map(|(job, _)| name(job)).collect())
    };
    project.services.values().map(of).filter(|(_, jobs): &(_, BTreeSet<String>)| !jobs.is_empty()).collect()
}

/// What somebody has to make in the namespace before: objects that the export refers to and does not hold.
fn external(export: &Export) -> Vec<Id> {
    let version = || "v1".to_owned();
    let one = |reference: &crate::export::Reference| Id {
        group: String::new(),
        version: version(),
        kind: reference.kind.as_str().to_owned(),
        name: reference.name.clone(),
    };
    // These a cluster makes by itself in every namespace.
    let given = ["kube-root-ca.crt", "default"];
    export.external.iter().map(one).filter(|id| !given.contains(&id.name.as_str())).collect()
}

/// `1 object`, `2 objects`.
fn counted(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}
