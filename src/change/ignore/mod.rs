//! Patterns in the style of `.dockerignore`: which paths under a folder are left out.
//!
//! Reads no file: texts and paths come in as strings. The rules are Docker's, not git's: patterns are anchored at the
//! root, the last one that matches decides, what decided about a folder goes on to what is in it, `!` takes back, braces
//! mean themselves.
//! Source: <https://docs.docker.com/build/concepts/context/#dockerignore-files>.

pub mod git;
#[cfg(test)]
mod tests;

use std::str::Chars;

use regex::Regex;

/// An ordered list of patterns, compiled.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    patterns: Vec<Pattern>,
    /// One of them begins with `!`.
    has_exceptions: bool,
}

/// A pattern that Docker refuses as well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not an ignore pattern: {reason}")]
pub struct PatternError {
    /// The pattern as written.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

#[derive(Debug, Clone)]
struct Pattern {
    /// It begins with `!`: what it matches is kept after all.
    keeps: bool,
    matcher: Matcher,
    /// Its parts between slashes; only of a pattern that keeps, because only those are asked what they may reach.
    components: Vec<Component>,
}

#[derive(Debug, Clone)]
enum Matcher {
    /// `a/b`.
    Exact(String),
    /// `a/**` and `a**`: the text before the stars.
    Prefix(String),
    /// `**/a`: whole components at the end.
    Tail(String),
    /// `**a`: any end of a component.
    Ending(String),
    Regex(Regex),
}

#[derive(Debug, Clone)]
enum Component {
    Literal(String),
    /// Matches one component of a path.
    Regex(Regex),
    /// `**`: as many components as it likes.
    Any,
}

impl Patterns {
    /// The patterns of an ignore file's text.
    ///
    /// # Errors
    /// The first pattern that Docker would refuse: a lone `!`, an unclosed `[`, a `\` at the end.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        Self::new(lines(text))
    }

    /// The patterns given one by one, as in a watch rule's `ignore`: `#` begins no comment.
    ///
    /// # Errors
    /// As [`Patterns::parse`].
    pub fn new<I>(patterns: I) -> Result<Self, PatternError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let patterns = patterns
            .into_iter()
            .filter_map(|written| Pattern::compile(written.as_ref()).transpose())
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self::from_compiled(patterns))
    }

    /// The patterns that are well-formed, and what is wrong with the others; for callers that cannot refuse.
    #[must_use]
    pub fn new_leniently<'text>(patterns: impl IntoIterator<Item = &'text str>) -> (Self, Vec<PatternError>) {
        let mut compiled = Vec::new();
        let mut errors = Vec::new();
        for written in patterns {
            match Pattern::compile(written) {
                Ok(pattern) => compiled.extend(pattern),
                Err(error) => errors.push(error),
            }
        }
        (Self::from_compiled(compiled), errors)
    }

    /// Whether there is no pattern at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a path is left out, either itself or because a folder above it is. `relative` is relative to the root
    /// of the patterns, with `/` between its components and none at its ends.
    #[must_use]
    pub fn excludes(&self, relative: &str) -> bool {
        self.last_match(relative).is_some_and(|index| !self.patterns[index].keeps)
    }

    /// Whether a path is among those that the patterns mean, when they are a list of what to take.
    #[must_use]
    pub fn includes(&self, relative: &str) -> bool {
        self.excludes(relative)
    }

    /// Whether a walk can leave out a folder with all that is below it: it is left out itself, and no `!` pattern may keep
    /// something in it.
    #[must_use]
    pub fn prunes(&self, directory: &str) -> bool {
        let excluding = self.last_match(directory).filter(|index| !self.patterns[*index].keeps);
        let Some(excluding) = excluding else { return false };
        // A pattern before the one that leaves the folder out loses against it for everything below.
        !self.patterns[excluding..].iter().any(|pattern| pattern.keeps && pattern.reaches_below(directory))
    }

    fn from_compiled(patterns: Vec<Pattern>) -> Self {
        let has_exceptions = patterns.iter().any(|pattern| pattern.keeps);
        Self { patterns, has_exceptions }
    }

    /// The last pattern that applies, which is the one that counts.
    fn last_match(&self, relative: &str) -> Option<usize> {
        let is_root = relative.is_empty() || relative == ".";
        if is_root || self.patterns.is_empty() {
            return None;
        }
        let ends = relative.match_indices('/').map(|(at, _)| at).chain([relative.len()]);
        let mut prefixes = ends.map(|end| &relative[..end]);
        if !self.has_exceptions {
            let last_match = |path: &str| self.patterns.iter().rposition(|pattern| pattern.matcher.matches(path));
            return prefixes.find_map(last_match);
        }
        // What applies to a folder applies to everything in it. A pattern that would have changed nothing about the
        // folder does not, although its name matches; Docker goes by this, so that a walk need not look back.
        let mut applies = vec![false; self.patterns.len()];
        for path in prefixes {
            let mut is_excluded = false;
            for (pattern, applies) in self.patterns.iter().zip(&mut applies) {
                *applies = *applies || (pattern.keeps == is_excluded && pattern.matcher.matches(path));
                if *applies {
                    is_excluded = !pattern.keeps;
                }
            }
        }
        applies.iter().rposition(|applies| *applies)
    }
}

/// The lines of an ignore file that are patterns, or empty.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.strip_prefix('\u{feff}').unwrap_or(text).lines().filter(|line| !line.starts_with('#'))
}

impl Pattern {
    fn compile(written: &str) -> Result<Option<Self>, PatternError> {
        let trimmed = written.trim();
        let (keeps, body) = match trimmed.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, trimmed),
        };
        if body.is_empty() {
            let reason = "there is nothing after `!`";
            return if keeps { Err(PatternError { pattern: written.to_owned(), reason }) } else { Ok(None) };
        }
        let cleaned = clean(body);
        let error = |reason| PatternError { pattern: written.to_owned(), reason };
        let matcher = Matcher::compile(&cleaned).map_err(error)?;
        let components = if keeps {
            cleaned.split('/').map(Component::compile).collect::<Result<_, _>>().map_err(error)?
        } else {
            Vec::new()
        };
        Ok(Some(Self { keeps, matcher, components }))
    }

    fn reaches_below(&self, directory: &str) -> bool {
        let mut inside = directory.split('/');
        for component in &self.components {
            let Some(name) = inside.next() else { return true };
            match component {
                Component::Any => return true,
                Component::Literal(literal) if literal == name => {}
                Component::Regex(regex) if regex.is_match(name) => {}
                Component::Literal(_) | Component::Regex(_) => return false,
            }
        }
        // It ends at the folder or above it, where it did not apply.
        false
    }
}

impl Matcher {
    fn compile(pattern: &str) -> Result<Self, &'static str> {
        let translation = translate(pattern)?;
        if let Some(tail) = pattern.strip_prefix("**")
            && !translation.special_after_stars
        {
            return Ok(match tail.strip_prefix('/') {
                Some(tail) => Self::Tail(tail.to_owned()),
                None => Self::Ending(tail.to_owned()),
            });
        }
        if translation.literal {
            return Ok(Self::Exact(pattern.to_owned()));
        }
        if let Some(prefix) = pattern.strip_suffix("**")
            && !prefix.contains(['*', '?', '[', ']', '\\'])
        {
            return Ok(Self::Prefix(prefix.to_owned()));
        }
        Regex::new(&format!("(?s)^(?:{})$", translation.regex)).map(Self::Regex).map_err(|_| "it is too large")
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Self::Tail(tail) => {
                path.strip_suffix(tail.as_str()).is_some_and(|head| head.is_empty() || head.ends_with('/'))
            }
            Self::Ending(ending) => path.ends_with(ending.as_str()),
            Self::Regex(regex) => regex.is_match(path),
        }
    }
}

impl Component {
    fn compile(component: &str) -> Result<Self, &'static str> {
        if component.contains("**") {
            return Ok(Self::Any);
        }
        // A class that itself contains a slash was cut in two: claim that it reaches everywhere rather than nowhere.
        let Ok(translation) = translate(component) else { return Ok(Self::Any) };
        if translation.literal {
            return Ok(Self::Literal(component.to_owned()));
        }
        Regex::new(&format!("(?s)^(?:{})$", translation.regex)).map(Self::Regex).map_err(|_| "it is too large")
    }
}

/// A pattern as a regular expression without its anchors.
struct Translation {
    regex: String,
    /// It matches itself and nothing else.
    literal: bool,
    /// Something after a leading `**` has a meaning of its own.
    special_after_stars: bool,
}

fn translate(pattern: &str) -> Result<Translation, &'static str> {
    let mut translation = Translation { regex: String::new(), literal: true, special_after_stars: false };
    let mut rest = pattern.chars();
    let mut first = true;
    while let Some(character) = rest.next() {
        let leading = std::mem::take(&mut first);
        match character {
            '*' if rest.as_str().starts_with('*') => {
                rest.next();
                if rest.as_str().starts_with('/') {
                    rest.next();
                }
                translation.regex.push_str(if rest.as_str().is_empty() { ".*" } else { "(?:.*/)?" });
                translation.literal = false;
                translation.special_after_stars |= !leading;
                continue;
            }
            '*' => translation.regex.push_str("[^/]*"),
            '?' => translation.regex.push_str("[^/]"),
            '[' => translate_class(&mut rest, &mut translation.regex)?,
            '\\' => push_literal(&mut translation.regex, rest.next().ok_or("there is nothing after `\\`")?),
            other => {
                push_literal(&mut translation.regex, other);
                continue;
            }
        }
        translation.literal = false;
        translation.special_after_stars = true;
    }
    Ok(translation)
}

/// What follows a `[`, up to its `]`. Written anew, because a class of the regex crate knows operators and names that
/// a class of a pattern does not.
fn translate_class(rest: &mut Chars<'_>, regex: &mut String) -> Result<(), &'static str> {
    const UNCLOSED: &str = "a `[` is not closed";
    const BAD_RANGE: &str = "a range in `[…]` is not one";
    regex.push('[');
    if rest.as_str().starts_with('^') {
        rest.next();
        regex.push('^');
    }
    let mut empty = true;
    loop {
        let character = rest.next().ok_or(UNCLOSED)?;
        if character == ']' && !empty {
            regex.push(']');
            return Ok(());
        }
        let low = class_member(character, rest).ok_or(BAD_RANGE)?;
        push_literal(regex, low);
        if rest.as_str().starts_with('-') {
            rest.next();
            let end = rest.next().ok_or(UNCLOSED)?;
            let high = class_member(end, rest).filter(|high| *high >= low).ok_or(BAD_RANGE)?;
            regex.push('-');
            push_literal(regex, high);
        }
        empty = false;
    }
}

fn class_member(character: char, rest: &mut Chars<'_>) -> Option<char> {
    match character {
        '\\' => rest.next(),
        ']' | '-' => None,
        other => Some(other),
    }
}

fn push_literal(regex: &mut String, character: char) {
    // `\<` and `\>` are the ends of a word, so that those two must stay bare.
    if character.is_ascii_punctuation() && !matches!(character, '<' | '>') {
        regex.push('\\');
    }
    regex.push(character);
}

/// A pattern without `.`, `..`, doubled slashes and the slashes at its ends.
fn clean(pattern: &str) -> String {
    let mut components: Vec<&str> = Vec::new();
    let rooted = pattern.starts_with('/');
    for component in pattern.split('/') {
        match component {
            "" | "." => {}
            ".." if components.last().is_some_and(|last| *last != "..") => {
                components.pop();
            }
            ".." if rooted => {}
            other => components.push(other),
        }
    }
    if components.is_empty() { ".".to_owned() } else { components.join("/") }
}
