//! The end of a copy that is in a container.

use std::io::Read as _;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tar::{Archive, EntryType};

use super::near::Source;
use crate::cli::error::Error;
use crate::engine::docker::Docker;
use crate::engine::{Engine as _, EngineError};

/// An archive's stream.
type Pieces = BoxStream<'static, Result<Bytes, EngineError>>;

/// As much of an archive as its first entry's head may need, long names included.
const HEAD: usize = 16 * 1024;

/// How many links may lead to each other.
const LINKS: usize = 16;

/// What a path in a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A folder, or a link to one.
    Folder,
    /// A link, with its goal.
    Link(String),
    /// Anything else.
    File,
}

/// What the archive's first level is; the stream that is returned begins at its beginning.
pub(super) async fn peek(mut pieces: Pieces) -> Result<(Kind, Pieces), EngineError> {
    let mut head = BytesMut::new();
    while head.len() < HEAD {
        match pieces.next().await {
            Some(piece) => head.extend_from_slice(&piece?),
            None => break,
        }
    }
    let head = head.freeze();
    let kind = first_kind(&head)
        .ok_or_else(|| EngineError::Refused { message: "the engine sent something that is not a tar".into() })?;
    Ok((kind, futures_util::stream::iter([Ok(head)]).chain(pieces).boxed()))
}

fn first_kind(head: &[u8]) -> Option<Kind> {
    let mut archive = Archive::new(head.chain(std::io::repeat(0)).take(2 * HEAD as u64));
    let entry = archive.entries().ok()?.next()?.ok()?;
    Some(match entry.header().entry_type() {
        EntryType::Directory => Kind::Folder,
        EntryType::Symlink => Kind::Link(entry.link_name().ok()??.to_string_lossy().into_owned()),
        _ => Kind::File,
    })
}

/// What is at a path; `None` when there is nothing. A link to a folder is a folder.
pub(super) async fn kind(docker: &Docker, container: &str, path: &str) -> Result<Option<Kind>, Error> {
    let inside = format!("{}/.", path.trim_end_matches('/'));
    match raw_kind(docker, container, &inside).await? {
        Some(Kind::Folder) => Ok(Some(Kind::Folder)),
        _ => raw_kind(docker, container, path).await,
    }
}

async fn raw_kind(docker: &Docker, container: &str, path: &str) -> Result<Option<Kind>, Error> {
    match peek(docker.download(container, path)).await {
        Ok((kind, _)) => Ok(Some(kind)),
        Err(EngineError::Unreachable { message }) => {
            Err(Error::engine(format!("look at `{path}` in the container"))(EngineError::Unreachable { message }))
        }
        // Engines word and number "no such path" and "not a folder" differently.
        Err(_) => Ok(None),
    }
}

/// The path that links at its end lead to.
pub(super) async fn resolve(docker: &Docker, container: &str, path: String) -> Result<String, Error> {
    let mut path = path;
    for _ in 0..LINKS {
        let Some(Kind::Link(goal)) = raw_kind(docker, container, &path).await? else { return Ok(path) };
        path = match (goal.starts_with('/'), path.trim_end_matches('/').rsplit_once('/')) {
            (false, Some((folder, _))) => format!("{folder}/{goal}"),
            _ => goal,
        };
    }
    Err(Error::failed(format!("too many links lead on from `{path}`")))
}

/// The folder in the container that an archive goes to, and the name of the archive's first level, as `cp` would have
/// it.
pub(super) fn destination(path: &str, there: Option<&Kind>, source: &Source) -> Result<(String, String), Error> {
    let wrong = |message: String| Err(Error::failed(message));
    match there {
        Some(Kind::Folder) if source.is_folder && source.content_only => Ok((path.to_owned(), ".".into())),
        Some(Kind::Folder) => Ok((path.to_owned(), source.name.clone())),
        Some(_) if source.is_folder => wrong(format!("`{path}` is a file, `{}` is a folder", source.path.display())),
        None if path.ends_with('/') && !source.is_folder => {
            wrong(format!("there is no folder `{path}` in the container"))
        }
        Some(_) | None => {
            let (folder, name) = path.trim_end_matches('/').rsplit_once('/').unwrap_or(("", path));
            Ok((if folder.is_empty() { "/".into() } else { folder.to_owned() }, name.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Kind, destination};
    use crate::cli::cp::near::Source;

    fn source(is_folder: bool, content_only: bool) -> Source {
        Source { path: PathBuf::from("src"), name: "src".into(), is_folder, content_only, follow: false }
    }

    fn to(path: &str, there: Option<&Kind>, source: &Source) -> Option<(String, String)> {
        destination(path, there, source).ok()
    }

    #[test]
    fn copies_go_where_cp_would_put_them() {
        let pair = |folder: &str, name: &str| Some((folder.to_owned(), name.to_owned()));
        assert_eq!(to("/data", Some(&Kind::Folder), &source(false, false)), pair("/data", "src"));
        assert_eq!(to("/data", Some(&Kind::Folder), &source(true, false)), pair("/data", "src"));
        assert_eq!(to("/data", Some(&Kind::Folder), &source(true, true)), pair("/data", "."));
        assert_eq!(to("/data/new", None, &source(true, false)), pair("/data", "new"));
        assert_eq!(to("/new", None, &source(false, false)), pair("/", "new"));
        assert_eq!(to("/data/file", Some(&Kind::File), &source(false, false)), pair("/data", "file"));
        assert_eq!(to("/data/file", Some(&Kind::File), &source(true, false)), None);
        assert_eq!(to("/data/new/", None, &source(false, false)), None);
    }
}
