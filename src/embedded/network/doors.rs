//! A container's doors: opened when it comes, held while its place is taken by another, closed when nobody is behind them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard_stubs::models::PortMap;
use tokio_util::sync::CancellationToken;

use super::super::error::Error;
use super::ports::{self, Listener, Port};
use super::proxy::Open;
use super::proxy::behind::{Behind, Door, HOLD, Health, Kin, Standing};
use super::state::{Member, State};
use super::{Inner, Join, Networks};

/// How long exchanges that are under way may take before a container is stopped.
const FAREWELL: Duration = Duration::from_secs(1);

/// A container that is to be behind the doors of another one: its replacement, or that one itself after a restart.
#[derive(Debug, Clone, PartialEq)]
pub struct Successor {
    /// Its id.
    pub id: String,
    /// The ports that it will publish, as [`Join::ports`] has them.
    pub ports: PortMap,
}

impl Networks {
    /// Listens on the machine for a container's ports. Without a way out nothing comes in, as with Docker.
    pub(super) fn listen(&self, member: &mut Member, join: &Join) -> Result<Vec<Listener>, Error> {
        let mut state = self.inner.state();
        let kin = Kin { id: member.id.clone(), group: member.group.clone(), replaces: member.replaces.clone() };
        let mut listeners = Vec::new();
        match state.way_out(&member.endpoints) {
            None => member.ports = join.ports.keys().map(|key| (key.clone(), None)).collect(),
            Some(endpoint) => {
                let opened = ports::listen(&join.ports, &state.front, &kin);
                (listeners, member.ports) = opened.map_err(|error| match error {
                    Error::Failed(why) => Error::Failed(format!(
                        "driver failed programming external connectivity on endpoint {} ({}): {why}",
                        member.name,
                        endpoint.settings.endpoint_id.as_deref().unwrap_or_default()
                    )),
                    error => error,
                })?;
            }
        }
        let behind = Behind {
            kin,
            name: member.name.clone(),
            address: None,
            health: if join.checked { Health::Waiting } else { Health::Unchecked },
            has_ports: join.has_ports,
        };
        let doors: Vec<(Door, u16)> = listeners.iter().map(|listener| (listener.door, listener.port)).collect();
        state.front.enter(behind, &doors, Instant::now());
        Ok(listeners)
    }

    /// Carries what comes to a container's ports.
    pub(super) fn serve(&self, member: &Member, listeners: Vec<Listener>) -> Result<(), Error> {
        let mut state = self.inner.state();
        let to = state.way_out(&member.endpoints).and_then(|endpoint| endpoint.v4).map(IpAddr::V4);
        for Listener { door, socket, .. } in listeners {
            let Some(socket) = socket else { continue };
            let open = Open::serve(Arc::downgrade(&self.inner), &self.inner.hub, door, socket)
                .map_err(Error::io(format!("publish the ports of the container {}", member.name)))?;
            state.open.insert(door, open);
        }
        state.front.reached_at(&member.id, to);
        self.inner.changed(&mut state);
        Ok(())
    }

    /// Gives back the doors of a container, save those that others are behind or that are held for others.
    pub(super) async fn retract(&self, container: &str) {
        let closed = {
            let mut state = self.inner.state();
            state.front.leave(container);
            if let Some(carried) = state.carried.remove(container) {
                carried.gone.cancel();
            }
            state.let_go.retain(|(_, id), _| id != container);
            self.inner.changed(&mut state)
        };
        close(closed).await;
    }

    /// Takes away from the holds of others what a newcomer asks for, should they be none of its kind.
    pub(super) async fn make_way(&self, join: &Join) {
        let closed = {
            let mut state = self.inner.state();
            let kin = kin(join);
            let doors = ports::certain(&join.ports).into_iter();
            let held: Vec<Door> =
                doors.filter(|door| state.front.standing(*door, &kin, true) == Standing::Held).collect();
            for door in &held {
                state.front.release(*door);
            }
            if held.is_empty() { Vec::new() } else { self.inner.changed(&mut state) }
        };
        close(closed).await;
    }

    /// A container is about to be stopped. Its name no longer means it; where another one is behind the same doors, or one of
    /// the successors is awaited there, what comes goes to those or waits, and what is under way is waited for, shortly.
    pub async fn retire(&self, container: &str, successors: &[Successor]) {
        let busy = {
            let mut state = self.inner.state();
            state.front.leaving(container, true);
            self.hold_in(&mut state, container, successors, HOLD);
            self.inner.changed(&mut state);
            let now = Instant::now();
            let moves = state.front.doors_of(container).iter().any(|door| state.front.lets_go(*door, container, now));
            state.carried.get(container).filter(|_| moves).map(|carried| Arc::clone(&carried.busy))
        };
        if let Some(busy) = busy {
            busy.quiet(FAREWELL).await;
        }
    }

    /// A container that was to be stopped goes on.
    pub fn stay(&self, container: &str) {
        let mut state = self.inner.state();
        state.front.leaving(container, false);
        self.inner.changed(&mut state);
    }

    /// A container has ended. What comes to its doors goes elsewhere, or waits for one of the successors, for so long at most.
    pub fn hold(&self, container: &str, successors: &[Successor], patience: Duration) {
        let mut state = self.inner.state();
        state.front.leaving(container, true);
        self.hold_in(&mut state, container, successors, patience);
        self.inner.changed(&mut state);
    }

    fn hold_in(&self, state: &mut State, container: &str, successors: &[Successor], patience: Duration) {
        for door in state.front.doors_of(container) {
            let publishes = |successor: &&Successor| ports::certain(&successor.ports).contains(&door);
            let awaited: BTreeSet<String> =
                successors.iter().filter(publishes).map(|successor| successor.id.clone()).collect();
            state.front.hold(door, container, awaited, Instant::now() + patience);
        }
        if state.front.next_end().is_some() && !std::mem::replace(&mut state.sweeping, true) {
            tokio::spawn(sweep(Arc::downgrade(&self.inner)));
        }
    }

    /// A container that others may wait for could not be started or, `for_good`, is removed.
    pub async fn give_up(&self, container: &str, for_good: bool) {
        let closed = {
            let mut state = self.inner.state();
            state.front.give_up(container, for_good, Instant::now());
            self.inner.changed(&mut state)
        };
        close(closed).await;
    }

    /// What a container's healthcheck says now.
    pub fn tell_health(&self, container: &str, health: Health) {
        let mut state = self.inner.state();
        state.front.tell(container, health);
        self.inner.changed(&mut state);
    }

    /// Where a container is seen to listen, at an address that others reach. `listens` says that this, or the wait for it, is
    /// enough to take it for ready.
    pub fn hear(&self, container: &str, heard: BTreeSet<Port>, listens: bool) {
        let mut state = self.inner.state();
        state.front.hear(container, heard, listens);
        self.inner.changed(&mut state);
    }

    /// Whether anything waits for a container to listen.
    #[must_use]
    pub fn awaits(&self, container: &str) -> bool {
        self.inner.state().front.awaits(container, Instant::now())
    }
}

impl Inner {
    /// To be called after every change of the front, under the same lock: connections that should be elsewhere are told so,
    /// those that wait ask again. The doors that are to be closed.
    pub(super) fn changed(&self, state: &mut State) -> Vec<Open> {
        let now = Instant::now();
        let closed = state.front.close(now);
        let closed = closed.into_iter().filter_map(|door| state.open.remove(&door)).collect();
        for ((door, id), token) in &mut state.let_go {
            match (state.front.lets_go(*door, id, now), token.is_cancelled()) {
                (true, false) => token.cancel(),
                (false, true) => *token = CancellationToken::new(),
                _ => {}
            }
        }
        self.changes.send_modify(|()| {});
        closed
    }
}

/// Who a container that is to join is to others.
fn kin(join: &Join) -> Kin {
    Kin { id: join.id.clone(), group: join.group.clone(), replaces: join.replaces.clone() }
}

async fn close(doors: Vec<Open>) {
    for door in doors {
        door.close().await;
    }
}

/// Closes doors whose holds end, until none is held.
async fn sweep(networks: std::sync::Weak<Inner>) {
    loop {
        let Some(inner) = networks.upgrade() else { return };
        let mut changes = inner.changes.subscribe();
        let (closed, end) = {
            let mut state = inner.state();
            let due = state.front.next_end().is_some_and(|end| end <= Instant::now());
            let closed = if due { inner.changed(&mut state) } else { Vec::new() };
            changes.mark_unchanged();
            let end = state.front.next_end();
            state.sweeping = end.is_some();
            (closed, end)
        };
        drop(inner);
        close(closed).await;
        let Some(end) = end else { return };
        tokio::select! {
            () = tokio::time::sleep_until(end.into()) => {}
            news = changes.changed() => if news.is_err() { return },
        }
    }
}
