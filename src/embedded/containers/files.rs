//! `hosts`, `hostname` and `resolv.conf` of a container: pure text, and writing it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::record::Record;
use crate::embedded::error::Error;
use crate::embedded::layout::Layout;
use crate::embedded::network::Joined;

/// The three files: name beside the record, place inside.
pub(super) const FILES: [(&str, &str); 3] =
    [("hosts", "/etc/hosts"), ("hostname", "/etc/hostname"), ("resolv.conf", "/etc/resolv.conf")];

/// The name that stands for the machine in `extra_hosts`.
const GATEWAY: &str = "host-gateway";

/// Writes them; `joined` is `None` where the machine's own network is used.
pub(super) async fn write(layout: &Layout, record: &Record, joined: Option<&Joined>) -> Result<(), Error> {
    let folder = layout.container(&record.id);
    let hostname = record.hostname();
    let extra = extra_hosts(record, joined)?;
    let own: Vec<String> = joined.iter().flat_map(|joined| addresses(joined)).collect();
    let domain = record.body.domainname.clone().filter(|domain| !domain.is_empty());
    let host = record.host().clone();
    let machine = joined.is_none();
    let nameserver = joined.and_then(|joined| joined.nameserver.clone());
    let written = tokio::task::spawn_blocking(move || {
        let base = if machine { std::fs::read_to_string("/etc/hosts").ok() } else { None };
        std::fs::write(folder.join("hosts"), hosts(base.as_deref(), &extra, &own, &hostname, domain.as_deref()))?;
        std::fs::write(folder.join("hostname"), format!("{hostname}\n"))?;
        let machines = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let asked = Resolve {
            servers: host.dns.as_deref().unwrap_or_default(),
            search: host.dns_search.as_deref().unwrap_or_default(),
            options: host.dns_options.as_deref().unwrap_or_default(),
        };
        std::fs::write(folder.join("resolv.conf"), resolv_conf(&machines, nameserver.as_deref(), &asked))
    });
    let failed = |error: &dyn std::fmt::Display| {
        Error::Failed(format!("cannot write hosts and resolv.conf of container {}: {error}", record.id))
    };
    written.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}

/// Where they lie: with the container whose network is used.
pub(super) fn sources(layout: &Layout, owner: &str) -> Vec<(PathBuf, &'static Path)> {
    FILES.iter().map(|(name, place)| (layout.container(owner).join(name), Path::new(*place))).collect()
}

/// Name and address of each `extra_hosts` line (`name:address`, also of version 6; `name=address`).
fn extra_hosts(record: &Record, joined: Option<&Joined>) -> Result<Vec<(String, String)>, Error> {
    let mut extra = Vec::new();
    for line in record.host().extra_hosts.iter().flatten() {
        let invalid = || Error::Invalid(format!("bad format for add-host: \"{line}\""));
        let (name, address) = line.split_once('=').or_else(|| line.split_once(':')).ok_or_else(invalid)?;
        let address = if address == GATEWAY {
            // On the machine's own network it is the machine that is asked.
            joined.map_or(Some("127.0.0.1".to_owned()), |joined| joined.host.clone()).ok_or_else(|| {
                Error::Invalid(format!("unable to derive the IP value for {GATEWAY}: the container is on no network"))
            })?
        } else {
            let bare = address.trim_start_matches('[').trim_end_matches(']');
            bare.parse::<std::net::IpAddr>()
                .map_err(|_| Error::Invalid(format!("invalid IP address in add-host: \"{address}\"")))?
                .to_string()
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(invalid());
        }
        extra.push((name.to_owned(), address));
    }
    Ok(extra)
}

/// Its addresses, those of the network with the highest gateway priority and the first name before others.
fn addresses(joined: &Joined) -> Vec<String> {
    let mut endpoints: Vec<_> = joined.endpoints.iter().collect();
    endpoints.sort_by_key(|(name, endpoint)| (-endpoint.gw_priority.unwrap_or(0), (*name).clone()));
    let of = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    endpoints
        .into_iter()
        .flat_map(|(_, endpoint)| [of(&endpoint.ip_address), of(&endpoint.global_ipv6_address)])
        .flatten()
        .collect()
}

fn hosts(base: Option<&str>, extra: &[(String, String)], own: &[String], name: &str, domain: Option<&str>) -> String {
    let mut text = base.map_or_else(
        || {
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
             ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
                .to_owned()
        },
        |base| format!("{}\n", base.trim_end()),
    );
    for (name, address) in extra {
        let _ = writeln!(text, "{address}\t{name}");
    }
    for address in own {
        let _ = match domain {
            Some(domain) => writeln!(text, "{address}\t{name}.{domain} {name}"),
            None => writeln!(text, "{address}\t{name}"),
        };
    }
    text
}

/// What a container asks of its `resolv.conf`.
struct Resolve<'a> {
    servers: &'a [String],
    search: &'a [String],
    options: &'a [String],
}

/// The name server of its networks comes alone, for it forwards what it does not know to those that were asked for. Where
/// there is none, those that were asked for, or the machine's.
fn resolv_conf(machines: &str, nameserver: Option<&str>, asked: &Resolve<'_>) -> String {
    let of = |key: &str| -> Vec<String> {
        let lines = machines.lines().filter_map(|line| line.split(['#', ';']).next());
        let values = lines.filter_map(|line| line.split_once(char::is_whitespace)).filter(|(word, _)| *word == key);
        values.flat_map(|(_, rest)| rest.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
    };
    let or = |own: &[String], key: &str| if own.is_empty() { of(key) } else { own.to_vec() };
    let servers = match nameserver {
        Some(server) => vec![server.to_owned()],
        None => or(asked.servers, "nameserver"),
    };
    let mut text = String::new();
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    // A single point stands for none at all.
    let search: Vec<String> = or(asked.search, "search").into_iter().filter(|domain| domain != ".").collect();
    if !search.is_empty() {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    let options = or(asked.options, "options");
    if !options.is_empty() {
        let _ = writeln!(text, "options {}", options.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Resolve, hosts, resolv_conf};

    const MACHINE: &str = "# made\nsearch corp.example\nnameserver 10.0.0.1\nnameserver 10.0.0.2\noptions edns0\n";

    #[test]
    fn the_networks_name_server_comes_alone() {
        let none = Resolve { servers: &[], search: &[], options: &[] };
        let text = resolv_conf(MACHINE, Some("172.20.0.1"), &none);
        assert_eq!(text, "nameserver 172.20.0.1\nsearch corp.example\noptions edns0\n");
        let (servers, search) = (["9.9.9.9".to_owned()], [".".to_owned()]);
        let own = Resolve { servers: &servers, search: &search, options: &[] };
        assert_eq!(resolv_conf(MACHINE, None, &own), "nameserver 9.9.9.9\noptions edns0\n");
        assert!(resolv_conf(MACHINE, None, &none).starts_with("nameserver 10.0.0.1\nnameserver 10.0.0.2\n"));
    }

    #[test]
    fn a_container_knows_its_own_name_and_those_it_was_given() {
        let extra = [("api.test".to_owned(), "10.1.2.3".to_owned())];
        let text = hosts(None, &extra, &["172.20.0.2".to_owned()], "web", Some("corp"));
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"));
        assert!(text.ends_with("10.1.2.3\tapi.test\n172.20.0.2\tweb.corp web\n"));
    }
}
