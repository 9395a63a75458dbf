//! Which process has a port of the machine, as far as `/proc` tells.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use super::ports::Protocol;

/// `node (process 4711)`; `None` when nobody has it or it cannot be seen.
pub(super) fn process(protocol: Protocol, port: u16) -> Option<String> {
    let sockets: HashSet<String> = sockets("/proc/net", protocol, port).collect();
    if sockets.is_empty() {
        return None;
    }
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let mut all: Vec<u32> = fs::read_dir("/proc").ok()?.flatten().filter_map(number).collect();
    all.sort_unstable();
    let process = all.into_iter().find(|process| has_one(*process, &sockets))?;
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    Some(format!("{} (process {process})", name.trim()))
}

/// Whether anybody listens on a port in the network namespace of a process.
pub(super) fn listens(process: u32, protocol: Protocol, port: u16) -> bool {
    sockets(&format!("/proc/{process}/net"), protocol, port).next().is_some()
}

fn sockets(folder: &str, protocol: Protocol, port: u16) -> impl Iterator<Item = String> {
    let tables = match protocol {
        Protocol::Tcp => ["tcp", "tcp6"],
        Protocol::Udp => ["udp", "udp6"],
    };
    let read = move |table: &str| fs::read_to_string(format!("{folder}/{table}")).ok();
    tables.map(read).into_iter().flatten().flat_map(move |table| inodes(&table, port))
}

/// The sockets of a table of `/proc/net` that listen on a port, as links in `/proc/N/fd` name them.
fn inodes(table: &str, port: u16) -> Vec<String> {
    // Listening, and of UDP bound.
    const STATES: [&str; 2] = ["0A", "07"];
    let suffix = format!(":{port:04X}");
    let lines = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let listening =
        lines.filter(|fields| fields.len() > 9 && fields[1].ends_with(&suffix) && STATES.contains(&fields[3]));
    listening.map(|fields| format!("socket:[{}]", fields[9])).collect()
}

fn has_one(process: u32, sockets: &HashSet<String>) -> bool {
    let folder = PathBuf::from(format!("/proc/{process}/fd"));
    let Ok(files) = fs::read_dir(folder) else { return false };
    let targets = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
    targets.into_iter().any(|target| target.to_str().is_some_and(|target| sockets.contains(target)))
}
