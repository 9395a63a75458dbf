//! The list of what differs from docker compose, with the reason of each.

use std::fs;
use std::path::Path;

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One case, by its name.
    Case,
    /// Docker compose refuses what hoist loads.
    Refused,
    /// Hoist refuses what docker compose loads.
    Loaded,
    /// Both print something else.
    Printed,
    /// An argument with which docker compose holds text that still names variables against its schema.
    Unfilled,
}

/// The list.
pub(crate) struct Differences(Vec<(Kind, String, String)>);

impl Differences {
    pub(crate) fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differences.tsv");
        let text = fs::read_to_string(path).expect("the list is there");
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let [kind, pattern, reason] = columns[..] else { panic!("not three columns: {line}") };
            let kind = match kind {
                "case" => Kind::Case,
                "refused" => Kind::Refused,
                "loaded" => Kind::Loaded,
                "printed" => Kind::Printed,
                "unfilled" => Kind::Unfilled,
                other => panic!("no kind of difference: {other}"),
            };
            assert!(!pattern.is_empty() && !reason.is_empty(), "without a pattern or a reason: {line}");
            (kind, pattern.to_owned(), reason.to_owned())
        });
        Self(lines.collect())
    }

    /// Why something differs; `None` when it should not. A case is named wholly, other words are looked for in a text.
    pub(crate) fn reason(&self, kind: Kind, text: &str) -> Option<&str> {
        let fits = |pattern: &str| if kind == Kind::Case { pattern == text } else { text.contains(pattern) };
        self.0.iter().find(|(known, pattern, _)| *known == kind && fits(pattern)).map(|(_, _, reason)| &**reason)
    }
}
