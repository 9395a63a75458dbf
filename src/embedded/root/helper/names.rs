//! What overlayfs and OCI image layers call things that are not there.

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

/// Before the name of what a layer takes away.
pub(super) const WHITEOUT: &[u8] = b".wh.";
/// In a folder: nothing of it comes from below.
pub(super) const OPAQUE: &[u8] = b".wh..wh..opq";
/// Overlayfs's word for the same, an attribute of the folder.
pub(super) const OPAQUE_ATTRIBUTE: &str = "trusted.overlay.opaque";

/// Whether a file is overlayfs's way to say that what lies below is gone: a device of no number.
pub(super) fn is_whiteout(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

/// Attributes that belong to a file rather than to the machine that it lies on.
pub(super) fn is_kept(attribute: &[u8]) -> bool {
    attribute == b"security.capability"
        || attribute.starts_with(b"user.")
        || attribute.starts_with(b"system.posix_acl_")
}
