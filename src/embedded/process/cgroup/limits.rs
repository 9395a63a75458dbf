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
        self.weigh(resources)
    }

    /// Sets, before the container runs, what `libcontainer` gets wrong with one hierarchy: no swap at all becomes all there
    /// is, and the weight at the disks is reckoned in too few bits where the kernel lacks BFQ's files.
    pub(in super::super) fn correct(&self, resources: &LinuxResources) -> io::Result<()> {
        if !self.unified {
            return Ok(());
        }
        resources.memory().as_ref().map_or(Ok(()), |memory| self.unified_memory(memory))?;
        self.weigh(resources)
    }

    /// Sets the weight of its turns at the disks, where one is named.
    fn weigh(&self, resources: &LinuxResources) -> io::Result<()> {
        resources.block_io().as_ref().and_then(LinuxBlockIo::weight).map_or(Ok(()), |weight| self.disks(weight))
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

    /// Which file takes the weight depends on the scheduler that the kernel has.
    fn disks(&self, weight: u16) -> io::Result<()> {
        let (scheduled, plain, scaled) = if self.unified {
            ("io.bfq.weight", "io.weight", format!("default {}", disk_weight(weight)))
        } else {
            ("blkio.bfq.weight", "blkio.weight", weight.to_string())
        };
        if self.read("blkio", scheduled).is_some() {
            return self.write("blkio", scheduled, &weight.to_string());
        }
        self.write("blkio", plain, &scaled)
    }
}

/// No limit is a word.
fn or_max(value: i64) -> String {
    if value < 0 { "max".into() } else { value.to_string() }
}

/// Shares of version 1 (2 to 262144) as a weight of version 2 (1 to 10000), on a curve on which the usual 1024 are the
/// usual 100. It is the one by which a container gets its first weight.
fn weight(shares: u64) -> u32 {
    const MOST: u32 = 10_000;
    let shares = f64::from(u32::try_from(shares.clamp(2, 262_144)).unwrap_or(2)).log2();
    let weight = 10_f64.powf((shares * shares + 125.0 * shares) / 612.0 - 7.0 / 34.0);
    (1..MOST).find(|candidate| f64::from(*candidate) >= weight).unwrap_or(MOST)
}

/// A weight of version 1 (10 to 1000) as one of version 2 (1 to 10000).
fn disk_weight(weight: u16) -> u32 {
    1 + (u32::from(weight.clamp(10, 1000)) - 10) * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weights_end_to_end() {
        assert_eq!([weight(2), weight(512), weight(1024), weight(262_144)], [1, 59, 100, 10_000]);
        assert_eq!([disk_weight(10), disk_weight(500), disk_weight(1000)], [1, 4950, 10_000]);
    }
}
