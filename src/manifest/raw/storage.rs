//! Volumes, secrets and configs of the project, and how a service is given the latter two.

use std::borrow::Cow;

use serde::de::{self, Deserialize, Deserializer};

use super::forms::{Form, Labels, Options, Scalar, Short, ShortForm};
use super::network::External;
use super::own::VolumeOwn;
use super::scalars::HostPath;
use super::service::Nullable;

raw! {
    /// A volume of the project.
    Volume {
        /// Its name in the engine; the project's name and the key when not given.
        name: String,
        /// The driver; `local` when not given.
        driver: String,
        /// Options of the driver.
        driver_opts: Options,
        /// It exists already and is neither made nor removed.
        external: Option<Form<External>>,
        /// Labels of the volume.
        labels: Labels,
        /// What is meant for hoist alone.
        #[serde(rename = "x-hoist", skip_serializing)]
        own: Nullable<VolumeOwn>,
    }
}

raw! {
    /// A secret of the project.
    Secret {
        /// Its name in the engine.
        name: String,
        /// The file that has its content.
        file: HostPath,
        /// The environment variable that has its content.
        environment: String,
        /// It exists already.
        external: Option<Form<External>>,
        /// Labels of the secret.
        labels: Labels,
        /// The driver that keeps it.
        driver: String,
        /// Options of the driver.
        driver_opts: Options,
        /// The driver that fills it in as a template.
        template_driver: String,
    }
}

raw! {
    /// A config of the project.
    Config {
        /// Its name in the engine.
        name: String,
        /// The file that has its content.
        file: HostPath,
        /// The environment variable that has its content.
        environment: String,
        /// The content itself.
        content: String,
        /// It exists already.
        external: Option<Form<External>>,
        /// Labels of the config.
        labels: Labels,
        /// The driver that fills it in as a template.
        template_driver: String,
    }
}

raw! {
    /// A secret or config that a service is given as a file.
    Grant {
        /// The key of the secret or config.
        source: String,
        /// Where it lies in the container.
        target: String,
        /// The owner.
        uid: String,
        /// The group.
        gid: String,
        /// The permissions, such as `0440`.
        mode: Option<FileMode>,
    }
}

impl ShortForm for Grant {
    const EXPECTING: &'static str = "a name or a mapping";

    fn from_short(short: Short<'_>) -> Result<Option<Self>, String> {
        let Short::Text(text) = short else { return Ok(None) };
        Ok(Some(Self { source: text.to_owned(), ..Self::default() }))
    }
}

/// Permissions as a number or as octal text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileMode(pub(crate) u32);

impl<'de> Deserialize<'de> for FileMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// A number as it is, a text by its octal digits.
        struct ModeVisitor;

        impl de::Visitor<'_> for ModeVisitor {
            type Value = FileMode;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("permissions such as `0440`")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<FileMode, E> {
                u32::try_from(value).map(FileMode).map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<FileMode, E> {
                let digits = text.strip_prefix("0o").unwrap_or(text);
                u32::from_str_radix(digits, 8)
                    .map(FileMode)
                    .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(ModeVisitor)
    }
}

impl serde::Serialize for FileMode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:04o}", self.0))
    }
}

impl schemars::JsonSchema for FileMode {
    fn schema_name() -> Cow<'static, str> {
        "FileMode".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["number", "string"] })
    }

    fn inline_schema() -> bool {
        true
    }
}

raw! {
    /// A model that services use.
    Model {
        /// Its name.
        name: String,
        /// The model, as its registry names it.
        #[serde(rename = "model")]
        source: String,
        /// How much it can keep in view.
        context_size: Option<super::scalars::Number>,
        /// Flags for the engine that runs it.
        runtime_flags: Vec<String>,
    }
}

raw! {
    /// How a service learns of a model.
    ModelUse {
        /// The variable that gets the model's address.
        endpoint_var: String,
        /// The variable that gets the model's name.
        model_var: String,
    }
}

raw! {
    /// A program that provides a service instead of a container.
    Provider {
        /// The program.
        r#type: String,
        /// What it is told.
        options: std::collections::BTreeMap<String, ProviderOption>,
    }
}

/// One value or a list of them, all as text.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ProviderOption(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for ProviderOption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = super::forms::OneOrMany::<Scalar>::deserialize(deserializer)?;
        Ok(Self(values.0.into_iter().map(|scalar| scalar.0.unwrap_or_default()).collect()))
    }
}

impl serde::Serialize for ProviderOption {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl schemars::JsonSchema for ProviderOption {
    fn schema_name() -> Cow<'static, str> {
        "ProviderOption".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let scalar = ["string", "number", "boolean"];
        schemars::json_schema!({ "anyOf": [
            { "type": scalar },
            { "type": "array", "items": { "type": scalar } }
        ] })
    }
}
