//! `hoist up`: brings the project up, and stays to show logs and watch files unless told not to.

use clap::{Args, ValueEnum};

use super::error::Error;
use super::global::Global;

/// Create and start services, show their logs and watch their files
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
    /// Return when everything is started, and leave it running
    #[arg(short, long, conflicts_with_all = ["abort_on_container_exit", "abort_on_container_failure", "exit_code_from"])]
    pub(super) detach: bool,
    /// Return when everything runs and is healthy; implies `--detach`
    #[arg(long, conflicts_with_all = ["abort_on_container_exit", "abort_on_container_failure", "exit_code_from"])]
    pub(super) wait: bool,
    /// Seconds that `--wait` waits at most
    #[arg(long, value_name = "SECONDS", requires = "wait")]
    pub(super) wait_timeout: Option<u64>,
    /// Build images even where nothing changed
    #[arg(long, conflicts_with = "no_build")]
    pub(super) build: bool,
    /// Build nothing: a missing image is an error
    #[arg(long)]
    pub(super) no_build: bool,
    /// Replace containers even where nothing changed
    #[arg(long, conflicts_with = "no_recreate")]
    pub(super) force_recreate: bool,
    /// Keep containers even where something changed
    #[arg(long)]
    pub(super) no_recreate: bool,
    /// Leave out the services that the named ones need
    #[arg(long)]
    pub(super) no_deps: bool,
    /// Run so many containers of a service; repeat for several
    #[arg(long, value_name = "SERVICE=NUMBER", value_parser = parse_scale)]
    pub(super) scale: Vec<(String, u32)>,
    /// Remove containers whose service is not in the manifest
    #[arg(long)]
    pub(super) remove_orphans: bool,
    /// Seconds that containers may take to stop before they are killed
    #[arg(short, long, value_name = "SECONDS")]
    pub(super) timeout: Option<u64>,
    /// Watch no files
    #[arg(long, conflicts_with = "watch")]
    pub(super) no_watch: bool,
    /// Watch files, which an attached `up` does by itself
    #[arg(short, long, conflicts_with_all = ["detach", "wait"])]
    pub(super) watch: bool,
    /// Stop everything when a container exits
    #[arg(long)]
    pub(super) abort_on_container_exit: bool,
    /// Stop everything when a container exits with a code other than 0
    #[arg(long, conflicts_with = "abort_on_container_exit")]
    pub(super) abort_on_container_failure: bool,
    /// Exit with the code of this service's container; implies `--abort-on-container-exit`
    #[arg(long, value_name = "SERVICE")]
    pub(super) exit_code_from: Option<String>,
    /// Show the logs of these services only; repeat for several
    #[arg(long, value_name = "SERVICE")]
    pub(super) attach: Vec<String>,
    /// Leave out the logs of these services; repeat for several
    #[arg(long, value_name = "SERVICE")]
    pub(super) no_attach: Vec<String>,
    /// Show log lines without the service before them
    #[arg(long)]
    pub(super) no_log_prefix: bool,
    /// Colour nothing
    #[arg(long)]
    pub(super) no_color: bool,
    /// Print plain text, or an object for each line and each thing that happens
    #[arg(long, value_name = "FORMAT", default_value = "text", hide_default_value = true)]
    pub(super) format: Format,
}

/// Runs the command.
pub(super) async fn run(_global: &Global, _arguments: Arguments) -> Result<u8, Error> {
    Err(Error::failed("not possible yet"))
}

/// How the command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

fn parse_scale(text: &str) -> Result<(String, u32), String> {
    let wrong = || "expected a service and a number, such as `users=3`".to_owned();
    let (service, number) = text.split_once('=').ok_or_else(wrong)?;
    if service.is_empty() {
        return Err(wrong());
    }
    Ok((service.to_owned(), number.parse().map_err(|_| wrong())?))
}
