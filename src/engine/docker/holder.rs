//! Who holds a port of this machine: a process, as far as `/proc` tells. Never changes anything.

use std::fs;
use std::path::Path;

/// The process that listens on a TCP port or has a UDP port: `node (process 4711)`. `None` when nobody does, when the
/// process belongs to somebody else, or on a system without `/proc`.
pub(super) fn process(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["tcp", "tcp6", "udp", "udp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/net/{table}")).ok())
        .flat_map(|table| sockets(&table, port))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let mut processes: Vec<u32> =
        fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    processes.sort_unstable();
    let holder = processes.into_iter().find(|process| holds(*process, &inodes))?;
    let name = fs::read_to_string(format!("/proc/{holder}/comm")).ok()?;
    Some(format!("{} (process {holder})", name.trim()))
}

/// The inodes of the sockets bound to a port in a table of `/proc/net`.
fn sockets(table: &str, port: u16) -> Vec<String> {
    let listening = |state: &str| state == "0A" || state == "07";
    let inode = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, local) = fields.get(1)?.rsplit_once(':')?;
        let matches = u16::from_str_radix(local, 16).ok()? == port && listening(fields.get(3)?);
        matches.then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
    };
    table.lines().skip(1).filter_map(inode).collect()
}

fn holds(process: u32, inodes: &[String]) -> bool {
    let Ok(files) = fs::read_dir(Path::new("/proc").join(process.to_string()).join("fd")) else { return false };
    files.flatten().any(|file| {
        let target = fs::read_link(file.path()).unwrap_or_default();
        let target = target.to_string_lossy();
        let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        inode.is_some_and(|inode| inodes.iter().any(|known| known == inode))
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::process;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_that_listens_on_a_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let holder = process(port).expect("this process");
        assert!(holder.contains(&format!("(process {})", std::process::id())), "{holder}");
    }
}
