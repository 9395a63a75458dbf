//! `extends`: a service takes over another one's attributes, of the same file or of another, before files are merged.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::files::{Assembly, Variables};
use super::merge::merge;
use super::nearest::nearest;
use super::node::{Entry, Node, Value};
use super::paths;
use super::problem::{Place, Problem};

/// How many values extended services may have together.
const MAX_COPIED: usize = 1_000_000;
/// How long a chain of services that extend each other may be.
const MAX_CHAIN: usize = 64;

/// A service in a file.
type Key = (PathBuf, Box<str>);

/// What the resolving of one document's services shares.
struct Extension<'v> {
    variables: &'v Variables,
    /// Other files, read and with variables replaced.
    files: HashMap<PathBuf, Node>,
    /// The services being resolved, the outermost first.
    open: Vec<Key>,
    /// Services that are resolved.
    done: HashMap<Key, Node>,
    /// Services that cannot be resolved, which was told.
    broken: HashSet<Key>,
    /// How many values were copied.
    copied: usize,
}

impl Assembly<'_> {
    /// Resolves the `extends` of every service of a document. Services of `below`, what was loaded before, may be named.
    pub(super) fn extend_all(
        &mut self,
        document: &mut Node,
        below: Option<&Node>,
        folder: &Path,
        variables: &Variables,
    ) {
        let extends = |entry: &Entry| entry.value.get("extends").is_some();
        let services = document.get("services").and_then(Node::as_map);
        let names: Vec<Box<str>> = services
            .map(|map| map.entries.iter().filter(|entry| extends(entry)).map(|entry| entry.key.clone()).collect())
            .unwrap_or_default();
        if names.is_empty() {
            return;
        }
        let mut extension = Extension {
            variables,
            files: HashMap::new(),
            open: Vec::new(),
            done: HashMap::new(),
            broken: HashSet::new(),
            copied: 0,
        };
        let here = PathBuf::new();
        // What is extended is looked for in this document first.
        let mut known = below.cloned().unwrap_or_else(super::files::empty);
        if let (Some(services), Value::Map(known)) = (document.get("services"), &mut known.value) {
            let whole = known.remove("services");
            let mut merged = services.clone();
            if let (Some(map), Some(below)) = (merged.as_map_mut(), whole) {
                let added = below.value.as_map().map(|map| map.entries.clone()).unwrap_or_default();
                let missing: Vec<Entry> = added.into_iter().filter(|entry| map.get(&entry.key).is_none()).collect();
                map.entries.extend(missing);
            }
            known.entries.push(Entry::new("services", services.place, merged));
        }
        extension.files.insert(here.clone(), known);
        for name in names {
            let resolved = self.extended(&mut extension, &(here.clone(), name.clone()), folder);
            let entry = document.as_map_mut().and_then(|map| map.get_mut("services"));
            let entry = entry.and_then(|services| services.value.as_map_mut()).and_then(|map| map.get_mut(&name));
            if let (Some(entry), Some(resolved)) = (entry, resolved) {
                entry.value = resolved;
            }
        }
    }

    /// A service with all that it extends.
    fn extended(&mut self, extension: &mut Extension<'_>, key: &Key, folder: &Path) -> Option<Node> {
        if let Some(done) = extension.done.get(key) {
            extension.copied += done.count();
            return (extension.copied <= MAX_COPIED).then(|| done.clone());
        }
        if extension.broken.contains(key) {
            return None;
        }
        let mut service = extension.files.get(&key.0)?.get("services")?.get(&key.1)?.clone();
        let extends = service.as_map_mut().and_then(|map| map.remove("extends"));
        if let Some(extends) = extends {
            extension.open.push(key.clone());
            let base = self.base_of(extension, &extends, key, folder);
            extension.open.pop();
            let Some(mut base) = base else {
                extension.broken.insert(key.clone());
                return None;
            };
            let mut path: Vec<Box<str>> = vec!["services".into(), key.1.clone()];
            merge(&mut base, service, &mut path, &mut self.noted());
            service = base;
        }
        extension.copied += service.count();
        if extension.copied > MAX_COPIED {
            let place = service.shown_place();
            if extension.broken.insert(key.clone()) && extension.copied - service.count() <= MAX_COPIED {
                self.problems.push(Problem::error("what services extend adds up to too much").at(place));
            }
            return None;
        }
        extension.done.insert(key.clone(), service.clone());
        Some(service)
    }

    fn base_of(&mut self, extension: &mut Extension<'_>, extends: &Entry, key: &Key, folder: &Path) -> Option<Node> {
        self.check_keys(&extends.value, &["file", "service"]);
        let (name, place) = self.extended_name(extends)?;
        let file = extends.value.get("file").filter(|file| !file.is_null());
        if let Some(remote) = file.filter(|file| file.as_text().is_some_and(|path| path.contains("://"))) {
            let problem = Problem::error("a file of another machine cannot be extended yet").at(remote.place);
            self.problems.push(problem.hint("fetch it and name the file"));
            return None;
        }
        let (target, target_folder) = match file {
            Some(file) => self.open_file(extension, file, folder)?,
            None => (key.0.clone(), folder.to_path_buf()),
        };
        let target: Key = (target, name.clone());
        if extension.open.contains(&target) || extension.open.len() > MAX_CHAIN {
            let chain = extension.open.iter().chain([&target]).map(|(_, name)| &**name).collect::<Vec<_>>();
            let message = format!("services extend each other: `{}`", chain.join(" → "));
            self.problems.push(Problem::error(message).at(place).label("this closes the circle"));
            return None;
        }
        let services = extension.files.get(&target.0).and_then(|file| file.get("services")).and_then(Node::as_map);
        if services.is_none_or(|services| services.get(&name).is_none()) {
            let names = services.map(|map| map.entries.iter().map(|entry| &*entry.key).collect()).unwrap_or_default();
            let problem = missing(&key.1, &name, place, names);
            self.problems.push(problem);
            return None;
        }
        self.extended(extension, &target, &target_folder)
    }

    fn extended_name(&mut self, extends: &Entry) -> Option<(Box<str>, Place)> {
        let node = match &extends.value.value {
            Value::Map(_) => extends.value.get("service"),
            _ => Some(&extends.value),
        };
        let name = node.and_then(|node| Some((node.as_text()?.into(), node.place)));
        if name.is_none() {
            let problem = Problem::error("`extends` names no service").at(extends.key_place);
            self.problems.push(problem.hint("say with `service` whose attributes are taken over"));
        }
        name
    }

    /// Reads another file, whose relative paths start from its own folder.
    fn open_file(&mut self, extension: &mut Extension<'_>, file: &Node, folder: &Path) -> Option<(PathBuf, PathBuf)> {
        let path = PathBuf::from(paths::absolute(file.as_text()?, &folder.to_string_lossy(), self.home.as_deref()));
        let own_folder = path.parent().map_or_else(|| folder.to_path_buf(), Path::to_path_buf);
        if !extension.files.contains_key(&path) {
            let mut whole: Option<Node> = None;
            for mut document in self.read(&path, &own_folder, Some((file.place, "extended here")))? {
                self.fill_in(&mut document, extension.variables);
                match &mut whole {
                    Some(whole) => merge(whole, document, &mut Vec::new(), &mut self.noted()),
                    None => whole = Some(document),
                }
            }
            extension.files.insert(path.clone(), whole?);
        }
        Some((path, own_folder))
    }
}

fn missing(service: &str, name: &str, place: Place, known: Vec<&str>) -> Problem {
    let problem = Problem::error(format!("`{service}` extends `{name}`, which is no service there")).at(place);
    match nearest(name, known) {
        Some(name) => problem.hint(format!("did you mean `{name}`?")),
        None => problem.hint("name a service of that file, or another file with `file`"),
    }
}
