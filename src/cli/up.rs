//! `hoist up`: brings the project up, and stays to show logs and watch files unless told not to.

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::Args;

use super::drive::{self, View, drive};
use super::engine::{self, Start};
use super::error::Error;
use super::format::Format;
use super::global::Global;
use super::session;
use crate::dispatch::{Manifest, Read};
use crate::plan::goal::{BuildPolicy, Goal, Until, Up};
use crate::project::{Project, Service};
use crate::ui::Style;

/// Create and start services, show their logs and watch their files
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
    /// Return when everything is started, and leave it running
    #[arg(short, long, conflicts_with_all = ["abort_on_container_exit", "abort_on_container_failure", "exit_code_from"])]
    pub(super) detach: bool,
    /// Return when everything runs and is healthy; implies `--detach`
    #[arg(long, conflicts_with_all = ["abort_on_container_exit", "abort_on_container_failure", "exit_code_from"])]
    pub(super) wait: bool,
    /// Seconds that `--wait` waits at most
    #[arg(long, value_name = "SECONDS", requires = "wait")]
    pub(super) wait_timeout: Option<u64>,
    /// Build images even where nothing changed
    #[arg(long, conflicts_with = "no_build")]
    pub(super) build: bool,
    /// Build nothing: a missing image is an error
    #[arg(long)]
    pub(super) no_build: bool,
    /// Replace containers even where nothing changed
    #[arg(long, conflicts_with = "no_recreate")]
    pub(super) force_recreate: bool,
    /// Keep containers even where something changed
    #[arg(long)]
    pub(super) no_recreate: bool,
    /// Leave out the services that the named ones need
    #[arg(long)]
    pub(super) no_deps: bool,
    /// Run so many containers of a service; repeat for several
    #[arg(long, value_name = "SERVICE=NUMBER", value_parser = parse_scale)]
    pub(super) scale: Vec<(String, u32)>,
    /// Remove containers whose service is not in the manifest
    #[arg(long)]
    pub(super) remove_orphans: bool,
    /// Seconds that containers may take to stop before they are killed
    #[arg(short, long, value_name = "SECONDS")]
    pub(super) timeout: Option<u64>,
    /// Watch no files
    #[arg(long, conflicts_with = "watch")]
    pub(super) no_watch: bool,
    /// Watch files, which an attached `up` does by itself
    #[arg(short, long, conflicts_with_all = ["detach", "wait"])]
    pub(super) watch: bool,
    /// Stop everything when a container exits
    #[arg(long)]
    pub(super) abort_on_container_exit: bool,
    /// Stop everything when a container exits with a code other than 0
    #[arg(long, conflicts_with = "abort_on_container_exit")]
    pub(super) abort_on_container_failure: bool,
    /// Exit with the code of this service's container; implies `--abort-on-container-exit`
    #[arg(long, value_name = "SERVICE")]
    pub(super) exit_code_from: Option<String>,
    /// Show the logs of these services only; repeat for several
    #[arg(long, value_name = "SERVICE")]
    pub(super) attach: Vec<String>,
    /// Leave out the logs of these services; repeat for several
    #[arg(long, value_name = "SERVICE")]
    pub(super) no_attach: Vec<String>,
    /// Show log lines without the service before them
    #[arg(long)]
    pub(super) no_log_prefix: bool,
    /// Colour nothing
    #[arg(long)]
    pub(super) no_color: bool,
    /// Taken for the sake of scripts: images are pulled with one line each where there is no terminal
    #[arg(long, hide = true)]
    pub(super) quiet_pull: bool,
    /// Taken for the sake of scripts: nothing is asked
    #[arg(short, long, hide = true)]
    pub(super) yes: bool,
    /// Show what the start waited for, and what would shorten it
    #[arg(long)]
    pub(super) timings: bool,
    /// Print plain text, or an object for each line and each thing that happens
    #[arg(long, value_name = "FORMAT", default_value = "text", hide_default_value = true)]
    pub(super) format: Format,
}

/// Runs the command.
pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<u8, Error> {
    let (loaded, files) = session::load_watched(global, &arguments.services)?;
    let mut project = loaded.project;
    scale(&mut project, &arguments)?;
    let goal = goal(&project, &arguments)?;
    let mut view = view(global, &project, &arguments)?;
    // Standard input was read to its end, and is no file that could be saved.
    if view.watch && !global.files.iter().any(|file| file.as_os_str() == "-") {
        let colour = console::colors_enabled_stderr() && view.options.style != Style::Json;
        let (global, name) = (global.clone(), project.name.clone());
        view.manifest =
            Some(Manifest { files, read: Arc::new(move || read_again(&global, &arguments, &name, colour)) });
    }
    let docker = engine::connect(global, Some(&project), Start::Allowed).await?;
    drive(docker, project, Goal::Up(goal), view).await
}

/// The manifest once it was saved, for a run of the same command.
fn read_again(global: &Global, arguments: &Arguments, name: &str, colour: bool) -> Read {
    let (project, files) = session::read_again(global, &arguments.services, colour);
    let outcome = project.and_then(|mut project| {
        if project.name != name {
            return Err(Error::Failed {
                message: format!("the project is called `{}` now, and `{name}` runs", project.name),
                hint: Some("end this run, and start it again under the new name".into()),
            });
        }
        scale(&mut project, arguments)?;
        let services = goal(&project, arguments)?.services;
        Ok((Arc::new(project), services))
    });
    Read { outcome: outcome.map_err(|error| error.report()), files }
}

fn is_detached(arguments: &Arguments) -> bool {
    arguments.detach || arguments.wait
}

fn scale(project: &mut Project, arguments: &Arguments) -> Result<(), Error> {
    for (name, replicas) in &arguments.scale {
        session::check_services(std::slice::from_ref(name), project.services.keys())?;
        let Some(service) = project.services.get_mut(name) else { continue };
        if let (Some(container), 2..) = (&service.container_name, *replicas) {
            return Err(Error::Usage {
                message: format!("`{name}` cannot have {replicas} containers: all would be named `{container}`"),
                hint: Some("remove `container_name` from the manifest".into()),
            });
        }
        service.replicas = *replicas;
    }
    Ok(())
}

/// What `up` is asked for.
pub(super) fn goal(project: &Project, arguments: &Arguments) -> Result<Up, Error> {
    let services = if arguments.no_deps {
        session::select(project, &arguments.services)?
    } else {
        session::select_with_dependencies(project, &arguments.services)?
    };
    if let Some(name) = &arguments.exit_code_from {
        session::check_services(std::slice::from_ref(name), &services)?;
    }
    let build = match (arguments.build, arguments.no_build) {
        (true, _) => BuildPolicy::Always,
        (_, true) => BuildPolicy::Never,
        _ => BuildPolicy::Needed,
    };
    let until = if arguments.wait {
        Until::Ready { timeout: session::grace(arguments.wait_timeout) }
    } else if arguments.detach {
        Until::Started
    } else {
        Until::Interrupted {
            abort_on_exit: arguments.abort_on_container_exit || arguments.exit_code_from.is_some(),
            abort_on_failure: arguments.abort_on_container_failure,
            exit_code_from: arguments.exit_code_from.clone(),
        }
    };
    Ok(Up {
        services,
        models: BTreeSet::new(),
        build,
        force_recreate: arguments.force_recreate,
        no_recreate: arguments.no_recreate,
        remove_orphans: arguments.remove_orphans,
        grace: session::grace(arguments.timeout),
        until,
    })
}

fn view(global: &Global, project: &Project, arguments: &Arguments) -> Result<View, Error> {
    let named: Vec<String> = arguments.attach.iter().chain(&arguments.no_attach).cloned().collect();
    session::check_services(&named, project.services.keys())?;
    let mut options = drive::options(global);
    options.prefix = !arguments.no_log_prefix;
    options.timings = arguments.timings;
    let is_hidden = |service: &&Service| {
        if arguments.attach.is_empty() { service.hides_output } else { !arguments.attach.contains(&service.name) }
    };
    let hidden = project.services.values().filter(is_hidden).map(|service| &service.name);
    options.hidden = hidden.chain(&arguments.no_attach).cloned().collect();
    if arguments.no_color {
        session::no_colour();
    }
    if arguments.format == Format::Json {
        (options.style, options.json_on_stdout) = (Style::Json, true);
    }
    let attached = !is_detached(arguments);
    let watch = attached && !arguments.no_watch;
    let keeps = global.keeps_journal();
    Ok(View { watch, manifest: None, follow_logs: attached, options, events: keeps, journal: keeps })
}

fn parse_scale(text: &str) -> Result<(String, u32), String> {
    let wrong = || "expected a service and a number, such as `users=3`".to_owned();
    let (service, number) = text.split_once('=').ok_or_else(wrong)?;
    if service.is_empty() {
        return Err(wrong());
    }
    Ok((service.to_owned(), number.parse().map_err(|_| wrong())?))
}
