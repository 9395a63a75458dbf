//! What was asked for → what `libcontainer` is given and what runs last inside, by what this machine has.

use std::io::Read as _;
use std::path::Path;

use libcontainer::oci_spec::runtime::{
    LinuxResources, PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process, Spec, UserBuilder,
};
use nix::sys::resource::{Resource, getrlimit};

use super::super::cgroup::{self, Cgroup};
use super::super::frame::Failure;
use super::super::inside::{Inside, PATH, Privileges, Report, has};
use super::super::{ContainerProcess, filter, propagation};
use super::{failed, open_inside};
use crate::embedded::spec::user::{self, Account};

/// Longest `/etc/passwd` and `/etc/group` that are read.
const LONGEST: u64 = 4 << 20;

/// The specification that is made, and what becomes of its process.
pub(super) fn make(
    container: &ContainerProcess,
    cgroup: &Cgroup,
    account: &Account,
    root: &Path,
    report: Report,
) -> Result<(Spec, Inside), Failure> {
    let mut spec = container.spec.clone();
    let mut process = spec.process().clone().unwrap_or_default();
    let wanted = process.capabilities().clone();
    let no_new_privileges = process.no_new_privileges().unwrap_or(false);
    let filter = filter::make(&container.seccomp, wanted.as_ref())?;
    let privileges = Privileges::new(wanted.as_ref(), account.uid, filter, no_new_privileges)
        .map_err(failed("read this machine's capabilities"))?;
    let mut environment = process.env().clone().unwrap_or_default();
    complete(&mut environment, &account.home, container.terminal, spec.hostname().as_deref());
    clamp(&mut process);
    be(&mut process, account)?;
    process
        .set_terminal(Some(container.terminal))
        .set_env(Some(environment.clone()))
        .set_capabilities(Some(privileges.left()));
    working_directory(root, process.cwd());
    let mut changes = propagation::changes(&container.propagated)?;
    changes.extend(container.shared_memory_of.map(propagation::shared_memory).transpose()?);
    let inside = Inside {
        arguments: process.args().clone().unwrap_or_default(),
        environment,
        changes,
        privileges,
        reaper: container.init,
        report,
    };
    let mut linux = spec.linux().clone().unwrap_or_default();
    let resources = linux.resources().clone().map(|resources| possible(resources, cgroup));
    linux.set_cgroups_path(Some(cgroup::path(&container.id))).set_seccomp(None).set_resources(resources);
    spec.set_process(Some(process)).set_linux(Some(linux));
    Ok((spec, inside))
}

/// Who a process is, by the accounts inside a root.
pub(in super::super) fn identity(root: &Path, name: &str, further: &[String]) -> Result<Account, Failure> {
    let read = |path: &str| -> String {
        let mut text = Vec::new();
        let opened = open_inside(root, Path::new(path)).map(std::fs::File::from);
        let opened = opened.ok().filter(|file| file.metadata().is_ok_and(|metadata| metadata.is_file()));
        // A file that is not there, or is none, names nobody.
        let _ = opened.map(|file| file.take(LONGEST).read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    };
    user::resolve(name, further, &read("/etc/passwd"), &read("/etc/group"))
        .map_err(|error| Failure { text: error.to_string(), code: 126 })
}

/// Makes a process that account's.
pub(in super::super) fn be(process: &mut Process, account: &Account) -> Result<(), Failure> {
    let mut user =
        UserBuilder::default().uid(account.uid).gid(account.gid).additional_gids(account.additional_gids.clone());
    if let Some(umask) = process.user().umask() {
        user = user.umask(umask);
    }
    process.set_user(user.build().map_err(failed("name the container's user"))?);
    Ok(())
}

/// The environment of a command in a container.
pub(in super::super) fn environment(given: &[String], account: &Account, terminal: bool, spec: &Spec) -> Vec<String> {
    let mut environment = given.to_vec();
    complete(&mut environment, &account.home, terminal, spec.hostname().as_deref());
    environment
}

/// What Docker sets where it is not set.
fn complete(environment: &mut Vec<String>, home: &str, terminal: bool, host: Option<&str>) {
    let mut add = |name: &str, value: &str| {
        let is = |variable: &String| variable.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
        if !environment.iter().any(is) {
            environment.push(format!("{name}={value}"));
        }
    };
    add("PATH", PATH);
    if let Some(host) = host {
        add("HOSTNAME", host);
    }
    if terminal {
        add("TERM", "xterm");
    }
    add("HOME", home);
    // The later of two of one name counts.
    let mut seen = std::collections::HashSet::new();
    let mut kept: Vec<String> = Vec::with_capacity(environment.len());
    for variable in environment.drain(..).rev() {
        if seen.insert(variable.split('=').next().unwrap_or_default().to_owned()) {
            kept.push(variable);
        }
    }
    kept.reverse();
    *environment = kept;
}

/// Leaves out what needs a capability that this machine withholds.
pub(in super::super) fn clamp(process: &mut Process) {
    if has("CAP_SYS_RESOURCE") {
        return;
    }
    let limits = process.rlimits().clone().map(|limits| limits.iter().map(within).collect());
    process.set_rlimits(limits);
    let own = std::fs::read_to_string(super::OOM_SCORE).ok().and_then(|text| text.trim().parse::<i32>().ok());
    let score = process.oom_score_adj().map(|score| score.max(own.unwrap_or(0)));
    process.set_oom_score_adj(score);
}

/// A limit no higher than this process's own.
fn within(limit: &PosixRlimit) -> PosixRlimit {
    let own = getrlimit(resource(limit.typ())).ok();
    let hard = own.map_or(limit.hard(), |(_, own)| limit.hard().min(own));
    let builder = PosixRlimitBuilder::default().typ(limit.typ()).hard(hard).soft(limit.soft().min(hard));
    builder.build().unwrap_or(*limit)
}

fn resource(kind: PosixRlimitType) -> Resource {
    match kind {
        PosixRlimitType::RlimitCpu => Resource::RLIMIT_CPU,
        PosixRlimitType::RlimitFsize => Resource::RLIMIT_FSIZE,
        PosixRlimitType::RlimitData => Resource::RLIMIT_DATA,
        PosixRlimitType::RlimitStack => Resource::RLIMIT_STACK,
        PosixRlimitType::RlimitCore => Resource::RLIMIT_CORE,
        PosixRlimitType::RlimitRss => Resource::RLIMIT_RSS,
        PosixRlimitType::RlimitNproc => Resource::RLIMIT_NPROC,
        PosixRlimitType::RlimitNofile => Resource::RLIMIT_NOFILE,
        PosixRlimitType::RlimitMemlock => Resource::RLIMIT_MEMLOCK,
        PosixRlimitType::RlimitAs => Resource::RLIMIT_AS,
        PosixRlimitType::RlimitLocks => Resource::RLIMIT_LOCKS,
        PosixRlimitType::RlimitSigpending => Resource::RLIMIT_SIGPENDING,
        PosixRlimitType::RlimitMsgqueue => Resource::RLIMIT_MSGQUEUE,
        PosixRlimitType::RlimitNice => Resource::RLIMIT_NICE,
        PosixRlimitType::RlimitRtprio => Resource::RLIMIT_RTPRIO,
        PosixRlimitType::RlimitRttime => Resource::RLIMIT_RTTIME,
    }
}

/// Of the limits those whose controllers this machine has.
fn possible(mut resources: LinuxResources, cgroup: &Cgroup) -> LinuxResources {
    if cgroup.is_unified() {
        if let Some(mut disks) = resources.block_io().clone() {
            // Set after the making, see `Cgroup::correct`.
            disks.set_weight(None);
            resources.set_block_io(Some(disks));
        }
        return resources;
    }
    resources.set_network(None);
    if !cgroup.has("hugetlb") {
        resources.set_hugepage_limits(None);
    }
    if !cgroup.has("memory") {
        resources.set_memory(None);
    }
    if let Some(mut memory) = *resources.memory()
        && !cgroup.counts_swap()
    {
        memory.set_swap(None);
        resources.set_memory(Some(memory));
    }
    if !cgroup.has("pids") {
        resources.set_pids(None);
    }
    if !cgroup.has("blkio") {
        resources.set_block_io(None);
    }
    if let Some(mut cpu) = resources.cpu().clone() {
        if !cgroup.has("cpuset") {
            cpu.set_cpus(None).set_mems(None);
        }
        resources.set_cpu(Some(cpu).filter(|_| cgroup.has("cpu")));
    }
    resources
}

/// Docker makes the working directory where the image has none. One that cannot be made is said to be missing later.
fn working_directory(root: &Path, path: &Path) {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2};
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(mut at) = openat(CWD, root, folder, Mode::empty()) else { return };
    let Ok(top) = at.try_clone() else { return };
    let mut reached = std::path::PathBuf::from(".");
    for part in path.components() {
        let std::path::Component::Normal(part) = part else { continue };
        reached.push(part);
        // From the top each time: a link may lead elsewhere, though never out.
        let next = openat2(&top, &reached, folder, Mode::empty(), ResolveFlags::IN_ROOT).or_else(|_| {
            mkdirat(&at, part, Mode::from_raw_mode(0o755))?;
            openat2(&at, part, folder, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
        });
        match next {
            Ok(next) => at = next,
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_sets_is_set_where_it_is_missing_and_the_later_of_two_counts() {
        let mut environment = vec!["A=1".into(), "HOME=/x".into(), "A=2".into(), "PATHS=1".into()];
        complete(&mut environment, "/root", true, Some("web"));
        assert_eq!(environment, ["HOME=/x", "A=2", "PATHS=1", &format!("PATH={PATH}"), "HOSTNAME=web", "TERM=xterm"]);
    }
}
