//! Networks: a bridge each, inside a network namespace of the engine's own (the hub) that one veth pair joins to the
//! machine; addresses, names, the way out, published ports. The machine's own firewall is left alone.

mod attach;
mod dns;
mod doors;
mod firewall;
mod holder;
mod hub;
mod listening;
mod names;
mod namespace;
mod netlink;
mod parting;
mod ports;
mod prefix;
mod proxy;
mod record;
mod state;
mod wire;

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bollard_stubs::models::{EndpointSettings, EventMessageTypeEnum, NetworkCreateRequest, NetworkInspect, PortMap};

use super::error::Error;
use super::events::Events;
use super::layout::Layout;
pub use doors::Successor;
use hub::Hub;
pub use listening::{Listening, loopback};
pub use ports::{Port, Protocol};
pub use proxy::behind::Health;
use record::Record;
use state::{Network, State};

/// The engine's networks; clones share them.
#[derive(Debug, Clone)]
pub struct Networks {
    inner: Arc<Inner>,
}

/// What the clones share.
#[derive(Debug)]
struct Inner {
    layout: Layout,
    events: Events,
    hub: Arc<Hub>,
    state: Mutex<State>,
    /// Changes whenever somebody else may be behind a port.
    changes: tokio::sync::watch::Sender<()>,
    /// How many containers may be on their way in or out at once.
    doors: tokio::sync::Semaphore,
    /// Changes whenever what is left of a container's network is gone.
    parted: tokio::sync::watch::Sender<()>,
    /// What does not work, for a person.
    warnings: Mutex<Vec<String>>,
}

/// How many threads at once make namespaces and interfaces: the kernel does one after the other anyway.
const DOORS: usize = 16;

/// A container that is to be on networks.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Join {
    /// The container's.
    pub id: String,
    /// The container's name, which is a name on its networks too (except on `bridge`, as with Docker).
    pub name: String,
    /// Its host name.
    pub hostname: String,
    /// Networks by name or id, with what is asked of each; empty for `network_mode: none`.
    pub endpoints: HashMap<String, EndpointSettings>,
    /// Ports to publish: `80/tcp` → addresses and ports of the machine (an empty port: any free one).
    pub ports: PortMap,
    /// Name servers of its own (`dns`), asked for what its networks do not know; empty for the machine's.
    pub dns: Vec<String>,
    /// What it has in common with the other replicas of its service, with which it may share ports.
    pub group: Option<String>,
    /// The id of the container whose place it is to take, and with it the ports.
    pub replaces: Option<String>,
    /// Whether it has a healthcheck, which says when it is ready ([`Networks::tell_health`]).
    pub checked: bool,
    /// Whether a port of it is known, where it will be heard to listen ([`Networks::hear`]).
    pub has_ports: bool,
}

/// Where a container is on its networks.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Joined {
    /// The file of its network namespace.
    pub namespace: PathBuf,
    /// By the network's name: address, gateway, aliases, as `inspect` tells.
    pub endpoints: HashMap<String, EndpointSettings>,
    /// With the ports that were found.
    pub ports: PortMap,
    /// For its `resolv.conf`: the name server that answers for its networks.
    pub nameserver: Option<String>,
    /// The address at which the machine itself is reached from inside (`host-gateway`).
    pub host: Option<String>,
}

/// Of one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Received bytes and packets.
    pub received: (u64, u64),
    /// Sent bytes and packets.
    pub sent: (u64, u64),
}

impl Networks {
    /// Makes the hub, or finds it and what is in it after a crash; makes the bridges of the networks that are on record.
    /// `running` are the containers that run: whatever else is left in the hub goes.
    pub async fn open(layout: &Layout, events: Events, running: &[Join]) -> Result<Self, Error> {
        let (own, keep) = (layout.clone(), !running.is_empty());
        let (hub, kept) = blocking("make the network namespace of the engine", move || Hub::open(&own, keep)).await?;
        if keep && !kept {
            tracing::warn!("the network of the containers that run is gone: they must be started again to have one");
        }
        let inner = Inner {
            layout: layout.clone(),
            events,
            hub: Arc::new(hub),
            state: Mutex::default(),
            changes: tokio::sync::watch::Sender::new(()),
            doors: tokio::sync::Semaphore::new(DOORS),
            parted: tokio::sync::watch::Sender::new(()),
            warnings: Mutex::default(),
        };
        let networks = Self { inner: Arc::new(inner) };
        networks.open_way_out().await;
        networks.restore_networks().await?;
        networks.restore_members(if kept { running } else { &[] }).await?;
        Ok(networks)
    }

    /// Lets containers out. Where the machine withholds what that takes, networks work without.
    async fn open_way_out(&self) {
        let hub = &self.inner.hub;
        let uplink = hub.uplink().name.clone();
        let mut warnings = Vec::new();
        let guarded = match firewall::guard_hub(&hub.file()).await {
            Ok(()) => hub.run(firewall::forward_in_hub).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let opened = match guarded {
            Ok(()) => firewall::guard_machine(&uplink).await.map_err(|error| error.to_string()),
            error => error,
        };
        if let Err(error) = opened {
            warnings.push(format!("containers do not reach other machines: nftables does not go along: {error}"));
        } else {
            match firewall::forward_on_machine() {
                Ok(true) => {
                    tracing::info!("switched on net.ipv4.ip_forward, without which containers reach no other machine");
                }
                Ok(false) => {}
                Err(error) => warnings.push(format!(
                    "containers do not reach other machines: net.ipv4.ip_forward cannot be switched on: {error}"
                )),
            }
            warnings.extend(firewall::obstacles().await);
        }
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        *self.inner.warnings.lock().unwrap_or_else(PoisonError::into_inner) = warnings;
    }

    /// What does not work on this machine, in sentences for a person (`Warnings` of `GET /info`).
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.inner.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn restore_networks(&self) -> Result<(), Error> {
        let folder = self.inner.layout.networks();
        let mut records = record::load(&folder)?;
        for (name, driver) in [("bridge", "bridge"), ("host", "host"), ("none", "null")] {
            if records.iter().any(|record| record.name == name) {
                continue;
            }
            let mut record = Record::predefined(name, driver);
            if record.is_bridge() {
                let machine = self.machine_subnets().await?;
                let others: Vec<_> = records.iter().filter_map(Record::subnet).collect();
                let request = NetworkCreateRequest { name: "default-bridge".into(), ..NetworkCreateRequest::default() };
                record.ipam = Record::new(request, &others, &machine)?.ipam;
            }
            record.save(&folder)?;
            records.push(record);
        }
        for record in records {
            let name = record.name.clone();
            if let Err(error) = self.settle(record).await {
                tracing::warn!(network = name, %error, "a network cannot be made again");
            }
        }
        Ok(())
    }

    /// Makes one; its id.
    pub async fn create(&self, request: NetworkCreateRequest) -> Result<String, Error> {
        let own = self.clone();
        undisturbed(async move { own.create_whole(request).await }).await
    }

    async fn create_whole(&self, request: NetworkCreateRequest) -> Result<String, Error> {
        let machine = self.machine_subnets().await?;
        let record = {
            let mut state = self.inner.state();
            let known = state.networks.values().any(|network| network.record.name == request.name);
            if known || state.making.contains_key(&request.name) {
                return Err(Error::Conflict(format!("network with name {} already exists", request.name)));
            }
            let subnets = |record: &Record| [record.subnet(), record.subnet_v6()];
            let mut taken: Vec<_> =
                state.networks.values().flat_map(|network| subnets(&network.record)).flatten().collect();
            taken.extend(state.making.values().flatten());
            let record = Record::new(request, &taken, &machine)?;
            let own = subnets(&record).into_iter().flatten().collect();
            state.making.insert(record.name.clone(), own);
            record
        };
        let (id, name) = (record.id.clone(), record.name.clone());
        let folder = self.inner.layout.networks();
        let made = match self.settle(record.clone()).await {
            Ok(()) => record.save(&folder),
            Err(error) => Err(error),
        };
        self.inner.state().making.remove(&name);
        if made.is_err() {
            self.inner.state().networks.remove(&id);
            let hub = Arc::clone(&self.inner.hub);
            let _ = blocking("remove a bridge", move || hub.remove_bridge(&record)).await;
        }
        made?;
        self.tell("create", &id, &name, None);
        Ok(id)
    }

    /// Makes the bridge of a network and starts its name server.
    async fn settle(&self, record: Record) -> Result<(), Error> {
        let (mut bridge, mut names) = (0, None);
        if record.is_bridge() {
            let (hub, own) = (Arc::clone(&self.inner.hub), record.clone());
            let what = format!("make the bridge of the network {}", record.name);
            bridge = blocking(&what, move || hub.bridge(&own)).await?;
            if let Some(gateway) = record.gateway() {
                let started = dns::start(&self.inner.hub, Arc::downgrade(&self.inner), gateway.address()).await;
                names =
                    Some(started.map_err(Error::io(format!("start the name server of the network {}", record.name)))?);
            }
        }
        self.inner.state().networks.insert(record.id.clone(), Network::new(record, bridge, names));
        Ok(())
    }

    /// One by name, id or beginning of an id; `Containers` is filled in by what has joined.
    #[expect(clippy::unused_async, reason = "the others may wait; callers need not know which do")]
    pub async fn inspect(&self, reference: &str) -> Result<NetworkInspect, Error> {
        let state = self.inner.state();
        Ok(state.inspect(state.find(reference)?))
    }

    /// All, `bridge`, `host` and `none` among them.
    #[expect(clippy::unused_async, reason = "the others may wait; callers need not know which do")]
    pub async fn list(&self) -> Result<Vec<NetworkInspect>, Error> {
        let state = self.inner.state();
        Ok(state.networks.values().map(|network| state.inspect(network)).collect())
    }

    /// Removes one that nobody is on.
    pub async fn remove(&self, reference: &str) -> Result<(), Error> {
        let (own, reference) = (self.clone(), reference.to_owned());
        undisturbed(async move { own.remove_whole(&reference).await }).await
    }

    async fn remove_whole(&self, reference: &str) -> Result<(), Error> {
        let network = {
            let mut state = self.inner.state();
            let network = state.find(reference)?;
            let (id, name) = (network.record.id.clone(), network.record.name.clone());
            if network.record.is_predefined() {
                return Err(Error::Forbidden(format!("{name} is a pre-defined network and cannot be removed")));
            }
            if network.endpoints > 0 {
                let on = state.members.values().filter(|member| member.endpoints.iter().any(|each| each.network == id));
                let on: Vec<String> =
                    on.map(|member| format!("name:{:?} id:{:?}", member.name, short(&member.id))).collect();
                return Err(Error::Forbidden(format!(
                    "error while removing network: network {name} has active endpoints ({})",
                    on.join(", ")
                )));
            }
            state.networks.remove(&id).ok_or_else(|| Error::NotFound(format!("network {reference} not found")))?
        };
        let record = network.record.clone();
        record.forget(&self.inner.layout.networks())?;
        drop(network);
        let (hub, own) = (Arc::clone(&self.inner.hub), record.clone());
        blocking(&format!("remove the bridge of the network {}", record.name), move || hub.remove_bridge(&own)).await?;
        self.tell("destroy", &record.id, &record.name, None);
        Ok(())
    }

    /// The address of the machine as containers see it.
    #[must_use]
    pub fn host_address(&self) -> IpAddr {
        self.inner.hub.uplink().machine.into()
    }

    /// Takes the hub down; for the engine's stop.
    pub async fn close(&self) -> Result<(), Error> {
        let members: Vec<String> = self.inner.state().members.keys().cloned().collect();
        for member in members {
            if let Err(error) = self.leave(&member).await {
                tracing::warn!(container = member, %error, "a container's network cannot be taken down");
            }
        }
        self.until_all_have_parted().await;
        self.inner.state().networks.clear();
        if let Err(error) = firewall::leave_machine(&self.inner.hub.uplink().name).await {
            tracing::warn!(%error, "the engine's rules cannot be taken out of the machine's firewall");
        }
        let hub = Arc::clone(&self.inner.hub);
        blocking("take down the network namespace of the engine", move || hub.close()).await
    }

    async fn machine_subnets(&self) -> Result<Vec<prefix::Prefix>, Error> {
        let hub = Arc::clone(&self.inner.hub);
        blocking("read the machine's routes", move || hub::taken(&mut hub.machine())).await
    }

    fn tell(&self, action: &str, id: &str, name: &str, container: Option<&str>) {
        let mut attributes =
            HashMap::from([("name".to_owned(), name.to_owned()), ("type".to_owned(), "bridge".to_owned())]);
        attributes.extend(container.map(|container| ("container".to_owned(), container.to_owned())));
        self.inner.events.tell(EventMessageTypeEnum::NETWORK, action, id, attributes);
    }
}

/// Takes from the machine what a dead engine of that name has left: its rules, its link, and the routes there. The
/// namespaces themselves go with the mounts of their files.
pub async fn remove_leftovers(engine: &str) -> Result<(), Error> {
    let rules = firewall::leave_machine(engine).await;
    let name = engine.to_owned();
    blocking("remove the link of an engine that has died", move || hub::remove_uplink(&name)).await?;
    rules.map_err(|error| Error::Failed(format!("cannot remove the rules of an engine that has died: {error}")))
}

impl Inner {
    /// Never held across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The beginning of an id, as people see it.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Blocking work, on a thread for such.
async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Failed(format!("cannot {what}: {error}")))?.map_err(Error::io(what))
}

/// Work that is finished, or undone, even when whoever asked for it goes away.
async fn undisturbed<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(Error::Failed(format!("work on networks broke off: {error}"))))
}
