//! Walks a folder in the order of its names, writes what is not left out as a tar, and hashes it on the way. Where only
//! the hash is wanted, what is known of a file's content is not read again.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;

use crate::change::ignore::Patterns;
use crate::content::{Hash, Hashes, Stamp};
use crate::engine::EngineError;

/// Why a context could not be packed.
#[derive(Debug)]
pub(in crate::engine) enum PackError {
    /// A file could not be read, or the tar not be written.
    Failed { path: PathBuf, error: io::Error },
    /// A file changed while it was read: the next attempt will read it as it is then.
    Changed { path: PathBuf },
    /// Nobody wants it any more.
    Cancelled,
}

impl From<PackError> for EngineError {
    fn from(error: PackError) -> Self {
        match error {
            PackError::Failed { path, error } => {
                Self::Refused { message: format!("`{}` cannot be read: {error}", path.display()) }
            }
            PackError::Changed { path } => {
                Self::Refused { message: format!("`{}` keeps changing while it is read", path.display()) }
            }
            PackError::Cancelled => Self::Cancelled,
        }
    }
}

/// A folder above the entry at hand that is itself left out: it is written only when something below it is not.
struct PendingFolder {
    path: PathBuf,
    relative: String,
}

pub(super) struct Packer<'context, W: Write> {
    /// `None` when only the hash is wanted.
    tar: Option<tar::Builder<W>>,
    hash: blake3::Hasher,
    hashes: &'context Hashes,
    patterns: &'context Patterns,
    /// Files that are written and do not count in the hash.
    aside: &'context BTreeSet<PathBuf>,
    cancel: &'context CancellationToken,
    pending: Vec<PendingFolder>,
    /// Where in the tar the folder at hand is: nothing, or a path that ends in `/`.
    place: String,
}

impl<'context, W: Write> Packer<'context, W> {
    pub(super) fn new(
        output: Option<W>,
        hash: blake3::Hasher,
        hashes: &'context Hashes,
        patterns: &'context Patterns,
        aside: &'context BTreeSet<PathBuf>,
        cancel: &'context CancellationToken,
    ) -> Self {
        let tar = output.map(tar::Builder::new);
        Self { tar, hash, hashes, patterns, aside, cancel, pending: Vec::new(), place: String::new() }
    }

    /// Everything below a folder that the patterns keep.
    pub(super) fn folder(&mut self, root: &Path) -> Result<(), PackError> {
        self.below(root, "")
    }

    /// A folder, and everything below it that the patterns keep, at this path in the tar.
    pub(super) fn folder_at(
        &mut self,
        root: &Path,
        place: &str,
        patterns: &'context Patterns,
    ) -> Result<(), PackError> {
        let metadata = fs::metadata(root).map_err(|error| failed(root, error))?;
        self.directory(root, place, &metadata)?;
        let before = std::mem::replace(&mut self.patterns, patterns);
        self.place = format!("{place}/");
        let packed = self.below(root, "");
        self.place.clear();
        self.patterns = before;
        packed
    }

    /// One file under this path, whatever the patterns say.
    pub(super) fn file(&mut self, path: &Path, relative: &str) -> Result<(), PackError> {
        let metadata = fs::metadata(path).map_err(|error| failed(path, error))?;
        self.content(path, relative, &metadata)
    }

    /// A file that is nowhere on the disk.
    pub(super) fn bytes(&mut self, relative: &str, content: &[u8]) -> Result<(), PackError> {
        let mut header = header(tar::EntryType::Regular, 0o644, 0);
        header.set_size(content.len() as u64);
        self.note('f', relative, 0o644);
        self.hash.update(blake3::hash(content).as_bytes());
        let Some(tar) = &mut self.tar else { return Ok(()) };
        let written = tar.append_data(&mut header, relative, content);
        written.map_err(|error| failed(Path::new(relative), error))
    }

    /// Ends the tar and returns the hash.
    pub(super) fn finish(self) -> Result<blake3::Hash, PackError> {
        if let Some(tar) = self.tar {
            let ended = tar.into_inner().and_then(|mut output| output.flush());
            ended.map_err(|error| failed(Path::new("."), error))?;
        }
        Ok(self.hash.finalize())
    }

    fn below(&mut self, folder: &Path, relative: &str) -> Result<(), PackError> {
        let listed = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = match listed {
            Ok(entries) => entries,
            // A folder that went away between its listing and now is not part of the context; the root has to be.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !relative.is_empty() => return Ok(()),
            Err(error) => return Err(failed(folder, error)),
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if self.cancel.is_cancelled() {
                return Err(PackError::Cancelled);
            }
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let inside = if relative.is_empty() { name.into_owned() } else { format!("{relative}/{name}") };
            self.entry(&entry.path(), &inside)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, relative: &str) -> Result<(), PackError> {
        let excluded = self.patterns.excludes(relative);
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(_) if excluded => return Ok(()),
            Err(error) => return Err(failed(path, error)),
        };
        if metadata.is_dir() {
            if self.patterns.prunes(relative) {
                return Ok(());
            }
            if excluded {
                self.pending.push(PendingFolder { path: path.to_owned(), relative: relative.to_owned() });
            } else {
                self.write_pending()?;
                self.directory(path, relative, &metadata)?;
            }
            self.below(path, relative)?;
            self.pending.pop_if(|folder| folder.relative == relative);
            return Ok(());
        }
        if excluded {
            return Ok(());
        }
        self.write_pending()?;
        let counted = self.aside.contains(path).then(|| self.hash.clone());
        let written = self.leaf(path, relative, &metadata);
        if let Some(counted) = counted {
            self.hash = counted;
        }
        written
    }

    fn leaf(&mut self, path: &Path, relative: &str, metadata: &Metadata) -> Result<(), PackError> {
        if metadata.is_symlink() {
            self.link(path, relative, metadata)
        } else if metadata.is_file() {
            match self.content(path, relative, metadata) {
                Err(PackError::Failed { error, .. }) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                result => result,
            }
        } else {
            // Sockets, pipes and devices have no content that an image could hold.
            Ok(())
        }
    }

    fn write_pending(&mut self) -> Result<(), PackError> {
        for folder in std::mem::take(&mut self.pending) {
            let metadata = fs::symlink_metadata(&folder.path).map_err(|error| failed(&folder.path, error))?;
            self.directory(&folder.path, &folder.relative, &metadata)?;
        }
        Ok(())
    }

    fn directory(&mut self, path: &Path, relative: &str, metadata: &Metadata) -> Result<(), PackError> {
        let mode = mode(metadata, 0o755);
        let relative = format!("{}{relative}", self.place);
        self.note('d', &relative, mode);
        let Some(tar) = &mut self.tar else { return Ok(()) };
        let mut header = header(tar::EntryType::Directory, mode, modified(metadata));
        tar.append_data(&mut header, relative, io::empty()).map_err(|error| failed(path, error))
    }

    fn link(&mut self, path: &Path, relative: &str, metadata: &Metadata) -> Result<(), PackError> {
        let target = fs::read_link(path).map_err(|error| failed(path, error))?;
        let relative = format!("{}{relative}", self.place);
        self.note('l', &relative, 0o777);
        let text = target.to_string_lossy();
        self.hash.update(format!("{} {text}\n", text.len()).as_bytes());
        let Some(tar) = &mut self.tar else { return Ok(()) };
        let mut header = header(tar::EntryType::Symlink, 0o777, modified(metadata));
        tar.append_link(&mut header, relative, &target).map_err(|error| failed(path, error))
    }

    fn content(&mut self, path: &Path, relative: &str, metadata: &Metadata) -> Result<(), PackError> {
        let mode = mode(metadata, 0o644);
        let relative = format!("{}{relative}", self.place);
        let hash = match &mut self.tar {
            None => self.hashes.of(path, metadata, self.cancel).map_err(|error| failed(path, error))?,
            Some(tar) => append(tar, self.hashes, path, &relative, metadata, self.cancel)?,
        };
        self.note('f', &relative, mode);
        self.hash.update(&hash.0);
        Ok(())
    }

    /// The length in front keeps a path from passing for a path and something else.
    fn note(&mut self, kind: char, relative: &str, mode: u32) {
        self.hash.update(format!("{kind} {mode:o} {} {relative}\n", relative.len()).as_bytes());
    }
}

/// Writes a file into the tar and returns the hash of what was written.
fn append<W: Write>(
    tar: &mut tar::Builder<W>,
    hashes: &Hashes,
    path: &Path,
    relative: &str,
    metadata: &Metadata,
    cancel: &CancellationToken,
) -> Result<Hash, PackError> {
    let began = SystemTime::now();
    let file = File::open(path).map_err(|error| failed(path, error))?;
    // What was opened counts, not what was listed.
    let opened = file.metadata().map_err(|error| failed(path, error))?;
    let (before, length) = (Stamp::of(&opened), opened.len());
    let mut header = header(tar::EntryType::Regular, mode(metadata, 0o644), modified(metadata));
    header.set_size(length);
    let mut reader = Hashed { file: file.take(length), hash: blake3::Hasher::new(), read: 0, cancel };
    tar.append_data(&mut header, relative, &mut reader).map_err(|error| failed(path, error))?;
    if reader.read != length {
        return Err(PackError::Changed { path: path.to_owned() });
    }
    let hash = Hash(*reader.hash.finalize().as_bytes());
    if reader.file.get_ref().metadata().is_ok_and(|after| Stamp::of(&after) == before) {
        hashes.learn(path, &before, began, hash);
    }
    Ok(hash)
}

/// Hashes what is read through it.
struct Hashed<'packer> {
    file: io::Take<File>,
    hash: blake3::Hasher,
    read: u64,
    cancel: &'packer CancellationToken,
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        let read = self.file.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.read += read as u64;
        Ok(read)
    }
}

fn header(kind: tar::EntryType, mode: u32, modified: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header.set_mtime(modified);
    header
}

#[cfg(unix)]
fn mode(metadata: &Metadata, _otherwise: u32) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o7777
}

#[cfg(not(unix))]
fn mode(_metadata: &Metadata, otherwise: u32) -> u32 {
    otherwise
}

fn modified(metadata: &Metadata) -> u64 {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_secs())
}

fn failed(path: &Path, error: io::Error) -> PackError {
    PackError::Failed { path: path.to_owned(), error }
}
