//! Network namespaces that live by a mount on a file, and threads that enter them.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};

use super::super::mountinfo;

/// Makes the folder of namespaces a mount of its own that is told to nobody else, so that what is mounted in it later does
/// not spread over the machine.
pub(super) fn prepare(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    if !is_mount(folder)? {
        mount_bind(folder, folder)?;
    }
    Ok(mount_change(folder, MountPropagationFlags::PRIVATE)?)
}

/// Takes it down again, when nothing is left in it.
pub(super) fn dismantle(folder: &Path) -> io::Result<()> {
    if folder.exists() && is_mount(folder)? {
        unmount(folder, UnmountFlags::DETACH)?;
    }
    Ok(())
}

/// Whether a folder is where something is mounted.
fn is_mount(folder: &Path) -> io::Result<bool> {
    let folder = folder.canonicalize()?;
    Ok(mountinfo::table()?.iter().any(|mount| mount.point == folder))
}

/// Makes a namespace that lives for as long as the file is mounted, and has a thread do some work in it. The thread ends
/// afterwards: no other thread of this process is ever in a namespace that is not its own.
pub(super) fn make<T: Send + 'static>(
    file: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let path = file.to_path_buf();
    let made = in_thread(move || {
        File::create(&path)?;
        unshare(CloneFlags::CLONE_NEWNET)?;
        mount_bind("/proc/thread-self/ns/net", &path)?;
        work()
    });
    if made.is_err() {
        let _ = remove(file);
    }
    made
}

/// Has a thread do some work in a namespace.
pub(super) fn within<T: Send + 'static>(
    file: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let namespace = open(file)?;
    in_thread(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        work()
    })
}

/// A namespace, open. That a file is there on which nothing is mounted is an error.
pub(super) fn open(file: &Path) -> io::Result<OwnedFd> {
    let opened = File::open(file)?;
    let kind = rustix::fs::fstatfs(&opened)?.f_type;
    if !is_namespace(kind) {
        return Err(io::Error::other(format!("{} is not a network namespace", file.display())));
    }
    Ok(opened.into())
}

fn is_namespace<T: TryInto<i64>>(kind: T) -> bool {
    const NSFS: i64 = 0x6e73_6673;
    kind.try_into().is_ok_and(|kind| kind == NSFS)
}

/// Ends a namespace: its interfaces go when the last process has left it. That there is none is fine.
pub(super) fn remove(file: &Path) -> io::Result<()> {
    // One mount too many would keep the file from being removed; there is at most one of ours.
    while open(file).is_ok() {
        unmount(file, UnmountFlags::DETACH)?;
    }
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Has a thread do some work that ends with it.
pub(super) fn in_thread<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let thread = thread::Builder::new().name("namespace".into()).stack_size(256 * 1024).spawn(work)?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the work in a network namespace ended in a panic")))
}
