//! The machine's own root file system below what a container writes.

use std::io;
use std::path::Path;

/// Mounts the machine's `/`, read-only, below `upper`.
pub(in super::super) fn mount(_upper: &Path, _work: &Path, _target: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
