//! A small file that is kept between runs below one of the user's own folders: read with care and given up at the first
//! doubt; written whole and put in place at once, so that runs side by side do not see half of it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// How much of a hash tells projects of one name apart.
const DIGITS: usize = 12;

/// A folder that a variable names, else one below the user's home; `None` when neither is known.
pub(crate) fn folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| Some(absolute("HOME")?.join(below_home)))
}

/// Where something of a project is that runs leave in the user's state folder: below `hoist`, in the folder of its kind, a
/// name that no other project has, without an ending.
pub(crate) fn of_project(kind: &str, name: &str, directory: &Path) -> Option<PathBuf> {
    let hash = blake3::hash(directory.as_os_str().as_encoded_bytes()).to_hex();
    let state = folder("XDG_STATE_HOME", ".local/state")?;
    Some(state.join("hoist").join(kind).join(format!("{name}-{}", hash.get(..DIGITS)?)))
}

/// What a file holds, if it belongs to this user, is no link, and is no longer than that.
pub(crate) fn read(place: &Path, most: u64) -> Option<Vec<u8>> {
    let no_follow = OFlags::NOFOLLOW.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(no_follow).open(place).ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.uid() != user() || metadata.len() > most {
        return None;
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).ok()?);
    file.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Writes a file anew, for its user alone; the folders above it are made.
///
/// # Errors
/// When it cannot be written, or its folder belongs to somebody else.
pub(crate) fn write(place: &Path, bytes: &[u8]) -> io::Result<()> {
    make_folder(place.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
    let other = place.with_extension(std::process::id().to_string());
    let written = new_file(&other).and_then(|mut file| file.write_all(bytes)).and_then(|()| fs::rename(&other, place));
    if written.is_err() {
        fs::remove_file(&other).ok();
    }
    written
}

/// Opens a file to add to its end, for its user alone; it and the folders above it are made.
///
/// # Errors
/// When it cannot be opened, is a link, or its folder belongs to somebody else.
pub(crate) fn append(place: &Path) -> io::Result<File> {
    make_folder(place.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
    let no_follow = OFlags::NOFOLLOW.bits().cast_signed();
    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(no_follow).open(place)
}

/// Makes a folder that is its user's alone, and those above it.
///
/// # Errors
/// When it cannot be made, or belongs to somebody else.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // Whoever runs hoist as another user with this one's variables leaves nothing behind that this one cannot remove.
    if fs::metadata(folder)?.uid() != user() {
        return Err(io::Error::other("the folder belongs to somebody else"));
    }
    Ok(())
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

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}
