//! `hoist export`: the project as Kubernetes objects, into a folder or onto standard output.
//!
//! What becomes of the folder that they are written to is `folder`'s.

use std::future::Future;
use std::path::{Path, PathBuf};

use clap::{Args, FromArgMatches as _, Subcommand, ValueEnum};

use super::error::Error;
use super::folder;
use super::given::{Given, overridden};
use super::global::Global;
use super::losses::{Report, reference_page};
use super::objects::Objects;
use super::output::print;
use super::session;
use crate::export::shape::last::OPTIONS;
use crate::export::shape::{Tree, chart, kustomize};
use crate::export::{self, Export, WriteError};
use crate::project::Project;

/// Write the project in another system's words
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print what every attribute of a manifest becomes in a cluster, and what is lost
    #[arg(long, exclusive = true)]
    reference: bool,
    /// Write nothing; fail when the folder no longer follows the manifest, and show what is different
    #[arg(long, value_name = "DIR")]
    check: Option<PathBuf>,
    /// For whom.
    #[command(subcommand)]
    target: Option<Target>,
}

/// Whom the project is exported for.
#[derive(Debug, Subcommand)]
enum Target {
    /// Write Kubernetes objects, and say what could not be carried over
    #[command(after_help = FOLDER)]
    Kubernetes(Kubernetes),
}

/// What the help says of a folder that is exported to more than once.
const FOLDER: &str = "\
Edit what was exported as you like. The next export merges what is new with your edits, as git merges; where both changed
the same lines, both stand in the file between marks, and the command fails. What you deleted stays deleted, and what you
added stays. For this the folder keeps the last export and its options in `.hoist`: commit it with the rest. An option that
is not given again is as it was the last time.

A folder follows the manifest when exporting with the same options would bring nothing new to it, and no conflict is open
in it. Your edits do not count. `--check` says whether it does: exit code 1 and a diff when it does not. It takes the
options of the last export; give `-f`, `-p` and `--profile` again.";

/// Write Kubernetes objects, and say what could not be carried over
#[derive(Debug, Args)]
struct Kubernetes {
    /// Before all others: those take the options that they read.
    #[command(flatten)]
    given: Given,
    /// The folder to write to
    #[arg(short, long, value_name = "DIR", default_value = "k8s", conflicts_with = "check")]
    output: PathBuf,
    /// A base and overlays for kustomize, a chart for helm, or all objects as yaml on standard output
    #[arg(long, value_name = "FORMAT", default_value = "kustomize", hide_possible_values = true)]
    format: Format,
    /// Write all objects to standard output: the same as `--format yaml`
    #[arg(long, hide = true, conflicts_with_all = ["output", "format"])]
    stdout: bool,
    /// Write nothing; fail when the folder no longer follows the manifest, and show what is different
    #[arg(long, value_name = "DIR")]
    check: Option<PathBuf>,
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

/// In which form objects are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A base with a file for each object, and an overlay for each of two environments.
    Kustomize,
    /// A chart whose values are what differs between environments.
    Helm,
    /// One stream of documents.
    Yaml,
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
    let named = arguments.check;
    match arguments.target {
        Some(Target::Kubernetes(mut arguments)) => match named.or_else(|| arguments.check.take()) {
            Some(folder) => check(global, &folder, &arguments.given),
            None => kubernetes(global, arguments),
        },
        None => match named {
            Some(folder) => check(global, &folder, &Given::default()),
            None => Err(Error::Usage {
                message: "`export` has to be told for whom".into(),
                hint: Some("`hoist export kubernetes`".into()),
            }),
        },
    }
}

/// The options that say where an export goes and what is told of it, and not what it is.
const PLACES: [&str; 5] = ["output", "check", "stdout", "strict", "report"];

/// Compares a folder with what would be exported into it now.
fn check(global: &Global, folder: &Path, given: &Given) -> Result<u8, Error> {
    let recorded = folder::options(folder)?.ok_or_else(|| folder::no_export(folder))?;
    let mut arguments = as_before(folder, recorded.words, given)?;
    // Every commit has another revision; what is new of that is no drift.
    arguments.objects.know(recorded.known);
    let project = session::load_for_cluster(global)?.project;
    let (_, tree) = block_on(made(global, &project, &arguments))?;
    folder::check(folder, &tree)?;
    Ok(0)
}

/// The options of the last export, with those in their place that are given now.
fn as_before(folder: &Path, recorded: Vec<String>, given: &Given) -> Result<Kubernetes, Error> {
    let command = Kubernetes::augment_args(clap::Command::new("kubernetes")).no_binary_name(true);
    let words = overridden(recorded, given.words(&command, &PLACES));
    let arguments = command.try_get_matches_from(words).and_then(|matches| Kubernetes::from_arg_matches(&matches));
    arguments.map_err(|error| Error::Failed {
        message: format!("the options in `{}` are not of this hoist", folder.join(OPTIONS).display()),
        hint: error.to_string().lines().next().map(str::to_owned),
    })
}

/// The export of a project, and the folder that it is; a stream is no folder and empty.
async fn made(global: &Global, project: &Project, arguments: &Kubernetes) -> Result<(Export, Tree), Error> {
    let export = arguments.objects.make(global, project).await?;
    let tree = match arguments.format {
        Format::Kustomize => kustomize::tree(&project.name, &export),
        Format::Helm => chart::tree(&project.name, &export),
        Format::Yaml => Ok(Tree::new()),
    };
    Ok((export, tree.map_err(|error| unwritable(&error))?))
}

fn block_on<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Error::io("start the runtime"))?.block_on(work)
}

fn kubernetes(global: &Global, mut arguments: Kubernetes) -> Result<u8, Error> {
    let is_stream = arguments.stdout || arguments.format == Format::Yaml;
    if let Some(recorded) = folder::options(&arguments.output)?.filter(|_| !is_stream) {
        let Kubernetes { output, strict, report, given, .. } = arguments;
        arguments = Kubernetes { strict, report, ..as_before(&output, recorded.words, &given)? };
        arguments.output = output;
    }
    let loaded = session::load_for_cluster(global)?;
    let (known, mut export, tree) = block_on(async {
        let known = arguments.objects.learn(global, &loaded.project).await?;
        let (export, tree) = made(global, &loaded.project, &arguments).await?;
        Ok((known, export, tree))
    })?;
    let open = if is_stream {
        print(&export::stream(&export.objects).map_err(|error| unwritable(&error))?)?;
        None
    } else {
        let command = Kubernetes::augment_args(clap::Command::new("kubernetes"));
        let root = &arguments.output;
        let options = folder::Recorded { words: arguments.given.words(&command, &PLACES), known };
        let merge = folder::write(root, &tree, &options)?;
        anstream::eprint!("{}", folder::report(root, export.objects.len(), &merge));
        if arguments.objects.keeps_supplied() {
            export::keep_supplied(&mut export, |name| folder::found_text(root, &format!("base/{name}")));
        }
        folder::open(&merge)
    };
    let report = Report::new(&export, &loaded);
    match arguments.report {
        Form::Text => anstream::eprint!("{}", report.text()),
        Form::Json if is_stream => anstream::eprint!("{}", report.json()),
        Form::Json => print(&report.json())?,
    }
    if let Some(open) = open {
        return Err(open);
    }
    if arguments.strict && report.has_loss() {
        return Err(Error::failed("something of the manifest is not in the objects as it was said"));
    }
    Ok(0)
}

fn unwritable(error: &WriteError) -> Error {
    Error::failed(error.to_string())
}
