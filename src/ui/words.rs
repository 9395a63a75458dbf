//! The wording of what a run has to say. Knows nothing of terminals: it gives parts, which the styles lay out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::plan::operation::{Cause, Operation};
use crate::reconcile::edits::Deed;
use crate::reconcile::event::Part;
use crate::reconcile::notice::Notice;

/// How a thing went, which decides its mark and its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Well.
    Good,
    /// Neither well nor badly.
    News,
    /// Something to look at.
    Warning,
    /// Badly.
    Bad,
}

/// One thing said, in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    /// How it went.
    pub(super) mark: Mark,
    /// What it is about: `users-1`; empty when it is about the run.
    pub(super) subject: String,
    /// What is said of it: `started`.
    pub(super) words: String,
    /// How long it took.
    pub(super) took: Option<Duration>,
    /// Why it was done, when that is news.
    pub(super) cause: Option<String>,
    /// Lines of output that belong to it.
    pub(super) output: Vec<String>,
    /// One more sentence after the output.
    pub(super) note: Option<String>,
    /// The next step.
    pub(super) hint: Option<String>,
}

impl Said {
    fn new(mark: Mark, subject: impl Into<String>, words: impl Into<String>) -> Self {
        Self {
            mark,
            subject: subject.into(),
            words: words.into(),
            took: None,
            cause: None,
            output: Vec::new(),
            note: None,
            hint: None,
        }
    }

    /// Where a service is reached.
    pub(super) fn address(service: String, address: String) -> Self {
        Self::new(Mark::News, service, address)
    }

    fn took(mut self, took: Duration) -> Self {
        self.took = Some(took);
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What a notice is in words; `None` for what is not worth a line. `cause` is that of the operation, when it is known.
pub(super) fn said(notice: &Notice, cause: Option<&Cause>, directory: &Path) -> Option<Said> {
    Some(match notice {
        // A provider that cannot stop what it provides has done nothing.
        Notice::Began { .. }
        | Notice::Done {
            operation:
                Operation::Create { .. }
                | Operation::Rename { .. }
                | Operation::Suspend { .. }
                | Operation::Promote { .. }
                | Operation::Revert { .. }
                | Operation::Restore { .. },
            ..
        } => return None,
        Notice::Done { operation, took, .. } => {
            let mut said = Said::new(Mark::Good, subject(operation), past(operation)).took(*took);
            said.cause = cause.and_then(telling);
            said
        }
        Notice::ImageUnchanged { service, took, .. } => {
            Said::new(Mark::Good, service, "image unchanged, nothing to replace").took(*took)
        }
        Notice::Failed { operation, reason, output, still_running, .. } => {
            failed(operation, reason, output, *still_running)
        }
        Notice::Cancelled { operation } => {
            Said::new(Mark::News, subject(operation), format!("{} called off", noun(operation)))
        }
        Notice::Reverted { service, number, reason, output, still_running, .. } => {
            reverted(&format!("{service}-{number}"), reason, output, *still_running)
        }
        Notice::Healthy { service, number, took, .. } => {
            Said::new(Mark::Good, format!("{service}-{number}"), "healthy").took(*took)
        }
        Notice::Unhealthy { service, number } => Said::new(Mark::Bad, format!("{service}-{number}"), "unhealthy")
            .hint(format!("see why with `hoist logs {service}` or `hoist why {service}`")),
        Notice::Exited { service, number, code, restart_in } => exited(service, *number, *code, *restart_in),
        Notice::Changed { service, paths, .. } => {
            Said::new(Mark::News, service, format!("changed: {}", paths_in_words(paths, directory)))
        }
        Notice::Edited { service, paths, deeds, failure, still_running, parts, took, .. } => {
            let paths = paths_in_words(paths, directory);
            let (mark, effect) = match failure {
                Some(failure) => (Mark::Bad, unsuccessful(failure, *still_running)),
                None => (Mark::Good, deeds_in_words(deeds)),
            };
            let mut said = Said::new(mark, service, format!("{paths} → {effect}  {}", short(*took)));
            said.cause = Some(parts_in_words(parts)).filter(|words| !words.is_empty());
            said
        }
        Notice::Reloaded { changed, added, removed, .. } => {
            Said::new(Mark::News, "manifest", reloaded(changed, added, removed))
        }
        Notice::NotReloaded { .. } => {
            Said::new(Mark::Bad, "manifest", "does not load; everything goes on as it was until it does")
        }
        Notice::Orphans { names } => {
            Said::new(Mark::Warning, "", format!("not in the manifest: {}", quoted(names.iter())))
                .hint("remove them with `--remove-orphans`")
        }
        Notice::Warning { message, hint } => Said { hint: hint.clone(), ..Said::new(Mark::Warning, "", message) },
        Notice::ServiceFailed { service, needed_by, reason, .. } => {
            let words = match needed_by.as_slice() {
                [] => reason.clone(),
                names => format!("{reason}; needed by {}", quoted(names.iter())),
            };
            Said::new(Mark::Bad, service, words)
        }
        Notice::Up { running: 0, took, .. } => Said::new(Mark::Good, "", "done, nothing is left running").took(*took),
        Notice::Up { running, took, without, .. } => {
            let up = format!("{running} {} up", plural(*running, "container"));
            match without.as_slice() {
                [] => Said::new(Mark::Good, "", up).took(*took),
                names => Said::new(Mark::Warning, "", format!("{up}, without {}", quoted(names.iter())))
                    .took(*took)
                    .hint("the next save tries again"),
            }
        }
        Notice::Stopping => Said::new(Mark::News, "", "stopping"),
        Notice::Killing => Said::new(Mark::Warning, "", "killing"),
        Notice::EngineLost { reason } => {
            Said::new(Mark::Warning, "", format!("the engine does not answer: {reason}; waiting for it"))
        }
        Notice::StopWaits { patience } => {
            let words =
                format!("the engine does not answer: waiting {} s for it, to stop what runs", patience.as_secs());
            Said::new(Mark::Warning, "", words).hint("ctrl-c again leaves it running")
        }
        Notice::LeftRunning { containers } => {
            let words = match containers.as_slice() {
                [] => "the engine does not answer, and what was being started may run".to_owned(),
                names => format!("the engine does not answer, so what it ran may run on: {}", quoted(names.iter())),
            };
            Said::new(Mark::Bad, "", words).hint("end it with `hoist down` when the engine answers again")
        }
        Notice::EngineBack => Said::new(Mark::Good, "", "the engine answers again"),
        Notice::TimedOut { services } => {
            let mut said = Said::new(Mark::Bad, "", format!("not ready in time: {}", quoted(services.iter())));
            said.hint = services.first().map(|service| format!("see why with `hoist why {service}`"));
            said
        }
    })
}

/// `read anew`, and which services that concerns.
fn reloaded(changed: &[String], added: &[String], removed: &[String]) -> String {
    let parts = [("changes", changed), ("adds", added), ("removes", removed)];
    let parts = parts.into_iter().filter(|(_, names)| !names.is_empty());
    let parts: Vec<String> = parts.map(|(verb, names)| format!("{verb} {}", quoted(names.iter()))).collect();
    if parts.is_empty() { "read anew: no service changes".into() } else { format!("read anew: {}", parts.join(", ")) }
}

/// What became of a new version, and what serves now.
fn reverted(subject: &str, reason: &str, output: &[String], still_running: bool) -> Said {
    let mut said = Said::new(Mark::Bad, subject, format!("the new version {reason}"));
    said.output = output.to_vec();
    let note = if still_running { "the version before it serves again" } else { "the version before it does not run" };
    said.note = Some(note.into());
    said.hint("the next save tries again")
}

fn unsuccessful(failure: &str, still_running: bool) -> String {
    let then = if still_running { "goes on as before" } else { "does not run" };
    format!("{failure}; {then}")
}

/// `rebuilt, replaced, healthy`.
fn deeds_in_words(deeds: &[Deed]) -> String {
    let word = |deed: &Deed| match deed {
        Deed::Rebuilt => "rebuilt",
        Deed::Unchanged => "rebuilt to the same image, nothing to replace",
        Deed::Current => "as it was built, nothing to do",
        Deed::Synced => "synced",
        Deed::Executed => "command run",
        Deed::Restarted => "restarted",
        Deed::Replaced => "replaced",
        Deed::Started => "started",
        Deed::Healthy => "healthy",
    };
    match deeds {
        [] => "nothing to do".into(),
        deeds => deeds.iter().map(word).collect::<Vec<_>>().join(", "),
    }
}

/// `settle 22, sync 6, stop 9`: milliseconds.
fn parts_in_words(parts: &[(Part, Duration)]) -> String {
    let word = |part: Part| match part {
        Part::Settle => "settle",
        Part::Read => "read",
        Part::Build => "build",
        Part::Sync => "sync",
        Part::Create => "create",
        Part::Stop => "stop",
        Part::Start => "start",
        Part::Healthy => "healthy",
    };
    let parts = parts.iter().map(|(part, took)| format!("{} {}", word(*part), took.as_millis()));
    parts.collect::<Vec<_>>().join(", ")
}

/// A duration that may be a few milliseconds: `84 ms`, `1.24 s`.
fn short(duration: Duration) -> String {
    if duration < Duration::from_secs(1) { format!("{} ms", duration.as_millis()) } else { seconds(duration) }
}

fn failed(operation: &Operation, reason: &str, output: &[String], still_running: bool) -> Said {
    let words = match operation {
        Operation::Build { .. } => format!("build failed: {reason}"),
        Operation::Pull { .. } => format!("cannot pull {reason}"),
        other => format!("cannot {}: {reason}", other.verb()),
    };
    let mut said = Said::new(Mark::Bad, subject(operation), words);
    said.output = output.to_vec();
    said.note = still_running.then(|| "the old container still runs".into());
    said
}

fn exited(service: &str, number: u32, code: i64, restart_in: Option<Duration>) -> Said {
    let mark = if code == 0 { Mark::News } else { Mark::Bad };
    let words = match restart_in {
        Some(wait) if wait.is_zero() => format!("exited with code {code}, starts again"),
        Some(wait) => format!("exited with code {code}, starts again in {} s", wait.as_secs_f64()),
        None => format!("exited with code {code}"),
    };
    Said::new(mark, format!("{service}-{number}"), words)
}

/// What an operation is done to, in a word or two.
pub(super) fn subject(operation: &Operation) -> String {
    match operation {
        Operation::Pull { service }
        | Operation::Build { service, .. }
        | Operation::Tag { service, .. }
        | Operation::Sync { service, .. } => service.clone(),
        other => other.subject(),
    }
}

/// What is being done, while it is: `starting`.
pub(super) fn present(operation: &Operation) -> &'static str {
    match operation {
        Operation::CreateNetwork { .. } | Operation::CreateVolume { .. } | Operation::Create { .. } => "creating",
        Operation::Provide { .. } => "providing",
        Operation::Withdraw { .. } => "withdrawing",
        Operation::PrepareModel { .. } => "preparing",
        Operation::Pull { .. } => "pulling",
        Operation::Build { .. } => "building",
        Operation::Tag { .. } => "tagging",
        Operation::Start { .. } => "starting",
        Operation::Exchange { .. } => "replacing",
        Operation::Promote { .. } => "removing the one before",
        Operation::Revert { .. } => "taking back",
        Operation::Restore { .. } => "restoring",
        Operation::Rename { .. } => "renaming",
        Operation::Restart { .. } => "restarting",
        Operation::Stop { .. } | Operation::Suspend { .. } => "stopping",
        Operation::Remove { .. }
        | Operation::RemoveNetwork { .. }
        | Operation::RemoveVolume { .. }
        | Operation::RemoveImage { .. } => "removing",
        Operation::Sync { .. } => "syncing",
    }
}

/// What has been done, when it is: `started`.
pub(super) fn past(operation: &Operation) -> String {
    match operation {
        Operation::CreateNetwork { .. } | Operation::CreateVolume { .. } | Operation::Create { .. } => "created".into(),
        Operation::Provide { .. } => "provided".into(),
        Operation::Withdraw { .. } => "withdrawn".into(),
        Operation::PrepareModel { .. } => "ready".into(),
        Operation::Pull { .. } => "image pulled".into(),
        Operation::Build { .. } => "image built".into(),
        Operation::Tag { .. } => "image built with another's".into(),
        Operation::Start { .. } => "started".into(),
        Operation::Exchange { .. } => "replaced".into(),
        Operation::Promote { .. } => "kept".into(),
        Operation::Revert { .. } => "taken back".into(),
        Operation::Restore { .. } => "restored".into(),
        Operation::Rename { .. } => "renamed".into(),
        Operation::Restart { .. } => "restarted".into(),
        Operation::Stop { .. } | Operation::Suspend { .. } => "stopped".into(),
        Operation::Remove { .. }
        | Operation::RemoveNetwork { .. }
        | Operation::RemoveVolume { .. }
        | Operation::RemoveImage { .. } => "removed".into(),
        Operation::Sync { files, exec, .. } => {
            let count = files.copied.len() + files.deleted.len();
            let then = if exec.is_empty() { "" } else { ", command run" };
            format!("{count} {} synced{then}", plural(count, "file"))
        }
    }
}

fn noun(operation: &Operation) -> &'static str {
    match operation {
        Operation::Build { .. } => "build",
        Operation::Pull { .. } => "pull",
        Operation::Sync { .. } => "sync",
        other => present(other),
    }
}

/// The cause in words, unless it goes without saying.
fn telling(cause: &Cause) -> Option<String> {
    match cause {
        Cause::Missing | Cause::NotRunning | Cause::Asked | Cause::Stopping => None,
        cause => Some(cause.to_string()),
    }
}

fn paths_in_words(paths: &BTreeSet<PathBuf>, directory: &Path) -> String {
    const SHOWN: usize = 2;
    let shown: Vec<String> = paths
        .iter()
        .take(SHOWN)
        .map(|path| format!("`{}`", path.strip_prefix(directory).unwrap_or(path).display()))
        .collect();
    match paths.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Names in backticks, separated by commas.
pub(super) fn quoted<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The word for so many.
pub(super) fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

/// A duration for people: `0.42 s`, `12.3 s`, `2 min 05 s`.
#[must_use]
pub(crate) fn seconds(duration: Duration) -> String {
    let value = duration.as_secs_f64();
    if value < 9.995 {
        format!("{value:.2} s")
    } else if value < 59.95 {
        format!("{value:.1} s")
    } else {
        let whole = duration.as_secs();
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use super::{Mark, said, seconds};
    use crate::plan::operation::{Cause, Operation};
    use crate::reconcile::edits::Deed;
    use crate::reconcile::event::Part;
    use crate::reconcile::notice::Notice;

    fn words(notice: &Notice, cause: Option<&Cause>) -> String {
        let said = said(notice, cause, Path::new("/work")).expect("this notice is worth a line");
        format!("{}|{}|{}", said.subject, said.words, said.cause.unwrap_or_default())
    }

    fn start() -> Operation {
        Operation::Start { service: "users".into(), number: 1, container: "c".into() }
    }

    #[test]
    fn a_cause_is_told_only_when_it_is_news() {
        let done = Notice::Done { operation: start(), took: Duration::from_millis(420), edit: None };
        assert_eq!(words(&done, Some(&Cause::Missing)), "users-1|started|");
        assert_eq!(words(&done, Some(&Cause::ConfigChanged)), "users-1|started|configuration changed");
    }

    #[test]
    fn a_failed_build_says_that_the_old_container_still_runs() {
        let notice = Notice::Failed {
            operation: Operation::Build { service: "users".into(), generation: 2 },
            reason: "`RUN make` exited with code 2".into(),
            output: vec!["main.c:1: error".into()],
            still_running: true,
            edit: None,
        };
        let said = said(&notice, None, Path::new("/")).expect("a failure is said");
        assert_eq!(said.mark, Mark::Bad);
        assert_eq!(said.words, "build failed: `RUN make` exited with code 2");
        assert_eq!(said.output, ["main.c:1: error"]);
        assert_eq!(said.note.as_deref(), Some("the old container still runs"));
    }

    #[test]
    fn changed_paths_are_relative_to_the_project_and_few() {
        let paths: BTreeSet<PathBuf> = ["/work/a/x.js", "/work/a/y.js", "/work/a/z.js"].map(PathBuf::from).into();
        let notice = Notice::Changed { edit: 1, service: "users".into(), paths };
        assert_eq!(words(&notice, None), "users|changed: `a/x.js`, `a/y.js` and 1 more|");
    }

    #[test]
    fn an_edit_says_what_was_saved_what_was_done_and_how_long_what_took() {
        let mut notice = Notice::Edited {
            edits: vec![3],
            service: "orders".into(),
            paths: [PathBuf::from("/work/src/cart.js")].into(),
            deeds: vec![Deed::Synced, Deed::Restarted, Deed::Healthy],
            failure: None,
            still_running: true,
            parts: [(Part::Settle, 22), (Part::Sync, 6), (Part::Start, 31)]
                .map(|(part, took)| (part, Duration::from_millis(took)))
                .into(),
            took: Duration::from_millis(84),
        };
        let expected = "orders|`src/cart.js` → synced, restarted, healthy  84 ms|settle 22, sync 6, start 31";
        assert_eq!(words(&notice, None), expected);
        if let Notice::Edited { failure, .. } = &mut notice {
            *failure = Some("exited with code 1".into());
        }
        let expected =
            "orders|`src/cart.js` → exited with code 1; goes on as before  84 ms|settle 22, sync 6, start 31";
        assert_eq!(words(&notice, None), expected);
    }

    #[test]
    fn a_failed_service_names_who_needs_it() {
        let notice = Notice::ServiceFailed {
            service: "db".into(),
            needed_by: vec!["api".into(), "web".into()],
            reason: "exited with code 1".into(),
            container: None,
        };
        assert_eq!(words(&notice, None), "db|exited with code 1; needed by `api`, `web`|");
    }

    #[test]
    fn durations_get_coarser_as_they_grow() {
        assert_eq!(seconds(Duration::from_millis(420)), "0.42 s");
        assert_eq!(seconds(Duration::from_millis(12_340)), "12.3 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 05 s");
    }
}
