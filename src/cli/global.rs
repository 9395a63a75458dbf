//! The options that stand before the command and hold for every one of them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Options that hold for every command; spelled as docker compose spells them.
#[derive(Debug, Clone, Args)]
pub(super) struct Global {
    /// Manifest to read; repeat to merge several, `-` is standard input
    #[arg(short = 'f', long = "file", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(super) files: Vec<PathBuf>,
    /// Name of the project, in place of the manifest's or the folder's
    #[arg(short = 'p', long, value_name = "NAME")]
    pub(super) project_name: Option<String>,
    /// Profile to switch on; repeat for several
    #[arg(long = "profile", value_name = "PROFILE")]
    pub(super) profiles: Vec<String>,
    /// File of variables to read in place of `.env`; repeat for several
    #[arg(long = "env-file", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(super) env_files: Vec<PathBuf>,
    /// Folder that relative paths start from, in place of the first manifest's
    #[arg(long, value_name = "FOLDER", value_hint = clap::ValueHint::DirPath)]
    pub(super) project_directory: Option<PathBuf>,
    /// Container engine: `docker`, `podman`, `embedded` (hoist's own), an address or a docker context
    #[arg(long, value_name = "ENGINE", env = "HOIST_ENGINE", hide_env = true)]
    pub(super) engine: Option<String>,
    /// When to use colours
    #[arg(long, value_name = "WHEN", alias = "color", default_value = "auto", hide_possible_values = true)]
    pub(super) ansi: When,
    /// How to show what is going on: auto, tty, plain, json or quiet
    #[arg(long, value_name = "STYLE", default_value = "auto", hide_possible_values = true, hide_default_value = true)]
    pub(super) progress: Progress,
    /// Leave neither journal (`hoist replay`) nor events of the run; `HOIST_JOURNAL=0` does the same
    #[arg(long)]
    pub(super) no_journal: bool,
    /// Say more about what happens inside (`HOIST_LOG` picks modules)
    #[arg(long)]
    pub(super) verbose: bool,
}

impl Global {
    /// Whether a run leaves a journal, and what it told.
    pub(super) fn keeps_journal(&self) -> bool {
        !self.no_journal && std::env::var_os("HOIST_JOURNAL").is_none_or(|value| value != "0")
    }
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How a run shows what is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Progress {
    /// Spinners on a terminal, plain lines elsewhere.
    Auto,
    /// Spinners.
    Tty,
    /// A line for each thing.
    Plain,
    /// An object for each thing.
    Json,
    /// Nothing but errors.
    Quiet,
}
