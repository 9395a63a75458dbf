//! `hoist exec`: runs a command in a running container, with the terminal when there is one.

use clap::Args;

use super::error::Error;
use super::global::Global;

/// Run a command in a running container
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The service
    #[arg(value_name = "SERVICE")]
    pub(super) service: String,
    /// The command and its arguments
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) command: Vec<String>,
    /// Return at once and leave the command running
    #[arg(short, long)]
    pub(super) detach: bool,
    /// Variable for the command; repeat for several
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(super) env: Vec<String>,
    /// The container with this number, in place of the first
    #[arg(long, value_name = "NUMBER")]
    pub(super) index: Option<u32>,
    /// Use no terminal
    #[arg(short = 'T', long = "no-tty", alias = "no-TTY")]
    pub(super) no_tty: bool,
    /// Give the command all privileges
    #[arg(long)]
    pub(super) privileged: bool,
    /// Run as this user
    #[arg(short, long, value_name = "USER")]
    pub(super) user: Option<String>,
    /// Run in this folder
    #[arg(short, long, value_name = "FOLDER")]
    pub(super) workdir: Option<String>,
}

/// Runs the command.
pub(super) async fn run(_global: &Global, _arguments: Arguments) -> Result<u8, Error> {
    Err(Error::failed("not possible yet"))
}
