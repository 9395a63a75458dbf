//! `extra_hosts`: more lines for a container's `/etc/hosts`.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::Blank;
use super::forms::OneOrMany;

/// Lines of `name=address`, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ExtraHosts(pub(crate) Vec<String>);

impl Blank for ExtraHosts {
    fn is_blank(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for ExtraHosts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HostsVisitor;

        impl<'de> Visitor<'de> for HostsVisitor {
            type Value = ExtraHosts;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of `name=address` or a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ExtraHosts, A::Error> {
                let mut hosts = Vec::new();
                while let Some((name, addresses)) = map.next_entry::<String, OneOrMany<String>>()? {
                    hosts.extend(addresses.0.iter().map(|address| (name.clone(), unbracketed(address))));
                }
                Ok(sorted(hosts))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<ExtraHosts, A::Error> {
                let (mut hosts, mut seen) = (Vec::new(), HashSet::new());
                while let Some(Line { text, name, address }) = items.next_element()? {
                    // A list may have been merged, and says what each of its parts says once.
                    if seen.insert(text) {
                        hosts.push((name, address));
                    }
                }
                Ok(sorted(hosts))
            }
        }

        deserializer.deserialize_any(HostsVisitor)
    }
}

fn sorted(hosts: Vec<(String, String)>) -> ExtraHosts {
    let mut lines: Vec<String> = hosts.into_iter().map(|(name, address)| format!("{name}={address}")).collect();
    lines.sort();
    ExtraHosts(lines)
}

fn unbracketed(address: &str) -> String {
    address.strip_prefix('[').and_then(|address| address.strip_suffix(']')).unwrap_or(address).to_owned()
}

/// `name=address` or `name:address`.
struct Line {
    text: String,
    name: String,
    address: String,
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.split_once('=').or_else(|| text.split_once(':')) {
            Some((name, address)) if !name.is_empty() && !address.is_empty() => {
                Ok(Self { name: name.to_owned(), address: unbracketed(address), text })
            }
            _ => Err(de::Error::custom(format!("the host `{text}` has no address\nwrite `name=address`"))),
        }
    }
}

impl Serialize for ExtraHosts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for ExtraHosts {
    fn schema_name() -> Cow<'static, str> {
        "ExtraHosts".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "object", "additionalProperties": { "anyOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" } }
            ] } },
            { "type": "array", "items": { "type": "string" }, "uniqueItems": true }
        ] })
    }
}
