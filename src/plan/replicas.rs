//! Which of a service's containers is which: the one that holds a number, the one that is to take its place, and those
//! that nobody needs.

use std::collections::BTreeMap;

use super::observed::{Container, Observed};

/// The containers that share one number of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica<'a> {
    /// The container that holds the number.
    pub current: &'a Container,
    /// The container that was made to take its place.
    pub replacement: Option<&'a Container>,
    /// What an interrupted run left behind.
    pub leftovers: Vec<&'a Container>,
}

impl<'a> Replica<'a> {
    /// The container that does the work now: of several that run the newest, else the one that holds the number.
    #[must_use]
    pub fn serving(&self) -> &'a Container {
        let mut newest_first = self.replacement.into_iter().chain(self.leftovers.iter().rev().copied());
        newest_first.find(|container| container.state.is_running()).unwrap_or(self.current)
    }
}

/// A service's containers by number, without those of `run`.
#[must_use]
pub fn replicas_of<'a>(observed: &'a Observed, service: &str) -> BTreeMap<u32, Replica<'a>> {
    let mut numbers: BTreeMap<u32, Vec<&Container>> = BTreeMap::new();
    for container in observed.containers.values().filter(|container| container.service == service) {
        if !container.one_off {
            numbers.entry(container.number).or_default().push(container);
        }
    }
    numbers.into_iter().filter_map(|(number, containers)| Some((number, replica(containers)?))).collect()
}

/// The newest of a service's containers that have this number.
#[must_use]
pub fn newest_of<'a>(observed: &'a Observed, service: &str, number: u32) -> Option<&'a Container> {
    let own = observed.containers.values().filter(|it| it.service == service && it.number == number && !it.one_off);
    own.max_by_key(|container| age(container))
}

/// The newest last; ids break ties so that the answer never depends on the order of a map.
fn age(container: &Container) -> (u64, &str) {
    (container.created_at, &container.id)
}

fn replica(mut containers: Vec<&Container>) -> Option<Replica<'_>> {
    containers.sort_by(|one, other| age(one).cmp(&age(other)));
    let is_replaced = |one: &Container| {
        containers.iter().any(|other| {
            other.id != one.id && other.replaces.as_ref().is_some_and(|name| *name == one.id || *name == one.name)
        })
    };
    let current =
        containers.iter().rev().find(|container| is_replaced(container)).or_else(|| containers.last()).copied()?;
    let replaces_current = |container: &&&Container| {
        container.replaces.as_ref().is_some_and(|name| *name == current.id || *name == current.name)
            && container.id != current.id
    };
    let replacement = containers.iter().rev().find(replaces_current).copied();
    let leftovers = containers
        .iter()
        .filter(|container| {
            container.id != current.id && replacement.is_none_or(|replacement| replacement.id != container.id)
        })
        .copied()
        .collect();
    Some(Replica { current, replacement, leftovers })
}
