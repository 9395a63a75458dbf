//! A tar into the folder that this process is in.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write as _};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode as Bits, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType};

use super::super::super::error::Error;
use super::super::remove;
use super::names::{OPAQUE, OPAQUE_ATTRIBUTE, WHITEOUT, is_kept, is_whiteout};
use super::{failed, there};

/// Bytes that are moved at once.
const BUFFER: usize = 256 * 1024;

/// What a tar is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// A layer for overlayfs, into an empty folder.
    Layer,
    /// Files beside those that are there.
    Files {
        /// Refuse to replace a folder by a file, and the other way round.
        no_overwrite_dir_non_dir: bool,
    },
}

/// Unpacks all of `input`. Returns the bytes of the files.
pub(super) fn extract(input: impl Read, mode: Mode) -> Result<u64, Error> {
    let mut extractor = Extractor { mode, folders: BTreeMap::new(), buffer: vec![0; BUFFER], bytes: 0 };
    let mut archive = Archive::new(io::BufReader::with_capacity(BUFFER, input));
    for entry in archive.entries().map_err(corrupt)? {
        extractor.entry(entry.map_err(corrupt)?)?;
    }
    // What follows the end belongs to the stream all the same: whoever writes it counts on its being read.
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(corrupt)?;
    // Only now: each file that was made in a folder has changed its time.
    for (folder, time) in &extractor.folders {
        match set_time(folder, *time) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(error) => return Err(failed("set the time of", folder, error)),
        }
    }
    Ok(extractor.bytes)
}

struct Extractor {
    mode: Mode,
    /// Folders and the times that they are to have.
    folders: BTreeMap<PathBuf, Timespec>,
    buffer: Vec<u8>,
    bytes: u64,
}

/// What a tar says of a file beside its kind.
struct Attributes {
    mode: Bits,
    owner: Uid,
    group: Gid,
    time: Timespec,
    extended: Vec<(String, Vec<u8>)>,
}

impl Extractor {
    fn entry<R: Read>(&mut self, mut entry: Entry<'_, R>) -> Result<(), Error> {
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let path = clean(&entry.path_bytes())?;
        let attributes = attributes(&mut entry).map_err(|error| corrupt_at(&path, &error))?;
        if self.mode == Mode::Layer && self.whiteout(&path, attributes.time)? {
            return Ok(());
        }
        if path.as_os_str().is_empty() {
            if kind != EntryType::Directory {
                return Err(Error::Invalid("the archive is corrupt: a file in it has no name".into()));
            }
            return self.finish_folder(Path::new("."), &attributes);
        }
        match kind {
            EntryType::Directory => self.folder(&path, &attributes),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => self.file(&path, entry, &attributes),
            EntryType::Symlink => self.symbolic_link(&path, &entry, &attributes),
            EntryType::Link => self.hard_link(&path, &entry),
            EntryType::Char | EntryType::Block | EntryType::Fifo => self.node(&path, &entry, &attributes),
            other => Err(Error::Invalid(format!(
                "the archive has {} of a kind that is not known ({:?})",
                path.display(),
                char::from(other.as_byte())
            ))),
        }
    }

    /// Sees to a name that says what a layer takes away; `false` for any other.
    fn whiteout(&mut self, path: &Path, time: Timespec) -> Result<bool, Error> {
        let Some(name) = path.file_name().map(std::ffi::OsStr::as_bytes) else { return Ok(false) };
        let Some(hidden) = name.strip_prefix(WHITEOUT) else { return Ok(false) };
        let parent = path.parent().unwrap_or(Path::new(""));
        if name == OPAQUE {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            make_parents(&parent.join("-")).map_err(|error| failed("make", parent, error))?;
            set_opaque(parent)?;
            return Ok(true);
        }
        if hidden.starts_with(WHITEOUT) {
            // Kept by another file system for itself.
            return Ok(true);
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(Error::Invalid(format!("the archive is corrupt: it takes {} away", path.display())));
        }
        let gone = parent.join(std::ffi::OsStr::from_bytes(hidden));
        match there(&gone).map_err(|error| failed("look at", &gone, error))? {
            // The layer has one of its own besides, which hides what is below: a folder has to say so.
            Some(own) if own.is_dir() => set_opaque(&gone)?,
            Some(_) => {}
            None => {
                let make = || rustix::fs::mknodat(CWD, &gone, FileType::CharacterDevice, Bits::empty(), 0);
                self.make(&gone, make)?;
                set_time(&gone, time).map_err(|error| failed("set the time of", &gone, error))?;
            }
        }
        Ok(true)
    }

    fn folder(&mut self, path: &Path, attributes: &Attributes) -> Result<(), Error> {
        let make = || rustix::fs::mkdirat(CWD, path, Bits::from_raw_mode(0o755));
        match make() {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let present = there(path).map_err(|error| failed("look at", path, error))?;
                match present {
                    Some(present) if present.is_dir() => {}
                    present => {
                        self.clear(path, true)?;
                        make().map_err(|error| failed("make", path, error))?;
                        if self.mode == Mode::Layer && present.is_some_and(|present| is_whiteout(&present)) {
                            set_opaque(path)?;
                        }
                    }
                }
            }
            Err(_) => self.make(path, make)?,
        }
        self.finish_folder(path, attributes)
    }

    fn finish_folder(&mut self, path: &Path, attributes: &Attributes) -> Result<(), Error> {
        finish(path, attributes, true)?;
        self.folders.insert(path.to_owned(), attributes.time);
        Ok(())
    }

    fn file<R: Read>(&mut self, path: &Path, mut entry: Entry<'_, R>, attributes: &Attributes) -> Result<(), Error> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = self.make(path, || rustix::fs::openat(CWD, path, flags, Bits::from_raw_mode(0o600)))?;
        let mut file = fs::File::from(opened);
        let expected = entry.size();
        let mut written = 0_u64;
        loop {
            let read = match entry.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(corrupt_at(path, &error)),
            };
            file.write_all(&self.buffer[..read]).map_err(|error| failed("write", path, error))?;
            written += read as u64;
        }
        if written != expected {
            return Err(Error::Invalid(format!(
                "the archive ends within {}: it has {written} of {expected} bytes",
                path.display()
            )));
        }
        self.bytes += written;
        let finished = || -> rustix::io::Result<()> {
            rustix::fs::fchown(&file, Some(attributes.owner), Some(attributes.group))?;
            // After the owner: to change that takes the bits of `setuid` and `setgid` away.
            rustix::fs::fchmod(&file, attributes.mode)?;
            set_extended(&file, &attributes.extended)?;
            rustix::fs::futimens(&file, &times(attributes.time))
        };
        finished().map_err(|error| failed("finish", path, error))
    }

    fn symbolic_link<R: Read>(
        &mut self,
        path: &Path,
        entry: &Entry<'_, R>,
        attributes: &Attributes,
    ) -> Result<(), Error> {
        let target = entry.link_name_bytes().filter(|target| !target.is_empty());
        let target = target.ok_or_else(|| nowhere(path))?;
        self.make(path, || rustix::fs::symlinkat(&*target, CWD, path))?;
        finish(path, attributes, false)
    }

    fn hard_link<R: Read>(&mut self, path: &Path, entry: &Entry<'_, R>) -> Result<(), Error> {
        let target = clean(&entry.link_name_bytes().ok_or_else(|| nowhere(path))?)?;
        if there(&target).ok().flatten().is_none_or(|target| target.is_dir()) {
            return Err(Error::Invalid(format!(
                "the archive is corrupt: {} is a link to {}, which it does not have before",
                path.display(),
                target.display()
            )));
        }
        if target == path {
            return Ok(());
        }
        self.make(path, || rustix::fs::linkat(CWD, &target, CWD, path, AtFlags::empty()))
    }

    fn node<R: Read>(&mut self, path: &Path, entry: &Entry<'_, R>, attributes: &Attributes) -> Result<(), Error> {
        let header = entry.header();
        let number = || -> io::Result<(u32, u32)> {
            Ok((header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0)))
        };
        let kind = match header.entry_type() {
            EntryType::Char => FileType::CharacterDevice,
            EntryType::Block => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        let device = if kind == FileType::Fifo {
            0
        } else {
            let (major, minor) = number().map_err(|error| corrupt_at(path, &error))?;
            rustix::fs::makedev(major, minor)
        };
        self.make(path, || rustix::fs::mknodat(CWD, path, kind, attributes.mode, device))?;
        finish(path, attributes, true)
    }

    /// Makes something, and what stands in its way out of the way: folders that are not there, another file that is.
    fn make<T>(&self, path: &Path, make: impl Fn() -> rustix::io::Result<T>) -> Result<T, Error> {
        let result = match make() {
            Err(Errno::NOENT) => {
                make_parents(path).map_err(|error| failed("make the folder of", path, error))?;
                make()
            }
            Err(Errno::EXIST) => {
                self.clear(path, false)?;
                make()
            }
            result => result,
        };
        match result {
            Err(Errno::NOTDIR) => Err(Error::Invalid(format!(
                "cannot make {}: what is before the last part of it is not a folder",
                path.display()
            ))),
            result => result.map_err(|error| failed("make", path, error)),
        }
    }

    /// Removes what is at a path.
    fn clear(&self, path: &Path, for_folder: bool) -> Result<(), Error> {
        let Some(present) = there(path).map_err(|error| failed("look at", path, error))? else { return Ok(()) };
        if self.mode == (Mode::Files { no_overwrite_dir_non_dir: true }) && present.is_dir() != for_folder {
            let (old, new) =
                if present.is_dir() { ("directory", "non-directory") } else { ("non-directory", "directory") };
            return Err(Error::Invalid(format!("cannot overwrite {old} \"{0}\" with {new} \"{0}\"", path.display())));
        }
        let removed = if present.is_dir() { remove::tree(path) } else { fs::remove_file(path) };
        removed.map_err(|error| failed("replace", path, error))
    }
}

/// A path below the folder: what is absolute begins there, what leads upwards is refused.
fn clean(raw: &[u8]) -> Result<PathBuf, Error> {
    let raw = Path::new(std::ffi::OsStr::from_bytes(raw));
    let mut path = PathBuf::new();
    for part in raw.components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::ParentDir => {
                return Err(Error::Invalid(format!("the archive is corrupt: {} leads out of it", raw.display())));
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Ok(path)
}

/// The folders that a path lies in.
fn make_parents(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or(Ok(()), |parent| fs::DirBuilder::new().recursive(true).mode(0o755).create(parent))
}

fn set_opaque(folder: &Path) -> Result<(), Error> {
    rustix::fs::lsetxattr(folder, OPAQUE_ATTRIBUTE, b"y", XattrFlags::empty())
        .map_err(|error| failed("hide what is below", folder, error))
}

/// Owner, mode, attributes and time of what is no regular file. A link has no mode.
fn finish(path: &Path, attributes: &Attributes, mode: bool) -> Result<(), Error> {
    let finished = || -> rustix::io::Result<()> {
        rustix::fs::chownat(CWD, path, Some(attributes.owner), Some(attributes.group), AtFlags::SYMLINK_NOFOLLOW)?;
        if mode {
            rustix::fs::chmodat(CWD, path, attributes.mode, AtFlags::empty())?;
        }
        for (name, value) in &attributes.extended {
            supported(rustix::fs::lsetxattr(path, name.as_str(), value, XattrFlags::empty()))?;
        }
        set_time(path, attributes.time)
    };
    finished().map_err(|error| failed("finish", path, error))
}

fn set_extended(file: impl AsFd, extended: &[(String, Vec<u8>)]) -> rustix::io::Result<()> {
    for (name, value) in extended {
        supported(rustix::fs::fsetxattr(&file, name.as_str(), value, XattrFlags::empty()))?;
    }
    Ok(())
}

/// Not every file system has attributes, and not every file may have those of a user.
fn supported(set: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match set {
        Err(Errno::OPNOTSUPP | Errno::PERM) => Ok(()),
        set => set,
    }
}

fn set_time(path: &Path, time: Timespec) -> rustix::io::Result<()> {
    rustix::fs::utimensat(CWD, path, &times(time), AtFlags::SYMLINK_NOFOLLOW)
}

fn times(time: Timespec) -> Timestamps {
    Timestamps { last_access: time, last_modification: time }
}

fn attributes<R: Read>(entry: &mut Entry<'_, R>) -> io::Result<Attributes> {
    let header = entry.header();
    let old = header.as_old();
    let mut attributes = Attributes {
        mode: Bits::from_raw_mode(given(&old.mode, || header.mode())? & 0o7777),
        owner: Uid::from_raw(account(given(&old.uid, || header.uid())?)?),
        group: Gid::from_raw(account(given(&old.gid, || header.gid())?)?),
        time: Timespec { tv_sec: i64::try_from(given(&old.mtime, || header.mtime())?).unwrap_or(0), tv_nsec: 0 },
        extended: Vec::new(),
    };
    for extension in entry.pax_extensions()?.into_iter().flatten() {
        let extension = extension?;
        let key = extension.key_bytes();
        if key == b"mtime" {
            attributes.time = extension.value().ok().and_then(parse_time).unwrap_or(attributes.time);
        } else if key.starts_with(b"GNU.sparse.") {
            return Err(io::Error::other("it is sparse in a form that is not known (PAX); use the GNU format"));
        } else if let Some(name) = key.strip_prefix(b"SCHILY.xattr.")
            && is_kept(name)
            && let Ok(name) = std::str::from_utf8(name)
        {
            attributes.extended.push((name.to_owned(), extension.value_bytes().to_owned()));
        }
    }
    Ok(attributes)
}

/// A number of a header; one that was left blank is none.
fn given<T: Default>(field: &[u8], read: impl Fn() -> io::Result<T>) -> io::Result<T> {
    if field.iter().all(|byte| matches!(byte, 0 | b' ')) { Ok(T::default()) } else { read() }
}

fn account(number: u64) -> io::Result<u32> {
    u32::try_from(number).map_err(|_| io::Error::other("its owner is no number that can be"))
}

/// Seconds with a fraction: `1700000000.123456789`.
fn parse_time(text: &str) -> Option<Timespec> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let negative = seconds.starts_with('-');
    let seconds: i64 = seconds.parse().ok()?;
    let nanoseconds: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Some(match (negative, nanoseconds) {
        (true, 1..) => Timespec { tv_sec: seconds.checked_sub(1)?, tv_nsec: 1_000_000_000 - nanoseconds },
        _ => Timespec { tv_sec: seconds, tv_nsec: nanoseconds },
    })
}

fn nowhere(path: &Path) -> Error {
    Error::Invalid(format!("the archive is corrupt: {} is a link to nothing", path.display()))
}

fn corrupt(error: impl std::fmt::Display) -> Error {
    Error::Invalid(format!("the archive is corrupt: {error}"))
}

fn corrupt_at(path: &Path, error: &io::Error) -> Error {
    Error::Invalid(format!("the archive is corrupt at {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_the_folder() {
        let clean = |text: &str| clean(text.as_bytes()).map(|path| path.display().to_string()).ok();
        assert_eq!(clean("./usr//bin/").as_deref(), Some("usr/bin"));
        assert_eq!(clean("/etc/passwd").as_deref(), Some("etc/passwd"));
        assert_eq!(clean("./").as_deref(), Some(""));
        assert_eq!(clean("usr/../../etc"), None);
        assert_eq!(clean(".."), None);
    }

    #[test]
    fn times_are_read_to_the_nanosecond() {
        let read = |text: &str| parse_time(text).map(|time| (time.tv_sec, time.tv_nsec));
        assert_eq!(read("12"), Some((12, 0)));
        assert_eq!(read("12.5"), Some((12, 500_000_000)));
        assert_eq!(read("12.1234567891"), Some((12, 123_456_789)));
        assert_eq!(read("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(read("-0.25"), Some((-1, 750_000_000)));
        assert_eq!(read("never"), None);
        assert_eq!(read("1.x"), None);
        assert_eq!(read("1.é"), None);
    }
}
