//! `hoist run`: a command in a container of its own, beside the service.

mod change;

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::Args;

use super::drive::{self, View};
use super::engine::{self, Start};
use super::error::Error;
use super::global::{Global, Progress};
use super::images;
use super::output::print;
use super::session::{self, Outline};
use super::terminal::{self, Raw};
use super::wait::exit_code;
use crate::dispatch::Ended;
use crate::engine::Engine as _;
use crate::engine::docker::Docker;
use crate::plan::goal::{BuildPolicy, Goal, Until, Up};
use crate::plan::spec;
use crate::project::{Condition, MountSource, Networking, Project, Service};

/// Run a command in a new container of a service
#[derive(Debug, Args)]
#[command(override_usage = "hoist run [OPTIONS] SERVICE [COMMAND]...")]
pub(super) struct Arguments {
    /// The service, then the command and its arguments, in place of the service's own
    #[arg(value_name = "SERVICE", required = true, trailing_var_arg = true)]
    pub(super) words: Vec<String>,
    /// Remove the container when it exits
    #[arg(long)]
    pub(super) rm: bool,
    /// Leave it running and print its name
    #[arg(short, long)]
    pub(super) detach: bool,
    /// Build the image first
    #[arg(long)]
    pub(super) build: bool,
    /// Leave out the services that this one needs
    #[arg(long)]
    pub(super) no_deps: bool,
    /// Variable of the container; repeat for several
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(super) env: Vec<String>,
    /// Something to mount, as `volumes` of the manifest has it; repeat for several
    #[arg(short, long, value_name = "SOURCE:TARGET")]
    pub(super) volume: Vec<String>,
    /// Port to publish, as `ports` of the manifest has it; repeat for several
    #[arg(short, long, value_name = "HOST:CONTAINER")]
    pub(super) publish: Vec<String>,
    /// Publish the service's own ports, which are left out otherwise
    #[arg(short = 'P', long, conflicts_with = "publish")]
    pub(super) service_ports: bool,
    /// Name of the container
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Program in place of the image's entry point
    #[arg(long, value_name = "COMMAND")]
    pub(super) entrypoint: Option<String>,
    /// Run as this user
    #[arg(short, long, value_name = "USER")]
    pub(super) user: Option<String>,
    /// Run in this folder
    #[arg(short, long, value_name = "FOLDER")]
    pub(super) workdir: Option<String>,
    /// Label of the container; repeat for several
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(super) label: Vec<String>,
    /// Use no terminal
    #[arg(short = 'T', long = "no-TTY", alias = "no-tty")]
    pub(super) no_tty: bool,
    /// What is so by default, for those who are used to `-it`
    #[arg(short, long, hide = true)]
    pub(super) interactive: bool,
    /// As above
    #[arg(short, long, hide = true)]
    pub(super) tty: bool,
    /// Show nothing of what is built, pulled and started before
    #[arg(short, long, visible_alias = "quiet-pull")]
    pub(super) quiet: bool,
    /// Answer to the service's name on its networks
    #[arg(long)]
    pub(super) use_aliases: bool,
}

/// Runs the command.
pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<u8, Error> {
    let Some((name, command)) = arguments.words.split_first() else {
        return Err(Error::usage("a service is missing"));
    };
    let quiet = Global { progress: Progress::Quiet, ..global.clone() };
    let global = if arguments.quiet { &quiet } else { global };
    let named = std::slice::from_ref(name);
    let mut project = session::load(global, named)?.project;
    session::check_services(named, project.services.keys())?;
    let docker = engine::connect(global, Some(&project), Start::Allowed).await?;
    if !arguments.no_deps {
        let ended = bring_up_dependencies(global, &docker, &project, name).await?;
        if ended.code != 0 {
            return Ok(ended.code);
        }
        // With what providers and models have told.
        project = Arc::unwrap_or_clone(ended.project);
    }
    let tty = !arguments.no_tty && !arguments.detach && terminal::is_there();
    let service = change::service(&mut project, name, command, &arguments, tty)?;
    let image = match image(global, &docker, &project, &service, arguments.build).await? {
        Ok(image) => image,
        Err(code) => return Ok(code),
    };
    make_surroundings(&docker, &project, &service).await?;
    let mut spec = change::spec(&project, &service, &image, arguments.use_aliases);
    for other in service.companions() {
        let container = session::running(&docker, &Outline::of(&project), other, None).await?.id;
        spec.companions.insert(other.to_owned(), container);
    }
    let failed = || Error::engine(format!("run `{}`", service.name));
    let made = docker.create_container(&spec).await.map_err(failed())?;
    for warning in &made.warnings {
        anstream::eprintln!("warning: {warning}");
    }
    let container = made.container.id;
    if arguments.detach {
        return start_alone(&docker, &container).await;
    }
    let ended = attended(&docker, &container, tty).await;
    if arguments.rm {
        // What cannot be removed is seen in the next `ps -a`; the command's own end matters more.
        let _ = docker.remove_container(&container, true).await;
    }
    ended
}

/// Starts what the service needs and waits until it may start; the project with what has been provided for that.
async fn bring_up_dependencies(
    global: &Global,
    docker: &Docker,
    project: &Project,
    service: &str,
) -> Result<Ended, Error> {
    let mut services = session::graph(project)?.with_dependencies([service]);
    services.remove(service);
    let models = project.services.get(service).map(|service| service.models.keys().cloned().collect());
    let models: BTreeSet<String> = models.unwrap_or_default();
    if services.is_empty() && models.is_empty() {
        return Ok(Ended { code: 0, project: Arc::new(project.clone()) });
    }
    let all_started = project
        .services
        .get(service)
        .is_some_and(|service| service.depends_on.values().all(|it| it.condition == Condition::Started));
    let goal = Goal::Up(Up {
        services,
        models,
        build: BuildPolicy::Needed,
        force_recreate: false,
        no_recreate: false,
        remove_orphans: false,
        grace: None,
        until: if all_started { Until::Started } else { Until::Ready { timeout: None } },
    });
    drive::run(docker.clone(), project.clone(), goal, View::brief(global)).await
}

/// The id of the service's image, built or pulled when it is not there; or the exit code when it cannot be had.
async fn image(
    global: &Global,
    docker: &Docker,
    project: &Project,
    service: &Service,
    build: bool,
) -> Result<Result<String, u8>, Error> {
    let reference = project.image_of(service);
    let look = async || docker.image(&reference).await.map_err(Error::engine(format!("look for image `{reference}`")));
    if !build && let Some(image) = look().await? {
        return Ok(Ok(image.id));
    }
    let options = drive::options(global);
    let ended = if service.build.is_some() {
        let rounds = super::build::rounds(project, std::iter::once(service.name.as_str()))?;
        super::build::perform(docker, project, rounds, &options, |_| ()).await
    } else {
        let platform = service.platform.clone();
        let pull = super::pull::job(docker.clone(), service.name.clone(), reference.clone(), platform);
        images::perform(project, vec![pull], &options).await
    };
    match ended {
        images::Ended::Well => {}
        images::Ended::Badly(_) => return Ok(Err(1)),
        images::Ended::Interrupted => return Ok(Err(130)),
    }
    let image = look().await?.ok_or_else(|| Error::failed(format!("image `{reference}` is not there")))?;
    Ok(Ok(image.id))
}

/// Makes the networks and volumes that the container joins and mounts.
async fn make_surroundings(docker: &Docker, project: &Project, service: &Service) -> Result<(), Error> {
    if let Networking::Networks(attachments) = &service.networking {
        for key in attachments.keys() {
            let Some(network) = project.networks.get(key).filter(|network| !network.external) else { continue };
            let made = docker.create_network(&spec::network(project, key, network)).await;
            made.map_err(Error::engine(format!("create network `{key}`")))?;
        }
    }
    for mount in &service.mounts {
        let MountSource::Volume { key, .. } = &mount.source else { continue };
        let Some(volume) = project.volumes.get(key).filter(|volume| !volume.external) else { continue };
        let made = docker.create_volume(&spec::volume(project, key, volume)).await;
        made.map_err(Error::engine(format!("create volume `{key}`")))?;
    }
    Ok(())
}

async fn start_alone(docker: &Docker, container: &str) -> Result<u8, Error> {
    docker.start_container(container).await.map_err(Error::engine("start the container"))?;
    print(&format!("{container}\n"))?;
    Ok(0)
}

/// Starts the container with our terminal or pipes and stays until it exits; signals go to it.
async fn attended(docker: &Docker, container: &str, tty: bool) -> Result<u8, Error> {
    let attached = docker.attach(container, true).await.map_err(Error::engine("attach to the container"))?;
    docker.start_container(container).await.map_err(Error::engine("start the container"))?;
    let raw = if tty { Some(Raw::enter()?) } else { None };
    let resizing =
        terminal::follow_size(tty, async |width, height| docker.resize_container(container, width, height).await);
    let result = tokio::select! {
        result = terminal::connect(attached, true) => result,
        () = resizing => Ok(()),
        () = forward_signals(docker, container) => Ok(()),
    };
    drop(raw);
    if let Err(error) = result {
        let _ = docker.kill_container(container, "SIGKILL").await;
        return Err(error);
    }
    let code = docker.wait(container).await.map_err(Error::engine("wait for the container"))?;
    Ok(exit_code(code))
}

/// Passes ctrl-c on to the container's process, the third one kills it; whatever else tells us to end stops it. Never
/// ends itself: the container's end is seen by its output.
async fn forward_signals(docker: &Docker, container: &str) {
    const INTERRUPT: u8 = 2;
    let mut told = 0;
    loop {
        let number = terminal::signal().await;
        told += 1;
        // A container that is not there to be told is about to be seen to have exited.
        let _ = match (number, told) {
            (_, 3..) => docker.kill_container(container, "SIGKILL").await,
            (INTERRUPT, _) => docker.kill_container(container, "SIGINT").await,
            _ => docker.stop_container(container, None).await.map(drop),
        };
    }
}
