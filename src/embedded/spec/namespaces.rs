//! Namespaces, and the settings of the kernel that go with them.

use std::collections::HashMap;

use libcontainer::oci_spec::runtime::{LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType};

use super::super::error::Error;
use super::{Namespace, NetworkNamespace, Request, unbuildable};

/// Settings of an IPC namespace.
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Those that a container has of its own or shares with another; those of the machine are not listed. One that is shared
/// is named by its path, so that a process that joins the container later finds it.
pub(super) fn namespaces(request: &Request<'_>) -> Result<Vec<LinuxNamespace>, Error> {
    let mut list: Vec<_> = namespace(LinuxNamespaceType::Mount, &Namespace::Own)?.into_iter().collect();
    if let NetworkNamespace::Path(path) = &request.network {
        list.extend(namespace(LinuxNamespaceType::Network, &Namespace::Path(path.clone()))?);
    }
    let own = Namespace::Own;
    let uts = if request.host.uts_mode.as_deref() == Some("host") { &Namespace::Host } else { &own };
    list.extend(namespace(LinuxNamespaceType::Uts, uts)?);
    list.extend(namespace(LinuxNamespaceType::Pid, &request.pid)?);
    list.extend(namespace(LinuxNamespaceType::Ipc, &request.ipc)?);
    list.extend(namespace(LinuxNamespaceType::Cgroup, &request.cgroup)?);
    Ok(list)
}

fn namespace(kind: LinuxNamespaceType, whose: &Namespace) -> Result<Option<LinuxNamespace>, Error> {
    let builder = LinuxNamespaceBuilder::default().typ(kind);
    let builder = match whose {
        Namespace::Host => return Ok(None),
        Namespace::Own => builder,
        Namespace::Path(path) => builder.path(path),
    };
    builder.build().map(Some).map_err(unbuildable)
}

/// Those that stay within the container.
pub(super) fn sysctls(
    asked: &HashMap<String, String>,
    request: &Request<'_>,
) -> Result<HashMap<String, String>, Error> {
    for name in asked.keys() {
        let refused = |why: &str| Err(Error::Invalid(format!("sysctl \"{name}\" is not allowed{why}")));
        let dotted = name.replace('/', ".");
        let parts_are_plain = dotted.split('.').all(|part| !part.is_empty() && part != "..");
        if !parts_are_plain || dotted.contains('\0') {
            return refused(": it is not the name of a setting");
        }
        if IPC.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
            if request.ipc == Namespace::Host {
                return refused(" with the machine's own IPC namespace");
            }
        } else if dotted.starts_with("net.") {
            if request.network == NetworkNamespace::Host {
                return refused(" in host network namespace");
            }
        } else if dotted != "kernel.domainname" || request.host.uts_mode.as_deref() == Some("host") {
            return refused(": it is the whole machine's, not a container's");
        }
    }
    Ok(asked.clone())
}
