//! The collections of a node as serde walks them: what is left out is skipped, and errors get their place.

use serde::de::value::{BorrowedStrDeserializer, U32Deserializer};
use serde::de::{DeserializeSeed, MapAccess, SeqAccess};

use super::{Context, Error, Reader};
use crate::manifest::node::{Entry, Node};

pub(super) struct Items<'a> {
    rest: &'a [Node],
    context: &'a Context<'a>,
}

impl<'a> Items<'a> {
    pub(super) fn new(rest: &'a [Node], context: &'a Context<'a>) -> Self {
        Self { rest, context }
    }
}

impl<'a> SeqAccess<'a> for Items<'a> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        while let Some((node, rest)) = self.rest.split_first() {
            self.rest = rest;
            if !self.context.is_skipped(node) {
                let reader = Reader { node, context: self.context };
                return seed.deserialize(reader).map(Some).map_err(|error| error.in_item(node));
            }
        }
        Ok(None)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

pub(super) struct Entries<'a> {
    rest: &'a [Entry],
    /// The keys that are read; `None` is all.
    fields: Option<&'static [&'static str]>,
    current: Option<&'a Entry>,
    context: &'a Context<'a>,
}

impl<'a> Entries<'a> {
    pub(super) fn new(rest: &'a [Entry], fields: Option<&'static [&'static str]>, context: &'a Context<'a>) -> Self {
        Self { rest, fields, current: None, context }
    }
}

impl<'a> MapAccess<'a> for Entries<'a> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        while let Some((entry, rest)) = self.rest.split_first() {
            self.rest = rest;
            let wanted = self.fields.is_none_or(|fields| fields.contains(&&*entry.key));
            if wanted && !self.context.is_skipped(&entry.value) {
                self.current = Some(entry);
                return seed.deserialize(BorrowedStrDeserializer::new(&entry.key)).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let entry = self.current.take().ok_or_else(|| Error::new("a value without its key".to_owned()))?;
        let reader = Reader { node: &entry.value, context: self.context };
        seed.deserialize(reader).map_err(|error| error.in_entry(entry))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// Texts and then a value, as a sequence.
pub(super) struct Based<'a> {
    texts: std::array::IntoIter<&'a str, 2>,
    value: Option<Reader<'a>>,
}

impl<'a> Based<'a> {
    pub(super) fn new(base: &'a str, home: &'a str, value: Reader<'a>) -> Self {
        Self { texts: [base, home].into_iter(), value: Some(value) }
    }
}

impl<'a> SeqAccess<'a> for Based<'a> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if let Some(text) = self.texts.next() {
            return seed.deserialize(BorrowedStrDeserializer::new(text)).map(Some);
        }
        self.value.take().map(|reader| seed.deserialize(reader)).transpose()
    }
}

/// The numbers of a place and then a value, as a sequence.
pub(super) struct Placed<'a> {
    numbers: std::array::IntoIter<u32, 3>,
    value: Option<Reader<'a>>,
}

impl<'a> Placed<'a> {
    pub(super) fn new(value: Reader<'a>) -> Self {
        let place = value.node.shown_place();
        Self { numbers: [place.file, place.start, place.end].into_iter(), value: Some(value) }
    }
}

impl<'a> SeqAccess<'a> for Placed<'a> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if let Some(number) = self.numbers.next() {
            return seed.deserialize(U32Deserializer::new(number)).map(Some);
        }
        self.value.take().map(|reader| seed.deserialize(reader)).transpose()
    }
}
