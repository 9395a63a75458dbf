//! Filling an empty volume with what the image has at its place, as Docker does at the first use.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid};

/// Copies what `inside` is in the root into the folder, unless something is in there.
pub(super) fn populate(folder: &Path, root: &Path, inside: &Path) -> io::Result<()> {
    if fs::read_dir(folder)?.next().is_some() {
        return Ok(());
    }
    let source = match super::open_inside(root, inside) {
        Ok(source) => source,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        Err(error) => return Err(error),
    };
    // No link is followed from here on, and the one that leads here has been.
    let source = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&source)));
    let metadata = fs::metadata(&source)?;
    if !metadata.is_dir() {
        return Ok(());
    }
    copy_entries(&source, folder, &mut HashMap::new())?;
    copy_attributes(&source, folder, &metadata)
}

/// Copies what is in a folder. `linked`: files of several names, by their place on the disk.
fn copy_entries(source: &Path, target: &Path, linked: &mut HashMap<(u64, u64), PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        let (from, to) = (entry.path(), target.join(entry.file_name()));
        let metadata = fs::symlink_metadata(&from)?;
        let kind = metadata.file_type();
        if metadata.nlink() > 1 && !kind.is_dir() {
            let place = (metadata.dev(), metadata.ino());
            if let Some(first) = linked.get(&place) {
                fs::hard_link(first, &to)?;
                continue;
            }
            linked.insert(place, to.clone());
        }
        if kind.is_dir() {
            fs::create_dir(&to)?;
            copy_entries(&from, &to, linked)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&from)?, &to)?;
        } else if kind.is_file() {
            fs::copy(&from, &to)?;
        } else if let Some(kind) = special(kind) {
            rustix::fs::mknodat(CWD, &to, kind, Mode::from_raw_mode(metadata.mode()), metadata.rdev())?;
        } else {
            // A socket is nothing without the process that listens.
            continue;
        }
        copy_attributes(&from, &to, &metadata)?;
    }
    Ok(())
}

fn special(kind: fs::FileType) -> Option<FileType> {
    if kind.is_fifo() {
        Some(FileType::Fifo)
    } else if kind.is_char_device() {
        Some(FileType::CharacterDevice)
    } else if kind.is_block_device() {
        Some(FileType::BlockDevice)
    } else {
        None
    }
}

/// Owner, mode, times and extended attributes.
fn copy_attributes(from: &Path, to: &Path, metadata: &Metadata) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
    rustix::fs::chownat(CWD, to, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if !metadata.file_type().is_symlink() {
        rustix::fs::chmod(to, Mode::from_raw_mode(metadata.mode() & 0o7777))?;
        for name in xattr::list(from).into_iter().flatten() {
            if let Ok(Some(value)) = xattr::get(from, &name) {
                // Overlayfs's own, and what this file system does not keep.
                let _ = xattr::set(to, &name, &value);
            }
        }
    }
    let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps {
        last_access: time(metadata.atime(), metadata.atime_nsec()),
        last_modification: time(metadata.mtime(), metadata.mtime_nsec()),
    };
    Ok(rustix::fs::utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_volume_gets_the_images_files_and_a_full_one_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let (root, volume) = (folder.path().join("root"), folder.path().join("volume"));
        fs::create_dir_all(root.join("data/deep")).expect("folders");
        fs::create_dir(&volume).expect("a folder");
        fs::write(root.join("data/deep/file"), "text").expect("a file");
        fs::hard_link(root.join("data/deep/file"), root.join("data/twin")).expect("a second name");
        std::os::unix::fs::symlink("/etc/passwd", root.join("data/link")).expect("a link");
        std::os::unix::fs::symlink("/data", root.join("here")).expect("a link");
        populate(&volume, &root, Path::new("/here")).expect("it can be copied");
        assert_eq!(fs::read_to_string(volume.join("deep/file")).ok().as_deref(), Some("text"));
        assert_eq!(fs::read_link(volume.join("link")).ok(), Some("/etc/passwd".into()));
        let number = |name: &str| fs::metadata(volume.join(name)).map(|file| file.ino()).ok();
        assert_eq!(number("twin"), number("deep/file"));
        fs::remove_file(volume.join("twin")).expect("it is there");
        populate(&volume, &root, Path::new("/data")).expect("nothing to do");
        assert!(!volume.join("twin").exists(), "what is there is left alone");
    }
}
