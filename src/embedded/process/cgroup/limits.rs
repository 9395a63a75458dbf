//! Changing the limits of a container that runs.

use std::io;

use libcontainer::oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources};

use super::Cgroup;

impl Cgroup {
    /// Sets the limits that are named; the others stay.
    pub(in super::super) fn limit(&self, resources: &LinuxResources) -> io::Result<()> {
        if let Some(memory) = resources.memory() {
            if self.unified { self.unified_memory(memory)? } else { self.divided_memory(memory)? }
        }
        if let Some(cpu) = resources.cpu() {
            self.processors(cpu)?;
        }
        if let Some(pids) = resources.pids() {
            self.write("pids", "pids.max", &or_max(pids.limit()))?;
        }
        if let Some(weight) = resources.block_io().as_ref().and_then(LinuxBlockIo::weight) {
            let file = if self.unified { "io.bfq.weight" } else { "blkio.bfq.weight" };
            self.write("blkio", file, &weight.to_string())?;
        }
        Ok(())
    }

    fn unified_memory(&self, memory: &LinuxMemory) -> io::Result<()> {
        if let (Some(limit), Some(swap)) = (memory.limit(), memory.swap())
            && self.read("", "memory.swap.max").is_some()
        {
            // What was asked for is memory and swap together.
            let swap = if swap < 0 { swap } else { (swap - limit).max(0) };
            self.write("", "memory.swap.max", &or_max(swap))?;
        }
        for (file, value) in [("memory.max", memory.limit()), ("memory.low", memory.reservation())] {
            if let Some(value) = value.filter(|value| *value != 0) {
                self.write("", file, &or_max(value))?;
            }
        }
        Ok(())
    }

    fn divided_memory(&self, memory: &LinuxMemory) -> io::Result<()> {
        let set = |file: &str, value: Option<i64>| match value.filter(|value| *value != 0) {
            Some(value) => self.write("memory", file, &value.to_string()),
            None => Ok(()),
        };
        let swap = memory.swap().filter(|_| self.read("memory", "memory.memsw.limit_in_bytes").is_some());
        let limit = || set("memory.limit_in_bytes", memory.limit());
        // Neither may ever exceed the other: which goes first depends on which way it goes.
        if limit().is_err() {
            set("memory.memsw.limit_in_bytes", swap)?;
            limit()?;
        } else {
            set("memory.memsw.limit_in_bytes", swap)?;
        }
        set("memory.soft_limit_in_bytes", memory.reservation())
    }

    fn processors(&self, cpu: &LinuxCpu) -> io::Result<()> {
        for (file, value) in [("cpuset.cpus", cpu.cpus()), ("cpuset.mems", cpu.mems())] {
            if let Some(value) = value {
                self.write("cpuset", file, value)?;
            }
        }
        if self.unified {
            if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
                self.write("cpu", "cpu.weight", &weight(shares).to_string())?;
            }
            if cpu.quota().is_some() || cpu.period().is_some() {
                let quota = cpu.quota().filter(|quota| *quota > 0).map_or("max".to_owned(), |quota| quota.to_string());
                self.write("cpu", "cpu.max", &format!("{quota} {}", cpu.period().unwrap_or(100_000)))?;
            }
            return Ok(());
        }
        let set = |file: &str, value: Option<String>| value.map_or(Ok(()), |value| self.write("cpu", file, &value));
        set("cpu.shares", cpu.shares().filter(|shares| *shares != 0).map(|shares| shares.to_string()))?;
        set("cpu.cfs_period_us", cpu.period().filter(|period| *period != 0).map(|period| period.to_string()))?;
        set("cpu.cfs_quota_us", cpu.quota().filter(|quota| *quota != 0).map(|quota| quota.to_string()))
    }
}

/// No limit is a word.
fn or_max(value: i64) -> String {
    if value < 0 { "max".into() } else { value.to_string() }
}

/// Shares of version 1 (2 to 262144) as a weight of version 2 (1 to 10000).
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weights_end_to_end() {
        assert_eq!([weight(2), weight(1024), weight(262_144)], [1, 39, 10_000]);
    }
}
