//! `hoist run`: a command in a container of its own, beside the service.

use clap::Args;

use super::error::Error;
use super::global::Global;

/// Run a command in a new container of a service
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The service
    #[arg(value_name = "SERVICE")]
    pub(super) service: String,
    /// The command and its arguments, in place of the service's
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) command: Vec<String>,
    /// Remove the container when it exits
    #[arg(long)]
    pub(super) rm: bool,
    /// Leave it running and print its name
    #[arg(short, long)]
    pub(super) detach: bool,
    /// Build the image first
    #[arg(long)]
    pub(super) build: bool,
    /// Leave out the services that this one needs
    #[arg(long)]
    pub(super) no_deps: bool,
    /// Variable of the container; repeat for several
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(super) env: Vec<String>,
    /// Something to mount, as `volumes` of the manifest has it; repeat for several
    #[arg(short, long, value_name = "SOURCE:TARGET")]
    pub(super) volume: Vec<String>,
    /// Port to publish, as `ports` of the manifest has it; repeat for several
    #[arg(short, long, value_name = "HOST:CONTAINER")]
    pub(super) publish: Vec<String>,
    /// Publish the service's own ports, which are left out otherwise
    #[arg(short = 'P', long, conflicts_with = "publish")]
    pub(super) service_ports: bool,
    /// Name of the container
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Program in place of the image's entry point
    #[arg(long, value_name = "COMMAND")]
    pub(super) entrypoint: Option<String>,
    /// Run as this user
    #[arg(short, long, value_name = "USER")]
    pub(super) user: Option<String>,
    /// Run in this folder
    #[arg(short, long, value_name = "FOLDER")]
    pub(super) workdir: Option<String>,
    /// Label of the container; repeat for several
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(super) label: Vec<String>,
    /// Use no terminal
    #[arg(short = 'T', long = "no-TTY", alias = "no-tty")]
    pub(super) no_tty: bool,
    /// Keep standard input open, which is so by default
    #[arg(short, long, hide = true)]
    pub(super) interactive: bool,
    /// Answer to the service's name on its networks
    #[arg(long)]
    pub(super) use_aliases: bool,
}

/// Runs the command.
pub(super) async fn run(_global: &Global, _arguments: Arguments) -> Result<u8, Error> {
    Err(Error::failed("not possible yet"))
}
