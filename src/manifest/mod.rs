//! YAML text, variables and a base folder → a [`Project`], or every problem found with its place, in small passes.
//!
//! Reads no file and no variable itself: it is given a [`Loader`] and the environment in its [`Request`]. What is
//! written (`raw`) and what is meant ([`crate::project`]) are different types.

mod complete;
mod discover;
mod dotenv;
mod environment;
mod extend;
mod extensions;
mod files;
#[cfg(fuzzing)]
pub mod fuzz;
mod grammar;
mod interpolate;
mod keys;
mod locate;
mod merge;
mod model;
mod nearest;
mod node;
mod parse;
mod paths;
pub mod problem;
mod profiles;
mod raw;
mod read;
mod resolve;
mod scalar;
pub mod schema;
pub mod secret;
mod sections;
mod select;
mod trail;
mod validate;
mod value;
mod variables;
pub mod written;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::project::Project;
use environment::Environment;
pub use extensions::Extra;
use files::Assembly;
use node::Node;
use problem::{Problem, Sources};
use read::Context;
use resolve::Origin;
pub use scalar::is_plain_text;
use validate::Check;
pub use variables::{Use, variables};
use written::Written;

/// What is to be loaded, as the command line and the environment say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The files of `-f`, in order; empty looks for them as Compose does. `-` is standard input.
    pub files: Vec<PathBuf>,
    /// The folder of `--project-directory`.
    pub project_directory: Option<PathBuf>,
    /// The name of `-p`.
    pub project_name: Option<String>,
    /// The profiles of `--profile`; empty takes those of `COMPOSE_PROFILES`, `*` is all.
    pub profiles: Vec<String>,
    /// The files of `--env-file`, in order; empty takes the default `.env`.
    pub env_files: Vec<PathBuf>,
    /// The folder that the command runs in, absolute.
    pub current_directory: PathBuf,
    /// The variables of the process.
    pub environment: BTreeMap<String, String>,
    /// The services named on the command line: their profiles are switched on.
    pub services: Vec<String>,
    /// What is worked out.
    pub steps: Steps,
}

/// The steps from what is written to what is meant, which `config` can leave out one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// Replace variables.
    pub interpolate: bool,
    /// Add what is not written but meant: names, the default network, implied dependencies.
    pub normalize: bool,
    /// Make paths absolute.
    pub paths: bool,
    /// Read the files of variables and labels, and give names without a value theirs.
    pub variables: bool,
    /// Check that what is named is there and that nothing is contradicted.
    pub checks: bool,
    /// Refuse ports of the host that are published twice, because the containers are to run; else they are a warning.
    pub ports: bool,
}

impl Default for Steps {
    fn default() -> Self {
        Self { interpolate: true, normalize: true, paths: true, variables: true, checks: true, ports: true }
    }
}

/// A project that was loaded.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The resolved project, with all services that the profiles leave in (named or not).
    pub project: Project,
    /// The canonical model, as `config --format json` prints it.
    pub model: serde_json::Value,
    /// What the model does not hold: keys that begin with `x-`, and values that still name variables.
    pub extras: Vec<Extra>,
    /// What is doubtful about the manifest.
    pub warnings: Vec<Problem>,
    /// The files that were read, for showing the warnings.
    pub sources: Sources,
    /// The variables that the manifest was read with: the process's over those of the `.env` files.
    pub environment: BTreeMap<String, String>,
    /// Variables were replaced, as [`Request::steps`] asked.
    pub interpolated: bool,
    /// How it is written.
    pub written: Written,
}

/// Why nothing could be loaded: at least one error, and the warnings found on the way.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Everything found.
    pub problems: Vec<Problem>,
    /// The files that were read, for showing the problems.
    pub sources: Sources,
    /// As much as was understood, when it has the form of a manifest.
    pub draft: Option<Box<Draft>>,
}

/// What was understood of a manifest with errors.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The project, without what could not be read.
    pub project: Project,
    /// How it is written.
    pub written: Written,
    /// The variables that the manifest was read with.
    pub environment: BTreeMap<String, String>,
}

/// The file system as the manifest needs it; the edge implements it. Paths are absolute, or `-` for standard input.
pub trait Loader {
    /// The text of a file of [`MAX_FILE_SIZE`] bytes at most.
    fn read(&self, path: &Path) -> Result<String, ReadError>;
    /// Whether there is a file (or pipe, or device) at the path.
    fn is_file(&self, path: &Path) -> bool;
    /// Whether there is a folder at the path.
    fn is_directory(&self, path: &Path) -> bool;
    /// The names of what is in a folder, for saying which one was probably meant.
    fn names(&self, _: &Path) -> Vec<String> {
        Vec::new()
    }
    /// The path without symbolic links, as far as it exists.
    fn real_path(&self, path: &Path) -> PathBuf;
}

/// The largest file that is read, in bytes.
pub const MAX_FILE_SIZE: u64 = 8 * 1024 * 1024;

/// Why a file could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is none.
    #[error("no such file")]
    Missing,
    /// It is a folder.
    #[error("it is a folder")]
    Directory,
    /// It is larger than [`MAX_FILE_SIZE`].
    #[error("it is larger than {} MiB", MAX_FILE_SIZE / 1024 / 1024)]
    TooLarge,
    /// It is not UTF-8.
    #[error("it is not UTF-8 text")]
    NotText,
    /// The system's words.
    #[error("{0}")]
    System(String),
}

/// Loads what is asked for.
///
/// # Errors
/// Every problem found, when there is an error among them.
pub fn load(request: &Request, loader: &dyn Loader) -> Result<Loaded, Failure> {
    let gathered = gather(request, loader)?;
    finish(request, gathered)
}

/// A manifest whose files are one tree.
struct Gathered<'a> {
    assembly: Assembly<'a>,
    tree: Node,
    origin: Origin,
    environment: Environment,
}

/// Reads all files and lays them over each other.
fn gather<'a>(request: &'a Request, loader: &'a dyn Loader) -> Result<Gathered<'a>, Failure> {
    let mut sources = Sources::default();
    let mut problems = Vec::new();
    let mut environment = Environment::new(request, loader, &mut sources, &mut problems);
    let found = discover::find(request, &mut environment, loader, &mut sources, &mut problems);
    let Some(found) = found else { return Err(Failure { problems, sources, draft: None }) };
    let asked = discover::asked_name(request, &environment, &mut problems);
    let mut assembly = Assembly::new(loader, &request.current_directory, sources, problems);
    assembly.steps = request.steps;
    assembly.home = environment.get("HOME").or_else(|| environment.get("USERPROFILE")).map(str::to_owned);
    let mut documents = Vec::new();
    for file in &found.files {
        documents.extend(assembly.read(file, &found.directory, None).unwrap_or_default());
    }
    let name = project_name(asked, &documents, &found.directory, &environment, &mut assembly.problems);
    environment.variables.insert("COMPOSE_PROJECT_NAME".to_owned(), name.clone());
    assembly.origins = environment.origins.clone();
    for document in &mut documents {
        assembly.fill_in(document, &environment.variables);
    }
    let tree = assembly.assemble(documents, &found.directory, &environment.variables);
    let Some(mut tree) = tree else {
        let problems = assembly.trail.report(assembly.problems, None, &assembly.sources);
        return Err(Failure { problems, sources: assembly.sources, draft: None });
    };
    merge::drop_reset(&mut tree);
    if tree.as_map().is_some_and(|map| map.entries.is_empty()) {
        let problem = Problem::error("the manifest is empty").at(tree.place);
        assembly.problems.push(problem.hint("begin with `services:`"));
    }
    let origin =
        Origin { name, directory: found.directory, files: found.files, environment_files: environment.files.clone() };
    Ok(Gathered { assembly, tree, origin, environment })
}

/// The finished tree → the project.
fn finish(request: &Request, gathered: Gathered<'_>) -> Result<Loaded, Failure> {
    let Gathered { mut assembly, tree, origin, environment } = gathered;
    let relative_to = (!request.steps.paths).then_some(origin.directory.as_path());
    let context = Context::new(&assembly.sources, assembly.home.as_deref(), relative_to);
    let mut sections = sections::read(&tree, &context);
    let mut extras = extensions::extensions(&tree);
    if !request.steps.interpolate {
        extras.extend(context.leave_unfilled(&tree));
    }
    let found = context.into_problems();
    assembly.problems.extend(found);
    // Checks of sense would only repeat what is wrong in form.
    let well_formed = !assembly.problems.iter().any(Problem::is_error);
    let variables = &environment.variables;
    let disabled = profiles::split(&mut sections.services, request, variables, &mut assembly.problems);
    complete::services(&mut sections, variables, &mut assembly);
    let mut check = Check {
        tree: &tree,
        sections: &sections,
        disabled: &disabled,
        named: &request.services,
        steps: request.steps,
        problems: Vec::new(),
    };
    check.resources();
    if request.steps.interpolate {
        check.services();
    }
    let checks = if request.steps.checks { check.problems } else { Vec::new() };
    complete::resources(&mut sections, &tree, &origin.name, &mut assembly);
    if well_formed {
        assembly.problems.extend(checks);
    } else if !assembly.trail.has_gap {
        assembly.problems.extend(checks.into_iter().filter(|problem| problem.place.is_some()));
    }
    let problems = assembly.trail.report(assembly.problems, Some(&tree), &assembly.sources);
    if problems.iter().any(Problem::is_error) {
        let project = resolve::project(origin, &sections, &disabled, variables);
        let draft = Draft { project, written: Written::new(tree), environment: environment.variables };
        return Err(Failure { problems, sources: assembly.sources, draft: Some(Box::new(draft)) });
    }
    let model = model::model(&origin.name, &sections);
    let project = resolve::project(origin, &sections, &disabled, variables);
    Ok(Loaded {
        project,
        model,
        extras,
        warnings: problems,
        sources: assembly.sources,
        environment: environment.variables,
        interpolated: request.steps.interpolate,
        written: Written::new(tree),
    })
}

/// What the project is called: what is asked for, else the last `name`, else the folder.
fn project_name(
    asked: Option<String>,
    documents: &[Node],
    directory: &Path,
    environment: &Environment,
    problems: &mut Vec<Problem>,
) -> String {
    if let Some(name) = asked {
        return name;
    }
    let written = documents.iter().rev().find_map(|document| document.get("name")?.as_text());
    let lookup = |name: &str| environment.get(name);
    let written = written
        .and_then(|name| interpolate::expand(name, &lookup, &Cell::new(interpolate::BUDGET), &mut |_, _, _| {}).ok());
    let written = written.map(|name| discover::normal_name(&name)).filter(|name| !name.is_empty());
    let folder =
        || directory.file_name().map(|name| discover::normal_name(&name.to_string_lossy())).unwrap_or_default();
    let name = written.unwrap_or_else(folder);
    if name.is_empty() {
        let problem = Problem::error("the project has no name: its folder's has no letter or digit that can be used");
        problems.push(problem.hint("name it with `name:` in the manifest, or with `-p`"));
    }
    name
}

/// Reads a duration as the manifest writes it: `90s`, `5m`, `1h30m`.
///
/// # Errors
/// What is wrong with it, with a hint after a line end.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    let nanoseconds = value::duration::parse(text)?;
    u64::try_from(nanoseconds)
        .map(std::time::Duration::from_nanos)
        .map_err(|_| format!("`{text}` is no duration: it is negative"))
}
