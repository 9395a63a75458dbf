//! Containers that come to networks, change them and go.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bollard_stubs::models::{EndpointSettings, PortMap};

use super::super::error::Error;
use super::hub::{INTERNAL_BRIDGE, OPEN_BRIDGE, bridge_name};
use super::netlink::Request;
use super::prefix::Prefix;
use super::state::{Endpoint, Member, State, names};
use super::wire::{self, Wire};
use super::{Join, Joined, Networks, Traffic, blocking, namespace, record, undisturbed};

impl Networks {
    /// Makes a container's network namespace, puts it on its networks and publishes its ports. All or nothing.
    pub async fn join(&self, join: &Join) -> Result<Joined, Error> {
        let (own, join) = (self.clone(), join.clone());
        undisturbed(async move {
            own.begin(&join.id)?;
            let outcome = own.join_whole(&join).await;
            own.finish(&join.id);
            outcome
        })
        .await
    }

    async fn join_whole(&self, join: &Join) -> Result<Joined, Error> {
        let dns = join.dns.iter().map(|server| {
            server.parse().map_err(|_| Error::Invalid(format!("invalid name server {server:?}: an address is needed")))
        });
        let dns = dns.collect::<Result<Vec<IpAddr>, Error>>()?;
        self.until_free(&join.endpoints).await;
        let endpoints = {
            let mut state = self.inner.state();
            if state.members.contains_key(&join.id) {
                return Err(Error::Conflict(format!("container {} is on its networks already", join.id)));
            }
            state.reserve(join)?
        };
        let mut member = Member {
            id: join.id.clone(),
            name: join.name.trim_start_matches('/').to_owned(),
            hostname: join.hostname.clone(),
            endpoints,
            ports: HashMap::new(),
            dns,
            group: join.group.clone(),
            replaces: join.replaces.clone(),
        };
        self.make_way(join).await;
        let made = match self.listen(&mut member, join) {
            Ok(listeners) => self.make(&member).await.map(|()| listeners),
            Err(error) => Err(error),
        };
        let served = match made {
            Ok(listeners) => self.serve(&member, listeners),
            Err(error) => Err(error),
        };
        if let Err(error) = served {
            self.retract(&member.id).await;
            let _ = self.unmake(&member).await;
            return Err(error);
        }
        let joined = self.joined(&member);
        self.inner.state().members.insert(member.id.clone(), member.clone());
        for endpoint in &member.endpoints {
            self.tell_of(&member.id, endpoint, "connect");
        }
        Ok(joined)
    }

    async fn make(&self, member: &Member) -> Result<(), Error> {
        let (wires, way_out) = {
            let state = self.inner.state();
            let wires = member.endpoints.iter().filter_map(|endpoint| Wire::new(&state, endpoint));
            (wires.collect(), gateway(&state, &member.endpoints))
        };
        let what = format!("make the network of the container {}", member.name);
        let (hub, id) = (Arc::clone(&self.inner.hub), member.id.clone());
        let _door = self.inner.doors.acquire().await;
        blocking(&what, move || wire::make(&hub, &id, wires, way_out)).await?;
        self.write_down(member)
    }

    async fn unmake(&self, member: &Member) -> Result<(), Error> {
        let _ = std::fs::remove_file(self.note(&member.id));
        self.part(member).await
    }

    /// Takes a container off all its networks; that it is on none is fine.
    pub async fn leave(&self, container: &str) -> Result<(), Error> {
        let (own, container) = (self.clone(), container.to_owned());
        undisturbed(async move {
            own.begin(&container)?;
            let outcome = own.leave_whole(&container).await;
            own.finish(&container);
            outcome
        })
        .await
    }

    async fn leave_whole(&self, container: &str) -> Result<(), Error> {
        // Its names go before its addresses do.
        let Some(member) = self.inner.state().members.remove(container) else { return Ok(()) };
        self.retract(container).await;
        let door = self.inner.doors.acquire().await;
        let outcome = self.unmake(&member).await;
        drop(door);
        for endpoint in &member.endpoints {
            self.tell_of(&member.id, endpoint, "disconnect");
        }
        outcome
    }

    /// Puts a container that runs on one more network.
    pub async fn connect(
        &self,
        container: &str,
        network: &str,
        settings: &EndpointSettings,
    ) -> Result<EndpointSettings, Error> {
        let (own, container, network, settings) =
            (self.clone(), container.to_owned(), network.to_owned(), settings.clone());
        undisturbed(async move {
            own.begin(&container)?;
            let outcome = own.connect_whole(&container, &network, &settings).await;
            own.finish(&container);
            outcome
        })
        .await
    }

    async fn connect_whole(
        &self,
        container: &str,
        network: &str,
        settings: &EndpointSettings,
    ) -> Result<EndpointSettings, Error> {
        self.until_free(&HashMap::from([(network.to_owned(), settings.clone())])).await;
        let (mut member, endpoint, wire, ways) = {
            let mut state = self.inner.state();
            let member = state.members.get(container).cloned().ok_or_else(|| not_there(container))?;
            let found = state.find(network)?;
            let (id, name) = (found.record.id.clone(), found.record.name.clone());
            if !found.record.is_bridge() {
                return Err(Error::Invalid(format!(
                    "container cannot be connected to the network {name}: it is no bridge"
                )));
            }
            if member.endpoints.iter().any(|endpoint| endpoint.network == id) {
                return Err(Error::Forbidden(format!(
                    "endpoint with name {} already exists in network {name}",
                    member.name
                )));
            }
            let join = as_join(&member);
            let endpoint = state.reserve_one(&join, &id, settings, free_interface(&member.endpoints))?;
            let mut after = member.clone();
            after.endpoints.push(endpoint.clone());
            let ways = (gateway(&state, &member.endpoints), gateway(&state, &after.endpoints));
            (after, endpoint.clone(), Wire::new(&state, &endpoint), ways)
        };
        let wire = wire.ok_or_else(|| Error::NotFound(format!("network {network} not found")))?;
        let (hub, id) = (Arc::clone(&self.inner.hub), container.to_owned());
        let what = format!("connect the container {} to the network {network}", member.name);
        if let Err(error) = blocking(&what, move || wire::add(&hub, &id, wire, ways)).await {
            self.inner.state().release(&[endpoint]);
            return Err(error);
        }
        self.keep(&mut member);
        self.tell_of(container, &endpoint, "connect");
        Ok(endpoint.settings)
    }

    /// Takes a container that runs off a network.
    pub async fn disconnect(&self, container: &str, network: &str) -> Result<(), Error> {
        let (own, container, network) = (self.clone(), container.to_owned(), network.to_owned());
        undisturbed(async move {
            own.begin(&container)?;
            let outcome = own.disconnect_whole(&container, &network).await;
            own.finish(&container);
            outcome
        })
        .await
    }

    async fn disconnect_whole(&self, container: &str, network: &str) -> Result<(), Error> {
        let (before, mut member, endpoint, ways, nameserver) = {
            let state = self.inner.state();
            let before = state.members.get(container).cloned().ok_or_else(|| not_there(container))?;
            let id = state.find(network)?.record.id.clone();
            let at = before.endpoints.iter().position(|endpoint| endpoint.network == id).ok_or_else(|| {
                Error::Forbidden(format!("container {} is not connected to network {network}", before.name))
            })?;
            let mut member = before.clone();
            let endpoint = member.endpoints.remove(at);
            let ways = (gateway(&state, &before.endpoints), gateway(&state, &member.endpoints));
            let old = nameserver(&state, &before.endpoints);
            let next = nameserver(&state, &member.endpoints);
            let moved = old.zip(next).filter(|(old, next)| old != next);
            (before, member, endpoint, ways, moved)
        };
        let (hub, id, veth) = (Arc::clone(&self.inner.hub), container.to_owned(), endpoint.veth.clone());
        let what = format!("disconnect the container {} from the network {network}", before.name);
        blocking(&what, move || wire::take(&hub, &id, veth, ways, nameserver)).await?;
        self.keep(&mut member);
        self.inner.state().release(std::slice::from_ref(&endpoint));
        self.tell_of(container, &endpoint, "disconnect");
        Ok(())
    }

    /// Follows a change of a container's name.
    #[expect(clippy::unused_async, reason = "the others may wait; callers need not know which do")]
    pub async fn rename(&self, container: &str, name: &str) {
        let renamed = {
            let state = self.inner.state();
            state.members.get(container).cloned().map(|mut member| {
                name.trim_start_matches('/').clone_into(&mut member.name);
                for endpoint in &mut member.endpoints {
                    if endpoint.settings.dns_names.is_some() {
                        let own = names(&member.id, &member.name, &member.hostname, &endpoint.settings);
                        endpoint.settings.dns_names = Some(own);
                    }
                }
                member
            })
        };
        if let Some(mut member) = renamed {
            self.inner.state().front.rename(&member.id, &member.name);
            self.keep(&mut member);
        }
    }

    /// Bytes and packets that a container has received and sent, by interface.
    pub async fn traffic(&self, container: &str) -> HashMap<String, Traffic> {
        let Some(member) = self.inner.state().members.get(container).cloned() else { return HashMap::new() };
        let hub = Arc::clone(&self.inner.hub);
        let links = blocking("read counters", move || hub.inside().links()).await.unwrap_or_default();
        let of = |endpoint: &Endpoint| {
            let link = links.iter().find(|link| link.name == endpoint.veth)?;
            let [in_packets, in_bytes, out_packets, out_bytes] = link.counters;
            // What the hub's end receives, the container has sent.
            let traffic = Traffic { received: (out_bytes, out_packets), sent: (in_bytes, in_packets) };
            Some((endpoint.interface.clone(), traffic))
        };
        member.endpoints.iter().filter_map(of).collect()
    }

    /// Finds the places of the containers that run, and removes what is left of others.
    pub(super) async fn restore_members(&self, running: &[Join]) -> Result<(), Error> {
        let mut kept: Vec<String> = vec!["hub".into()];
        for join in running {
            let file = self.inner.hub.namespace(&join.id);
            let read = record::read::<Member>(&self.note(&join.id));
            match (namespace::open(&file), read) {
                (Ok(_), Ok(mut member)) if member.id == join.id => {
                    kept.extend(file.file_name().map(|name| name.to_string_lossy().into_owned()));
                    join.name.trim_start_matches('/').clone_into(&mut member.name);
                    let mut state = self.inner.state();
                    member.endpoints.retain(|endpoint| state.networks.contains_key(&endpoint.network));
                    for endpoint in &member.endpoints {
                        if let Some(network) = state.networks.get_mut(&endpoint.network) {
                            network.restore(endpoint);
                        }
                    }
                    state.members.insert(member.id.clone(), member.clone());
                    drop(state);
                    self.publish_again(&mut member, join);
                }
                (Err(error), _) | (_, Err(error)) => {
                    tracing::warn!(container = join.id, %error, "the network of a container that runs is gone");
                }
                _ => tracing::warn!(container = join.id, "the note of a container's network is another container's"),
            }
        }
        self.sweep(kept).await
    }

    /// Serves the ports again that a container had before a crash.
    fn publish_again(&self, member: &mut Member, join: &Join) {
        let join = Join { ports: member.ports.clone(), ..join.clone() };
        let served = self.listen(member, &join).and_then(|listeners| self.serve(member, listeners));
        if let Err(error) = served {
            tracing::warn!(container = member.id, %error, "the ports of a container that runs cannot be published again");
            // It is there all the same, with its names.
            let without = Join { ports: PortMap::new(), ..join };
            let _ = self.listen(member, &without);
        }
    }

    /// Removes namespaces, notes and interfaces in the hub that nobody has any more.
    async fn sweep(&self, kept: Vec<String>) -> Result<(), Error> {
        let interfaces: Vec<String> = {
            let state = self.inner.state();
            let bridges = state.networks.values().map(|network| bridge_name(&network.record));
            let veths = state.members.values().flat_map(|member| member.endpoints.iter().map(|each| each.veth.clone()));
            bridges.chain(veths).collect()
        };
        let (hub, folder) = (Arc::clone(&self.inner.hub), self.inner.layout.namespaces());
        blocking("remove what is left of old networks", move || {
            for entry in std::fs::read_dir(&folder)?.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let of = name.split('.').next().unwrap_or_default();
                if !kept.iter().any(|kept| kept == of) {
                    namespace::remove(&entry.path())?;
                }
            }
            let mut inside = hub.inside();
            for link in inside.links()? {
                let ours = ["v", OPEN_BRIDGE, INTERNAL_BRIDGE].iter().any(|kind| link.name.starts_with(kind));
                if ours && !interfaces.contains(&link.name) {
                    super::hub::absent_is_fine(inside.apply(&[Request::delete_link(&link.name)]))?;
                }
            }
            Ok(())
        })
        .await
    }

    /// One change of a container's networks at a time.
    fn begin(&self, container: &str) -> Result<(), Error> {
        if self.inner.state().busy.insert(container.to_owned()) {
            return Ok(());
        }
        Err(Error::Conflict(format!("the networks of the container {container} are being changed")))
    }

    fn finish(&self, container: &str) {
        self.inner.state().busy.remove(container);
    }

    /// Takes what is now known of a container.
    fn keep(&self, member: &mut Member) {
        if let Err(error) = self.write_down(member) {
            tracing::warn!(container = member.id, %error, "what is known of a container's network cannot be written down");
        }
        self.inner.state().members.insert(member.id.clone(), member.clone());
    }

    fn write_down(&self, member: &Member) -> Result<(), Error> {
        record::write(&self.note(&member.id), member)
            .map_err(Error::io(format!("write down the network of the container {}", member.name)))
    }

    /// Where a container's places are written, for an engine that is started after a crash.
    fn note(&self, container: &str) -> PathBuf {
        let file = self.inner.hub.namespace(container);
        Path::with_extension(&file, "json")
    }

    fn joined(&self, member: &Member) -> Joined {
        let state = self.inner.state();
        let named = |endpoint: &Endpoint| {
            let network = state.networks.get(&endpoint.network)?;
            Some((network.record.name.clone(), endpoint.settings.clone()))
        };
        Joined {
            namespace: self.inner.hub.namespace(&member.id),
            endpoints: member.endpoints.iter().filter_map(named).collect(),
            ports: member.ports.clone(),
            nameserver: nameserver(&state, &member.endpoints).map(|address| address.to_string()),
            host: (!member.endpoints.is_empty()).then(|| self.host_address().to_string()),
        }
    }

    fn tell_of(&self, container: &str, endpoint: &Endpoint, action: &str) {
        let name = self.inner.state().networks.get(&endpoint.network).map(|network| network.record.name.clone());
        self.tell(action, &endpoint.network, &name.unwrap_or_default(), Some(container));
    }
}

fn not_there(container: &str) -> Error {
    Error::Conflict(format!("container {container} is not running"))
}

fn as_join(member: &Member) -> Join {
    Join { id: member.id.clone(), name: member.name.clone(), hostname: member.hostname.clone(), ..Join::default() }
}

/// The lowest `ethN` that is not in use.
fn free_interface(endpoints: &[Endpoint]) -> String {
    let taken = |name: &String| endpoints.iter().any(|endpoint| endpoint.interface == *name);
    (0..=endpoints.len())
        .map(|number| format!("eth{number}"))
        .find(|name| !taken(name))
        .unwrap_or_else(|| "eth0".into())
}

/// The gateway of a container's way out.
fn gateway(state: &State, endpoints: &[Endpoint]) -> Option<IpAddr> {
    let network = state.networks.get(&state.way_out(endpoints)?.network)?;
    network.record.gateway().map(Prefix::address)
}

/// The gateway that answers for names: the way out's, or the first one's where there is none.
fn nameserver(state: &State, endpoints: &[Endpoint]) -> Option<IpAddr> {
    let first = || state.networks.get(&endpoints.first()?.network)?.record.gateway().map(Prefix::address);
    gateway(state, endpoints).or_else(first)
}
