//! Docker's default seccomp profile, and others in its format, as filters.
//!
//! A filter knows the calls of this machine's own kind of processor only. A program for another one (32 bits, x32) is
//! killed at its first call: the numbers of its calls mean something else, and no rule about arguments would hold.

mod bpf;
mod default;
mod profile;

use std::collections::BTreeSet;

use libcontainer::oci_spec::runtime::LinuxCapabilities;
use seccompiler::BpfProgram;

use super::super::error::Error;
use super::super::process::Seccomp;
use profile::Profile;

/// The filter of a container's processes, by the capabilities that they can have; none for who is not filtered. Takes well
/// below a millisecond.
pub fn filter(seccomp: &Seccomp, capabilities: Option<&LinuxCapabilities>) -> Result<Option<BpfProgram>, Error> {
    let bounding = capabilities.and_then(|sets| sets.bounding().as_ref());
    let names: BTreeSet<String> = bounding.into_iter().flatten().map(|name| format!("CAP_{name}")).collect();
    match seccomp {
        Seccomp::Unconfined => Ok(None),
        Seccomp::Default => bpf::compile(&default::rules(&names)).map(Some),
        Seccomp::Profile(text) => bpf::compile(&read(text)?.rules(&names)?).map(Some),
    }
}

/// Whether a profile can be used.
pub fn check(profile: &str) -> Result<(), Error> {
    bpf::compile(&read(profile)?.rules(&BTreeSet::new())?).map(drop)
}

fn read(text: &str) -> Result<Profile, Error> {
    serde_json::from_str(text).map_err(|error| Error::Invalid(format!("Decoding seccomp profile failed: {error}")))
}

/// What is done about a call, as the kernel counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Action(u32);

impl Action {
    const ALLOW: Self = Self(0x7fff_0000);
    const KILL_PROCESS: Self = Self(0x8000_0000);

    fn errno(number: u32) -> Self {
        Self(0x0005_0000 | (number & 0xffff))
    }
}

/// What a filter is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rules {
    /// About what no rule names.
    default: Action,
    rules: Vec<Rule>,
}

/// A call by name, under conditions that all hold, and what is done about it. A name that this kind of processor does not
/// have is passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    name: String,
    conditions: Vec<Condition>,
    action: Action,
}

/// About an argument, all 64 bits of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Condition {
    argument: u8,
    comparison: Comparison,
    value: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// Of these bits.
    Masked(u64),
}

#[cfg(test)]
mod tests;
