//! Interfaces and namespaces of containers that have left, on their way out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use bollard_stubs::models::EndpointSettings;

use super::state::{Endpoint, Member, State};
use super::{Networks, blocking, namespace, wire};
use crate::embedded::error::Error;

/// How long they are left alone. To take them down the kernel holds a lock that a container which comes needs as well, and
/// one often comes right behind: the same one after a restart, or another one in its place.
const LINGER: Duration = Duration::from_millis(300);
/// How long is waited for what somebody else is taking away.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is left of a container's network; its addresses are given to nobody else until it is gone.
#[derive(Debug)]
pub(super) struct Parting {
    endpoints: Vec<Endpoint>,
    /// While it is open it stays, without its file.
    namespace: Option<OwnedFd>,
    /// Somebody takes it away.
    goes: bool,
}

impl Networks {
    /// Ends a container's namespace at once for all that ask for it; it and its interfaces go in their own time.
    pub(super) async fn part(&self, member: &Member) -> Result<(), Error> {
        let (hub, id) = (Arc::clone(&self.inner.hub), member.id.clone());
        let namespace = namespace::open(&hub.namespace(&id)).ok();
        let what = format!("remove the network of the container {}", member.name);
        let outcome = blocking(&what, move || wire::remove(&hub, &id)).await;
        let number = {
            let mut state = self.inner.state();
            state.count_out(&member.endpoints);
            state.partings += 1;
            let number = state.partings;
            let parting = Parting { endpoints: member.endpoints.clone(), namespace, goes: false };
            state.parting.insert(number, parting);
            number
        };
        let inner = Arc::downgrade(&self.inner);
        // Ends by itself and keeps nothing alive.
        tokio::spawn(async move {
            tokio::time::sleep(LINGER).await;
            if let Some(inner) = inner.upgrade() {
                Self { inner }.take_away(number).await;
            }
        });
        outcome
    }

    /// Unless somebody else does, or has.
    async fn take_away(&self, number: u64) {
        let (endpoints, namespace) = {
            let mut state = self.inner.state();
            let Some(parting) = state.parting.get_mut(&number).filter(|parting| !parting.goes) else { return };
            parting.goes = true;
            (parting.endpoints.clone(), parting.namespace.take())
        };
        let veths: Vec<String> = endpoints.iter().map(|endpoint| endpoint.veth.clone()).collect();
        let hub = Arc::clone(&self.inner.hub);
        let removed = blocking("remove interfaces", move || {
            // Before them, so that with the last of them nothing is left.
            drop(namespace);
            wire::remove_veths(&hub, &veths)
        });
        if let Err(error) = removed.await {
            tracing::warn!(%error, "interfaces of a container that has left are still there");
        }
        {
            let mut state = self.inner.state();
            state.parting.remove(&number);
            state.free(&endpoints);
        }
        self.inner.parted.send_replace(());
    }

    /// Has those go who have addresses that are asked for. What is still there after the patience is for others to say.
    pub(super) async fn until_free(&self, asked: &HashMap<String, EndpointSettings>) {
        self.until_gone(|state| state.parting_with(asked)).await;
    }

    /// All that is on its way out goes now.
    pub(super) async fn until_all_have_parted(&self) {
        self.until_gone(|state| state.parting.keys().copied().collect()).await;
    }

    async fn until_gone(&self, who: impl Fn(&State) -> Vec<u64>) {
        let mut parted = self.inner.parted.subscribe();
        let gone = async {
            loop {
                let numbers = who(&self.inner.state());
                if numbers.is_empty() {
                    return;
                }
                for number in numbers {
                    self.take_away(number).await;
                }
                if !who(&self.inner.state()).is_empty() {
                    // The sender is this one's.
                    let _ = parted.changed().await;
                }
            }
        };
        let _ = tokio::time::timeout(PATIENCE, gone).await;
    }
}

impl State {
    /// Those who still have addresses that are asked for.
    fn parting_with(&self, asked: &HashMap<String, EndpointSettings>) -> Vec<u64> {
        let wanted = asked.iter().filter_map(|(reference, settings)| {
            let network = self.find(reference).ok()?.record.id.clone();
            let wanted = settings.ipam_config.as_ref()?;
            let addresses = [&wanted.ipv4_address, &wanted.ipv6_address].into_iter().flatten();
            Some((network, addresses.filter_map(|text| text.parse().ok()).collect::<Vec<IpAddr>>()))
        });
        let wanted: Vec<(String, Vec<IpAddr>)> = wanted.collect();
        let has = |endpoint: &Endpoint| {
            let mut of_network = wanted.iter().filter(|(network, _)| *network == endpoint.network);
            of_network.any(|(_, addresses)| endpoint.addresses().any(|address| addresses.contains(&address)))
        };
        let with = self.parting.iter().filter(|(_, parting)| parting.endpoints.iter().any(has));
        with.map(|(number, _)| *number).collect()
    }
}
