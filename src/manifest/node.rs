//! The tree that a YAML file becomes: every key and value keeps its place. Interpolation, merge, `extends` and `include`
//! work on it; the typed reading comes after. It knows nothing of Compose.

use super::problem::Place;
use super::scalar::{self, Resolved};

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) tag: Tag,
    pub(super) value: Value,
}

/// What a tag asks of a merge; other tags are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Tag {
    #[default]
    None,
    Reset,
    Override,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Map),
}

/// A scalar's text after YAML's own escapes; only a plain one may be something else than text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scalar {
    pub(super) text: Box<str>,
    pub(super) plain: bool,
}

/// A mapping in the order written.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Map {
    pub(super) entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: Box<str>,
    pub(super) key_place: Place,
    pub(super) value: Node,
}

impl Node {
    pub(super) fn text(text: impl Into<Box<str>>, place: Place) -> Self {
        Self::scalar(text, false, place)
    }

    pub(super) fn null(place: Place) -> Self {
        Self::scalar("", true, place)
    }

    fn scalar(text: impl Into<Box<str>>, plain: bool, place: Place) -> Self {
        Self { place, tag: Tag::None, value: Value::Scalar(Scalar { text: text.into(), plain }) }
    }

    pub(super) fn list(items: Vec<Self>, place: Place) -> Self {
        Self { place, tag: Tag::None, value: Value::List(items) }
    }

    pub(super) fn map(map: Map, place: Place) -> Self {
        Self { place, tag: Tag::None, value: Value::Map(map) }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.plain && scalar::is_null(&scalar.text))
    }

    /// What a scalar is by YAML's rules; `None` for a collection.
    pub(super) fn resolved(&self) -> Option<Resolved<'_>> {
        match &self.value {
            Value::Scalar(scalar) if scalar.plain => Some(scalar::resolve(&scalar.text)),
            Value::Scalar(scalar) => Some(Resolved::Text(&scalar.text)),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// A scalar's text, whatever it would be resolved to, unless it is null.
    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) if !self.is_null() => Some(&scalar.text),
            _ => None,
        }
    }

    pub(super) fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(super) fn as_map_mut(&mut self) -> Option<&mut Map> {
        match &mut self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(super) fn as_list(&self) -> Option<&[Self]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The value under a key, of a map.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?.get(key).map(|entry| &entry.value)
    }

    /// Where a problem of it is shown: at its first key when it is a mapping in lines.
    pub(super) fn shown_place(&self) -> Place {
        match &self.value {
            Value::Map(map) => map.entries.first().map_or(self.place, |entry| entry.key_place),
            Value::List(items) if self.place.start == self.place.end => {
                items.first().map_or(self.place, |item| item.place)
            }
            _ => self.place,
        }
    }

    /// How many nodes it is, itself included.
    pub(super) fn count(&self) -> usize {
        match &self.value {
            Value::Scalar(_) => 1,
            Value::List(items) => 1 + items.iter().map(Self::count).sum::<usize>(),
            Value::Map(map) => 1 + map.entries.iter().map(|entry| entry.value.count()).sum::<usize>(),
        }
    }

    /// How many collections are nested in it, itself included.
    pub(super) fn height(&self) -> usize {
        match &self.value {
            Value::Scalar(_) => 0,
            Value::List(items) => 1 + items.iter().map(Self::height).max().unwrap_or(0),
            Value::Map(map) => 1 + map.entries.iter().map(|entry| entry.value.height()).max().unwrap_or(0),
        }
    }
}

impl Map {
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| &*entry.key == key)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| &*entry.key == key)
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<Entry> {
        let at = self.entries.iter().position(|entry| &*entry.key == key)?;
        Some(self.entries.remove(at))
    }
}

impl Entry {
    pub(super) fn new(key: impl Into<Box<str>>, key_place: Place, value: Node) -> Self {
        Self { key: key.into(), key_place, value }
    }

    /// Where a problem of the value is shown: at the key when the value spans lines or is empty.
    pub(super) fn place(&self) -> Place {
        match &self.value.value {
            Value::Scalar(_) if self.value.place.start < self.value.place.end => self.value.place,
            _ => self.key_place,
        }
    }
}
