//! The watch rules that a person would have written: told from a service's Dockerfile, from the names of the files around
//! it and from the scripts of `package.json`.
//!
//! Where the sources of an interpreted language are copied last, they need not be built: what is saved goes into the
//! container, and what says what is installed rebuilds. Everything that it is not sure of rebuilds. It reads no file.

mod command;
mod language;
mod recipe;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::ignore::Patterns;
use crate::project::{Build, BuildContext, MountSource, Service, WatchAction, WatchRule};
use command::Running;
use language::Language;
use recipe::{Copied, Early, Recipe};

/// More files than this that not everybody may read are no exceptions.
pub const MOST_PRIVATE: usize = 16;

/// What is known of the files that a service is built from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildFiles {
    /// The Dockerfile's text.
    pub dockerfile: String,
    /// The names of the files at the top of the context.
    pub names: BTreeSet<String>,
    /// Those of the paths that the Dockerfile copies that are folders, relative to the context.
    pub folders: BTreeSet<String>,
    /// The scripts of `package.json`.
    pub scripts: BTreeMap<String, String>,
    /// Files that not everybody may read, relative to the context, each with its owner's number; no more than
    /// [`MOST_PRIVATE`] and one.
    pub private: BTreeMap<String, u32>,
}

/// The rules of a service, and what else there is to say of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inferred {
    /// The rules.
    pub rules: Vec<Reasoned>,
    /// What is left out, and why.
    pub notes: Vec<String>,
}

/// A rule and why it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reasoned {
    /// The rule.
    pub rule: WatchRule,
    /// The files that it is about, for people; its path when there is none.
    pub files: Vec<PathBuf>,
    /// Why it is there, for people.
    pub why: String,
}

/// The paths that a Dockerfile copies, relative to the context: which of them are folders has to be looked up.
#[must_use]
pub fn copied(dockerfile: &str) -> BTreeSet<String> {
    recipe::copied(dockerfile)
}

/// The files at the top of a context from which rules are told, whether or not they are there.
#[must_use]
pub fn sources(context: &Path) -> Vec<PathBuf> {
    language::telling().map(|name| context.join(name)).collect()
}

/// The rules for the files of a build context; none when it is not a folder of this machine. Its Dockerfile and its ignore
/// file are not among them.
#[must_use]
pub fn infer(service: &Service, build: &Build, files: Option<&BuildFiles>) -> Inferred {
    let BuildContext::Local(context) = &build.context else { return Inferred::default() };
    let told = match files {
        Some(files) => from_dockerfile(service, build, context, files),
        None => Err("its Dockerfile cannot be read".to_owned()),
    };
    let mut told = told.unwrap_or_else(|why| {
        let rule = WatchRule::new(context.clone(), WatchAction::Rebuild);
        Inferred { rules: vec![Reasoned { rule, files: Vec::new(), why }], notes: Vec::new() }
    });
    told.rules.extend(build.folders().map(|folder| {
        let why = "another context of its build".to_owned();
        Reasoned { rule: WatchRule::new(folder, WatchAction::Rebuild), files: Vec::new(), why }
    }));
    told
}

/// The error says why everything rebuilds.
fn from_dockerfile(service: &Service, build: &Build, context: &Path, files: &BuildFiles) -> Result<Inferred, String> {
    let recipe = recipe::read(&files.dockerfile, build)?;
    let running = command::follow(&words(service, &recipe), variables(service, &recipe), &files.scripts);
    let told = language::tell(&files.names, &running.programs, &recipe.base);
    let (language, file) = told.map_err(|unsure| unsure.to_string())?;
    if service.read_only {
        return Err("its files cannot be written (`read_only`)".to_owned());
    }
    if !service.volumes_from.is_empty() {
        return Err("it has volumes of another container".to_owned());
    }
    let private = unreadable(service, &recipe, files)?;
    let mut plan = Plan::new(context, files, &recipe, language, private);
    let mut notes = Vec::new();
    let sources = plan.sources(service, &mut notes);
    if sources.is_empty() && notes.is_empty() && plan.rebuilt.is_empty() {
        return Err(not_last(&recipe, language));
    }
    let why = Why { language, file, reloader: reloader(&running, language, &recipe) };
    let mut rules: Vec<Reasoned> = sources.iter().map(|source| plan.sync(service, source, &sources, &why)).collect();
    rules.extend(plan.rebuilds());
    Ok(Inferred { rules, notes })
}

/// What the container runs, by the manifest and else by the image.
fn words(service: &Service, recipe: &Recipe) -> Vec<String> {
    let entrypoint = service.entrypoint.as_ref().or(recipe.entrypoint.as_ref());
    // An entrypoint of the manifest's own puts the image's command aside.
    let image = recipe.cmd.as_ref().filter(|_| service.entrypoint.is_none());
    let cmd = service.command.as_ref().or(image);
    entrypoint.into_iter().chain(cmd).flatten().cloned().collect()
}

fn variables(service: &Service, recipe: &Recipe) -> BTreeMap<String, String> {
    let mut variables = recipe.variables.clone();
    for (name, value) in &service.environment {
        match value {
            Some(value) => drop(variables.insert(name.clone(), value.clone())),
            None => drop(variables.remove(name)),
        }
    }
    variables
}

fn reloader(running: &Running, language: Language, recipe: &Recipe) -> Option<String> {
    let served = || match language {
        Language::Php if running.programs.is_empty() => language::serves_php(&recipe.base).map(str::to_owned),
        _ => None,
    };
    running.reloader().or_else(served)
}

/// The files that the container's user could not read once they are copied in with their owner and mode; an error when
/// that may be any.
fn unreadable(service: &Service, recipe: &Recipe, files: &BuildFiles) -> Result<BTreeSet<String>, String> {
    let user = service.user.as_deref().or(recipe.user.as_deref()).map(|user| user.split(':').next().unwrap_or(user));
    let gives = recipe.copies.iter().any(|copy| copy.owner);
    let drops =
        |name: &String| matches!(name.to_ascii_uppercase().as_str(), "ALL" | "DAC_OVERRIDE" | "CAP_DAC_OVERRIDE");
    let is_root = matches!(user, Some("root" | "0")) || (user.is_none() && !gives);
    let reads_all = is_root && !service.cap_drop.iter().any(drops);
    let number = if is_root { Some(0) } else { user.and_then(|user| user.parse::<u32>().ok()) };
    let closed = files.private.iter().filter(|(_, owner)| !reads_all && number != Some(**owner));
    let closed: BTreeSet<String> = closed.map(|(path, _)| path.clone()).collect();
    if closed.len() > MOST_PRIVATE {
        return Err("not everybody may read its files, and the user that it runs as must".to_owned());
    }
    Ok(closed)
}

fn not_last(recipe: &Recipe, language: Language) -> String {
    let built = recipe.early.iter().filter_map(|early| Some((early, early.used?))).next_back();
    match (built, recipe.early.last()) {
        (Some((early, used)), _) if early.line < used => format!(
            "{language}, but the Dockerfile runs something after it copies the sources (line {used} after line {})",
            early.line
        ),
        (Some((early, _)), _) => {
            format!("{language}, but the Dockerfile builds with the sources (line {})", early.line)
        }
        (None, Some(early)) => {
            format!("{language}, but the image gets what was made from the sources (line {})", early.line)
        }
        (None, None) => format!("{language}, but the Dockerfile copies no sources"),
    }
}

/// What the reasons are made of.
struct Why {
    language: Language,
    file: Option<String>,
    reloader: Option<String>,
}

/// A source that is copied last, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    copied: Copied,
    kind: Kind,
    /// Where the folder or file lies in the container; for a pattern the folder that its files go to.
    target: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    File,
    /// Files of one folder, by a pattern.
    Files,
}

/// What is decided for a context.
struct Plan<'a> {
    context: &'a Path,
    files: &'a BuildFiles,
    recipe: &'a Recipe,
    language: Language,
    /// Something is made from all of it.
    all_early: bool,
    early: Patterns,
    /// Names that rebuild, relative to the context.
    installed: Vec<String>,
    private: BTreeSet<String>,
    /// Sources that no sync brings up to date, with why.
    rebuilt: Vec<(String, String)>,
}

impl<'a> Plan<'a> {
    fn new(
        context: &'a Path,
        files: &'a BuildFiles,
        recipe: &'a Recipe,
        language: Language,
        private: BTreeSet<String>,
    ) -> Self {
        let all_early = recipe.early.iter().any(|early| matches!(early.path.as_str(), "" | "*" | "**"));
        let early = Patterns::new_leniently(recipe.early.iter().map(|early| early.path.as_str())).0;
        // What is installed is said at the top, and at the top of each folder that is copied.
        let tops = recipe.copies.iter().map(|copy| &copy.source).filter(|path| files.folders.contains(*path));
        let tops: BTreeSet<String> = tops.map(|path| format!("{path}/")).chain([String::new()]).collect();
        let names = tops.iter().flat_map(|top| language::installed(language).map(move |name| format!("{top}{name}")));
        let installed = names.map(|name| name.trim_start_matches('/').to_owned()).collect();
        Self { context, files, recipe, language, all_early, early, installed, private, rebuilt: Vec::new() }
    }

    /// What can be copied into the container when it is saved.
    fn sources(&mut self, service: &Service, notes: &mut Vec<String>) -> Vec<Source> {
        let installed = Patterns::new_leniently(self.installed.iter().map(String::as_str)).0;
        let mut sources = Vec::new();
        for copied in &self.recipe.copies {
            if self.all_early || self.early.excludes(&copied.source) {
                continue;
            }
            let Some(source) = self.source(copied) else {
                let why = format!("only the build knows what they are called (line {})", copied.line);
                self.rebuilt.push((copied.source.clone(), why));
                continue;
            };
            let is_own = |path: &String| installed.includes(path) || self.private.contains(path);
            if source.kind == Kind::File && is_own(&copied.source) {
                continue;
            }
            match mounted(service, self.recipe, &source.target) {
                None => sources.push(source),
                Some(Over::Bind(at)) => {
                    let note = format!("a bind mount lies over `{at}`: nothing is copied to `{}`", source.target);
                    if !notes.contains(&note) {
                        notes.push(note);
                    }
                }
                Some(Over::Other(at)) => {
                    let why = format!("a volume lies over `{at}`: nothing is copied to `{}`", source.target);
                    self.rebuilt.push((copied.source.clone(), why.clone()));
                    notes.push(why);
                }
            }
        }
        sources
    }

    fn source(&self, copied: &Copied) -> Option<Source> {
        let (folder, name) = copied.source.rsplit_once('/').unwrap_or(("", &copied.source));
        let is_pattern = |text: &str| text.contains(['*', '?', '[']);
        if is_pattern(folder) {
            return None;
        }
        if is_pattern(name) {
            // The contents of folders that it means would go where the files go. Only an ending is sure to mean none.
            let ends = name.strip_prefix('*').is_some_and(|end| end.starts_with('.') && !is_pattern(end));
            let kind = Kind::Files;
            return ends.then(|| Source { copied: copied.clone(), kind, target: copied.target.clone() });
        }
        let is_folder = copied.source.is_empty() || self.files.folders.contains(&copied.source);
        let kind = if is_folder { Kind::Folder } else { Kind::File };
        let target = match kind {
            Kind::File if copied.into => format!("{}/{name}", copied.target.trim_end_matches('/')),
            Kind::File if !names_file(&copied.target, name) => return None,
            _ => copied.target.clone(),
        };
        Some(Source { copied: copied.clone(), kind, target })
    }

    fn sync(&self, service: &Service, source: &Source, all: &[Source], why: &Why) -> Reasoned {
        let target = source.target.clone();
        let action = match &why.reloader {
            Some(_) => WatchAction::Sync { target },
            None => WatchAction::SyncRestart { target },
        };
        let (folder, name) = source.copied.source.rsplit_once('/').unwrap_or(("", &source.copied.source));
        let top = if source.kind == Kind::Files { folder } else { source.copied.source.as_str() };
        let mut rule = WatchRule::new(join(self.context, top), action);
        if source.kind == Kind::Files {
            rule.include.push(name.to_owned());
        }
        if source.kind != Kind::File {
            rule.ignore = self.left_out(service, top, source, all);
        }
        let files =
            if source.kind == Kind::Files { vec![join(self.context, &source.copied.source)] } else { Vec::new() };
        Reasoned { rule, files, why: why.told(source.copied.line) }
    }

    /// What is not copied from a folder, as patterns below it: what rebuilds, what is installed inside, and what something
    /// else lies over in the container.
    fn left_out(&self, service: &Service, top: &str, source: &Source, all: &[Source]) -> Vec<String> {
        let early = self.recipe.early.iter().map(|early| early.path.as_str());
        let rebuilt = self.rebuilt.iter().map(|(path, _)| path.as_str());
        let above = early.chain(rebuilt).chain(self.installed.iter().map(String::as_str));
        let above = above.chain(self.private.iter().map(String::as_str)).chain([
            "Dockerfile*",
            "*.Dockerfile",
            ".dockerignore",
        ]);
        let mut patterns: Vec<String> = above.filter_map(|path| below(path, top)).map(str::to_owned).collect();
        patterns.extend(language::folders(self.language).iter().map(|folder| (*folder).to_owned()));
        let later = all.iter().skip_while(|other| *other != source).skip(1).map(|other| other.target.as_str());
        // A here-document is written after the files of its own line.
        let covered = self.recipe.covered.iter().filter(|(line, _)| *line >= source.copied.line);
        let covered = covered.map(|(_, target)| target.as_str());
        let mounts = service.mounts.iter().map(|mount| mount.target.as_str());
        let given = service.secrets.iter().chain(&service.configs).map(|given| given.target.as_str());
        let inside =
            later.chain(covered).chain(mounts).chain(given).chain(self.recipe.volumes.iter().map(String::as_str));
        let inside = inside.filter_map(|path| below(path, &source.target));
        patterns.extend(inside.map(str::to_owned));
        patterns.sort();
        patterns.dedup();
        patterns
    }

    /// What rebuilds: files that something is made from, and those that say what is installed.
    fn rebuilds(&self) -> Vec<Reasoned> {
        let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for Early { line, used, path } in &self.recipe.early {
            let why = match used {
                Some(used) => format!("built from by line {used} of the Dockerfile (line {line})"),
                None => format!("made into something else by the Dockerfile (line {line})"),
            };
            reasons.entry(why).or_default().push(path.clone());
        }
        for (path, why) in &self.rebuilt {
            reasons.entry(why.clone()).or_default().push(path.clone());
        }
        let private = self.private.iter().cloned().collect::<Vec<_>>();
        if !private.is_empty() {
            reasons.insert("not everybody may read them".to_owned(), private);
        }
        let mut rules: Vec<Reasoned> = Vec::new();
        let known = Patterns::new_leniently(reasons.values().flatten().map(String::as_str)).0;
        let there: Vec<PathBuf> = self.installed_here(&known).iter().map(|name| join(self.context, name)).collect();
        for (why, mut paths) in reasons {
            paths.sort();
            paths.dedup();
            let files = paths.iter().map(|path| join(self.context, path)).collect();
            rules.push(self.rebuild(paths, files, why));
        }
        rules.push(self.rebuild(self.installed.clone(), there, "says what is installed".to_owned()));
        rules
    }

    fn rebuild(&self, include: Vec<String>, files: Vec<PathBuf>, why: String) -> Reasoned {
        // An empty pattern would mean nothing, where the whole context is meant.
        let include = if include.iter().any(String::is_empty) { Vec::new() } else { include };
        // Nothing that is meant by its name lies where everything is installed.
        let installed = language::folders(self.language).iter().filter(|_| !include.is_empty());
        let is_meant = |folder: &str| {
            let name = folder.rsplit('/').next().unwrap_or(folder);
            include.iter().any(|path| path.split('/').any(|part| part == name))
        };
        let ignore = installed.filter(|folder| !is_meant(folder)).map(|folder| (*folder).to_owned()).collect();
        let rule = WatchRule { ignore, include, ..WatchRule::new(self.context.to_owned(), WatchAction::Rebuild) };
        Reasoned { rule, files, why }
    }

    /// The names at the top that say what is installed and that no other rule is about.
    fn installed_here(&self, known: &Patterns) -> Vec<&String> {
        let installed = Patterns::new_leniently(self.installed.iter().map(String::as_str)).0;
        self.files.names.iter().filter(|name| installed.includes(name) && !known.includes(name)).collect()
    }
}

impl Why {
    fn told(&self, line: usize) -> String {
        let told = self.file.as_ref().map_or_else(|| "by its image".to_owned(), Clone::clone);
        let copies = format!("{}: {told}; the Dockerfile copies its sources last (line {line})", self.language);
        match &self.reloader {
            Some(reloader) => format!("{copies}, `{reloader}` loads them"),
            None => copies,
        }
    }
}

/// What lies over a path in the container.
enum Over {
    Bind(String),
    Other(String),
}

fn mounted(service: &Service, recipe: &Recipe, target: &str) -> Option<Over> {
    let is_over = |at: &str| at == target || below(target, at).is_some();
    let mount = service.mounts.iter().find(|mount| is_over(&mount.target));
    let mount = mount.map(|mount| match &mount.source {
        MountSource::Bind { .. } => Over::Bind(mount.target.clone()),
        _ => Over::Other(mount.target.clone()),
    });
    mount.or_else(|| recipe.volumes.iter().find(|at| is_over(at)).cloned().map(Over::Other))
}

/// What of a path lies below a folder; `None` when it is not below it.
fn below<'path>(path: &'path str, folder: &str) -> Option<&'path str> {
    let folder = folder.trim_end_matches('/');
    let rest = path.strip_prefix(folder)?;
    let rest = if folder.is_empty() { rest.trim_start_matches('/') } else { rest.strip_prefix('/')? };
    (!rest.is_empty()).then_some(rest)
}

/// Whether a target without a slash is certain to be a file: a folder of the base image may be called so, and the file
/// would go into it.
fn names_file(target: &str, name: &str) -> bool {
    let (target, name) = (Path::new(target), Path::new(name));
    target.file_name() == name.file_name() || (name.extension().is_some() && target.extension() == name.extension())
}

fn join(context: &Path, relative: &str) -> PathBuf {
    if relative.is_empty() { context.to_owned() } else { context.join(relative) }
}
