//! Removing files inside, each by its path.

use std::io;
use std::path::{Component, Path, PathBuf};

use super::super::super::error::Error;
use super::super::remove::tree;
use super::failed;

/// An absolute path to something that may be removed: neither the root nor what depends on where links lead.
pub(super) fn clean(path: &str) -> Result<PathBuf, Error> {
    let mut cleaned = PathBuf::from("/");
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => cleaned.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(Error::Invalid(format!("cannot remove {path:?}: it has `..` in it")));
            }
        }
    }
    if path.contains('\0') || cleaned.parent().is_none() {
        return Err(Error::Invalid(format!("cannot remove {path:?}: it names no file")));
    }
    Ok(cleaned)
}

/// Removes all of them. Links on the way lead where they lead inside; one at the end is removed itself.
pub(super) fn remove(paths: &[PathBuf]) -> Result<(), Error> {
    for path in paths {
        match tree(path) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            removed => removed.map_err(|error| failed("remove", path, error))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn only_what_has_a_name_of_its_own_is_removed() {
        let cleaned = |path: &str| clean(path).ok().map(|path| path.display().to_string());
        assert_eq!(cleaned("/app/./a//b.js").as_deref(), Some("/app/a/b.js"));
        assert_eq!(cleaned("app").as_deref(), Some("/app"));
        for refused in ["", "/", "/./", "/app/../etc", "..", "/a\0b"] {
            assert_eq!(cleaned(refused), None, "{refused:?}");
        }
    }
}
