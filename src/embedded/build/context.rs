//! A build's context, or another folder of its client: received once, kept as one file of contents and an index. Nothing
//! of it is unpacked, so nothing in it can lead anywhere; each file is hashed while it passes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tar::EntryType;
use tokio_util::io::{StreamReader, SyncIoBridge};
use tokio_util::sync::CancellationToken;

use super::ignore::Ignore;
use crate::embedded::ByteStream;
use crate::embedded::compression::plain;
use crate::embedded::error::Error;

/// More entries than this are refused.
const MOST_ENTRIES: usize = 1_000_000;
/// Links that lead to links end here.
const MOST_HOPS: usize = 40;
/// As long as a path may be.
const LONGEST_PATH: usize = 4096;

/// What was received.
#[derive(Debug)]
pub struct Context {
    /// By path, no slash in front; `BTreeMap` keeps what lies in a folder behind it.
    entries: BTreeMap<String, Entry>,
    /// The contents of all files.
    pub(super) spool: PathBuf,
}

/// A file, folder or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which of them.
    pub kind: Kind,
    /// Permissions.
    pub mode: u32,
    /// Seconds since 1970.
    pub mtime: i64,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file: where its contents are in the spool.
    File {
        /// Their beginning.
        offset: u64,
        /// Their length.
        size: u64,
        /// Their SHA-256.
        digest: [u8; 32],
    },
    /// A symbolic link, and where it leads.
    Link(String),
}

impl Context {
    /// Receives a tar, plain or compressed, into `spool`.
    pub async fn receive(stream: ByteStream, spool: PathBuf, cancel: CancellationToken) -> Result<Self, Error> {
        let reader = SyncIoBridge::new(StreamReader::new(stream));
        let received = tokio::task::spawn_blocking(move || receive(Guarded { reader, cancel }, spool)).await;
        received.map_err(|error| Error::Failed(format!("the build context was not read: {error}")))?
    }

    /// Leaves out what `.dockerignore` says.
    pub(super) fn ignore(&mut self, ignore: &Ignore) {
        if !ignore.is_empty() {
            self.entries.retain(|path, _| !ignore.excludes(path));
        }
    }

    /// A small file as text.
    pub(super) fn text(&self, path: &str, most: usize) -> Result<Option<String>, Error> {
        let Some(path) = self.resolve(path) else { return Ok(None) };
        let Some(Entry { kind: Kind::File { offset, size, .. }, .. }) = self.entries.get(&path) else {
            return Ok(None);
        };
        if *size > most as u64 {
            return Err(Error::Invalid(format!("`{path}` has more than {most} bytes")));
        }
        let read = || {
            let mut spool = File::open(&self.spool)?;
            spool.seek(SeekFrom::Start(*offset))?;
            let mut bytes = Vec::new();
            spool.take(*size).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(Error::io(format!("read `{path}` of the build context")))?;
        String::from_utf8(bytes).map(Some).map_err(|_| Error::Invalid(format!("`{path}` is not text in UTF-8")))
    }

    /// The entry at a path that has been resolved; the context itself and folders that were only implied are there too.
    pub(super) fn entry(&self, path: &str) -> Option<Entry> {
        let implied = || {
            let is_folder = path.is_empty() || self.below(path).next().is_some();
            is_folder.then_some(Entry { kind: Kind::Folder, mode: 0o755, mtime: 0 })
        };
        self.entries.get(path).cloned().or_else(implied)
    }

    /// What lies below a folder, at any depth, in order.
    pub(super) fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = (&'a str, &'a Entry)> + use<'a> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let from = self.entries.range(prefix.clone()..);
        from.take_while(move |(path, _)| path.starts_with(&prefix)).map(|(path, entry)| (path.as_str(), entry))
    }

    /// All entries, each folder before what lies in it.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// The file that holds the contents of all files.
    #[must_use]
    pub fn spool(&self) -> &Path {
        &self.spool
    }

    /// All paths.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Where a path leads once its links are followed; no link leads out. `None` when there is nothing.
    pub(super) fn resolve(&self, path: &str) -> Option<String> {
        let mut left: Vec<String> = parts(path).rev().map(str::to_owned).collect();
        let mut done: Vec<String> = Vec::new();
        let mut hops = 0;
        while let Some(part) = left.pop() {
            if part == ".." {
                done.pop();
                continue;
            }
            done.push(part);
            if let Some(Entry { kind: Kind::Link(target), .. }) = self.entries.get(&done.join("/")) {
                hops += 1;
                if hops > MOST_HOPS {
                    return None;
                }
                done.pop();
                if target.starts_with('/') {
                    done.clear();
                }
                left.extend(parts(target).rev().map(str::to_owned));
            }
        }
        let path = done.join("/");
        self.entry(&path).is_some().then_some(path)
    }
}

/// The parts of a path that say something.
fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|part| !matches!(*part, "" | "."))
}

/// Ends the reading when the build is given up.
struct Guarded<R> {
    reader: R,
    cancel: CancellationToken,
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("the build was given up"));
        }
        self.reader.read(buffer)
    }
}

fn receive(reader: impl Read, spool: PathBuf) -> Result<Context, Error> {
    let path = spool.clone();
    let broken = |error: io::Error| match error.kind() {
        io::ErrorKind::StorageFull => full(&path),
        _ => Error::Invalid(format!("the build context cannot be read: {error}")),
    };
    let mut collector = Collector::new(spool)?;
    let reader = plain(BufReader::with_capacity(64 * 1024, reader)).map_err(broken)?;
    let mut archive = tar::Archive::new(reader);
    for entry in archive.entries().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        collector.take(entry).map_err(|refusal| refusal.into_error(&path))?;
    }
    // The rest behind the end of the archive; a client that is still sending would see its connection break.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(broken)?;
    Ok(collector.finish())
}

/// The disk is full.
pub(super) fn full(path: &Path) -> Error {
    let hint = "remove what is not needed any more (`docker system prune` does it) and build again";
    Error::Failed(format!("no space left on the disk of `{}`; {hint}", path.display()))
}

/// Why an entry was not taken.
#[derive(Debug)]
pub enum Refusal {
    /// The spool cannot be written, or what is sent cannot be read.
    Io(io::Error),
    /// It is nothing to build from; the text says why.
    Said(String),
}

impl Refusal {
    /// For a person; `spool` is the file that was written.
    #[must_use]
    pub fn into_error(self, spool: &Path) -> Error {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::StorageFull => full(spool),
            Self::Io(error) => Error::Invalid(format!("the build context cannot be read: {error}")),
            Self::Said(message) => Error::Invalid(format!("the build context is refused: {message}")),
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Takes a context in, entry by entry. Blocking.
#[derive(Debug)]
pub struct Collector {
    spool: File,
    path: PathBuf,
    /// Where the next file begins.
    end: u64,
    entries: BTreeMap<String, Entry>,
}

impl Collector {
    /// One that keeps contents in a file that is made.
    pub fn new(path: PathBuf) -> Result<Self, Error> {
        let spool = File::create_new(&path).map_err(Error::io(format!("make `{}`", path.display())))?;
        Ok(Self { spool, path, end: 0, entries: BTreeMap::new() })
    }

    /// What has been taken in.
    #[must_use]
    pub fn finish(self) -> Context {
        Context { entries: self.entries, spool: self.path }
    }

    /// Makes room for a file of so many bytes; where it is.
    pub fn reserve(&mut self, size: u64) -> u64 {
        let offset = self.end;
        self.end = self.end.saturating_add(size);
        offset
    }

    /// Writes contents to their place.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Refusal> {
        Ok(self.spool.write_all_at(bytes, offset)?)
    }

    /// Notes an entry whose contents, if any, are here. A path that leads out is refused.
    pub fn put(&mut self, path: &[u8], entry: Entry) -> Result<(), Refusal> {
        let Some(path) = path_of(path)? else { return Ok(()) };
        if self.entries.len() >= MOST_ENTRIES {
            return Err(Refusal::Said(format!("it has more than {MOST_ENTRIES} entries")));
        }
        self.entries.insert(path, entry);
        Ok(())
    }

    /// What was taken in as this path, if it is a file: the same contents under another name.
    pub fn same(&self, path: &[u8]) -> Result<Option<Kind>, Refusal> {
        let path = path_of(path)?.unwrap_or_default();
        let found = self.entries.get(&path).map(|entry| entry.kind.clone());
        Ok(found.filter(|kind| matches!(kind, Kind::File { .. })))
    }

    fn take(&mut self, mut entry: tar::Entry<'_, impl Read>) -> Result<(), Refusal> {
        let Some(path) = path_of(&entry.path_bytes())? else { return Ok(()) };
        let kind = match entry.header().entry_type() {
            EntryType::Directory => Kind::Folder,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => self.file(&mut entry)?,
            EntryType::Symlink => Kind::Link(link_of(&entry, &path)?),
            EntryType::Link => {
                let target = link_of(&entry, &path)?;
                let missing = || Refusal::Said(format!("`{path}` is a link to `{target}`, which is not there"));
                self.same(target.as_bytes())?.ok_or_else(missing)?
            }
            // Sockets, pipes and devices of the machine that sends are nothing to build from.
            _ => return Ok(()),
        };
        let header = entry.header();
        let mtime = header.mtime().ok().and_then(|mtime| i64::try_from(mtime).ok()).unwrap_or(0);
        let mode = header.mode().unwrap_or(0o644) & 0o7777;
        self.put(path.as_bytes(), Entry { kind, mode, mtime })
    }

    fn file(&mut self, entry: &mut impl Read) -> Result<Kind, Refusal> {
        let offset = self.end;
        let mut hash = Sha256::new();
        let mut buffer = vec![0_u8; 64 * 1024];
        loop {
            let read = entry.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            let at = self.reserve(read as u64);
            self.write(at, &buffer[..read])?;
        }
        Ok(Kind::File { offset, size: self.end - offset, digest: hash.finalize().into() })
    }
}

/// A path as the index has it; `None` for the context itself.
fn path_of(bytes: &[u8]) -> Result<Option<String>, Refusal> {
    let text = str::from_utf8(bytes).map_err(|_| {
        Refusal::Said(format!("the name `{}` is not UTF-8", String::from_utf8_lossy(bytes).escape_debug()))
    })?;
    if text.len() > LONGEST_PATH || text.contains('\0') {
        return Err(Refusal::Said(format!("a path of {} bytes is none", text.len())));
    }
    if parts(text).any(|part| part == "..") {
        return Err(Refusal::Said(format!("the path `{text}` leads out of it")));
    }
    let path = parts(text).collect::<Vec<_>>().join("/");
    Ok((!path.is_empty()).then_some(path))
}

fn link_of(entry: &tar::Entry<'_, impl Read>, path: &str) -> Result<String, Refusal> {
    let target = entry.link_name_bytes().and_then(|target| String::from_utf8(target.into_owned()).ok());
    let target = target.filter(|target| !target.is_empty() && target.len() <= LONGEST_PATH);
    target.ok_or_else(|| Refusal::Said(format!("the link `{path}` leads nowhere")))
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use super::super::ignore::Ignore;
    use super::{Context, Kind, receive};

    pub(in super::super) fn tar(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, text) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o640);
            header.set_mtime(7);
            if let Some(target) = text.strip_prefix("-> ") {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, path, target).expect("it fits");
                continue;
            }
            header.set_size(text.len() as u64);
            // Hostile names are refused by the builder's own setter.
            header.as_ustar_mut().expect("it is one").name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            builder.append(&header, text.as_bytes()).expect("it fits");
        }
        builder.into_inner().expect("it ends")
    }

    pub(in super::super) fn context(bytes: &[u8]) -> Result<(tempfile::TempDir, Context), String> {
        let folder = tempfile::tempdir().expect("a folder");
        let context = receive(bytes, folder.path().join("spool")).map_err(|error| error.to_string())?;
        Ok((folder, context))
    }

    #[test]
    fn files_links_and_implied_folders_are_found() {
        let bytes = tar(&[("./a/b.txt", "hello"), ("l", "-> /a"), ("out", "-> ../../../a/b.txt"), ("x", "-> x")]);
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&bytes).expect("memory");
        for bytes in [bytes, packed.finish().expect("memory")] {
            let (_folder, context) = context(&bytes).expect("it is one");
            assert_eq!(context.resolve("l/b.txt").as_deref(), Some("a/b.txt"));
            assert_eq!(context.resolve("out").as_deref(), Some("a/b.txt"));
            assert_eq!(context.resolve("x"), None);
            assert_eq!(context.text("/a/b.txt", 10), Ok(Some("hello".into())));
            assert!(context.text("a/b.txt", 4).is_err());
            assert_eq!(context.entry("a").map(|entry| entry.kind), Some(Kind::Folder));
            assert_eq!(context.below("a").map(|(path, _)| path).collect::<Vec<_>>(), ["a/b.txt"]);
        }
    }

    #[test]
    fn what_is_ignored_is_not_there() {
        let (_folder, mut context) = context(&tar(&[("a/b", ""), ("a/c", ""), ("d", "")])).expect("it is one");
        context.ignore(&Ignore::of(["a", "!a/c"].into_iter()).expect("rules"));
        assert_eq!(context.paths().collect::<Vec<_>>(), ["a/c", "d"]);
    }

    #[test]
    fn a_path_that_leads_out_and_a_broken_archive_are_refused() {
        let refused = context(&tar(&[("a/../../b", "x")])).expect_err("it leads out");
        assert_eq!(refused, "the build context is refused: the path `a/../../b` leads out of it");
        assert!(context(b"no tar at all, but long enough to look at it as if it were one").is_err());
        let mut cut = tar(&[("a", &"x".repeat(5000))]);
        cut.truncate(3000);
        assert!(context(&cut).is_err());
    }
}
