//! Pure: patterns of paths. Matching takes time in proportion to pattern × text, whatever a client writes.

/// Whose rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// Go's `filepath.Match`, for `COPY`: `*` and `?` match no slash.
    Path,
    /// `.dockerignore`: also `**`.
    Ignore,
    /// A shell's, for `${x#…}`: `*` and `?` match slashes too.
    Shell,
}

/// A pattern.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(Vec<Token>);

#[derive(Debug, Clone)]
enum Token {
    Literal(char),
    /// `?`, and whether it matches a slash.
    One(bool),
    /// `*`, and whether it matches slashes.
    Many(bool),
    /// `**/`: nothing, or folders. Followed by [`Token::Inside`].
    Folders,
    /// Within the folders of `**/`.
    Inside,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Pattern {
    /// The error says what is wrong with it.
    pub(crate) fn new(text: &str, flavour: Flavour) -> Result<Self, String> {
        let wide = flavour == Flavour::Shell;
        let mut tokens = Vec::new();
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '*' if flavour == Flavour::Ignore && characters.next_if_eq(&'*').is_some() => {
                    if characters.next_if_eq(&'/').is_some() {
                        tokens.extend([Token::Folders, Token::Inside]);
                    } else {
                        tokens.push(Token::Many(true));
                    }
                }
                '*' => tokens.push(Token::Many(wide)),
                '?' => tokens.push(Token::One(wide)),
                '[' => tokens.push(class(&mut characters).ok_or_else(|| format!("`{text}`: a `]` is missing"))?),
                '\\' => {
                    let next = characters.next();
                    tokens.push(Token::Literal(next.ok_or_else(|| format!("`{text}` ends with `\\`"))?));
                }
                _ => tokens.push(Token::Literal(character)),
            }
        }
        Ok(Self(tokens))
    }

    /// Whether the whole text matches.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let mut states = vec![false; self.0.len() + 1];
        self.enter(&mut states, 0);
        for character in text.chars() {
            let mut next = vec![false; states.len()];
            for (at, token) in self.0.iter().enumerate().filter(|(at, _)| states[*at]) {
                match token {
                    Token::Many(wide) if *wide || character != '/' => self.enter(&mut next, at),
                    Token::Inside => {
                        next[at] = true;
                        if character == '/' {
                            self.enter(&mut next, at + 1);
                        }
                    }
                    Token::Many(_) | Token::Folders => {}
                    token if token.is(character) => self.enter(&mut next, at + 1),
                    _ => {}
                }
            }
            states = next;
        }
        states[self.0.len()]
    }

    /// Marks a place, and those that are reached from it without a character.
    fn enter(&self, states: &mut [bool], mut at: usize) {
        loop {
            states[at] = true;
            match self.0.get(at) {
                Some(Token::Many(_)) => at += 1,
                Some(Token::Folders) => {
                    states[at + 1] = true;
                    at += 2;
                }
                _ => return,
            }
        }
    }
}

impl Token {
    fn is(&self, character: char) -> bool {
        match self {
            Self::Literal(literal) => *literal == character,
            Self::One(wide) => *wide || character != '/',
            Self::Class { negated, ranges } => {
                let within = ranges.iter().any(|(low, high)| (*low..=*high).contains(&character));
                character != '/' && within != *negated
            }
            Self::Many(_) | Self::Folders | Self::Inside => false,
        }
    }
}

/// What stands after a `[`.
fn class(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = characters.next_if(|next| matches!(next, '^' | '!')).is_some();
    let mut ranges = Vec::new();
    loop {
        let low = match characters.next()? {
            ']' if !ranges.is_empty() => return Some(Token::Class { negated, ranges }),
            '\\' => characters.next()?,
            other => other,
        };
        let mut high = low;
        if characters.next_if_eq(&'-').is_some() {
            high = match characters.next()? {
                '\\' => characters.next()?,
                ']' => {
                    ranges.extend([(low, low), ('-', '-')]);
                    return Some(Token::Class { negated, ranges });
                }
                other => other,
            };
        }
        ranges.push((low, high));
    }
}

/// Whether a text has anything that makes it a pattern.
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

#[cfg(test)]
mod tests {
    use super::{Flavour, Pattern};

    #[test]
    fn each_flavour_has_its_rules() {
        use Flavour::{Ignore, Path, Shell};
        for (flavour, pattern, text, expected) in [
            (Path, "*.js", "a.js", true),
            (Path, "*.js", "b/a.js", false),
            (Path, "a/?[b-d^]", "a/xc", true),
            (Path, "a/[^b]", "a/b", false),
            (Path, "a\\*", "a*", true),
            (Path, "a**b", "axb", true),
            (Path, "a**b", "a/b", false),
            (Ignore, "**/x", "x", true),
            (Ignore, "**/x", "a/b/x", true),
            (Ignore, "**/x", "a/bx", false),
            (Ignore, "a/**/b", "a/b", true),
            (Ignore, "a/**/b", "a/c/d/b", true),
            (Ignore, "a/**", "a/b/c", true),
            (Ignore, "a**b", "a/b", true),
            (Shell, "*/", "a/b/", true),
        ] {
            let matches = Pattern::new(pattern, flavour).expect("it is one").matches(text);
            assert_eq!(matches, expected, "{pattern} {text}");
        }
        assert!(Pattern::new("[a", Path).is_err());
    }

    #[test]
    fn a_pattern_that_would_take_for_ever_does_not() {
        let pattern = Pattern::new(&"*a".repeat(200), Flavour::Path).expect("it is one");
        assert!(!pattern.matches(&"a".repeat(199)));
        assert!(pattern.matches(&"a".repeat(2000)));
    }
}
