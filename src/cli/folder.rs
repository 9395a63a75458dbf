//! The folder of an export on the disk: what is in it, what is written to it, and whether it follows the manifest.
//!
//! Writes only inside the folder named, follows no link in it, and writes whole files or none.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::error::Error;
use super::objects::Known;
use super::output::print;
use crate::export::shape::folder::{self, Found, Merge, Outcome};
use crate::export::shape::last::{self, LAST, OPTIONS};
use crate::export::shape::{Text, Tree};

/// The most that is read of a file of an export, in bytes.
const FILE_LIMIT: u64 = 16 * 1024 * 1024;

/// The most that is read of the record of the last export, in bytes.
const RECORD_LIMIT: u64 = 512 * 1024 * 1024;

const OPTIONS_HEADING: &str = "# The options of the last export. `hoist export --check` exports with the same.\n";

/// How a folder was exported: what exports it again in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Recorded {
    /// Options of the command line.
    pub(super) words: Vec<String>,
    /// Tags and digests of images at that time.
    pub(super) known: Known,
}

impl Recorded {
    fn text(&self) -> String {
        let tags = self.known.tags.iter().map(|(service, tag)| format!("tag {service} {tag}"));
        let pins = self.known.pins.iter().map(|(image, pinned)| format!("pin {image} {pinned}"));
        let lines = self.words.iter().cloned().chain(tags).chain(pins);
        lines.fold(OPTIONS_HEADING.to_owned(), |text, line| text + &line + "\n")
    }

    fn read(text: &str) -> Self {
        let mut recorded = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["tag", service, tag] => {
                    recorded.known.tags.insert(service.to_owned(), tag.to_owned());
                }
                ["pin", image, pinned] => {
                    recorded.known.pins.insert(image.to_owned(), pinned.to_owned());
                }
                _ => recorded.words.push(line.to_owned()),
            }
        }
        recorded
    }
}

/// Brings a folder from what it is to a new export, with all edits kept. Returns what became of every file.
pub(super) fn write(root: &Path, new: &Tree, options: &Recorded) -> Result<Merge, Error> {
    let last = read_last(root)?.unwrap_or_default();
    let found: BTreeMap<String, Found> =
        last.keys().chain(new.keys()).map(|path| (path.clone(), found(root, path))).collect();
    let merge = folder::merge(&last, new, &found);
    fs::create_dir_all(root).map_err(failed("create", root))?;
    for (path, outcome) in &merge.outcomes {
        match outcome {
            Outcome::Written(text) | Outcome::Merged(text) | Outcome::Conflict(text) => replace(root, path, text)?,
            Outcome::Removed => {
                let path = root.join(path);
                fs::remove_file(&path).map_err(failed("remove", &path))?;
            }
            _ => {}
        }
    }
    // Last, so that an export that was cut short is merged from where it began.
    for (path, text) in [(LAST, last::write(&merge.last)), (OPTIONS, Text::public(options.text()))] {
        if found_text(root, path) != Some(text.content.clone()) {
            replace(root, path, &text)?;
        }
    }
    Ok(merge)
}

/// What became of a folder, for people.
pub(super) fn report(root: &Path, objects: usize, merge: &Merge) -> String {
    let count = |wanted: fn(&Outcome) -> bool| merge.outcomes.values().filter(|outcome| wanted(outcome)).count();
    let parts = [
        (count(|outcome| matches!(outcome, Outcome::Written(_))), "written"),
        (count(|outcome| matches!(outcome, Outcome::Merged(_))), "merged with your edits"),
        (count(|outcome| matches!(outcome, Outcome::Edited)), "left with your edits"),
        (count(|outcome| matches!(outcome, Outcome::Removed)), "removed"),
    ];
    let parts: Vec<String> =
        parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}")).collect();
    let files = if parts.is_empty() { "nothing is new".to_owned() } else { format!("files: {}", parts.join(", ")) };
    let mut text = format!("{objects} objects in `{}`; {files}\n", root.display());
    for (path, outcome) in &merge.outcomes {
        let shown = root.join(path);
        let shown = shown.display();
        let _ = match outcome {
            Outcome::Deleted => writeln!(text, "deleted by you, so not written again: `{shown}`"),
            Outcome::Orphan => writeln!(text, "no longer of the project, but with edits of yours, so left: `{shown}`"),
            Outcome::Foreign => writeln!(text, "in the way, and not from an export, so left as it is: `{shown}`"),
            Outcome::Unresolved => writeln!(text, "still has the marks of a conflict, so left as it is: `{shown}`"),
            Outcome::Conflict(conflict) => {
                let _ = writeln!(text, "conflict: you and the manifest changed the same lines of `{shown}`");
                let shown = folder::conflicts(&conflict.content);
                for (line, both) in shown.iter().filter(|_| !conflict.private) {
                    let _ = writeln!(text, "  line {line}:");
                    both.lines().for_each(|line| {
                        let _ = writeln!(text, "    {line}");
                    });
                }
                Ok(())
            }
            _ => Ok(()),
        };
    }
    text
}

/// Whether the person has something to do before the folder can be used; what that is.
pub(super) fn open(merge: &Merge) -> Option<Error> {
    let count = merge.outcomes.values().filter(|outcome| outcome.is_open()).count();
    let foreign = merge.outcomes.values().any(|outcome| matches!(outcome, Outcome::Foreign));
    let hint = if foreign {
        "move what is in the way elsewhere and export again; in a conflict, keep what is right and delete the marks"
    } else {
        "in each conflict keep what is right and delete the marks; then export again"
    };
    let files = if count == 1 { "1 file wants" } else { "files want" };
    let message =
        if count == 1 { format!("{files} a decision of yours") } else { format!("{count} {files} decisions of yours") };
    (count > 0).then(|| Error::Failed { message, hint: Some(hint.into()) })
}

/// How a folder was exported last; `None` where it was not.
pub(super) fn options(root: &Path) -> Result<Option<Recorded>, Error> {
    let path = root.join(OPTIONS);
    match read_text(&path, FILE_LIMIT) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => Ok(Some(Recorded::read(&text.map_err(failed("read", &path))?))),
    }
}

/// Compares what is exported now with a folder: an error with the difference on standard output when it does not follow.
pub(super) fn check(root: &Path, new: &Tree) -> Result<(), Error> {
    let Some(last) = read_last(root)? else { return Err(no_export(root)) };
    let marked: Vec<&String> =
        last.keys().filter(|path| matches!(found(root, path), Found::Text(text) if folder::has_marks(&text))).collect();
    let drift = folder::drift(&last, new);
    print(&drift)?;
    if let Some(path) = marked.first() {
        return Err(Error::Failed {
            message: format!("`{}` has the marks of a conflict", root.join(path).display()),
            hint: Some("keep what is right of both sides and delete the marks".into()),
        });
    }
    if drift.is_empty() {
        return Ok(());
    }
    Err(Error::Failed {
        message: format!("`{}` does not follow the manifest", root.display()),
        hint: Some(format!(
            "`hoist export kubernetes -o {}` brings it up to date and keeps your edits; review and commit it",
            root.display()
        )),
    })
}

/// That a folder is none of an export.
pub(super) fn no_export(root: &Path) -> Error {
    Error::Failed {
        message: format!("there is no export in `{}`", root.display()),
        hint: Some(format!("make one with `hoist export kubernetes -o {}`, and keep its `.hoist` too", root.display())),
    }
}

/// The record of the last export; `None` where there was none.
fn read_last(root: &Path) -> Result<Option<Tree>, Error> {
    let path = root.join(LAST);
    let text = match read_text(&path, RECORD_LIMIT) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(failed("read", &path))?,
    };
    last::read(&text).map(Some).map_err(|error| Error::Failed {
        message: format!("`{}` is not the record of an export: {error}", path.display()),
        hint: Some("take it from the commit where it was last right, and export again".into()),
    })
}

/// What is in the folder at the path of a file. A link counts as something else: it may lead out of the folder.
fn found(root: &Path, path: &str) -> Found {
    let mut place = PathBuf::from(root);
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        place.push(part);
        let Ok(metadata) = fs::symlink_metadata(&place) else { return Found::Nothing };
        let as_it_should_be = if parts.peek().is_some() { metadata.is_dir() } else { metadata.is_file() };
        if !as_it_should_be {
            return Found::Other;
        }
    }
    read_text(&place, FILE_LIMIT).map_or(Found::Other, Found::Text)
}

/// The text of a file of the folder.
pub(super) fn found_text(root: &Path, path: &str) -> Option<String> {
    match found(root, path) {
        Found::Text(text) => Some(text),
        Found::Nothing | Found::Other => None,
    }
}

fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(limit + 1).read_to_string(&mut text)?;
    if text.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large"));
    }
    Ok(text)
}

fn failed(action: &str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    Error::io(format!("{action} `{}`", path.display()))
}

/// Puts a whole new file in the place of what is there: nobody reads half of one. The folders above it are made.
fn replace(root: &Path, path: &str, text: &Text) -> Result<(), Error> {
    let mut folder = PathBuf::from(root);
    let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
    for part in parents.split('/').filter(|part| !part.is_empty()) {
        folder.push(part);
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !fs::symlink_metadata(&folder).is_ok_and(|metadata| metadata.is_dir()) {
                    return Err(Error::failed(format!("`{}` is no folder", folder.display())));
                }
            }
            made => made.map_err(failed("create", &folder))?,
        }
    }
    let (target, temporary) = (folder.join(name), folder.join(format!(".hoist-{name}")));
    let written = put(&temporary, &target, text);
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(failed("write", &target))
}

fn put(temporary: &Path, target: &Path, text: &Text) -> io::Result<()> {
    let mut file = create(temporary, text.private).or_else(|error| {
        // Left by an export that was cut short.
        if error.kind() == io::ErrorKind::AlreadyExists {
            fs::remove_file(temporary)?;
            return create(temporary, text.private);
        }
        Err(error)
    })?;
    file.write_all(text.content.as_bytes())?;
    fs::rename(temporary, target)
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
