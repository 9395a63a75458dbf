//! What becomes of every attribute of a manifest: the page that says so, and the report of one export. Both are made from
//! one table, which the tests hold against what an export really does.

mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use super::{Export, Fate};
pub use table::{Row, rows};

/// What became of one key of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The key as written: `services.web.user`.
    pub key: String,
    /// What became of it.
    pub fate: Fate,
    /// What it became; empty where nothing did.
    pub becomes: &'static str,
    /// Why it is not the same; empty where it is.
    pub reason: String,
}

/// What became of each of these keys, and of what is not written but lost: in the order of the keys.
///
/// The keys are those of mappings, down to where the table knows them.
#[must_use]
pub fn report<'k>(export: &Export, written: impl IntoIterator<Item = &'k [String]>) -> Vec<Entry> {
    let mut entries: BTreeMap<(String, String), Entry> = BTreeMap::new();
    let told: BTreeSet<&str> = export.losses.iter().map(|loss| loss.key.as_str()).collect();
    for path in written {
        let Some(row) = find(path) else { continue };
        let key = path.join(".");
        // What the export says of a key, or of something below it, is more exact than the table.
        if !is_told(&told, &key) {
            let entry = Entry {
                key: key.clone(),
                fate: row.fate,
                becomes: row.becomes,
                reason: if row.fate == Fate::Carried { String::new() } else { row.note.to_owned() },
            };
            entries.insert((key, String::new()), entry);
        }
    }
    for loss in &export.losses {
        let parts: Vec<String> = loss.key.split('.').map(str::to_owned).collect();
        let becomes = match loss.fate {
            Fate::Dropped => "",
            _ => find(&parts).map_or("", |row| row.becomes),
        };
        let entry = Entry { key: loss.key.clone(), fate: loss.fate, becomes, reason: loss.reason.clone() };
        entries.insert((loss.key.clone(), loss.reason.clone()), entry);
    }
    entries.into_values().collect()
}

/// Whether something is told of a key, or of what stands below it.
fn is_told(told: &BTreeSet<&str>, key: &str) -> bool {
    let below = format!("{key}.");
    told.contains(key) || told.range(below.as_str()..).next().is_some_and(|next| next.starts_with(&below))
}

/// The row that is about a key: the longest one that it begins with.
#[must_use]
pub fn find(path: &[String]) -> Option<&'static Row> {
    let matches = |row: &&Row| {
        let mut parts = row.key.split('.');
        let all = path.iter().zip(parts.by_ref()).all(|(part, wanted)| wanted == "*" || wanted == part);
        all && parts.next().is_none()
    };
    rows().iter().filter(matches).max_by_key(|row| row.key.split('.').count())
}

/// Whether a key is one that a row is about, and not something below one.
#[must_use]
pub fn is_row(path: &[String]) -> bool {
    find(path).is_some_and(|row| row.key.split('.').count() == path.len())
}

/// The page that lists every attribute, what it becomes and what is lost. `attributes` are all that a manifest can have,
/// with what each is for, in order.
#[must_use]
pub fn page(attributes: &[(String, String)]) -> String {
    let mut text = HEAD.to_owned();
    let mut section = "";
    for (key, meaning) in attributes {
        let parts: Vec<String> = key.split('.').map(str::to_owned).collect();
        if !is_row(&parts) {
            continue;
        }
        let Some(row) = find(&parts) else { continue };
        let first = key.split('.').next().unwrap_or_default();
        if first != section {
            section = first;
            // Writing to a `String` cannot fail.
            let _ = write!(text, "\n## `{section}`\n\n| attribute | becomes | | what is lost |\n|---|---|---|---|\n");
        }
        let shown = key.strip_prefix(section).unwrap_or(key).trim_start_matches(".*").trim_start_matches('.');
        let shown = if shown.is_empty() { section } else { shown };
        let becomes = if row.becomes.is_empty() { "—".to_owned() } else { row.becomes.replace('|', "\\|") };
        let _ = writeln!(text, "| `{shown}` | {becomes} | {} | {} |", row.fate.as_str(), row.note.replace('|', "\\|"));
        let _ = meaning;
    }
    text
}

const HEAD: &str = "# What a manifest becomes in a Kubernetes cluster

`hoist export --reference` writes this page from the table that the export itself reports by; a test holds it against what
is exported. An attribute is *carried* when the objects say the same, *approximated* when they say nearly the same,
*dropped* when they say nothing of it, and *local* when it is of use on this machine alone.
";

#[cfg(test)]
mod tests {
    use super::{find, is_row, rows};

    fn path(key: &str) -> Vec<String> {
        key.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn the_longest_row_is_about_a_key() {
        assert_eq!(find(&path("services.web.deploy.replicas")).map(|row| row.key), Some("services.*.deploy.replicas"));
        assert_eq!(find(&path("services.web.build.args.X")).map(|row| row.key), Some("services.*.build"));
        assert!(is_row(&path("services.web.image")) && !is_row(&path("services.web.environment.A")));
        assert_eq!(find(&path("nothing")), None);
    }

    #[test]
    fn no_key_has_two_rows_and_what_is_not_carried_says_why() {
        let mut keys: Vec<_> = rows().iter().map(|row| row.key).collect();
        keys.sort_unstable();
        let count = keys.len();
        keys.dedup();
        assert_eq!(keys.len(), count);
        for row in rows() {
            assert!(row.fate == super::Fate::Carried || !row.note.is_empty(), "{}", row.key);
        }
    }
}
