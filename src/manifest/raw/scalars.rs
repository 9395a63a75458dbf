//! Scalars with a meaning: flags, numbers, sizes, durations, paths, commands and lists of text.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::Hash;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::forms::Scalar;
use crate::manifest::read;
use crate::manifest::value::{duration, size, words};

/// Declares a newtype with its schema.
macro_rules! scalar {
    ($(#[$meta:meta])* $name:ident($inner:ty), $schema:tt) => {
        $(#[$meta])*
        pub(crate) struct $name(pub(crate) $inner);

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }

            fn inline_schema() -> bool {
                true
            }
        }
    };
}

scalar!(
    /// `true` or `false`, also as text.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    Flag(bool),
    { "type": ["boolean", "string"] }
);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bool::deserialize(deserializer).map(Self)
    }
}

impl Serialize for Flag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(self.0)
    }
}

scalar!(
    /// `true` or `false`, never as text.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    PlainFlag(bool),
    { "type": "boolean" }
);

impl<'de> Deserialize<'de> for PlainFlag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PlainVisitor;

        impl Visitor<'_> for PlainVisitor {
            type Value = PlainFlag;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("`true` or `false` without quotes")
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<PlainFlag, E> {
                Ok(PlainFlag(value))
            }
        }

        deserializer.deserialize_any(PlainVisitor)
    }
}

impl Serialize for PlainFlag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(self.0)
    }
}

scalar!(
    /// A whole number, also as text.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    Whole(i64),
    { "type": ["integer", "string"] }
);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::deserialize(deserializer).map(Self)
    }
}

impl Serialize for Whole {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

/// A whole number within bounds, also as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Within<const LOW: i64, const HIGH: i64>(pub(crate) i64);

impl<'de, const LOW: i64, const HIGH: i64> Deserialize<'de> for Within<LOW, HIGH> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = i64::deserialize(deserializer)?;
        if (LOW..=HIGH).contains(&value) {
            return Ok(Self(value));
        }
        let bounds = if HIGH == i64::MAX { format!("of {LOW} or more") } else { format!("from {LOW} to {HIGH}") };
        Err(de::Error::custom(format!("`{value}` is out of range\nwrite a number {bounds}")))
    }
}

impl<const LOW: i64, const HIGH: i64> Serialize for Within<LOW, HIGH> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl<const LOW: i64, const HIGH: i64> JsonSchema for Within<LOW, HIGH> {
    fn schema_name() -> Cow<'static, str> {
        format!("Within{LOW}To{HIGH}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "minimum": LOW, "maximum": HIGH })
    }

    fn inline_schema() -> bool {
        true
    }
}

scalar!(
    /// A number that is no text.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    Number(i64),
    { "type": "integer" }
);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;

        impl Visitor<'_> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a whole number without quotes")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Number, E> {
                Ok(Number(value))
            }
        }

        deserializer.deserialize_any(NumberVisitor)
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

scalar!(
    /// A whole number that is not negative, also as text.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    Count(u32),
    { "type": ["integer", "string"] }
);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = i64::deserialize(deserializer)?;
        let wrong = || de::Error::custom(format!("`{value}` is out of range\nwrite a number from 0 to {}", u32::MAX));
        u32::try_from(value).map(Self).map_err(|_| wrong())
    }
}

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

scalar!(
    /// A number, also as text.
    #[derive(Debug, Clone, Copy, PartialEq, Default)]
    Real(f64),
    { "type": ["number", "string"] }
);

impl<'de> Deserialize<'de> for Real {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer).map(Self)
    }
}

impl Serialize for Real {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[expect(clippy::cast_possible_truncation, reason = "whole and far below 2^53")]
        if self.0.fract() == 0.0 && self.0.abs() < 1e15 {
            return serializer.serialize_i64(self.0 as i64);
        }
        serializer.serialize_f64(self.0)
    }
}

scalar!(
    /// A size in bytes: `512m`, `2g`, `1024`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    Size(i64),
    { "type": ["number", "string"] }
);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;

        impl Visitor<'_> for SizeVisitor {
            type Value = Size;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a size such as `512m`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                size::parse(text).map(Size).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Size, E> {
                Ok(Size(value))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Size, E> {
                if value.fract() != 0.0 {
                    return Err(E::custom(format!("`{value}` is no whole number\nwrite a unit, as in `1.5m`")));
                }
                self.visit_str(&format!("{value:.0}"))
            }
        }

        deserializer.deserialize_any(SizeVisitor)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

scalar!(
    /// A duration in nanoseconds: `90s`, `1m30s`, `500ms`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    Span(i64),
    { "type": "string" }
);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpanVisitor;

        impl Visitor<'_> for SpanVisitor {
            type Value = Span;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a duration with its unit, such as `10s`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                duration::parse(text).map(Span).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Span, E> {
                let hint = format!("write `{value}s` for seconds or `{value}ms` for milliseconds");
                Err(E::custom(format!("the duration `{value}` has no unit\n{hint}")))
            }
        }

        deserializer.deserialize_any(SpanVisitor)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&duration::show(self.0))
    }
}

scalar!(
    /// A time in microseconds: a number, or a duration.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    Microseconds(i64),
    { "type": ["number", "string"] }
);

impl<'de> Deserialize<'de> for Microseconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MicrosecondsVisitor;

        impl Visitor<'_> for MicrosecondsVisitor {
            type Value = Microseconds;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a number of microseconds, or a duration such as `400ms`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Microseconds, E> {
                let number = text.parse().ok();
                let time = number.map_or_else(|| duration::parse(text).map(|time| time / 1000), Ok);
                time.map(Microseconds).map_err(E::custom)
            }

            fn visit_i64<E>(self, value: i64) -> Result<Microseconds, E> {
                Ok(Microseconds(value))
            }
        }

        deserializer.deserialize_any(MicrosecondsVisitor)
    }
}

impl Serialize for Microseconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

scalar!(
    /// A path of the host, absolute once read.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    HostPath(String),
    { "type": "string" }
);

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a path")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<String, E> {
        Ok(text)
    }
}

impl<'de> Deserialize<'de> for HostPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(read::PATH, TextVisitor).map(Self)
    }
}

impl Serialize for HostPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

scalar!(
    /// A list of texts, each once.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    Texts(Vec<String>),
    { "type": "array", "items": { "type": "string" }, "uniqueItems": true }
);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = Vec::<String>::deserialize(deserializer)?;
        distinct(&values).map_err(de::Error::custom)?;
        Ok(Self(values))
    }
}

impl Serialize for Texts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

scalar!(
    /// A list of texts of which one with the same name, up to `=`, counts once.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    NamedTexts(Vec<String>),
    { "type": "array", "items": { "type": "string" } }
);

impl<'de> Deserialize<'de> for NamedTexts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut values = Vec::<String>::deserialize(deserializer)?;
        keep_last(&mut values, |value| value.split('=').next().map(str::to_owned));
        Ok(Self(values))
    }
}

impl Serialize for NamedTexts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Leaves of items with the same key the last one, in the place of the first.
pub(crate) fn keep_last<T, K: Hash + Eq>(items: &mut Vec<T>, key: impl Fn(&T) -> K) {
    if items.len() < 2 {
        return;
    }
    let mut first: HashMap<K, usize> = HashMap::with_capacity(items.len());
    let mut kept: Vec<T> = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        match first.entry(key(&item)) {
            Entry::Occupied(at) => kept[*at.get()] = item,
            Entry::Vacant(vacant) => {
                vacant.insert(kept.len());
                kept.push(item);
            }
        }
    }
    *items = kept;
}

scalar!(
    /// A list of texts or numbers, each counted once.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    Scalars(Vec<String>),
    { "type": "array", "items": { "type": ["string", "number"] }, "uniqueItems": true }
);

/// A text or a whole number, as text.
struct TextOrWhole(String);

impl<'de> Deserialize<'de> for TextOrWhole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl Visitor<'_> for TextVisitor {
            type Value = TextOrWhole;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("text or a whole number")
            }

            fn visit_str<E>(self, text: &str) -> Result<TextOrWhole, E> {
                Ok(TextOrWhole(text.to_owned()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<TextOrWhole, E> {
                Ok(TextOrWhole(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<TextOrWhole, E> {
                Ok(TextOrWhole(value.to_string()))
            }
        }

        deserializer.deserialize_any(TextVisitor)
    }
}

impl<'de> Deserialize<'de> for Scalars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let items = Vec::<TextOrWhole>::deserialize(deserializer)?;
        let mut values: Vec<String> = items.into_iter().map(|TextOrWhole(text)| text).collect();
        keep_last(&mut values, Clone::clone);
        Ok(Self(values))
    }
}

impl Serialize for Scalars {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

scalar!(
    /// A list of texts or numbers that must differ.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    DistinctScalars(Vec<String>),
    { "type": "array", "items": { "type": ["string", "number"] }, "uniqueItems": true }
);

impl<'de> Deserialize<'de> for DistinctScalars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values: Vec<String> =
            Vec::<Scalar>::deserialize(deserializer)?.into_iter().map(|value| value.0.unwrap_or_default()).collect();
        distinct(&values).map_err(de::Error::custom)?;
        Ok(Self(values))
    }
}

impl Serialize for DistinctScalars {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

fn distinct(values: &[String]) -> Result<(), String> {
    let mut seen = HashSet::new();
    match values.iter().find(|value| !seen.insert(value.as_str())) {
        Some(twice) => Err(format!("`{twice}` is in the list twice\nkeep it once")),
        None => Ok(()),
    }
}

scalar!(
    /// When an image is pulled.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    PullPolicy(String),
    { "type": "string" }
);

impl<'de> Deserialize<'de> for PullPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "if_not_present" => Ok(Self("missing".to_owned())),
            "always" | "never" | "build" | "missing" | "refresh" | "daily" | "weekly" => Ok(Self(text)),
            _ if text.strip_prefix("every_").is_some_and(|period| duration::parse(period).is_ok()) => Ok(Self(text)),
            _ => Err(de::Error::custom(format!(
                "`{text}` is no pull policy\nwrite `always`, `missing`, `never`, `build`, `daily`, `weekly` or `every_12h`"
            ))),
        }
    }
}

impl Serialize for PullPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

scalar!(
    /// A command: a line that is split as a shell would, or its words. Nothing leaves the image's.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    Command(Option<Vec<String>>),
    { "anyOf": [
        { "type": ["string", "null"] },
        { "type": "array", "items": { "type": "string" } }
    ] }
);

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CommandVisitor;

        impl<'de> Visitor<'de> for CommandVisitor {
            type Value = Command;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Command, E> {
                words::split(text).map(|words| Command(Some(words))).map_err(E::custom)
            }

            fn visit_unit<E: de::Error>(self) -> Result<Command, E> {
                Ok(Command(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Command, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = items.next_element()? {
                    words.push(word);
                }
                Ok(Command(Some(words)))
            }
        }

        deserializer.deserialize_any(CommandVisitor)
    }
}

impl Serialize for Command {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
