//! `develop`: what happens when files change; and commands that are run inside a container.

use serde::de::{self, Deserialize, Deserializer};

use super::Blank;
use super::forms::{KeyValues, OneOrMany};
use super::scalars::{Command, Flag, HostPath};

raw! {
    /// What happens while you work on the service.
    Develop {
        /// Rules for changed files.
        #[serde(deserialize_with = "rules")]
        watch: Vec<Watch>,
    }
}

raw! {
    /// What happens when files below a path change.
    Watch {
        /// The file or folder to watch.
        path: HostPath,
        /// What a change leads to.
        action: Option<Action>,
        /// Where the path lies in the container, for the `sync` actions.
        target: String,
        /// What is run in the container after a `sync+exec`.
        exec: Hook,
        /// Patterns of files that count; all when there are none.
        include: OneOrMany<String>,
        /// Patterns of files that do not count.
        ignore: OneOrMany<String>,
        /// Copy all files when watching begins.
        initial_sync: Flag,
    }
}

/// Reads rules; those that copy have to say where to.
fn rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Watch>, D::Error> {
    struct Rule(Watch);

    impl<'de> Deserialize<'de> for Rule {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let watch = Watch::deserialize(deserializer)?;
            let copies = matches!(watch.action, Some(Action::Sync | Action::SyncRestart | Action::SyncExec));
            if copies && watch.target.is_empty() {
                let hint = "say with `target` where the files lie in the container";
                return Err(de::Error::custom(format!("a rule that copies files needs a target\n{hint}")));
            }
            Ok(Self(watch))
        }
    }

    Ok(Vec::<Rule>::deserialize(deserializer)?.into_iter().map(|Rule(watch)| watch).collect())
}

/// What a change leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
pub(crate) enum Action {
    /// Build the image and exchange the container.
    #[serde(rename = "rebuild")]
    Rebuild,
    /// Copy the files into the container.
    #[serde(rename = "sync")]
    Sync,
    /// Restart the container.
    #[serde(rename = "restart")]
    Restart,
    /// Copy the files, then restart.
    #[serde(rename = "sync+restart")]
    SyncRestart,
    /// Copy the files, then run a command in the container.
    #[serde(rename = "sync+exec")]
    SyncExec,
}

/// A command that is run inside a running container.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Hook {
    /// The command, as a line or as words.
    #[serde(default)]
    pub(crate) command: Command,
    /// As whom it runs.
    #[serde(default, skip_serializing_if = "Blank::is_blank")]
    pub(crate) user: String,
    /// Run it with all privileges.
    #[serde(default, skip_serializing_if = "Blank::is_blank")]
    pub(crate) privileged: Flag,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Blank::is_blank")]
    pub(crate) working_dir: String,
    /// More variables for it.
    #[serde(default, skip_serializing_if = "Blank::is_blank")]
    pub(crate) environment: KeyValues,
}

impl Blank for Hook {
    fn is_blank(&self) -> bool {
        // The canonical model has it always.
        false
    }
}
