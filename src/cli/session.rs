//! What most commands begin with: the project, the engine, the services that were named.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::error::Error;
use super::global::Global;
use super::load;
use crate::engine::docker::Docker;
use crate::graph::Graph;
use crate::manifest::{Failure, Loaded, Request, Steps, Use};
use crate::plan::observed::Container;
use crate::project::Project;
use crate::ui::problems;

/// Loads the manifest and shows what is doubtful about it. The profiles of the services named are switched on.
pub(super) fn load(global: &Global, services: &[String]) -> Result<Loaded, Error> {
    load_as(global, services, Steps { ports: false, ..Steps::default() })
}

/// Loads the manifest for a cluster: that an attribute has no effect on this machine is nothing to warn of, and what it has
/// there is told by who asks.
pub(super) fn load_for_cluster(global: &Global) -> Result<Loaded, Error> {
    let steps = Steps { ports: false, ..Steps::default() };
    let mut loaded = load::load(&request(global, &[], steps)?);
    if let Ok(loaded) = &mut loaded {
        loaded.warnings.retain(|warning| !warning.message.contains("` has no effect: "));
    }
    said(loaded)
}

/// The names of the services, without a word about what is wrong with the manifest.
pub(super) fn names(global: &Global) -> Option<Vec<String>> {
    let project = loaded_quietly(global)?;
    Some(project.services.into_keys().chain(project.disabled.into_keys()).collect())
}

/// What is to be loaded, by the command line and the process's surroundings.
pub(super) fn request(global: &Global, services: &[String], steps: Steps) -> Result<Request, Error> {
    let current_directory = std::env::current_dir().map_err(Error::io("find the current folder"))?;
    Ok(Request {
        files: global.files.clone(),
        project_directory: global.project_directory.clone(),
        project_name: global.project_name.clone(),
        profiles: global.profiles.clone(),
        env_files: global.env_files.clone(),
        current_directory,
        environment: environment(),
        services: services.to_vec(),
        steps,
    })
}

/// Loads the manifest, some steps left out.
pub(super) fn load_as(global: &Global, services: &[String], steps: Steps) -> Result<Loaded, Error> {
    said(load::load(&request(global, services, steps)?))
}

/// Loads the manifest, and says which files it was made from, or would be if they were there.
pub(super) fn load_watched(global: &Global, services: &[String]) -> Result<(Loaded, BTreeSet<PathBuf>), Error> {
    let (loaded, files) = load::load_watched(&request(global, services, Steps::default())?);
    Ok((said(loaded)?, files))
}

/// The manifest as it is now, without its warnings; what is wrong with it is drawn.
pub(super) fn read_again(
    global: &Global,
    services: &[String],
    colour: bool,
) -> (Result<Project, Error>, BTreeSet<PathBuf>) {
    let request = match request(global, services, Steps::default()) {
        Ok(request) => request,
        Err(error) => return (Err(error), BTreeSet::new()),
    };
    let (loaded, files) = load::load_watched(&request);
    let refused =
        |failure: Failure| Error::Manifest { report: problems::render(&failure.problems, &failure.sources, colour) };
    (loaded.map(|loaded| loaded.project).map_err(refused), files)
}

/// Shows warnings; an error has all the problems, drawn.
fn said(loaded: Result<Loaded, Failure>) -> Result<Loaded, Error> {
    let colour = console::colors_enabled_stderr();
    match loaded {
        Ok(loaded) => {
            anstream::eprint!("{}", problems::render(&loaded.warnings, &loaded.sources, colour));
            Ok(loaded)
        }
        Err(failure) => Err(Error::Manifest { report: problems::render(&failure.problems, &failure.sources, colour) }),
    }
}

/// The variables that the manifest names.
pub(super) fn variables(global: &Global, services: &[String]) -> Result<BTreeMap<String, Use>, Error> {
    let request = request(global, services, Steps::default())?;
    let colour = console::colors_enabled_stderr();
    load::variables(&request)
        .map_err(|failure| Error::Manifest { report: problems::render(&failure.problems, &failure.sources, colour) })
}

/// The process's variables, without those that are not text.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))).collect()
}

/// As much of a project as commands need that only look at its containers.
#[derive(Debug, Clone)]
pub(super) struct Outline {
    /// The project's name.
    pub(super) name: String,
    /// The services of the manifest; none when it was not read.
    pub(super) services: BTreeSet<String>,
    /// How the manifest is found, when it was not read.
    unread: Option<Global>,
}

impl Outline {
    /// Of a loaded project.
    pub(super) fn of(project: &Project) -> Self {
        let services = project.services.keys().chain(project.disabled.keys()).cloned().collect();
        Self { name: project.name.clone(), services, unread: None }
    }

    /// An error for a service that neither has a container nor is in the manifest, where there is one.
    pub(super) fn check(&self, services: &[String], containers: &[Container]) -> Result<(), Error> {
        let known = |name: &String| containers.iter().any(|container| container.service == *name);
        if services.iter().all(known) {
            return Ok(());
        }
        let declared = self.unread.as_ref().and_then(names).unwrap_or_default();
        let present = containers.iter().map(|container| &container.service);
        check_services(services, present.chain(&self.services).chain(&declared))
    }
}

/// The project's name and services; with `-p` no manifest is needed.
pub(super) fn outline(global: &Global) -> Result<Outline, Error> {
    outline_and_project(global).map(|(outline, _)| outline)
}

/// The same, and the project itself when its manifest was read for it.
pub(super) fn outline_and_project(global: &Global) -> Result<(Outline, Option<Project>), Error> {
    match &global.project_name {
        Some(name) if global.files.is_empty() => {
            let unread = Some(global.clone());
            Ok((Outline { name: checked_name(name)?, services: BTreeSet::new(), unread }, None))
        }
        _ => {
            let project = load(global, &[])?.project;
            Ok((Outline::of(&project), Some(project)))
        }
    }
}

fn checked_name(name: &str) -> Result<String, Error> {
    let letter = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    let inside = |character: char| letter(character) || character == '_' || character == '-';
    if name.starts_with(letter) && name.chars().all(inside) {
        return Ok(name.to_owned());
    }
    Err(Error::Usage {
        message: format!("`{name}` is not a project name"),
        hint: Some("use lower-case letters, digits, `-` and `_`, beginning with a letter or digit".into()),
    })
}

/// The project of the manifest, without a word about what is wrong with it.
pub(super) fn loaded_quietly(global: &Global) -> Option<Project> {
    Some(load::load(&request(global, &[], Steps::default()).ok()?).ok()?.project)
}

/// The services named, or all; an error for one that is not among them.
pub(super) fn select(project: &Project, named: &[String]) -> Result<BTreeSet<String>, Error> {
    check_services(named, project.services.keys())?;
    Ok(if named.is_empty() { project.services.keys().cloned().collect() } else { named.iter().cloned().collect() })
}

/// The services named, or all, and with them everything that they need.
pub(super) fn select_with_dependencies(project: &Project, named: &[String]) -> Result<BTreeSet<String>, Error> {
    let selected = select(project, named)?;
    Ok(graph(project)?.with_dependencies(selected.iter().map(String::as_str)))
}

/// The dependency graph.
pub(super) fn graph(project: &Project) -> Result<Graph, Error> {
    Graph::new(project).map_err(|found| cycles(&found))
}

/// Dependency cycles as an error. A manifest that has some does not load, so they are not met here.
pub(super) fn cycles(cycles: &[Vec<String>]) -> Error {
    let named: Vec<String> = cycles.iter().map(|cycle| format!("`{}`", cycle.join(" → "))).collect();
    Error::usage(format!("services depend on each other: {}", named.join(", ")))
}

/// An error for the first of these services that is not among those known.
pub(super) fn check_services<'a>(named: &[String], known: impl IntoIterator<Item = &'a String>) -> Result<(), Error> {
    let known: BTreeSet<&String> = known.into_iter().collect();
    match named.iter().find(|name| !known.contains(name)) {
        None => Ok(()),
        Some(name) => Err(Error::UnknownService { name: name.clone(), known: known.into_iter().cloned().collect() }),
    }
}

/// The project's containers in one listing, those of `run` left out, of the services named or of all.
pub(super) async fn containers(
    docker: &Docker,
    project: &Outline,
    services: &[String],
) -> Result<Vec<Container>, Error> {
    let mut containers = docker.list_containers(Some(&project.name)).await.map_err(Error::engine("list containers"))?;
    containers.retain(|container| !container.one_off);
    project.check(services, &containers)?;
    containers.retain(|container| services.is_empty() || services.contains(&container.service));
    Ok(containers)
}

/// All containers of one service, by number; at least one.
pub(super) async fn of_service(docker: &Docker, project: &Outline, service: &str) -> Result<Vec<Container>, Error> {
    let mut containers = containers(docker, project, &[service.to_owned()]).await?;
    if containers.is_empty() {
        return Err(Error::Failed {
            message: format!("`{service}` has no container"),
            hint: Some(format!("start it with `hoist up -d {service}`")),
        });
    }
    containers.sort_by_key(|container| container.number);
    Ok(containers)
}

/// The running container of a service: the one with this number, or the first.
pub(super) async fn running(
    docker: &Docker,
    project: &Outline,
    service: &str,
    number: Option<u32>,
) -> Result<Container, Error> {
    let mut containers = of_service(docker, project, service).await?;
    containers.retain(|container| number.is_none_or(|number| container.number == number));
    let stopped = containers.first().cloned();
    let found = containers.into_iter().find(|container| container.state.is_running());
    found.ok_or_else(|| match (stopped, number) {
        (Some(container), _) => Error::Failed {
            message: format!("`{}` is not running, its state is `{}`", container.name, container.state.as_str()),
            hint: Some(format!("start it with `hoist up -d {service}`")),
        },
        (None, Some(number)) => Error::failed(format!("`{service}` has no container with number {number}")),
        (None, None) => Error::failed(format!("`{service}` has no container")),
    })
}

/// Seconds of the command line as a duration.
pub(super) fn grace(seconds: Option<u64>) -> Option<Duration> {
    seconds.map(Duration::from_secs)
}

/// Colours nothing from here on, as `--no-color` asks.
pub(super) fn no_colour() {
    anstream::ColorChoice::Never.write_global();
    console::set_colors_enabled(false);
    console::set_colors_enabled_stderr(false);
}

#[cfg(test)]
mod tests {
    use super::checked_name;

    #[test]
    fn a_project_name_is_lower_case() {
        assert!(checked_name("shop-2_x").is_ok());
        for wrong in ["", "Shop", "-shop", "_shop", "a.b", "a b"] {
            assert!(checked_name(wrong).is_err(), "`{wrong}` was taken");
        }
    }
}
