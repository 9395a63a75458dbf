//! Changes of a container that is there: its name, its limits, its networks. All run in its owner.

use bollard_stubs::models::{ContainerCreateBody, ContainerUpdateBody, EndpointSettings, HostConfig};

use super::create;
use super::owner::Owner;
use super::record::{Record, Status};
use crate::embedded::error::Error;
use crate::embedded::spec;

/// Gives it another name.
pub(super) async fn rename(owner: &mut Owner, name: &str) -> Result<(), Error> {
    let name = create::checked_name(name)?;
    let record = owner.record();
    if record.name == name {
        return Err(Error::Invalid("Renaming a container with the same name as its current name".into()));
    }
    owner.shared.table().reserve(&name, &record.id)?;
    let old = record.name.clone();
    let renamed = Record { name: name.clone(), ..Record::clone(&record) };
    if let Err(error) = owner.commit(renamed).await {
        owner.shared.table().release(&name, &record.id);
        return Err(error);
    }
    owner.shared.table().release(&old, &record.id);
    owner.shared.networks.rename(&record.id, &name).await;
    owner.shared.tell(&owner.record(), "rename", &[("oldName", &format!("/{old}"))]);
    Ok(())
}

/// Changes its limits and restart policy; returns what of it this machine cannot do.
pub(super) async fn update(owner: &mut Owner, body: ContainerUpdateBody) -> Result<Vec<String>, Error> {
    let record = owner.record();
    if record.state.status == Status::Removing {
        return Err(Error::Conflict("container is marked for removal and cannot be \"update\"".into()));
    }
    let mut host = record.host().clone();
    merge_limits(&mut host, body);
    // The container was looked at when it was made.
    super::merge::check(&ContainerCreateBody::default(), &host)?;
    let mut warnings = Vec::new();
    let resources = spec::resources(&host, &owner.shared.machine, Vec::new(), &mut warnings)?;
    if let Ok(running) = owner.running() {
        running.update(&resources).await?;
    }
    let mut changed = Record::clone(&record);
    changed.body.host_config = Some(host);
    owner.commit(changed).await?;
    owner.shared.tell(&owner.record(), "update", &[]);
    Ok(warnings)
}

/// What is named replaces what was; nought means that it is not named.
fn merge_limits(host: &mut HostConfig, body: ContainerUpdateBody) {
    macro_rules! numbers {
        ($($field:ident),*) => { $(
            if body.$field.is_some_and(|number| number != 0) {
                host.$field = body.$field;
            }
        )* };
    }
    macro_rules! texts {
        ($($field:ident),*) => { $(
            if body.$field.as_ref().is_some_and(|text| !text.is_empty()) {
                host.$field = body.$field;
            }
        )* };
    }
    numbers!(
        cpu_shares,
        memory,
        blkio_weight,
        cpu_period,
        cpu_quota,
        cpu_realtime_period,
        cpu_realtime_runtime,
        memory_reservation,
        memory_swap,
        nano_cpus
    );
    texts!(cpuset_cpus, cpuset_mems);
    if body.pids_limit.is_some() {
        host.pids_limit = body.pids_limit;
    }
    if let Some(policy) =
        body.restart_policy.filter(|policy| policy.name.is_some_and(|name| !name.to_string().is_empty()))
    {
        host.restart_policy = Some(policy);
    }
}

/// Puts it on one more network: now when it runs, else at its start.
pub(super) async fn connect(owner: &mut Owner, network: &str, settings: EndpointSettings) -> Result<(), Error> {
    let record = owner.record();
    let mode = record.network_mode().to_owned();
    if mode == "host" || mode.starts_with("container:") {
        let what = if mode == "host" { "host" } else { "container" };
        return Err(Error::Forbidden(format!(
            "container sharing network namespace with another container or host cannot be connected to any other network: \
             its network mode is {what}"
        )));
    }
    let found = owner.shared.networks.inspect(network).await?;
    let name = found.name.unwrap_or_else(|| network.to_owned());
    if name == "host" || name == "none" {
        return Err(Error::Forbidden(format!("cannot connect a container to the network {name} after it was made")));
    }
    if record.endpoints.contains_key(&name) && mode != "none" {
        return Err(Error::Forbidden(format!("endpoint with name {} already exists in network {name}", record.name)));
    }
    let mut changed = Record::clone(&record);
    if owner.running().is_ok() {
        let given = owner.shared.networks.connect(&record.id, &name, &settings).await?;
        changed.given.get_or_insert_default().endpoints.insert(name.clone(), given);
    }
    if mode == "none" {
        // From now on it is on networks like any other.
        changed.endpoints.clear();
        changed.body.host_config.get_or_insert_default().network_mode = Some(name.clone());
    }
    changed.endpoints.insert(name, settings);
    owner.commit(changed).await
}

/// Takes it off a network.
pub(super) async fn disconnect(owner: &mut Owner, network: &str, force: bool) -> Result<(), Error> {
    let record = owner.record();
    let found = owner.shared.networks.inspect(network).await;
    let name = match found {
        Ok(found) => found.name.unwrap_or_else(|| network.to_owned()),
        Err(_) if force => network.to_owned(),
        Err(error) => return Err(error),
    };
    if record.network_mode() == "host" && name == "host" {
        return Err(Error::Forbidden("container cannot be disconnected from host network or connected to it".into()));
    }
    if !record.endpoints.contains_key(&name) {
        return Err(Error::Forbidden(format!("container {} is not connected to network {name}", record.id)));
    }
    let mut changed = Record::clone(&record);
    if owner.running().is_ok() {
        owner.shared.networks.disconnect(&record.id, &name).await?;
        if let Some(given) = &mut changed.given {
            given.endpoints.remove(&name);
        }
    }
    changed.endpoints.remove(&name);
    if record.network_mode() == name {
        // It would be made anew at its next start.
        let next = changed.endpoints.keys().next().cloned().unwrap_or_else(|| "none".to_owned());
        changed.body.host_config.get_or_insert_default().network_mode = Some(next);
    }
    owner.commit(changed).await
}
