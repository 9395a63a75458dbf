//! `ports`: what is published on the host. The short form may stand for many ports.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::Blank;
use super::fields::fields_of;
use super::placed::Placed;
use crate::manifest::problem::Place;

/// A published port in its long form.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize, JsonSchema)]
pub(crate) struct Port {
    /// A name for people.
    #[serde(default, skip_serializing_if = "Blank::is_blank")]
    pub(crate) name: String,
    /// `ingress` for a balanced port, `host` for one on each node.
    #[serde(default = "ingress")]
    pub(crate) mode: String,
    /// The address on the host; every address when not given.
    #[serde(default, skip_serializing_if = "Blank::is_blank")]
    pub(crate) host_ip: HostIp,
    /// The port inside the container.
    #[serde(default)]
    pub(crate) target: Target,
    /// The port on the host, or a range from which one is taken; any free one when not given.
    #[serde(default, skip_serializing_if = "Blank::is_blank")]
    pub(crate) published: Published,
    /// `tcp`, `udp` or `sctp`.
    #[serde(default = "tcp")]
    pub(crate) protocol: Transport,
    /// The application's protocol, such as `http`.
    #[serde(default, skip_serializing_if = "Blank::is_blank")]
    pub(crate) app_protocol: String,
    /// Where the list's item stands that it comes from.
    #[serde(skip)]
    pub(crate) place: Place,
}

fn ingress() -> String {
    "ingress".to_owned()
}

fn tcp() -> Transport {
    Transport("tcp".to_owned())
}

/// A checked text of a port: its schema, its reading and its writing.
macro_rules! checked {
    ($(#[$meta:meta])* $name:ident($inner:ty), $schema:tt, $text:expr, $number:expr) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub(crate) struct $name(pub(crate) $inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct CheckedVisitor;

                impl Visitor<'_> for CheckedVisitor {
                    type Value = $name;

                    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                        formatter.write_str("a port")
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        let read: fn(&str) -> Result<$inner, String> = $text;
                        read(text).map($name).map_err(E::custom)
                    }

                    fn visit_i64<E: de::Error>(self, value: i64) -> Result<$name, E> {
                        let read: fn(i64) -> Result<$inner, String> = $number;
                        read(value).map($name).map_err(E::custom)
                    }
                }

                deserializer.deserialize_any(CheckedVisitor)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }

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

checked!(
    /// A port inside a container; 0 when it is missing.
    Target(u16),
    { "type": ["integer", "string"] },
    |text| port(text),
    |value| port(&value.to_string())
);

checked!(
    /// A port or a range of the host, as text; empty is any free one.
    Published(String),
    { "type": ["string", "integer"] },
    |text| if text.is_empty() { Ok(String::new()) } else { range(text).map(show_range) },
    |value| range(&value.to_string()).map(show_range)
);

checked!(
    /// An address of the host; empty is every one.
    HostIp(String),
    { "type": "string" },
    |text| address(text),
    |value| address(&value.to_string())
);

checked!(
    /// A transport.
    Transport(String),
    { "type": "string" },
    |text| transport(text),
    |value| transport(&value.to_string())
);

impl Blank for Published {
    fn is_blank(&self) -> bool {
        self.0.is_empty()
    }
}

impl Blank for HostIp {
    fn is_blank(&self) -> bool {
        self.0.is_empty()
    }
}

const HINT: &str = "write `8080:80`, `127.0.0.1:8080:80` or `80`, with ports from 1 to 65535";

fn port(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ if digits && text != "0" => Err(format!("`{text}` is no port: the largest is 65535\n{HINT}")),
        _ => Err(format!("`{text}` is no port\n{HINT}")),
    }
}

/// A host port may be 0, for any free one.
fn range(text: &str) -> Result<(u16, u16), String> {
    let one = |text: &str| if text == "0" { Ok(0) } else { port(text) };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (one(first)?, one(last)?);
    if first > last {
        return Err(format!("the range `{text}` runs backwards\nwrite the smaller port first"));
    }
    Ok((first, last))
}

fn show_range((first, last): (u16, u16)) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

fn address(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if bare.is_empty() || bare.parse::<IpAddr>().is_ok() {
        return Ok(bare.to_owned());
    }
    Err(match text {
        "localhost" => format!("`{text}` is a name, where an IP address is wanted\nwrite `127.0.0.1`"),
        _ => format!("`{text}` is no IP address\n{HINT}"),
    })
}

fn transport(text: &str) -> Result<String, String> {
    let lower = text.to_lowercase();
    match lower.as_str() {
        "tcp" | "udp" | "sctp" => Ok(lower),
        _ => Err(format!("`{text}` is no transport\nwrite `tcp`, `udp` or `sctp`")),
    }
}

/// Reads the short form: `[[ADDRESS:][HOST]:]CONTAINER[/TRANSPORT]`, with ranges. The error's hint follows a line end.
pub(crate) fn from_short(text: &str) -> Result<Vec<Port>, String> {
    let (rest, protocol) = text.split_once('/').unwrap_or((text, ""));
    let protocol = match protocol.split('/').next().unwrap_or_default() {
        "" => tcp(),
        name => Transport(transport(name)?),
    };
    let (rest, container) = rest.rsplit_once(':').map_or((None, rest), |(rest, container)| (Some(rest), container));
    if container.is_empty() {
        return Err(format!("`{text}` names no port of the container\n{HINT}"));
    }
    let (ip, host) = match rest {
        None => ("", ""),
        Some(rest) => rest.rsplit_once(':').unwrap_or(("", rest)),
    };
    let host_ip = HostIp(address(ip)?);
    let (first, last) = range(container)?;
    if first == 0 {
        return Err(format!("`{text}` names no port of the container\n{HINT}"));
    }
    let base = Port { mode: ingress(), host_ip, protocol, ..Port::default() };
    let hosts = if host.is_empty() { None } else { Some(range(host)?) };
    let with = |target: u16, published: String| Port {
        target: Target(target),
        published: Published(published),
        ..base.clone()
    };
    if first == last {
        let published = hosts.map(show_range).unwrap_or_default();
        return Ok(vec![with(first, published)]);
    }
    if hosts.is_some_and(|(from, to)| to - from != last - first) {
        return Err(format!("the ranges of `{text}` differ in length\nmake both ranges equally long"));
    }
    let published = |target: u16| hosts.map(|(from, _)| (from + (target - first)).to_string()).unwrap_or_default();
    let mut ports: Vec<Port> = (first..=last).map(|target| with(target, published(target))).collect();
    // As text, as the canonical model has always had them.
    ports.sort_by_cached_key(|port| port.target.0.to_string());
    Ok(ports)
}

/// How many ports a short form stands for.
pub(crate) fn ports_in(text: &str) -> usize {
    from_short(text).map_or(1, |ports| ports.len())
}

/// The ports of a service: every item of the list, ranges expanded, each once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ports(pub(crate) Vec<Port>);

impl Blank for Ports {
    fn is_blank(&self) -> bool {
        self.0.is_empty()
    }
}

/// The ports of one item.
pub(crate) struct PortItem(Vec<Port>);

impl<'de> Deserialize<'de> for PortItem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemVisitor;

        impl<'de> Visitor<'de> for ItemVisitor {
            type Value = PortItem;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a port such as `8080:80`, or a mapping")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PortItem, E> {
                from_short(text).map(PortItem).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<PortItem, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PortItem, A::Error> {
                Port::deserialize(MapAccessDeserializer::new(map)).map(|port| PortItem(vec![port]))
            }
        }

        let (name, fields) = fields_of::<Port>();
        deserializer.deserialize_struct(name, fields, ItemVisitor)
    }
}

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PortsVisitor;

        impl<'de> Visitor<'de> for PortsVisitor {
            type Value = Ports;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of ports")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Ports, A::Error> {
                let mut ports: Vec<Port> = Vec::new();
                while let Some(Placed { place, value: PortItem(item) }) = items.next_element()? {
                    ports.extend(item.into_iter().map(|port| Port { place, ..port }));
                    if ports.len() > MAX_PORTS {
                        return Err(de::Error::custom(format!("these are more than {MAX_PORTS} ports")));
                    }
                }
                Ok(Ports(ports))
            }
        }

        deserializer.deserialize_seq(PortsVisitor)
    }
}

/// More published ports than there are numbers for mean a mistake.
const MAX_PORTS: usize = 65535;

impl Serialize for Ports {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for Ports {
    fn schema_name() -> Cow<'static, str> {
        "Ports".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<Port>();
        json_schema!({
            "type": "array",
            "items": { "anyOf": [{ "type": ["number", "string"] }, long] },
            "uniqueItems": true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::from_short;

    fn show(text: &str) -> String {
        match from_short(text) {
            Ok(ports) => ports
                .iter()
                .map(|port| format!("{}|{}|{}/{}", port.host_ip.0, port.published.0, port.target.0, port.protocol.0))
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => error.lines().next().unwrap_or_default().to_owned(),
        }
    }

    #[test]
    fn the_short_form_is_read_in_all_its_shapes() {
        for (text, expected) in [
            ("80", "||80/tcp"),
            ("8080:80/UDP", "|8080|80/udp"),
            ("127.0.0.1::80", "127.0.0.1||80/tcp"),
            ("[::1]:8080:80", "::1|8080|80/tcp"),
            (":80", "||80/tcp"),
            ("3000-3001:80", "|3000-3001|80/tcp"),
            ("9-11:9-11", "|10|10/tcp |11|11/tcp |9|9/tcp"),
            ("08:80", "|8|80/tcp"),
            ("80:80/tcp/udp", "|80|80/tcp"),
            ("1-3:1-2", "the ranges of `1-3:1-2` differ in length"),
            ("65536:80", "`65536` is no port: the largest is 65535"),
            ("+80:80", "`+80` is no port"),
            ("localhost:80:80", "`localhost` is a name, where an IP address is wanted"),
            ("80/foo", "`foo` is no transport"),
            ("8080:", "`8080:` names no port of the container"),
            ("90-80", "the range `90-80` runs backwards"),
        ] {
            assert_eq!(show(text), expected, "{text}");
        }
    }
}
