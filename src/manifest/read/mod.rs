//! Nodes → typed values through serde. A value that cannot be read is told with its place and left out, and the reading
//! begins anew without it, so that one pass of the eyes sees every problem. Unknown and missing keys, and those
//! without effect, are found here, from the fields that the types name.

mod access;
mod advice;
mod error;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde::de::{self, Deserialize, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::extensions::{self, Extra};
use super::keys;
use super::node::{Entry, Node, Value};
use super::paths;
use super::problem::{Place, Problem, Sources};
use super::scalar::Resolved;
use access::{Based, Entries, Items, Placed};
pub(crate) use advice::ONE_VALUE;
pub(crate) use error::Error;

/// How many wrong values of one service are told before the rest is given up.
const MAX_ATTEMPTS: usize = 64;

/// Asks for a path made absolute.
pub(super) const PATH: &str = "$path";
/// Asks for the folder that relative paths start from, the home folder (empty when unknown) and the value.
pub(super) const BASED: &str = "$based";

/// Asks for the place of the value, in three numbers, and the value.
pub(super) const PLACED: &str = "$placed";

/// Asks for the items of a list, or for the value itself when it is a scalar.
pub(super) const ONE_OR_MANY: &str = "$one-or-many";

/// Asks for nothing when there is none, for the value itself otherwise.
pub(super) const NULLABLE: &str = "$nullable";

/// What the reading of one manifest shares.
pub(super) struct Context<'a> {
    /// Where paths stay relative: the way from the project's folder to that of each file.
    relative: Option<Vec<String>>,
    pub(super) sources: &'a Sources,
    /// The home folder, for `~`.
    pub(super) home: Option<&'a str>,
    pub(super) problems: RefCell<Vec<Problem>>,
    /// Attributes that are legal but have no effect: why, where first, and how often.
    without_effect: RefCell<BTreeMap<String, (&'static str, Place, usize)>>,
    /// The addresses of values to leave out.
    skipped: RefCell<HashSet<usize>>,
    any_skipped: Cell<bool>,
}

impl<'a> Context<'a> {
    /// Paths are made absolute, or relative to a folder.
    pub(super) fn new(sources: &'a Sources, home: Option<&'a str>, relative_to: Option<&Path>) -> Self {
        let ways = |folder: &Path| {
            let folder = folder.to_string_lossy().into_owned();
            sources.iter().map(|source| paths::relative(&folder, &source.base)).collect()
        };
        Self {
            relative: relative_to.map(ways),
            sources,
            home,
            problems: RefCell::default(),
            without_effect: RefCell::default(),
            skipped: RefCell::default(),
            any_skipped: Cell::new(false),
        }
    }

    pub(super) fn report(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// The values that could not be read because they still name variables, whose problems are taken back.
    pub(super) fn leave_unfilled(&self, tree: &Node) -> Vec<Extra> {
        let names_variable = |problem: &Problem| {
            let text = |place: Place| self.sources.get(place.file)?.text.get(place.range());
            problem.place.and_then(text).is_some_and(|text| text.contains('$'))
        };
        self.problems.borrow_mut().retain(|problem| !names_variable(problem));
        extensions::left_out(tree, &self.skipped.borrow())
    }

    /// Everything found, the attributes that have no effect as one warning each.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        for (attribute, (why, place, count)) in self.without_effect.into_inner() {
            let problem = Problem::warning(format!("`{attribute}` has no effect: {why}")).at(place);
            problems.push(match count {
                1 => problem,
                2 => problem.label("and in 1 more place"),
                more => problem.label(format!("and in {} more places", more - 1)),
            });
        }
        problems
    }

    fn is_skipped(&self, node: &Node) -> bool {
        self.any_skipped.get() && self.skipped.borrow().contains(&(std::ptr::from_ref(node) as usize))
    }

    /// Counts an attribute that is legal but has no effect.
    fn has_no_effect(&self, attribute: &str, why: &'static str, place: Place) {
        let mut without_effect = self.without_effect.borrow_mut();
        if let Some((_, _, count)) = without_effect.get_mut(attribute) {
            *count += 1;
        } else {
            without_effect.insert(attribute.to_owned(), (why, place, 1));
        }
    }
}

/// Reads a value that has a name, telling everything that is wrong inside. `kind` goes before the name: `the service `.
///
/// `None` when nothing of it could be read.
pub(super) fn read<'a, T: Deserialize<'a>>(entry: &'a Entry, kind: &str, context: &'a Context<'a>) -> Option<T> {
    let node = &entry.value;
    let mut failures = Vec::new();
    let known = context.problems.borrow().len();
    let without_effect = context.without_effect.borrow().clone();
    for _ in 0..MAX_ATTEMPTS {
        context.problems.borrow_mut().truncate(known);
        context.without_effect.borrow_mut().clone_from(&without_effect);
        match T::deserialize(Reader { node, context }) {
            Ok(value) => {
                context.problems.borrow_mut().append(&mut failures);
                return Some(value);
            }
            Err(error) => {
                let error = error.about(kind, &entry.key, node, entry.place());
                let address = error.address();
                failures.push(error.into_problem());
                let Some(address) = address.filter(|address| *address != std::ptr::from_ref(node) as usize) else {
                    break;
                };
                context.any_skipped.set(true);
                if !context.skipped.borrow_mut().insert(address) {
                    break;
                }
            }
        }
    }
    context.problems.borrow_mut().append(&mut failures);
    None
}

/// Reads one node.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    node: &'a Node,
    context: &'a Context<'a>,
}

impl<'a> Reader<'a> {
    fn unexpected(&self) -> Unexpected<'a> {
        match (&self.node.value, self.node.resolved()) {
            (Value::List(_), _) => Unexpected::Seq,
            (Value::Map(_), _) => Unexpected::Map,
            (_, Some(Resolved::Null) | None) => Unexpected::Unit,
            (_, Some(Resolved::Flag(value))) => Unexpected::Bool(value),
            (_, Some(Resolved::Integer(value))) => Unexpected::Signed(value),
            (_, Some(Resolved::Unsigned(value))) => Unexpected::Unsigned(value),
            (_, Some(Resolved::Float(value))) => Unexpected::Float(value),
            (_, Some(Resolved::Text(text))) => Unexpected::Str(text),
        }
    }

    fn text(&self) -> Result<&'a str, Error> {
        match self.node.resolved() {
            Some(Resolved::Text(text)) => Ok(text),
            _ => Err(de::Error::invalid_type(self.unexpected(), &"text")),
        }
    }

    /// The folder that relative paths start from.
    fn base(&self) -> &'a str {
        let file = self.node.place.file;
        match &self.context.relative {
            Some(ways) => ways.get(file as usize).map_or("", String::as_str),
            None => self.context.sources.get(file).map_or("/", |source| &source.base),
        }
    }

    fn integer(&self) -> Result<i64, Error> {
        let wrong = || de::Error::invalid_type(self.unexpected(), &"a whole number");
        match self.node.resolved() {
            Some(Resolved::Integer(value)) => Ok(value),
            Some(Resolved::Text(text)) => text.parse().map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }

    fn flag(&self) -> Result<bool, Error> {
        let word = match self.node.resolved() {
            Some(Resolved::Flag(value)) => return Ok(value),
            Some(Resolved::Text(text)) => text.to_lowercase(),
            _ => String::new(),
        };
        let value = match word.as_str() {
            "true" => return Ok(true),
            "false" => return Ok(false),
            "y" | "yes" | "on" => true,
            "n" | "no" | "off" => false,
            _ => return Err(de::Error::invalid_type(self.unexpected(), &"`true` or `false`")),
        };
        let problem = Problem::warning(format!("`{word}` is read as `{value}`")).at(self.node.place);
        self.context.report(problem.hint(format!("write `{value}`")));
        Ok(value)
    }

    /// Tells the keys that a type does not have, or must have.
    fn check_keys(&self, name: &'static str, fields: &'static [&'static str]) {
        let Some(map) = self.node.as_map() else { return };
        if let Some(problem) = advice::text_with_a_space(name, fields, map) {
            return self.context.report(problem);
        }
        let mut suggested = Vec::new();
        for entry in map.entries.iter().filter(|entry| !entry.key.starts_with("x-")) {
            let key = &*entry.key;
            if !fields.contains(&key) {
                let (hint, similar) = keys::unknown(key, &entry.value, name, fields);
                suggested.extend(similar);
                self.context.report(Problem::error(format!("unknown key `{key}`")).at(entry.key_place).hint(hint));
            } else if let Some(why) = keys::note(name, key) {
                self.context.has_no_effect(&keys::attribute(name, key), why, entry.key_place);
            }
        }
        // What is extended was looked at when it was followed.
        let required = if name == "Extends" { &[] } else { keys::required(name) };
        for key in required.iter().filter(|key| map.get(key).is_none() && !suggested.contains(*key)) {
            let problem = Problem::error(format!("the key `{key}` is missing")).at(self.node.shown_place());
            self.context.report(match keys::example(name, key) {
                Some(example) => problem.hint(format!("add it: `{key}: {example}`")),
                None => problem,
            });
        }
    }
}

impl<'de> de::Deserializer<'de> for Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::List(items) => visitor.visit_seq(Items::new(items, self.context)),
            Value::Map(map) => visitor.visit_map(Entries::new(&map.entries, None, self.context)),
            Value::Scalar(_) => match self.node.resolved() {
                Some(Resolved::Flag(value)) => visitor.visit_bool(value),
                Some(Resolved::Integer(value)) => visitor.visit_i64(value),
                Some(Resolved::Unsigned(value)) => visitor.visit_u64(value),
                Some(Resolved::Float(value)) => visitor.visit_f64(value),
                Some(Resolved::Text(text)) => visitor.visit_borrowed_str(text),
                Some(Resolved::Null) | None => visitor.visit_unit(),
            },
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.flag()?)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i64(self.integer()?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let wrong = || de::Error::invalid_type(self.unexpected(), &"a number");
        match self.node.resolved() {
            #[expect(clippy::cast_precision_loss, reason = "no attribute means that many")]
            Some(Resolved::Integer(value)) => visitor.visit_f64(value as f64),
            #[expect(clippy::cast_precision_loss, reason = "no attribute means that many")]
            Some(Resolved::Unsigned(value)) => visitor.visit_f64(value as f64),
            Some(Resolved::Float(value)) => visitor.visit_f64(value),
            Some(Resolved::Text(text)) => visitor.visit_f64(text.parse().map_err(|_| wrong())?),
            _ => Err(wrong()),
        }
    }

    /// An attribute that is there must have a value; one that may be null says so by its type.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        match name {
            PATH => match self.text()? {
                "" => Err(Error::new("the path is empty".to_owned())),
                path => visitor.visit_string(paths::absolute(path, self.base(), self.context.home)),
            },
            BASED => {
                let base = self.base();
                visitor.visit_seq(Based::new(base, self.context.home.unwrap_or_default(), self))
            }
            PLACED => visitor.visit_seq(Placed::new(self)),
            ONE_OR_MANY => match &self.node.value {
                Value::List(items) => visitor.visit_seq(Items::new(items, self.context)),
                Value::Scalar(_) if !self.node.is_null() => visitor.visit_newtype_struct(self),
                _ => Err(de::Error::invalid_type(self.unexpected(), &"text or a list")),
            },
            NULLABLE if self.node.is_null() => visitor.visit_unit(),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::List(items) => visitor.visit_seq(Items::new(items, self.context)),
            _ => Err(de::Error::invalid_type(self.unexpected(), &"a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Map(map) => visitor.visit_map(Entries::new(&map.entries, None, self.context)),
            _ => Err(de::Error::invalid_type(self.unexpected(), &"a mapping")),
        }
    }

    /// A mapping whose keys are known; a visitor that also knows a short form gets it as it is.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Map(map) => {
                self.check_keys(name, fields);
                visitor.visit_map(Entries::new(&map.entries, Some(fields), self.context))
            }
            Value::List(_) => Err(de::Error::invalid_type(Unexpected::Seq, &visitor)),
            Value::Scalar(_) => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(de::value::BorrowedStrDeserializer::new(self.text()?))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u32 u64 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}
