//! The tar that brings changed files into containers. It is unpacked at `/`, so that one serves files for many places.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tar::{Builder, EntryType, Header};

use crate::change::SyncFiles;

/// A sync of more than this is a mistake in a rule; an image is the way for such data.
const LARGEST: u64 = 512 << 20;

/// What a sync sends to each container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncTar {
    /// The archive, or `None` when no file is left to copy.
    pub archive: Option<Bytes>,
    /// Paths inside the container that are to be removed first.
    pub deleted: Vec<String>,
    /// Files that could not be read, with the system's words.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// Why files cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyncTarError {
    /// More bytes than one sync carries.
    #[error("the changed files are larger than {} MiB in all, too much for a sync", LARGEST >> 20)]
    TooLarge,
    /// The archive could not be written.
    #[error("`{path}` does not fit into an archive: {message}")]
    Unfit {
        /// The path inside the container.
        path: String,
        /// The reason.
        message: String,
    },
}

/// Reads the files of a sync into an archive: the same files give the same bytes. It keeps modes, owners, times and
/// symbolic links, and of folders what they are without what is in them, and leaves out what has vanished, is a socket or the like. It blocks while it reads.
///
/// # Errors
/// When the files are too large in all, or a path cannot be put into a tar.
pub fn sync_tar(files: &SyncFiles) -> Result<SyncTar, SyncTarError> {
    let mut builder = Builder::new(Vec::new());
    let mut unreadable = Vec::new();
    let mut content = Vec::new();
    let mut room = LARGEST;
    let mut is_empty = true;
    for (path, inside) in &files.copied {
        let entry = match read(path, room, &mut content) {
            Ok(Some(entry)) => entry,
            Ok(None) => continue,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                unreadable.push((path.clone(), error.to_string()));
                continue;
            }
        };
        room = room.checked_sub(content.len() as u64).filter(|room| *room > 0).ok_or(SyncTarError::TooLarge)?;
        is_empty = false;
        append(&mut builder, inside, &entry, &content)
            .map_err(|error| SyncTarError::Unfit { path: inside.clone(), message: error.to_string() })?;
    }
    let archive = if is_empty { None } else { builder.into_inner().ok().map(Bytes::from) };
    Ok(SyncTar { archive, deleted: files.deleted.iter().cloned().collect(), unreadable })
}

enum Entry {
    File(Metadata),
    Folder(Metadata),
    Link(Metadata, PathBuf),
}

/// Reads a file into `content`, at most as many bytes as there is room for.
fn read(path: &Path, room: u64, content: &mut Vec<u8>) -> std::io::Result<Option<Entry>> {
    content.clear();
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_symlink() {
        return Ok(Some(Entry::Link(metadata, fs::read_link(path)?)));
    }
    if metadata.is_dir() {
        return Ok(Some(Entry::Folder(metadata)));
    }
    // Opening a pipe would wait for its other end.
    if !metadata.is_file() {
        return Ok(None);
    }
    File::open(path)?.take(room).read_to_end(content)?;
    Ok(Some(Entry::File(metadata)))
}

fn append(builder: &mut Builder<Vec<u8>>, inside: &str, entry: &Entry, content: &[u8]) -> std::io::Result<()> {
    let (Entry::File(metadata) | Entry::Folder(metadata) | Entry::Link(metadata, _)) = entry;
    let mut header = Header::new_gnu();
    header.set_mode(metadata.mode() & 0o7777);
    header.set_uid(metadata.uid().into());
    header.set_gid(metadata.gid().into());
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    // The size is what was read: the file may have grown since it was looked at.
    header.set_size(content.len() as u64);
    let inside = inside.trim_start_matches('/');
    match entry {
        Entry::File(_) => {
            header.set_entry_type(EntryType::Regular);
            builder.append_data(&mut header, inside, content)
        }
        Entry::Folder(_) => {
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, format!("{inside}/"), content)
        }
        Entry::Link(_, target) => {
            header.set_entry_type(EntryType::Symlink);
            builder.append_link(&mut header, inside, target)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    use super::sync_tar;
    use crate::change::SyncFiles;

    fn files(copied: &[(PathBuf, &str)]) -> SyncFiles {
        let copied = copied.iter().map(|(path, inside)| (path.clone(), (*inside).to_owned())).collect();
        SyncFiles { copied, deleted: BTreeSet::from(["/app/gone".to_owned()]) }
    }

    #[test]
    fn files_and_links_keep_what_they_are_and_the_same_files_give_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("run.sh");
        fs::write(&script, "echo").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let link = folder.path().join("link");
        symlink("run.sh", &link).unwrap();
        let long = format!("/app/{}run.sh", "deep/".repeat(60));
        let files = files(&[(script.clone(), "/app/run.sh"), (script, &long), (link, "/app/link")]);

        let made = sync_tar(&files).unwrap();
        assert_eq!(made.deleted, ["/app/gone"]);
        assert_eq!(made, sync_tar(&files).unwrap());
        let archive = made.archive.unwrap();
        let mut entries = Vec::new();
        for entry in tar::Archive::new(&archive[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = format!("/{}", entry.path().unwrap().display());
            let link = entry.link_name().unwrap().map(|link| link.display().to_string());
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            entries.push((path, entry.header().mode().unwrap() & 0o111, link, text));
        }
        assert_eq!(
            entries,
            [
                ("/app/link".to_owned(), 0o111, Some("run.sh".to_owned()), String::new()),
                (long, 0o111, None, "echo".to_owned()),
                ("/app/run.sh".to_owned(), 0o111, None, "echo".to_owned()),
            ]
        );
    }

    #[test]
    fn what_vanished_or_is_a_socket_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let made = sync_tar(&files(&[(folder.path().join("vanished"), "/app/vanished"), (socket, "/app/socket")]));
        let made = made.unwrap();
        assert_eq!((made.archive, made.unreadable), (None, Vec::new()));
    }

    #[test]
    fn a_new_folder_is_made_without_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "x").unwrap();
        let made = sync_tar(&files(&[(folder.path().to_owned(), "/app/folder")])).unwrap();
        let archive = made.archive.expect("there is something to send");
        let mut archive = tar::Archive::new(&archive[..]);
        let entries: Vec<_> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(entries, [std::path::Path::new("app/folder/")]);
    }
}
