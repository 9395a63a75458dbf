//! The written forms that many attributes share: short or long, list or mapping, one or many. Each type reads what the
//! specification allows, writes the canonical form and says so in the schema.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};

use super::fields::fields_of;
use crate::manifest::read::ONE_VALUE;
use crate::manifest::scalar::float_text;

/// A scalar where a short form may stand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Short<'a> {
    Text(&'a str),
    Integer(i64),
    Flag(bool),
}

/// What may be written as one scalar or as a mapping.
pub(crate) trait ShortForm: Sized {
    /// What is expected, for an error: `text or a mapping`.
    const EXPECTING: &'static str;
    /// Reads the short form; `None` when a scalar of this kind cannot stand here. An error's hint follows a line end.
    fn from_short(short: Short<'_>) -> Result<Option<Self>, String>;
    /// The short form's schema.
    fn short_schema() -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// A value in its short or its long form.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Form<T>(pub(crate) T);

impl<T> Deref for Form<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Serialize> Serialize for Form<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T: JsonSchema + ShortForm> JsonSchema for Form<T> {
    fn schema_name() -> Cow<'static, str> {
        Cow::Owned(format!("{}Form", T::schema_name()))
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [T::short_schema(), long] })
    }

    fn inline_schema() -> bool {
        true
    }
}

impl<'de, T: Deserialize<'de> + ShortForm> Deserialize<'de> for Form<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FormVisitor<T>(PhantomData<T>);

        fn short<T: ShortForm, E: de::Error>(
            short: Short<'_>,
            unexpected: Unexpected<'_>,
            visitor: &FormVisitor<T>,
        ) -> Result<Form<T>, E>
        where
            for<'de> FormVisitor<T>: de::Expected,
        {
            match T::from_short(short) {
                Ok(Some(value)) => Ok(Form(value)),
                Ok(None) => Err(E::invalid_type(unexpected, visitor)),
                Err(message) => Err(E::custom(message)),
            }
        }

        impl<T: ShortForm> de::Expected for FormVisitor<T> {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(T::EXPECTING)
            }
        }

        struct Both<T>(FormVisitor<T>);

        impl<'de, T: Deserialize<'de> + ShortForm> Visitor<'de> for Both<T> {
            type Value = Form<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(T::EXPECTING)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Form<T>, E> {
                short(Short::Text(text), Unexpected::Str(text), &self.0)
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Form<T>, E> {
                short(Short::Integer(value), Unexpected::Signed(value), &self.0)
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Form<T>, E> {
                short(Short::Flag(value), Unexpected::Bool(value), &self.0)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Form<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Form)
            }
        }

        let (name, fields) = fields_of::<T>();
        deserializer.deserialize_struct(name, fields, Both(FormVisitor(PhantomData)))
    }
}

/// A scalar as text: what a variable, a label or an option is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scalar(pub(crate) Option<String>);

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(ONE_VALUE)
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar(Some(text.to_owned())))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar(Some(value.to_string())))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar(Some(value.to_string())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar(Some(value.to_string())))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Scalar, E> {
        if !value.is_finite() {
            return Err(E::custom("a number that is infinite or none cannot stand here\nwrite it in quotes"));
        }
        Ok(Scalar(Some(float_text(value))))
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar(None))
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

/// A mapping of scalars, or a list of `KEY=value`; a bare `KEY` has no value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct KeyValues(pub(crate) BTreeMap<String, Option<String>>);

impl<'de> Deserialize<'de> for KeyValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyValuesVisitor;

        impl<'de> Visitor<'de> for KeyValuesVisitor {
            type Value = KeyValues;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a mapping, or a list of `KEY=value`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<KeyValues, A::Error> {
                let mut values = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, Scalar>()? {
                    values.insert(key, value.0);
                }
                Ok(KeyValues(values))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<KeyValues, A::Error> {
                let mut values = BTreeMap::new();
                while let Some(Item(key, value)) = items.next_element()? {
                    values.insert(key, value);
                }
                Ok(KeyValues(values))
            }
        }

        deserializer.deserialize_any(KeyValuesVisitor)
    }
}

/// `KEY=value` or `KEY`.
struct Item(String, Option<String>);

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemVisitor;

        impl Visitor<'_> for ItemVisitor {
            type Value = Item;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("text like `KEY=value`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Item, E> {
                let (key, value) = text.split_once('=').map_or((text, None), |(key, value)| (key, Some(value)));
                if key.ends_with(char::is_whitespace) {
                    let hint = "take the space before `=` away";
                    return Err(E::custom(format!("the name `{key}` ends in a space\n{hint}")));
                }
                Ok(Item(key.to_owned(), value.map(str::to_owned)))
            }
        }

        deserializer.deserialize_any(ItemVisitor)
    }
}

impl Serialize for KeyValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for KeyValues {
    fn schema_name() -> Cow<'static, str> {
        "KeyValues".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "object", "additionalProperties": { "type": ["string", "number", "boolean", "null"] } },
            { "type": "array", "items": { "type": "string" } }
        ] })
    }
}

/// Like [`KeyValues`], where no value is an empty one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Labels(pub(crate) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = KeyValues::deserialize(deserializer)?.0;
        Ok(Self(values.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect()))
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for Labels {
    fn schema_name() -> Cow<'static, str> {
        "KeyValues".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        KeyValues::json_schema(generator)
    }
}

/// A mapping of scalars, such as a driver's options.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Options(pub(crate) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Options {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = BTreeMap::<String, OptionValue>::deserialize(deserializer)?;
        Ok(Self(values.into_iter().map(|(key, OptionValue(value))| (key, value)).collect()))
    }
}

impl Serialize for Options {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for Options {
    fn schema_name() -> Cow<'static, str> {
        "Options".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": { "type": ["string", "number", "null"] } })
    }
}

/// Text or a number, as text; nothing is empty.
struct OptionValue(String);

impl<'de> Deserialize<'de> for OptionValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OptionVisitor;

        impl Visitor<'_> for OptionVisitor {
            type Value = OptionValue;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("text or a number")
            }

            fn visit_str<E>(self, text: &str) -> Result<OptionValue, E> {
                Ok(OptionValue(text.to_owned()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<OptionValue, E> {
                Ok(OptionValue(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<OptionValue, E> {
                Ok(OptionValue(value.to_string()))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<OptionValue, E> {
                ScalarVisitor.visit_f64(value).map(|Scalar(text)| OptionValue(text.unwrap_or_default()))
            }

            fn visit_unit<E>(self) -> Result<OptionValue, E> {
                Ok(OptionValue(String::new()))
            }
        }

        deserializer.deserialize_any(OptionVisitor)
    }
}

/// One value or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OneOrMany<T>(pub(crate) Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrManyVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("text or a list")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<OneOrMany<T>, D::Error> {
                T::deserialize(deserializer).map(|value| OneOrMany(vec![value]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany<T>, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = items.next_element()? {
                    values.push(value);
                }
                Ok(OneOrMany(values))
            }
        }

        deserializer.deserialize_newtype_struct(crate::manifest::read::ONE_OR_MANY, OneOrManyVisitor(PhantomData))
    }
}

impl<T: Serialize> Serialize for OneOrMany<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn schema_name() -> Cow<'static, str> {
        Cow::Owned(format!("OneOrMany{}", T::schema_name()))
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": item }] })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// A list of names that take no settings, or a mapping from names to settings.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Named<T>(pub(crate) BTreeMap<String, T>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamedVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for NamedVisitor<T> {
            type Value = Named<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of names or a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut values = BTreeMap::new();
                while let Some((key, value)) = map.next_entry()? {
                    values.insert(key, value);
                }
                Ok(Named(values))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Named<T>, A::Error> {
                let mut values = BTreeMap::new();
                while let Some(name) = items.next_element::<String>()? {
                    if values.contains_key(&name) {
                        return Err(de::Error::custom(format!("`{name}` is listed twice\nlist it once")));
                    }
                    values.insert(name, T::default());
                }
                Ok(Named(values))
            }
        }

        deserializer.deserialize_any(NamedVisitor(PhantomData))
    }
}

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn schema_name() -> Cow<'static, str> {
        Cow::Owned(format!("Named{}", T::schema_name()))
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [
            { "type": "array", "items": { "type": "string" }, "uniqueItems": true },
            { "type": "object", "additionalProperties": item }
        ] })
    }

    fn inline_schema() -> bool {
        true
    }
}
