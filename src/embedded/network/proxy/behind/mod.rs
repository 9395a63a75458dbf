//! Pure: which container is behind a published port at a moment, and which of several a name means.
//!
//! A port of the machine (a door) has one container behind it, or several of one kind: replicas of a service, or one and the
//! one that is to take its place. What comes goes to those that are ready. While none is, but one is on its way, a hold has it
//! wait: for a bounded time, and only as long as somebody can still come.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::super::ports::{Port, Protocol};

/// How long a door is held at most for who is on the way.
pub(crate) const HOLD: Duration = Duration::from_mins(1);
/// How long it is held still when who was awaited will not come, for the one before to be started again.
const SECOND_THOUGHT: Duration = Duration::from_secs(5);

/// A port of the machine at one of its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Door {
    pub(crate) protocol: Protocol,
    pub(crate) address: SocketAddr,
}

/// Who a container is to others: which of them may be behind the same door.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Kin {
    pub(crate) id: String,
    /// What all replicas of a service have in common.
    pub(crate) group: Option<String>,
    /// The id of the container whose place it is to take.
    pub(crate) replaces: Option<String>,
}

/// What a container's healthcheck says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// It has none.
    #[default]
    Unchecked,
    /// Nothing yet, or that it is not well.
    Waiting,
    /// That it is well.
    Passed,
}

/// A container that has come to its networks.
#[derive(Debug, Clone)]
pub(crate) struct Behind {
    pub(crate) kin: Kin,
    pub(crate) name: String,
    /// Where it is reached; `None` when nothing that comes in reaches it.
    pub(crate) address: Option<IpAddr>,
    pub(crate) health: Health,
    /// Whether any port of it is known at which it could be seen to listen.
    pub(crate) has_ports: bool,
}

/// What is to become of something that comes to a door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// It goes to this container, at this address.
    To(String, SocketAddr),
    /// It waits for a change, at most until then.
    Wait(Instant),
    /// There is nobody.
    Nobody,
}

/// Whether a newcomer may have a door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is not there yet.
    Free,
    /// It is there, and those behind it are of the newcomer's kind.
    Shared,
    /// It is only held for others, who have to do without.
    Held,
    /// It belongs to another container, of this name.
    Taken(String),
}

/// All doors and all containers.
#[derive(Debug, Default)]
pub(crate) struct Front {
    containers: BTreeMap<String, Container>,
    doors: BTreeMap<Door, Places>,
}

#[derive(Debug)]
struct Container {
    behind: Behind,
    /// Where it listens at its address.
    heard: BTreeSet<Port>,
    /// It listens somewhere, or has been waited for long enough.
    listens: bool,
    leaving: bool,
}

#[derive(Debug, Default)]
struct Places {
    /// Containers and their ports, in the order in which they came.
    occupied: Vec<(String, u16)>,
    hold: Option<Hold>,
    /// Counts what came, so that all have their turn.
    turn: usize,
}

#[derive(Debug)]
struct Hold {
    /// The container that has gone, with its name; without an id when it will not come back.
    of: Option<String>,
    name: String,
    awaited: BTreeSet<String>,
    until: Instant,
}

impl Front {
    /// Whether a newcomer may have a door. `single` says that it takes no other one instead.
    pub(crate) fn standing(&self, door: Door, newcomer: &Kin, single: bool) -> Standing {
        let Some(places) = self.doors.get(&door) else { return Standing::Free };
        let kin = |other: &str| self.are_kin(newcomer, other, single);
        let held = places.hold.as_ref();
        let awaited = held.is_some_and(|hold| {
            let of = hold.of.as_deref();
            hold.awaited.contains(&newcomer.id)
                || of == Some(newcomer.id.as_str())
                || of == newcomer.replaces.as_deref()
        });
        if awaited || places.occupied.iter().any(|(other, _)| kin(other)) {
            return Standing::Shared;
        }
        match (places.occupied.first(), held) {
            (Some((other, _)), _) => Standing::Taken(self.name(other)),
            (None, Some(_)) => Standing::Held,
            (None, None) => Standing::Free,
        }
    }

    /// Who has a door that a newcomer's would be in the way of: the same port at an address that is part of the other.
    pub(crate) fn in_the_way(&self, door: Door) -> Option<String> {
        let meets = |other: &Door| {
            let (one, other_ip) = (door.address.ip(), other.address.ip());
            let ip = one == other_ip || one.is_unspecified() || other_ip.is_unspecified();
            other.protocol == door.protocol && other.address.port() == door.address.port() && ip
        };
        let places = self.doors.iter().find(|(other, _)| meets(other))?.1;
        let first = places.occupied.first().map(|(other, _)| self.name(other));
        first.or_else(|| places.hold.as_ref().map(|hold| hold.name.clone()))
    }

    fn name(&self, id: &str) -> String {
        self.containers.get(id).map_or_else(|| id.to_owned(), |container| container.behind.name.clone())
    }

    /// Replicas share a door that both ask for and nothing else; who takes another's place shares whatever that one has.
    fn are_kin(&self, newcomer: &Kin, other: &str, single: bool) -> bool {
        let Some(other) = self.containers.get(other).map(|container| &container.behind.kin) else { return false };
        let succeeds = newcomer.replaces.as_deref() == Some(other.id.as_str());
        let precedes = other.replaces.as_deref() == Some(newcomer.id.as_str());
        let replicas = single && newcomer.group.is_some() && newcomer.group == other.group;
        succeeds || precedes || replicas
    }

    /// A container comes, with its doors and the ports that they lead to.
    pub(crate) fn enter(&mut self, behind: Behind, doors: &[(Door, u16)], now: Instant) {
        let id = behind.kin.id.clone();
        for (door, port) in doors {
            let places = self.doors.entry(*door).or_default();
            places.occupied.push((id.clone(), *port));
            if let Some(hold) = &mut places.hold {
                hold.until = now + HOLD;
            }
        }
        let listens = !behind.has_ports;
        self.containers.insert(id, Container { behind, heard: BTreeSet::new(), listens, leaving: false });
    }

    /// Follows a change of a name.
    pub(crate) fn rename(&mut self, id: &str, name: &str) {
        if let Some(container) = self.containers.get_mut(id) {
            name.clone_into(&mut container.behind.name);
        }
    }

    /// What its healthcheck says now.
    pub(crate) fn tell(&mut self, id: &str, health: Health) {
        if let Some(container) = self.containers.get_mut(id) {
            container.behind.health = health;
            self.end_holds();
        }
    }

    /// Where it is seen to listen now; `listens` when that, or the wait for it, is enough to call it by its name.
    pub(crate) fn hear(&mut self, id: &str, heard: BTreeSet<Port>, listens: bool) {
        if let Some(container) = self.containers.get_mut(id) {
            container.heard = heard;
            container.listens |= listens;
            self.end_holds();
        }
    }

    /// It is about to be stopped, or not after all.
    pub(crate) fn leaving(&mut self, id: &str, leaving: bool) {
        if let Some(container) = self.containers.get_mut(id) {
            container.leaving = leaving;
        }
    }

    /// Has what comes to a door of a container wait for others (or for itself), until then.
    pub(crate) fn hold(&mut self, door: Door, of: &str, awaited: BTreeSet<String>, until: Instant) {
        let name = self.name(of);
        if let Some(places) = self.doors.get_mut(&door)
            && !awaited.is_empty()
        {
            places.hold = Some(Hold { of: Some(of.to_owned()), name, awaited, until });
        }
        self.end_holds();
    }

    /// Whoever a door is held for has to do without it.
    pub(crate) fn release(&mut self, door: Door) {
        if let Some(places) = self.doors.get_mut(&door) {
            places.hold = None;
        }
    }

    /// The doors of a container.
    pub(crate) fn doors_of(&self, id: &str) -> Vec<Door> {
        let has = |places: &Places| places.occupied.iter().any(|(other, _)| other == id);
        self.doors.iter().filter(|(_, places)| has(places)).map(|(door, _)| *door).collect()
    }

    /// It is gone from its networks.
    pub(crate) fn leave(&mut self, id: &str) {
        self.containers.remove(id);
        for places in self.doors.values_mut() {
            places.occupied.retain(|(other, _)| other != id);
        }
    }

    /// A container that was awaited could not be started or, `for_good`, is there no more.
    pub(crate) fn give_up(&mut self, id: &str, for_good: bool, now: Instant) {
        for hold in self.doors.values_mut().filter_map(|places| places.hold.as_mut()) {
            let was_awaited = hold.awaited.remove(id);
            let of_it = hold.of.as_deref() == Some(id);
            if of_it && (for_good || was_awaited) {
                hold.of = None;
            }
            if hold.awaited.is_empty() {
                let left = if hold.of.is_some() { SECOND_THOUGHT } else { Duration::ZERO };
                hold.until = hold.until.min(now + left);
            }
        }
    }

    /// Which container is behind a door for what comes now.
    pub(crate) fn choose(&mut self, door: Door, now: Instant) -> Choice {
        let Some(places) = self.doors.get(&door) else { return Choice::Nobody };
        let all = &places.occupied;
        let to = |(id, port): &(String, u16)| {
            let address = self.containers.get(id)?.behind.address?;
            Some((id.clone(), SocketAddr::new(address, *port)))
        };
        let some = |wanted: &dyn Fn(&str, u16) -> bool| -> Vec<_> {
            all.iter().filter(|(id, port)| wanted(id, *port)).filter_map(to).collect()
        };
        let live = |id: &str| self.is_live(id);
        let ready = some(&|id, port| self.is_ready_at(door, id, port) && !self.is_superseded_at(door, id));
        let held = places.hold.as_ref().map(|hold| hold.until).filter(|until| *until > now);
        let mut candidates = ready;
        if candidates.is_empty() {
            if let Some(until) = held {
                return Choice::Wait(until);
            }
            candidates = some(&|id, _| live(id) && !self.has_elder(all, id));
        }
        if candidates.is_empty() {
            candidates = some(&|id, _| live(id));
        }
        if candidates.is_empty() {
            candidates = some(&|_, _| true);
        }
        if candidates.is_empty() {
            return Choice::Nobody;
        }
        let Some(places) = self.doors.get_mut(&door) else { return Choice::Nobody };
        places.turn = places.turn.wrapping_add(1);
        let (id, address) = candidates.swap_remove(places.turn % candidates.len());
        Choice::To(id, address)
    }

    /// Whether a connection that came to a door and is carried to a container should be carried to another one, as soon as
    /// that can be.
    pub(crate) fn lets_go(&self, door: Door, id: &str, now: Instant) -> bool {
        let Some(places) = self.doors.get(&door) else { return true };
        if self.is_superseded_at(door, id) {
            return true;
        }
        let held = places.hold.as_ref().is_some_and(|hold| hold.until > now);
        !self.is_live(id) && (held || places.occupied.iter().any(|(other, _)| self.is_live(other)))
    }

    /// Whether a container has been seen to listen on a port.
    pub(crate) fn has_listened(&self, id: &str, protocol: Protocol, number: u16) -> bool {
        self.containers.get(id).is_some_and(|container| container.heard.contains(&Port { number, protocol }))
    }

    /// Gives a container the address at which it is reached.
    pub(crate) fn reached_at(&mut self, id: &str, address: Option<IpAddr>) {
        if let Some(container) = self.containers.get_mut(id) {
            container.behind.address = address;
        }
    }

    /// Whether somebody waits for a container to listen: because its place is another's still, or is held.
    pub(crate) fn awaits(&self, id: &str, now: Instant) -> bool {
        let waits = |(door, places): (&Door, &Places)| {
            let own = places.occupied.iter().find(|(other, _)| other == id);
            let held = places.hold.as_ref().is_some_and(|hold| hold.until > now);
            own.is_some_and(|(_, port)| !self.is_ready_at(*door, id, *port) && (held || places.occupied.len() > 1))
        };
        self.doors.iter().any(waits)
    }

    /// Those of some containers that a name means: never one that is being stopped, and one that is not ready only when
    /// there is no other.
    pub(crate) fn named<'a>(&self, ids: impl Iterator<Item = &'a str> + Clone) -> BTreeSet<&'a str> {
        let rank = |id: &str| {
            let container = self.containers.get(id)?;
            let superseded = self.containers.keys().any(|other| self.is_ready(other) && self.leads_to(other, id));
            match (container.leaving, self.is_ready(id) && !superseded) {
                (true, _) => None,
                (false, true) => Some(0),
                (false, false) => {
                    let elder = container.behind.kin.replaces.as_deref();
                    Some(if superseded || elder.is_some_and(|elder| self.is_live(elder)) { 2 } else { 1 })
                }
            }
        };
        let best = ids.clone().filter_map(rank).min();
        ids.filter(|id| best.is_some() && rank(id) == best).collect()
    }

    /// The doors that nobody is behind and nothing holds any more; they are forgotten.
    pub(crate) fn close(&mut self, now: Instant) -> Vec<Door> {
        for places in self.doors.values_mut() {
            places.hold = places.hold.take().filter(|hold| hold.until > now);
        }
        let over = |places: &Places| places.occupied.is_empty() && places.hold.is_none();
        let closed: Vec<Door> = self.doors.iter().filter(|(_, places)| over(places)).map(|(door, _)| *door).collect();
        self.doors.retain(|_, places| !over(places));
        closed
    }

    /// When the next hold ends.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.doors.values().filter_map(|places| places.hold.as_ref()).map(|hold| hold.until).min()
    }

    /// A hold is over as soon as one is ready.
    fn end_holds(&mut self) {
        let ready = |(door, places): (&Door, &Places)| {
            let any = places.occupied.iter().any(|(id, port)| self.is_ready_at(*door, id, *port));
            (any && places.hold.is_some()).then_some(*door)
        };
        let over: Vec<Door> = self.doors.iter().filter_map(ready).collect();
        for door in over {
            if let Some(places) = self.doors.get_mut(&door) {
                places.hold = None;
            }
        }
    }

    fn is_live(&self, id: &str) -> bool {
        self.containers.get(id).is_some_and(|container| !container.leaving)
    }

    fn is_ready(&self, id: &str) -> bool {
        self.containers.get(id).is_some_and(|container| match container.behind.health {
            _ if container.leaving => false,
            Health::Unchecked => container.listens,
            health => health == Health::Passed,
        })
    }

    fn is_ready_at(&self, door: Door, id: &str, port: u16) -> bool {
        let port = Port { number: port, protocol: door.protocol };
        self.containers.get(id).is_some_and(|container| match container.behind.health {
            _ if container.leaving => false,
            Health::Unchecked => container.heard.contains(&port),
            health => health == Health::Passed,
        })
    }

    /// Whether another one behind the door has taken a container's place.
    fn is_superseded_at(&self, door: Door, id: &str) -> bool {
        self.doors.get(&door).is_some_and(|places| {
            places.occupied.iter().any(|(other, port)| self.is_ready_at(door, other, *port) && self.leads_to(other, id))
        })
    }

    /// Whether a container is to take the place of one behind the same door that is still there.
    fn has_elder(&self, places: &[(String, u16)], id: &str) -> bool {
        places.iter().any(|(other, _)| self.is_live(other) && self.leads_to(id, other))
    }

    /// Whether a container takes the place of another, or of one that does.
    fn leads_to(&self, id: &str, elder: &str) -> bool {
        let mut at = id;
        for _ in 0..self.containers.len() {
            let Some(replaced) = self.containers.get(at).and_then(|it| it.behind.kin.replaces.as_deref()) else {
                break;
            };
            if replaced == elder {
                return true;
            }
            at = replaced;
        }
        false
    }
}

#[cfg(test)]
mod tests;
