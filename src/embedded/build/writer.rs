//! Writing below a root that is not trusted, by open folders only: no link and no `..` leads out of it (`openat2` with
//! `RESOLVE_IN_ROOT`). The times of folders stay as they were, so that the same copy makes the same layer.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid, chownat, fchmod, fchown,
    fstat, futimens, mkdirat, mknodat, openat, openat2, readlinkat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

/// Links that lead to links end here.
const MOST_HOPS: usize = 40;

/// Owner, permissions and time of something that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
    pub(super) mtime: i64,
    pub(super) mtime_nanoseconds: u32,
}

/// A folder that nothing leads out of.
#[derive(Debug)]
pub(super) struct Root(OwnedFd);

impl Root {
    pub(super) fn open(path: &std::path::Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(Self(openat(rustix::fs::CWD, path, flags, Mode::empty())?))
    }

    /// Opens what is there; the last link is followed unless the flags say otherwise.
    pub(super) fn at(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { "." } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.0, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    /// A folder that is there.
    pub(super) fn folder(&self, path: &str) -> Result<OwnedFd, Errno> {
        self.at(path, OFlags::DIRECTORY | OFlags::RDONLY)
    }

    /// What a path leads to, links followed; `None` when there is nothing.
    pub(super) fn stat(&self, path: &str) -> io::Result<Option<Stat>> {
        match self.at(path, OFlags::PATH) {
            Ok(found) => Ok(Some(fstat(found)?)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A text file; empty when it is not there. No more than so many bytes of it are read.
    pub(super) fn text(&self, path: &str, most: u64) -> io::Result<String> {
        // Without waiting for the other end of a pipe.
        let file = match self.at(path, OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(String::new()),
            Err(error) => return Err(error.into()),
        };
        if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
            return Ok(String::new());
        }
        let mut bytes = Vec::new();
        File::from(file).take(most).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The folder above and the last part.
pub(super) fn split(path: &str) -> (&str, &str) {
    let path = path.trim_end_matches('/');
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Writes below a root.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) root: Root,
    /// Of folders that are made on the way.
    made: Attributes,
    /// The folders that have been written to, by device and inode: where, and the time that they are to have.
    folders: HashMap<(u64, u64), (String, Timespec)>,
    /// The folder that was written to last.
    last: Option<(String, OwnedFd)>,
    /// Whether anything was written.
    pub(super) changed: bool,
}

impl Writer {
    pub(super) fn new(root: Root, epoch: i64) -> Self {
        let made = Attributes { uid: 0, gid: 0, mode: 0o755, mtime: epoch, mtime_nanoseconds: 0 };
        Self { root, made, folders: HashMap::new(), last: None, changed: false }
    }

    /// Whose the folders are that are made on the way.
    pub(super) fn make_for(&mut self, uid: u32, gid: u32) {
        self.made = Attributes { uid, gid, ..self.made };
    }

    /// A folder, made with those above it when it is not there.
    pub(super) fn folder(&mut self, path: &str) -> io::Result<&OwnedFd> {
        if self.last.as_ref().is_none_or(|(last, _)| last != path) {
            let folder = match self.root.folder(path) {
                Ok(folder) => {
                    self.remember(path, &folder)?;
                    folder
                }
                Err(Errno::NOENT) => self.make(path, self.made)?,
                Err(error) => return Err(told(error.into(), path)),
            };
            self.last = Some((path.to_owned(), folder));
        }
        let (_, folder) = self.last.as_ref().expect("it was set just now");
        Ok(folder)
    }

    /// A folder with these attributes, which it gets when it is there too.
    pub(super) fn put_folder(&mut self, path: &str, attributes: &Attributes) -> io::Result<()> {
        match self.root.folder(path) {
            Ok(folder) => {
                self.remember(path, &folder)?;
                self.attribute(&folder, attributes)?;
                self.changed = true;
                let found = fstat(&folder)?;
                self.folders.insert((found.st_dev, found.st_ino), (path.to_owned(), time(attributes)));
                Ok(())
            }
            Err(Errno::NOENT) => self.make(path, *attributes).map(drop),
            Err(error) => Err(told(error.into(), path)),
        }
    }

    fn make(&mut self, path: &str, attributes: Attributes) -> io::Result<OwnedFd> {
        let (above, name) = split(path);
        if name.is_empty() {
            return Err(told(Errno::NOENT.into(), path));
        }
        {
            let above = self.folder(above)?;
            mkdirat(above, name, Mode::from_raw_mode(0o700)).map_err(|error| told(error.into(), path))?;
        }
        self.changed = true;
        let folder = self.root.folder(path)?;
        self.attribute(&folder, &attributes)?;
        let found = fstat(&folder)?;
        self.folders.insert((found.st_dev, found.st_ino), (path.to_owned(), time(&attributes)));
        Ok(folder)
    }

    #[expect(clippy::unused_self, reason = "it belongs to what is written")]
    fn attribute(&self, file: impl AsFd, attributes: &Attributes) -> io::Result<()> {
        let owner = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
        fchown(&file, Some(owner.0), Some(owner.1))?;
        // After the owner, whose change takes the set-user bits away.
        fchmod(&file, Mode::from_raw_mode(attributes.mode & 0o7777))?;
        Ok(())
    }

    /// Notes the time of a folder before it is written to.
    fn remember(&mut self, path: &str, folder: &OwnedFd) -> io::Result<()> {
        let found = fstat(folder)?;
        let nanoseconds = found.st_mtime_nsec.try_into().unwrap_or(0);
        let time = Timespec { tv_sec: found.st_mtime, tv_nsec: nanoseconds };
        self.folders.entry((found.st_dev, found.st_ino)).or_insert_with(|| (path.to_owned(), time));
        Ok(())
    }

    /// Where a path leads when its last part is a link, also one to nothing.
    pub(super) fn followed(&self, path: &str) -> io::Result<String> {
        let mut path = path.to_owned();
        for _ in 0..MOST_HOPS {
            let (above, name) = split(&path);
            let Ok(folder) = self.root.folder(above) else { return Ok(path) };
            match readlinkat(&folder, name, Vec::new()) {
                Ok(target) => {
                    let target = target.to_string_lossy().into_owned();
                    path = if target.starts_with('/') { target } else { format!("{above}/{target}") };
                }
                Err(_) => return Ok(path),
            }
        }
        Err(told(Errno::LOOP.into(), &path))
    }

    /// Makes room for something that is no folder.
    fn clear(&mut self, path: &str) -> io::Result<()> {
        let (above, name) = split(path);
        let folder = self.folder(above)?;
        match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(told(error.into(), path)),
            Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => Err(io::Error::other(
                format!("cannot write a file to `/{}`: it is a folder", path.trim_start_matches('/')),
            )),
            Ok(_) => unlinkat(folder, name, AtFlags::empty()).map_err(|error| told(error.into(), path)),
        }
    }

    /// A file, instead of what is there.
    pub(super) fn put_file(
        &mut self,
        path: &str,
        attributes: &Attributes,
        contents: &mut Contents<'_>,
    ) -> io::Result<()> {
        self.clear(path)?;
        let (above, name) = split(path);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(self.folder(above)?, name, flags, Mode::from_raw_mode(0o600));
        self.changed = true;
        let mut file = File::from(file.map_err(|error| told(error.into(), path))?);
        contents.write_to(&mut file).map_err(|error| told(error, path))?;
        self.attribute(&file, attributes)?;
        contents.extended(&file)?;
        futimens(&file, &times(attributes))?;
        Ok(())
    }

    /// A symbolic link, instead of what is there.
    pub(super) fn put_link(&mut self, path: &str, target: &[u8], attributes: &Attributes) -> io::Result<()> {
        self.clear(path)?;
        let (above, name) = split(path);
        let folder = self.folder(above)?;
        symlinkat(target, folder, name).map_err(|error| told(error.into(), path))?;
        let owner = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
        chownat(folder, name, Some(owner.0), Some(owner.1), AtFlags::SYMLINK_NOFOLLOW)?;
        utimensat(folder, name, &times(attributes), AtFlags::SYMLINK_NOFOLLOW)?;
        self.changed = true;
        Ok(())
    }

    /// A further name for a file below the same root.
    pub(super) fn put_hard_link(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.clear(path)?;
        let (target_above, target_name) = split(target);
        let from = self.root.folder(target_above).map_err(|error| told(error.into(), target))?;
        let (above, name) = split(path);
        let folder = self.folder(above)?;
        rustix::fs::linkat(from, target_name, folder, name, AtFlags::empty())
            .map_err(|error| told(error.into(), path))?;
        self.changed = true;
        Ok(())
    }

    /// A pipe or a device, instead of what is there.
    pub(super) fn put_node(
        &mut self,
        path: &str,
        kind: FileType,
        device: u64,
        attributes: &Attributes,
    ) -> io::Result<()> {
        self.clear(path)?;
        let (above, name) = split(path);
        let folder = self.folder(above)?;
        let mode = Mode::from_raw_mode(attributes.mode & 0o7777);
        mknodat(folder, name, kind, mode, device).map_err(|error| told(error.into(), path))?;
        let owner = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
        chownat(folder, name, Some(owner.0), Some(owner.1), AtFlags::SYMLINK_NOFOLLOW)?;
        rustix::fs::chmodat(folder, name, mode, AtFlags::empty())?;
        utimensat(folder, name, &times(attributes), AtFlags::SYMLINK_NOFOLLOW)?;
        self.changed = true;
        Ok(())
    }

    /// Gives all folders that were written to their times.
    pub(super) fn finish(self) -> io::Result<bool> {
        for (path, time) in self.folders.values() {
            let times = Timestamps { last_access: *time, last_modification: *time };
            match self.root.folder(path) {
                Ok(folder) if self.changed => futimens(folder, &times)?,
                // Nothing was written, or it was replaced meanwhile.
                _ => {}
            }
        }
        Ok(self.changed)
    }
}

/// Where the bytes of a file come from.
pub(super) enum Contents<'a> {
    /// So many bytes of what is read.
    Reader(&'a mut dyn Read),
    /// A file with its extended attributes.
    File(&'a mut File),
    /// A part of a file.
    Part(io::Take<&'a mut File>),
}

impl Contents<'_> {
    fn write_to(&mut self, file: &mut File) -> io::Result<()> {
        match self {
            Self::Reader(reader) => io::copy(*reader, file).map(drop),
            // The kernel copies between files.
            Self::File(from) => io::copy(*from, file).map(drop),
            Self::Part(part) => io::copy(part, file).map(drop),
        }
    }

    /// What a file may do beside its permissions (`security.capability`).
    fn extended(&self, file: &File) -> io::Result<()> {
        use xattr::FileExt as _;
        let Self::File(from) = self else { return Ok(()) };
        let names = match from.list_xattr() {
            Ok(names) => names,
            Err(error) if error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => return Ok(()),
            Err(error) => return Err(error),
        };
        for name in names {
            let kept = name.to_str().is_some_and(|name| name.starts_with("user.") || name == "security.capability");
            if let Some(value) = from.get_xattr(&name)?.filter(|_| kept) {
                file.set_xattr(&name, &value)?;
            }
        }
        Ok(())
    }
}

fn time(attributes: &Attributes) -> Timespec {
    Timespec { tv_sec: attributes.mtime, tv_nsec: attributes.mtime_nanoseconds.into() }
}

fn times(attributes: &Attributes) -> Timestamps {
    Timestamps { last_access: time(attributes), last_modification: time(attributes) }
}

/// An error with the path that it is about.
pub(super) fn told(error: io::Error, path: &str) -> io::Error {
    let path = path.trim_start_matches('/');
    let why = match error.kind() {
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "there is something that is not a folder".to_owned()
        }
        // Its kind decides what is told.
        io::ErrorKind::StorageFull => return error,
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), format!("cannot write `/{path}`: {why}"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::{Attributes, Contents, Root, Writer};

    const MINE: Attributes = Attributes { uid: 0, gid: 0, mode: 0o640, mtime: 9, mtime_nanoseconds: 0 };

    fn owned() -> Attributes {
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        Attributes { uid, gid, ..MINE }
    }

    fn writer(folder: &std::path::Path) -> Writer {
        let mut writer = Writer::new(Root::open(folder).expect("a folder"), 5);
        writer.make_for(owned().uid, owned().gid);
        writer
    }

    #[test]
    fn links_stay_below_the_root_and_folders_keep_their_times() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("usr/bin")).expect("folders");
        symlink("/usr/bin", root.join("bin")).expect("a link");
        symlink("../../../..", root.join("up")).expect("a link");
        let before = fs::metadata(root.join("usr/bin")).expect("it is there").mtime();
        let mut writer = writer(&root);
        writer.put_file("bin/a", &owned(), &mut Contents::Reader(&mut &b"hello"[..])).expect("written");
        writer.put_file("/up/x/y", &owned(), &mut Contents::Reader(&mut &b"in"[..])).expect("written");
        assert_eq!(writer.finish().ok(), Some(true));
        assert_eq!(fs::read(root.join("usr/bin/a")).expect("it is there"), b"hello");
        assert_eq!(fs::read(root.join("x/y")).expect("it is there"), b"in");
        let found = fs::metadata(root.join("usr/bin/a")).expect("it is there");
        assert_eq!((found.mtime(), found.mode() & 0o7777), (9, 0o640));
        assert_eq!(fs::metadata(root.join("usr/bin")).expect("it is there").mtime(), before);
        assert_eq!(fs::metadata(root.join("x")).expect("it is there").mtime(), 5);
        assert!(!folder.path().join("x").exists());
    }

    #[test]
    fn a_file_is_replaced_and_a_folder_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("d")).expect("a folder");
        symlink("nowhere", folder.path().join("l")).expect("a link");
        let mut writer = writer(folder.path());
        let mut put = |path: &str| writer.put_file(path, &owned(), &mut Contents::Reader(&mut &b"1"[..]));
        put("l").expect("a link is replaced, not followed");
        assert_eq!(put("d").expect_err("it is a folder").to_string(), "cannot write a file to `/d`: it is a folder");
        assert_eq!(
            put("l/x").expect_err("it is a file").to_string(),
            "cannot write `/l`: there is something that is not a folder"
        );
        assert_eq!(writer.followed("d").ok().as_deref(), Some("d"));
    }
}
