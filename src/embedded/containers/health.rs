//! Healthchecks: pure rules of when to probe and what a result means, and the task that probes.
//!
//! Beside the probes that Docker makes there are early ones: as soon as the container listens on one of its ports, else soon
//! after its start and then less and less often. That they fail counts for nothing; that one succeeds makes it healthy.

use std::sync::Arc;
use std::time::Duration;

use bollard_stubs::models::{Health, HealthConfig, HealthStatusEnum, HealthcheckResult};
use chrono::Utc;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ears::Ears;
use super::exec;
use super::record::Record;
use super::shared::{Container, Shared};
use crate::embedded::error::Error;
use crate::embedded::network;
use crate::embedded::process::{ExecProcess, Running};

/// Results that are kept.
const KEPT: usize = 5;
/// Bytes of a probe's output that are kept.
const OUTPUT: usize = 4096;
/// What may pass until a killed probe has ended.
const KILL_DEADLINE: Duration = Duration::from_secs(5);
/// The first early probe of a container of which no port is known, and of one that does not listen yet.
const SOON: Duration = Duration::from_millis(30);
const LATER: Duration = Duration::from_millis(500);
/// The pause after an early probe that failed, and by how many tenths each further one is longer.
const AGAIN: Duration = Duration::from_millis(20);
const GROWTH: u32 = 16;
/// The least time that an early probe has.
const EARLY_TIMEOUT: Duration = Duration::from_secs(1);

/// A healthcheck with Docker's defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Check {
    command: Vec<String>,
    interval: Duration,
    timeout: Duration,
    retries: i64,
    start_period: Duration,
    start_interval: Duration,
}

/// When a container that has just been started is probed beside its interval. Times are since its start.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Early {
    next: Duration,
    pause: Duration,
}

impl Early {
    fn new(knows_ports: bool) -> Self {
        let next = if knows_ports { LATER } else { SOON };
        Self { next, pause: next }
    }

    /// It begins to listen: probed now, and again soon should it not be ready to answer.
    fn heard(&mut self, now: Duration) {
        *self = Self { next: now, pause: AGAIN };
    }

    /// A probe has ended and it is not healthy.
    fn failed(&mut self, now: Duration) {
        self.next = now + self.pause;
        self.pause = self.pause * GROWTH / 10;
    }
}

/// The task that probes one start of a container; it stands for "unhealthy" once it is stopped, as with Docker.
#[derive(Debug)]
pub(super) struct Monitor {
    container: Arc<Container>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Monitor {
    /// Begins to probe a container that has just been started; `None` when it has no healthcheck. `ears` are there when ports
    /// of it are known.
    pub(super) fn begin(shared: &Arc<Shared>, container: &Arc<Container>, ears: Option<&Ears>) -> Option<Self> {
        let record = container.record();
        let Some(check) = Check::of_record(&record) else {
            container.live().health = None;
            return None;
        };
        let running = container.running().ok()?;
        let beginning =
            Health { status: Some(HealthStatusEnum::STARTING), failing_streak: Some(0), log: Some(Vec::new()) };
        container.live().health = Some(beginning);
        let stop = CancellationToken::new();
        let heard = ears.map(|ears| ears.heard.clone());
        let prober = Prober { shared: shared.clone(), container: container.clone(), running, check, heard };
        let task = shared.tasks.spawn(prober.run(stop.clone()));
        Some(Self { container: container.clone(), stop, task })
    }

    /// Ends it, and what it does just now.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!("the healthcheck of container {} broke: {error}", self.container.id);
        }
        if let Some(health) = &mut self.container.live().health {
            health.status = Some(HealthStatusEnum::UNHEALTHY);
        }
    }
}

/// Whether a container has a healthcheck.
pub(super) fn is_checked(record: &Record) -> bool {
    Check::of_record(record).is_some()
}

impl Check {
    fn of_record(record: &Record) -> Option<Self> {
        Self::of(record.body.healthcheck.as_ref(), record.body.shell.as_deref())
    }

    fn of(config: Option<&HealthConfig>, shell: Option<&[String]>) -> Option<Self> {
        let config = config?;
        let (kind, words) = config.test.as_deref()?.split_first()?;
        let command = match kind.as_str() {
            "CMD" if !words.is_empty() => words.to_vec(),
            "CMD-SHELL" => {
                let shell = shell.filter(|shell| !shell.is_empty());
                let mut command = shell.map_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()], <[String]>::to_vec);
                command.push(words.join(" "));
                command
            }
            _ => return None,
        };
        let time = |nanoseconds: Option<i64>, default: u64| {
            let given = nanoseconds.and_then(|time| u64::try_from(time).ok()).filter(|time| *time > 0);
            given.map_or(Duration::from_secs(default), Duration::from_nanos)
        };
        Some(Self {
            command,
            interval: time(config.interval, 30),
            timeout: time(config.timeout, 30),
            retries: config.retries.filter(|retries| *retries > 0).unwrap_or(3),
            start_period: time(config.start_period, 0),
            start_interval: time(config.start_interval, 5),
        })
    }

    /// How long to wait for the next probe.
    fn pause(&self, since_start: Duration, status: Option<HealthStatusEnum>) -> Duration {
        if since_start < self.start_period && status == Some(HealthStatusEnum::STARTING) {
            // A short interval is not made longer by what is meant to make it shorter.
            self.start_interval.min(self.interval)
        } else {
            self.interval
        }
    }

    /// Takes a result in. An early one that failed is only kept.
    fn judge(&self, health: &mut Health, result: HealthcheckResult, begun_after: Duration, early: bool) {
        if result.exit_code == Some(0) {
            health.failing_streak = Some(0);
            health.status = Some(HealthStatusEnum::HEALTHY);
        } else if early {
        } else if health.status != Some(HealthStatusEnum::STARTING) || begun_after >= self.start_period {
            let streak = health.failing_streak.unwrap_or(0) + 1;
            health.failing_streak = Some(streak);
            if streak >= self.retries {
                health.status = Some(HealthStatusEnum::UNHEALTHY);
            }
        }
        let log = health.log.get_or_insert_default();
        log.push(result);
        if log.len() > KEPT {
            log.drain(..log.len() - KEPT);
        }
    }
}

/// Probes one start of a container.
struct Prober {
    shared: Arc<Shared>,
    container: Arc<Container>,
    running: Running,
    check: Check,
    heard: Option<watch::Receiver<bool>>,
}

impl Prober {
    async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.probe_on() => {}
        }
    }

    async fn probe_on(&mut self) {
        // Not the process's own time: a daemon that comes back begins anew.
        let started = Instant::now();
        let mut early = Early::new(self.heard.is_some());
        let mut last = started;
        loop {
            let status = self.status();
            let healthy = status == Some(HealthStatusEnum::HEALTHY);
            let regular = last + self.check.pause(last - started, status);
            let starting = status == Some(HealthStatusEnum::STARTING);
            let sooner = Some(started + early.next).filter(|next| starting && *next < regular);
            let is_early = tokio::select! {
                () = hear(&mut self.heard), if !healthy => {
                    early.heard(started.elapsed());
                    true
                }
                () = tokio::time::sleep_until(sooner.unwrap_or(regular)) => sooner.is_some(),
            };
            let begun_after = started.elapsed();
            let timeout = if is_early {
                self.check.timeout.min((regular - Instant::now()).max(EARLY_TIMEOUT))
            } else {
                self.check.timeout
            };
            let result = self.probe(timeout).await;
            if !self.take_in(result, begun_after, is_early) {
                return;
            }
            early.failed(started.elapsed());
            if !is_early || self.status() == Some(HealthStatusEnum::HEALTHY) {
                last = Instant::now();
            }
        }
    }

    fn status(&self) -> Option<HealthStatusEnum> {
        self.container.live().health.as_ref().and_then(|health| health.status)
    }

    /// Notes a result and tells what it changes; `false` when nobody wants to know any more.
    fn take_in(&self, result: HealthcheckResult, begun_after: Duration, early: bool) -> bool {
        let (before, after) = {
            let mut live = self.container.live();
            let Some(health) = &mut live.health else { return false };
            let before = health.status;
            self.check.judge(health, result, begun_after, early);
            (before, health.status)
        };
        if let Some(after) = after.filter(|after| Some(*after) != before) {
            let health =
                if after == HealthStatusEnum::HEALTHY { network::Health::Passed } else { network::Health::Waiting };
            self.shared.networks.tell_health(&self.container.id, health);
            self.shared.tell(&self.container.record(), &format!("health_status: {after}"), &[]);
        }
        true
    }

    /// One probe, to its end or its timeout.
    async fn probe(&self, timeout: Duration) -> HealthcheckResult {
        let start = Utc::now();
        let record = self.container.record();
        let process = ExecProcess {
            arguments: self.check.command.clone(),
            environment: exec::environment(&record, &[]),
            working_directory: String::new(),
            user: String::new(),
            terminal: None,
            stdin: false,
            privileged: false,
        };
        let (code, output) = match run(&self.shared, &self.running, &process, timeout).await {
            Ok(ended) => ended,
            Err(error) => (-1, error.to_string()),
        };
        HealthcheckResult { start: Some(start), end: Some(Utc::now()), exit_code: Some(code), output: Some(output) }
    }
}

/// Returns once when the container begins to listen; never again, and never for one whose ports are not known.
async fn hear(heard: &mut Option<watch::Receiver<bool>>) {
    let listens = match heard {
        Some(heard) => heard.wait_for(|heard| *heard).await.is_ok(),
        None => false,
    };
    *heard = None;
    if !listens {
        std::future::pending::<()>().await;
    }
}

async fn run(
    shared: &Shared,
    running: &Running,
    process: &ExecProcess,
    timeout: Duration,
) -> Result<(i64, String), Error> {
    let deadline = Instant::now() + timeout;
    let started = tokio::time::timeout_at(deadline, Box::pin(running.exec(&shared.layout, process))).await;
    let exceeded = || format!("Health check exceeded timeout ({})", duration(timeout));
    let Ok(started) = started else { return Ok((-1, exceeded())) };
    let mut started = started?;
    let mut output = Vec::new();
    let reading = async {
        while let Some(piece) = started.attached.output.recv().await {
            let room = OUTPUT.saturating_sub(output.len());
            output.extend_from_slice(&piece.bytes[..piece.bytes.len().min(room)]);
        }
    };
    // What a probe leaves running in the background does not hold up its result.
    let ended = tokio::time::timeout_at(deadline, async {
        let mut exit = std::pin::pin!(&mut started.exit);
        tokio::select! {
            exit = &mut exit => exit,
            () = reading => exit.await,
        }
    });
    match ended.await {
        Ok(Ok(exit)) => {
            while let Ok(piece) = started.attached.output.try_recv() {
                let room = OUTPUT.saturating_sub(output.len());
                output.extend_from_slice(&piece.bytes[..piece.bytes.len().min(room)]);
            }
            Ok((exit.code, String::from_utf8_lossy(&output).into_owned()))
        }
        Ok(Err(_)) => Err(Error::Failed("the probe was lost".into())),
        Err(_) => {
            exec::kill(started.pid);
            let _ = tokio::time::timeout(KILL_DEADLINE, &mut started.exit).await;
            Ok((-1, exceeded()))
        }
    }
}

/// As Go prints it: `1m30s`, `500ms`.
fn duration(time: Duration) -> String {
    let (seconds, rest) = (time.as_secs(), time.subsec_millis());
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:03}").trim_end_matches('0').to_owned() };
    match (hours, minutes) {
        (0, 0) if seconds == 0 => format!("{}ms", time.as_millis()),
        (0, 0) => format!("{seconds}{fraction}s"),
        (0, _) => format!("{minutes}m{seconds}{fraction}s"),
        _ => format!("{hours}h{minutes}m{seconds}{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bollard_stubs::models::{Health, HealthConfig, HealthStatusEnum, HealthcheckResult};

    use super::{Check, Early, duration};

    const SECOND: i64 = 1_000_000_000;

    fn check() -> Check {
        let config = HealthConfig {
            test: Some(vec!["CMD-SHELL".into(), "true".into()]),
            interval: Some(10 * SECOND),
            start_period: Some(5 * SECOND),
            start_interval: Some(SECOND),
            retries: Some(2),
            timeout: None,
        };
        Check::of(Some(&config), None).expect("a check")
    }

    #[test]
    fn the_words_of_a_check_become_a_command() {
        assert_eq!(check().command, ["/bin/sh", "-c", "true"]);
        let of = |words: &[&str]| {
            let test = words.iter().map(|word| (*word).to_owned()).collect();
            Check::of(Some(&HealthConfig { test: Some(test), ..Default::default() }), None)
        };
        assert_eq!(of(&["CMD", "a", "b"]).map(|check| check.command), Some(vec!["a".into(), "b".into()]));
        assert_eq!(of(&["NONE"]), None);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["CMD", "a"]).map(|check| (check.interval.as_secs(), check.retries)), Some((30, 3)));
    }

    #[test]
    fn failures_count_only_after_the_start_period() {
        let (check, mut health) = (check(), Health { status: Some(HealthStatusEnum::STARTING), ..Default::default() });
        let mut result = |code, at| {
            check.judge(
                &mut health,
                HealthcheckResult { exit_code: Some(code), ..Default::default() },
                Duration::from_secs(at),
                false,
            );
            (health.status.map(|status| status.to_string()).unwrap_or_default(), health.failing_streak.unwrap_or(0))
        };
        assert_eq!(result(1, 1), ("starting".to_owned(), 0));
        assert_eq!(result(1, 6), ("starting".to_owned(), 1));
        assert_eq!(result(1, 7), ("unhealthy".to_owned(), 2));
        assert_eq!(result(0, 8), ("healthy".to_owned(), 0));
        assert_eq!(result(1, 9), ("healthy".to_owned(), 1));
        for at in 10..20 {
            result(1, at);
        }
        assert_eq!(health.log.map(|log| log.len()), Some(5));
    }

    #[test]
    fn an_early_failure_counts_for_nothing_and_an_early_success_for_all() {
        let (check, mut health) = (check(), Health { status: Some(HealthStatusEnum::STARTING), ..Default::default() });
        let mut early = |code, at| {
            let result = HealthcheckResult { exit_code: Some(code), ..Default::default() };
            check.judge(&mut health, result, Duration::from_secs(at), true);
            (health.status, health.failing_streak.unwrap_or(0), health.log.as_ref().map_or(0, Vec::len))
        };
        assert_eq!(early(1, 6), (Some(HealthStatusEnum::STARTING), 0, 1));
        assert_eq!(early(1, 7), (Some(HealthStatusEnum::STARTING), 0, 2));
        assert_eq!(early(0, 7), (Some(HealthStatusEnum::HEALTHY), 0, 3));
    }

    #[test]
    fn early_probes_come_soon_and_then_less_and_less_often() {
        let times = |mut early: Early| -> Vec<u128> {
            let next = |_| {
                let next = early.next;
                early.failed(next);
                next.as_millis()
            };
            (0..8).map(next).collect()
        };
        assert_eq!(times(Early::new(false)), [30, 60, 108, 184, 307, 504, 818, 1322]);
        assert_eq!(times(Early::new(true))[..3], [500, 1000, 1800]);
        let mut early = Early::new(true);
        early.heard(Duration::from_millis(70));
        assert_eq!(times(early)[..4], [70, 90, 122, 173]);
    }

    #[test]
    fn a_starting_container_is_probed_more_often() {
        let check = check();
        let starting = Some(HealthStatusEnum::STARTING);
        assert_eq!(check.pause(Duration::ZERO, starting).as_secs(), 1);
        assert_eq!(check.pause(Duration::ZERO, Some(HealthStatusEnum::HEALTHY)).as_secs(), 10);
        assert_eq!(check.pause(Duration::from_secs(6), starting).as_secs(), 10);
    }

    #[test]
    fn durations_are_written_like_gos() {
        let shown: Vec<String> =
            [500, 1500, 30_000, 90_000, 3_600_000].map(|time| duration(Duration::from_millis(time))).into();
        assert_eq!(shown, ["500ms", "1.5s", "30s", "1m30s", "1h0m0s"]);
    }
}
