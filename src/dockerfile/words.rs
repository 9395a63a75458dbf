//! Pure: words, quotes and variables by Docker's rules.

use std::iter::Peekable;
use std::str::Chars;

use super::pattern::{Flavour, Pattern};

/// Expansions inside expansions end here.
const DEEPEST: usize = 16;
/// A word grows no longer than this: variables in values of variables could grow without end.
const LONGEST: usize = 1024 * 1024;

/// What a variable is worth, if it is set.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Words as they are written, quotes kept; split at spaces that are neither quoted nor escaped.
pub(crate) fn split(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match quote {
            None if character.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if character == '\'' || character == '"' => quote = Some(character),
            Some(end) if character == end => quote = None,
            _ => {}
        }
        word.push(character);
        if character == escape && quote != Some('\'') {
            word.extend(characters.next());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// A word without its quotes and escapes, no variable expanded.
pub(crate) fn unquote(word: &str, escape: char) -> String {
    let mut plain = String::new();
    let mut quote = None;
    let mut characters = word.chars();
    while let Some(character) = characters.next() {
        match quote {
            None if character == '\'' || character == '"' => quote = Some(character),
            Some(end) if character == end => quote = None,
            Some('\'') => plain.push(character),
            _ if character == escape => plain.extend(characters.next()),
            _ => plain.push(character),
        }
    }
    plain
}

/// A word with its variables expanded, without its quotes. The error says what is wrong with it.
pub(crate) fn expand(word: &str, escape: char, lookup: Lookup<'_>) -> Result<String, String> {
    Expander { characters: word.chars().peekable(), escape, lookup, quotes: true, depth: 0 }.until(None)
}

/// A text in which quotes mean nothing: a here-document.
pub(crate) fn expand_text(text: &str, escape: char, lookup: Lookup<'_>) -> Result<String, String> {
    Expander { characters: text.chars().peekable(), escape, lookup, quotes: false, depth: 0 }.until(None)
}

struct Expander<'a> {
    characters: Peekable<Chars<'a>>,
    escape: char,
    lookup: Lookup<'a>,
    /// Whether quotes quote.
    quotes: bool,
    depth: usize,
}

impl Expander<'_> {
    /// Up to a character that is not quoted, or to the end.
    fn until(&mut self, end: Option<char>) -> Result<String, String> {
        let mut done = String::new();
        while let Some(character) = self.characters.next() {
            if done.len() > LONGEST {
                return Err(format!("it grows to more than {LONGEST} bytes"));
            }
            match character {
                _ if Some(character) == end => return Ok(done),
                '\'' if self.quotes => self.single(&mut done)?,
                '"' if self.quotes => self.double(&mut done)?,
                '$' => done.push_str(&self.variable()?),
                _ if character == self.escape => match self.characters.next() {
                    // In a text an escape is one only before what it can escape.
                    Some(next) if !self.quotes && next != '$' && next != self.escape => done.extend([character, next]),
                    Some(next) => done.push(next),
                    None => done.push(character),
                },
                _ => done.push(character),
            }
        }
        end.map_or(Ok(done), |end| Err(format!("a `{end}` is missing")))
    }

    fn single(&mut self, done: &mut String) -> Result<(), String> {
        for character in self.characters.by_ref() {
            if character == '\'' {
                return Ok(());
            }
            done.push(character);
        }
        Err("a closing ' is missing".into())
    }

    fn double(&mut self, done: &mut String) -> Result<(), String> {
        while let Some(character) = self.characters.next() {
            match character {
                '"' => return Ok(()),
                '$' => done.push_str(&self.variable()?),
                _ if character == self.escape => match self.characters.next() {
                    Some(next) if next == '"' || next == '$' || next == self.escape => done.push(next),
                    Some(next) => done.extend([character, next]),
                    None => done.push(character),
                },
                _ => done.push(character),
            }
        }
        Err("a closing \" is missing".into())
    }

    /// What stands after a `$`.
    fn variable(&mut self) -> Result<String, String> {
        if self.characters.next_if_eq(&'{').is_some() {
            return self.braced();
        }
        let name = self.name();
        if name.is_empty() {
            return Ok("$".into());
        }
        Ok((self.lookup)(&name).unwrap_or_default())
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        if let Some(special) = self.characters.next_if(|next| next.is_ascii_digit() || "@*#?-!$".contains(*next)) {
            // Docker knows the shell's parameters as names; none is ever set.
            if special.is_ascii_digit() || self.quotes && special != '$' {
                return special.into();
            }
            return name;
        }
        while let Some(next) = self.characters.next_if(|next| next.is_ascii_alphanumeric() || *next == '_') {
            name.push(next);
        }
        name
    }

    fn braced(&mut self) -> Result<String, String> {
        let name = self.name();
        if name.is_empty() {
            return Err("`${` without a name".into());
        }
        let value = (self.lookup)(&name);
        let Some(first) = self.characters.next() else { return Err("a `}` is missing".into()) };
        match first {
            '}' => Ok(value.unwrap_or_default()),
            ':' => match self.characters.next() {
                Some(kind @ ('-' | '+' | '?')) => {
                    let value = value.filter(|value| !value.is_empty());
                    self.alternative(&name, kind, value)
                }
                other => Err(format!("`${{{name}:` is followed by - + or ?, not by `{}`", other.unwrap_or('}'))),
            },
            '-' | '+' | '?' => self.alternative(&name, first, value),
            '#' | '%' => {
                let greedy = self.characters.next_if_eq(&first).is_some();
                let pattern = self.word(Some('}'))?;
                Ok(without(&value.unwrap_or_default(), &pattern, first == '#', greedy))
            }
            '/' => {
                let all = self.characters.next_if_eq(&'/').is_some();
                let pattern = self.word(Some('/'))?;
                let replacement = self.word(Some('}'))?;
                Ok(replaced(&value.unwrap_or_default(), &pattern, &replacement, all))
            }
            other => Err(format!("`{other}` is not a modifier of `${{{name}}}`")),
        }
    }

    fn word(&mut self, end: Option<char>) -> Result<String, String> {
        if self.depth == DEEPEST {
            return Err(format!("more than {DEEPEST} expansions in one another"));
        }
        self.depth += 1;
        let word = self.until(end);
        self.depth -= 1;
        word
    }

    fn alternative(&mut self, name: &str, kind: char, value: Option<String>) -> Result<String, String> {
        let word = self.word(Some('}'))?;
        match (kind, value) {
            ('+', Some(_)) | ('-', None) => Ok(word),
            ('?', None) if word.is_empty() => Err(format!("`{name}` is not set")),
            ('?', None) => Err(format!("`{name}`: {word}")),
            (_, Some(value)) => Ok(value),
            (_, None) => Ok(String::new()),
        }
    }
}

/// The places at which a text can be cut in two.
fn cuts(text: &str) -> impl DoubleEndedIterator<Item = usize> {
    let cuts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    cuts.into_iter()
}

/// `${x#p}`, `${x##p}`, `${x%p}`, `${x%%p}`.
fn without(value: &str, pattern: &str, front: bool, greedy: bool) -> String {
    let Ok(pattern) = Pattern::new(pattern, Flavour::Shell) else { return value.to_owned() };
    let found = |at: &usize| pattern.matches(if front { &value[..*at] } else { &value[*at..] });
    // The longest beginning and the shortest end are found from behind.
    let cut = if front == greedy { cuts(value).rev().find(found) } else { cuts(value).find(found) };
    match cut {
        Some(at) if front => value[at..].to_owned(),
        Some(at) => value[..at].to_owned(),
        None => value.to_owned(),
    }
}

/// `${x/p/r}`, `${x//p/r}`.
fn replaced(value: &str, pattern: &str, replacement: &str, all: bool) -> String {
    let Ok(pattern) = Pattern::new(pattern, Flavour::Shell) else { return value.to_owned() };
    let mut done = String::new();
    let mut rest = value;
    while let Some(first) = rest.chars().next() {
        let found = cuts(rest).rev().find(|end| *end > 0 && pattern.matches(&rest[..*end]));
        if let Some(end) = found {
            done.push_str(replacement);
            rest = &rest[end..];
            if !all {
                break;
            }
        } else {
            done.push(first);
            rest = &rest[first.len_utf8()..];
        }
        if done.len() > LONGEST {
            break;
        }
    }
    done + rest
}

#[cfg(test)]
mod tests {
    use super::{expand, expand_text, split};

    fn lookup(name: &str) -> Option<String> {
        [("a", "one"), ("empty", ""), ("path", "/x/y.tar.gz")]
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn variables_are_expanded_by_dockers_rules() {
        for (word, expanded) in [
            ("$a-${a}b", "one-oneb"),
            ("$none.${none}", "."),
            ("'$a' \"$a\" \\$a", "$a one $a"),
            ("\"a\\\"b\\c\"", "a\"b\\c"),
            ("${none:-d}${empty:-e}${empty-f}${a:-g}", "deone"),
            ("${none:-$a}/${none:-${a:+x}}", "one/x"),
            ("${a:+x}${none:+y}${empty:+z}${empty+w}", "xw"),
            ("${path#*/}|${path##*/}|${path%.*}|${path%%.*}", "x/y.tar.gz|y.tar.gz|/x/y.tar|/x/y"),
            ("${path/x/z} ${path//[.]/-}", "/z/y.tar.gz /x/y-tar-gz"),
            ("a$", "a$"),
            ("\\a\\ b", "a b"),
        ] {
            assert_eq!(expand(word, '\\', &lookup).as_deref(), Ok(expanded), "{word}");
        }
    }

    #[test]
    fn what_cannot_be_expanded_says_why() {
        for (word, problem) in [
            ("${a", "a `}` is missing"),
            ("'a", "a closing ' is missing"),
            ("${none:?say it}", "`none`: say it"),
            ("${a!b}", "`!` is not a modifier of `${a}`"),
        ] {
            assert_eq!(expand(word, '\\', &lookup), Err(problem.to_owned()), "{word}");
        }
        assert!(expand(&"${none:-".repeat(1000), '\\', &lookup).is_err());
    }

    #[test]
    fn quotes_of_a_text_stay() {
        assert_eq!(expand_text("'$a' \"x\" \\$a \\n\n", '\\', &lookup).as_deref(), Ok("'one' \"x\" $a \\n\n"));
    }

    #[test]
    fn words_are_split_at_spaces_that_are_not_quoted() {
        assert_eq!(split("a=\"b c\"  d\\ e 'f g'", '\\'), ["a=\"b c\"", "d\\ e", "'f g'"]);
    }
}
