//! `hoist completions`: a script for a shell, which asks the binary itself for what may come next, so that the services
//! of the project at hand are offered too.

use std::ffi::OsString;

use clap::builder::ArgExt;
use clap::{Args, CommandFactory as _, FromArgMatches as _};
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};

use super::Cli;
use super::error::Error;
use super::global::Global;
use super::output::print_bytes;
use super::session;

/// What the scripts set when they ask.
const VARIABLE: &str = "HOIST_COMPLETE";

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
    let name = arguments.shell.to_string();
    let shells = Shells::builtins();
    let completer = shells.completer(&name).ok_or_else(|| Error::failed(format!("no script for `{name}`")))?;
    completer
        .write_registration(VARIABLE, "hoist", "hoist", "hoist", &mut script)
        .map_err(Error::io("write the script"))?;
    print_bytes(&script)?;
    Ok(0)
}

/// Answers a shell that asks what may come next; false when none does.
pub(super) fn answer(arguments: &[OsString]) -> bool {
    let folder = std::env::current_dir().ok();
    let environment = CompleteEnv::with_factory(super::command).var(VARIABLE);
    // A shell has no use for an error in the middle of its line.
    environment.try_complete(arguments.iter().cloned(), folder.as_deref()).unwrap_or(true)
}

/// What is added to an argument that names a service.
pub(super) fn services() -> impl ArgExt {
    ArgValueCandidates::new(|| {
        let names = names().unwrap_or_default();
        names.into_iter().map(CompletionCandidate::new).collect()
    })
}

/// The services of the project that the line completed is about.
fn names() -> Option<Vec<String>> {
    let line: Vec<OsString> = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(line).ok()?;
    let global = Global::from_arg_matches(&matches).ok()?;
    session::names(&global)
}
