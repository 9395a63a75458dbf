//! What keeps files from being watched as they should.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// Why a watch does not work, or not as it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The system watches no more folders for this user.
    #[error("{} looked at once a second for changes: {needed} folders are to be watched, and the system's limit `{setting}`{} is reached", are(.services), of(*.limit))]
    TooManyFolders {
        /// The setting's name.
        setting: &'static str,
        /// Its value, where it can be read. All programs of a user share it.
        limit: Option<u64>,
        /// How many folders the project's rules bring into view.
        needed: usize,
        /// The services that it concerns.
        services: BTreeSet<String>,
    },
    /// The system lets this user's programs not watch anything more at all.
    #[error("all services are looked at once a second for changes: one more watch is needed, and the system's limit `{setting}`{} is reached", of(*.limit))]
    TooManyWatches {
        /// The setting's name.
        setting: &'static str,
        /// Its value, where it can be read. All programs of a user share it.
        limit: Option<u64>,
    },
    /// A file system tells of no changes.
    #[error("{} looked at once a second for changes: `{}` is on `{file_system}`, which reports none", are(.services), .path.display())]
    Silent {
        /// The folder.
        path: PathBuf,
        /// Its kind.
        file_system: String,
        /// The services that it concerns.
        services: BTreeSet<String>,
    },
    /// Anything else.
    #[error("cannot watch files: {message}")]
    Failed {
        /// The system's words.
        message: String,
    },
}

fn are(services: &BTreeSet<String>) -> String {
    let named: Vec<String> = services.iter().map(|name| format!("`{name}`")).collect();
    match &named[..] {
        [] => "files are".to_owned(),
        [name] => format!("{name} is"),
        [first @ .., last] => format!("{} and {last} are", first.join(", ")),
    }
}

fn of(limit: Option<u64>) -> String {
    limit.map(|limit| format!(" of {limit}")).unwrap_or_default()
}

impl WatchError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let raise = |setting: &str, limit: &Option<u64>, least: u64| {
            let raised = limit.map_or(least, |limit| limit.saturating_mul(2).max(least));
            format!("raise it with `sudo sysctl {setting}={raised}`")
        };
        match self {
            Self::TooManyFolders { setting, limit, needed, .. } => {
                let least = (*needed as u64).saturating_mul(4).next_power_of_two().max(524_288);
                Some(format!("{}, or ignore large folders", raise(setting, limit, least)))
            }
            Self::TooManyWatches { setting, limit } => Some(raise(setting, limit, 1_024)),
            Self::Silent { .. } | Self::Failed { .. } => None,
        }
    }

    /// Too many folders.
    pub(super) fn full(needed: usize, services: BTreeSet<String>) -> Self {
        let (setting, limit) = tighter("fs.inotify.max_user_watches", "user.max_inotify_watches");
        Self::TooManyFolders { setting, limit, needed, services }
    }

    /// Not one more watch.
    pub(super) fn too_many_watches() -> Self {
        let (setting, limit) = tighter("fs.inotify.max_user_instances", "user.max_inotify_instances");
        Self::TooManyWatches { setting, limit }
    }
}

/// The setting of the two that allows less, and what it allows: a user namespace has limits of its own.
fn tighter(whole: &'static str, own: &'static str) -> (&'static str, Option<u64>) {
    match (value(whole), value(own)) {
        (Some(limit), Some(own_limit)) if own_limit < limit => (own, Some(own_limit)),
        (limit, _) => (whole, limit),
    }
}

fn value(setting: &str) -> Option<u64> {
    let file = format!("/proc/sys/{}", setting.replace('.', "/"));
    fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::WatchError;

    #[test]
    fn a_limit_is_named_with_what_is_needed_and_the_command_that_raises_it() {
        let error = WatchError::TooManyFolders {
            setting: "fs.inotify.max_user_watches",
            limit: Some(8_192),
            needed: 20_000,
            services: BTreeSet::from(["api".to_owned(), "web".to_owned()]),
        };
        assert_eq!(
            error.to_string(),
            "`api` and `web` are looked at once a second for changes: 20000 folders are to be watched, and the system's \
             limit `fs.inotify.max_user_watches` of 8192 is reached"
        );
        assert_eq!(
            error.hint().as_deref(),
            Some("raise it with `sudo sysctl fs.inotify.max_user_watches=524288`, or ignore large folders")
        );
    }

    #[test]
    fn the_limits_of_this_machine_can_be_read() {
        for error in [WatchError::too_many_watches(), WatchError::full(7, BTreeSet::new())] {
            let hint = error.hint().expect("there is something to do about it");
            assert!(hint.starts_with("raise it with `sudo sysctl ") && hint.contains("max_"), "{hint}");
            assert!(error.to_string().contains("` of "), "{error}");
        }
    }
}
