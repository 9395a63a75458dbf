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
use crate::ui::Style;

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
    let specs: Vec<BuildSpec> = services
        .iter()
        .filter_map(|name| spec::build(&project, project.services.get(name)?))
        .map(|mut spec| {
            spec.pull = arguments.pull;
            spec.no_cache = arguments.no_cache;
            spec.build.args.extend(build_args.clone());
            spec
        })
        .collect();
    if specs.is_empty() {
        anstream::eprintln!("nothing to build: no service has a `build`");
        return Ok(0);
    }
    let docker = engine::connect(global, Some(&project), Start::Allowed).await?;
    let jobs = specs.into_iter().map(|spec| job(docker.clone(), spec)).collect();
    let mut options = drive::options(global);
    if arguments.quiet {
        options.style = Style::Quiet;
    }
    Ok(match images::perform(&project, jobs, &options).await {
        Ended::Well => 0,
        Ended::Badly(_) => 1,
        Ended::Interrupted => 130,
    })
}

/// The work on one image.
pub(super) fn job(docker: Docker, spec: BuildSpec) -> Job {
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
