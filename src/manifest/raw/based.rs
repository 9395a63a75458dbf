//! Values with relative paths, which start from the folder of the file that they stand in.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::manifest::read;

/// Makes its paths absolute.
pub(crate) trait Rebase {
    /// The home folder is for `~`. An error's hint follows a line end.
    fn rebase(&mut self, base: &str, home: Option<&str>) -> Result<(), String>;
}

/// A value whose paths are absolute.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Based<T>(pub(crate) T);

impl<'de, T: Deserialize<'de> + Rebase> Deserialize<'de> for Based<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BasedVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de> + Rebase> Visitor<'de> for BasedVisitor<T> {
            type Value = Based<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a value with its folder")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Based<T>, A::Error> {
                let missing = || de::Error::custom("a value without its folder");
                let base: &str = items.next_element()?.ok_or_else(missing)?;
                let home: &str = items.next_element()?.ok_or_else(missing)?;
                let mut value: T = items.next_element()?.ok_or_else(missing)?;
                value.rebase(base, (!home.is_empty()).then_some(home)).map_err(de::Error::custom)?;
                Ok(Based(value))
            }
        }

        deserializer.deserialize_newtype_struct(read::BASED, BasedVisitor(PhantomData))
    }
}

impl<T: Serialize> Serialize for Based<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Based<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }

    fn inline_schema() -> bool {
        T::inline_schema()
    }
}
