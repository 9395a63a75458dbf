//! How much of the disk a folder takes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Bytes of the blocks of all that is below a folder; what has several names is counted once, what cannot be read not at
/// all. Links are not followed.
pub(super) fn size(folder: &Path) -> u64 {
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    let mut seen = BTreeSet::new();
    let mut sum = 0_u64;
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if metadata.nlink() > 1 && !seen.insert((metadata.dev(), metadata.ino())) {
                continue;
            }
            sum = sum.saturating_add(metadata.blocks().saturating_mul(512));
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_two_names_is_counted_once() {
        let folder = tempfile::tempdir().unwrap();
        let before = size(folder.path());
        fs::write(folder.path().join("a"), vec![1; 10_000]).unwrap();
        let one = size(folder.path());
        assert!(one >= before + 10_000);
        fs::hard_link(folder.path().join("a"), folder.path().join("b")).unwrap();
        assert_eq!(size(folder.path()), one);
        assert_eq!(size(Path::new("/nowhere")), 0);
    }
}
