//! What is on record of a network, and what Docker calls its parts.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use bollard_stubs::models::{Ipam, IpamConfig, NetworkCreateRequest, NetworkInspect};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::super::error::Error;
use super::super::id;
use super::prefix::{Prefix, defaults};

/// The longest name that a network may have.
const LONGEST_NAME: usize = 255;

/// A network, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) created: DateTime<Utc>,
    /// `bridge`, `host` or `null`.
    pub(super) driver: String,
    #[serde(default)]
    pub(super) internal: bool,
    #[serde(default)]
    pub(super) attachable: bool,
    #[serde(default)]
    pub(super) ipv6: bool,
    #[serde(default)]
    pub(super) options: HashMap<String, String>,
    #[serde(default)]
    pub(super) labels: HashMap<String, String>,
    /// With the subnets and gateways that were found.
    #[serde(default)]
    pub(super) ipam: Ipam,
    /// Whether a person chose the subnet, without which no address may be asked for.
    #[serde(default)]
    pub(super) chosen: bool,
}

impl Record {
    /// One of the three that are always there.
    pub(super) fn predefined(name: &str, driver: &str) -> Self {
        Self {
            id: id::random(),
            name: name.to_owned(),
            created: Utc::now(),
            driver: driver.to_owned(),
            internal: false,
            attachable: false,
            ipv6: false,
            options: HashMap::new(),
            labels: HashMap::new(),
            ipam: Ipam { driver: Some("default".into()), config: Some(Vec::new()), options: None },
            chosen: false,
        }
    }

    /// What is asked for, with a subnet that overlaps nothing in `networks` and, where none is asked for, nothing in
    /// `machine`.
    pub(super) fn new(request: NetworkCreateRequest, networks: &[Prefix], machine: &[Prefix]) -> Result<Self, Error> {
        check_name(&request.name)?;
        check_driver(request.driver.as_deref().unwrap_or_default())?;
        let mut record = Self::predefined(&request.name, "bridge");
        record.internal = request.internal.unwrap_or(false);
        record.attachable = request.attachable.unwrap_or(false);
        record.ipv6 = request.enable_ipv6.unwrap_or(false);
        record.options = request.options.unwrap_or_default();
        record.labels = request.labels.unwrap_or_default();
        let asked = request.ipam.unwrap_or_default();
        if !matches!(asked.driver.as_deref(), None | Some("" | "default")) {
            let driver = asked.driver.unwrap_or_default();
            return Err(Error::Invalid(format!(
                "plugin \"{driver}\" not found: addresses are given by the engine itself"
            )));
        }
        record.ipam.options = asked.options;
        let configs = asked.config.unwrap_or_default();
        record.chosen = configs.iter().any(|config| config.subnet.as_ref().is_some_and(|subnet| !subnet.is_empty()));
        let mut pools = Vec::new();
        for v6 in [false, true] {
            if v6 && !record.ipv6 {
                continue;
            }
            let of_family = configs.iter().find(|config| family(config).is_none_or(|found| found == v6));
            pools.push(pool(of_family, v6, &record.id, networks, machine)?);
        }
        if configs.len() > pools.len() && configs.iter().filter(|config| family(config) == Some(false)).count() > 1 {
            return Err(Error::Invalid("a network has one IPv4 subnet: more than one is asked for".into()));
        }
        record.ipam.config = Some(pools);
        Ok(record)
    }

    /// The IPv4 subnet.
    pub(super) fn subnet(&self) -> Option<Prefix> {
        self.config(false)?.subnet.as_ref()?.parse().ok()
    }

    /// The IPv6 subnet.
    pub(super) fn subnet_v6(&self) -> Option<Prefix> {
        self.config(true)?.subnet.as_ref()?.parse().ok()
    }

    /// The part of the subnet from which addresses are given.
    pub(super) fn range(&self, v6: bool) -> Option<Prefix> {
        let config = self.config(v6)?;
        config.ip_range.as_ref().filter(|range| !range.is_empty()).or(config.subnet.as_ref())?.parse().ok()
    }

    /// The bridge's own address, with the subnet.
    pub(super) fn gateway(&self) -> Option<Prefix> {
        Prefix::new(self.config(false)?.gateway.as_ref()?.parse().ok()?, self.subnet()?.length())
    }

    /// The same of IPv6.
    pub(super) fn gateway_v6(&self) -> Option<Prefix> {
        Prefix::new(self.config(true)?.gateway.as_ref()?.parse().ok()?, self.subnet_v6()?.length())
    }

    /// Addresses that are nobody's to give: the gateways and those that were set aside.
    pub(super) fn reserved(&self) -> Vec<IpAddr> {
        let configs = self.ipam.config.as_deref().unwrap_or_default();
        let set_aside = configs.iter().flat_map(|config| config.auxiliary_addresses.iter().flat_map(HashMap::values));
        let gateways = configs.iter().filter_map(|config| config.gateway.as_ref());
        set_aside.chain(gateways).filter_map(|address| address.parse().ok()).collect()
    }

    fn config(&self, v6: bool) -> Option<&IpamConfig> {
        self.ipam.config.as_ref()?.iter().find(|config| family(config) == Some(v6))
    }

    /// Whether it is a bridge, where containers can be.
    pub(super) fn is_bridge(&self) -> bool {
        self.driver == "bridge"
    }

    /// Whether it is one that is always there.
    pub(super) fn is_predefined(&self) -> bool {
        is_predefined(&self.name)
    }

    /// Whether containers have names on it: on `bridge` they have none, as with Docker.
    pub(super) fn has_names(&self) -> bool {
        self.is_bridge() && self.name != "bridge"
    }

    /// In the API's form, with nobody on it.
    pub(super) fn inspect(&self) -> NetworkInspect {
        NetworkInspect {
            name: Some(self.name.clone()),
            id: Some(self.id.clone()),
            created: Some(self.created),
            scope: Some("local".into()),
            driver: Some(self.driver.clone()),
            enable_ipv4: Some(true),
            enable_ipv6: Some(self.ipv6),
            ipam: Some(Ipam { driver: Some("default".into()), ..self.ipam.clone() }),
            internal: Some(self.internal),
            attachable: Some(self.attachable),
            ingress: Some(false),
            config_from: Some(bollard_stubs::models::ConfigReference { network: Some(String::new()) }),
            config_only: Some(false),
            options: Some(self.options.clone()),
            labels: Some(self.labels.clone()),
            peers: None,
            containers: Some(HashMap::new()),
            ..NetworkInspect::default()
        }
    }

    /// Writes it down, whole or not at all.
    pub(super) fn save(&self, folder: &Path) -> Result<(), Error> {
        write(&folder.join(format!("{}.json", self.id)), self).map_err(Error::io(format!(
            "write down the network {} in {}",
            self.name,
            folder.display()
        )))
    }

    /// Forgets it.
    pub(super) fn forget(&self, folder: &Path) -> Result<(), Error> {
        match fs::remove_file(folder.join(format!("{}.json", self.id))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(format!("remove the record of the network {}", self.name))(error))
            }
            _ => Ok(()),
        }
    }
}

/// All on record, the oldest first. One that cannot be read is left where it is and said.
pub(super) fn load(folder: &Path) -> Result<Vec<Record>, Error> {
    fs::create_dir_all(folder).map_err(Error::io(format!("make the folder {}", folder.display())))?;
    let entries = fs::read_dir(folder).map_err(Error::io(format!("read the folder {}", folder.display())))?;
    let mut records = Vec::new();
    for path in
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "json"))
    {
        match read::<Record>(&path) {
            Ok(record) => records.push(record),
            Err(error) => tracing::warn!(path = %path.display(), %error, "the record of a network cannot be read"),
        }
    }
    records.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    Ok(records)
}

/// Reads a file of JSON.
pub(super) fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// Writes a file of JSON beside its place and moves it there.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, serde_json::to_vec(value)?)?;
    fs::rename(&beside, path)
}

/// Whether a name belongs to a network that is always there.
pub(super) fn is_predefined(name: &str) -> bool {
    matches!(name, "bridge" | "host" | "none")
}

fn check_name(name: &str) -> Result<(), Error> {
    if is_predefined(name) || name == "default" {
        return Err(Error::Forbidden(format!("operation is not permitted on predefined {name} network")));
    }
    let inner = |each: char| each.is_ascii_alphanumeric() || matches!(each, '_' | '.' | '-');
    let fits = name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.chars().all(inner);
    if fits && name.len() <= LONGEST_NAME {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "invalid network name {name:?}: letters, digits, `_`, `.` and `-` are allowed, beginning with a letter or digit"
    )))
}

fn check_driver(driver: &str) -> Result<(), Error> {
    match driver {
        "" | "bridge" | "default" => Ok(()),
        "host" | "null" => Err(Error::Forbidden(format!("only one instance of \"{driver}\" network is allowed"))),
        _ => Err(Error::NotFound(format!("plugin \"{driver}\" not found: the embedded engine's networks are bridges"))),
    }
}

/// Whether a part of the address plan is IPv6's; `None` when it names no subnet.
fn family(config: &IpamConfig) -> Option<bool> {
    let subnet: Prefix = config.subnet.as_ref()?.parse().ok()?;
    Some(subnet.address().is_ipv6())
}

/// A subnet with its gateway.
fn pool(
    asked: Option<&IpamConfig>,
    v6: bool,
    id: &str,
    networks: &[Prefix],
    machine: &[Prefix],
) -> Result<IpamConfig, Error> {
    let mut config = asked.cloned().unwrap_or_default();
    let subnet = match config.subnet.as_deref().filter(|subnet| !subnet.is_empty()) {
        Some(text) => asked_subnet(text, networks, machine)?,
        None => found_subnet(v6, id, networks, machine)?,
    };
    if let Some(range) = config.ip_range.as_deref().filter(|range| !range.is_empty()) {
        let inside = range
            .parse::<Prefix>()
            .ok()
            .filter(|range| subnet.contains(range.first()) && subnet.contains(range.last()));
        inside.ok_or_else(|| {
            Error::Invalid(format!("invalid IPRange {range}: it is not a part of the subnet {subnet}"))
        })?;
    }
    let gateway = match config.gateway.as_deref().filter(|gateway| !gateway.is_empty()) {
        Some(text) => {
            let given = text.split_once('/').map_or(text, |(address, _)| address).parse().ok();
            given.filter(|address| subnet.contains(*address)).ok_or_else(|| {
                Error::Invalid(format!("no matching subnet for gateway {text}: the network's is {subnet}"))
            })?
        }
        None => {
            subnet.nth(1).ok_or_else(|| Error::Invalid(format!("the subnet {subnet} has no address for a gateway")))?
        }
    };
    config.subnet = Some(subnet.to_string());
    config.gateway = Some(gateway.to_string());
    Ok(config)
}

fn asked_subnet(text: &str, networks: &[Prefix], machine: &[Prefix]) -> Result<Prefix, Error> {
    let subnet: Prefix =
        text.parse().map_err(|()| Error::Invalid(format!("invalid subnet {text}: invalid CIDR address")))?;
    if subnet.length() < 8 || subnet.nth(3).is_none() {
        return Err(Error::Invalid(format!(
            "invalid subnet {text}: it must have four addresses or more, and begin with 8 bits or more"
        )));
    }
    let subnet = subnet.network();
    let overlap = "invalid pool request: Pool overlaps with other one on this address space";
    if networks.iter().any(|other| other.overlaps(subnet)) {
        return Err(Error::Forbidden(overlap.into()));
    }
    // A wider route of the machine's gives way to a narrower one; the same or a narrower one would not.
    match machine.iter().find(|other| other.overlaps(subnet) && other.length() >= subnet.length()) {
        Some(other) => Err(Error::Forbidden(format!("{overlap}: the machine itself reaches {other} another way"))),
        None => Ok(subnet),
    }
}

fn found_subnet(v6: bool, id: &str, networks: &[Prefix], machine: &[Prefix]) -> Result<Prefix, Error> {
    if v6 {
        // A prefix of one's own is drawn by lot (RFC 4193), and the id has been.
        let digit = |at: usize| id.get(at..at + 4).unwrap_or("0");
        let text = format!("fd{}:{}:{}:{}::/64", id.get(..2).unwrap_or("00"), digit(2), digit(6), digit(10));
        return text.parse().map_err(|()| Error::Failed(format!("{text} is no IPv6 subnet")));
    }
    let mut free = defaults().filter(|each| !networks.iter().chain(machine).any(|other| other.overlaps(*each)));
    free.next().ok_or_else(|| {
        Error::Failed(
            "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network: \
             remove networks that are not used, or name a subnet (`ipam.config.subnet`)"
                .into(),
        )
    })
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::{Ipam, IpamConfig, NetworkCreateRequest};

    use super::{Error, Prefix, Record};

    fn asked(name: &str, subnet: Option<&str>) -> NetworkCreateRequest {
        let config = IpamConfig { subnet: subnet.map(str::to_owned), ..IpamConfig::default() };
        let ipam = Ipam { config: Some(vec![config]), ..Ipam::default() };
        NetworkCreateRequest { name: name.into(), ipam: Some(ipam), ..NetworkCreateRequest::default() }
    }

    fn subnets(all: &[&str]) -> Vec<Prefix> {
        all.iter().map(|each| each.parse().expect("a subnet")).collect()
    }

    #[test]
    fn a_subnet_is_found_that_neither_a_network_nor_the_machine_has() {
        let found = Record::new(asked("a", None), &subnets(&["198.18.0.0/22"]), &subnets(&["198.18.5.0/24"]));
        let record = found.expect("a network");
        assert_eq!(record.subnet().map(|subnet| subnet.to_string()).as_deref(), Some("198.18.8.0/22"));
        assert_eq!(record.gateway().map(|gateway| gateway.to_string()).as_deref(), Some("198.18.8.1/22"));
    }

    #[test]
    fn a_subnet_that_is_asked_for_must_be_free() {
        let taken = Record::new(asked("a", Some("10.1.0.0/16")), &subnets(&["10.0.0.0/8"]), &[]);
        let words = "invalid pool request: Pool overlaps with other one on this address space";
        assert_eq!(taken, Err(Error::Forbidden(words.into())));
        assert!(Record::new(asked("a", Some("10.1.0.0/16")), &[], &subnets(&["10.0.0.0/8"])).is_ok());
        assert!(Record::new(asked("a", Some("10.1.0.0/16")), &[], &subnets(&["10.1.2.0/24"])).is_err());
    }

    #[test]
    fn names_and_drivers_are_checked() {
        for name in ["", "-a", "a b", "a/b", "bridge", "default"] {
            assert!(Record::new(asked(name, None), &[], &[]).is_err(), "{name:?}");
        }
        let overlay = NetworkCreateRequest { driver: Some("overlay".into()), ..asked("a", None) };
        assert!(matches!(Record::new(overlay, &[], &[]), Err(Error::NotFound(_))));
    }

    #[test]
    fn a_network_of_both_families_has_a_subnet_of_each() {
        let request = NetworkCreateRequest { enable_ipv6: Some(true), ..asked("a", Some("10.9.0.0/24")) };
        let record = Record::new(request, &[], &[]).expect("a network");
        assert!(record.subnet_v6().is_some_and(|subnet| subnet.to_string().starts_with("fd")));
        assert!(record.gateway_v6().is_some_and(|gateway| gateway.to_string().ends_with("::1/64")));
    }
}
