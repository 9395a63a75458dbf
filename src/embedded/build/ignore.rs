//! Pure: `.dockerignore`.

use super::pattern::{Flavour, Pattern};

/// Rules in the order in which they are written: the last one that fits counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Ignore(Vec<(bool, Pattern)>);

impl Ignore {
    /// The error says which rule is wrong.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self::of(text.lines().filter(|line| !line.starts_with('#')))
    }

    /// From single rules (`COPY --exclude`).
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

#[cfg(test)]
mod tests {
    use super::Ignore;

    #[test]
    fn the_last_rule_that_fits_counts() {
        let ignore =
            Ignore::new("# no\n/node_modules/\n**/*.log\n!keep.log\n\ndocs\n!docs/README.md\n  *.tmp ").expect("fine");
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
