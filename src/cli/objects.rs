//! The objects of a project, for `export` and whoever applies them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::error::Error;
use super::global::Global;
use crate::export::{self, Export, File, Options, SecretValues, wanted_files};
use crate::project::Project;

/// The most of a file that is read, in bytes: more does not fit into an object.
const FILE_LIMIT: u64 = 1024 * 1024;

/// How the objects are made.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Objects")]
pub(super) struct Objects {
    /// Put this before the names of images that the project builds: `registry.example.com/team`
    #[arg(long, value_name = "PREFIX")]
    registry: Option<String>,
    /// The namespace of the objects, which is made too
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// What to put into Secrets: a placeholder, or the values of this machine
    #[arg(long, value_name = "WHAT", default_value = "placeholder", hide_possible_values = true)]
    secrets: Secrets,
}

/// What goes into Secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Secrets {
    /// A word that says that the value is still to be supplied.
    Placeholder,
    /// The values of this machine.
    Values,
}

impl Objects {
    /// Whether values that somebody filled in by hand stand in the files of an earlier export.
    pub(super) fn keeps_supplied(&self) -> bool {
        self.secrets == Secrets::Placeholder
    }

    /// The namespace that is asked for.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Makes the objects.
    #[expect(clippy::unused_async, reason = "digests are asked of registries")]
    pub(super) async fn make(&self, _global: &Global, project: &Project) -> Result<Export, Error> {
        let made = export::kubernetes(project, &self.options(project));
        let violations = export::check(&made.objects, &made.external);
        if violations.is_empty() { Ok(made) } else { Err(unacceptable(&violations)) }
    }

    /// The images that the project builds, by service.
    #[expect(clippy::unused_async, reason = "digests are asked of registries")]
    pub(super) async fn images(&self, _global: &Global, project: &Project) -> Result<BTreeMap<String, String>, Error> {
        Ok(export::built_images(project, &self.options(project)))
    }

    fn options(&self, project: &Project) -> Options {
        let secrets = match self.secrets {
            Secrets::Placeholder => SecretValues::Placeholder,
            Secrets::Values => SecretValues::Values,
        };
        Options { registry: self.registry.clone(), secrets, files: read_files(project, secrets) }
    }
}

fn unacceptable(violations: &[export::Violation]) -> Error {
    let message = violations.iter().fold("a cluster would refuse the objects".to_owned(), |mut text, violation| {
        let _ = write!(text, "\n  {violation}");
        text
    });
    Error::Failed { message, hint: Some("this is a mistake of hoist; please report it with the manifest".into()) }
}

/// Reads the files that the objects are to hold.
fn read_files(project: &Project, secrets: SecretValues) -> BTreeMap<PathBuf, File> {
    wanted_files(project, secrets)
        .into_iter()
        .map(|path| {
            let file = read_file(&path).unwrap_or(File::Missing);
            (path, file)
        })
        .collect()
}

fn read_file(path: &Path) -> io::Result<File> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Ok(File::Folder);
    }
    // Opening a pipe would wait for somebody to write to it.
    if !metadata.is_file() {
        return Ok(File::Special);
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Ok(File::TooLarge);
    }
    Ok(File::Content { bytes, executable: is_executable(&metadata) })
}

#[cfg(unix)]
fn is_executable(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &fs::Metadata) -> bool {
    false
}
