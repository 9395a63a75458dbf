//! What is known of a project's files, kept between runs: one small file a project in the user's cache folder.
//!
//! The file is read with care and given up at the first doubt; it is written whole and put in place at once, so that
//! runs side by side do not see half of it.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::{Entry, Hash, Key, MOST, stamp};

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
    let folder = user_cache()?.join("hoist/contents");
    let name = stamp::shortened(&blake3::hash(directory.as_os_str().as_encoded_bytes()));
    Some(folder.join(name.map(|byte| format!("{byte:02x}")).concat()))
}

fn user_cache() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME").or_else(|| {
        let home = absolute("HOME")?;
        Some(home.join(if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" }))
    })
}

/// What the file holds, if it is whole and belongs to this user.
pub(super) fn read(place: &Path) -> Option<HashMap<Key, Entry>> {
    let file = OpenOptions::new().read(true).custom_flags(nofollow()).open(place).ok()?;
    let metadata = file.metadata().ok()?;
    let most = HEAD.len() + MOST * RECORD + TAIL;
    if !metadata.is_file() || metadata.uid() != user() || metadata.len() > most as u64 {
        return None;
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).ok()?);
    file.take(most as u64).read_to_end(&mut bytes).ok()?;
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
    let folder = place.parent().ok_or(io::ErrorKind::InvalidInput)?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // Whoever runs hoist as another user with this one's variables leaves nothing behind that this one cannot remove.
    if fs::metadata(folder)?.uid() != user() {
        return Err(io::Error::other("the folder belongs to somebody else"));
    }
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
    let other = place.with_extension(std::process::id().to_string());
    let written = new_file(&other).and_then(|mut file| file.write_all(&bytes)).and_then(|()| fs::rename(&other, place));
    if written.is_err() {
        fs::remove_file(&other).ok();
    }
    written?;
    remove_oldest(folder)
}

fn new_file(path: &Path) -> io::Result<File> {
    let make = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    make().or_else(|error| {
        // Left by a process of the same number that was killed.
        if error.kind() == io::ErrorKind::AlreadyExists {
            fs::remove_file(path)?;
            return make();
        }
        Err(error)
    })
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

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn nofollow() -> i32 {
    rustix::fs::OFlags::NOFOLLOW.bits().cast_signed()
}
