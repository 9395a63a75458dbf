//! The error that serde carries through the typed reading: words, a hint and, once it leaves the value, its place.

use std::fmt::{self, Display};

use serde::de::{self, Expected, Unexpected};

use super::advice;
use crate::manifest::nearest::nearest;
use crate::manifest::node::{Entry, Node, Value};
use crate::manifest::problem::{Place, Problem};

#[derive(Debug)]
pub(crate) struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    message: Message,
    hint: Option<String>,
    /// Where, and the address of the value that is to be left out of the next attempt.
    found: Option<(Place, usize)>,
}

#[derive(Debug)]
enum Message {
    Said(String),
    /// Something else stands there than what is expected; what it stands for is known later.
    Mismatch {
        expected: String,
        found: String,
        subject: Option<String>,
    },
}

impl Error {
    pub(crate) fn new(message: String) -> Self {
        Self(Box::new(Inner { message: Message::Said(message), hint: None, found: None }))
    }

    fn hinted(message: String, hint: String) -> Self {
        Self(Box::new(Inner { message: Message::Said(message), hint: Some(hint), found: None }))
    }

    fn mismatch(expected: String, found: String, hint: Option<String>) -> Self {
        let message = Message::Mismatch { expected, found, subject: None };
        Self(Box::new(Inner { message, hint, found: None }))
    }

    /// The same, at this value unless it happened further inside.
    pub(super) fn within(mut self, node: &Node, place: Place) -> Self {
        self.0.found.get_or_insert((place, std::ptr::from_ref(node) as usize));
        self
    }

    /// The same, at this item of a list unless it happened further inside.
    pub(super) fn in_item(mut self, node: &Node) -> Self {
        if let (Message::Mismatch { expected, .. }, None) = (&self.0.message, self.0.found) {
            self.0.hint = advice::for_item(expected, node).or(self.0.hint);
        }
        self.within(node, node.shown_place())
    }

    /// The same, at the value of this key unless it happened further inside.
    pub(super) fn in_entry(self, entry: &Entry) -> Self {
        let is_one = !matches!(entry.value.value, Value::Scalar(_));
        let mismatch = matches!(self.0.message, Message::Mismatch { .. });
        let place = if is_one && mismatch { entry.value.shown_place() } else { entry.place() };
        self.about("", &entry.key, &entry.value, place)
    }

    /// The same, at a value that has a name. `kind` goes before the name: `the service `.
    pub(super) fn about(mut self, kind: &str, key: &str, node: &Node, place: Place) -> Self {
        let direct = self.0.found.is_none();
        if let Message::Mismatch { expected, subject, .. } = &mut self.0.message
            && subject.is_none()
        {
            if direct {
                self.0.hint = advice::for_value(key, expected, node).or(self.0.hint);
            }
            *subject = Some(format!("{} {kind}`{key}`", if direct { "for" } else { "in" }));
        }
        self.within(node, place)
    }

    /// The address of the value that could not be read.
    pub(super) fn address(&self) -> Option<usize> {
        self.0.found.map(|(_, address)| address)
    }

    pub(super) fn into_problem(self) -> Problem {
        let mut problem = Problem::error(self.to_string());
        problem.place = self.0.found.map(|(place, _)| place);
        problem.hint = self.0.hint;
        problem
    }
}

impl Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.message {
            Message::Said(message) => formatter.write_str(message),
            Message::Mismatch { expected, found, subject: None } => {
                write!(formatter, "expected {expected}, found {found}")
            }
            Message::Mismatch { expected, found, subject: Some(subject) } => {
                write!(formatter, "expected {expected} {subject}, found {found}")
            }
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    /// A message may bring its hint after a line end.
    fn custom<T: Display>(message: T) -> Self {
        let text = message.to_string();
        match text.split_once('\n') {
            Some((message, hint)) => Self::hinted(message.to_owned(), hint.to_owned()),
            None => Self::new(text),
        }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        let expected = match expected.strip_prefix("struct ") {
            Some("Dependency") => "a mapping with `condition`".to_owned(),
            Some(_) => "a mapping".to_owned(),
            None => expected,
        };
        let wants_text = expected.contains("text");
        let hint = match unexpected {
            Unexpected::Bool(value) if wants_text => Some(format!("write it in quotes: `\"{value}\"`")),
            Unexpected::Signed(value) if wants_text => Some(format!("write it in quotes: `\"{value}\"`")),
            Unexpected::Unsigned(_) | Unexpected::Float(_) if wants_text => Some("write it in quotes".to_owned()),
            Unexpected::Unit => Some("give it a value, or take the key away".to_owned()),
            _ => None,
        };
        Self::mismatch(expected, described(unexpected), hint)
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::mismatch(expected.to_string(), described(unexpected), None)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let message = format!("`{variant}` is none of {}", listed(expected));
        match nearest(variant, expected.iter().copied()) {
            Some(name) => Self::hinted(message, format!("did you mean `{name}`?")),
            None => Self::new(message),
        }
    }
}

/// How many characters of a text are repeated in a message.
const MAX_SHOWN: usize = 60;

fn described(unexpected: Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Unit => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        Unexpected::Str(text) => match text.char_indices().nth(MAX_SHOWN) {
            Some((end, _)) => format!("the text `{}…`", &text[..end]),
            None => format!("the text `{text}`"),
        },
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Signed(value) => format!("the number `{value}`"),
        Unexpected::Unsigned(value) => format!("the number `{value}`"),
        Unexpected::Float(value) => format!("the number `{value}`"),
        other => other.to_string(),
    }
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
