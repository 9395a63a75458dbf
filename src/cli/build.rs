//! `hoist build`: builds the images of services.

use std::collections::BTreeMap;

use clap::Args;

use super::engine::{self, Start};
use super::error::Error;
use super::global::Global;
use super::images::{self, Ended, Job};
use super::{drive, session};
use crate::engine::Engine as _;
use crate::engine::docker::Docker;
use crate::plan::operation::Operation;
use crate::plan::spec::{self, BuildSpec};
use crate::project::{Build, Project, Service};
use crate::ui::{Options, Style};

/// Build images
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
    /// Build argument; repeat for several
    #[arg(long = "build-arg", value_name = "KEY=VALUE")]
    pub(super) build_args: Vec<String>,
    /// Use no cache
    #[arg(long)]
    pub(super) no_cache: bool,
    /// Look for newer base images
    #[arg(long)]
    pub(super) pull: bool,
    /// Show no output of the builds
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Build the services too that the named ones need
    #[arg(long)]
    pub(super) with_dependencies: bool,
}

/// Runs the command.
pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<u8, Error> {
    let project = session::load(global, &arguments.services)?.project;
    let services = if arguments.with_dependencies {
        session::select_with_dependencies(&project, &arguments.services)?
    } else {
        session::select(&project, &arguments.services)?
    };
    let build_args: BTreeMap<String, Option<String>> = arguments.build_args.iter().map(|text| variable(text)).collect();
    let rounds = rounds(&project, services.iter().map(String::as_str))?;
    if rounds.is_empty() {
        anstream::eprintln!("nothing to build: no service has a `build`");
        return Ok(0);
    }
    let docker = engine::connect(global, Some(&project), Start::Allowed).await?;
    let mut options = drive::options(global);
    if arguments.quiet {
        options.style = Style::Quiet;
    }
    let change = |spec: &mut BuildSpec| {
        spec.pull = arguments.pull;
        spec.no_cache = arguments.no_cache;
        spec.build.args.extend(build_args.clone());
    };
    Ok(match perform(&docker, &project, rounds, &options, change).await {
        Ended::Well => 0,
        Ended::Badly(_) => 1,
        Ended::Interrupted => 130,
    })
}

/// Builds round after round; one that fails is the last.
pub(super) async fn perform(
    docker: &Docker,
    project: &Project,
    rounds: Vec<Vec<&Service>>,
    options: &Options,
    change: impl Fn(&mut BuildSpec),
) -> Ended {
    for round in rounds {
        let jobs = round.into_iter().filter_map(|service| spec::build(project, service)).map(|mut spec| {
            change(&mut spec);
            job(docker.clone(), spec)
        });
        let ended = images::perform(project, jobs.collect(), options).await;
        if ended != Ended::Well {
            return ended;
        }
    }
    Ended::Well
}

/// The services that are built, those that others are made with among them, in rounds: each is made with what the rounds
/// before it have built.
pub(super) fn rounds<'a>(
    project: &'a Project,
    services: impl Iterator<Item = &'a str>,
) -> Result<Vec<Vec<&'a Service>>, Error> {
    let mut left: BTreeMap<&str, &Service> = BTreeMap::new();
    let mut wanted: Vec<&str> = services.collect();
    while let Some(name) = wanted.pop() {
        let service = project.any_service(name).filter(|service| service.build.is_some());
        if let Some(service) = service
            && left.insert(name, service).is_none()
        {
            wanted.extend(service.build.iter().flat_map(Build::bases));
        }
    }
    let mut rounds = Vec::new();
    while !left.is_empty() {
        let waits =
            |service: &&Service| service.build.iter().flat_map(Build::bases).any(|base| left.contains_key(base));
        let round: Vec<&Service> = left.values().copied().filter(|service| !waits(service)).collect();
        if round.is_empty() {
            let names = left.keys().copied().collect::<Vec<_>>().join("`, `");
            return Err(Error::failed(format!("the images of `{names}` are to be built with each other")));
        }
        left.retain(|name, _| !round.iter().any(|service| service.name == *name));
        rounds.push(round);
    }
    Ok(rounds)
}

/// The work on one image.
fn job(docker: Docker, spec: BuildSpec) -> Job {
    let operation = Operation::Build { service: spec.service.clone(), generation: 0 };
    let perform = move |progress, cancel| -> futures_util::future::BoxFuture<'static, _> {
        Box::pin(async move { docker.build(&spec, progress, cancel).await })
    };
    Job { operation, perform: Box::new(perform) }
}

/// Reads `KEY=VALUE`; a bare `KEY` takes the value that it has here.
pub(super) fn variable(text: &str) -> (String, Option<String>) {
    match text.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (text.to_owned(), std::env::var(text).ok()),
    }
}
