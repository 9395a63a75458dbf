//! Networks: a bridge each, inside a network namespace of the engine's own (the hub) that one veth pair joins to the
//! machine; addresses, names, the way out, published ports. The machine's own firewall is left alone.

use std::collections::HashMap;
use std::path::PathBuf;

use bollard_stubs::models::{EndpointSettings, NetworkCreateRequest, NetworkInspect, PortMap};

use super::error::Error;
use super::events::Events;
use super::layout::Layout;

/// The engine's networks; clones share them.
#[derive(Debug, Clone)]
pub struct Networks {
    _layout: Layout,
    _events: Events,
}

/// A container that is to be on networks.
#[derive(Debug, Clone, PartialEq)]
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

impl Networks {
    /// Makes the hub, or finds it and what is in it after a crash; makes the bridges of the networks that are on record.
    /// `running` are the containers that run: whatever else is left in the hub goes.
    pub async fn open(layout: &Layout, events: Events, _running: &[Join]) -> Result<Self, Error> {
        Ok(Self { _layout: layout.clone(), _events: events })
    }

    /// Makes one; its id.
    pub async fn create(&self, _request: NetworkCreateRequest) -> Result<String, Error> {
        Err(Error::Unsupported("networks".into()))
    }

    /// One by name, id or beginning of an id; `Containers` is filled in by what has joined.
    pub async fn inspect(&self, _reference: &str) -> Result<NetworkInspect, Error> {
        Err(Error::Unsupported("networks".into()))
    }

    /// All, `bridge`, `host` and `none` among them.
    pub async fn list(&self) -> Result<Vec<NetworkInspect>, Error> {
        Err(Error::Unsupported("networks".into()))
    }

    /// Removes one that nobody is on.
    pub async fn remove(&self, _reference: &str) -> Result<(), Error> {
        Err(Error::Unsupported("networks".into()))
    }

    /// Makes a container's network namespace, puts it on its networks and publishes its ports. All or nothing.
    pub async fn join(&self, _join: &Join) -> Result<Joined, Error> {
        Err(Error::Unsupported("networks".into()))
    }

    /// Takes a container off all its networks; that it is on none is fine.
    pub async fn leave(&self, _container: &str) -> Result<(), Error> {
        Err(Error::Unsupported("networks".into()))
    }

    /// Puts a container that runs on one more network.
    pub async fn connect(
        &self,
        _container: &str,
        _network: &str,
        _settings: &EndpointSettings,
    ) -> Result<EndpointSettings, Error> {
        Err(Error::Unsupported("networks".into()))
    }

    /// Takes a container that runs off a network.
    pub async fn disconnect(&self, _container: &str, _network: &str) -> Result<(), Error> {
        Err(Error::Unsupported("networks".into()))
    }

    /// Follows a change of a container's name.
    pub async fn rename(&self, _container: &str, _name: &str) {}

    /// Bytes and packets that a container has received and sent, by interface.
    pub async fn traffic(&self, _container: &str) -> HashMap<String, Traffic> {
        HashMap::new()
    }

    /// Takes the hub down; for the engine's stop.
    pub async fn close(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// Of one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Received bytes and packets.
    pub received: (u64, u64),
    /// Sent bytes and packets.
    pub sent: (u64, u64),
}
