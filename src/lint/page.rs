//! The pages that explain the rules.

use super::RULES;

/// The page of a rule, in Markdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The rule.
    pub code: &'static str,
    /// The page, without how to silence the rule.
    pub text: &'static str,
}

macro_rules! pages {
    ($($code:literal)*) => {
        &[$(Page { code: $code, text: include_str!(concat!("pages/", $code, ".md")) }),*]
    };
}

/// Every page, in the order of the codes.
pub const PAGES: &[Page] = pages! {
    "H001" "H002" "H003" "H004" "H005" "H006" "H007" "H008" "H009" "H010" "H011" "H012" "H013"
    "H014" "H015" "H016" "H017" "H018" "H019" "H020" "H021" "H022" "H023" "H024" "H025" "H026"
};

impl Page {
    /// What the rule is about, in one line.
    #[must_use]
    pub fn title(&self) -> &'static str {
        let line = self.text.lines().next().unwrap_or_default();
        line.split_once(": ").map_or(line, |(_, title)| title)
    }

    /// The whole page, with how to silence the rule.
    #[must_use]
    pub fn whole(&self) -> String {
        let Self { code, text } = self;
        format!(
            "{text}\n## To silence it\n\nOn the line or above it:\n\n```yaml\n# hoist: allow {code}\n```\n\nFor a service, or at \
             the top for the whole manifest:\n\n```yaml\nx-hoist:\n  allow: [{code}]\n```\n"
        )
    }
}

/// The page of a rule, whatever the case of its code.
#[must_use]
pub fn find(code: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.code.eq_ignore_ascii_case(code))
}

/// The code that a wrong one was meant for.
#[must_use]
pub fn nearest(code: &str) -> Option<&'static str> {
    let code = code.to_uppercase();
    let number: Option<u32> = code.trim_start_matches(|character: char| !character.is_ascii_digit()).parse().ok();
    let same = number.and_then(|number| RULES.iter().find(|rule| rule.code[1..].parse() == Ok(number)));
    let near = || RULES.iter().filter(|rule| strsim::damerau_levenshtein(rule.code, &code) == 1);
    same.map(|rule| rule.code).or_else(|| near().map(|rule| rule.code).next())
}
