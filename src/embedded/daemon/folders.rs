//! The engine's folders: made at the start, cleaned of what a restart of the machine has left, given back at the end.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::embedded::error::Error;
use crate::embedded::layout::Layout;
use crate::embedded::{mountinfo, set_program};

/// What tells one run of the machine from the next.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// Makes the two folders, so that the lock can be taken.
pub(super) fn make(layout: &Layout) -> Result<(), Error> {
    folder(layout.state(), 0o700)?;
    // Whoever may use the socket must get there; what else is in it is closed.
    folder(layout.run(), 0o711)
}

fn folder(path: &Path, mode: u32) -> Result<(), Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(Error::io(format!("make the folder `{}`", path.display())))
}

/// Removes what is left of the time before the machine was restarted, makes what is below, and the private tmpfs. The
/// lock is held.
pub(super) fn prepare(layout: &Layout) -> Result<(), Error> {
    let boot = fs::read_to_string(BOOT).unwrap_or_default();
    let note = layout.run().join("boot");
    if fs::read_to_string(&note).is_ok_and(|noted| noted != boot) {
        tracing::info!("the machine was restarted: removing what is left in `{}`", layout.run().display());
        empty(layout)?;
    }
    fs::write(&note, &boot).map_err(Error::io(format!("write `{}`", note.display())))?;
    for below in [layout.images(), layout.builds(), layout.volumes(), layout.networks(), layout.containers()] {
        folder(&below, 0o700)?;
    }
    folder(&layout.runtimes(), 0o700)?;
    folder(&layout.namespaces(), 0o700)?;
    tmpfs(&layout.mounts())?;
    if let Err(error) = own_program(&layout.mounts().join("program")) {
        tracing::warn!("containers are started by a program that is not read-only: {error}");
    }
    Ok(())
}

/// This program at a read-only mount, from where it is executed for containers: `/proc/PID/exe` of a process that is about
/// to become a container's leads back to the file, and must not be a way to write it.
fn own_program(path: &Path) -> Result<(), Error> {
    let failed =
        |error: nix::Error| Error::Failed(format!("cannot mount this program at `{}`: {error}", path.display()));
    if is_mounted_file(path) {
        // An earlier engine's, perhaps of another version. Its shims keep what they run.
        umount2(path, MntFlags::MNT_DETACH).map_err(failed)?;
    }
    fs::write(path, "").map_err(Error::io(format!("write `{}`", path.display())))?;
    mount(Some("/proc/self/exe"), path, None::<&str>, MsFlags::MS_BIND, None::<&str>).map_err(failed)?;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID;
    mount(None::<&str>, path, None::<&str>, flags, None::<&str>).map_err(failed)?;
    set_program(path.to_owned());
    Ok(())
}

fn is_mounted_file(path: &Path) -> bool {
    path.exists() && is_mounted(path).unwrap_or(false)
}

/// The private tmpfs; the one of an earlier engine stays, as containers may have their files in it.
fn tmpfs(path: &Path) -> Result<(), Error> {
    folder(path, 0o700)?;
    let is_there = is_mounted(path)?;
    let made =
        if is_there { Ok(()) } else { mount(Some("hoist"), path, Some("tmpfs"), MsFlags::empty(), Some("mode=0700")) };
    made.and_then(|()| mount(None::<&str>, path, None::<&str>, MsFlags::MS_PRIVATE, None::<&str>))
        .map_err(|error| Error::Failed(format!("cannot mount a tmpfs at `{}`: {error}", path.display())))
}

fn is_mounted(path: &Path) -> Result<bool, Error> {
    let point = path.canonicalize().map_err(Error::io(format!("find the folder `{}`", path.display())))?;
    Ok(mounts_below(path)?.contains(&point))
}

/// Takes away the tmpfs and all else of the run; the state stays. The lock is the caller's to remove.
pub(super) fn give_back(layout: &Layout) -> Result<(), Error> {
    empty(layout)
}

/// Removes the run folder itself once nothing is in it.
pub(super) fn remove_run(layout: &Layout) {
    // Where something of another's is in it, it stays.
    let _ = fs::remove_dir(layout.run());
}

/// Unmounts what a dead engine has mounted; its files stay, among them how its containers ended. So does the tmpfs while
/// it holds what containers have written whose records are there. Whether nothing is mounted any more.
pub(super) fn release(layout: &Layout) -> Result<bool, Error> {
    let kept = holds_layers(layout).then(|| layout.mounts());
    if layout.run().exists() {
        unmount_below(layout.run(), kept.as_deref())?;
    }
    Ok(kept.is_none())
}

/// Whether a container that is on record has written to the tmpfs.
fn holds_layers(layout: &Layout) -> bool {
    let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let ids: Vec<_> = entries(layout.containers()).filter_map(|id| id.into_string().ok()).collect();
    let mut layers = entries(layout.mounts()).filter_map(|name| name.into_string().ok());
    layers.any(|name| name.strip_suffix(".upper").is_some_and(|short| ids.iter().any(|id| id.starts_with(short))))
}

/// Unmounts all that is mounted at a folder or below it, but one place.
fn unmount_below(folder: &Path, kept: Option<&Path>) -> Result<(), Error> {
    let mut mounted = mounts_below(folder)?;
    // The last mounted first: it may hide what is below it.
    mounted.reverse();
    for path in mounted.into_iter().filter(|path| Some(path.as_path()) != kept) {
        umount2(&path, MntFlags::MNT_DETACH)
            .map_err(|error| Error::Failed(format!("cannot unmount `{}`: {error}", path.display())))?;
    }
    Ok(())
}

/// Unmounts all that is mounted below the run folder, and removes all that is in it but the lock.
fn empty(layout: &Layout) -> Result<(), Error> {
    unmount_below(layout.run(), None)?;
    let still = mounts_below(layout.run())?;
    if let Some(still) = still.first() {
        return Err(Error::Failed(format!("`{}` is still mounted, so nothing is removed", still.display())));
    }
    let tried = || format!("empty the folder `{}`", layout.run().display());
    for entry in fs::read_dir(layout.run()).map_err(Error::io(tried()))? {
        let entry = entry.map_err(Error::io(tried()))?;
        if entry.path() == layout.lock() {
            continue;
        }
        let removed = match entry.file_type() {
            Ok(kind) if kind.is_dir() => fs::remove_dir_all(entry.path()),
            _ => fs::remove_file(entry.path()),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::io(tried())(error)),
            _ => {}
        }
    }
    Ok(())
}

/// What is mounted at a folder or below it, in the order in which it was.
fn mounts_below(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let folder = folder.canonicalize().map_err(Error::io(format!("find the folder `{}`", folder.display())))?;
    let table = mountinfo::table().map_err(Error::io("read what is mounted"))?;
    Ok(table.into_iter().map(|mount| mount.point).filter(|point| point.starts_with(&folder)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_mounted_has_nothing_below() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(mounts_below(folder.path()).unwrap(), Vec::<PathBuf>::new());
        assert!(mounts_below(Path::new("/proc")).unwrap().contains(&PathBuf::from("/proc")));
    }
}
