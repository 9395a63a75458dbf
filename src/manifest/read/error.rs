//! The error that serde carries through the typed reading: words, a hint and, once it leaves the value, its place.

use std::fmt::{self, Display};

use serde::de::{self, Expected, Unexpected};

use crate::manifest::nearest::nearest;
use crate::manifest::node::Node;
use crate::manifest::problem::{Place, Problem};

#[derive(Debug)]
pub(crate) struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    message: String,
    hint: Option<String>,
    /// Where, and the address of the value that is to be left out of the next attempt.
    found: Option<(Place, usize)>,
}

impl Error {
    pub(crate) fn new(message: String) -> Self {
        Self(Box::new(Inner { message, hint: None, found: None }))
    }

    fn hinted(message: String, hint: String) -> Self {
        Self(Box::new(Inner { message, hint: Some(hint), found: None }))
    }

    /// The same, at this value unless it happened further inside.
    pub(super) fn within(mut self, node: &Node, place: Place) -> Self {
        self.0.found.get_or_insert((place, std::ptr::from_ref(node) as usize));
        self
    }

    /// The address of the value that could not be read.
    pub(super) fn address(&self) -> Option<usize> {
        self.0.found.map(|(_, address)| address)
    }

    pub(super) fn into_problem(self) -> Problem {
        let mut problem = Problem::error(self.0.message);
        problem.place = self.0.found.map(|(place, _)| place);
        problem.hint = self.0.hint;
        problem
    }
}

impl Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.message)
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
        let expected = if expected.starts_with("struct ") { "a mapping".to_owned() } else { expected };
        let message = format!("expected {expected}, found {}", described(unexpected));
        let wants_text = expected.contains("text");
        match unexpected {
            Unexpected::Bool(value) if wants_text => {
                Self::hinted(message, format!("write it in quotes: `\"{value}\"`"))
            }
            Unexpected::Signed(value) if wants_text => {
                Self::hinted(message, format!("write it in quotes: `\"{value}\"`"))
            }
            Unexpected::Unsigned(_) | Unexpected::Float(_) if wants_text => {
                Self::hinted(message, "write it in quotes".to_owned())
            }
            Unexpected::Unit => Self::hinted(message, "give it a value, or take the key away".to_owned()),
            _ => Self::new(message),
        }
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {expected}, found {}", described(unexpected)))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let message = format!("`{variant}` is none of {}", listed(expected));
        match nearest(variant, expected.iter().copied()) {
            Some(name) => Self::hinted(message, format!("did you mean `{name}`?")),
            None => Self::new(message),
        }
    }
}

fn described(unexpected: Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Unit => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        Unexpected::Str(text) => format!("the text `{text}`"),
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
