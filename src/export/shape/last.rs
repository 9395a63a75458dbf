//! The record of the last export, which lies in the folder beside what was exported: `.hoist/last`, one text that a person
//! can read, review and compare.
//!
//! Each file begins with a line that says its path; its own lines follow, each after a `|`, so that nothing in them is
//! mistaken. It is one file without an ending of YAML, so that `kubectl apply -R` does not take it for objects.

use std::fmt::Write as _;

use thiserror::Error;

use super::{Text, Tree};

/// Where the record is, in the folder.
pub const LAST: &str = ".hoist/last";

/// Where it is kept how the folder was exported.
pub const OPTIONS: &str = ".hoist/options";

const HEADING: &str = "\
# What hoist exported last. The next export merges what is new since then with what you have edited. Keep it with the rest;
# `hoist export --check` compares it with the manifest.
";

/// A mark that only its owner reads a file.
const PRIVATE: &str = " (private)";

/// A record that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {reason}")]
pub struct RecordError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Writes a record.
#[must_use]
pub fn write(tree: &Tree) -> Text {
    let mut text = HEADING.to_owned();
    for (path, file) in tree {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{path}{}", if file.private { PRIVATE } else { "" });
        for line in file.content.lines() {
            let _ = writeln!(text, "|{line}");
        }
    }
    Text { content: text, private: tree.values().any(|file| file.private) }
}

/// Reads a record.
///
/// # Errors
/// The first line that no record has: one of a merge conflict, for example.
pub fn read(text: &str) -> Result<Tree, RecordError> {
    let mut tree = Tree::new();
    let mut open: Option<&mut Text> = None;
    for (index, line) in text.lines().enumerate() {
        let wrong = |reason| RecordError { line: index + 1, reason };
        if let Some(content) = line.strip_prefix('|') {
            let file = open.as_mut().ok_or(wrong("a line of no file"))?;
            file.content.push_str(content);
            file.content.push('\n');
        } else if !line.starts_with('#') {
            let (path, private) = line.strip_suffix(PRIVATE).map_or((line, false), |path| (path, true));
            if !is_inside(path) {
                return Err(wrong("not the path of a file in the folder"));
            }
            let file = Text { content: String::new(), private };
            if tree.insert(path.to_owned(), file).is_some() {
                return Err(wrong("a file that is there twice"));
            }
            open = tree.get_mut(path);
        }
    }
    Ok(tree)
}

/// Whether a path stays in its folder, and is one that an export can have.
fn is_inside(path: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part != ".."
            && part != "."
            && part.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
    };
    path.split('/').all(is_part) && !path.starts_with(".hoist/")
}

#[cfg(test)]
mod tests {
    use super::super::{Text, Tree};
    use super::{read, write};

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let tree = Tree::from([
            ("base/a.yaml".to_owned(), Text::public("a: 1\n\n# b\n|c\nbase/x.yaml\n".to_owned())),
            ("base/s.yaml".to_owned(), Text { content: String::new(), private: true }),
        ]);
        let text = write(&tree);
        assert!(text.private);
        assert_eq!(read(&text.content), Ok(tree));
    }

    #[test]
    fn what_is_no_record_is_refused_with_its_line() {
        for (text, line) in [
            ("|a\n", 1),
            ("# x\n../a\n", 2),
            ("/a\n", 1),
            ("a//b\n", 1),
            ("a\n|x\na\n", 3),
            ("a\n<<<<<<< HEAD\n", 2),
            (".hoist/last\n", 1),
        ] {
            assert_eq!(read(text).map_err(|error| error.line), Err(line), "{text:?}");
        }
    }
}
