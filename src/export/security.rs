//! What a container may do: what the manifest says, and beyond that as little as the restricted Pod Security Standard
//! allows, where it is known that the image runs as somebody else than root. Where it is not, the reason is told.
//!
//! Source: the Kubernetes documentation, "Pod Security Standards".

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Capabilities, SELinuxOptions, SeccompProfile, SecurityContext};

use crate::project::{Networking, Service, Sharing};

use super::{Context, Export, service_key};

/// As whom a container runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum User {
    /// As one who is not root.
    Somebody { user: i64, group: Option<i64> },
    /// As root.
    Root { group: Option<i64> },
    /// Nobody says, or only the image knows.
    Unknown(String),
}

/// As whom a service's container runs: what the manifest says, else what its Dockerfile does.
pub(super) fn user(context: &Context<'_>, service: &Service) -> User {
    let written = service.user.as_deref();
    let Some(user) = written.or(context.facts(service).user.as_deref()) else {
        let reason = "nobody says as whom its image runs: write `user` with a number that is not 0";
        return User::Unknown(reason.to_owned());
    };
    match numeric_user(user) {
        Some((0, group)) => User::Root { group },
        Some((user, group)) => User::Somebody { user, group },
        None => {
            let number = if written.is_some() { "write its number" } else { "write `user` with its number" };
            User::Unknown(format!("`{user}` is a name that only the image knows: {number}"))
        }
    }
}

/// The numbers of `uid` and `uid:gid`; `root` is 0 in every image.
pub(super) fn numeric_user(user: &str) -> Option<(i64, Option<i64>)> {
    let number = |text: &str| match text {
        "root" => Some(0),
        text => text.parse::<u32>().ok().filter(|id| i32::try_from(*id).is_ok()).map(i64::from),
    };
    match user.split_once(':') {
        Some((user, group)) => Some((number(user)?, Some(number(group)?))),
        None => Some((number(user)?, None)),
    }
}

/// The security context of a service's container.
pub(super) fn of(context: &Context<'_>, service: &Service, export: &mut Export) -> SecurityContext {
    let user = user(context, service);
    if let (User::Unknown(_), Some(name)) = (&user, &service.user) {
        let reason = format!("Kubernetes takes numbers only, and `{name}` is a name inside the image");
        export.dropped(service_key(service, "user"), reason);
    }
    let options = security_options(service, export);
    let add: BTreeSet<String> = service.cap_add.iter().map(|name| capability(name)).collect();
    let mut drop: BTreeSet<String> = service.cap_drop.iter().map(|name| capability(name)).collect();
    let is_somebody = matches!(user, User::Somebody { .. });
    if is_somebody && !service.privileged {
        // The engine leaves a process that is not root no capabilities either.
        drop = BTreeSet::from(["ALL".to_owned()]);
    }
    let escalates = service.privileged || add.contains("SYS_ADMIN") || add.contains("ALL");
    if let Some(reason) = why_not(service, &user, &add, &options) {
        export.unrestricted.insert(service.name.clone(), reason);
    }
    let (run_as_user, run_as_group) = match user {
        User::Somebody { user, group } => (Some(user), group),
        User::Root { group } => (Some(0), group),
        User::Unknown(_) => (None, None),
    };
    let list = |names: BTreeSet<String>| (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>());
    let (add, drop) = (list(add), list(drop));
    SecurityContext {
        allow_privilege_escalation: (!escalates).then_some(false),
        capabilities: (add.is_some() || drop.is_some()).then_some(Capabilities { add, drop }),
        privileged: service.privileged.then_some(true),
        read_only_root_filesystem: service.read_only.then_some(true),
        run_as_group,
        run_as_non_root: is_somebody.then_some(true),
        run_as_user,
        se_linux_options: options.se_linux,
        seccomp_profile: (!service.privileged).then(|| profile(options.is_unconfined)),
        ..SecurityContext::default()
    }
}

/// A seccomp profile: the runtime's, or none at all.
pub(super) fn profile(is_unconfined: bool) -> SeccompProfile {
    let type_ = if is_unconfined { "Unconfined" } else { "RuntimeDefault" };
    SeccompProfile { type_: type_.to_owned(), localhost_profile: None }
}

/// Why the restricted standard is not met, the first reason.
fn why_not(service: &Service, user: &User, add: &BTreeSet<String>, options: &SecurityOptions) -> Option<String> {
    let shares = |sharing: &Option<Sharing>| matches!(sharing, Some(Sharing::Mode(mode)) if mode == "host");
    if service.privileged {
        return Some("it is `privileged`".to_owned());
    }
    if service.networking == Networking::Host {
        return Some("it uses the node's network (`network_mode: host`)".to_owned());
    }
    if shares(&service.namespaces.pid) || shares(&service.namespaces.ipc) {
        return Some("it uses namespaces of the node (`pid` or `ipc: host`)".to_owned());
    }
    if let Some(name) = add.iter().find(|name| *name != "NET_BIND_SERVICE") {
        return Some(format!("it is given the capability `{name}` (`cap_add`)"));
    }
    if options.is_unconfined {
        return Some("it runs without a seccomp profile (`security_opt`)".to_owned());
    }
    match user {
        User::Somebody { .. } => None,
        User::Root { .. } => Some("it runs as root: write `user` with a number that is not 0".to_owned()),
        User::Unknown(reason) => Some(reason.clone()),
    }
}

#[derive(Default)]
struct SecurityOptions {
    is_unconfined: bool,
    se_linux: Option<SELinuxOptions>,
}

fn security_options(service: &Service, export: &mut Export) -> SecurityOptions {
    let mut found = SecurityOptions::default();
    for option in &service.security_opt {
        let (name, value) = option.split_once(['=', ':']).unwrap_or((option, "true"));
        let key = || service_key(service, &format!("security_opt.{option}"));
        match (name, value) {
            ("no-new-privileges", "true") => {}
            ("no-new-privileges", _) => {
                export.approximated(key(), "new privileges are not given, as to every other container");
            }
            ("seccomp", "unconfined") => found.is_unconfined = true,
            ("label", value) => match value.split_once(':') {
                Some((part, value)) => {
                    let options = found.se_linux.get_or_insert_default();
                    let field = match part {
                        "user" => &mut options.user,
                        "role" => &mut options.role,
                        "type" => &mut options.type_,
                        "level" => &mut options.level,
                        _ => continue,
                    };
                    *field = Some(value.to_owned());
                }
                None => export.dropped(key(), "a cluster's nodes decide whether SELinux is used"),
            },
            ("seccomp", _) => export.dropped(key(), "the profile has to be on the nodes; the runtime's own is used"),
            _ => export.dropped(key(), "no field of a container says it"),
        }
    }
    found
}

/// `CAP_NET_ADMIN` and `net_admin` are `NET_ADMIN`.
fn capability(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
}

#[cfg(test)]
mod tests {
    use super::{capability, numeric_user};

    #[test]
    fn only_numbers_and_root_are_users() {
        assert_eq!(numeric_user("1000:50"), Some((1000, Some(50))));
        assert_eq!(numeric_user("root"), Some((0, None)));
        assert_eq!(numeric_user("node"), None);
        assert_eq!(numeric_user("1000:staff"), None);
        assert_eq!(numeric_user("4294967295"), None);
    }

    #[test]
    fn a_capability_loses_its_prefix() {
        assert_eq!(capability("cap_sys_ptrace"), "SYS_PTRACE");
    }
}
