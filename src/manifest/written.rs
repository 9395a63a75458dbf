//! The manifest as it is written: all files laid over each other, variables replaced, every value with its place. For
//! whoever judges how something is said and not only what is meant.

use super::locate;
use super::node::{Node, Value};
use super::problem::{Place, Problem};

/// The whole manifest.
#[derive(Debug, Clone)]
pub struct Written(Node);

/// One value of it.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    node: &'a Node,
    /// Where its key is, when it stands under one.
    key: Option<Place>,
}

impl Written {
    pub(super) fn new(tree: Node) -> Self {
        Self(tree)
    }

    /// The mapping that is the manifest.
    #[must_use]
    pub fn root(&self) -> Item<'_> {
        Item { node: &self.0, key: None }
    }

    /// What is written about a service.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<Item<'_>> {
        self.root().get("services")?.get(name)
    }

    /// Says of each problem with a place what it is about.
    pub fn name_paths(&self, problems: &mut [Problem]) {
        locate::name_paths(&self.0, problems);
    }

    /// What is written under one key of a service.
    #[must_use]
    pub fn attribute(&self, service: &str, key: &str) -> Option<Item<'_>> {
        self.service(service)?.get(key)
    }
}

impl<'a> Item<'a> {
    /// What stands under a key, of a mapping.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Self> {
        let entry = self.node.as_map()?.get(key)?;
        Some(Self { node: &entry.value, key: Some(entry.key_place) })
    }

    /// The keys of a mapping and what stands under them, in order.
    pub fn entries(self) -> impl Iterator<Item = (&'a str, Self)> {
        let entries = self.node.as_map().map(|map| map.entries.as_slice()).unwrap_or_default();
        entries.iter().map(|entry| (&*entry.key, Self { node: &entry.value, key: Some(entry.key_place) }))
    }

    /// The items of a list.
    pub fn items(self) -> impl Iterator<Item = Self> {
        self.node.as_list().unwrap_or_default().iter().map(|node| Self { node, key: None })
    }

    /// The items of a list, or the value itself when it is a single one.
    pub fn one_or_many(self) -> impl Iterator<Item = Self> {
        let single = self.node.as_list().is_none().then_some(self);
        single.into_iter().chain(self.items())
    }

    /// A scalar's text, unless it is nothing.
    #[must_use]
    pub fn text(self) -> Option<&'a str> {
        self.node.as_text()
    }

    /// Whether it is a mapping.
    #[must_use]
    pub fn is_map(self) -> bool {
        self.node.as_map().is_some()
    }

    /// Where a problem of it is shown: at a scalar itself, else at its key.
    #[must_use]
    pub fn place(self) -> Place {
        match (&self.node.value, self.key) {
            (Value::Scalar(_), _) if self.node.place.start < self.node.place.end => self.node.place,
            (_, Some(key)) => key,
            (_, None) => self.node.shown_place(),
        }
    }

    /// Where its key is; else as [`Item::place`].
    #[must_use]
    pub fn key_place(self) -> Place {
        self.key.unwrap_or_else(|| self.place())
    }
}
