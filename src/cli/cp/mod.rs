//! `hoist cp`: files out of a container or into it.

mod far;
mod near;
mod pipe;
mod unpack;

use clap::Args;
use futures_util::StreamExt as _;

use crate::cli::engine::{self, Start};
use crate::cli::error::Error;
use crate::cli::global::Global;
use crate::cli::output::print_bytes;
use crate::cli::session;
use crate::engine::Engine as _;
use crate::engine::docker::Docker;
use crate::plan::observed::Container;
use far::Kind;
use pipe::PipeError;
use unpack::unpack;

/// Copy files between a container and this machine
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where from: `SERVICE:PATH`, a path here, or `-` for a tar on standard input
    #[arg(value_name = "SOURCE")]
    pub(super) source: String,
    /// Where to: a path here, `SERVICE:PATH`, or `-` for a tar on standard output
    #[arg(value_name = "TARGET")]
    pub(super) target: String,
    /// The container with this number; all of them are copied to when it is not given
    #[arg(long, value_name = "NUMBER")]
    pub(super) index: Option<u32>,
    /// Keep owners and groups
    #[arg(short, long)]
    pub(super) archive: bool,
    /// Follow symbolic links in SOURCE
    #[arg(short = 'L', long)]
    pub(super) follow_link: bool,
}

/// Runs the command.
pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<u8, Error> {
    let (source, target) = (Place::read(&arguments.source), Place::read(&arguments.target));
    match (source, target) {
        (Place::Inside { service, path }, Place::Here(to)) => {
            let (docker, containers) = containers(global, &service, arguments.index).await?;
            let [container, ..] = &containers[..] else { return Ok(1) };
            out(&docker, &container.id, &path, &to, &arguments).await?;
        }
        (Place::Here(from), Place::Inside { service, path }) => {
            let (docker, containers) = containers(global, &service, arguments.index).await?;
            if from == "-" && containers.len() > 1 {
                return Err(Error::Usage {
                    message: format!(
                        "`{service}` has {} containers, standard input can be read only once",
                        containers.len()
                    ),
                    hint: Some("say which one with `--index`".into()),
                });
            }
            for container in &containers {
                into(&docker, &container.id, &from, &path, &arguments).await?;
            }
        }
        (Place::Inside { .. }, Place::Inside { .. }) => {
            return Err(Error::usage("one of the two places must be on this machine"));
        }
        (Place::Here(_), Place::Here(_)) => {
            return Err(Error::Usage {
                message: "neither of the two places is in a container".into(),
                hint: Some("write `SERVICE:PATH` for the one that is".into()),
            });
        }
    }
    Ok(0)
}

/// One end of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// A path of this machine, or `-`.
    Here(String),
    /// A path in the containers of a service.
    Inside {
        /// The service.
        service: String,
        /// The path.
        path: String,
    },
}

impl Place {
    /// What begins like a path is one; of the rest, what has a colon names a service.
    fn read(text: &str) -> Self {
        match text.split_once(':') {
            Some((service, path)) if !text.starts_with(['/', '.', '~']) && !service.contains('/') => {
                Self::Inside { service: service.to_owned(), path: path.to_owned() }
            }
            _ => Self::Here(text.to_owned()),
        }
    }
}

async fn containers(global: &Global, service: &str, index: Option<u32>) -> Result<(Docker, Vec<Container>), Error> {
    let project = session::outline(global)?;
    let docker = engine::connect(global, None, Start::No).await?;
    let mut containers = session::of_service(&docker, &project, service).await?;
    containers.retain(|container| index.is_none_or(|index| container.number == index));
    match index {
        Some(index) if containers.is_empty() => {
            Err(Error::failed(format!("`{service}` has no container with number {index}")))
        }
        _ => Ok((docker, containers)),
    }
}

/// From a container to this machine.
async fn out(docker: &Docker, container: &str, path: &str, to: &str, arguments: &Arguments) -> Result<(), Error> {
    let mut path = path.to_owned();
    let failed = |path: &str| Error::engine(format!("read `{path}` in the container"));
    if arguments.follow_link {
        path = far::resolve(docker, container, path).await?;
    }
    let whole = path.trim_end_matches("/.").trim_end_matches('/');
    let whole = if whole.is_empty() { "/" } else { whole };
    let mut pieces = docker.download(container, whole);
    if to == "-" {
        while let Some(piece) = pieces.next().await {
            print_bytes(&piece.map_err(failed(whole))?)?;
        }
        return Ok(());
    }
    let (first, pieces) = far::peek(pieces).await.map_err(failed(whole))?;
    let target = near::target(&path, first == Kind::Folder, to)?;
    let owners = arguments.archive;
    let unpacking = pipe::read_with(pieces, move |reader| unpack(reader, &target, owners));
    let skipped = unpacking.await.map_err(|error| match error {
        PipeError::Engine(source) => failed(whole)(source),
        PipeError::Io(source) => Error::io(format!("write to `{to}`"))(source),
    })?;
    for words in skipped {
        anstream::eprintln!("warning: {words}, left out");
    }
    Ok(())
}

/// From this machine into a container.
async fn into(docker: &Docker, container: &str, from: &str, path: &str, arguments: &Arguments) -> Result<(), Error> {
    let failed = || Error::engine(format!("write `{path}` in the container"));
    if from == "-" {
        let pieces = pipe::write_with(|mut writer| std::io::copy(&mut std::io::stdin().lock(), &mut writer).map(drop));
        return docker.upload_stream(container, path, pieces).await.map_err(failed());
    }
    let source = near::source(from, arguments.follow_link)?;
    let there = far::kind(docker, container, path).await?;
    let (folder, name) = far::destination(path, there.as_ref(), &source)?;
    let owners = arguments.archive;
    let pieces = pipe::write_with(move |writer| near::pack(&source, &name, writer, owners));
    docker.upload_stream(container, &folder, pieces).await.map_err(failed())
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn what_looks_like_a_path_is_one() {
        let inside = |service: &str, path: &str| Place::Inside { service: service.into(), path: path.into() };
        assert_eq!(Place::read("web:/etc/hosts"), inside("web", "/etc/hosts"));
        assert_eq!(Place::read("web:a:b"), inside("web", "a:b"));
        for path in ["./web:x", "/a:b", "-", "file", "folder/web:x"] {
            assert_eq!(Place::read(path), Place::Here(path.into()));
        }
    }
}
