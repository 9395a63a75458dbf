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

fn pattern(line: &str, below: &Path) -> Option<String> {
    let line = line.trim_end();
    let (keeps, written) = line.strip_prefix('!').map_or(("", line), |rest| ("!", rest));
    if written.is_empty() || line.starts_with('#') {
        return None;
    }
    let written = written.strip_prefix('\\').unwrap_or(written).trim_end_matches('/');
    if !written.contains('/') {
        return Some(format!("{keeps}**/{written}"));
    }
    let anchored = written.trim_start_matches('/');
    if below.as_os_str().is_empty() || anchored.starts_with("**/") {
        return Some(format!("{keeps}{anchored}"));
    }
    let inside = Path::new(anchored).strip_prefix(below).ok()?;
    // The whole folder is ignored: somebody who runs a service in it means its files all the same.
    (!inside.as_os_str().is_empty()).then(|| format!("{keeps}{}", inside.display()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::patterns;

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
        let text = "dist\n/web/tmp\napi/tmp\n/web\n";
        assert_eq!(patterns(text, Path::new("web")), ["**/dist", "tmp"]);
    }
}
