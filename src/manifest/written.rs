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

    /// The keys of mappings within mappings, with their places, in the order written; those in items of lists are left
    /// out.
    #[must_use]
    pub fn keys(&self) -> Vec<(Vec<String>, Place)> {
        let mut found = Vec::new();
        collect_keys(&self.0, &mut Vec::new(), &mut found);
        found
    }

    /// Where something is whose way is told with dots between its parts, as far as it leads: a key, or what an item of a
    /// list says.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<Place> {
        let mut item = self.root();
        let mut rest = key;
        let mut place = None;
        while !rest.is_empty() {
            let Some((next, length)) = item.step(rest) else { break };
            place = Some(next.key.unwrap_or_else(|| next.place()));
            item = next;
            rest = rest.get(length..).unwrap_or_default().trim_start_matches('.');
        }
        place
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

fn collect_keys(node: &Node, above: &mut Vec<String>, found: &mut Vec<(Vec<String>, Place)>) {
    for entry in node.as_map().map(|map| map.entries.as_slice()).unwrap_or_default() {
        above.push(entry.key.to_string());
        found.push((above.clone(), entry.key_place));
        collect_keys(&entry.value, above, found);
        above.pop();
    }
}

impl<'a> Item<'a> {
    /// What stands under a key, of a mapping.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Self> {
        let entry = self.node.as_map()?.get(key)?;
        Some(Self { node: &entry.value, key: Some(entry.key_place) })
    }

    /// What the beginning of a way leads to, and how long that is: names may have dots in them, so the longest counts.
    fn step(self, way: &str) -> Option<(Self, usize)> {
        let begins = |name: &str| way.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        if self.is_map() {
            let entries = self.entries().filter(|(key, _)| begins(key));
            return entries.max_by_key(|(key, _)| key.len()).map(|(key, item)| (item, key.len()));
        }
        // Of an item, a way names the key, the target or the number of a port.
        let says = |item: &Self| {
            let written = item.get("target").or_else(|| item.get("source")).and_then(Self::text);
            let text = item.text().or(written)?;
            let parts = text
                .split([':', '='])
                .chain([text])
                .map(|part| part.split('/').next().filter(|part| !part.is_empty()).unwrap_or(part));
            let whole = text.split([':', '=']);
            parts.chain(whole).filter(|part| !part.is_empty() && begins(part)).map(str::len).max()
        };
        self.items().filter_map(|item| Some((item, says(&item)?))).max_by_key(|(_, length)| *length)
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

#[cfg(test)]
mod tests {
    use super::Written;
    use crate::manifest::parse::parse;

    #[test]
    fn a_way_with_dots_leads_to_keys_and_to_items_of_lists() {
        let text = "services:\n  my.web:\n    ports: ['8080:80', {target: 90}]\n    volumes:\n      - ./a:/data/b:ro\n    environment:\n      A.B: c\n";
        let (mut documents, _) = parse(text, 0);
        let written = Written::new(documents.remove(0));
        let at = |way: &str| written.find(way).map(|place| &text[place.range()]);
        assert_eq!(at("services.my.web.ports.80"), Some("'8080:80'"));
        assert_eq!(at("services.my.web.volumes./data/b"), Some("./a:/data/b:ro"));
        assert_eq!(at("services.my.web.environment.A.B"), Some("A.B"));
        assert_eq!(at("services.my.web.user"), Some("my.web"));
        assert_eq!(at("nothing"), None);
        assert_eq!(written.keys().len(), 6);
    }
}
