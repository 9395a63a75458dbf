//! Pure: `.dockerignore`.

use crate::dockerfile::pattern::{Flavour, Pattern};

/// Rules in the order in which they are written: the last one that fits counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Ignore(Vec<(bool, Pattern)>);

impl Ignore {
    /// From single rules. The error says which of them is wrong.
    pub(super) fn of<'a>(rules: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut ignore = Self::default();
        for rule in rules {
            let rule = rule.trim();
            let (kept, rule) = rule.strip_prefix('!').map_or((false, rule), |rule| (true, rule.trim()));
            let parts: Vec<&str> = rule.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
            if !parts.is_empty() {
                ignore.0.push((kept, Pattern::new(&parts.join("/"), Flavour::Ignore)?));
            }
        }
        Ok(ignore)
    }

    /// Whether there are no rules.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a path (relative, no slash in front) is left out: a rule fits it or a folder above it.
    pub(super) fn excludes(&self, path: &str) -> bool {
        let mut excluded = false;
        for (kept, pattern) in &self.0 {
            if *kept != excluded {
                continue;
            }
            let above = path.match_indices('/').map(|(at, _)| &path[..at]);
            if above.chain([path]).any(|part| pattern.matches(part)) {
                excluded = !kept;
            }
        }
        excluded
    }
}

/// The rules of a `.dockerignore`, each as a path from the folder, as clients compare them.
pub(super) fn rules(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let rules = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let line = line.trim();
        let (kept, path) = line.strip_prefix('!').map_or(("", line), |rule| ("!", rule.trim()));
        let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        (!parts.is_empty()).then(|| format!("{kept}{}", parts.join("/")))
    });
    rules.collect()
}

#[cfg(test)]
mod tests {
    use super::{Ignore, rules};

    #[test]
    fn rules_are_paths_from_the_folder() {
        let text = "\u{feff}# no\n/node_modules/\n\n! keep/./me \n  *.tmp \n.\n";
        assert_eq!(rules(text), ["node_modules", "!keep/me", "*.tmp"]);
    }

    #[test]
    fn the_last_rule_that_fits_counts() {
        let rules = rules("# no\n/node_modules/\n**/*.log\n!keep.log\n\ndocs\n!docs/README.md\n  *.tmp ");
        let ignore = Ignore::of(rules.iter().map(String::as_str)).expect("fine");
        for (path, excluded) in [
            ("node_modules", true),
            ("node_modules/a/b.js", true),
            ("src/node_modules", false),
            ("a.log", true),
            ("x/y.log", true),
            ("keep.log", false),
            ("docs/a", true),
            ("docs/README.md", false),
            ("x.tmp", true),
            ("a/x.tmp", false),
            ("src", false),
        ] {
            assert_eq!(ignore.excludes(path), excluded, "{path}");
        }
    }
}
