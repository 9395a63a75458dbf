//! `hoist replay`: runs a journal again, without any engine, and holds what is decided against what was.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::error::Error;
use super::format::Format;
use super::global::Global;
use super::output::print;
use super::session;
use crate::journal;
use crate::replay::{Journal, Moment};
use crate::ui::{clean, replay as words};

/// A journal that is longer was not written by hoist.
const LONGEST: u64 = 64 * 1024 * 1024;

/// Run the journal of an `up` again without an engine, to see what led to what
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Journal to run; this project's newest when none is named
    #[arg(value_name = "JOURNAL", value_hint = clap::ValueHint::FilePath)]
    pub(super) journal: Option<PathBuf>,
    /// Print plain text, or an object for each step
    #[arg(long, value_name = "FORMAT", default_value = "text", hide_default_value = true)]
    pub(super) format: Format,
}

/// Runs the command.
pub(super) fn run(global: &Global, arguments: Arguments) -> Result<u8, Error> {
    let path = match arguments.journal {
        Some(path) => path,
        None => newest(global)?,
    };
    let shown = path.display();
    let text = read(&path).map_err(Error::io(format!("read the journal `{shown}`")))?;
    let journal = Journal::read(&text).map_err(|problem| Error::Failed {
        message: format!("`{shown}` cannot be replayed: {}", clean(&problem.to_string())),
        hint: Some("a journal is what `hoist up` leaves; `hoist replay` without a file takes the newest".into()),
    })?;
    let mut written = Ok(());
    let replayed = journal.replay(|moment: &Moment<'_>| {
        let line = if arguments.format == Format::Json { words::object(moment) } else { words::lines(moment) };
        if written.is_ok() {
            written = print(&line);
        }
    });
    written?;
    replayed.map_err(|parting| parted(&journal, &words::parting(&parting)))?;
    if let Some(problem) = &journal.problem {
        return Err(Error::Failed {
            message: format!("`{shown}` is damaged: {}", clean(&problem.to_string())),
            hint: Some(format!("the {} steps before it replay as they were journaled", journal.len())),
        });
    }
    let end = clean(journal.end.as_deref().unwrap_or("the journal has no end: the run was killed, or goes on"));
    anstream::eprintln!("`{shown}`: {} steps, replayed as they were journaled; {end}", journal.len());
    Ok(0)
}

fn newest(global: &Global) -> Result<PathBuf, Error> {
    let project = session::load(global, &[])?.project;
    journal::latest(&project).ok_or_else(|| Error::Failed {
        message: format!("no run of `{}` has left a journal", project.name),
        hint: Some("`hoist up` leaves one, unless `--no-journal` or `HOIST_JOURNAL=0` says otherwise".into()),
    })
}

fn read(path: &Path) -> io::Result<String> {
    let file = OpenOptions::new().read(true).open(path)?;
    if file.metadata()?.len() > LONGEST {
        return Err(io::Error::other(format!("it is longer than {LONGEST} bytes")));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    // A line that is not text is told of with its number.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn parted(journal: &Journal, message: &str) -> Error {
    let (theirs, ours) = (clean(&journal.head.hoist), env!("CARGO_PKG_VERSION"));
    let hint = if theirs == ours {
        format!("the journal was altered, or is of another build of hoist {ours}")
    } else {
        format!("the journal is of hoist {theirs}, and this is {ours}")
    };
    Error::Failed { message: clean(message), hint: Some(hint) }
}
