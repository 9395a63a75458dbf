//! Making the root file system in question this process's own.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use nix::sched::{CloneFlags, setns};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags};

use super::super::super::error::Error;
use super::super::{Bind, Rootfs, View, mount};
use super::{Place, confine, failed};

/// Enters it. From then on the process has nothing but what is in it.
pub(super) fn enter(place: &Place) -> Result<(), Error> {
    match &place.view {
        View::Process(process) => running(*process),
        View::Stopped { rootfs, binds } => stopped(rootfs, binds, &place.mounts),
        View::Folder(folder) => confine(folder),
    }
}

/// The mount namespace of a process, and its root.
fn running(process: u32) -> Result<(), Error> {
    let gone = |error: io::Error| Error::NotFound(format!("the container's process {process} is gone: {error}"));
    let namespace = File::open(format!("/proc/{process}/ns/mnt")).map_err(gone)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root =
        rustix::fs::open(format!("/proc/{process}/root"), flags, Mode::empty()).map_err(|error| gone(error.into()))?;
    let entered = || -> io::Result<()> {
        setns(namespace, CloneFlags::CLONE_NEWNS)?;
        rustix::process::fchdir(&root)?;
        rustix::process::chroot(".")?;
        Ok(())
    };
    entered().map_err(Error::io(format!("enter the files of process {process}")))
}

/// A root that is mounted for this process alone, with what is bound into it.
fn stopped(rootfs: &Rootfs, binds: &[Bind], target: &Path) -> Result<(), Error> {
    mount::unshare().map_err(Error::io("take a mount namespace"))?;
    // Before the root hides anything, and before paths mean what they mean inside.
    let mut sources = Vec::new();
    for bind in binds {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_RECURSIVE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        match rustix::mount::open_tree(CWD, &bind.source, flags) {
            Ok(tree) => sources.push((bind, tree)),
            // A volume that was removed by hand, say. The rest can be looked at all the same.
            Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(failed("open", &bind.source, error)),
        }
    }
    mount::mount(rootfs, target).map_err(Error::io("mount the container's root"))?;
    confine(target)?;
    for (bind, tree) in sources {
        attach(bind, &tree).map_err(|error| failed("mount", &bind.destination, error))?;
    }
    Ok(())
}

/// Mounts a tree at a place inside, which is made when it is not there.
fn attach(bind: &Bind, tree: &OwnedFd) -> io::Result<()> {
    let place = Path::new("/").join(&bind.destination);
    let builder = |folder: &Path| fs::DirBuilder::new().recursive(true).mode(0o755).create(folder);
    if rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(tree)?.st_mode) == rustix::fs::FileType::Directory {
        builder(&place)?;
    } else if !place.exists() {
        place.parent().map_or(Ok(()), builder)?;
        File::options().write(true).create_new(true).open(&place)?;
    }
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
    rustix::mount::move_mount(tree, "", CWD, &place, flags)?;
    if bind.read_only {
        rustix::mount::mount_remount(&place, MountFlags::BIND | MountFlags::RDONLY, c"")?;
    }
    Ok(())
}
