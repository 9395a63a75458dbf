//! The helper process: one piece of work inside a root file system, its data through standard input and output.
//!
//! It is told what to do by one argument, as JSON. Before it touches anything it makes the root in question its own, so
//! that no path and no link leads out of it. What it has to say it says in one line of JSON on standard output, before the
//! data that it has to give; why it failed, in one line of JSON on standard error.

mod copy;
mod erase;
mod extract;
mod names;
mod pack;
mod tarball;
mod view;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit};
use serde::{Deserialize, Serialize};

use super::super::error::Error;
use super::{View, WriteOptions};

/// Bytes of memory that a helper may have.
const MEMORY: u64 = 1 << 30;
/// The argument of a helper that is told later what to do: by its input, which begins with a length and as much JSON.
pub(super) const SPARE_WORK: &str = "-";
/// Bytes of JSON that tell what to do.
const LONGEST_WORK: u32 = 1 << 20;

/// What a helper does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Work {
    /// Describes a path: a `PathStat`.
    Stat { place: Place, path: String },
    /// Describes a path, and gives it as a tar.
    Read { place: Place, path: String },
    /// Takes a tar into a folder.
    Write { place: Place, path: String, options: WriteOptions },
    /// Removes files and folders with all that is in them; those that are not there are no failure.
    Remove { place: Place, paths: Vec<String> },
    /// Takes a layer into an empty folder: the bytes of its files.
    Unpack { folder: PathBuf },
    /// Gives a written layer as a tar.
    Pack { upper: PathBuf },
}

/// Whose files, and a folder to mount them at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Place {
    pub view: View,
    pub mounts: PathBuf,
}

/// Why it was not done.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    kind: Kind,
    text: String,
}

#[derive(Debug, Serialize, Deserialize)]
enum Kind {
    NotFound,
    Invalid,
    Failed,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::NotFound(_) => Kind::NotFound,
            Error::Invalid(_) => Kind::Invalid,
            _ => Kind::Failed,
        };
        Self { kind, text: error.to_string() }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            Kind::NotFound => Self::NotFound(failure.text),
            Kind::Invalid => Self::Invalid(failure.text),
            Kind::Failed => Self::Failed(failure.text),
        }
    }
}

/// `__engine root …`.
pub(crate) fn main(arguments: &[OsString]) -> ExitCode {
    let told = match arguments.first() {
        Some(work) if work == SPARE_WORK => match wait() {
            Ok(Some(work)) => Ok(work),
            // Nobody has anything for it.
            Ok(None) => return ExitCode::SUCCESS,
            Err(error) => Err(Error::io("hear what is to be done")(error)),
        },
        Some(work) => Ok(work.as_bytes().to_vec()),
        None => Err(Error::Invalid("the helper was not told what to do".into())),
    };
    let understood = told.and_then(|work| {
        serde_json::from_slice(&work).map_err(|error| Error::Invalid(format!("the helper was told nonsense: {error}")))
    });
    let Err(error) = understood.and_then(perform) else { return ExitCode::SUCCESS };
    // Nobody to tell: whoever asked has gone.
    let _ = serde_json::to_writer(io::stderr(), &Failure::from(error));
    ExitCode::FAILURE
}

/// What a spare helper is told; `None` when it is not needed any more.
fn wait() -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    // Not through a buffer: what follows is the input of the work.
    let mut stdin = fs::File::from(rustix::stdio::stdin().try_clone_to_owned()?);
    match stdin.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u32::from_le_bytes(length);
    if length > LONGEST_WORK {
        return Err(io::Error::other("it is too long"));
    }
    let mut work = vec![0; usize::try_from(length).unwrap_or_default()];
    stdin.read_exact(&mut work)?;
    Ok(Some(work))
}

fn perform(work: Work) -> Result<(), Error> {
    rustix::process::umask(rustix::fs::Mode::empty());
    // What an archive says of itself has no other bound (a name may be as long as it likes).
    let memory = Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) };
    rustix::process::setrlimit(Resource::As, memory).map_err(|error| Error::io("bound the memory")(error.into()))?;
    match work {
        Work::Stat { place, path } => {
            view::enter(&place)?;
            say(&copy::stat(&path)?)
        }
        Work::Read { place, path } => {
            view::enter(&place)?;
            copy::read(&path)
        }
        Work::Write { place, path, options } => {
            view::enter(&place)?;
            copy::write(&path, options)
        }
        Work::Remove { place, paths } => {
            let paths = paths.iter().map(|path| erase::clean(path)).collect::<Result<Vec<_>, Error>>()?;
            view::enter(&place)?;
            erase::remove(&paths)
        }
        Work::Unpack { folder } => {
            confine(&folder)?;
            let bytes = extract::extract(io::stdin(), extract::Mode::Layer)?;
            say(&bytes)
        }
        Work::Pack { upper } => {
            confine(&upper)?;
            say(&())?;
            pack::layer()
        }
    }
}

/// Makes a folder the root of this process.
fn confine(folder: &Path) -> Result<(), Error> {
    let entered = rustix::process::chroot(folder).and_then(|()| rustix::process::chdir("/"));
    entered.map_err(|error| failed("enter", folder, error))
}

/// The line before the data.
fn say(what: &impl Serialize) -> Result<(), Error> {
    let mut line = serde_json::to_vec(what).map_err(|error| Error::Failed(format!("cannot write JSON: {error}")))?;
    line.push(b'\n');
    io::stdout().write_all(&line).map_err(Error::io("answer the engine"))
}

/// What the kernel refused, with the path inside that it was about.
fn failed(tried: &str, path: &Path, error: impl Into<io::Error>) -> Error {
    let shown = Path::new("/").join(path);
    Error::Failed(format!("cannot {tried} {}: {}", shown.display(), error.into()))
}

/// A file that is there, links not followed; `None` when there is none.
fn there(path: &Path) -> io::Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
