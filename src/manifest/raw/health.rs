//! `healthcheck`: how it is found out whether a container works.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::Blank;
use super::scalars::{Count, Flag, Span};

raw! {
    /// A command that tells whether a container works.
    Healthcheck {
        /// The command: a line for the container's shell, or a list that begins with `CMD`, `CMD-SHELL` or `NONE`.
        test: Test,
        /// How long a run may take before it counts as failed. 30s when not given.
        timeout: Option<Span>,
        /// The time between two runs. 30s when not given.
        interval: Option<Span>,
        /// How many failures in a row make the container unhealthy. 3 when not given.
        retries: Option<Count>,
        /// The time after a start during which failures do not count.
        start_period: Option<Span>,
        /// The time between two runs during `start_period`. 5s when not given.
        start_interval: Option<Span>,
        /// Switch the image's healthcheck off.
        disable: Flag,
    }
}

/// The words of a healthcheck's command, beginning with `CMD`, `CMD-SHELL` or `NONE`; empty is the image's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Test(pub(crate) Vec<String>);

impl Blank for Test {
    fn is_blank(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Test {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TestVisitor;

        impl<'de> Visitor<'de> for TestVisitor {
            type Value = Test;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Test, E> {
                Ok(Test(vec!["CMD-SHELL".to_owned(), text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Test, A::Error> {
                let mut words: Vec<String> = Vec::new();
                while let Some(word) = items.next_element()? {
                    words.push(word);
                }
                match words.first().map(String::as_str) {
                    None | Some("CMD" | "CMD-SHELL" | "NONE") => Ok(Test(words)),
                    Some(first) => Err(de::Error::custom(format!(
                        "a healthcheck's list cannot begin with `{first}`\nbegin it with `CMD`: `[\"CMD\", \"{first}\", …]`; `CMD-SHELL` and `NONE` are the others"
                    ))),
                }
            }
        }

        deserializer.deserialize_any(TestVisitor)
    }
}

impl Serialize for Test {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for Test {
    fn schema_name() -> Cow<'static, str> {
        "Test".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
    }

    fn inline_schema() -> bool {
        true
    }
}
