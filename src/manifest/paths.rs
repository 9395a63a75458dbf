//! Paths as text: joined, cleaned, with `~` replaced. Nothing here looks at the disk.

/// A path made absolute: `~` is the home folder, anything relative starts at the base.
///
/// Without a base, paths stay as they are written.
pub(super) fn absolute(path: &str, base: &str, home: Option<&str>) -> String {
    if base.is_empty() {
        return path.to_owned();
    }
    match (path.strip_prefix('~'), home) {
        (Some(""), Some(home)) => clean(home),
        (Some(rest), Some(home)) if rest.starts_with('/') => clean(&format!("{home}{rest}")),
        // As it was written, because its owner may mean a trailing slash.
        _ if path.starts_with('/') || is_windows_path(path) => path.to_owned(),
        _ => clean(&format!("{base}/{path}")),
    }
}

/// `C:\…`, `C:/…` or `\\server\…`.
pub(super) fn is_windows_path(path: &str) -> bool {
    match path.as_bytes() {
        [drive, b':', b'\\' | b'/', ..] => drive.is_ascii_alphabetic(),
        [b'\\', b'\\', ..] => true,
        _ => false,
    }
}

/// A build context: what an engine fetches or another service gives stays as it is.
pub(super) fn context(context: &str, base: &str, home: Option<&str>) -> String {
    if is_remote_context(context) { context.to_owned() } else { absolute(context, base, home) }
}

/// One more named context of a build: like a context, and an image or another store besides.
pub(super) fn additional_context(context: &str, base: &str, home: Option<&str>) -> String {
    if context.is_empty() || context.contains("://") || is_remote_context(context) {
        context.to_owned()
    } else {
        absolute(context, base, home)
    }
}

pub(super) fn is_remote_context(context: &str) -> bool {
    context.contains("://")
        || ["git@", "github.com/", "service:", "target:"].iter().any(|prefix| context.starts_with(prefix))
}

/// Whether a volume's source is a path rather than a volume's name.
pub(super) fn is_bind_source(source: &str) -> bool {
    source.starts_with(['.', '/', '~']) || is_windows_path(source)
}

/// A drive of Windows and a colon.
pub(super) fn is_drive(source: &str) -> bool {
    matches!(source.as_bytes(), [drive, b':', ..] if drive.is_ascii_alphabetic())
}

/// The way from one folder to another, both absolute; empty when they are the same.
pub(super) fn relative(from: &str, to: &str) -> String {
    let (from, to): (Vec<&str>, Vec<&str>) = (from.split('/').collect(), to.split('/').collect());
    let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", from.len() - same);
    up.chain(to[same..].iter().copied()).collect::<Vec<_>>().join("/")
}

/// The path inside a container, cleaned when it is absolute.
pub(super) fn clean_target(target: &str) -> String {
    if target.starts_with('/') { clean(target) } else { target.to_owned() }
}

/// The path without `.`, `..` and doubled slashes; `..` at the root stays there.
pub(super) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::{absolute, clean, relative};

    #[test]
    fn the_way_from_a_folder_to_another_goes_up_no_further_than_it_has_to() {
        for (to, expected) in [("/a/b", ""), ("/a/b/c/d", "c/d"), ("/a/x", "../x"), ("/", "../..")] {
            let to = to.trim_end_matches('/');
            assert_eq!(relative("/a/b", to), expected);
        }
    }

    #[test]
    fn paths_are_cleaned_without_looking_at_the_disk() {
        for (path, expected) in
            [("/a/../b", "/b"), ("/t/", "/t"), ("/../x", "/x"), ("a/./b//c", "a/b/c"), ("../x", "../x"), ("", ".")]
        {
            assert_eq!(clean(path), expected);
        }
    }

    #[test]
    fn a_tilde_is_the_home_folder_and_the_rest_starts_at_the_base() {
        assert_eq!(absolute("~/x", "/b", Some("/home/u")), "/home/u/x");
        assert_eq!(absolute("~user", "/b", Some("/home/u")), "/b/~user");
        assert_eq!(absolute("../x", "/a/b", None), "/a/x");
    }
}
