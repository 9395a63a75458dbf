//! A command written as one line → its words, as Compose has always split them: quotes and backslashes as in a shell, but
//! no shell runs, and the line ends for it at the first operator.

/// Splits a line. The error has a hint after a line end.
pub(crate) fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Words { words: Vec::new(), current: None };
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\r' | '\n' => words.finish(),
            '\\' => match characters.next() {
                Some(escaped) => words.push(escaped),
                None => return Err(bad(line, "ends in a backslash")),
            },
            '\'' => {
                words.begin();
                loop {
                    match characters.next() {
                        Some('\'') => break,
                        Some(inside) => words.push(inside),
                        None => return Err(bad(line, "has a quote that is not closed")),
                    }
                }
            }
            '"' => {
                words.begin();
                loop {
                    match (characters.next(), characters.peek()) {
                        (Some('"'), _) => break,
                        (Some('\\'), Some(escaped)) => {
                            words.push(*escaped);
                            characters.next();
                        }
                        (Some(inside), _) => words.push(inside),
                        (None, _) => return Err(bad(line, "has a quote that is not closed")),
                    }
                }
            }
            '`' => {
                words.push('`');
                words.copy_to(&mut characters, '`').ok_or_else(|| bad(line, "has a back quote that is not closed"))?;
            }
            '(' if words.current.as_deref().is_some_and(|word| word.ends_with('$')) => {
                words.push('(');
                words.copy_to(&mut characters, ')').ok_or_else(|| bad(line, "has a parenthesis that is not closed"))?;
            }
            '(' | ')' => return Err(bad(line, "has a parenthesis outside quotes")),
            ';' | '&' | '|' | '<' => break,
            '>' => {
                // A number before it says which stream, and is no word.
                if words.current.as_deref().is_some_and(|word| word.starts_with(|first: char| first.is_ascii_digit())) {
                    words.current = None;
                }
                break;
            }
            _ => words.push(character),
        }
    }
    words.finish();
    Ok(words.words)
}

fn bad(line: &str, what: &str) -> String {
    format!("the command `{}` {what}\nwrite it as a list of words: `[\"sh\", \"-c\", \"…\"]`", line.trim_end())
}

struct Words {
    words: Vec<String>,
    current: Option<String>,
}

impl Words {
    fn begin(&mut self) {
        self.current.get_or_insert_default();
    }

    fn push(&mut self, character: char) {
        self.current.get_or_insert_default().push(character);
    }

    fn finish(&mut self) {
        self.words.extend(self.current.take());
    }

    /// Takes everything up to a character as it stands; `None` when it does not come.
    fn copy_to(&mut self, characters: &mut impl Iterator<Item = char>, end: char) -> Option<()> {
        loop {
            let character = characters.next()?;
            self.push(character);
            if character == end {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn lines_are_split_as_compose_splits_them() {
        for (line, expected) in [
            (r#"echo "a b" 'c d' $X"#, vec!["echo", "a b", "c d", "$X"]),
            ("a 2>&1", vec!["a"]),
            ("a12> b", vec!["a12"]),
            (r#"a "x\ny\"q" b\nc"#, vec!["a", "xny\"q", "bnc"]),
            (r"a 'x\ny' b;c d", vec!["a", r"x\ny", "b"]),
            ("a#b #c \"\" ''", vec!["a#b", "#c", "", ""]),
            ("a `d e` $(x y) b", vec!["a", "`d e`", "$(x y)", "b"]),
            ("x=\"a b\"c e\\;f", vec!["x=a bc", "e;f"]),
            ("a\tb\n c", vec!["a", "b", "c"]),
            ("  ", vec![]),
        ] {
            assert_eq!(split(line), Ok(expected.into_iter().map(str::to_owned).collect()), "{line}");
        }
        for line in ["a (z)", "a \\", "a \"b", "a 'b", "a `b", "a $(b"] {
            assert!(split(line).is_err(), "{line}");
        }
    }
}
