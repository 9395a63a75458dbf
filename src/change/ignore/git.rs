//! What git ignores, in the words of `.dockerignore`: a name without a slash counts at any depth, the others from their
//! file's folder on.
//! Source: <https://git-scm.com/docs/gitignore>.

use std::path::Path;

/// The name of git's ignore files.
pub const FILE: &str = ".gitignore";

/// What tools write while a service runs, whether or not an ignore file names it.
pub const ALWAYS: [&str; 3] = ["**/node_modules", "**/__pycache__", "**/*.log"];

/// The patterns of one ignore file for what lies in `below`, a folder relative to the file's own (empty for that itself),
/// and anchored there. What concerns other folders only is left out.
#[must_use]
pub fn patterns(text: &str, below: &Path) -> Vec<String> {
    text.lines().filter_map(|line| pattern(line, below)).collect()
}

/// The patterns of the ignore file of a folder below, `folder` relative to where they are anchored. A name that a line
/// cannot hold has none.
#[must_use]
pub fn nested_patterns(text: &str, folder: &Path) -> Vec<String> {
    let Some(folder) = folder.to_str().filter(|folder| !folder.contains(['\n', '\r'])) else { return Vec::new() };
    text.lines().filter_map(|line| nested_pattern(line, &escape(folder))).collect()
}

fn nested_pattern(line: &str, folder: &str) -> Option<String> {
    let (keeps, written) = split(line)?;
    // The slash in front keeps the folder's first letter from having a meaning; without it nothing would change.
    Some(match written.trim_start_matches('/') {
        anchored if written.contains('/') => format!("{keeps}/{folder}/{anchored}"),
        name => format!("{keeps}/{folder}/**/{name}"),
    })
}

/// A path as a pattern that means only it.
fn escape(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for character in path.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// A line without its `!` and the slash at its end; `None` when it is no pattern.
fn split(line: &str) -> Option<(&'static str, &str)> {
    let line = line.trim_end();
    let (keeps, written) = line.strip_prefix('!').map_or(("", line), |rest| ("!", rest));
    let name = written.strip_prefix('\\').unwrap_or(written).trim_end_matches('/');
    // To git a lone slash means nothing; as a pattern for Docker it would mean everything.
    if name.is_empty() || line.starts_with('#') {
        return None;
    }
    Some((keeps, name))
}

fn pattern(line: &str, below: &Path) -> Option<String> {
    let (keeps, written) = split(line)?;
    if !written.contains('/') {
        return Some(format!("{keeps}**/{written}"));
    }
    let anchored = written.trim_start_matches('/');
    if anchored.starts_with("**/") {
        return Some(format!("{keeps}{anchored}"));
    }
    let inside = Path::new(anchored).strip_prefix(below).ok()?;
    // The whole folder is ignored: somebody who runs a service in it means its files all the same.
    (!inside.as_os_str().is_empty()).then(|| format!("{keeps}{}", inside.display()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{nested_patterns, patterns};

    #[test]
    fn names_count_at_any_depth_and_paths_from_their_folder_on() {
        let text = "# built\n\ndist/\n/coverage\n!keep.txt\nweb/tmp\n**/cache\n\\#odd\n";
        assert_eq!(
            patterns(text, Path::new("")),
            ["**/dist", "coverage", "!**/keep.txt", "web/tmp", "**/cache", "**/#odd"]
        );
    }

    #[test]
    fn a_file_above_the_folder_says_what_concerns_it() {
        let text = "dist\n/web/tmp\napi/tmp\n/web\n**/cache\n!web/keep\n";
        assert_eq!(patterns(text, Path::new("web")), ["**/dist", "tmp", "**/cache", "!keep"]);
    }

    #[test]
    fn a_slash_that_names_nothing_means_nothing() {
        let text = "/\n!/\n//\n\\\n!\n";
        assert_eq!((patterns(text, Path::new("")), nested_patterns(text, Path::new("web"))), (Vec::new(), Vec::new()));
    }

    #[test]
    fn a_file_of_a_folder_below_concerns_that_folder_only() {
        let text = "dist/\n/tmp\na/b\n**/cache\n!keep.txt\n# no\n";
        assert_eq!(
            nested_patterns(text, Path::new("web")),
            ["/web/**/dist", "/web/tmp", "/web/a/b", "/web/**/cache", "!/web/**/keep.txt"]
        );
        assert_eq!(nested_patterns("x", Path::new("[id]/*")), [r"/\[id\]/\*/**/x"]);
        let (patterns, problems) = crate::change::ignore::Patterns::new_leniently([r"/#\[id\]/**/x"]);
        assert!(problems.is_empty() && patterns.excludes("#[id]/deep/x/file") && !patterns.excludes("x"));
    }
}
