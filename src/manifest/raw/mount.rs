//! `volumes` of a service: what is mounted into its containers.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use super::Blank;
use super::based::{Based, Rebase};
use super::forms::{Form, Labels, Short, ShortForm};
use super::scalars::{Flag, Size};
use crate::manifest::paths;

raw! {
    /// A mount in its long form.
    Mount {
        /// What kind of thing is mounted.
        r#type: MountType,
        /// The path on the host, or the volume's key; none for a volume without a name.
        source: String,
        /// Where it lies in the container.
        target: String,
        /// Not writable from inside.
        read_only: Flag,
        /// How consistent the two sides must be; depends on the platform.
        consistency: String,
        /// More about a bind.
        bind: Option<BindOptions>,
        /// More about a volume.
        volume: Option<VolumeOptions>,
        /// More about a tmpfs.
        tmpfs: Option<TmpfsOptions>,
        /// More about an image.
        image: Option<ImageOptions>,
    }
}

/// What kind of thing is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MountType {
    /// A file or folder of the host.
    Bind,
    /// A volume of the engine.
    #[default]
    Volume,
    /// Memory.
    Tmpfs,
    /// A cluster volume.
    Cluster,
    /// A named pipe of Windows.
    Npipe,
    /// The file system of an image.
    Image,
}

impl Blank for MountType {
    fn is_blank(&self) -> bool {
        false
    }
}

/// More about a bind.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize, serde::Serialize, JsonSchema)]
pub(crate) struct BindOptions {
    /// `z` or `Z`: give it a label of `SELinux`, shared or private.
    #[serde(default, skip_serializing_if = "Blank::is_blank")]
    pub(crate) selinux: Option<Selinux>,
    /// How mounts inside it spread: `rprivate`, `rshared`, …
    #[serde(default, skip_serializing_if = "Blank::is_blank")]
    pub(crate) propagation: String,
    /// Make the folder on the host when it is missing.
    #[serde(default, skip_serializing_if = "is_not_wished")]
    pub(crate) create_host_path: Option<Flag>,
    /// Whether mounts below the source come along.
    #[serde(default, skip_serializing_if = "Blank::is_blank")]
    pub(crate) recursive: Option<Recursive>,
}

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_not_wished(flag: &Option<Flag>) -> bool {
    flag.is_none_or(|flag| !flag.0)
}

/// A label of `SELinux`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
pub(crate) enum Selinux {
    /// Shared with other containers.
    #[serde(rename = "z")]
    Shared,
    /// For this container alone.
    #[serde(rename = "Z")]
    Private,
}

/// Whether mounts below a bind's source come along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Recursive {
    /// They do.
    Enabled,
    /// They do not.
    Disabled,
    /// They do and stay writable.
    Writable,
    /// They do and must be read-only.
    Readonly,
}

raw! {
    /// More about a volume.
    VolumeOptions {
        /// Labels of a volume without a name.
        labels: Labels,
        /// Do not fill an empty volume from the image.
        nocopy: Flag,
        /// The folder inside the volume that is mounted.
        subpath: String,
    }
}

raw! {
    /// More about a tmpfs.
    TmpfsOptions {
        /// The most bytes that it may hold.
        size: Size,
        /// Its permissions, as a number such as `0o755`.
        mode: Option<Mode>,
    }
}

raw! {
    /// More about an image.
    ImageOptions {
        /// The folder inside the image that is mounted.
        subpath: String,
    }
}

/// Permissions, as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode(pub(crate) u32);

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ModeVisitor;

        impl Visitor<'_> for ModeVisitor {
            type Value = Mode;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("permissions such as `0o755`, not in quotes")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Mode, E> {
                u32::try_from(value).map(Mode).map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
            }
        }

        deserializer.deserialize_any(ModeVisitor)
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

impl JsonSchema for Mode {
    fn schema_name() -> Cow<'static, str> {
        "Mode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["number", "string"] })
    }

    fn inline_schema() -> bool {
        true
    }
}

impl ShortForm for Mount {
    const EXPECTING: &'static str = "text like `./source:/target`, or a mapping";

    fn from_short(short: Short<'_>) -> Result<Option<Self>, String> {
        match short {
            Short::Text(text) => from_short(text).map(Some),
            Short::Integer(_) | Short::Flag(_) => Ok(None),
        }
    }
}

const HINT: &str = "write `TARGET`, `SOURCE:TARGET` or `SOURCE:TARGET:ro`";

/// Reads the short form: `[SOURCE:]TARGET[:OPTIONS]`. The error's hint follows a line end.
pub(crate) fn from_short(text: &str) -> Result<Mount, String> {
    if text.is_empty() {
        return Err(format!("an empty text is no volume\n{HINT}"));
    }
    // Too short to have two parts: taken as the target, as it always was.
    if text.len() <= 2 {
        return Ok(Mount { target: text.to_owned(), ..Mount::default() });
    }
    let parts = split(text);
    if parts.iter().any(|part| part.is_empty()) {
        return Err(format!("a part of the volume `{text}` is empty\n{HINT}"));
    }
    match parts[..] {
        [target] => {
            let volume = Some(VolumeOptions::default());
            Ok(Mount { target: paths::clean_target(target), volume, ..Mount::default() })
        }
        [source, target] => Ok(sourced(source, target, "")),
        [source, target, options] => Ok(sourced(source, target, options)),
        _ => Err(format!("the volume `{text}` has too many colons\n{HINT}")),
    }
}

/// The parts between colons, where a drive of Windows keeps its own.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(':') {
        let part = &text[start..at];
        let is_drive = part.len() == 1 && part.as_bytes()[0].is_ascii_alphabetic();
        if !is_drive {
            parts.push(part);
            start = at + 1;
        }
    }
    parts.push(&text[start..]);
    parts
}

fn sourced(source: &str, target: &str, options: &str) -> Mount {
    let target = paths::clean_target(target);
    let mut mount = Mount { source: source.to_owned(), target, ..Mount::default() };
    let mut bind = BindOptions { create_host_path: Some(Flag(true)), ..BindOptions::default() };
    let mut volume = VolumeOptions::default();
    for option in options.split(',') {
        match option {
            "ro" => mount.read_only = Flag(true),
            "rw" => mount.read_only = Flag(false),
            "nocopy" => volume.nocopy = Flag(true),
            "z" => bind.selinux = Some(Selinux::Shared),
            "Z" => bind.selinux = Some(Selinux::Private),
            "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => {
                option.clone_into(&mut bind.propagation);
            }
            // `cached`, `delegated` and their kind ask for nothing that is done.
            _ => {}
        }
    }
    if paths::is_bind_source(source) || paths::is_drive(source) {
        mount.r#type = MountType::Bind;
        mount.bind = Some(bind);
        // A bind is never filled, yet docker compose passes it on.
        mount.volume = volume.nocopy.0.then_some(volume);
    } else {
        // A label of `SELinux` is a bind's, yet engines take it for volumes too.
        let labelled = BindOptions { create_host_path: None, ..bind };
        mount.bind = (labelled != BindOptions::default()).then_some(labelled);
        mount.volume = Some(volume);
    }
    mount
}

/// The mounts of a service, with absolute sources.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Mounts(pub(crate) Vec<Mount>);

impl Blank for Mounts {
    fn is_blank(&self) -> bool {
        self.0.is_empty()
    }
}

impl Rebase for Form<Mount> {
    fn rebase(&mut self, base: &str, home: Option<&str>) -> Result<(), String> {
        let mount = &mut self.0;
        if mount.r#type == MountType::Bind {
            if mount.source.is_empty() {
                return Err("a bind needs a source\nsay with `source` what is mounted".to_owned());
            }
            mount.source = paths::absolute(&mount.source, base, home);
        }
        if mount.target.is_empty() {
            return Err("a mount needs a target\nsay with `target` where it lies in the container".to_owned());
        }
        mount.target = paths::clean_target(&mount.target);
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Mounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mounts = Vec::<Based<Form<Mount>>>::deserialize(deserializer)?;
        Ok(Self(mounts.into_iter().map(|Based(Form(mount))| mount).collect()))
    }
}

impl Serialize for Mounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for Mounts {
    fn schema_name() -> Cow<'static, str> {
        "Mounts".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<Form<Mount>>();
        json_schema!({ "type": "array", "items": item, "uniqueItems": true })
    }
}
