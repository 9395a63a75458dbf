//! The name and the fields of a type, asked of its derived reading, so that they are written once.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::forward_to_deserialize_any;

/// What `deserialize_struct` would be called with.
pub(crate) fn fields_of<'de, T: Deserialize<'de>>() -> (&'static str, &'static [&'static str]) {
    let found = Cell::new(("", [].as_slice()));
    // The reading always fails: it is only listened to.
    let _ = T::deserialize(Listener(&found));
    found.get()
}

struct Listener<'a>(&'a Cell<(&'static str, &'static [&'static str])>);

#[derive(Debug)]
struct Heard;

impl fmt::Display for Heard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("heard")
    }
}

impl std::error::Error for Heard {}

impl de::Error for Heard {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl<'de> Deserializer<'de> for Listener<'_> {
    type Error = Heard;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Heard> {
        Err(Heard)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Heard> {
        self.0.set((name, fields));
        Err(Heard)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
