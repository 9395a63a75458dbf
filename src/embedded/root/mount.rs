//! Mounting a root file system, in a process that has a mount namespace of its own and one thread.

use std::io;
use std::path::Path;

use super::Rootfs;

/// Mounts it at `target`, a folder below [`super::super::layout::Layout::mounts`].
pub(crate) fn mount(_rootfs: &Rootfs, _target: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
