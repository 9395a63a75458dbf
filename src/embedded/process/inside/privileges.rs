//! What a program may do: capabilities and system calls.
//!
//! A filter of system calls can only be installed by a process that has `CAP_SYS_ADMIN` or has given up gaining privileges
//! by executing (`no_new_privs`), which Docker's containers do not: so `libcontainer` is asked to leave two capabilities
//! more than wanted, and they are given up here, after the filter is there.

use std::collections::HashSet;
use std::str::FromStr as _;

use caps::{CapSet, Capability, CapsHashSet};
use libcontainer::capabilities::CapabilityExt;
use libcontainer::oci_spec::runtime::{Capabilities, LinuxCapabilities, LinuxCapabilitiesBuilder};
use seccompiler::BpfProgram;

use super::super::frame::Failure;

/// What the work between `libcontainer` and the program needs.
const NEEDED: [Capability; 2] = [Capability::CAP_SYS_ADMIN, Capability::CAP_SETPCAP];

/// What the program is left with.
#[derive(Debug, Clone)]
pub(in super::super) struct Privileges {
    bounding: CapsHashSet,
    effective: CapsHashSet,
    permitted: CapsHashSet,
    inheritable: CapsHashSet,
    ambient: CapsHashSet,
    /// Whether the user is not the superuser: executing takes all but ambient capabilities from it.
    common: bool,
    /// Which system calls it may make; `None` all.
    filter: Option<BpfProgram>,
    /// Whether executing may give no further privileges.
    fixed: bool,
}

impl Privileges {
    /// Of what a specification asks for, what this process itself has.
    pub(in super::super) fn new(
        wanted: Option<&LinuxCapabilities>,
        uid: u32,
        filter: Option<BpfProgram>,
        no_new_privileges: bool,
    ) -> Result<Self, caps::errors::CapsError> {
        let own = caps::read(None, CapSet::Permitted)?;
        let set = |get: fn(&LinuxCapabilities) -> &Option<Capabilities>| -> CapsHashSet {
            let wanted = wanted.and_then(|wanted| get(wanted).as_ref());
            wanted.into_iter().flatten().map(CapabilityExt::to_cap).filter(|it| own.contains(it)).collect()
        };
        Ok(Self {
            bounding: set(LinuxCapabilities::bounding),
            effective: set(LinuxCapabilities::effective),
            permitted: set(LinuxCapabilities::permitted),
            inheritable: set(LinuxCapabilities::inheritable),
            ambient: set(LinuxCapabilities::ambient),
            common: uid != 0,
            filter,
            fixed: no_new_privileges,
        })
    }

    /// All that this process has, for a command that was asked to be privileged.
    pub(in super::super) fn all(&mut self) -> Result<(), caps::errors::CapsError> {
        let own = caps::read(None, CapSet::Permitted)?;
        self.bounding.clone_from(&own);
        self.effective.clone_from(&own);
        self.permitted = own;
        Ok(())
    }

    /// What `libcontainer` has to leave.
    pub(in super::super) fn left(&self) -> LinuxCapabilities {
        let own = caps::read(None, CapSet::Permitted).unwrap_or_default();
        let needed: CapsHashSet = NEEDED.into_iter().filter(|capability| own.contains(capability)).collect();
        let with = |set: &CapsHashSet| -> Capabilities {
            use libcontainer::oci_spec::runtime::Capability as Named;
            set.union(&needed).map(|capability| Named::from_cap(*capability)).collect()
        };
        let permitted: HashSet<_> = self.permitted.union(&self.bounding).copied().collect();
        LinuxCapabilitiesBuilder::default()
            .bounding(with(&self.bounding))
            .effective(with(&permitted))
            .permitted(with(&permitted))
            .inheritable(Capabilities::new())
            .ambient(Capabilities::new())
            .build()
            .expect("every set has been given")
    }

    /// Whether the process that made this one has to [`answer`](super::answer) it.
    pub(in super::super) fn needs_tracer(&self) -> bool {
        self.filter.is_some() && !self.fixed
    }

    /// Runs something with the rights that the program will have.
    pub(super) fn as_program<T>(&self, run: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        let effective = caps::read(None, CapSet::Effective).map_err(failed("read capabilities"))?;
        let ours = if self.common { &self.ambient } else { &self.effective };
        let ours: CapsHashSet = ours.intersection(&effective).copied().collect();
        caps::set(None, CapSet::Effective, &ours).map_err(failed("put capabilities aside"))?;
        let result = run();
        caps::set(None, CapSet::Effective, &effective).map_err(failed("take capabilities back"))?;
        result
    }

    /// Installs the filter and gives up everything else; to be called last.
    pub(super) fn drop_all(&self) -> Result<(), Failure> {
        for capability in
            caps::read(None, CapSet::Bounding).map_err(failed("read capabilities"))?.difference(&self.bounding)
        {
            caps::drop(None, CapSet::Bounding, *capability).map_err(failed("give up capabilities"))?;
        }
        if let Some(filter) = &self.filter {
            if self.needs_tracer() {
                super::tracer::ask().map_err(failed("be traced while the filter is installed"))?;
            }
            seccompiler::apply_filter(filter).map_err(failed("install the filter of system calls"))?;
        }
        // Inheritable ones first: they may not exceed what is permitted later.
        let set = |set, value: &CapsHashSet| caps::set(None, set, value).map_err(failed("give up capabilities"));
        set(CapSet::Inheritable, &self.inheritable)?;
        set(CapSet::Effective, &self.effective.intersection(&self.permitted).copied().collect())?;
        set(CapSet::Permitted, &self.permitted)?;
        for capability in &self.ambient {
            caps::raise(None, CapSet::Ambient, *capability).map_err(failed("keep ambient capabilities"))?;
        }
        Ok(())
    }
}

/// Whether this process may do more with its resource limits than lower them.
pub(in super::super) fn has(name: &str) -> bool {
    Capability::from_str(name)
        .is_ok_and(|capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false))
}

fn failed<E: std::fmt::Display>(tried: &str) -> impl FnOnce(E) -> Failure {
    let tried = tried.to_owned();
    move |error| Failure { text: format!("cannot {tried} of the container's process: {error}"), code: 128 }
}
