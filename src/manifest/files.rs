//! Files → one tree: each is read, its variables replaced, what it includes and extends brought in, and then laid over
//! the one before.

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::environment::{EnvFileError, read_env_file, shown};
use super::interpolate::{BUDGET, Filling};
use super::merge::{Noted, merge};
use super::nearest::nearest;
use super::node::{Map, Node, Value};
use super::parse::parse;
use super::problem::{Place, Problem, Source, Sources};
use super::trail::{Origins, Trail};
use super::{Loader, ReadError, Steps, paths};

/// How deeply manifests may include each other.
const MAX_INCLUDES: usize = 32;

/// What the assembling of a project's files shares.
pub(super) struct Assembly<'a> {
    pub(super) loader: &'a dyn Loader,
    pub(super) current: &'a Path,
    pub(super) home: Option<String>,
    pub(super) sources: Sources,
    pub(super) problems: Vec<Problem>,
    pub(super) steps: Steps,
    pub(super) trail: Trail,
    /// Where the variables come from that are replaced now.
    pub(super) origins: Origins,
    /// The variables that were told to be missing.
    told: HashSet<String>,
    /// How many bytes values may still take.
    budget: Cell<usize>,
    /// What was included already, by file and folder: twice is once.
    included: HashSet<(PathBuf, PathBuf)>,
    /// The manifests being included, the outermost first.
    including: Vec<PathBuf>,
}

/// Variables by name.
pub(super) type Variables = BTreeMap<String, String>;

impl<'a> Assembly<'a> {
    pub(super) fn new(loader: &'a dyn Loader, current: &'a Path, sources: Sources, problems: Vec<Problem>) -> Self {
        Self {
            loader,
            current,
            home: None,
            sources,
            problems,
            steps: Steps::default(),
            trail: Trail::default(),
            origins: Origins::new(),
            told: HashSet::new(),
            budget: Cell::new(BUDGET),
            included: HashSet::new(),
            including: Vec::new(),
        }
    }

    /// The documents of a file as written. `named` is where the file is named, if in a file, and what that does.
    pub(super) fn read(&mut self, path: &Path, base: &Path, named: Option<(Place, &'static str)>) -> Option<Vec<Node>> {
        let text = match self.loader.read(path) {
            Ok(text) => text,
            Err(error) => {
                let mut problem = Problem::error(format!("cannot read `{}`: {error}", self.shown(path)));
                problem.place = named.map(|(place, _)| place);
                problem.hint = self.file_hint(path, &error);
                self.problems.push(problem);
                return None;
            }
        };
        // Without a byte order mark, so that places count from the text itself.
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        let shown = self.shown(path);
        let base = base.to_string_lossy().into();
        let file = self.sources.add(Source { path: path.into(), shown, text: text.into(), base });
        if let Some((place, how)) = named {
            self.trail.name(file, place, how);
        }
        let text = self.sources.get(file)?.text.clone();
        let (documents, problems) = parse(&text, file);
        self.trail.has_gap |= documents.is_empty() && !problems.is_empty();
        let is_sound = problems.is_empty();
        self.problems.extend(problems);
        if documents.iter().all(Node::is_null) {
            if is_sound {
                let start = Place { file, start: 0, end: 0 };
                self.problems.push(Problem::error("the manifest is empty").at(start).hint("begin with `services:`"));
            }
            return None;
        }
        Some(documents.into_iter().filter(|document| self.is_mapping(document)).collect())
    }

    /// What to do about a file that cannot be read.
    pub(super) fn file_hint(&self, path: &Path, error: &ReadError) -> Option<String> {
        if *error != ReadError::Missing {
            return None;
        }
        let (folder, name) = (path.parent()?, path.file_name()?.to_str()?);
        let names = self.loader.names(folder);
        let similar = nearest(name, names.iter().map(String::as_str));
        Some(match similar {
            Some(similar) => format!("did you mean `{}`?", self.shown(&folder.join(similar))),
            None if !self.loader.is_directory(folder) => format!("there is no folder `{}`", self.shown(folder)),
            None => "make the file, or correct its name".to_owned(),
        })
    }

    fn is_mapping(&mut self, document: &Node) -> bool {
        let is_mapping = document.as_map().is_some();
        if !is_mapping && !document.is_null() {
            let problem = Problem::error("a manifest is a mapping with `services`").at(document.place);
            self.problems.push(problem);
        }
        is_mapping
    }

    /// Where a merge tells what it finds and does.
    pub(super) fn noted(&mut self) -> Noted<'_> {
        Noted { problems: &mut self.problems, trail: &mut self.trail }
    }

    pub(super) fn shown(&self, path: &Path) -> String {
        shown(path, self.current)
    }

    /// Replaces the variables of a document.
    pub(super) fn fill_in(&mut self, document: &mut Node, variables: &Variables) {
        if self.steps.interpolate {
            let lookup = |name: &str| variables.get(name).map(String::as_str);
            let (sources, budget) = (&self.sources, &self.budget);
            let (told, problems) = (&mut self.told, &mut self.problems);
            let (trail, origins) = (&mut self.trail, &self.origins);
            Filling { lookup: &lookup, sources, told, problems, budget, trail, origins }.fill(document);
        }
    }

    /// Lays documents over each other, each with what it includes and extends. The first problem of form ends a document.
    pub(super) fn assemble(&mut self, documents: Vec<Node>, folder: &Path, variables: &Variables) -> Option<Node> {
        let mut whole: Option<Node> = None;
        for mut document in documents {
            let includes = document.as_map_mut().and_then(|map| map.remove("include"));
            if let Some(includes) = includes {
                for part in self.include(&includes.value, includes.key_place, folder, variables) {
                    self.lay(&mut whole, part);
                }
            }
            self.extend_all(&mut document, whole.as_ref(), folder, variables);
            self.lay(&mut whole, document);
        }
        whole
    }

    fn lay(&mut self, whole: &mut Option<Node>, part: Node) {
        match whole {
            Some(whole) => merge(whole, part, &mut Vec::new(), &mut self.noted()),
            None => *whole = Some(part),
        }
    }

    /// The manifests that one includes.
    fn include(&mut self, list: &Node, key: Place, folder: &Path, variables: &Variables) -> Vec<Node> {
        let Some(items) = list.as_list() else {
            let problem = Problem::error("expected a list of manifests").at(key);
            self.problems.push(problem.hint("write `include: [other.yaml]`"));
            return Vec::new();
        };
        items.iter().filter_map(|item| self.include_one(item, folder, variables)).collect()
    }

    fn include_one(&mut self, item: &Node, folder: &Path, variables: &Variables) -> Option<Node> {
        self.check_keys(item, &["path", "project_directory", "env_file"]);
        let files = match item.as_map() {
            Some(_) => item.get("path").map(texts).unwrap_or_default(),
            None => texts(item),
        };
        let Some((first, place)) = files.first() else {
            let problem = Problem::error("an include names no file").at(item.shown_place());
            self.problems.push(problem.hint("say with `path` which manifest it is"));
            return None;
        };
        if first.contains("://") || first.starts_with("git@") {
            let problem = Problem::error("a manifest of another machine cannot be included yet").at(*place);
            self.problems.push(problem.hint("fetch it and name the file"));
            return None;
        }
        let resolve =
            |path: &str| PathBuf::from(paths::absolute(path, &folder.to_string_lossy(), self.home.as_deref()));
        let first = resolve(first);
        let directory = match item.get("project_directory").and_then(Node::as_text) {
            Some(directory) => resolve(directory),
            None => first.parent().map_or_else(|| folder.to_path_buf(), Path::to_path_buf),
        };
        let files: Vec<(PathBuf, Place)> = files.iter().map(|(path, place)| (resolve(path), *place)).collect();
        let env_files = item.get("env_file").map(texts).unwrap_or_default();
        let env_files: Vec<(PathBuf, Place)> = env_files.iter().map(|(path, place)| (resolve(path), *place)).collect();
        if self.including.contains(&first) || self.including.len() > MAX_INCLUDES {
            let chain = self.including.iter().chain([&first]).map(|path| format!("`{}`", self.shown(path)));
            let message = format!("manifests include each other: {}", chain.collect::<Vec<_>>().join(" → "));
            self.problems.push(Problem::error(message).at(*place));
            return None;
        }
        if !self.included.insert((first.clone(), directory.clone())) {
            return None;
        }
        let (variables, origins) = self.included_variables(&directory, &env_files, variables);
        let outer = std::mem::replace(&mut self.origins, origins);
        let whole = self.include_files(&files, first, &directory, &variables);
        self.origins = outer;
        whole
    }

    fn include_files(
        &mut self,
        files: &[(PathBuf, Place)],
        first: PathBuf,
        directory: &Path,
        variables: &Variables,
    ) -> Option<Node> {
        let mut documents = Vec::new();
        for (file, place) in files {
            documents.extend(self.read(file, directory, Some((*place, "included here")))?);
        }
        for document in &mut documents {
            // An included project runs under the name of the one that includes it.
            document.as_map_mut().and_then(|map| map.remove("name"));
            self.fill_in(document, variables);
        }
        self.including.push(first);
        let mut whole = self.assemble(documents, directory, variables);
        self.including.pop();
        for service in whole.iter_mut().filter_map(|whole| whole.as_map_mut()?.get_mut("services")?.value.as_map_mut())
        {
            let environments =
                service.entries.iter_mut().filter_map(|it| it.value.as_map_mut()?.get_mut("environment"));
            environments.for_each(|environment| give_values(&mut environment.value, variables));
        }
        whole
    }

    /// The variables of an included project: its own files', where the including one does not know better.
    fn included_variables(
        &mut self,
        directory: &Path,
        env_files: &[(PathBuf, Place)],
        outer: &Variables,
    ) -> (Variables, Origins) {
        let default = directory.join(".env");
        let mut files: Vec<(PathBuf, Option<Place>)> =
            env_files.iter().map(|(path, place)| (path.clone(), Some(*place))).collect();
        if files.is_empty() && self.loader.is_file(&default) {
            files.push((default, None));
        }
        let mut own = Variables::new();
        let mut origins = Origins::new();
        for (path, place) in files {
            if path == Path::new("/dev/null") {
                continue;
            }
            let lookup = |name: &str| outer.get(name).or_else(|| own.get(name)).map(String::as_str);
            match read_env_file(&path, false, self.loader, self.current, &mut self.sources, &lookup) {
                Ok((variables, file)) => {
                    origins.extend(variables.keys().map(|name| (name.clone(), file)));
                    own.extend(variables);
                }
                Err(EnvFileError::Mistake(mut problem)) => {
                    if let Some(place) = place {
                        problem.add_related(place, "named here");
                    }
                    self.problems.push(*problem);
                }
                Err(EnvFileError::Read(error)) => {
                    let mut problem = Problem::error(format!("cannot read `{}`: {error}", self.shown(&path)));
                    problem.place = place;
                    problem.hint = self.file_hint(&path, &error);
                    self.problems.push(problem);
                }
            }
        }
        own.extend(outer.iter().map(|(name, value)| (name.clone(), value.clone())));
        origins.retain(|name, _| !outer.contains_key(name));
        origins.extend(self.origins.iter().map(|(name, file)| (name.clone(), *file)));
        (own, origins)
    }

    pub(super) fn check_keys(&mut self, node: &Node, known: &[&str]) {
        let Some(map) = node.as_map() else { return };
        for entry in map.entries.iter().filter(|entry| !known.contains(&&*entry.key) && !entry.key.starts_with("x-")) {
            let problem = Problem::error(format!("unknown key `{}`", entry.key)).at(entry.key_place);
            self.problems.push(match nearest(&entry.key, known.iter().copied()) {
                Some(name) => problem.hint(format!("did you mean `{name}`?")),
                None => problem.hint(format!("known are `{}`", known.join("`, `"))),
            });
        }
    }
}

/// Gives the variables of a service that are listed without a value those that they have here. In a mapping they wait
/// for the project's own, as docker compose has it.
fn give_values(environment: &mut Node, variables: &Variables) {
    let Value::List(items) = &mut environment.value else { return };
    for item in items {
        let given = item.as_text().and_then(|name| Some(format!("{name}={}", variables.get(name)?)));
        if let Some(given) = given {
            *item = Node::text(given, item.place);
        }
    }
}

/// The texts of a scalar or a list, with their places.
fn texts(node: &Node) -> Vec<(String, Place)> {
    let items = node.as_list().unwrap_or(std::slice::from_ref(node));
    items.iter().filter_map(|item| Some((item.as_text()?.to_owned(), item.place))).collect()
}

/// An empty manifest.
pub(super) fn empty() -> Node {
    Node::map(Map::default(), Place::default())
}
