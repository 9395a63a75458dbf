//! Removing a tree, however deep, that may hold mounts: those are left, with an error, and nothing below them is touched.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, IFlags, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

/// Folders that are open at once. What lies deeper is moved up before it is removed.
const DEPTH: usize = 64;

/// Removes a folder with all that is in it, or a file. That it is not there is an error (`NotFound`).
pub(super) fn tree(path: &Path) -> io::Result<()> {
    let (parent, name) = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => (parent, CString::new(name.as_bytes())?),
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let parent = rustix::fs::openat(CWD, parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    match rustix::fs::unlinkat(&parent, &name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        removed => return Ok(removed?),
    }
    let top = enter(&parent, &name)?;
    let mut moved = 0;
    empty(&top, &top, 0, &mut moved)?;
    // Those that were moved up lie in it now.
    let mut emptied = 0;
    while emptied < moved {
        emptied = moved;
        empty(&top, &top, 0, &mut moved)?;
    }
    rustix::fs::unlinkat(&parent, &name, AtFlags::REMOVEDIR)?;
    Ok(())
}

/// Opens a folder in a folder, unless something is mounted on it.
fn enter(parent: &OwnedFd, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve)
}

/// Removes what is in a folder.
fn empty(top: &OwnedFd, folder: &OwnedFd, depth: usize, moved: &mut u64) -> rustix::io::Result<()> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if entry.file_type() != FileType::Directory {
            match unlink(folder, name) {
                Err(Errno::ISDIR) => {}
                Ok(()) | Err(Errno::NOENT) => continue,
                Err(error) => return Err(error),
            }
        }
        // Most are empty: then there is no need to look.
        match rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Ok(()) | Err(Errno::NOENT) => continue,
            Err(Errno::PERM | Errno::ACCESS) => changeable(folder),
            Err(error) => return Err(error),
        }
        let below = enter(folder, name)?;
        if depth >= DEPTH {
            move_up(folder, name, top, moved)?;
            continue;
        }
        empty(top, &below, depth + 1, moved)?;
        rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

/// Gives a folder a name in the topmost one that nothing has.
fn move_up(folder: &OwnedFd, name: &CStr, top: &OwnedFd, moved: &mut u64) -> rustix::io::Result<()> {
    loop {
        *moved += 1;
        let free = format!(".removed-{moved}");
        match rustix::fs::renameat_with(folder, name, top, free, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            done => return done,
        }
    }
}

/// Removes a file, even one that was made unchangeable.
fn unlink(folder: &OwnedFd, name: &CStr) -> rustix::io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::PERM) => {}
        removed => return removed,
    }
    changeable(folder);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    if let Ok(file) = rustix::fs::openat(folder, name, flags, Mode::empty()) {
        changeable(&file);
    }
    rustix::fs::unlinkat(folder, name, AtFlags::empty())
}

/// Takes the attributes away that forbid to remove. Where the file system has none there is nothing to take.
fn changeable(file: &OwnedFd) {
    let file = file.as_fd();
    if let Ok(flags) = rustix::fs::ioctl_getflags(file)
        && flags.intersects(IFlags::IMMUTABLE | IFlags::APPEND)
    {
        // Refused without CAP_LINUX_IMMUTABLE: then the removal says so.
        let _ = rustix::fs::ioctl_setflags(file, flags - (IFlags::IMMUTABLE | IFlags::APPEND));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_tree_goes_with_all_that_is_in_it_and_nothing_that_it_links_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = folder.path().join("kept");
        fs::create_dir_all(folder.path().join("tree/a/b/c")).expect("folders");
        fs::write(folder.path().join("tree/a/b/file"), "text").expect("a file");
        fs::create_dir(&kept).expect("a folder");
        fs::write(kept.join("file"), "text").expect("a file");
        std::os::unix::fs::symlink(&kept, folder.path().join("tree/a/link")).expect("a link");
        tree(&folder.path().join("tree")).expect("removed");
        assert!(!folder.path().join("tree").exists());
        assert!(kept.join("file").exists());
        let again = tree(&folder.path().join("tree")).expect_err("it is gone");
        assert_eq!(again.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_tree_may_be_deeper_than_there_are_descriptors() {
        let folder = tempfile::tempdir().expect("a folder");
        let top = folder.path().join("tree");
        fs::create_dir(&top).expect("a folder");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut at = rustix::fs::open(&top, flags, Mode::empty()).expect("opened");
        for _ in 0..3000 {
            rustix::fs::mkdirat(&at, "d", Mode::from_raw_mode(0o755)).expect("made");
            at = rustix::fs::openat(&at, "d", flags, Mode::empty()).expect("opened");
        }
        tree(&top).expect("removed");
        assert!(!top.exists());
    }

    #[test]
    fn a_file_and_a_link_are_removed_themselves() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "text").expect("a file");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        tree(&link).expect("removed");
        assert!(file.exists());
        tree(&file).expect("removed");
    }
}
