//! Limits and requests of a container: ulimits, devices, GPUs, memory, block devices.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::deploy::DeviceRequest;
use super::fields::fields_of;
use super::forms::{Short, ShortForm};
use super::scalars::{Size, Whole, Within};
use crate::manifest::value::size;

/// A limit of the processes of a container.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize, JsonSchema)]
pub(crate) struct Ulimit {
    /// One value for both limits.
    #[serde(skip)]
    single: Option<i64>,
    /// What a process gets.
    #[serde(default)]
    soft: Whole,
    /// What a process may raise it to.
    #[serde(default)]
    hard: Whole,
}

impl Ulimit {
    /// What a process gets, and what it may raise it to.
    pub(crate) fn both(&self) -> (i64, i64) {
        self.single.map_or((self.soft.0, self.hard.0), |single| (single, single))
    }
}

impl ShortForm for Ulimit {
    const EXPECTING: &'static str = "a whole number or a mapping with `soft` and `hard`";

    fn from_short(short: Short<'_>) -> Result<Option<Self>, String> {
        let single = match short {
            Short::Integer(value) => Some(value),
            Short::Text(text) => text.parse().ok(),
            Short::Flag(_) => None,
        };
        Ok(single.map(|single| Self { single: Some(single), ..Self::default() }))
    }

    fn short_schema() -> Schema {
        json_schema!({ "type": ["integer", "string"] })
    }
}

impl Serialize for Ulimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(single) = self.single {
            return serializer.serialize_i64(single);
        }
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("soft", &self.soft)?;
        map.serialize_entry("hard", &self.hard)?;
        map.end()
    }
}

raw! {
    /// A device of the host, given to a container.
    Device {
        /// The device on the host.
        source: String,
        /// Where it appears in the container.
        target: String,
        /// `r`, `w` and `m` for reading, writing and making nodes.
        permissions: String,
    }
}

impl ShortForm for Device {
    const EXPECTING: &'static str = "text like `/dev/source:/dev/target:rwm` or a mapping";

    fn from_short(short: Short<'_>) -> Result<Option<Self>, String> {
        let Short::Text(text) = short else { return Ok(None) };
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, permissions) = match parts[..] {
            [source] => (source, source, "rwm"),
            [source, target] => (source, target, "rwm"),
            [source, target, permissions] => (source, target, permissions),
            _ => return Err(format!("`{text}` is no device\nwrite `/dev/source:/dev/target:rwm`")),
        };
        Ok(Some(Self { source: source.into(), target: target.into(), permissions: permissions.into() }))
    }
}

/// How many devices: a number, or `all` as -1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeviceCount(pub(crate) i64);

impl<'de> Deserialize<'de> for DeviceCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountVisitor;

        impl Visitor<'_> for CountVisitor {
            type Value = DeviceCount;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a whole number or `all`")
            }

            fn visit_i64<E>(self, value: i64) -> Result<DeviceCount, E> {
                Ok(DeviceCount(value))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<DeviceCount, E> {
                if text == "all" {
                    return Ok(DeviceCount(-1));
                }
                text.parse().map(DeviceCount).map_err(|_| E::invalid_type(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(CountVisitor)
    }
}

impl Serialize for DeviceCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl JsonSchema for DeviceCount {
    fn schema_name() -> Cow<'static, str> {
        "DeviceCount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"] })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// A request for GPUs, which need not say what they must be able to do.
struct Gpu(DeviceRequest);

impl<'de> Deserialize<'de> for Gpu {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct GpuVisitor;

        impl<'de> Visitor<'de> for GpuVisitor {
            type Value = Gpu;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Gpu, A::Error> {
                DeviceRequest::deserialize(MapAccessDeserializer::new(map)).map(Gpu)
            }
        }

        let (_, fields) = fields_of::<DeviceRequest>();
        deserializer.deserialize_struct("Gpu", fields, GpuVisitor)
    }
}

/// `all` GPUs, or a list of requests.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Gpus(pub(crate) Vec<DeviceRequest>);

impl<'de> Deserialize<'de> for Gpus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct GpusVisitor;

        impl<'de> Visitor<'de> for GpusVisitor {
            type Value = Gpus;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("`all` or a list")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Gpus, E> {
                if text != "all" {
                    return Err(E::invalid_type(de::Unexpected::Str(text), &self));
                }
                Ok(Gpus(vec![DeviceRequest { count: Some(DeviceCount(-1)), ..DeviceRequest::default() }]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Gpus, A::Error> {
                let mut requests = Vec::new();
                while let Some(Gpu(request)) = items.next_element()? {
                    requests.push(request.with_count());
                }
                Ok(Gpus(requests))
            }
        }

        deserializer.deserialize_any(GpusVisitor)
    }
}

impl Serialize for Gpus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for Gpus {
    fn schema_name() -> Cow<'static, str> {
        "Gpus".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let request = DeviceRequest::json_schema(generator);
        json_schema!({ "anyOf": [{ "const": "all" }, { "type": "array", "items": request }] })
    }
}

impl DeviceRequest {
    /// The same, where neither a number nor ids mean all.
    #[must_use]
    pub(crate) fn with_count(mut self) -> Self {
        if self.count.is_none() && self.device_ids.0.is_empty() {
            self.count = Some(DeviceCount(-1));
        }
        self
    }
}

/// A size that must be text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemoryText(pub(crate) i64);

impl<'de> Deserialize<'de> for MemoryText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        size::parse(&text).map(Self).map_err(de::Error::custom)
    }
}

impl Serialize for MemoryText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl JsonSchema for MemoryText {
    fn schema_name() -> Cow<'static, str> {
        "MemoryText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// A scalar that is passed on as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnyScalar(pub(crate) String);

impl<'de> Deserialize<'de> for AnyScalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::forms::Scalar::deserialize(deserializer).map(|scalar| Self(scalar.0.unwrap_or_default()))
    }
}

impl Serialize for AnyScalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl JsonSchema for AnyScalar {
    fn schema_name() -> Cow<'static, str> {
        "AnyScalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "boolean", "number"] })
    }

    fn inline_schema() -> bool {
        true
    }
}

raw! {
    /// Limits of a container's use of block devices.
    BlkioConfig {
        /// The share among containers, from 10 to 1000.
        weight: Option<Within<0, 65_535>>,
        /// The share among containers, by device.
        weight_device: Vec<BlkioWeight>,
        /// Most bytes read a second, by device.
        device_read_bps: Vec<BlkioLimit>,
        /// Most reads a second, by device.
        device_read_iops: Vec<BlkioLimit>,
        /// Most bytes written a second, by device.
        device_write_bps: Vec<BlkioLimit>,
        /// Most writes a second, by device.
        device_write_iops: Vec<BlkioLimit>,
    }
}

/// A limit of one block device.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize, serde::Serialize, JsonSchema)]
pub(crate) struct BlkioLimit {
    /// The device.
    #[serde(default, rename(serialize = "Path"))]
    pub(crate) path: String,
    /// The limit: bytes or operations a second.
    #[serde(default, rename(serialize = "Rate"))]
    pub(crate) rate: Size,
}

/// The share of one block device.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize, serde::Serialize, JsonSchema)]
pub(crate) struct BlkioWeight {
    /// The device.
    #[serde(default, rename(serialize = "Path"))]
    pub(crate) path: String,
    /// The share, from 10 to 1000.
    #[serde(default, rename(serialize = "Weight"))]
    pub(crate) weight: Within<0, 65_535>,
}
