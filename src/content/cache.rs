//! What is known of a project's files, kept between runs: one small file a project in the user's cache folder.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Entry, Hash, Key, MOST, stamp};
use crate::kept;

/// What the file begins with; another form gets another name.
const HEAD: &[u8; 16] = b"hoist contents 1";
/// A key, a stamp, a hash, an age.
const RECORD: usize = 16 + 16 + 32 + 1;
/// A checksum ends the file.
const TAIL: usize = 32;
/// What was not asked for in so many runs is forgotten.
const OLDEST: u8 = 20;
/// So many projects are kept; the one that was used longest ago goes first.
const PROJECTS: usize = 64;

/// Where the file of a project is; `None` when there is no place for it.
pub(super) fn place(directory: &Path) -> Option<PathBuf> {
    let caches = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
    let folder = kept::folder("XDG_CACHE_HOME", caches)?.join("hoist/contents");
    let name = stamp::shortened(&blake3::hash(directory.as_os_str().as_encoded_bytes()));
    Some(folder.join(name.map(|byte| format!("{byte:02x}")).concat()))
}

/// What the file holds, if it is whole and belongs to this user.
pub(super) fn read(place: &Path) -> Option<HashMap<Key, Entry>> {
    let most = HEAD.len() + MOST * RECORD + TAIL;
    let bytes = kept::read(place, most as u64)?;
    let (content, tail) = bytes.split_at_checked(bytes.len().checked_sub(TAIL)?)?;
    if blake3::hash(content).as_bytes() != tail {
        return None;
    }
    let records = content.strip_prefix(HEAD)?.chunks_exact(RECORD);
    if !records.remainder().is_empty() {
        return None;
    }
    records.map(entry).collect()
}

fn entry(record: &[u8]) -> Option<(Key, Entry)> {
    let (key, rest) = record.split_first_chunk::<16>()?;
    let (stamp, rest) = rest.split_first_chunk::<16>()?;
    let (hash, rest) = rest.split_first_chunk::<32>()?;
    let age = rest.first()?.saturating_add(1);
    Some((Key(*key), Entry { stamp: *stamp, hash: Hash(*hash), age }))
}

/// Writes the file anew.
pub(super) fn write(place: &Path, entries: &HashMap<Key, Entry>) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(HEAD.len() + entries.len() * RECORD + TAIL);
    bytes.extend_from_slice(HEAD);
    for (key, entry) in entries.iter().filter(|(_, entry)| entry.age <= OLDEST) {
        bytes.extend_from_slice(&key.0);
        bytes.extend_from_slice(&entry.stamp);
        bytes.extend_from_slice(&entry.hash.0);
        bytes.push(entry.age);
    }
    let sum = blake3::hash(&bytes);
    bytes.extend_from_slice(sum.as_bytes());
    kept::write(place, &bytes)?;
    remove_oldest(place.parent().ok_or(io::ErrorKind::InvalidInput)?)
}

fn remove_oldest(folder: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)?.flatten() {
        files.push((entry.metadata()?.modified()?, entry.path()));
    }
    files.sort();
    let surplus = files.len().saturating_sub(PROJECTS);
    files.into_iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
}
