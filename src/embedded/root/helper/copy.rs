//! What `docker cp` and the archive routes ask for: a path described, as a tar, or a tar into it.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

use chrono::{DateTime, SecondsFormat};

use super::super::super::compression::plain;
use super::super::super::error::Error;
use super::super::{PathStat, WriteOptions};
use super::extract::{Mode, extract};
use super::tarball::Tarball;
use super::{failed, say};

/// Links that are followed one after the other.
const MOST_LINKS: usize = 40;

/// Describes a path. A link is described itself, but for one whose path ends in `/` or `/.`.
pub(super) fn stat(path: &str) -> Result<PathStat, Error> {
    let path = absolute(path);
    let metadata = look(&path)?;
    describe(&path, &metadata)
}

/// Describes a path and writes it to standard output, its entries under its last part.
pub(super) fn read(path: &str) -> Result<(), Error> {
    let path = absolute(path);
    let metadata = look(&path)?;
    let stat = describe(&path, &metadata)?;
    say(&stat)?;
    let mut tarball = Tarball::new(io::stdout().lock());
    tree(&mut tarball, stat.name.as_bytes(), Path::new(&path), &metadata)?;
    tarball.finish().map_err(Error::io("write the archive"))
}

/// Unpacks standard input into a folder that is there.
pub(super) fn write(path: &str, options: WriteOptions) -> Result<(), Error> {
    let path = absolute(path);
    let metadata = fs::metadata(&path).map_err(|error| refused(&path, error))?;
    if !metadata.is_dir() {
        return Err(Error::Invalid("extraction point is not a directory".into()));
    }
    rustix::process::chdir(path.as_str()).map_err(|error| failed("enter", Path::new(&path), error))?;
    let mode = Mode::Files { no_overwrite_dir_non_dir: options.no_overwrite_dir_non_dir };
    let input = plain(io::BufReader::with_capacity(256 * 1024, io::stdin().lock()));
    extract(input.map_err(Error::io("read the archive"))?, mode)?;
    Ok(())
}

/// The path from the root, without parts that lead nowhere; a `/` or `/.` at its end stays, because it says that a folder
/// is meant.
fn absolute(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let end = match () {
        () if path == "." || path.ends_with("/.") => "/.",
        () if path.ends_with('/') => "/",
        () => "",
    };
    let whole = format!("/{}", parts.join("/"));
    if whole == "/" { format!("/{}", end.trim_start_matches('/')) } else { format!("{whole}{end}") }
}

fn look(path: &str) -> Result<Metadata, Error> {
    fs::symlink_metadata(path).map_err(|error| refused(path, error))
}

fn refused(path: &str, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::NotFound(format!("{path}: no such file or directory")),
        io::ErrorKind::NotADirectory => Error::Invalid("not a directory".into()),
        _ => failed("look at", Path::new(path), error),
    }
}

fn describe(path: &str, metadata: &Metadata) -> Result<PathStat, Error> {
    let link_target = if metadata.is_symlink() {
        target(Path::new(path)).map_err(|error| failed("follow", Path::new(path), error))?
    } else {
        String::new()
    };
    let nanoseconds = u32::try_from(metadata.mtime_nsec()).unwrap_or(0);
    let mtime = DateTime::from_timestamp(metadata.mtime(), nanoseconds).unwrap_or_default();
    Ok(PathStat {
        name: last(path).to_owned(),
        size: i64::try_from(metadata.len()).unwrap_or(i64::MAX),
        mode: file_mode(metadata),
        mtime: mtime.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        link_target,
    })
}

/// The last part of a path; of the root, `/`.
fn last(path: &str) -> &str {
    let path = path.strip_suffix('/').unwrap_or(path);
    path.rsplit('/').next().filter(|part| !part.is_empty()).unwrap_or("/")
}

/// Where a link leads in the end, even when nothing is there.
fn target(link: &Path) -> io::Result<String> {
    let mut path = link.to_owned();
    for _ in 0..MOST_LINKS {
        let parent = path.parent().unwrap_or(Path::new("/"));
        let parent = fs::canonicalize(parent).unwrap_or_else(|_| parent.to_owned());
        let here = path.file_name().map_or_else(|| parent.clone(), |name| parent.join(name));
        match fs::read_link(&here) {
            Ok(next) => path = plain_path(&parent.join(next)),
            Err(_) => return Ok(here.display().to_string()),
        }
    }
    Err(io::Error::other("too many levels of symbolic links"))
}

/// Without `.` and `..`.
fn plain_path(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(part) => plain.push(part),
            Component::ParentDir => drop(plain.pop()),
            _ => {}
        }
    }
    plain
}

/// A mode as Go counts its bits.
fn file_mode(metadata: &Metadata) -> u32 {
    let kind = metadata.file_type();
    let bits = metadata.mode();
    let flags = [
        (kind.is_dir(), 31),
        (kind.is_symlink(), 27),
        (kind.is_block_device() || kind.is_char_device(), 26),
        (kind.is_fifo(), 25),
        (kind.is_socket(), 24),
        (bits & 0o4000 != 0, 23),
        (bits & 0o2000 != 0, 22),
        (kind.is_char_device(), 21),
        (bits & 0o1000 != 0, 20),
    ];
    flags.into_iter().filter(|(set, _)| *set).fold(bits & 0o777, |mode, (_, bit)| mode | 1 << bit)
}

/// A file with all that is in it. What goes away while it is read is left out.
fn tree<W: io::Write>(tarball: &mut Tarball<W>, name: &[u8], path: &Path, metadata: &Metadata) -> Result<(), Error> {
    match tarball.file(name, path, metadata) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("read", path, error)),
    }
    if !metadata.is_dir() {
        return Ok(());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| failed("read", path, error))? {
        names.push(entry.map_err(|error| failed("read", path, error))?.file_name());
    }
    names.sort();
    for file in names {
        let below = path.join(&file);
        let Ok(metadata) = fs::symlink_metadata(&below) else { continue };
        let separator: &[u8] = if name.ends_with(b"/") { b"" } else { b"/" };
        tree(tarball, &[name, separator, file.as_bytes()].concat(), &below, &metadata)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_path_says_whether_a_folder_is_meant() {
        assert_eq!(absolute("etc/passwd"), "/etc/passwd");
        assert_eq!(absolute("/etc//./x/../"), "/etc/");
        assert_eq!(absolute("/etc/."), "/etc/.");
        assert_eq!(absolute("/../.."), "/");
        assert_eq!(absolute("."), "/.");
        assert_eq!(absolute(""), "/");
    }

    #[test]
    fn entries_begin_with_the_last_part() {
        assert_eq!(last("/etc/passwd"), "passwd");
        assert_eq!(last("/etc/"), "etc");
        assert_eq!(last("/etc/."), ".");
        assert_eq!(last("/"), "/");
    }
}
