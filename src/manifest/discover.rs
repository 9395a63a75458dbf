//! Which files make up a project, which folder is its own, and what it is called.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::problem::{Problem, Sources};
use super::{Loader, Request, paths};

/// The names that are looked for, the preferred first.
const NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
/// The names of what is laid over it.
const OVERRIDES: [&str; 4] =
    ["compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"];

/// The files of a project, absolute and in order, and its folder.
pub(super) struct Found {
    pub(super) files: Vec<PathBuf>,
    pub(super) directory: PathBuf,
}

/// Finds the files and completes the environment with the default `.env`s on the way.
pub(super) fn find(
    request: &Request,
    environment: &mut Environment,
    loader: &dyn Loader,
    sources: &mut Sources,
    problems: &mut Vec<Problem>,
) -> Option<Found> {
    let current = &request.current_directory;
    let given = request.project_directory.as_ref().map(|directory| cleaned(&current.join(directory)));
    let mut files: Vec<PathBuf> = request.files.iter().map(|file| absolute(file, current)).collect();
    if files.is_empty() {
        environment.add_default(given.as_ref().unwrap_or(current), loader, current, sources, problems);
        files = from_variable(environment, current);
    }
    if files.is_empty() {
        files = search(given.as_ref().unwrap_or(current), loader, problems);
    }
    let Some(first) = files.first() else {
        problems.push(
            Problem::error(format!("no manifest found in `{}` or a folder above", current.display()))
                .hint("make a `compose.yaml`, or name a file with `-f`"),
        );
        return None;
    };
    let of_first = if first == Path::new("-") { None } else { first.parent().map(Path::to_path_buf) };
    let directory = given.or(of_first).unwrap_or_else(|| current.clone());
    environment.add_default(&directory, loader, current, sources, problems);
    Some(Found { files, directory })
}

fn absolute(file: &Path, current: &Path) -> PathBuf {
    if file == Path::new("-") { file.to_path_buf() } else { cleaned(&current.join(file)) }
}

fn cleaned(path: &Path) -> PathBuf {
    path.to_str().map_or_else(|| path.to_path_buf(), |path| PathBuf::from(paths::clean(path)))
}

fn from_variable(environment: &Environment, current: &Path) -> Vec<PathBuf> {
    let Some(list) = environment.get("COMPOSE_FILE").filter(|list| !list.is_empty()) else { return Vec::new() };
    let separator = environment.get("COMPOSE_PATH_SEPARATOR").filter(|text| !text.is_empty());
    let separator = separator.unwrap_or(if cfg!(windows) { ";" } else { ":" });
    list.split(separator).filter(|file| !file.is_empty()).map(|file| absolute(Path::new(file), current)).collect()
}

fn search(start: &Path, loader: &dyn Loader, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    for folder in start.ancestors() {
        let Some(main) = first_of(&NAMES, folder, loader, problems) else { continue };
        return std::iter::once(main).chain(first_of(&OVERRIDES, folder, loader, problems)).collect();
    }
    Vec::new()
}

fn first_of(names: &[&str], folder: &Path, loader: &dyn Loader, problems: &mut Vec<Problem>) -> Option<PathBuf> {
    let present: Vec<&str> = names.iter().copied().filter(|name| loader.is_file(&folder.join(name))).collect();
    let (first, others) = present.split_first()?;
    if !others.is_empty() {
        let others: Vec<String> = others.iter().map(|name| format!("`{name}`")).collect();
        let message = format!("`{first}` is used, and {} beside it is not", others.join(", "));
        problems.push(Problem::warning(message).hint("keep one, or name the files with `-f`"));
    }
    Some(folder.join(first))
}

/// A name made from any text: lower case, nothing but letters, digits, `_` and `-`, and a letter or digit first.
pub(super) fn normal_name(text: &str) -> String {
    let lower = text.to_lowercase();
    let kept: String = lower.chars().filter(|kept| matches!(kept, 'a'..='z' | '0'..='9' | '_' | '-')).collect();
    kept.trim_start_matches(['_', '-']).to_owned()
}

/// The name that a flag or the environment asks for; it must be right as it stands.
pub(super) fn asked_name(request: &Request, environment: &Environment, problems: &mut Vec<Problem>) -> Option<String> {
    let variable = environment.get("COMPOSE_PROJECT_NAME").filter(|name| !name.is_empty());
    let asked = request.project_name.as_deref().filter(|name| !name.is_empty()).or(variable)?;
    if normal_name(asked) != asked {
        problems.push(
            Problem::error(format!("`{asked}` cannot be a project's name"))
                .hint("use lower-case letters, digits, `-` and `_`, and a letter or digit first"),
        );
    }
    Some(asked.to_owned())
}
