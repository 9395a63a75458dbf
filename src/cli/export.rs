//! `hoist export`: the project as Kubernetes objects, into a folder or onto standard output.
//!
//! Reads the files that the objects are to hold, writes only inside the folder named, removes nothing, and leaves files
//! that are as they should be untouched.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::error::Error;
use super::global::Global;
use super::losses::{Report, reference_page};
use super::objects::Objects;
use super::output::print;
use super::session;
use crate::export::{self, Kind, Object, WriteError};

/// The most of an earlier file that is read, in bytes.
const FILE_LIMIT: u64 = 1024 * 1024;

/// By this the files of an earlier export are known.
const MARK: &str = "app.kubernetes.io/managed-by: hoist";

/// Write the project in another system's words
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print what every attribute of a manifest becomes in a cluster, and what is lost
    #[arg(long, exclusive = true)]
    reference: bool,
    /// For whom.
    #[command(subcommand)]
    target: Option<Target>,
}

/// Whom the project is exported for.
#[derive(Debug, Subcommand)]
enum Target {
    /// Write Kubernetes objects, a file each, and say what could not be carried over
    Kubernetes(Kubernetes),
}

/// Write Kubernetes objects, a file each, and say what could not be carried over
#[derive(Debug, Args)]
struct Kubernetes {
    /// The folder to write to; files that are no objects of the project stay
    #[arg(short, long, value_name = "DIR", default_value = "k8s")]
    output: PathBuf,
    /// Write all objects to standard output instead
    #[arg(long, conflicts_with = "output")]
    stdout: bool,
    /// Fail when something of the manifest is dropped or only approximated
    #[arg(long)]
    strict: bool,
    /// How what became of the manifest is told: `text`, or `json` with every key and its place
    #[arg(long, value_name = "FORM", default_value = "text", hide_possible_values = true)]
    report: Form,
    /// How the objects are made.
    #[command(flatten)]
    objects: Objects,
}

/// How what became of the manifest is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Text,
    Json,
}

/// The page of what every attribute of a manifest becomes in a cluster, for the one that is checked in.
#[must_use]
pub fn print_reference() -> String {
    reference_page()
}

/// Runs the command.
pub(super) fn run(global: &Global, arguments: Arguments) -> Result<u8, Error> {
    if arguments.reference {
        print(&reference_page())?;
        return Ok(0);
    }
    let Some(Target::Kubernetes(arguments)) = arguments.target else {
        return Err(Error::Usage {
            message: "`export` has to be told for whom".into(),
            hint: Some("`hoist export kubernetes`".into()),
        });
    };
    let loaded = session::load_for_cluster(global)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::io("start the runtime"))?;
    let mut export = runtime.block_on(arguments.objects.make(global, &loaded.project))?;
    if arguments.stdout {
        print(&export::stream(&export.objects).map_err(|error| unwritable(&error))?)?;
    } else {
        let folder = &arguments.output;
        if arguments.objects.keeps_supplied() {
            export::keep_supplied(&mut export, |name| read_text(&folder.join(name)).ok());
        }
        write_folder(folder, &export.objects)?;
    }
    let report = Report::new(&export, &loaded);
    match arguments.report {
        Form::Text => anstream::eprint!("{}", report.text()),
        Form::Json if arguments.stdout => anstream::eprint!("{}", report.json()),
        Form::Json => print(&report.json())?,
    }
    if arguments.strict && report.has_loss() {
        return Err(Error::failed("something of the manifest is not in the objects as it was said"));
    }
    Ok(0)
}

fn unwritable(error: &WriteError) -> Error {
    Error::failed(error.to_string())
}

/// Writes a file for each object, and says how many were not as they should be and which ones were left over.
fn write_folder(folder: &Path, objects: &[Object]) -> Result<(), Error> {
    let failed = |action: &str, path: &Path| Error::io(format!("{action} `{}`", path.display()));
    // All texts first: an object that cannot be written leaves the folder as it was.
    let texts: Vec<String> =
        objects.iter().map(export::document).collect::<Result<_, _>>().map_err(|error| unwritable(&error))?;
    fs::create_dir_all(folder).map_err(failed("create", folder))?;
    let mut changed = 0;
    for (object, text) in objects.iter().zip(texts) {
        let path = folder.join(object.file_name());
        let is_link = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink());
        if !is_link && fs::read(&path).is_ok_and(|bytes| bytes == text.as_bytes()) {
            continue;
        }
        replace(&path, text.as_bytes(), object.kind() == Kind::Secret).map_err(failed("write", &path))?;
        changed += 1;
    }
    anstream::eprintln!("{} objects in `{}`, {changed} changed", objects.len(), folder.display());
    for left in left_over(folder, objects) {
        anstream::eprintln!("left from an earlier export, not of the project now: `{}`", left.display());
    }
    Ok(())
}

/// Puts a whole new file in the place of what is there: nobody reads half of one, and a link is replaced, not followed.
fn replace(path: &Path, bytes: &[u8], private: bool) -> io::Result<()> {
    let mut name = std::ffi::OsString::from(".hoist-");
    name.push(path.file_name().unwrap_or_default());
    let temporary = path.with_file_name(name);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = (|| {
        let mut file = create(&temporary, private)?;
        file.write_all(bytes)?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn create(path: &Path, private: bool) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if private {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    #[cfg(not(unix))]
    let _ = private;
    options.open(path)
}

/// Files of an earlier export that are no longer of the project, and that `kubectl apply -f DIR` would apply all the
/// same. They are not removed: somebody may have made them his own.
fn left_over(folder: &Path, objects: &[Object]) -> BTreeSet<PathBuf> {
    let current: BTreeSet<String> = objects.iter().map(Object::file_name).collect();
    let Ok(entries) = fs::read_dir(folder) else { return BTreeSet::new() };
    entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.ends_with(".yaml") && !current.contains(name.as_ref())
        })
        .map(|entry| entry.path())
        .filter(|path| {
            fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) && begins_with_mark(path).unwrap_or(false)
        })
        .collect()
}

fn begins_with_mark(path: &Path) -> io::Result<bool> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(4096).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).contains(MARK))
}

/// The text of a plain file, when it is no larger than a file of an export can be.
fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    if fs::metadata(path)?.is_file() {
        fs::File::open(path)?.take(8 * FILE_LIMIT).read_to_string(&mut text)?;
    }
    Ok(text)
}
