//! `hoist completions`: a script for a shell.

use clap::Args;
use clap_complete::Shell;

use super::error::Error;
use super::output::print_bytes;

/// Print the script that makes a shell complete `hoist`
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(super) shell: Shell,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<u8, Error> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::command(), "hoist", &mut script);
    print_bytes(&script)?;
    Ok(0)
}
