//! What becomes of a folder when a new export meets what is in it: last export, new export and the person's edits are
//! merged, line by line, as git merges.
//!
//! Nothing that a person wrote is lost: where both changed the same lines both stand in the file, between marks, for the
//! person to choose; what she deleted stays deleted; what she added or changed of an object that is gone stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use similar::TextDiff;

use super::lines::{self, CLOSING, OPENING};
use super::{Text, Tree};

/// What is in the folder at the path of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A text.
    Text(String),
    /// Something that no export writes: a folder, a pipe, bytes that are no text.
    Other,
}

/// What becomes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is as it should be.
    Same,
    /// It is written, for the first time or in the place of what the last export wrote.
    Written(Text),
    /// The edits stay, and nothing is new.
    Edited,
    /// The edits stay, and what is new comes to them.
    Merged(Text),
    /// Edits and what is new concern the same lines: both stand in the text, between marks.
    Conflict(Text),
    /// The marks of an earlier conflict are still in it, so it is left as it is.
    Unresolved,
    /// The person has deleted it; it stays deleted.
    Deleted,
    /// It is no longer of the project, and is removed.
    Removed,
    /// It is no longer of the project, but has edits; it stays, and is the person's from now on.
    Orphan,
    /// It is there, but is from no export; it stays as it is.
    Foreign,
}

impl Outcome {
    /// Whether the person has to do something about it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Conflict(_) | Self::Unresolved | Self::Foreign)
    }
}

/// What becomes of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Merge {
    /// What becomes of every file of the last export and of the new one, by path.
    pub outcomes: BTreeMap<String, Outcome>,
    /// What the record of the last export is to say from now on.
    pub last: Tree,
}

/// Merges. `found` is what is in the folder at the paths of both exports; what is not named there is not there.
#[must_use]
pub fn merge(last: &Tree, new: &Tree, found: &BTreeMap<String, Found>) -> Merge {
    let mut merge = Merge::default();
    let paths: BTreeSet<&String> = last.keys().chain(new.keys()).collect();
    for path in paths {
        let there = found.get(path).unwrap_or(&Found::Nothing);
        let outcome = outcome(last.get(path), new.get(path), there);
        let recorded = match outcome {
            // The next merge begins where this one could not.
            Outcome::Unresolved => last.get(path),
            Outcome::Foreign => None,
            _ => new.get(path),
        };
        merge.last.extend(recorded.map(|text| (path.clone(), text.clone())));
        merge.outcomes.insert(path.clone(), outcome);
    }
    merge
}

fn outcome(last: Option<&Text>, new: Option<&Text>, found: &Found) -> Outcome {
    match (last, new, found) {
        (Some(_), _, Found::Text(yours)) if has_marks(yours) => Outcome::Unresolved,
        (None, Some(new), Found::Nothing) => Outcome::Written(new.clone()),
        (_, Some(new), Found::Text(yours)) if *yours == new.content => Outcome::Same,
        (None, _, _) | (Some(_), Some(_), Found::Other) => Outcome::Foreign,
        (Some(_), Some(_), Found::Nothing) => Outcome::Deleted,
        (Some(last), Some(new), Found::Text(yours)) if *yours == last.content => Outcome::Written(new.clone()),
        (Some(last), Some(new), Found::Text(_)) if new.content == last.content => Outcome::Edited,
        (Some(last), Some(new), Found::Text(yours)) => merged(last, new, yours),
        (Some(_), None, Found::Nothing) => Outcome::Same,
        (Some(last), None, Found::Text(yours)) if *yours == last.content => Outcome::Removed,
        (Some(_), None, _) => Outcome::Orphan,
    }
}

fn merged(last: &Text, new: &Text, yours: &str) -> Outcome {
    let text = |content: String| Text { content, private: last.private || new.private };
    let merged = lines::merge(&last.content, yours, &new.content);
    if !merged.is_clean {
        return Outcome::Conflict(text(merged.text));
    }
    if [yours, &new.content].into_iter().all(is_yaml) && !is_yaml(&merged.text) {
        // Each side alone is right and both together are not: the same key added in two places, for example.
        return Outcome::Conflict(text(lines::conflict(yours, &last.content, &new.content)));
    }
    Outcome::Merged(text(merged.text))
}

/// Whether a text is YAML, with no key twice.
fn is_yaml(text: &str) -> bool {
    serde_yaml::from_str::<serde_yaml::Value>(text).is_ok()
}

/// Whether a conflict is still open in a text.
#[must_use]
pub fn has_marks(text: &str) -> bool {
    text.lines().any(|line| line == OPENING || line == CLOSING)
}

/// The conflicts of a text, each with the number of its first line, from 1.
#[must_use]
pub fn conflicts(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (index, line) in text.lines().enumerate() {
        if line == OPENING {
            open = true;
            found.push((index + 1, String::new()));
        }
        if let Some((_, shown)) = found.last_mut().filter(|_| open) {
            shown.push_str(line);
            shown.push('\n');
        }
        open &= line != CLOSING;
    }
    found
}

/// How what is exported now differs from the last export: a diff for each file, empty where there is none. What private
/// files say is not shown.
#[must_use]
pub fn drift(last: &Tree, new: &Tree) -> String {
    let mut text = String::new();
    let paths: BTreeSet<&String> = last.keys().chain(new.keys()).collect();
    for path in paths {
        let (old, now) = (last.get(path), new.get(path));
        if old.map(|text| &text.content) == now.map(|text| &text.content) {
            continue;
        }
        if [old, now].into_iter().flatten().any(|text| text.private) {
            let how = match (old, now) {
                (None, _) => "would be added",
                (_, None) => "would be removed",
                _ => "would change; what it holds is secret and not shown",
            };
            let _ = writeln!(text, "{path}: {how}");
            continue;
        }
        let content = |side: Option<&Text>| side.map(|text| text.content.clone()).unwrap_or_default();
        text.push_str(&diff(path, &content(old), &content(now), "as exported", "as it would be now"));
    }
    text
}

/// A unified diff of one text, whose two sides are called by these words.
#[must_use]
pub fn diff(path: &str, old: &str, new: &str, was: &str, is: &str) -> String {
    let (was, is) = (format!("{path} ({was})"), format!("{path} ({is})"));
    TextDiff::from_lines(old, new).unified_diff().context_radius(3).header(&was, &is).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};

    use super::super::{Text, Tree};
    use super::{Found, Outcome, conflicts, drift, has_marks, merge};

    const OLD: &str = "kind: A\nspec:\n  replicas: 1\n  image: a\n  port: 1\n";

    fn tree(content: Option<&str>) -> Tree {
        content.map(|content| ("a.yaml".to_owned(), Text::public(content.to_owned()))).into_iter().collect()
    }

    fn outcome(last: Option<&str>, new: Option<&str>, found: Found) -> Outcome {
        let mut merged = merge(&tree(last), &tree(new), &BTreeMap::from([("a.yaml".to_owned(), found)]));
        merged.outcomes.remove("a.yaml").expect("every path has an outcome")
    }

    fn yours(text: &str) -> Found {
        Found::Text(text.to_owned())
    }

    #[test]
    fn edits_and_what_is_new_come_together_even_on_neighbouring_lines() {
        let edited = OLD.replace("replicas: 1", "replicas: 3 # for Friday");
        let new = OLD.replace("image: a", "image: b");
        let Outcome::Merged(text) = outcome(Some(OLD), Some(&new), yours(&edited)) else { panic!("no merge") };
        assert_eq!(text.content, "kind: A\nspec:\n  replicas: 3 # for Friday\n  image: b\n  port: 1\n");
    }

    #[test]
    fn a_value_that_was_filled_in_stays_when_the_next_one_is_asked_for() {
        let old = "stringData:\n  A: REPLACE_ME\n";
        let new = "stringData:\n  A: REPLACE_ME\n  B: REPLACE_ME\n";
        let Outcome::Merged(text) = outcome(Some(old), Some(new), yours("stringData:\n  A: mine\n")) else {
            panic!("no merge")
        };
        assert_eq!(text.content, "stringData:\n  A: mine\n  B: REPLACE_ME\n");
    }

    #[test]
    fn where_both_changed_the_same_line_both_stand_in_the_file() {
        let found = yours(&OLD.replace("image: a", "image: mine"));
        let new = OLD.replace("image: a", "image: b");
        let Outcome::Conflict(text) = outcome(Some(OLD), Some(&new), found) else { panic!("no conflict") };
        assert!(has_marks(&text.content));
        let shown =
            "<<<<<<< yours\n  image: mine\n||||||| last export\n  image: a\n=======\n  image: b\n>>>>>>> new export\n";
        assert_eq!(conflicts(&text.content), [(4, shown.to_owned())]);
        assert_eq!(outcome(Some(&new), Some(&new), yours(&text.content)), Outcome::Unresolved);
    }

    #[test]
    fn a_key_that_both_add_in_different_places_is_a_conflict() {
        let found = yours(&OLD.replace("  port: 1\n", "  port: 1\n  paused: true\n"));
        let new = OLD.replace("  replicas: 1\n", "  paused: true\n  replicas: 1\n");
        let Outcome::Conflict(text) = outcome(Some(OLD), Some(&new), found) else { panic!("no conflict") };
        assert_eq!(conflicts(&text.content).len(), 1);
    }

    #[test]
    fn every_other_meeting_has_one_end() {
        let new = OLD.replace("image: a", "image: b");
        let written = |text: &str| Outcome::Written(Text::public(text.to_owned()));
        for (last, now, found, expected) in [
            (None, Some(OLD), Found::Nothing, written(OLD)),
            (None, Some(OLD), yours(OLD), Outcome::Same),
            (None, Some(OLD), yours("else\n"), Outcome::Foreign),
            (None, Some(OLD), Found::Other, Outcome::Foreign),
            (Some(OLD), Some(new.as_str()), yours(OLD), written(&new)),
            (Some(OLD), Some(&new), yours(&new), Outcome::Same),
            (Some(OLD), Some(OLD), yours("edited\n"), Outcome::Edited),
            (Some(OLD), Some(&new), Found::Nothing, Outcome::Deleted),
            (Some(OLD), Some(&new), Found::Other, Outcome::Foreign),
            (Some(OLD), None, yours(OLD), Outcome::Removed),
            (Some(OLD), None, yours("edited\n"), Outcome::Orphan),
            (Some(OLD), None, Found::Nothing, Outcome::Same),
        ] {
            assert_eq!(outcome(last, now, found.clone()), expected, "{last:?} {now:?} {found:?}");
        }
    }

    #[test]
    fn drift_is_what_the_manifest_changes_and_not_what_a_person_does() {
        assert_eq!(drift(&tree(Some(OLD)), &tree(Some(OLD))), "");
        let text = drift(&tree(Some(OLD)), &tree(Some(&OLD.replace("port: 1", "port: 2"))));
        assert!(text.contains("-  port: 1\n+  port: 2\n"), "{text}");
        let secret = |value: &str| {
            let text = Text { content: format!("a: {value}\n"), private: true };
            Tree::from([("s.yaml".to_owned(), text)])
        };
        let text = drift(&secret("hidden"), &secret("other"));
        assert!(text.starts_with("s.yaml: ") && !text.contains("hidden"), "{text}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_line_that_only_a_person_wrote_is_ever_lost(
            last in "([a-c]: 1\n){0,6}", new in "([a-c]: [12]\n){0,6}", mine in "([a-d]: [13]\n){0,6}",
        ) {
            let text = match outcome(Some(&last), Some(&new), yours(&mine)) {
                Outcome::Merged(text) | Outcome::Conflict(text) => text.content,
                Outcome::Written(text) => {
                    prop_assert_eq!(&mine, &last);
                    text.content
                }
                _ => mine.clone(),
            };
            for line in mine.lines().filter(|line| line.ends_with('3')) {
                let count = |text: &str| text.lines().filter(|other| other == &line).count();
                prop_assert!(count(&text) >= count(&mine), "{line} of {mine:?} is not in {text:?}");
            }
        }
    }
}
