//! A service as `run` changes it: another command, more variables, mounts and ports, a name of its own.

use std::path::Path;
use std::time::SystemTime;

use super::Arguments;
use crate::cli::build::variable;
use crate::cli::error::Error;
use crate::plan::spec::{self, ContainerSpec, label};
use crate::project::{Mount, MountSource, Port, Project, Protocol, Published, RestartPolicy, Service, Volume};

/// The service with what the command line says. A volume that the manifest does not know is added to the project, as
/// one that exists outside it.
pub(super) fn service(
    project: &mut Project,
    name: &str,
    command: &[String],
    arguments: &Arguments,
    tty: bool,
) -> Result<Service, Error> {
    let Some(mut service) = project.services.get(name).cloned() else {
        return Err(Error::UnknownService { name: name.to_owned(), known: Vec::new() });
    };
    if !command.is_empty() {
        service.command = Some(command.to_vec());
    }
    if let Some(entrypoint) = &arguments.entrypoint {
        let words = shell_words::split(entrypoint);
        service.entrypoint = Some(words.map_err(|_| Error::usage(format!("`{entrypoint}` has an open quotation")))?);
        // As with docker, another program does not get the service's arguments.
        if command.is_empty() {
            service.command = Some(Vec::new());
        }
    }
    service.environment.extend(arguments.env.iter().map(|text| variable(text)));
    for text in &arguments.label {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        service.labels.insert(key.to_owned(), value.to_owned());
    }
    for text in &arguments.volume {
        let mount = mount(project, text)?;
        service.mounts.retain(|other| other.target != mount.target);
        service.mounts.push(mount);
    }
    if !arguments.service_ports {
        service.ports = arguments.publish.iter().map(|text| port(text)).collect::<Result<_, _>>()?;
    }
    service.user = arguments.user.clone().or(service.user);
    service.working_dir = arguments.workdir.clone().or(service.working_dir);
    let slug = slug();
    service.container_name =
        Some(arguments.name.clone().unwrap_or_else(|| format!("{}-{}-run-{slug}", project.name, service.name)));
    service.restart = RestartPolicy::No;
    service.tty = tty;
    service.stdin_open = !arguments.detach;
    service.labels.insert("com.docker.compose.slug".into(), slug);
    Ok(service)
}

/// What its container is made from.
pub(super) fn spec(project: &Project, service: &Service, image: &str, use_aliases: bool) -> ContainerSpec {
    let mut spec = spec::container(project, service, 1, image, None);
    spec.labels.insert(label::ONE_OFF.into(), "True".into());
    if !use_aliases {
        for endpoint in &mut spec.networks {
            endpoint.aliases.retain(|alias| *alias == spec.name);
        }
    }
    spec
}

/// Twelve hexadecimal digits that no other run of this moment has.
fn slug() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mixed = now.as_nanos() ^ (u128::from(std::process::id()) << 40);
    format!("{:012x}", mixed & 0xffff_ffff_ffff)
}

/// Reads `SOURCE:TARGET[:OPTIONS]` or `TARGET`.
fn mount(project: &mut Project, text: &str) -> Result<Mount, Error> {
    let wrong = || Error::Usage {
        message: format!("`{text}` is not a volume"),
        hint: Some("write `./folder:/path`, `name:/path` or `/path`, with `:ro` after it for reading only".into()),
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => (None, target, ""),
        [source, target] => (Some(source), target, ""),
        [source, target, options] => (Some(source), target, options),
        _ => return Err(wrong()),
    };
    let read_only = match options {
        "" | "rw" => false,
        "ro" => true,
        _ => return Err(wrong()),
    };
    if !target.starts_with('/') {
        return Err(wrong());
    }
    let source = match source {
        None => MountSource::Anonymous { nocopy: false, labels: std::collections::BTreeMap::new() },
        Some("") => return Err(wrong()),
        Some(path) if path.starts_with(['.', '/', '~']) => bind(path)?,
        Some(name) => {
            let outside = || Volume { name: name.to_owned(), external: true, ..Volume::default() };
            project.volumes.entry(name.to_owned()).or_insert_with(outside);
            MountSource::Volume { key: name.to_owned(), nocopy: false, subpath: None }
        }
    };
    Ok(Mount { target: target.to_owned(), read_only, source })
}

fn bind(path: &str) -> Result<MountSource, Error> {
    let path = match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path.into(),
    };
    let path = std::path::absolute(&path).map_err(Error::io(format!("find `{}`", path.display())))?;
    Ok(MountSource::Bind { path, create_host_path: true, propagation: None, selinux: None, recursion: None })
}

/// Reads `[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]`.
fn port(text: &str) -> Result<Port, Error> {
    let wrong = || Error::Usage {
        message: format!("`{text}` is not a port"),
        hint: Some("write `8080:80`, `127.0.0.1:8080:80` or `80`, with `/udp` after it for UDP".into()),
    };
    let (rest, protocol) = match text.rsplit_once('/') {
        None | Some((_, "tcp")) => (text.trim_end_matches("/tcp"), Protocol::Tcp),
        Some((rest, "udp")) => (rest, Protocol::Udp),
        Some((rest, "sctp")) => (rest, Protocol::Sctp),
        Some(_) => return Err(wrong()),
    };
    let number = |text: &str| text.parse().ok().filter(|number| *number > 0).ok_or_else(wrong);
    let (host, target) = match rest.rsplit_once(':') {
        None => (None, number(rest)?),
        Some((host, target)) => (Some(host), number(target)?),
    };
    let (host_ip, published) = match host.map(|host| host.rsplit_once(':').map_or((None, host), |(a, b)| (Some(a), b)))
    {
        None => (None, Published::Ephemeral),
        Some((address, "")) => (address, Published::Ephemeral),
        Some((address, number_text)) => (address, Published::Port(number(number_text)?)),
    };
    let host_ip = host_ip.map(|address| address.trim_matches(['[', ']']).to_owned());
    if host_ip.as_ref().is_some_and(|address| address.parse::<std::net::IpAddr>().is_err()) {
        return Err(wrong());
    }
    Ok(Port { target, published, host_ip, protocol, name: None, app_protocol: None })
}

#[cfg(test)]
mod tests {
    use super::port;
    use crate::project::{Protocol, Published};

    #[test]
    fn a_port_has_an_address_a_host_side_and_a_protocol() {
        let read = |text| {
            let port = port(text).ok()?;
            Some((port.host_ip, port.published, port.target, port.protocol))
        };
        assert_eq!(read("80"), Some((None, Published::Ephemeral, 80, Protocol::Tcp)));
        assert_eq!(read("8080:80/udp"), Some((None, Published::Port(8080), 80, Protocol::Udp)));
        let address = Some("127.0.0.1".to_owned());
        assert_eq!(read("127.0.0.1:8080:80"), Some((address.clone(), Published::Port(8080), 80, Protocol::Tcp)));
        assert_eq!(read("127.0.0.1::80/tcp"), Some((address, Published::Ephemeral, 80, Protocol::Tcp)));
        assert_eq!(read("[::1]:8080:80"), Some((Some("::1".into()), Published::Port(8080), 80, Protocol::Tcp)));
        for wrong in ["", "0", "a", "80/x", "70000", "8080:", "x:8080:80", "8080:80:tcp"] {
            assert_eq!(read(wrong), None, "`{wrong}` was taken");
        }
    }
}
