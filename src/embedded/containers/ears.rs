//! When a container's ports begin to be listened on: looked at often at first, then less and less, for as long as somebody
//! waits for it. Who is behind a published port, and which of several a name means, depends on it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::record::Record;
use super::shared::{Container, Shared};
use crate::embedded::error::Error;
use crate::embedded::network::{Listening, Networks, Port, loopback};

/// The shortest and the longest pause between two looks, and what part of its age a container is not looked at again.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(1);
const SHARE: u32 = 40;
/// Who has not listened by then is looked at only while something waits for it.
const PATIENCE: Duration = Duration::from_mins(1);

/// The watch over one start of a container; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Ears {
    /// Whether anybody listens on one of its ports, be it for itself alone.
    pub(super) heard: watch::Receiver<bool>,
    _end: DropGuard,
}

impl Ears {
    /// Begins to watch a container that has just been started; `None` when no port of it is known.
    pub(super) fn open(shared: &Arc<Shared>, container: &Arc<Container>) -> Option<Self> {
        let record = container.record();
        let ports = record.ports();
        let process = container.running().ok()?.pid();
        if ports.is_empty() {
            return None;
        }
        let (sender, heard) = watch::channel(false);
        let end = CancellationToken::new();
        let (token, closing) = (end.clone(), shared.closing.clone());
        let listener = Listener {
            container: container.id.clone(),
            networks: shared.networks.clone(),
            published: record.host().port_bindings.iter().flatten().filter_map(|(key, _)| Port::read(key)).collect(),
            ports,
            addresses: addresses(&record),
            sender,
        };
        shared.tasks.spawn(async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = closing.cancelled() => {}
                end = listener.listen(process) => if let Err(error) = end {
                    tracing::debug!("{error}");
                }
            }
        });
        Some(Self { heard, _end: end.drop_guard() })
    }
}

/// Where it is reached on its networks.
fn addresses(record: &Record) -> Vec<IpAddr> {
    let given = record.given.iter().flat_map(|given| given.endpoints.values());
    given.filter_map(|endpoint| endpoint.ip_address.as_deref()?.parse().ok()).collect()
}

struct Listener {
    container: String,
    networks: Networks,
    ports: BTreeSet<Port>,
    /// Those of them that are published.
    published: BTreeSet<Port>,
    addresses: Vec<IpAddr>,
    sender: watch::Sender<bool>,
}

impl Listener {
    /// Looks until nobody waits for more.
    async fn listen(&self, process: u32) -> Result<(), Error> {
        let begun = Instant::now();
        let mut listening = Listening::of(process).await?;
        let mut heard = BTreeSet::new();
        loop {
            let outside = listening.heard(&self.ports, &self.addresses).map_err(Error::io("look at sockets"))?;
            if outside.difference(&heard).next().is_some() {
                heard.extend(outside);
                self.networks.hear(&self.container, heard.clone(), true);
            }
            if !*self.sender.borrow() {
                let mut inside = || listening.heard(&self.ports, &loopback()).map_err(Error::io("look at sockets"));
                if !heard.is_empty() || !inside()?.is_empty() {
                    self.sender.send_replace(true);
                }
            }
            let outside = self.addresses.is_empty() || (!heard.is_empty() && self.published.is_subset(&heard));
            if outside && *self.sender.borrow() {
                return Ok(());
            }
            let age = begun.elapsed();
            if age >= PATIENCE {
                self.networks.hear(&self.container, heard.clone(), true);
                if !self.networks.awaits(&self.container) {
                    return Ok(());
                }
            }
            tokio::time::sleep(pause(age)).await;
        }
    }
}

/// How long to wait for the next look at a container of this age.
fn pause(age: Duration) -> Duration {
    (age / SHARE).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{PATIENCE, pause};

    #[test]
    fn an_old_container_is_looked_at_less_often_than_a_new_one() {
        let after = |age| pause(Duration::from_millis(age)).as_millis();
        assert_eq!([0, 40, 400, 10_000, 59_000].map(after), [1, 1, 10, 250, 1000]);
        let (mut age, mut looks) = (Duration::ZERO, 0);
        while age < PATIENCE {
            (age, looks) = (age + pause(age), looks + 1);
        }
        assert!(looks < 400, "{looks} looks at one that never listens");
    }
}
