//! Variables in text: `$V`, `${V}`, `${V-d}`, `${V:-d}`, `${V?e}`, `${V:?e}`, `${V+a}`, `${V:+a}`, `$$`, nested to any
//! sensible depth. The word of a branch that is not taken is not looked at.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use super::node::{Node, Scalar, Value};
use super::problem::{Place, Problem, Sources};
use super::trail::{Origins, Trail, Used};

/// How deeply references may nest.
const MAX_DEPTH: usize = 32;

/// Where values come from.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<&'a str>;

/// A value that cannot be interpolated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bad {
    /// A `$` that begins no reference: the bytes of the text that are wrong.
    Format(usize, usize),
    /// A required variable is missing: its name and the words of the manifest.
    Required(String, String),
    /// References nest too deeply.
    Depth,
    /// The values are too long together.
    Length,
}

/// How many bytes all replaced texts of a file may have together, which ends a file that doubles its values.
pub(super) const BUDGET: usize = 32 * 1024 * 1024;

/// Replaces the references in a text. `missing` hears of every variable that is set nowhere and has no default, with the
/// bytes where it is named.
pub(super) fn expand<'t>(
    text: &'t str,
    lookup: Lookup<'_>,
    budget: &Cell<usize>,
    missing: &mut dyn FnMut(&str, usize, usize),
) -> Result<Cow<'t, str>, Bad> {
    if text.contains('$') {
        Expansion { lookup, missing, base: text, budget }.expand(text, 0).map(Cow::Owned)
    } else {
        Ok(Cow::Borrowed(text))
    }
}

struct Expansion<'e, 'l> {
    lookup: Lookup<'l>,
    missing: &'e mut dyn FnMut(&str, usize, usize),
    base: &'e str,
    budget: &'e Cell<usize>,
}

impl Expansion<'_, '_> {
    /// `text` is a slice of `base`, so that offsets can be told.
    fn expand(&mut self, text: &str, depth: usize) -> Result<String, Bad> {
        if depth > MAX_DEPTH {
            return Err(Bad::Depth);
        }
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            result.push_str(&rest[..at]);
            let reference = &rest[at..];
            rest = match reference.as_bytes().get(1) {
                Some(b'$') => {
                    result.push('$');
                    &reference[2..]
                }
                Some(b'{') => {
                    let Some(end) = closing_brace(&reference[2..]) else { return Err(self.format(reference, 1)) };
                    let inside = &reference[2..2 + end];
                    let value = self.braced(inside, depth).ok_or_else(|| self.format(reference, end + 3))??;
                    self.spend(&value)?;
                    result.push_str(&value);
                    &reference[end + 3..]
                }
                _ => match name_length(&reference[1..]) {
                    0 => {
                        result.push('$');
                        &reference[1..]
                    }
                    length => {
                        let value = self.plain(&reference[1..=length]);
                        self.spend(&value)?;
                        result.push_str(&value);
                        &reference[1 + length..]
                    }
                },
            };
        }
        result.push_str(rest);
        self.spend(&result)?;
        Ok(result)
    }

    fn plain(&mut self, name: &str) -> String {
        (self.lookup)(name).map_or_else(
            || {
                let start = self.offset(name);
                (self.missing)(name, start, start + name.len());
                String::new()
            },
            str::to_owned,
        )
    }

    /// What stands between braces; `None` when it is no reference.
    fn braced(&mut self, inside: &str, depth: usize) -> Option<Result<String, Bad>> {
        let (name, rest) = inside.split_at(name_length(inside));
        if name.is_empty() || inside.contains('\n') {
            return None;
        }
        if rest.is_empty() {
            return Some(Ok(self.plain(name)));
        }
        let (unless_empty, rest) = rest.strip_prefix(':').map_or((false, rest), |rest| (true, rest));
        let value = (self.lookup)(name).filter(|value| !(unless_empty && value.is_empty()));
        let (operator, word) = rest.split_at_checked(1)?;
        let result = match (operator, value) {
            ("-" | "?", Some(value)) => Ok(value.to_owned()),
            ("-", None) | ("+", Some(_)) => self.expand(word, depth + 1),
            ("+", None) => Ok(String::new()),
            ("?", None) => match self.expand(word, depth + 1) {
                Ok(words) => Err(Bad::Required(name.to_owned(), words)),
                Err(bad) => Err(bad),
            },
            _ => return None,
        };
        Some(result)
    }

    fn spend(&self, text: &str) -> Result<(), Bad> {
        self.budget.set(self.budget.get().checked_sub(text.len()).ok_or(Bad::Length)?);
        Ok(())
    }

    fn format(&self, reference: &str, length: usize) -> Bad {
        let start = self.offset(reference);
        Bad::Format(start, start + length.min(reference.len()))
    }

    fn offset(&self, part: &str) -> usize {
        (part.as_ptr() as usize).saturating_sub(self.base.as_ptr() as usize)
    }
}

/// How many bytes at the start are a name.
pub(super) fn name_length(text: &str) -> usize {
    let is_name =
        |(at, byte): &(usize, u8)| byte.is_ascii_alphabetic() || *byte == b'_' || (*at > 0 && byte.is_ascii_digit());
    text.bytes().enumerate().take_while(is_name).count()
}

/// Where the brace is that closes one opened just before the text.
pub(super) fn closing_brace(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' if open == 0 => return Some(at),
            b'}' => open -= 1,
            _ => {}
        }
    }
    None
}

/// What replacing the variables of a whole project shares.
pub(super) struct Filling<'a> {
    pub(super) lookup: Lookup<'a>,
    pub(super) sources: &'a Sources,
    /// The variables that were told to be missing.
    pub(super) told: &'a mut HashSet<String>,
    pub(super) problems: &'a mut Vec<Problem>,
    /// How many bytes values may still take.
    pub(super) budget: &'a Cell<usize>,
    /// Where it is noted.
    pub(super) trail: &'a mut Trail,
    /// Where variables come from.
    pub(super) origins: &'a Origins,
}

impl Filling<'_> {
    /// Replaces the references in every value of a tree, never in keys. A variable that is missing is told once.
    pub(super) fn fill(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::List(items) => items.iter_mut().for_each(|item| self.fill(item)),
            Value::Map(map) => map.entries.iter_mut().for_each(|entry| self.fill(&mut entry.value)),
            Value::Scalar(scalar) if scalar.text.contains('$') => self.fill_scalar(scalar, node.place),
            Value::Scalar(_) => {}
        }
    }

    fn fill_scalar(&mut self, scalar: &mut Scalar, place: Place) {
        let Self { lookup, sources, told, problems, budget, trail, origins } = self;
        let used = RefCell::new(Vec::new());
        let noted = |name: &str| {
            let value = lookup(name);
            let file = value.and_then(|_| origins.get(name).copied());
            let variable = Used { name: name.to_owned(), value: value.map(str::to_owned), file };
            let mut used = used.borrow_mut();
            if !used.contains(&variable) {
                used.push(variable);
            }
            value
        };
        let mut missing = |name: &str, start: usize, end: usize| {
            if told.insert(name.to_owned()) {
                problems.push(missing_variable(name, inner(sources, place, scalar, start, end)));
            }
        };
        let lookup: Lookup<'_> = &noted;
        match expand(&scalar.text, lookup, budget, &mut missing) {
            Ok(Cow::Owned(text)) => {
                *scalar = Scalar { text: text.into_boxed_str(), plain: false };
                trail.fill(place, used.into_inner());
            }
            Ok(Cow::Borrowed(_)) => {}
            Err(bad) => {
                problems.push(bad_problem(&bad, &scalar.text, |start, end| inner(sources, place, scalar, start, end)));
            }
        }
    }
}

fn missing_variable(name: &str, place: Place) -> Problem {
    Problem::warning(format!("the variable `{name}` is not set, an empty text takes its place"))
        .code("H006")
        .at(place)
        .hint(format!("set `{name}` in the environment or in `.env`, or give a default: `${{{name}:-default}}`"))
}

fn bad_problem(bad: &Bad, text: &str, place: impl Fn(usize, usize) -> Place) -> Problem {
    match bad {
        Bad::Format(start, end) => format_problem(text, *start, *end).at(place(*start, *end)),
        Bad::Required(name, words) => {
            let because = if words.is_empty() { String::new() } else { format!(": {words}") };
            Problem::error(format!("the required variable `{name}` is not set{because}"))
                .at(place(0, usize::MAX))
                .hint(format!("set `{name}` in the environment or in `.env`"))
        }
        Bad::Length => {
            let message = format!("the values of variables take more than {} MiB here", BUDGET / 1024 / 1024);
            Problem::error(message).at(place(0, usize::MAX))
        }
        Bad::Depth => Problem::error(format!("references nest deeper than {MAX_DEPTH}")).at(place(0, usize::MAX)),
    }
}

/// A `${` that is not understood: it is not closed, or has a word where `:-` should stand.
fn format_problem(text: &str, start: usize, end: usize) -> Problem {
    let written = text.get(start..end).unwrap_or_default();
    let Some(inside) = written.strip_prefix("${").and_then(|inside| inside.strip_suffix('}')) else {
        return Problem::error("the `${` is not closed").hint("add the `}`, or write `$$` for a dollar sign");
    };
    let (name, rest) = inside.split_at(name_length(inside));
    let problem = Problem::error(format!("`{written}` is no reference to a variable"));
    let default = rest.strip_prefix(':').or_else(|| rest.strip_prefix('=')).unwrap_or_default();
    if name.is_empty() || default.is_empty() {
        return problem.hint("write `${NAME}`, or `$$` for a dollar sign");
    }
    problem.hint(format!("for a default, write `${{{name}:-{}}}`", default.trim_start_matches(['=', '-'])))
}

/// The place of some bytes of a scalar's text, when the file has the text as it is; else of the whole scalar.
fn inner(sources: &Sources, place: Place, scalar: &Scalar, start: usize, end: usize) -> Place {
    let written = sources.get(place.file).and_then(|source| source.text.get(place.range())).unwrap_or_default();
    let quote = usize::from(!scalar.plain);
    let same = written.get(quote..).is_some_and(|written| written.starts_with(&*scalar.text));
    if !same || end > scalar.text.len() {
        return place;
    }
    let offset = |at: usize| place.start + u32::try_from(at + quote).unwrap_or(0);
    Place { file: place.file, start: offset(start), end: offset(end) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};

    use std::cell::Cell;

    use super::{Bad, expand};

    fn show(text: &str) -> String {
        let lookup = |name: &str| match name {
            "FOO" => Some("foo"),
            "EMPTY" => Some(""),
            _ => None,
        };
        match expand(text, &lookup, &Cell::new(1000), &mut |_, _, _| {}) {
            Ok(text) => text.into_owned(),
            Err(Bad::Format(start, end)) => format!("bad {start}..{end}"),
            Err(Bad::Required(name, words)) => format!("required {name} {words}"),
            Err(Bad::Depth) => "too deep".to_owned(),
            Err(Bad::Length) => "too long".to_owned(),
        }
    }

    #[test]
    fn every_form_of_reference_is_replaced() {
        for (text, expected) in [
            ("$FOO ${FOO} $$FOO", "foo foo $FOO"),
            ("${U-d}${U:-e}${EMPTY-f}${EMPTY:-g}", "deg"),
            ("${FOO+a}${FOO:+b}${EMPTY+c}${EMPTY:+d}${U+e}", "abc"),
            ("${U:-a:?b} ${U--d} ${U:-:-}", "a:?b -d :-"),
            ("${U:-{\"a\":1}} ${U:-a}b}", "{\"a\":1} ab}"),
            ("${U:-${V:-${FOO}}}", "foo"),
            ("${FOO:-${U:?err}}", "foo"),
            ("${U:?say $FOO}", "required U say foo"),
            ("$1 $- $(x) $", "$1 $- $(x) $"),
            ("x${}", "bad 1..4"),
            ("${FOO!}", "bad 0..7"),
            ("a${FOO", "bad 1..2"),
            ("\\$FOO", "\\foo"),
        ] {
            assert_eq!(show(text), expected, "{text}");
        }
    }

    #[test]
    fn nesting_without_end_is_refused() {
        let text = format!("{}{}", "${U:-".repeat(1000), "}".repeat(1000));
        assert_eq!(show(&text), "too deep");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            show(&text);
        }

        #[test]
        fn text_whose_dollars_are_doubled_stays_as_it_was(text in any::<String>()) {
            prop_assert_eq!(show(&text.replace('$', "$$")), text);
        }

        #[test]
        fn a_default_that_nests_gives_its_innermost_word(
            word in "[a-z ]{0,8}", names in proptest::collection::vec("[A-Z]{4,6}", 1..20).prop_filter("unset", |names| !names.contains(&"EMPTY".to_owned()))
        ) {
            let text = names.iter().fold(word.clone(), |inner, name| format!("${{{name}:-{inner}}}"));
            prop_assert_eq!(show(&text), word);
        }
    }
}
