//! What a container has changed of its image's files: what overlayfs wrote, compared with what lies below.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use bollard_stubs::models::{ChangeType, FilesystemChange};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::embedded::error::Error;
use crate::embedded::root::Rootfs;

/// Changes that are told at most.
const MOST: usize = 1_000_000;
/// How deep folders are followed: deeper than any path can name.
const DEEPEST: usize = 2048;

/// What is made, empty, for something of the engine's to be mounted at.
const MOUNT_POINTS: [&str; 10] = [
    "/dev",
    "/dev/console",
    "/dev/mqueue",
    "/dev/pts",
    "/dev/shm",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/proc",
    "/sys",
];

/// By path, sorted; a folder in which something has changed has changed too.
pub(super) async fn changes(rootfs: Rootfs) -> Result<Vec<FilesystemChange>, Error> {
    let (lower, upper) = match rootfs {
        Rootfs::Layers { lower, upper, .. } => (lower, upper),
        Rootfs::Machine { upper, .. } => (vec![PathBuf::from("/")], upper),
    };
    let tried = format!("read {}", upper.display());
    let walked = tokio::task::spawn_blocking(move || {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut found = BTreeMap::new();
        match rustix::fs::open(&upper, flags, Mode::empty()) {
            // Never started.
            Err(Errno::NOENT) => {}
            opened => walk(&opened?, "", &lower, 0, &mut found)?,
        }
        Ok::<_, std::io::Error>(found)
    });
    let found = walked.await.map_err(|error| Error::Failed(format!("cannot {tried}: {error}")))?;
    let found = found.map_err(Error::io(tried))?;
    Ok(found.into_iter().map(|(path, kind)| FilesystemChange { path, kind }).collect())
}

/// Through opened folders only: a link that is put in a folder's place leads nowhere.
fn walk(
    folder: &OwnedFd,
    path: &str,
    lower: &[PathBuf],
    depth: usize,
    found: &mut BTreeMap<String, ChangeType>,
) -> std::io::Result<()> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes() == b"." || name.to_bytes() == b".." || found.len() >= MOST {
            continue;
        }
        let stat = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        let place = format!("{path}/{}", name.to_string_lossy());
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::CharacterDevice && stat.st_rdev == 0 {
            found.insert(place, ChangeType::_2);
            continue;
        }
        let known = is_below(lower, &place);
        if kind == FileType::Directory && depth < DEEPEST {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let before = found.len();
            match rustix::fs::openat(folder, name, flags, Mode::empty()) {
                Ok(inner) => walk(&inner, &place, lower, depth + 1, found)?,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(error.into()),
            }
            if found.len() == before && MOUNT_POINTS.contains(&place.as_str()) {
                continue;
            }
        } else if kind == FileType::RegularFile && stat.st_size == 0 && MOUNT_POINTS.contains(&place.as_str()) {
            continue;
        }
        found.insert(place, if known { ChangeType::_0 } else { ChangeType::_1 });
    }
    Ok(())
}

/// Whether a layer below has something at this place. Layers do not change.
fn is_below(lower: &[PathBuf], place: &str) -> bool {
    let relative = Path::new(place.trim_start_matches('/'));
    lower.iter().any(|layer| {
        let mut parents = relative.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty());
        let through_links = parents.any(|parent| layer.join(parent).is_symlink());
        !through_links && layer.join(relative).symlink_metadata().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::changes;
    use crate::embedded::root::Rootfs;

    #[tokio::test]
    async fn what_was_added_and_changed_is_told() {
        let home = tempfile::tempdir().expect("a folder");
        let (lower, upper) = (home.path().join("lower"), home.path().join("upper"));
        for folder in [lower.join("etc"), upper.join("etc"), upper.join("new")] {
            fs::create_dir_all(folder).expect("made");
        }
        fs::write(lower.join("etc/a"), "1").expect("written");
        fs::write(upper.join("etc/a"), "2").expect("written");
        fs::create_dir(upper.join("proc")).expect("made");
        fs::write(upper.join("etc/hosts"), "").expect("written");
        std::os::unix::fs::symlink("/etc/passwd", upper.join("new/link")).expect("linked");
        let rootfs = Rootfs::Layers { lower: vec![lower], upper, work: home.path().join("work") };
        let found = changes(rootfs).await.expect("read");
        let shown: Vec<String> = found.iter().map(|change| format!("{} {}", change.kind, change.path)).collect();
        assert_eq!(shown, ["0 /etc", "0 /etc/a", "1 /new", "1 /new/link"]);
    }
}
