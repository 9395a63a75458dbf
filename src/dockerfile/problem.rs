//! What is wrong in a Dockerfile, and where.

use std::fmt;

/// Something that is wrong in a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where, from 1; 0 for the file as a whole.
    line: usize,
    message: String,
}

impl Problem {
    /// One of an instruction.
    pub(crate) fn at(line: usize, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }

    /// For a person, who knows the file by this name.
    pub(crate) fn of(self, file: &str) -> String {
        match self.line {
            0 => format!("{file}: {}", self.message),
            line => format!("{file}:{line}: {}", self.message),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.message)
    }
}

/// `; did you mean `x`?` when one of the names is close to the one that was written.
pub(crate) fn suggestion<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let close = names.into_iter().map(|name| (strsim::damerau_levenshtein(written, name), name));
    let nearest = close.filter(|(distance, name)| *distance <= (name.len() / 3).max(1)).min();
    nearest.map(|(_, name)| format!("; did you mean `{name}`?")).unwrap_or_default()
}
