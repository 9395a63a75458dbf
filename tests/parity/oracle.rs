//! The docker compose that everything is held against. It needs no engine to read a manifest.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A docker compose of the version that is meant.
pub(crate) struct Oracle {
    program: PathBuf,
}

/// What it says.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) succeeded: bool,
    pub(crate) output: String,
    pub(crate) errors: String,
}

/// The version that is meant, with its patches.
pub(crate) const VERSION: &str = "2.40.";

impl Oracle {
    /// The one that `HOIST_DOCKER_COMPOSE` names, else the first of the right version where it is usually installed.
    pub(crate) fn find() -> Option<Self> {
        let home = env::var("HOME").unwrap_or_default();
        let usual = [
            "/opt/peers/docker-config/cli-plugins/docker-compose".to_owned(),
            format!("{home}/.docker/cli-plugins/docker-compose"),
            "/usr/local/lib/docker/cli-plugins/docker-compose".to_owned(),
            "/usr/libexec/docker/cli-plugins/docker-compose".to_owned(),
            "/usr/lib/docker/cli-plugins/docker-compose".to_owned(),
        ];
        let named = env::var("HOIST_DOCKER_COMPOSE").ok();
        named.into_iter().chain(usual).map(|program| Self { program: program.into() }).find(Self::is_right)
    }

    fn is_right(&self) -> bool {
        let version = Command::new(&self.program).args(["version", "--short"]).output();
        version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim().starts_with(VERSION))
    }

    /// Runs it in a folder with nothing but these variables.
    pub(crate) fn ask(&self, directory: &Path, arguments: &[String], environment: &BTreeMap<String, String>) -> Answer {
        let output = Command::new(&self.program)
            .args(arguments)
            .current_dir(directory)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .output()
            .expect("docker compose runs");
        Answer {
            succeeded: output.status.success(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
