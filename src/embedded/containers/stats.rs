//! What a container uses, in the form that `docker stats` computes its percentages from.

use std::sync::Arc;
use std::time::Duration;

use bollard_stubs::models::{
    ContainerBlkioStatEntry, ContainerBlkioStats, ContainerCpuStats, ContainerCpuUsage, ContainerMemoryStats,
    ContainerNetworkStats, ContainerPidsStats, ContainerStatsResponse, ContainerStorageStats, ContainerThrottlingData,
};
use chrono::{DateTime, Utc};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::time::{Instant, MissedTickBehavior};

use super::shared::{Container, Shared};
use crate::embedded::process::Usage;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// Nanoseconds of a clock tick, in which the kernel counts the machine's processor time.
const TICK: u64 = 10_000_000;

/// Now and every second, until the container is removed; with `once` after a second, so that there are two looks to
/// compare. One that does not run uses nothing.
pub(super) fn stats(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    once: bool,
) -> BoxStream<'static, ContainerStatsResponse> {
    let mut ticks = tokio::time::interval_at(Instant::now(), INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let looking = Looking { shared: shared.clone(), container: container.clone(), before: None, ticks };
    let all = stream::unfold(looking, |mut looking| async move { Some((looking.next().await?, looking)) });
    if once { all.skip(1).take(1).boxed() } else { all.boxed() }
}

struct Looking {
    shared: Arc<Shared>,
    container: Arc<Container>,
    before: Option<(DateTime<Utc>, ContainerCpuStats)>,
    ticks: tokio::time::Interval,
}

impl Looking {
    async fn next(&mut self) -> Option<ContainerStatsResponse> {
        let mut phase = self.container.phase.subscribe();
        tokio::select! {
            _ = phase.wait_for(|phase| phase.removed) => return None,
            _ = self.ticks.tick() => {}
        }
        let record = self.container.record();
        let (read, running) = (Utc::now(), self.container.running().ok());
        // It may have ended just now: then it uses nothing, like one that does not run.
        let usage = match &running {
            Some(running) => running.usage().await.ok(),
            None => None,
        };
        let cpu = usage.as_ref().map(cpu).unwrap_or_default();
        let (before, before_cpu) = self.before.replace((read, cpu.clone())).unwrap_or_default();
        let networks = match &usage {
            Some(_) => Some(networks(&self.shared, &record.id).await),
            None => None,
        };
        Some(ContainerStatsResponse {
            id: Some(record.id.clone()),
            name: Some(format!("/{}", record.name)),
            os_type: Some("linux".to_owned()),
            read: Some(read),
            preread: Some(before),
            cpu_stats: Some(cpu),
            precpu_stats: Some(before_cpu),
            memory_stats: Some(usage.as_ref().map(memory).unwrap_or_default()),
            networks,
            pids_stats: Some(usage.as_ref().map(pids).unwrap_or_default()),
            blkio_stats: Some(usage.as_ref().map(blocks).unwrap_or_default()),
            num_procs: Some(0),
            storage_stats: Some(ContainerStorageStats::default()),
        })
    }
}

fn cpu(usage: &Usage) -> ContainerCpuStats {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let processors = stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count();
    ContainerCpuStats {
        cpu_usage: Some(ContainerCpuUsage {
            total_usage: Some(usage.cpu),
            percpu_usage: None,
            usage_in_kernelmode: Some(usage.cpu_kernel),
            usage_in_usermode: Some(usage.cpu.saturating_sub(usage.cpu_kernel)),
        }),
        system_cpu_usage: Some(machine_time(&stat)),
        online_cpus: u32::try_from(processors).ok(),
        throttling_data: Some(ContainerThrottlingData {
            periods: Some(0),
            throttled_periods: Some(0),
            throttled_time: Some(0),
        }),
    }
}

/// Nanoseconds of all processors so far, idle ones too; guests are in other columns already.
fn machine_time(stat: &str) -> u64 {
    let line = stat.lines().find(|line| line.starts_with("cpu ")).unwrap_or_default();
    let ticks = line.split_whitespace().skip(1).take(8).filter_map(|text| text.parse::<u64>().ok());
    ticks.sum::<u64>().saturating_mul(TICK)
}

fn memory(usage: &Usage) -> ContainerMemoryStats {
    let inactive = usage.memory_inactive_file;
    ContainerMemoryStats {
        usage: Some(usage.memory),
        // By the names of both versions of cgroups: clients take it from the usage.
        stats: Some([("inactive_file".to_owned(), inactive), ("total_inactive_file".to_owned(), inactive)].into()),
        limit: Some(usage.memory_limit.unwrap_or_else(machine_memory)),
        ..Default::default()
    }
}

fn machine_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0).saturating_mul(1024)
}

fn pids(usage: &Usage) -> ContainerPidsStats {
    ContainerPidsStats { current: Some(usage.pids), limit: Some(usage.pids_limit.unwrap_or(u64::MAX)) }
}

fn blocks(usage: &Usage) -> ContainerBlkioStats {
    let entry = |operation: &str, value| ContainerBlkioStatEntry {
        major: Some(0),
        minor: Some(0),
        op: Some(operation.to_owned()),
        value: Some(value),
    };
    let (read, written) = usage.blocks;
    ContainerBlkioStats {
        io_service_bytes_recursive: Some(vec![entry("read", read), entry("write", written)]),
        ..Default::default()
    }
}

async fn networks(shared: &Shared, id: &str) -> std::collections::HashMap<String, ContainerNetworkStats> {
    let traffic = shared.networks.traffic(id).await;
    let stats = traffic.into_iter().map(|(name, traffic)| {
        let stats = ContainerNetworkStats {
            rx_bytes: Some(traffic.received.0),
            rx_packets: Some(traffic.received.1),
            rx_errors: Some(0),
            rx_dropped: Some(0),
            tx_bytes: Some(traffic.sent.0),
            tx_packets: Some(traffic.sent.1),
            tx_errors: Some(0),
            tx_dropped: Some(0),
            ..Default::default()
        };
        (name, stats)
    });
    stats.collect()
}

#[cfg(test)]
mod tests {
    use super::machine_time;

    #[test]
    fn the_machines_time_is_that_of_all_its_processors() {
        let stat = "cpu  10 20 30 40 1 2 3 4 100 100\ncpu0 5 10 15 20\n";
        assert_eq!(machine_time(stat), 110 * 10_000_000);
        assert_eq!(machine_time(""), 0);
    }
}
