//! What a container uses.

use super::super::Usage;
use super::Cgroup;

/// Version 1 writes "no limit" as the largest multiple of a page.
const NO_LIMIT: u64 = 1 << 62;

impl Cgroup {
    /// What the counters say; what is not counted here is zero.
    pub(in super::super) fn usage(&self) -> Usage {
        if self.unified { self.unified_usage() } else { self.divided_usage() }
    }

    fn number(&self, controller: &str, file: &str) -> Option<u64> {
        self.read(controller, file)?.trim().parse().ok()
    }

    fn unified_usage(&self) -> Usage {
        let text = |file| self.read("", file).unwrap_or_default();
        let processor = text("cpu.stat");
        let disks = text("io.stat");
        let disk = |name: &str| -> u64 {
            disks.split_whitespace().filter_map(|word| word.strip_prefix(name)?.parse::<u64>().ok()).sum()
        };
        Usage {
            cpu: field(&processor, "usage_usec").unwrap_or(0) * 1000,
            cpu_kernel: field(&processor, "system_usec").unwrap_or(0) * 1000,
            memory: self.number("", "memory.current").unwrap_or(0),
            memory_inactive_file: field(&text("memory.stat"), "inactive_file").unwrap_or(0),
            memory_limit: self.number("", "memory.max"),
            pids: self.number("", "pids.current").unwrap_or(0),
            pids_limit: self.number("", "pids.max"),
            blocks: (disk("rbytes="), disk("wbytes=")),
        }
    }

    fn divided_usage(&self) -> Usage {
        let memory = self.read("memory", "memory.stat").unwrap_or_default();
        let disks = self
            .read("blkio", "blkio.throttle.io_service_bytes_recursive")
            .or_else(|| self.read("blkio", "blkio.throttle.io_service_bytes"))
            .unwrap_or_default();
        Usage {
            cpu: self.number("cpuacct", "cpuacct.usage").unwrap_or(0),
            cpu_kernel: self.number("cpuacct", "cpuacct.usage_sys").unwrap_or(0),
            memory: self.number("memory", "memory.usage_in_bytes").unwrap_or(0),
            memory_inactive_file: field(&memory, "total_inactive_file").unwrap_or(0),
            memory_limit: self.number("memory", "memory.limit_in_bytes").filter(|limit| *limit < NO_LIMIT),
            pids: self.number("pids", "pids.current").unwrap_or(0),
            pids_limit: self.number("pids", "pids.max"),
            blocks: (operation(&disks, "Read"), operation(&disks, "Write")),
        }
    }
}

/// The number of a line `name number`.
pub(super) fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The sum over all disks of lines `8:0 Read 4096`.
fn operation(text: &str, name: &str) -> u64 {
    let of = |line: &str| {
        let mut words = line.split(' ').skip(1);
        (words.next() == Some(name)).then(|| words.next()?.parse::<u64>().ok()).flatten()
    };
    text.lines().filter_map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_name() {
        assert_eq!(field("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "oom_kill"), Some(3));
        assert_eq!(operation("8:0 Read 10\n8:0 Write 5\n8:16 Read 1\nTotal 16\n", "Read"), 11);
    }
}
