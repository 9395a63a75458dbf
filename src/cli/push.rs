//! `hoist push`: builds the images of services and pushes them by the names that the export gives them.

use std::collections::BTreeMap;

use clap::Args;
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::engine::{self, Start};
use super::error::Error;
use super::global::Global;
use super::images::{self, Ended};
use super::objects::Objects;
use super::output::print;
use super::{build, drive, session};
use crate::engine::docker::Docker;
use crate::engine::{EngineError, Progress};
use crate::project::Project;
use crate::ui::board::{Board, State};
use crate::ui::{self, Style};

/// How many images are pushed at once.
const PARALLEL: usize = 4;

/// How many pieces of news may wait to be shown.
const NEWS: usize = 256;

/// Build images and push them to a registry
#[derive(Debug, Args)]
#[command(after_help = "\
Images are called as `hoist export kubernetes` calls them with the same options. Credentials are those of the docker config:
`docker login REGISTRY` makes them. Prints a line for each image: its name and the digest that the registry has it under.")]
pub(super) struct Arguments {
    /// Services; all that have a `build` when none is named
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// How the images are called.
    #[command(flatten)]
    objects: Objects,
    /// Push what was built before, and build nothing
    #[arg(long)]
    no_build: bool,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
}

/// An image that is pushed.
#[derive(Debug, Clone)]
struct Image {
    service: String,
    /// What it is called here.
    local: String,
    /// What it is called in the registry.
    name: String,
}

/// Runs the command.
pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<u8, Error> {
    let project = session::load(global, &arguments.services)?.project;
    let services = session::select(&project, &arguments.services)?;
    let mut images = arguments.objects.images(global, &project).await?;
    images.retain(|service, _| services.contains(service));
    if images.is_empty() {
        anstream::eprintln!("nothing to push: no service has a `build`");
        return Ok(0);
    }
    let docker = engine::connect(global, Some(&project), Start::Allowed).await?;
    let mut look = drive::options(global);
    if arguments.quiet {
        look.style = Style::Quiet;
    }
    let pushed = perform(&docker, &project, &images, !arguments.no_build, &look).await?;
    let Some(pushed) = pushed else { return Ok(130) };
    print(&pushed.iter().fold(String::new(), |text, (image, digest)| text + image + "@" + digest + "\n"))?;
    Ok(0)
}

/// Builds and pushes. `images` are the names that services' images have in the registry. Returns the digest of each image
/// by its name, or nothing when the person interrupted.
pub(super) async fn perform(
    docker: &Docker,
    project: &Project,
    images: &BTreeMap<String, String>,
    build: bool,
    look: &ui::Options,
) -> Result<Option<BTreeMap<String, String>>, Error> {
    check_registry(project, images)?;
    if build {
        let rounds = build::rounds(project, images.keys().map(String::as_str))?;
        match build::perform(docker, project, rounds, look, |_| {}).await {
            Ended::Well => {}
            Ended::Badly(_) => return Err(Error::failed("not every image could be built, so none is pushed")),
            Ended::Interrupted => return Ok(None),
        }
    }
    let images: Vec<Image> = images
        .iter()
        .filter_map(|(service, name)| {
            let local = project.image_of(project.any_service(service)?);
            Some(Image { service: service.clone(), local, name: name.clone() })
        })
        .collect();
    push_all(docker, &images, look.style).await
}

/// An image without a registry would go to the Docker Hub, under a name that is somebody else's.
fn check_registry(project: &Project, images: &BTreeMap<String, String>) -> Result<(), Error> {
    let bare = images.iter().find(|(service, name)| {
        let own = project.any_service(service).is_some_and(|service| service.image.is_none());
        own && !name.contains('/')
    });
    let Some((service, name)) = bare else { return Ok(()) };
    Err(Error::Usage {
        message: format!("no registry is named for `{name}`, the image of `{service}`"),
        hint: Some("`--registry registry.example.com/team`, or an `image` with a registry in the manifest".into()),
    })
}

async fn push_all(docker: &Docker, images: &[Image], style: Style) -> Result<Option<BTreeMap<String, String>>, Error> {
    let mut board = Board::new(style, images.iter().map(|image| image.service.as_str()));
    let cancel = CancellationToken::new();
    let (sender, mut news) = mpsc::channel::<(String, Progress)>(NEWS);
    let pushes = stream::iter(images.to_vec()).map(|image| one(docker, image, sender.clone(), cancel.clone()));
    let mut pushes = std::pin::pin!(pushes.buffer_unordered(PARALLEL));
    let (mut digests, mut failed) = (BTreeMap::new(), Vec::new());
    for image in images {
        board.set(&image.service, State::Doing, "pushing", "");
    }
    let mut interrupted = std::pin::pin!(images::interrupted());
    loop {
        tokio::select! {
            biased;
            () = &mut interrupted, if !cancel.is_cancelled() => cancel.cancel(),
            Some((service, progress)) = news.recv() => {
                if let Progress::Bytes { received, total: Some(total) } = progress {
                    let detail = format!("{} of {}", ui::bytes(received), ui::bytes(total));
                    board.set(&service, State::Doing, "pushing", &detail);
                }
            }
            ended = pushes.next() => match ended {
                Some((image, Ok(digest))) => {
                    board.set(&image.service, State::Done, &format!("pushed as `{}`", image.name), "");
                    digests.insert(image.name, digest);
                }
                Some((_, Err(EngineError::Cancelled))) => {}
                Some((image, Err(error))) => {
                    board.set(&image.service, State::Failed, &format!("cannot push `{}`: {error}", image.name), "");
                    failed.push(image.service);
                }
                None => break,
            }
        }
    }
    board.clear();
    if cancel.is_cancelled() {
        return Ok(None);
    }
    if failed.is_empty() {
        return Ok(Some(digests));
    }
    Err(Error::Failed {
        message: format!("{} of {} images could not be pushed", failed.len(), images.len()),
        hint: Some("`docker login` says to a registry who you are".into()),
    })
}

/// Pushes one image.
async fn one(
    docker: &Docker,
    image: Image,
    news: mpsc::Sender<(String, Progress)>,
    cancel: CancellationToken,
) -> (Image, Result<String, EngineError>) {
    let (sender, mut receiver) = mpsc::channel(NEWS);
    let work = async {
        if image.local != image.name {
            docker.tag(&image.local, &image.name).await?;
        }
        docker.push(&image.name, sender, cancel).await
    };
    let forward = async {
        while let Some(progress) = receiver.recv().await {
            // News that finds no room is overtaken by the next.
            let _ = news.try_send((image.service.clone(), progress));
        }
    };
    let (result, ()) = tokio::join!(work, forward);
    (image, result)
}
