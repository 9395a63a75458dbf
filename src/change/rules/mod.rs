//! The watch rules of a project, written and inferred, and what they make of a set of changed paths.
//!
//! It is told paths and the texts of ignore files; it looks at neither.
//! Source: the [Compose Develop Specification](https://github.com/compose-spec/compose-spec/blob/main/develop.md).

mod origin;
mod paths;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ignore::{PatternError, Patterns, git, lines};
use super::infer::{self, BuildFiles};
use super::noise::is_noise;
use super::{Change, PathState, SyncFiles};
use crate::project::{Build, BuildContext, MountSource, Project, Service, WatchAction, WatchRule};
pub use origin::Origin;
use paths::{clean, in_container, relative};

/// The rules of all services that run. As data they are what they were made from.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Origin", into = "Origin")]
pub struct Rules {
    origin: Origin,
    all: Vec<Rule>,
    /// Positions in `all` by the path that they watch.
    by_root: BTreeMap<PathBuf, Vec<usize>>,
    /// Files that the rules were made from, or would be if they were there.
    sources: BTreeSet<PathBuf>,
    /// Folders in which git's ignore files count at any depth.
    by_git: BTreeSet<PathBuf>,
    manifest: BTreeSet<PathBuf>,
    problems: Vec<RuleProblem>,
    /// Services, and where their rules copy to in vain.
    shown: Vec<(String, String)>,
}

/// The ignore file that a service's build goes by; for a service without an image, what git ignores below its working
/// directory, put in the same words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoreFile {
    /// Its path, absolute.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// A pattern that says nothing, in a rule or an ignore file; it is left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("service `{service}`: {error}")]
pub struct RuleProblem {
    /// The service.
    pub service: String,
    /// What is wrong.
    pub error: PatternError,
}

#[derive(Debug, Clone)]
struct Rule {
    service: String,
    /// The file or folder that is watched, absolute.
    root: PathBuf,
    action: WatchAction,
    initial: bool,
    ignore: Patterns,
    include: Patterns,
    context: Option<Arc<Context>>,
    binds: Arc<Vec<Bind>>,
    /// Leaves alone what the container sees through a bind mount: a rebuild would bring nothing, would take the place of
    /// the program's own reload, and would never end where the container writes there.
    spares_bound: bool,
    /// Leaves Compose files alone: a save of one is read by hoist itself, which acts on what it says. Files of variables
    /// are not among them: programs read those, too.
    spares_manifest: bool,
}

/// A build context and what its ignore file leaves out.
#[derive(Debug)]
struct Context {
    folder: PathBuf,
    ignored: Patterns,
}

/// A path of the host that a container shows.
#[derive(Debug)]
struct Bind {
    source: PathBuf,
    target: String,
}

/// The files that say how a build is done, whether or not they are there: its Dockerfile and its ignore file.
#[must_use]
pub fn definition_files(build: &Build) -> Vec<PathBuf> {
    dockerfile(build).into_iter().chain(ignore_file_candidates(build)).collect()
}

/// The Dockerfile of a build, where it is a file of this machine.
#[must_use]
pub fn dockerfile(build: &Build) -> Option<PathBuf> {
    match &build.context {
        BuildContext::Local(folder) if build.dockerfile_inline.is_none() => {
            Some(clean(&folder.join(&build.dockerfile)))
        }
        BuildContext::Local(_) | BuildContext::Remote(_) => None,
    }
}

/// Where the ignore file of a build can be; the first that is there counts.
#[must_use]
pub fn ignore_file_candidates(build: &Build) -> Vec<PathBuf> {
    let BuildContext::Local(folder) = &build.context else { return Vec::new() };
    let of_folder = clean(&folder.join(".dockerignore"));
    match dockerfile(build) {
        Some(mut dockerfile) => {
            dockerfile.as_mut_os_string().push(".dockerignore");
            vec![dockerfile, of_folder]
        }
        None => vec![of_folder],
    }
}

impl Rules {
    /// The rules of a project's services, given the ignore file of each that has one. A build context rebuilds as a whole.
    #[must_use]
    pub fn new(project: &Project, ignore_files: &BTreeMap<String, IgnoreFile>) -> Self {
        Self::inferred(project, ignore_files, &BTreeMap::new())
    }

    /// As [`Rules::new`], given also what is known of each service's build, from which the rules of those are told that
    /// have none of their own.
    #[must_use]
    pub fn inferred(
        project: &Project,
        ignore_files: &BTreeMap<String, IgnoreFile>,
        build_files: &BTreeMap<String, BuildFiles>,
    ) -> Self {
        Origin::new(project, ignore_files, build_files).into()
    }

    /// Also watches these files: the manifest was made from them, or would be if they were there.
    #[must_use]
    pub fn made_from(mut self, files: &BTreeSet<PathBuf>) -> Self {
        let files: BTreeSet<PathBuf> = files.iter().map(|file| clean(file)).collect();
        self.origin.manifest.extend(files.iter().cloned());
        self.manifest.extend(files);
        self
    }

    /// What they were made from.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What is wrong with patterns; they were left out.
    #[must_use]
    pub fn problems(&self) -> &[RuleProblem] {
        &self.problems
    }

    /// The services whose rules copy to where a bind mount shows the same files, and that place in their containers.
    pub fn shown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.shown.iter().map(|(service, target)| (service.as_str(), target.as_str()))
    }

    /// Every file and folder that has to be watched, whether or not it is there. Some may lie below others.
    #[must_use]
    pub fn roots(&self) -> BTreeSet<&Path> {
        let others = self.sources.iter().chain(&self.manifest);
        self.by_root.keys().chain(others).map(PathBuf::as_path).collect()
    }

    /// Whether nothing below a folder can concern any service, apart from what is a root itself.
    #[must_use]
    pub fn prunes(&self, directory: &Path) -> bool {
        self.covering(directory).all(|rule| rule.prunes(directory))
    }

    /// Whether a changed path means anything at all.
    #[must_use]
    pub fn concerns(&self, path: &Path) -> bool {
        self.covering(path).any(|rule| rule.matches(path)) || self.means_reload(path)
    }

    /// Whether a changed path is a file that these rules were made from (a manifest, its variables, an ignore file, a
    /// Dockerfile, `package.json` and the like), so that they have to be made anew.
    #[must_use]
    pub fn means_reload(&self, path: &Path) -> bool {
        let is_git = || {
            let named = path.file_name().is_some_and(|name| name == git::FILE);
            // Not those of installed packages and the like.
            named
                && self.by_git.iter().any(|top| path.starts_with(top))
                && self.covering(path).any(|it| it.matches(path))
        };
        self.sources.contains(path) || self.manifest.contains(path) || is_git()
    }

    /// The services that have a rule for something at a path, below it or above it.
    #[must_use]
    pub fn services_at(&self, path: &Path) -> BTreeSet<&str> {
        let from = (Bound::Excluded(path), Bound::Unbounded);
        let below = self.by_root.range::<Path, _>(from).take_while(|(root, _)| root.starts_with(path));
        let below = below.flat_map(|(_, rules)| rules).map(|index| &self.all[*index]);
        self.covering(path).chain(below).map(|rule| rule.service.as_str()).collect()
    }

    /// Whether there are files of which a save starts what runs in a service's containers again.
    #[must_use]
    pub fn restart(&self, service: &str) -> bool {
        let restarts = |action: &WatchAction| matches!(action, WatchAction::Restart | WatchAction::SyncRestart { .. });
        self.all.iter().any(|rule| rule.service == service && restarts(&rule.action))
    }

    /// Whether a changed path is one of the manifest's files.
    #[must_use]
    pub fn is_manifest(&self, path: &Path) -> bool {
        self.manifest.contains(path)
    }

    /// What a set of changed paths means for each service that it concerns.
    #[must_use]
    pub fn affected(&self, paths: &BTreeMap<PathBuf, PathState>) -> BTreeMap<String, Change> {
        let mut changes: BTreeMap<String, Change> = BTreeMap::new();
        for (path, state) in paths {
            let is_compose = self.is_manifest(path) && path.extension().is_some_and(|it| it == "yaml" || it == "yml");
            let concerned = |rule: &&Rule| rule.matches(path) && !(is_compose && rule.spares_manifest);
            for rule in self.covering(path).filter(concerned) {
                let change = changes.entry(rule.service.clone()).or_default();
                change.paths.insert(path.clone());
                rule.apply(path, *state, change);
            }
        }
        changes.values_mut().for_each(Change::simplify);
        changes
    }

    /// The folders whose files are copied before the first change, because rules with `initial_sync` say so.
    #[must_use]
    pub fn initial_roots(&self) -> BTreeSet<&Path> {
        self.all.iter().filter(|rule| rule.initial).map(|rule| rule.root.as_path()).collect()
    }

    /// What is copied before the first change, given the files below [`Rules::initial_roots`].
    #[must_use]
    pub fn initial(&self, files: &BTreeSet<PathBuf>) -> BTreeMap<String, SyncFiles> {
        let mut syncs: BTreeMap<String, SyncFiles> = BTreeMap::new();
        for path in files {
            for rule in self.covering(path).filter(|rule| rule.initial && rule.matches(path)) {
                let mut change = Change::default();
                rule.apply(path, PathState::Present, &mut change);
                syncs.entry(rule.service.clone()).or_default().copied.append(&mut change.sync.copied);
            }
        }
        syncs
    }

    /// The rules whose root is the path or above it.
    fn covering(&self, path: &Path) -> impl Iterator<Item = &Rule> {
        path.ancestors().filter_map(|root| self.by_root.get(root)).flatten().map(|index| &self.all[*index])
    }

    fn add_service(&mut self, service: &Service, ignore_file: Option<&IgnoreFile>, inferred: &[WatchRule]) {
        let context = service.build.as_ref().and_then(|build| self.context(service, build, ignore_file));
        let binds = Arc::new(binds(service));
        self.shown.extend(shown(service).map(|target| (service.name.clone(), target.to_owned())));
        for written in &service.watch {
            let rule = Rule {
                service: service.name.clone(),
                root: clean(&written.path),
                action: written.action.clone(),
                initial: is_initial(written),
                ignore: self.patterns(service, written.ignore.iter().map(String::as_str)),
                include: self.patterns(service, written.include.iter().map(String::as_str)),
                context: context.clone(),
                binds: Arc::clone(&binds),
                spares_bound: false,
                spares_manifest: false,
            };
            self.add(rule);
        }
        if service.watch.is_empty() && service.is_on_machine() {
            self.infer_restart(service, ignore_file, &binds);
        } else if service.watch.is_empty()
            && let (Some(build), Some(context)) = (&service.build, context)
        {
            self.infer(service, build, &context, inferred, &binds);
        }
    }

    /// What runs without an image is restarted when a file of its working directory is saved that git does not ignore.
    fn infer_restart(&mut self, service: &Service, ignore_file: Option<&IgnoreFile>, binds: &Arc<Vec<Bind>>) {
        let Some(folder) = service.working_dir.as_deref().map(|folder| clean(Path::new(folder))) else { return };
        self.sources.insert(folder.join(git::FILE));
        self.by_git.insert(folder.clone());
        let written = ignore_file.into_iter().flat_map(|file| lines(&file.text));
        let ignore = self.patterns(service, git::ALWAYS.iter().copied().chain(written));
        self.add(Rule {
            service: service.name.clone(),
            root: folder,
            action: WatchAction::Restart,
            initial: false,
            ignore,
            include: Patterns::default(),
            context: None,
            binds: Arc::clone(binds),
            spares_bound: false,
            spares_manifest: true,
        });
    }

    /// What is inferred from the Dockerfile and the files around it. The two files that say how to build rebuild too, which
    /// the ignore file may well name.
    fn infer(
        &mut self,
        service: &Service,
        build: &Build,
        context: &Arc<Context>,
        inferred: &[WatchRule],
        binds: &Arc<Vec<Bind>>,
    ) {
        let how = definition_files(build);
        self.sources.extend(how.iter().cloned().chain(infer::sources(&context.folder)));
        for inferred in inferred {
            let rule = Rule {
                service: service.name.clone(),
                root: clean(&inferred.path),
                action: inferred.action.clone(),
                initial: false,
                ignore: self.patterns(service, inferred.ignore.iter().map(String::as_str)),
                include: self.patterns(service, inferred.include.iter().map(String::as_str)),
                context: Some(Arc::clone(context)),
                binds: Arc::clone(binds),
                spares_bound: true,
                spares_manifest: true,
            };
            self.add(rule);
        }
        for root in how {
            self.add(rebuild(service, &root, None, binds));
        }
    }

    /// An image that others are built with, of a service that does not run: nothing can be copied into it.
    fn add_base(&mut self, service: &Service, ignore_file: Option<&IgnoreFile>) {
        let Some(build) = &service.build else { return };
        let Some(context) = self.context(service, build, ignore_file) else { return };
        let binds = Arc::default();
        let folders = std::iter::once(context.folder.clone()).chain(build.folders());
        for root in folders.collect::<Vec<_>>() {
            self.add(rebuild(service, &root, Some(&context), &binds));
        }
        for root in definition_files(build) {
            self.add(rebuild(service, &root, None, &binds));
        }
    }

    fn add(&mut self, rule: Rule) {
        self.by_root.entry(rule.root.clone()).or_default().push(self.all.len());
        self.all.push(rule);
    }

    fn context(&mut self, service: &Service, build: &Build, file: Option<&IgnoreFile>) -> Option<Arc<Context>> {
        let BuildContext::Local(folder) = &build.context else { return None };
        self.sources.extend(ignore_file_candidates(build));
        let ignored = self.patterns(service, file.into_iter().flat_map(|file| lines(&file.text)));
        Some(Arc::new(Context { folder: clean(folder), ignored }))
    }

    fn patterns<'text>(&mut self, service: &Service, written: impl Iterator<Item = &'text str>) -> Patterns {
        let (patterns, errors) = Patterns::new_leniently(written);
        let problems = errors.into_iter().map(|error| RuleProblem { service: service.name.clone(), error });
        self.problems.extend(problems);
        patterns
    }
}

/// The rule that a file or folder rebuilds, whatever of it is saved.
fn rebuild(service: &Service, root: &Path, context: Option<&Arc<Context>>, binds: &Arc<Vec<Bind>>) -> Rule {
    Rule {
        service: service.name.clone(),
        root: clean(root),
        action: WatchAction::Rebuild,
        initial: false,
        ignore: Patterns::default(),
        include: Patterns::default(),
        context: context.cloned(),
        binds: Arc::clone(binds),
        spares_bound: false,
        spares_manifest: true,
    }
}

impl Rule {
    fn matches(&self, path: &Path) -> bool {
        let Ok(below) = path.strip_prefix(&self.root) else { return false };
        if self.is_spared(path) {
            return false;
        }
        // Whoever names a file itself means it, even one that the build leaves out, such as the Dockerfile.
        if below.as_os_str().is_empty() {
            return true;
        }
        let relative = relative(below);
        !is_noise(below)
            && (self.include.is_empty() || self.include.includes(&relative))
            && !self.ignore.excludes(&relative)
            && !self.context_ignores(path)
    }

    fn prunes(&self, directory: &Path) -> bool {
        let Ok(below) = directory.strip_prefix(&self.root) else { return true };
        if below.as_os_str().is_empty() {
            return false;
        }
        is_noise(below)
            || self.is_spared(directory)
            || self.ignore.prunes(&relative(below))
            || self.context.as_ref().is_some_and(|context| {
                directory.strip_prefix(&context.folder).is_ok_and(|below| context.ignored.prunes(&relative(below)))
            })
    }

    fn context_ignores(&self, path: &Path) -> bool {
        self.context.as_ref().is_some_and(|context| {
            path.strip_prefix(&context.folder).is_ok_and(|below| context.ignored.excludes(&relative(below)))
        })
    }

    fn is_spared(&self, path: &Path) -> bool {
        self.spares_bound && self.binds.iter().any(|bind| path.starts_with(&bind.source))
    }

    fn apply(&self, path: &Path, state: PathState, change: &mut Change) {
        match &self.action {
            WatchAction::Rebuild => change.rebuild = true,
            WatchAction::Restart => change.restart = true,
            WatchAction::Sync { target } => self.sync(path, state, target, change),
            WatchAction::SyncRestart { target } => {
                self.sync(path, state, target, change);
                change.restart = true;
            }
            WatchAction::SyncExec { target, exec } => {
                self.sync(path, state, target, change);
                if !change.exec.contains(exec) {
                    change.exec.push(exec.clone());
                }
            }
        }
    }

    fn sync(&self, path: &Path, state: PathState, target: &str, change: &mut Change) {
        let Ok(below) = path.strip_prefix(&self.root) else { return };
        let inside = in_container(target, below);
        match state {
            _ if is_shown(&self.binds, path, &inside) => {}
            PathState::Present | PathState::Folder => {
                change.sync.copied.insert((path.to_owned(), inside));
            }
            PathState::Gone => {
                change.sync.deleted.insert(inside);
            }
        }
    }
}

impl Change {
    fn simplify(&mut self) {
        if self.rebuild {
            let paths = std::mem::take(&mut self.paths);
            *self = Self { rebuild: true, paths, ..Self::default() };
        }
        // What one rule takes away another may bring: the copies come last.
        for (_, inside) in &self.sync.copied {
            self.sync.deleted.remove(inside);
        }
        self.sync.deleted = paths::without_descendants(&self.sync.deleted);
    }
}

fn is_initial(rule: &WatchRule) -> bool {
    rule.initial_sync && matches!(rule.action, WatchAction::Sync { .. } | WatchAction::SyncRestart { .. })
}

/// The paths in a service's containers that its rules copy to although a bind mount shows the same files there.
pub fn shown(service: &Service) -> impl Iterator<Item = &str> {
    let binds = binds(service);
    let targets = service.watch.iter().filter_map(|rule| Some((&rule.path, rule.action.target()?)));
    let bound =
        move |(path, target): &(&PathBuf, &str)| is_shown(&binds, &clean(path), &in_container(target, Path::new("")));
    targets.filter(bound).map(|(_, target)| target)
}

fn is_shown(binds: &[Bind], path: &Path, inside: &str) -> bool {
    let shows =
        |bind: &Bind| path.strip_prefix(&bind.source).is_ok_and(|below| in_container(&bind.target, below) == inside);
    binds.iter().any(shows)
}

fn binds(service: &Service) -> Vec<Bind> {
    let binds = service.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Bind { path, .. } => Some(Bind { source: clean(path), target: mount.target.clone() }),
        _ => None,
    });
    binds.collect()
}
