//! Networks: what a service joins, and the networks of the project.

use std::collections::BTreeMap;

use super::Blank;
use super::forms::{Form, Labels, Options, Short, ShortForm};
use super::scalars::{Flag, NamedTexts, Number};

raw! {
    /// A service's place in a network.
    Attachment {
        /// More names that it answers to there.
        aliases: NamedTexts,
        /// Options of the driver for this place.
        driver_opts: Options,
        /// The highest one gives the default route.
        gw_priority: Option<Number>,
        /// The name of the interface in the container.
        interface_name: String,
        /// A fixed IPv4 address.
        ipv4_address: String,
        /// A fixed IPv6 address.
        ipv6_address: String,
        /// Link-local addresses.
        link_local_ips: NamedTexts,
        /// A fixed hardware address.
        mac_address: String,
        /// The highest one is joined first.
        priority: Option<Number>,
    }
}

raw! {
    /// A network of the project.
    Network {
        /// Its name in the engine; the project's name and the key when not given.
        name: String,
        /// The driver; the engine's default when not given.
        driver: String,
        /// Options of the driver.
        driver_opts: Options,
        /// How addresses are given out.
        ipam: Option<Ipam>,
        /// It exists already and is neither made nor removed.
        external: Option<Form<External>>,
        /// No way out of it.
        internal: Flag,
        /// Containers from outside the project may join.
        attachable: Flag,
        /// Labels of the network.
        labels: Labels,
        /// Addresses of version 4.
        enable_ipv4: Option<Flag>,
        /// Addresses of version 6.
        enable_ipv6: Option<Flag>,
    }
}

raw! {
    /// How addresses are given out.
    Ipam {
        /// The driver; the engine's default when not given.
        driver: String,
        /// The pools of addresses.
        config: Vec<Pool>,
        /// Options of the driver.
        options: BTreeMap<String, String>,
    }
}

raw! {
    /// A pool of addresses.
    Pool {
        /// The whole subnet, such as `172.28.0.0/16`.
        subnet: String,
        /// The router's address.
        gateway: String,
        /// The part that containers get addresses from.
        ip_range: String,
        /// Addresses that are taken, by host name.
        aux_addresses: BTreeMap<String, String>,
    }
}

/// Whether a resource exists outside the project, with the name that older files give it there.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize, schemars::JsonSchema)]
pub(crate) struct External {
    /// The name (write it beside `external` instead).
    #[serde(default)]
    pub(crate) name: String,
    #[serde(skip)]
    pub(crate) off: bool,
}

impl Blank for External {
    fn is_blank(&self) -> bool {
        self.off
    }
}

impl serde::Serialize for External {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(!self.off)
    }
}

impl ShortForm for External {
    const EXPECTING: &'static str = "`true` or `false`";

    fn from_short(short: Short<'_>) -> Result<Option<Self>, String> {
        let on = match short {
            Short::Flag(on) => Some(on),
            Short::Text(text) => match text.to_lowercase().as_str() {
                "true" | "yes" | "y" | "on" => Some(true),
                "false" | "no" | "n" | "off" => Some(false),
                _ => None,
            },
            Short::Integer(_) => None,
        };
        Ok(on.map(|on| Self { name: String::new(), off: !on }))
    }

    fn short_schema() -> schemars::Schema {
        schemars::json_schema!({ "type": ["boolean", "string"] })
    }
}
