//! What is mounted, and what is shared with the host.

use std::path::{Component, Path, PathBuf};

use crate::lint::image::Image;
use crate::lint::{Subject, dockerfile, warning};
use crate::manifest::problem::Problem;
use crate::manifest::written::Item;
use crate::project::{Mount, MountSource, Service};

/// The mounts of all services.
fn all<'a>(subject: &Subject<'a>) -> impl Iterator<Item = (&'a Service, &'a Mount)> {
    subject.services().flat_map(|service| service.mounts.iter().map(move |mount| (service, mount)))
}

/// What is written about a mount: nothing for one that is implied.
fn written<'a>(subject: &Subject<'a>, service: &Service, mount: &Mount) -> Option<Item<'a>> {
    subject.mount(service, &mount.target)
}

fn bind(mount: &Mount) -> Option<&Path> {
    match &mount.source {
        MountSource::Bind { path, .. } => Some(path),
        _ => None,
    }
}

/// The folders that installing makes, by a word of the command.
fn installed(command: &str) -> Option<&'static str> {
    let has = |parts: &[&str]| parts.iter().any(|part| command.contains(part));
    if has(&["-g ", "--global"]) {
        None
    } else if has(&["npm ci", "npm install", "npm i ", "yarn install", "pnpm install", "pnpm i ", "bun install"])
        || command == "yarn"
    {
        Some("node_modules")
    } else if has(&["composer install"]) {
        Some("vendor")
    } else if has(&["uv sync", "venv .venv"]) {
        Some(".venv")
    } else {
        None
    }
}

/// A mount over what the image built.
pub(in crate::lint) fn hidden(subject: &Subject<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    for service in subject.services() {
        let Some(file) = dockerfile::of(subject, service) else { continue };
        let runs = file.instructions();
        let made = runs.iter().filter(|(word, _)| *word == "RUN").find_map(|(_, command)| installed(command));
        let Some(made) = made else { continue };
        let folder = Path::new(&file.folder()).join(made);
        let covers = |mount: &&Mount| folder.starts_with(&mount.target);
        // The deepest one is what is seen there.
        let Some(mount) = service.mounts.iter().filter(covers).max_by_key(|mount| mount.target.len()) else { continue };
        if bind(mount).is_none() || Path::new(&mount.target) == folder {
            continue;
        }
        let message = format!("the mount at `{}` hides `{}`, which the image installs", mount.target, folder.display());
        let problem = warning(message, written(subject, service, mount).map(Item::place));
        found.push(
            problem
                .hint(format!("mount a volume at `{}` too, or let `develop.watch` sync the sources", folder.display())),
        );
    }
    found
}

/// All rights on the host.
pub(in crate::lint) fn privileged(subject: &Subject<'_>) -> Vec<Problem> {
    let found = subject.services().filter(|service| service.privileged).map(|service| {
        let message = format!("`{}` has all rights on this machine", service.name);
        let problem = warning(message, subject.place(service, "privileged"));
        problem.hint("give it what it needs with `cap_add` and `devices` instead")
    });
    found.collect()
}

/// The engine's socket, which is as good as root on the host.
pub(in crate::lint) fn engine_socket(subject: &Subject<'_>) -> Vec<Problem> {
    let is_socket = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        matches!(name, "docker.sock" | "podman.sock" | "containerd.sock")
    };
    let found = all(subject).filter(|(_, mount)| bind(mount).is_some_and(is_socket)).map(|(service, mount)| {
        let message = format!("`{}` commands the engine, and with it this machine", service.name);
        let problem = warning(message, written(subject, service, mount).map(Item::place));
        problem.hint("give it no more than a proxy of the socket lets through, or allow it if it is trusted")
    });
    found.collect()
}

/// Volumes without a name.
pub(in crate::lint) fn anonymous(subject: &Subject<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    for (service, mount) in all(subject) {
        if !matches!(mount.source, MountSource::Anonymous { .. }) {
            continue;
        }
        // Below a bind mount it keeps what the image has there, which is what it is for.
        let above = |other: &&Mount| bind(other).is_some() && Path::new(&mount.target).starts_with(&other.target);
        let Some(item) = written(subject, service, mount).filter(|_| !service.mounts.iter().any(|other| above(&other)))
        else {
            continue;
        };
        let message = format!("what `{}` keeps at `{}` is in a volume without a name", service.name, mount.target);
        let problem = warning(message, Some(item.place())).label("left behind when the service goes");
        let name = mount.target.rsplit('/').next().unwrap_or("data");
        found.push(problem.hint(format!("name it: `{}-{name}:{}`", service.name, mount.target)));
    }
    found
}

/// What is written of a mount's source.
fn source(item: Item<'_>) -> Option<&str> {
    match item.text() {
        Some(text) => text.split(':').next(),
        None => item.get("source").and_then(Item::text),
    }
}

/// A path that only the one machine has.
pub(in crate::lint) fn one_machine(subject: &Subject<'_>) -> Vec<Problem> {
    let repository = repository(subject);
    let mut found = Vec::new();
    for (service, mount) in all(subject) {
        let (Some(path), Some(item)) = (bind(mount), written(subject, service, mount)) else { continue };
        let Some(text) = source(item).filter(|_| !subject.source(item.place()).contains('$')) else { continue };
        let hint = "write a path that begins at the manifest, or take it from a variable";
        if let Some(person) = home(text) {
            let message = format!("`{text}` is in the home of `{person}`, which other machines do not have");
            found.push(warning(message, Some(item.place())).hint(hint));
        } else if text.starts_with("..") && repository.as_deref().is_some_and(|top| !lexical(path).starts_with(top)) {
            let message = format!("`{text}` leads out of the repository, to what other machines may not have");
            found.push(warning(message, Some(item.place())).hint(hint));
        }
    }
    found
}

/// Whose home folder a path is in.
fn home(text: &str) -> Option<&str> {
    let normal = text.strip_prefix("/home/").or_else(|| text.strip_prefix("/Users/"));
    let windows = || text.strip_prefix("C:\\Users\\").or_else(|| text.strip_prefix("/c/Users/"));
    let rest = normal.or_else(windows)?;
    rest.split(['/', '\\']).next().filter(|person| !person.is_empty())
}

/// The nearest folder above the manifest that git looks after.
fn repository(subject: &Subject<'_>) -> Option<PathBuf> {
    let has_git = |folder: &&Path| {
        let git = folder.join(".git");
        subject.loader.is_directory(&git) || subject.loader.is_file(&git)
    };
    subject.project.directory.ancestors().find(has_git).map(Path::to_path_buf)
}

/// A path without `..`, by its words alone.
fn lexical(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                result.pop();
            }
            Component::CurDir => {}
            other => result.push(other),
        }
    }
    result
}

/// A file that is not there, where the engine makes a folder.
pub(in crate::lint) fn missing_source(subject: &Subject<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    for (service, mount) in all(subject) {
        let MountSource::Bind { path, create_host_path: true, .. } = &mount.source else { continue };
        let Some(item) = written(subject, service, mount) else { continue };
        let is_there = subject.loader.is_file(path) || subject.loader.is_directory(path);
        if is_there || !looks_like_file(path) || !lexical(path).starts_with(&subject.project.directory) {
            continue;
        }
        let shown = path.strip_prefix(&subject.project.directory).unwrap_or(path).display();
        let message = format!("`{shown}` is not there: the engine makes a folder of that name");
        let problem = warning(message, Some(item.place()));
        found.push(problem.hint("make the file first, or correct its path"));
    }
    found
}

fn looks_like_file(path: &Path) -> bool {
    let is_ending = |ending: &str| {
        (1..=5).contains(&ending.len()) && ending != "d" && ending.bytes().all(|byte| byte.is_ascii_lowercase())
    };
    path.extension().and_then(|ending| ending.to_str()).is_some_and(is_ending)
}

/// A volume beside the folder that the database writes to.
pub(in crate::lint) fn data_elsewhere(subject: &Subject<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    for service in subject.services() {
        let Some(image) = service.image.as_deref().filter(|_| service.build.is_none()) else { continue };
        let moved = ["PGDATA", "MYSQL_DATADIR"].iter().any(|name| service.environment.contains_key(*name));
        let Some(data) = Image::parse(image).data_folder().filter(|_| !moved && service.command.is_none()) else {
            continue;
        };
        if service.mounts.iter().any(|mount| mount.target == data) {
            continue;
        }
        // Above it the image's own volume lies over the mount; below it part of the data is left out.
        let near = |mount: &&Mount| {
            let target = Path::new(&mount.target);
            let above = target != Path::new("/") && Path::new(data).starts_with(target);
            let below = mount.target == format!("{data}/data");
            (above || below) && bind(mount).is_none_or(|path| !looks_like_file(path))
        };
        let Some(mount) = service.mounts.iter().find(near) else { continue };
        let message = format!("`{}` keeps its data at `{data}`, not at `{}`", service.name, mount.target);
        let problem = warning(message, written(subject, service, mount).map(Item::place)).label("nothing is kept here");
        found.push(problem.hint(format!("mount it at `{data}`")));
    }
    found
}
