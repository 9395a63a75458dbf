//! `hoist pull`: pulls the images of services.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};

use super::engine::{self, Start};
use super::error::Error;
use super::global::Global;
use super::images::{self, Ended, Job};
use super::{drive, session};
use crate::engine::Engine as _;
use crate::engine::docker::Docker;
use crate::plan::operation::Operation;
use crate::project::Service;
use crate::ui::Style;

/// Pull images
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
    /// Show no progress
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Leave out the services that have a `build`
    #[arg(long)]
    pub(super) ignore_buildable: bool,
    /// Succeed even where an image cannot be pulled
    #[arg(long)]
    pub(super) ignore_pull_failures: bool,
    /// Pull for the services too that the named ones need
    #[arg(long)]
    pub(super) include_deps: bool,
    /// Pull always, or only what is missing
    #[arg(long, value_name = "WHEN", default_value = "always", hide_default_value = true)]
    pub(super) policy: Policy,
}

/// Runs the command.
pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<u8, Error> {
    let project = session::load(global, &arguments.services)?.project;
    let services = if arguments.include_deps {
        session::select_with_dependencies(&project, &arguments.services)?
    } else {
        session::select(&project, &arguments.services)?
    };
    let docker = engine::connect(global, Some(&project), Start::Allowed).await?;
    // Two services with the same image are one pull.
    let mut wanted: BTreeMap<(String, Option<String>), &Service> = BTreeMap::new();
    for service in services.iter().filter_map(|name| project.services.get(name)) {
        let Some(image) = service.image.as_ref().filter(|_| !service.is_on_machine()) else { continue };
        let buildable = service.build.is_some() && arguments.ignore_buildable;
        let known = arguments.policy == Policy::Missing
            && docker.image(image).await.map_err(Error::engine(format!("look for image `{image}`")))?.is_some();
        if !buildable && !known {
            wanted.entry((image.clone(), service.platform.clone())).or_insert(service);
        }
    }
    if wanted.is_empty() {
        anstream::eprintln!("nothing to pull");
        return Ok(0);
    }
    let jobs = wanted
        .into_iter()
        .map(|((image, platform), service)| job(docker.clone(), service.name.clone(), image, platform))
        .collect();
    let mut options = drive::options(global);
    if arguments.quiet {
        options.style = Style::Quiet;
    }
    Ok(match images::perform(&project, jobs, &options).await {
        Ended::Badly(_) if arguments.ignore_pull_failures => 0,
        Ended::Well => 0,
        Ended::Badly(_) => 1,
        Ended::Interrupted => 130,
    })
}

/// The work on one image.
pub(super) fn job(docker: Docker, service: String, image: String, platform: Option<String>) -> Job {
    let perform = move |progress, cancel| -> futures_util::future::BoxFuture<'static, _> {
        Box::pin(async move { docker.pull(&image, platform.as_deref(), progress, cancel).await })
    };
    Job { operation: Operation::Pull { service }, perform: Box::new(perform) }
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Policy {
    /// When it is not there.
    Missing,
    /// In any case.
    Always,
}
