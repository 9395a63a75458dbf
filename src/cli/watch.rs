//! `hoist watch`: `hoist up` under the name that docker compose's users look for; and what a saved file would lead to.

use std::collections::BTreeSet;
use std::path::Path;

use clap::{Args, FromArgMatches as _, ValueEnum};
use serde_json::{Value, json};

use super::error::Error;
use super::format::Format;
use super::global::Global;
use super::output::print;
use super::{session, up};
use crate::change::infer::{self, Reasoned};
use crate::change::rules::{definition_files, shown};
use crate::project::{BuildContext, Project, Service, WatchAction, WatchRule};
use crate::watch::{read_build_files, read_ignore_files};

/// Bring services up and act on saved files, as `up` does; or say what a save leads to
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
    /// Print which files lead to what, and why, and do nothing
    #[arg(long)]
    pub(super) explain: bool,
    /// Print plain text, or JSON
    #[arg(long, value_name = "FORMAT", default_value = "text", hide_default_value = true)]
    pub(super) format: Format,
}

/// Brings the project up and watches.
pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<u8, Error> {
    let name = Format::to_possible_value(&arguments.format);
    let format = name.as_ref().map_or("text", |value| value.get_name()).to_owned();
    // The options of `up`, all of them as they are when none is given.
    let words = ["up".to_owned(), "--format".to_owned(), format, "--watch".to_owned(), "--".to_owned()];
    let matches = up::Arguments::augment_args(clap::Command::new("up"))
        .try_get_matches_from(words.into_iter().chain(arguments.services))
        .and_then(|matches| up::Arguments::from_arg_matches(&matches));
    let arguments = matches.map_err(|error| Error::usage(error.to_string()))?;
    Box::pin(up::run(global, arguments)).await
}

/// Says what a save leads to.
pub(super) fn explain(global: &Global, arguments: &Arguments) -> Result<u8, Error> {
    let project = session::load(global, &arguments.services)?.project;
    let services = session::select(&project, &arguments.services)?;
    let told = told(&project, &services);
    let text = match arguments.format {
        Format::Text => text(&told, &project.directory),
        Format::Json => format!("{:#}\n", json(&told)),
    };
    print(&text)?;
    Ok(0)
}

/// What is said of a service.
struct Told<'a> {
    service: &'a str,
    rules: Vec<Reasoned>,
    /// What is left out; in place of rules, why there is none.
    notes: Vec<String>,
}

fn told<'a>(project: &'a Project, services: &BTreeSet<String>) -> Vec<Told<'a>> {
    let ignore_files = read_ignore_files(project);
    let build_files = read_build_files(project, &ignore_files);
    let services = project.services.values().filter(|service| services.contains(&service.name));
    let told = services.map(|service| {
        let (rules, notes) = match without_inference(service) {
            Some(told) => told,
            None => inferred(service, build_files.get(&service.name)),
        };
        Told { service: &service.name, rules, notes }
    });
    told.collect()
}

/// What needs no Dockerfile to be told.
fn without_inference(service: &Service) -> Option<(Vec<Reasoned>, Vec<String>)> {
    let nothing = |why: &str| Some((Vec::new(), vec![why.to_owned()]));
    let reasoned = |rule: WatchRule, why: &str| Reasoned { rule, files: Vec::new(), why: why.to_owned() };
    if service.ignores_changes {
        return nothing("`x-hoist.watch` is false");
    }
    if !service.watch.is_empty() {
        let rules = service.watch.iter().map(|rule| reasoned(rule.clone(), "written in `develop.watch`"));
        return Some((rules.collect(), already_bound(service)));
    }
    if service.is_on_machine() {
        let path = service.working_dir.as_deref()?.into();
        let rule = WatchRule::new(path, WatchAction::Restart);
        return Some((vec![reasoned(rule, "runs on this machine's files; what git ignores is left out")], Vec::new()));
    }
    match &service.build {
        None => nothing("has no `build` and no `develop.watch`"),
        Some(build) if matches!(build.context, BuildContext::Remote(_)) => nothing("is not built from a folder here"),
        Some(_) => None,
    }
}

/// What rules would copy and a bind mount shows in the container already.
fn already_bound(service: &Service) -> Vec<String> {
    shown(service)
        .map(|target| format!("`{target}` is a bind mount of the same files: nothing is copied to it"))
        .collect()
}

fn inferred(service: &Service, files: Option<&infer::BuildFiles>) -> (Vec<Reasoned>, Vec<String>) {
    let Some(build) = &service.build else { return Default::default() };
    let inferred = infer::infer(service, build, files);
    let mut rules = inferred.rules;
    let candidates = definition_files(build);
    let files: Vec<_> = candidates.iter().filter(|path| path.exists()).cloned().collect();
    if let Some(first) = candidates.first() {
        let rule = WatchRule::new(first.clone(), WatchAction::Rebuild);
        rules.push(Reasoned { rule, files, why: "says how the image is built".to_owned() });
    }
    (rules, inferred.notes)
}

fn action(action: &WatchAction) -> &'static str {
    match action {
        WatchAction::Rebuild => "rebuild",
        WatchAction::Restart => "restart",
        WatchAction::Sync { .. } => "sync",
        WatchAction::SyncRestart { .. } => "sync + restart",
        WatchAction::SyncExec { .. } => "sync + exec",
    }
}

/// A line for each rule: service, what is done, with which files, and why.
fn text(told: &[Told<'_>], directory: &Path) -> String {
    let mut rows: Vec<[String; 4]> = Vec::new();
    for Told { service, rules, notes } in told {
        let first = rows.len();
        // Rules for files that are not there are nothing to read.
        for Reasoned { rule, files, why } in rules.iter().filter(|told| is_shown(told)) {
            let files = if files.is_empty() { std::slice::from_ref(&rule.path) } else { files };
            let mut shown = files.iter().map(|file| short(file, directory)).collect::<Vec<_>>().join(", ");
            if let Some(target) = rule.action.target() {
                shown = format!("{shown} → {target}");
            }
            rows.push([String::new(), action(&rule.action).to_owned(), shown, why.clone()]);
        }
        for note in notes {
            rows.push([String::new(), "(nothing)".to_owned(), String::new(), note.clone()]);
        }
        if let Some(row) = rows.get_mut(first) {
            (*service).clone_into(&mut row[0]);
        }
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2).min(WIDEST)];
    let line = |row: &[String; 4]| {
        let [service, action, files, why] = row;
        let (first, second, third) = (widths[0], widths[1], widths[2]);
        format!("{service:<first$}  {action:<second$}  {files:<third$}  {why}").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// A column of files is no wider: a longer list pushes only its own reason aside.
const WIDEST: usize = 48;

/// Whether a rule is about files that are there.
fn is_shown(told: &Reasoned) -> bool {
    told.rule.include.is_empty() || !told.files.is_empty()
}

/// A path as it is written in a manifest.
fn short(path: &Path, directory: &Path) -> String {
    match path.strip_prefix(directory) {
        Ok(below) if below.as_os_str().is_empty() => ".".to_owned(),
        Ok(below) => format!("./{}", below.display()),
        Err(_) => path.display().to_string(),
    }
}

fn json(told: &[Told<'_>]) -> Value {
    let services = told.iter().map(|Told { service, rules, notes }| {
        let rules: Vec<Value> = rules.iter().map(rule_json).collect();
        json!({ "service": service, "rules": rules, "notes": notes })
    });
    services.collect()
}

/// A rule with all its patterns.
fn rule_json(Reasoned { rule, why, .. }: &Reasoned) -> Value {
    let mut value = json!({
        "action": action(&rule.action).replace(' ', ""),
        "path": rule.path,
        "why": why,
    });
    for (name, patterns) in [("ignore", &rule.ignore), ("include", &rule.include)] {
        if !patterns.is_empty() {
            value[name] = json!(patterns);
        }
    }
    if let Some(target) = rule.action.target() {
        value["target"] = json!(target);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::already_bound;
    use crate::project::{Mount, MountSource, Service, WatchAction, WatchRule};

    #[test]
    fn of_written_rules_those_are_named_whose_files_a_bind_mount_shows_already() {
        let source = MountSource::Bind {
            path: "/p/web".into(),
            create_host_path: true,
            propagation: None,
            selinux: None,
            recursion: None,
        };
        let rule = |path: &str, target: &str| {
            WatchRule::new(path.into(), WatchAction::SyncRestart { target: target.to_owned() })
        };
        let service = Service {
            mounts: vec![Mount { target: "/app".into(), read_only: false, source }],
            watch: vec![
                rule("/p/web", "/app"),
                rule("/p/web/src", "/app/src"),
                rule("/p/web/src", "/elsewhere"),
                rule("/p/other", "/app"),
                WatchRule::new("/p/web".into(), WatchAction::Rebuild),
            ],
            ..Service::default()
        };
        let same = "is a bind mount of the same files: nothing is copied to it";
        assert_eq!(already_bound(&service), [format!("`/app` {same}"), format!("`/app/src` {same}")]);
    }
}
