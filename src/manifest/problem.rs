//! What is wrong with a manifest, as data with its places. `ui` draws it; nothing here words colours or prints.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// How much a problem matters; the worst sorts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The manifest cannot be used.
    Error,
    /// It can be used, but hardly means what was meant.
    Warning,
}

/// Something wrong with a manifest or a file that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How much it matters.
    pub severity: Severity,
    /// The rule that it breaks, such as `H001`; `None` when it is no matter of a rule.
    pub code: Option<&'static str>,
    /// What is wrong: lower case, no final dot, values in backticks.
    pub message: String,
    /// Where; `None` when it is no place in a file (no manifest found, a bad flag).
    pub place: Option<Place>,
    /// What it is about in the manifest as it is merged: `services.web.ports[0]`. The loader fills it in from the place
    /// unless it is given.
    pub path: Option<String>,
    /// Words under the caret.
    pub label: Option<String>,
    /// More places that explain it, each with its words.
    pub related: Vec<Related>,
    /// What explains it and is no place in a file: a variable of the shell, say.
    pub notes: Vec<String>,
    /// The next step.
    pub hint: Option<String>,
    /// It is told only when nothing else is told of its place.
    pub only_alone: bool,
}

/// Another place that explains a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// Where.
    pub place: Place,
    /// What is there.
    pub label: String,
}

/// A piece of a file that was read. Line and column are counted from the text by [`Sources::position`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Place {
    /// The number of the file in [`Sources`].
    pub file: u32,
    /// The first byte.
    pub start: u32,
    /// The byte after the last one.
    pub end: u32,
}

/// The files that were read, so that places can be shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources {
    files: Vec<Source>,
}

/// One file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its path, absolute.
    pub path: PathBuf,
    /// How it is shown: relative to the current folder when it lies in there.
    pub shown: String,
    /// Its text.
    pub text: Arc<str>,
    /// The folder that relative paths written in it start from, absolute.
    pub base: Arc<str>,
}

/// A place for people: 1-based, the column counted in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
}

impl Problem {
    /// An error without a place.
    #[must_use]
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message.into())
    }

    /// A warning without a place.
    #[must_use]
    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message.into())
    }

    fn new(severity: Severity, message: String) -> Self {
        let (code, place, path, label, hint) = (None, None, None, None, None);
        Self {
            severity,
            code,
            message,
            place,
            path,
            label,
            related: Vec::new(),
            notes: Vec::new(),
            hint,
            only_alone: false,
        }
    }

    /// The same, as a matter of a rule.
    #[must_use]
    pub fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// The same, about this part of the manifest: `services.web.ports[0]`.
    #[must_use]
    pub fn about(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// The same, with a sentence that explains it.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// The same, at a place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// The same, with words under the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// The same, told only when nothing else is told of its place.
    #[must_use]
    pub fn only_alone(mut self) -> Self {
        self.only_alone = true;
        self
    }

    /// Adds another place that explains it, unless it is there already.
    pub(crate) fn add_related(&mut self, place: Place, label: impl Into<String>) {
        let is_there = self.place == Some(place) || self.related.iter().any(|related| related.place == place);
        if !is_there {
            self.related.push(Related { place, label: label.into() });
        }
    }

    /// Takes a value out of all words.
    pub(crate) fn hide(&mut self, value: &str) {
        let (value, mask) = match value.len() {
            // What is as short as that may be a part of any word.
            0..4 => (format!("`{value}`"), format!("`{}`", super::secret::MASK)),
            _ => (value.to_owned(), super::secret::MASK.to_owned()),
        };
        let labels = self.label.iter_mut().chain(self.related.iter_mut().map(|related| &mut related.label));
        let words = labels.chain(self.hint.iter_mut()).chain(&mut self.notes);
        for words in words.chain([&mut self.message]) {
            *words = words.replace(&value, &mask);
        }
    }

    /// The same, with another place that explains it.
    #[must_use]
    pub fn related(mut self, place: Place, label: impl Into<String>) -> Self {
        self.related.push(Related { place, label: label.into() });
        self
    }

    /// The same, with the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether the manifest cannot be used because of it.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl Place {
    /// The bytes as a range.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl Sources {
    /// Keeps a file and gives its number. One that is there already is not kept again.
    pub fn add(&mut self, source: Source) -> u32 {
        if let Some(known) = self.files.iter().position(|known| *known == source) {
            return u32::try_from(known).unwrap_or(u32::MAX);
        }
        self.files.push(source);
        u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX)
    }

    /// The file with this number.
    #[must_use]
    pub fn get(&self, file: u32) -> Option<&Source> {
        self.files.get(file as usize)
    }

    /// Every file, by its number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Source> {
        self.files.iter()
    }

    /// Where a file of variables sets one: its last line that begins so.
    pub(crate) fn definition(&self, file: u32, name: &str) -> Option<Place> {
        let text = &self.get(file)?.text;
        let mut at = 0;
        let mut found = None;
        for line in text.split_inclusive('\n') {
            let body = line.trim_start();
            let body = body.strip_prefix("export ").unwrap_or(body).trim_start();
            let rest = body.strip_prefix(name).map(str::trim_start);
            if rest.is_some_and(|rest| rest.starts_with(['=', ':'])) {
                let start = at + line.len() - body.len();
                found = Some((start, start + body.trim_end().len()));
            }
            at += line.len();
        }
        let (start, end) = found?;
        Some(Place { file, start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()? })
    }

    /// Where a place begins, for people; `None` when the file is not known.
    #[must_use]
    pub fn position(&self, place: Place) -> Option<Position> {
        let text = &self.get(place.file)?.text;
        let before = text.get(..place.start as usize)?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        Some(Position { line, column: before[line_start..].chars().count() + 1 })
    }
}
