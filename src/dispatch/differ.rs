//! Which files of a first sync a container does not have already: what it has is fetched, folder by folder, and compared.
//! Who owns a file is no difference: images are made by other users than those that build them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tar::Archive;

use super::perform::Job;
use super::sync::{Fetched, PARALLEL, blocking, parent};
use crate::change::SyncFiles;
use crate::engine::{Engine, EngineError};

/// More pieces than this take longer to fetch than everything takes to send.
const MOST: usize = 64;
/// More bytes than this likewise.
const LARGEST: usize = 64 << 20;

impl<E: Engine> Job<E> {
    /// Leaves out the files that a container has as they are here.
    pub(super) async fn differing(&self, id: &str, files: &SyncFiles) -> Result<SyncFiles, EngineError> {
        let copied = files.copied.clone();
        let pieces = blocking("comparing", move || pieces(&copied)).await?;
        if pieces.len() > MOST {
            return Ok(files.clone());
        }
        let mut fetched = stream::iter(pieces)
            .map(|path| async move { (parent(&path), self.fetch(id, &path).await) })
            .buffer_unordered(PARALLEL);
        let mut archives = Vec::new();
        let mut room = LARGEST;
        while let Some((folder, fetched)) = fetched.next().await {
            match fetched {
                Ok(Fetched::Archive(archive)) if archive.len() <= room => {
                    room -= archive.len();
                    archives.push((folder, archive));
                }
                Ok(Fetched::Nothing) => {}
                // To send everything is right in any case.
                Ok(Fetched::Archive(_) | Fetched::TooLarge) | Err(_) => return Ok(files.clone()),
            }
        }
        drop(fetched);
        let mut differing = files.clone();
        differing.copied = blocking("comparing", move || without_same(&archives, differing.copied)).await?;
        Ok(differing)
    }
}

/// The paths inside that together hold all files and little else: a folder where everything in it here is copied, else
/// the files themselves.
fn pieces(copied: &BTreeSet<(PathBuf, String)>) -> BTreeSet<String> {
    let mut folders: BTreeMap<String, (&Path, BTreeSet<OsString>)> = BTreeMap::new();
    for (path, inside) in copied {
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { continue };
        let keeps_name = Path::new(inside).file_name() == Some(name);
        let entry = folders.entry(parent(inside)).or_insert_with(|| (above, BTreeSet::new()));
        if keeps_name && entry.0 == above {
            entry.1.insert(name.to_owned());
        }
    }
    let mut whole: BTreeSet<String> = BTreeSet::new();
    // Folders come before what is in them, so from the end.
    for (inside, (folder, names)) in folders.iter().rev() {
        let is_copied = |entry: io::Result<fs::DirEntry>| {
            entry.is_ok_and(|entry| {
                let name = entry.file_name();
                let below = || Some(format!("{}/{}", inside.trim_end_matches('/'), name.to_str()?));
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if is_folder { below().is_some_and(|below| whole.contains(&below)) } else { names.contains(&name) }
            })
        };
        if inside != "/" && fs::read_dir(folder).is_ok_and(|mut entries| entries.all(is_copied)) {
            whole.insert(inside.clone());
        }
    }
    let piece = |inside: &String| {
        let mut piece = inside.clone();
        while whole.contains(&parent(&piece)) {
            piece = parent(&piece);
        }
        piece
    };
    copied.iter().map(|(_, inside)| piece(inside)).collect()
}

fn without_same(archives: &[(String, Bytes)], copied: BTreeSet<(PathBuf, String)>) -> BTreeSet<(PathBuf, String)> {
    let here: BTreeMap<&str, &PathBuf> = copied.iter().map(|(path, inside)| (inside.as_str(), path)).collect();
    let mut same: BTreeSet<String> = BTreeSet::new();
    for (folder, archive) in archives {
        let mut archive = Archive::new(&archive[..]);
        // What cannot be read is sent: that is right in any case.
        for mut entry in archive.entries().into_iter().flatten().flatten() {
            let Ok(path) = entry.path().map(|path| Path::new(folder).join(path)) else { continue };
            let inside = path.to_string_lossy().trim_end_matches('/').to_owned();
            if here.get(inside.as_str()).is_some_and(|path| is_same(path, &mut entry).unwrap_or(false)) {
                same.insert(inside);
            }
        }
    }
    copied.into_iter().filter(|(_, inside)| !same.contains(inside)).collect()
}

/// Whether kind, mode and content are the same.
fn is_same(path: &Path, entry: &mut tar::Entry<'_, impl Read>) -> io::Result<bool> {
    let metadata = fs::symlink_metadata(path)?;
    let kind = entry.header().entry_type();
    if metadata.is_symlink() {
        return Ok(kind.is_symlink() && entry.link_name()?.as_deref() == Some(&fs::read_link(path)?));
    }
    let has_mode = entry.header().mode()? & 0o7777 == metadata.permissions().mode() & 0o7777;
    if metadata.is_dir() {
        return Ok(kind.is_dir() && has_mode);
    }
    if !has_mode || !metadata.is_file() || !kind.is_file() || entry.size() != metadata.len() {
        return Ok(false);
    }
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    entry.read_to_end(&mut theirs)?;
    fs::File::open(path)?.take(metadata.len() + 1).read_to_end(&mut ours)?;
    Ok(theirs == ours)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::{Path, PathBuf};

    use bytes::Bytes;

    use super::{pieces, without_same};

    fn copied(folder: &Path, paths: &[&str]) -> BTreeSet<(PathBuf, String)> {
        paths.iter().map(|path| (folder.join(path), format!("/app/{path}"))).collect()
    }

    fn filled() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("src/deep")).expect("folders");
        fs::create_dir(folder.path().join("node_modules")).expect("a folder");
        for path in ["package.json", "src/a.js", "src/deep/b.js", "node_modules/c.js"] {
            fs::write(folder.path().join(path), path).expect("a file");
        }
        folder
    }

    #[test]
    fn a_folder_is_fetched_whole_when_everything_in_it_is_copied() {
        let folder = filled();
        let files = copied(folder.path(), &["package.json", "src/a.js", "src/deep/b.js"]);
        assert_eq!(pieces(&files), ["/app/package.json", "/app/src"].map(str::to_owned).into());
        let some = copied(folder.path(), &["src/deep/b.js"]);
        assert_eq!(pieces(&some), ["/app/src/deep".to_owned()].into());
        // A file under another name says nothing of its folder.
        let renamed = BTreeSet::from([(folder.path().join("src/deep/b.js"), "/app/x/c.js".to_owned())]);
        assert_eq!(pieces(&renamed), ["/app/x/c.js".to_owned()].into());
    }

    #[test]
    fn what_is_there_with_its_mode_and_content_is_left_out() {
        let folder = filled();
        let at = |path: &str| folder.path().join(path);
        symlink("a.js", at("src/link")).expect("a link");
        let mut builder = tar::Builder::new(Vec::new());
        builder.follow_symlinks(false);
        builder.append_dir_all("src", at("src")).expect("a tar");
        let archives = [("/app".to_owned(), Bytes::from(builder.into_inner().expect("a tar")))];
        let paths = ["package.json", "src/a.js", "src/deep/b.js", "src/link"];
        let left = || {
            let left = without_same(&archives, copied(folder.path(), &paths));
            left.into_iter().map(|(_, inside)| inside).collect::<Vec<_>>()
        };
        assert_eq!(left(), ["/app/package.json"]);
        fs::write(at("src/a.js"), "src/A.js").expect("a file");
        fs::set_permissions(at("src/deep/b.js"), fs::Permissions::from_mode(0o700)).expect("a mode");
        fs::remove_file(at("src/link")).expect("a link");
        symlink("b.js", at("src/link")).expect("a link");
        assert_eq!(left(), ["/app/package.json", "/app/src/a.js", "/app/src/deep/b.js", "/app/src/link"]);
    }
}
