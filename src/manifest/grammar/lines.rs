//! A YAML text line by line, as people look at it. It guesses: what it says is only used for words about a mistake.

/// A line without its end, and where it begins in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'t> {
    pub(super) start: usize,
    pub(super) text: &'t str,
}

/// `key: value` in a line, as ranges of the whole text's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair<'t> {
    pub(super) key: &'t str,
    pub(super) key_start: usize,
    pub(super) colon: usize,
    pub(super) value: &'t str,
    pub(super) value_start: usize,
}

impl<'t> Line<'t> {
    /// The line that a byte stands in.
    pub(super) fn of(text: &'t str, at: usize) -> Self {
        let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
        let line = text[start..].split('\n').next().unwrap_or_default();
        Self { start, text: line.strip_suffix('\r').unwrap_or(line) }
    }

    /// The line above that says something.
    pub(super) fn above(self, text: &'t str) -> Option<Self> {
        let mut line = self;
        while line.start > 0 {
            line = Self::of(text, line.start - 1);
            if !line.is_silent() {
                return Some(line);
            }
        }
        None
    }

    /// The lines above that say something, the nearest first.
    pub(super) fn all_above(self, text: &'t str) -> impl Iterator<Item = Self> {
        std::iter::successors(self.above(text), move |line| line.above(text))
    }

    fn is_silent(self) -> bool {
        let body = self.body();
        body.is_empty() || body.starts_with('#') || body == "---"
    }

    /// How many blanks it begins with.
    pub(super) fn indent(self) -> usize {
        self.text.len() - self.text.trim_start().len()
    }

    /// Where its first character stands that is no blank.
    pub(super) fn body_start(self) -> usize {
        self.start + self.indent()
    }

    /// What it says.
    pub(super) fn body(self) -> &'t str {
        without_comment(self.text).trim()
    }

    /// Whether it is an item of a list.
    pub(super) fn is_item(self) -> bool {
        self.body() == "-" || self.body().starts_with("- ")
    }

    /// Its first `key: value`, if it has one, after the `- ` of a list.
    pub(super) fn pair(self) -> Option<Pair<'t>> {
        let text = without_comment(self.text).trim_end();
        let mut begin = self.indent().min(text.len());
        while let Some(rest) = text[begin..].strip_prefix("- ") {
            begin += 2 + rest.len() - rest.trim_start().len();
        }
        let body = &text[begin..];
        let skipped = match body.bytes().next() {
            Some(quote @ (b'"' | b'\'')) => body[1..].find(char::from(quote)).map_or(0, |end| end + 2),
            _ => 0,
        };
        let found = body[skipped..].match_indices(':').map(|(at, _)| skipped + at);
        let colon = found.into_iter().find(|at| matches!(body.as_bytes().get(at + 1), None | Some(b' ' | b'\t')))?;
        let rest = &body[colon + 1..];
        let value = rest.trim();
        let value_start = self.start + begin + colon + 1 + (rest.len() - rest.trim_start().len());
        Some(Pair {
            key: body[..colon].trim(),
            key_start: self.start + begin,
            colon: self.start + begin + colon,
            value,
            value_start,
        })
    }

    /// The byte after its last character.
    pub(super) fn end(self) -> usize {
        self.start + without_comment(self.text).trim_end().len()
    }
}

/// A line up to ` #`, quotes heeded as far as they are closed.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut before = b' ';
    for (at, byte) in line.bytes().enumerate() {
        match (quote, byte) {
            (None, b'#') if before == b' ' || before == b'\t' => return &line[..at],
            (None, b'"' | b'\'') if matches!(before, b' ' | b'[' | b'{' | b',' | b':') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
        before = byte;
    }
    line
}

/// The bracket that is open at a byte, and where it stands.
pub(super) fn open_bracket(text: &str, at: usize) -> Option<(usize, char)> {
    let mut open: Vec<(usize, char)> = Vec::new();
    let mut quote = None;
    let mut before = '\n';
    for (place, character) in text[..at].char_indices() {
        match (quote, character) {
            (Some(closing), character) if closing == character => quote = None,
            (None, '"' | '\'') if before.is_whitespace() || "[{,:".contains(before) => quote = Some(character),
            (None, '[' | '{') if before.is_whitespace() || !open.is_empty() => open.push((place, character)),
            (None, ']' | '}') => {
                open.pop();
            }
            _ => {}
        }
        before = character;
    }
    open.pop()
}

/// A text in quotes, as it is written in YAML.
pub(super) fn quoted(text: &str) -> String {
    if text.contains(['"', '\\']) { format!("'{}'", text.replace('\'', "''")) } else { format!("\"{text}\"") }
}

#[cfg(test)]
mod tests {
    use super::{Line, open_bracket};

    #[test]
    fn a_line_tells_its_key_and_value() {
        for (text, expected) in [
            ("  a: b # c", Some(("a", "b"))),
            ("- - 'x: y': z", Some(("'x: y'", "z"))),
            ("a:", Some(("a", ""))),
            ("a:b", None),
            ("a: \"b # c\"", Some(("a", "\"b # c\""))),
        ] {
            let pair = Line { start: 0, text }.pair().map(|pair| (pair.key, pair.value));
            assert_eq!(pair, expected, "{text}");
        }
    }

    #[test]
    fn the_innermost_open_bracket_is_found() {
        for (text, expected) in [
            ("a: [1, {b: 2", Some((7, '{'))),
            ("a: [1]\nb: ", None),
            ("a: '['\nb: x[y", None),
            ("a: it's [", Some((8, '['))),
        ] {
            assert_eq!(open_bracket(text, text.len()), expected, "{text}");
        }
    }
}
