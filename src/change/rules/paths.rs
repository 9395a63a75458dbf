//! Paths as text: cleaned, relative, and as they are called inside a container.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// A path without `.` and `..`, by its words alone: symbolic links are not looked at.
pub(super) fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                cleaned.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => cleaned.push(component),
        }
    }
    cleaned
}

/// A relative path as patterns see it. What is not UTF-8 is replaced, so that patterns with stars still match it.
pub(super) fn relative(path: &Path) -> Cow<'_, str> {
    path.to_string_lossy()
}

/// The path inside a container of what lies at `below` under the host's side of `target`.
pub(super) fn in_container(target: &str, below: &Path) -> String {
    let target = target.trim_end_matches('/');
    if below.as_os_str().is_empty() {
        return if target.is_empty() { "/".to_owned() } else { target.to_owned() };
    }
    format!("{target}/{}", below.to_string_lossy())
}

/// The paths of a set that lie below no other of it.
pub(super) fn without_descendants(paths: &BTreeSet<String>) -> BTreeSet<String> {
    let lies_below_another = |path: &str| path.match_indices('/').any(|(at, _)| paths.contains(&path[..at]));
    paths.iter().filter(|path| !lies_below_another(path)).cloned().collect()
}
