//! The dotenv format, of `.env`, `--env-file` and `env_file`: text and variables → variables, in order. It opens no file.

use std::borrow::Cow;
use std::cell::Cell;

use indexmap::IndexMap;

use super::interpolate::{BUDGET, Bad, Lookup, expand};

/// The variables of a file in the order in which they were first set; later values win.
pub(super) type Variables = IndexMap<String, String>;

/// A file that is not dotenv.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    /// The byte at which it begins.
    pub(super) at: usize,
    pub(super) message: String,
    pub(super) hint: &'static str,
}

/// What to do about a name.
const NAME: &str = "write `NAME=value`, the name of letters, digits, `_`, `.` and `-`";
/// What to do about a variable that is missing.
const SET: &str = "set it in the environment, or further up in the file";
/// What to do about a reference.
const REFERENCE: &str = "put the value in single quotes if its `$` is meant as it stands";

/// Reads a file. `lookup` has the variables that win over those of the file itself when a value names one.
pub(super) fn parse(text: &str, lookup: Lookup<'_>) -> Result<Variables, Mistake> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let normal = if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) };
    let mut reader = Reader { text: &normal, at: 0, variables: Variables::new(), lookup, budget: Cell::new(BUDGET) };
    while reader.skip_to_statement() {
        reader.statement()?;
    }
    Ok(reader.variables)
}

/// Reads a file of `format: raw`: a line is a variable, its value as it stands.
pub(super) fn parse_raw(text: &str, lookup: Lookup<'_>) -> Result<Variables, Mistake> {
    let mut variables = Variables::new();
    let mut at = 0;
    for written in text.split_inclusive('\n') {
        let line = written.trim_end_matches(['\n', '\r']).trim_start();
        let line = if at == 0 { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line };
        if !line.is_empty() && !line.starts_with('#') {
            let (key, value) = line.split_once('=').map_or((line, None), |(key, value)| (key, Some(value)));
            if key.is_empty() || key.contains(char::is_whitespace) {
                let message = if key.is_empty() { "a line without a name" } else { "a name cannot contain a space" };
                return Err(Mistake { at, message: message.to_owned(), hint: NAME });
            }
            if let Some(value) = value.or_else(|| lookup(key)) {
                variables.insert(key.to_owned(), value.to_owned());
            }
        }
        at += written.len();
    }
    Ok(variables)
}

struct Reader<'t, 'l> {
    text: &'t str,
    at: usize,
    variables: Variables,
    lookup: Lookup<'l>,
    /// How many bytes replaced values may still take.
    budget: Cell<usize>,
}

/// A blank that does not end a line.
fn is_blank(character: char) -> bool {
    matches!(character, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}')
}

impl<'t> Reader<'t, '_> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start_matches(is_blank).len();
    }

    /// Skips empty lines and comments; false at the end.
    fn skip_to_statement(&mut self) -> bool {
        loop {
            self.at = self.text.len() - self.rest().trim_start().len();
            if !self.rest().starts_with('#') {
                return !self.rest().is_empty();
            }
            self.at += self.rest().find('\n').unwrap_or(self.rest().len());
        }
    }

    fn statement(&mut self) -> Result<(), Mistake> {
        if let Some(rest) = self.rest().strip_prefix("export").filter(|rest| rest.starts_with(char::is_whitespace)) {
            self.at = self.text.len() - rest.len();
            self.skip_blanks();
        }
        let start = self.at;
        let Some(end) = self.name_end()? else {
            return Ok(());
        };
        let key = self.text[start..end].trim_end();
        if key.contains(' ') {
            return Err(Mistake { at: start, message: "a name cannot contain a space".to_owned(), hint: NAME });
        }
        let bare = self.text.as_bytes().get(end).is_none_or(|byte| *byte == b'\n');
        self.at = (end + 1).min(self.text.len());
        if bare {
            if let Some(value) = (self.lookup)(key) {
                self.variables.insert(key.to_owned(), value.to_owned());
            }
            return Ok(());
        }
        self.skip_blanks();
        let value = self.value()?;
        self.variables.insert(key.to_owned(), value);
        Ok(())
    }

    /// Where the name that begins here ends: at `=`, `:` or the end of the line. `None` at the end of the text.
    fn name_end(&self) -> Result<Option<usize>, Mistake> {
        for (offset, character) in self.rest().char_indices() {
            match character {
                '=' | ':' | '\n' => return Ok(Some(self.at + offset)),
                '_' | '.' | '-' | '[' | ']' => {}
                _ if is_blank(character) || character.is_alphanumeric() => {}
                _ => {
                    let message = format!("a name cannot contain `{character}`");
                    return Err(Mistake { at: self.at + offset, message, hint: NAME });
                }
            }
        }
        let rest = self.rest();
        Ok((!rest.is_empty()).then_some(self.text.len()))
    }

    fn value(&mut self) -> Result<String, Mistake> {
        if let Some(quote @ (b'"' | b'\'')) = self.rest().as_bytes().first() {
            return self.quoted(char::from(*quote));
        }
        let start = self.at;
        let line = self.rest().split('\n').next().unwrap_or_default();
        self.at = (self.at + line.len() + 1).min(self.text.len());
        let value = line.split(" #").next().unwrap_or_default().trim_end();
        self.expand(value, start)
    }

    fn quoted(&mut self, quote: char) -> Result<String, Mistake> {
        let start = self.at;
        let mut value = String::new();
        let mut escaped = false;
        for (offset, character) in self.rest().char_indices().skip(1) {
            match character {
                '\\' if !escaped => {
                    escaped = true;
                    continue;
                }
                _ if character == quote && !escaped => {
                    self.at = start + offset + 1;
                    return if quote == '"' { self.expand(&unescape(&value), start) } else { Ok(value) };
                }
                _ => {
                    if escaped && character != quote {
                        value.push('\\');
                    }
                    value.push(character);
                }
            }
            escaped = false;
        }
        Err(Mistake {
            at: start,
            message: format!("the quote `{quote}` is not closed"),
            hint: "close it on the line where the value ends",
        })
    }

    fn expand(&self, value: &str, at: usize) -> Result<String, Mistake> {
        let lookup = |name: &str| (self.lookup)(name).or_else(|| self.variables.get(name).map(String::as_str));
        match expand(value, &lookup, &self.budget, &mut |_, _, _| {}) {
            Ok(value) => Ok(value.into_owned()),
            Err(Bad::Required(name, words)) if words.is_empty() => {
                Err(Mistake { at, message: format!("the required variable `{name}` is not set"), hint: SET })
            }
            Err(Bad::Required(name, words)) => {
                Err(Mistake { at, message: format!("the required variable `{name}` is not set: {words}"), hint: SET })
            }
            Err(Bad::Length) => {
                let message = format!("the values of variables take more than {} MiB", BUDGET / 1024 / 1024);
                Err(Mistake { at, message, hint: "look for values that name themselves over and over" })
            }
            Err(Bad::Format(..) | Bad::Depth) => Err(Mistake {
                at,
                message: "the value has a `${` that is no reference to a variable".to_owned(),
                hint: REFERENCE,
            }),
        }
    }
}

/// The escapes of a double-quoted value; others stay as they are.
fn unescape(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        result.push_str(&rest[..at]);
        let escape = &rest[at + 1..];
        let simple = match escape.bytes().next() {
            Some(b'a') => Some("\u{7}"),
            Some(b'b') => Some("\u{8}"),
            Some(b'f') => Some("\u{c}"),
            Some(b'n') => Some("\n"),
            Some(b'r') => Some("\r"),
            Some(b't') => Some("\t"),
            Some(b'v') => Some("\u{b}"),
            Some(b'\\') => Some("\\"),
            Some(b'"') => Some("\""),
            // Doubled for the expansion that follows.
            Some(b'$') => Some("$$"),
            _ => None,
        };
        let octal = escape.strip_prefix('0').and_then(|rest| rest.get(..3)).and_then(octal_character);
        rest = match (simple, octal) {
            (Some(text), _) => {
                result.push_str(text);
                &escape[1..]
            }
            (None, Some(character)) => {
                result.push(character);
                &escape[4..]
            }
            (None, None) => {
                result.push('\\');
                escape
            }
        };
    }
    result.push_str(rest);
    result
}

fn octal_character(digits: &str) -> Option<char> {
    if !digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte)) {
        return None;
    }
    u8::from_str_radix(digits, 8).ok().map(char::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{parse, parse_raw};

    fn show(text: &str) -> String {
        let lookup = |name: &str| (name == "S").then_some("shell");
        match parse(text, &lookup) {
            Ok(variables) => {
                variables.iter().map(|(key, value)| format!("{key}={value:?}")).collect::<Vec<_>>().join(" ")
            }
            Err(mistake) => format!("{}: {}", mistake.at, mistake.message),
        }
    }

    #[test]
    fn values_are_read_as_compose_reads_them() {
        for (text, expected) in [
            ("A=1\nexport B = 2\nC: 3\n", r#"A="1" B="2" C="3""#),
            ("A=1 # c\nB=1# c\nC=#c\n", r##"A="1" B="1# c" C="#c""##),
            ("A=\"x\\ny\\q\" # c\nB='x\\ny'\n", r#"A="x\ny\\q" B="x\\ny""#),
            ("A=\"two\nlines\"\nB=${A}!\n", r#"A="two\nlines" B="two\nlines!""#),
            ("S=file\nB=${S}\n", r#"S="file" B="shell""#),
            ("S\nT\n", r#"S="shell""#),
            ("A=\"\\$X$$Y\"", r#"A="$X$Y""#),
            ("A B=1", "0: a name cannot contain a space"),
            ("A=\"x", "2: the quote `\"` is not closed"),
            ("\u{feff}A=1\r\nB=2\r\n", r#"A="1" B="2""#),
            (&format!("A=xxxxxxxx\n{}", "A=$A$A\n".repeat(60)), "153: the values of variables take more than 32 MiB"),
            ("A=${X:?why}", "2: the required variable `X` is not set: why"),
        ] {
            assert_eq!(show(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            show(&text);
            let _ = parse_raw(&text, &|_| None);
        }
    }
}
