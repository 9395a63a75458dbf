//! The end of a copy that is on this machine.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tar::{Builder, Header, HeaderMode};

use super::unpack::Target;
use crate::cli::error::Error;

/// What is copied into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its own name, for a place inside a folder.
    pub(super) name: String,
    /// Whether it is a folder.
    pub(super) is_folder: bool,
    /// Only what is in the folder is meant (`folder/.`).
    pub(super) content_only: bool,
    /// Links are copied as what they lead to.
    pub(super) follow: bool,
}

/// Looks at what is to be copied.
pub(super) fn source(text: &str, follow: bool) -> Result<Source, Error> {
    let failed = || Error::io(format!("read `{text}`"));
    let path = PathBuf::from(text);
    // A link that is named itself is copied as a link, unless it is to be followed.
    let metadata = if follow || text.ends_with(['/', '.']) { fs::metadata(&path) } else { fs::symlink_metadata(&path) };
    let metadata = metadata.map_err(failed())?;
    // `.` and `..` have names too.
    let named = if path.file_name().is_some() { path.clone() } else { fs::canonicalize(&path).map_err(failed())? };
    let name = named.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let content_only = text == "." || text.ends_with("/.") || text == "..";
    Ok(Source { path, name, is_folder: metadata.is_dir(), content_only, follow })
}

/// Writes the source into a tar whose first level has this name.
pub(super) fn pack(source: &Source, name: &str, writer: impl Write, owners: bool) -> io::Result<()> {
    let mut builder = Builder::new(writer);
    builder.follow_symlinks(source.follow);
    builder.mode(HeaderMode::Complete);
    append(&mut builder, &source.path, Path::new(name), source.follow, owners)?;
    builder.into_inner()?.flush()
}

fn append(builder: &mut Builder<impl Write>, path: &Path, name: &Path, follow: bool, owners: bool) -> io::Result<()> {
    let metadata = if follow { fs::metadata(path)? } else { fs::symlink_metadata(path)? };
    let mut header = Header::new_gnu();
    header.set_metadata(&metadata);
    if !owners {
        header.set_uid(0);
        header.set_gid(0);
    }
    if metadata.is_dir() {
        header.set_size(0);
        builder.append_data(&mut header, name, io::empty())?;
        let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            append(builder, &entry.path(), &name.join(entry.file_name()), follow, owners)?;
        }
        Ok(())
    } else if metadata.is_symlink() {
        header.set_size(0);
        builder.append_link(&mut header, name, fs::read_link(path)?)
    } else if metadata.is_file() {
        let file = fs::File::open(path)?;
        builder.append_data(&mut header, name, io::Read::take(file, metadata.len()))
    } else {
        // Sockets and the like have no content that could be copied.
        Ok(())
    }
}

/// Where what is copied out of a container goes, as `cp` would have it.
pub(super) fn target(source: &str, is_folder: bool, to: &str) -> Result<Target, Error> {
    let path = Path::new(to);
    let own_name = || Path::new(source).file_name().map(|name| name.to_string_lossy().into_owned());
    let content_only = is_folder && (source.ends_with("/.") || source == ".");
    let wrong = |message: String, hint: &str| Err(Error::Failed { message, hint: Some(hint.into()) });
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            let name = if content_only { None } else { own_name() };
            Ok(Target { folder: path.to_path_buf(), name })
        }
        Ok(_) if is_folder => wrong(format!("`{to}` is a file, `{source}` is a folder"), "name a folder to copy to"),
        Err(_) if !is_folder && to.ends_with('/') => wrong(format!("there is no folder `{to}`"), "make it first"),
        Ok(_) | Err(_) => {
            let folder = match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
                _ => PathBuf::from("."),
            };
            if !folder.is_dir() {
                return wrong(format!("there is no folder `{}`", folder.display()), "make it first");
            }
            Ok(Target { folder, name: path.file_name().map(|name| name.to_string_lossy().into_owned()) })
        }
    }
}
