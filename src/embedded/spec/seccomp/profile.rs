//! A profile in Docker's JSON format.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::super::super::error::Error;
use super::{Action, Comparison, Condition, Rule, Rules};

/// Most arguments that a call has.
const ARGUMENTS: u8 = 6;
/// `EPERM`, where a profile names no other error.
const NOT_PERMITTED: u32 = 1;

/// The whole of it. What concerns other processors is passed over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Profile {
    default_action: String,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    syscalls: Option<Vec<Group>>,
}

/// Calls about which the same is done.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    /// As it was once written.
    name: Option<String>,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: String,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
    #[serde(default)]
    includes: Option<Filter>,
    #[serde(default)]
    excludes: Option<Filter>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

/// For which containers a group is meant. Kernels older than those that the engine runs on are passed over: what asks for
/// a least one is met.
#[derive(Debug, Default, Deserialize)]
struct Filter {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
}

impl Profile {
    /// What it says about a container with these capabilities.
    pub(super) fn rules(&self, capabilities: &BTreeSet<String>) -> Result<Rules, Error> {
        let mut rules = Vec::new();
        for group in self.syscalls.iter().flatten().filter(|group| group.applies(capabilities)) {
            let action = action(&group.action, group.errno_ret)?;
            let conditions = group.args.iter().flatten().map(Argument::condition).collect::<Result<Vec<_>, _>>()?;
            for name in group.name.iter().chain(group.names.iter().flatten()) {
                rules.push(Rule { name: name.clone(), conditions: conditions.clone(), action });
            }
        }
        Ok(Rules { default: action(&self.default_action, self.default_errno_ret)?, rules })
    }
}

impl Group {
    fn applies(&self, capabilities: &BTreeSet<String>) -> bool {
        let this = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let has_this = |arches: &Vec<String>| arches.iter().any(|arch| arch == this);
        let included = self.includes.as_ref().is_none_or(|filter| {
            filter.caps.iter().flatten().all(|name| capabilities.contains(name))
                && filter.arches.as_ref().is_none_or(|arches| arches.is_empty() || has_this(arches))
        });
        let excluded = self.excludes.as_ref().is_some_and(|filter| {
            filter.caps.iter().flatten().any(|name| capabilities.contains(name))
                || filter.arches.as_ref().is_some_and(has_this)
        });
        included && !excluded
    }
}

impl Argument {
    fn condition(&self) -> Result<Condition, Error> {
        if self.index >= ARGUMENTS {
            return Err(invalid(&format!("a call has no argument {}", self.index)));
        }
        let (comparison, value) = match self.op.as_str() {
            "SCMP_CMP_NE" => (Comparison::NotEqual, self.value),
            "SCMP_CMP_LT" => (Comparison::Less, self.value),
            "SCMP_CMP_LE" => (Comparison::LessOrEqual, self.value),
            "SCMP_CMP_EQ" => (Comparison::Equal, self.value),
            "SCMP_CMP_GE" => (Comparison::GreaterOrEqual, self.value),
            "SCMP_CMP_GT" => (Comparison::Greater, self.value),
            // The mask comes first.
            "SCMP_CMP_MASKED_EQ" => (Comparison::Masked(self.value), self.value_two),
            other => return Err(invalid(&format!("the comparison {other} is not known"))),
        };
        Ok(Condition { argument: self.index, comparison, value })
    }
}

fn action(name: &str, errno: Option<u32>) -> Result<Action, Error> {
    Ok(match name {
        "SCMP_ACT_ALLOW" => Action::ALLOW,
        "SCMP_ACT_ERRNO" => Action::errno(errno.unwrap_or(NOT_PERMITTED)),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action(0),
        "SCMP_ACT_KILL_PROCESS" => Action::KILL_PROCESS,
        "SCMP_ACT_TRAP" => Action(0x0003_0000),
        "SCMP_ACT_TRACE" => Action(0x7ff0_0000 | (errno.unwrap_or(NOT_PERMITTED) & 0xffff)),
        "SCMP_ACT_LOG" => Action(0x7ffc_0000),
        other => return Err(invalid(&format!("the action {other} is not supported"))),
    })
}

fn invalid(why: &str) -> Error {
    Error::Invalid(format!("Decoding seccomp profile failed: {why}"))
}
