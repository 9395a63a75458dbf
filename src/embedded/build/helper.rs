//! The helper process of a build (`__engine build`): mounts a root file system for itself alone and copies into it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::process::ExitCode;

use rustix::fs::{Dir, FileType, OFlags, Stat, fstat, readlinkat};
use rustix::io::Errno;

use super::ignore::Ignore;
use super::unpack;
use super::work::{Copying, Item, ItemKind, Piece, Place, Task, Work};
use super::writer::{Attributes, Contents, Root, Writer, split, told};
use crate::dockerfile::pattern::{Flavour, Pattern, is_pattern};
use crate::embedded::root::mount;
use crate::embedded::spec::user;

/// It went wrong, and standard error says why.
pub(super) const FAILED: u8 = 1;
/// The disk is full.
pub(super) const FULL: u8 = 28;
/// Of `/etc/passwd` and `/etc/group`.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;

/// `__engine build`: reads a [`Work`] from standard input, does it, and says `true` when something was written.
pub(crate) fn main(_arguments: &[OsString]) -> ExitCode {
    match work() {
        Ok(changed) => {
            let told = io::stdout().write_all(if changed { b"true" } else { b"false" });
            told.map_or(ExitCode::from(FAILED), |()| ExitCode::SUCCESS)
        }
        Err(error) if error.kind() == io::ErrorKind::StorageFull => ExitCode::from(FULL),
        Err(error) => {
            // Whoever reads it has gone when this fails.
            let _ = io::stderr().write_all(error.to_string().as_bytes());
            ExitCode::from(FAILED)
        }
    }
}

fn work() -> io::Result<bool> {
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text)?;
    let work: Work = serde_json::from_slice(&text)?;
    // What is made has the permissions that it is to have.
    rustix::process::umask(rustix::fs::Mode::empty());
    mount::unshare()?;
    let root = match &work.place {
        Place::Mounted(mounted) => {
            mount::mount(&mounted.rootfs, &mounted.at)?;
            Root::open(&mounted.at)?
        }
        Place::Folder(folder) => Root::open(folder)?,
    };
    let mut sources = Vec::new();
    for source in &work.sources {
        mount::mount(&source.rootfs, &source.at)?;
        sources.push(Root::open(&source.at)?);
    }
    let spool = work.spool.map(File::open).transpose()?;
    let mut copier = Copier { writer: Writer::new(root, work.epoch), sources, spool };
    for task in &work.tasks {
        match task {
            Task::Folder(path) => copier.writer.folder(path).map(drop)?,
            Task::Copy(copying) => copier.copy(copying)?,
            Task::Bring(piece) => copier.bring(piece)?,
        }
    }
    copier.writer.finish()
}

struct Copier {
    writer: Writer,
    sources: Vec<Root>,
    spool: Option<File>,
}

/// A source whose pattern has been replaced by what it fits.
enum Found<'a> {
    Listed { name: &'a str, items: &'a [Item] },
    Tree { source: usize, path: String, name: String, folder: bool },
}

impl Found<'_> {
    fn is_folder(&self) -> bool {
        match self {
            Self::Listed { items, .. } => items.first().is_some_and(|item| matches!(item.kind, ItemKind::Folder)),
            Self::Tree { folder, .. } => *folder,
        }
    }
}

impl Copier {
    fn copy(&mut self, copying: &Copying) -> io::Result<()> {
        let owner = copying.owner.as_deref().map(|owner| self.owner(owner)).transpose()?;
        let (uid, gid) = owner.unwrap_or((0, 0));
        self.writer.make_for(uid, gid);
        let exclude = Ignore::of(copying.exclude.iter().map(String::as_str)).map_err(io::Error::other)?;
        let mut found = Vec::new();
        for piece in &copying.pieces {
            self.find(piece, &mut found)?;
        }
        let is_folder = |stat: Stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let into =
            copying.into || found.len() > 1 || self.writer.root.stat(&copying.destination)?.is_some_and(is_folder);
        let to = To { copying, owner, exclude, into };
        found.iter().try_for_each(|found| self.copy_one(found, &to))
    }

    fn bring(&mut self, piece: &Piece) -> io::Result<()> {
        let mut found = Vec::new();
        self.find(piece, &mut found)?;
        let Some(found) = found.first() else { return Ok(()) };
        let destination = if found.is_folder() { "/folder" } else { "/file" }.to_owned();
        let (owner, mode, exclude, pieces) = (None, None, Vec::new(), Vec::new());
        let copying = Copying { destination, into: false, owner, mode, unpack: false, exclude, pieces };
        self.copy_one(found, &To { copying: &copying, owner: None, exclude: Ignore::default(), into: false })
    }

    /// Whom a name and a group mean here.
    fn owner(&self, owner: &str) -> io::Result<(u32, u32)> {
        // A number alone is user and group.
        if let Ok(number) = owner.parse::<u32>() {
            return Ok((number, number));
        }
        let passwd = self.writer.root.text("etc/passwd", LARGEST_FILE)?;
        let group = self.writer.root.text("etc/group", LARGEST_FILE)?;
        let account = user::resolve(owner, &[], &passwd, &group);
        let account = account.map_err(|error| io::Error::other(format!("--chown={owner}: {error}")))?;
        Ok((account.uid, account.gid))
    }

    fn find<'a>(&self, piece: &'a Piece, found: &mut Vec<Found<'a>>) -> io::Result<()> {
        let (source, path, parents) = match piece {
            Piece::Listed { name, items } => {
                found.push(Found::Listed { name, items });
                return Ok(());
            }
            Piece::Tree { source, path, parents } => (*source, path, *parents),
        };
        let root = &self.sources[source];
        let paths = if is_pattern(path) { matching(root, path)? } else { vec![path.clone()] };
        let before = found.len();
        for path in paths {
            let Some(stat) = root.stat(&path)? else { continue };
            let folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let name = if parents { path.trim_matches('/') } else { split(&path).1 }.to_owned();
            found.push(Found::Tree { source, path, name, folder });
        }
        if found.len() == before {
            return Err(io::Error::other(format!("`{path}` is not there")));
        }
        Ok(())
    }

    fn copy_one(&mut self, found: &Found<'_>, to: &To<'_>) -> io::Result<()> {
        let destination = &to.copying.destination;
        let folder = found.is_folder();
        let keeps_parents = matches!(found, Found::Tree { name, .. } if name.contains('/'));
        let target = match found {
            Found::Listed { name, .. } if to.into && !folder => format!("{destination}/{name}"),
            Found::Tree { name, .. } if to.into && (!folder || keeps_parents) => format!("{destination}/{name}"),
            _ if folder => destination.clone(),
            _ => self.writer.followed(destination)?,
        };
        match found {
            Found::Listed { items, .. } => items.iter().try_for_each(|item| self.listed(item, &target, to)),
            Found::Tree { source, path, .. } if folder => {
                let stat = self.sources[*source].stat(path)?.ok_or(io::ErrorKind::NotFound)?;
                self.own_folder(&target, &to.attributes(&stat))?;
                self.tree(*source, path, &target, "", to)
            }
            Found::Tree { source, path, .. } => self.tree_file(*source, path, &target, OFlags::empty(), to),
        }
    }

    /// The folder that a copied folder becomes: as it is where it is there, like its source where it is not.
    fn own_folder(&mut self, path: &str, attributes: &Attributes) -> io::Result<()> {
        match self.writer.root.stat(path)? {
            Some(_) => self.writer.folder(path).map(drop),
            None => self.writer.put_folder(path, attributes),
        }
    }

    fn listed(&mut self, item: &Item, target: &str, to: &To<'_>) -> io::Result<()> {
        let path = if item.path.is_empty() { target.to_owned() } else { format!("{target}/{}", item.path) };
        let (uid, gid) = to.owner.unwrap_or((0, 0));
        let mode = to.copying.mode.unwrap_or(item.mode);
        let attributes = Attributes { uid, gid, mode, mtime: item.mtime, mtime_nanoseconds: 0 };
        match &item.kind {
            ItemKind::Folder if item.path.is_empty() => self.own_folder(&path, &attributes),
            ItemKind::Folder => self.writer.put_folder(&path, &attributes),
            ItemKind::Link(link) => self.writer.put_link(&path, link.as_bytes(), &attributes),
            ItemKind::Text(text) => {
                self.writer.put_file(&path, &attributes, &mut Contents::Reader(&mut text.as_bytes()))
            }
            ItemKind::Fetched { path: fetched, .. } => {
                let mut file = File::open(fetched)?;
                let size = file.metadata()?.len();
                self.writer.put_file(&path, &attributes, &mut Contents::Part((&mut file).take(size)))
            }
            ItemKind::File { offset, size, .. } => {
                let missing = || io::Error::other("the context is not there");
                let spool = self.spool.as_mut().ok_or_else(missing)?;
                spool.seek(SeekFrom::Start(*offset))?;
                if to.copying.unpack && item.path.is_empty() && unpack::is_archive((&mut *spool).take(*size))? {
                    spool.seek(SeekFrom::Start(*offset))?;
                    let archive = (&mut *spool).take(*size);
                    return unpack::unpack(
                        &mut self.writer,
                        archive,
                        &to.copying.destination,
                        to.owner,
                        to.copying.mode,
                    );
                }
                spool.seek(SeekFrom::Start(*offset))?;
                self.writer.put_file(&path, &attributes, &mut Contents::Part(spool.take(*size)))
            }
        }
    }

    /// What lies in a folder of a source. Its path bounds how deep it goes: a longer one than the kernel takes is an error.
    fn tree(&mut self, source: usize, from: &str, target: &str, below: &str, to: &To<'_>) -> io::Result<()> {
        for name in names(&self.sources[source], from)? {
            let from = format!("{}/{name}", from.trim_end_matches('/'));
            let below = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
            let target = format!("{target}/{name}");
            if to.exclude.excludes(&below) || to.exclude.excludes(from.trim_start_matches('/')) {
                continue;
            }
            let file = self.sources[source].at(&from, OFlags::PATH | OFlags::NOFOLLOW)?;
            let stat = fstat(&file)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                self.writer.put_folder(&target, &to.attributes(&stat))?;
                self.tree(source, &from, &target, &below, to)?;
            } else {
                self.tree_file(source, &from, &target, OFlags::NOFOLLOW, to)?;
            }
        }
        Ok(())
    }

    fn tree_file(&mut self, source: usize, from: &str, target: &str, flags: OFlags, to: &To<'_>) -> io::Result<()> {
        let root = &self.sources[source];
        let found = root.at(from, OFlags::PATH | flags)?;
        let stat = fstat(&found)?;
        let attributes = to.attributes(&stat);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let mut file = File::from(root.at(from, OFlags::RDONLY | flags)?);
                self.writer.put_file(target, &attributes, &mut Contents::File(&mut file))
            }
            FileType::Symlink => {
                let link = readlinkat(&found, "", Vec::new())?;
                self.writer.put_link(target, link.as_bytes(), &attributes)
            }
            FileType::Socket | FileType::Directory | FileType::Unknown => Ok(()),
            kind => self.writer.put_node(target, kind, stat.st_rdev, &attributes),
        }
    }
}

/// How things are copied.
struct To<'a> {
    copying: &'a Copying,
    owner: Option<(u32, u32)>,
    exclude: Ignore,
    into: bool,
}

impl To<'_> {
    /// Of a file of a root file system.
    fn attributes(&self, stat: &Stat) -> Attributes {
        let (uid, gid) = self.owner.unwrap_or((stat.st_uid, stat.st_gid));
        let mode = self.copying.mode.unwrap_or(stat.st_mode & 0o7777);
        let mtime_nanoseconds = stat.st_mtime_nsec.try_into().unwrap_or(0);
        Attributes { uid, gid, mode, mtime: stat.st_mtime, mtime_nanoseconds }
    }
}

/// What a folder holds, sorted.
fn names(root: &Root, path: &str) -> io::Result<Vec<String>> {
    let folder = root.folder(path).map_err(|error| told(error.into(), path))?;
    let mut names = Vec::new();
    for entry in Dir::new(folder)? {
        let entry = entry?;
        match entry.file_name().to_str() {
            Ok("." | "..") => {}
            Ok(name) => names.push(name.to_owned()),
            Err(_) => {
                let name = entry.file_name().to_string_lossy().escape_debug().to_string();
                return Err(io::Error::other(format!("cannot copy `{path}/{name}`: its name is not UTF-8")));
            }
        }
    }
    names.sort();
    Ok(names)
}

/// The paths that a pattern fits, part for part.
fn matching(root: &Root, pattern: &str) -> io::Result<Vec<String>> {
    let mut paths = vec![String::new()];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        let fits = Pattern::new(part, Flavour::Path).map_err(io::Error::other)?;
        for path in paths {
            if !is_pattern(part) {
                next.push(format!("{path}/{part}"));
                continue;
            }
            match root.folder(&path) {
                Ok(_) => {
                    let names = names(root, &path)?.into_iter().filter(|name| fits.matches(name));
                    next.extend(names.map(|name| format!("{path}/{name}")));
                }
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) => return Err(told(error.into(), &path)),
            }
        }
        paths = next;
    }
    Ok(paths)
}
