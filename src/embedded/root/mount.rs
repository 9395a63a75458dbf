//! Mounting a root file system, in a process that has a mount namespace of its own and one thread.
//!
//! Overlayfs takes its layers in one option of at most a page. They are named by open descriptors
//! (`/proc/self/fd/12`) rather than by their paths: short enough for any number of layers that an image may have, and no
//! character of a path needs to be escaped.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags};

use super::{Rootfs, machine};

/// Mounts it at `target`, a folder below [`super::super::layout::Layout::mounts`], which is made when it is not there. The
/// caller's mount namespace is its own: what is mounted is gone when the last process in it is.
///
/// Nothing is synced for the written layer (overlayfs's `volatile`): without that, each unmount would flush the whole file
/// system below. What must outlive a crash of the machine belongs in a volume.
pub(crate) fn mount(rootfs: &Rootfs, target: &Path) -> io::Result<()> {
    fs::create_dir_all(target)?;
    match rootfs {
        Rootfs::Layers { lower, upper, work } => layers(lower, upper, work, target),
        Rootfs::Machine { upper, work } => machine::mount(upper, work, target),
    }
}

/// Takes the mount namespace of the machine apart from the caller's: what the caller mounts from now on is seen by nobody
/// else; what the machine mounts is still seen here.
pub(crate) fn unshare() -> io::Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
    rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    Ok(())
}

/// Overlays `lower` (topmost first) by `upper`.
pub(super) fn layers(lower: &[PathBuf], upper: &Path, work: &Path, target: &Path) -> io::Result<()> {
    fs::create_dir_all(upper)?;
    if lower.is_empty() {
        // Nothing lies below: what is written is all there is.
        rustix::mount::mount_bind(upper, target)?;
        rustix::mount::mount_remount(target, MountFlags::BIND | flags(), c"")?;
        return Ok(());
    }
    fs::create_dir_all(work)?;
    // Left by an earlier mount that synced nothing; the kernel refuses the layer while it is there.
    match fs::remove_dir_all(work.join("work").join("incompat")) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let lower = lower.iter().map(|layer| open(layer)).collect::<io::Result<Vec<_>>>()?;
    let (upper, work) = (open(upper)?, open(work)?);
    let names = lower.iter().map(descriptor).collect::<Vec<_>>().join(":");
    let options = format!(
        "lowerdir={names},upperdir={},workdir={},index=off,metacopy=off,redirect_dir=off",
        descriptor(&upper),
        descriptor(&work)
    );
    match overlay(target, &format!("{options},volatile")) {
        // A kernel before 5.10 does not know it.
        Err(Errno::INVAL) => overlay(target, &options)?,
        mounted => mounted?,
    }
    Ok(())
}

/// One mount of overlayfs.
fn overlay(target: &Path, options: &str) -> rustix::io::Result<()> {
    let options = CString::new(options).map_err(|_| Errno::INVAL)?;
    rustix::mount::mount("overlay", target, "overlay", flags(), options.as_c_str())
}

/// With cgroups of version 2 no container's devices are filtered: a node that an image brings must not be one.
fn flags() -> MountFlags {
    if machine::cgroup2() { MountFlags::NODEV } else { MountFlags::empty() }
}

/// A folder, held open.
fn open(folder: &Path) -> io::Result<OwnedFd> {
    rustix::fs::openat(CWD, folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| io::Error::new(io::Error::from(error).kind(), format!("{}: {error}", folder.display())))
}

/// The name by which the kernel finds it again.
fn descriptor(folder: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", folder.as_raw_fd())
}
