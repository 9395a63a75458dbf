//! Whether what runs is what lies in the working tree, for `hoist ps`: asked of the plan, which is what `up` would do, and of
//! what earlier runs have kept of files that were copied and versions that failed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::plan;
use crate::engine::docker::Docker;
use crate::plan::observed::{Container, ContainerId};
use crate::plan::operation::{Cause, Operation};
use crate::project::Project;
use crate::reconcile::State;
use crate::standing::Standings;

/// So much of why a version failed fits into a column.
const SHORT: usize = 48;

/// What the code in a service's containers is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Code {
    /// What lies in the working tree.
    Current,
    /// Something else, for this reason.
    Stale(String),
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Current => formatter.write_str("current"),
            Self::Stale(reason) => write!(formatter, "stale: {reason}"),
        }
    }
}

/// The code of every service that runs and can be judged.
#[derive(Debug, Default)]
pub(super) struct Codes {
    services: BTreeMap<String, (BTreeSet<ContainerId>, Code)>,
}

impl Codes {
    /// The code of a container; `None` when nothing can be said of it.
    pub(super) fn of(&self, container: &Container) -> Option<&Code> {
        let (containers, code) = self.services.get(&container.service)?;
        containers.contains(&container.id).then_some(code)
    }
}

/// Judges every service. Without a project, or when the engine does not answer, all of them are left open: the list of
/// containers is worth something without it.
pub(super) async fn of(project: Option<Project>, docker: &Docker) -> Codes {
    let Some(project) = project else { return Codes::default() };
    let kept = Standings::of_project(&project.name, &project.directory);
    let services = project.services.keys().cloned().collect();
    let Ok(state) = plan::look(docker, project, services).await else { return Codes::default() };
    judged(&state, &kept)
}

fn judged(state: &State, kept: &Standings) -> Codes {
    let entries = state.plan().entries;
    let mut services = BTreeMap::new();
    for service in state.project().services.keys() {
        let containers = state.serving(service);
        let runs = |id: &ContainerId| state.observed().containers.get(id).is_some_and(|it| it.state.is_running());
        if containers.is_empty() || !containers.iter().any(runs) {
            continue;
        }
        let own = entries.iter().filter(|entry| entry.operation.service() == Some(service));
        let causes: Vec<&Cause> = own.filter(|entry| !is_removal(&entry.operation)).map(|entry| &entry.cause).collect();
        let code = judge(&causes, state.inputs(service), kept, service, &containers);
        services.insert(service.clone(), (containers, code));
    }
    Codes { services }
}

/// What goes says nothing of the code of what stays.
fn is_removal(operation: &Operation) -> bool {
    matches!(operation, Operation::Remove { .. } | Operation::Stop { .. })
}

fn judge(
    causes: &[&Cause],
    inputs: Option<&String>,
    kept: &Standings,
    service: &str,
    containers: &BTreeSet<ContainerId>,
) -> Code {
    let has = |wanted: &Cause| causes.contains(&wanted);
    if has(&Cause::ConfigChanged) {
        return Code::Stale("configuration changed".into());
    }
    let known = kept.of(service, containers).filter(|known| known.inputs.as_ref() == inputs);
    match known.map(|known| &known.failure) {
        Some(Some(failure)) => Code::Stale(in_short(failure)),
        None if has(&Cause::InputsChanged) || has(&Cause::SourcesChanged) => {
            Code::Stale("changed while hoist was away".into())
        }
        None if has(&Cause::ImageChanged) => Code::Stale("image changed".into()),
        // What was kept says that the files were copied into it after its image was built.
        Some(None) | None => Code::Current,
    }
}

/// The first line, as far as there is room.
fn in_short(failure: &str) -> String {
    let line = failure.lines().next().unwrap_or_default();
    if line.chars().count() <= SHORT {
        return line.to_owned();
    }
    line.chars().take(SHORT - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Cause, Standings, in_short, judge};

    /// Words for what is made of causes, and of what was kept of the container `a`.
    fn judged(causes: &[Cause], inputs: &str, kept: &str, containers: &[&str]) -> String {
        let kept: Standings = serde_json::from_str(kept).expect("what a run keeps");
        let causes: Vec<&Cause> = causes.iter().collect();
        let containers: BTreeSet<String> = containers.iter().map(|id| (*id).to_owned()).collect();
        judge(&causes, Some(&inputs.to_owned()), &kept, "web", &containers).to_string()
    }

    #[test]
    fn what_was_kept_counts_for_its_containers_and_its_files_only() {
        const NOTHING: &str = r#"{"services": {}}"#;
        const COPIED: &str = r#"{"services": {"web": {"containers": ["a"], "inputs": "new", "failure": null}}}"#;
        const FAILED: &str =
            r#"{"services": {"web": {"containers": ["a"], "inputs": "new", "failure": "exited with code 1"}}}"#;
        let away = "stale: changed while hoist was away";
        assert_eq!(judged(&[], "new", NOTHING, &["a"]), "current");
        assert_eq!(judged(&[Cause::InputsChanged], "new", NOTHING, &["a"]), away);
        assert_eq!(judged(&[Cause::InputsChanged], "new", COPIED, &["a"]), "current");
        assert_eq!(judged(&[Cause::InputsChanged], "newer", COPIED, &["a"]), away);
        assert_eq!(judged(&[Cause::InputsChanged], "new", COPIED, &["b"]), away);
        assert_eq!(judged(&[Cause::InputsChanged], "new", FAILED, &["a"]), "stale: exited with code 1");
        assert_eq!(judged(&[], "new", FAILED, &["b"]), "current");
        assert_eq!(judged(&[Cause::ConfigChanged], "new", COPIED, &["a"]), "stale: configuration changed");
        assert_eq!(judged(&[Cause::ImageChanged], "new", NOTHING, &["a"]), "stale: image changed");
    }

    #[test]
    fn a_long_failure_is_cut() {
        assert_eq!(in_short("exited with code 1\nand more"), "exited with code 1");
        assert_eq!(in_short(&"é".repeat(100)).chars().count(), 48);
    }
}
