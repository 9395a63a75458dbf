//! A program that is started again inside its container. An engine takes half a second and more for a container, because
//! it takes its network away and gives it back; what was copied only needs a new process.
//!
//! A container that saved files may want restarted begins with a shell, which runs the program and does for it what the
//! kernel and the engine do for a first process: it passes signals on, ends with the program's code, and takes everything
//! else in the container away before the program comes again. What cannot begin like that (an image without a shell, a
//! program that insists on being the first process) is started again with its container, as before.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::models::{ContainerCreateBody, ContainerInspectResponse, HealthStatusEnum, ImageConfig};
use bollard::query_parameters::{ContainerArchiveInfoOptions, InspectContainerOptions};

use super::Docker;
use super::create::whole_seconds;
use super::error::{from_bollard, is_not_found};
use super::inspect::nanoseconds;
use crate::engine::{Engine as _, EngineError};
use crate::plan::observed::Container;
use crate::plan::spec::{ContainerSpec, label};
use crate::project::{HealthTest, Hook};

/// What the shell is.
const SHELL: &str = "/bin/sh";
/// What it calls itself in its errors, in front of the program's words.
const NAME: &str = "hoist-program";
/// The signal that asks it to start the program again, by a number that every shell knows it by.
const AGAIN: u8 = 63;
/// What [`label::RESTARTS`] says of such a container.
const PROGRAM: &str = "program";
/// How a process ends that was killed.
const KILLED: i64 = 137;
/// How long an engine may take for a container's grace period to be over; Docker's own where nothing else is said.
const GRACE: Duration = Duration::from_secs(10);
/// How much longer than the grace period is waited for.
const MARGIN: Duration = Duration::from_secs(5);
/// How many failures of a healthcheck are a verdict when nothing else is said.
const RETRIES: i64 = 3;
/// How many of its results an engine keeps.
const KEPT: i64 = 5;

/// `$!` is set as soon as the program runs, so that no signal is lost in between; a wait that a signal cuts short is
/// waited again. Only the first process of a namespace takes others away: elsewhere they would be somebody's.
const SCRIPT: &str = r#"[ $$ = 1 ] || exec "$@"
unset PWD OLDPWD SHLVL
for signal in HUP INT QUIT USR1 USR2 WINCH TERM; do trap "kill -s $signal \$! 2>/dev/null" "$signal"; done
trap 'again=$!; kill -s TERM $! 2>/dev/null' 63
while :; do
  "$@" &
  program=$!
  while wait "$program" 2>/dev/null; code=$?; kill -0 "$program" 2>/dev/null; do :; done
  [ "$again" = "$program" ] || exit "$code"
  kill -s KILL -1 2>/dev/null
done
"#;

/// What a shell may not have got from a container's variables, or sets itself.
const OF_SHELLS: [&str; 4] = ["PWD", "OLDPWD", "SHLVL", "_"];

/// The programs that are started again inside their containers. Clones share what is known of them.
#[derive(Clone, Default)]
pub(super) struct Programs(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// When the program was last started again: nanoseconds since 1970, by container.
    started: HashMap<String, u64>,
    /// Images that have no shell, by id.
    without_shell: HashSet<String>,
}

impl Programs {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A container is gone, or is to be started as a whole.
    pub(super) fn forget(&self, id: &str) {
        self.known().started.remove(id);
    }

    /// What an engine says of a container's health counts from the last start of its program, of which the engine does not
    /// know: what was found before is no verdict on it.
    pub(super) fn correct(&self, inspected: &mut ContainerInspectResponse) {
        let id = inspected.id.as_deref().unwrap_or_default();
        let Some(at) = self.known().started.get(id).copied() else { return };
        let check = inspected.config.as_ref().and_then(|config| config.healthcheck.clone()).unwrap_or_default();
        let Some(health) = inspected.state.as_mut().and_then(|state| state.health.as_mut()) else { return };
        let results = health.log.as_deref().unwrap_or_default();
        let since =
            |at: u64| results.iter().filter(move |result| result.start.is_some_and(|start| nanoseconds(start) >= at));
        let is_decided = match health.status {
            Some(HealthStatusEnum::UNHEALTHY) => {
                let period = check.start_period.and_then(|period| u64::try_from(period).ok()).unwrap_or(0);
                let retries = check.retries.filter(|retries| *retries > 0).unwrap_or(RETRIES).min(KEPT);
                i64::try_from(since(at.saturating_add(period)).count()).is_ok_and(|failures| failures >= retries)
            }
            _ => since(at).any(|result| result.exit_code == Some(0)),
        };
        if !is_decided {
            health.status = Some(HealthStatusEnum::STARTING);
        }
    }
}

/// The words that a container's first process would have been, when a shell can run them in its place.
fn words(spec: &ContainerSpec, image: &ImageConfig) -> Option<Vec<String>> {
    let service = &spec.service;
    let is_first_itself = service.tty || service.stdin_open || service.init == Some(true);
    let signal = service.stop_signal.as_ref().or(image.stop_signal.as_ref());
    let is_terminated = signal.is_none_or(|signal| ["SIGTERM", "TERM", "15"].contains(&signal.as_str()));
    if is_first_itself || !is_terminated || service.namespaces.pid.is_some() {
        return None;
    }
    // Of a check that only the engine knows nobody would hear in time.
    let is_checked = match service.healthcheck.as_ref().map(|check| &check.test) {
        Some(HealthTest::Command(_) | HealthTest::Shell(_) | HealthTest::Disabled) => false,
        Some(HealthTest::Inherit) | None => image.healthcheck.as_ref().is_some_and(|check| check.test.is_some()),
    };
    let variables = image.env.iter().flatten().map(|entry| entry.split('=').next().unwrap_or_default());
    let mut variables = variables.chain(service.environment.keys().map(String::as_str));
    if is_checked || !variables.all(passes_a_shell) {
        return None;
    }
    let of_image = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
    let (entrypoint, command) = match &service.entrypoint {
        Some(entrypoint) => (entrypoint.clone(), service.command.clone().unwrap_or_default()),
        None => (of_image(&image.entrypoint), service.command.clone().unwrap_or_else(|| of_image(&image.cmd))),
    };
    let words: Vec<String> = entrypoint.into_iter().chain(command).collect();
    words.first().is_some_and(|first| !wants_to_be_first(first)).then_some(words)
}

/// Whether a shell passes a variable on as it got it: what is no name in its language it leaves out.
fn passes_a_shell(name: &str) -> bool {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    name.chars().all(is_name) && !name.starts_with(|first: char| first.is_ascii_digit()) && !OF_SHELLS.contains(&name)
}

/// Whether a program is, or begins, a system of processes that has to be the first one.
fn wants_to_be_first(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or(program);
    name.contains("init") || ["s6-", "systemd", "runsv"].iter().any(|start| name.starts_with(start))
}

/// A container's request with a shell in front of its program.
fn put_in_shell(mut body: ContainerCreateBody, words: Vec<String>) -> ContainerCreateBody {
    body.entrypoint = Some([SHELL, "-c", SCRIPT, NAME].map(str::to_owned).to_vec());
    body.cmd = Some(words);
    body.labels.get_or_insert_default().insert(label::RESTARTS.to_owned(), PROGRAM.to_owned());
    body
}

/// The words of a container's first process without the shell that runs them.
pub(super) fn without_shell(words: Vec<String>) -> Vec<String> {
    match words.get(3) {
        Some(name) if name == NAME => words[4..].to_vec(),
        _ => words,
    }
}

/// The same of the command that a list has.
pub(super) fn command_without_shell(command: &str) -> &str {
    let is_shell = command.starts_with(SHELL);
    let rest = command.split_once(&format!("' {NAME} ")).filter(|_| is_shell);
    rest.map_or(command, |(_, words)| words)
}

impl Docker {
    /// The request for a container that is to have its program started again, when that can be.
    pub(super) async fn in_shell_of(
        &self,
        spec: &ContainerSpec,
        body: &ContainerCreateBody,
    ) -> Result<Option<ContainerCreateBody>, EngineError> {
        // An engine that does it fast itself needs none.
        if !spec.restarts_program || self.abilities().await?.removes_files {
            return Ok(None);
        }
        let Some(image) = self.image(&spec.image).await? else { return Ok(None) };
        let config = self.image_config(&image.id).await?.unwrap_or_default();
        if self.programs.known().without_shell.contains(&image.id) {
            return Ok(None);
        }
        Ok(words(spec, &config).map(|words| put_in_shell(body.clone(), words)))
    }

    /// Whether a container has the shell that it begins with.
    pub(super) async fn has_shell(&self, container: &str, image: &str) -> Result<bool, EngineError> {
        let options = ContainerArchiveInfoOptions { path: SHELL.to_owned() };
        match self.client.get_container_archive_info(container, Some(options)).await {
            Ok(_) => Ok(true),
            Err(error) if is_not_found(&error) => {
                if let Some(image) = self.image(image).await? {
                    self.programs.known().without_shell.insert(image.id);
                }
                Ok(false)
            }
            Err(error) => Err(from_bollard(error)),
        }
    }

    /// Starts a container's program again inside it, and says how the container is then; `None` when the whole container
    /// has to be started again.
    pub(super) async fn restart_program(
        &self,
        id: &str,
        grace: Option<Duration>,
    ) -> Result<Option<Container>, EngineError> {
        let inspected = match self.client.inspect_container(id, None::<InspectContainerOptions>).await {
            Ok(inspected) => inspected,
            Err(error) if is_not_found(&error) => return Ok(None),
            Err(error) => return Err(from_bollard(error)),
        };
        let config = inspected.config.unwrap_or_default();
        let runs = inspected.state.and_then(|state| state.running).unwrap_or(false);
        let ready = config.labels.is_some_and(|labels| labels.get(label::RESTARTS).is_some_and(|it| it == PROGRAM));
        if !runs || !ready {
            return Ok(None);
        }
        let own = config.stop_timeout.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        let grace = grace.or(own).unwrap_or(GRACE);
        let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        match tokio::time::timeout(grace + MARGIN, self.ask_for_program(id, grace)).await {
            Ok(Ok(KILLED)) => {
                let began = u64::try_from(began.as_nanos()).unwrap_or(u64::MAX);
                self.programs.known().started.insert(id.to_owned(), began);
                self.inspected(id, None).await
            }
            // It has had its time.
            Ok(Ok(0)) => self.restart(id, Some(Duration::ZERO)).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Sends the signal from a process inside, which is taken away with all the others once the program has ended: that it
    /// is killed is the news that the program comes again. Returns its exit code, 0 after the grace period.
    async fn ask_for_program(&self, id: &str, grace: Duration) -> Result<i64, EngineError> {
        let line = format!("kill -s {AGAIN} 1 && exec sleep {}", whole_seconds(grace));
        let hook = Hook { command: vec![SHELL.to_owned(), "-c".to_owned(), line], ..Hook::default() };
        Ok(self.run_hook(id, &hook).await?.code)
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::{ContainerConfig, ContainerState, Health, HealthConfig, HealthcheckResult, ImageConfig};

    use super::*;
    use crate::plan::fixtures::{project, service};
    use crate::plan::spec;
    use crate::project::{Healthcheck, Service, Sharing};

    fn image() -> ImageConfig {
        ImageConfig {
            entrypoint: Some(vec!["docker-entrypoint.sh".into()]),
            cmd: Some(vec!["node".into(), "server.js".into()]),
            env: Some(vec!["PATH=/bin".into(), "NODE_VERSION=24".into()]),
            ..ImageConfig::default()
        }
    }

    fn words_with(change: impl FnOnce(&mut Service), image: &ImageConfig) -> Option<String> {
        let mut api = service("api");
        change(&mut api);
        let project = project([api]);
        let spec = spec::container(&project, &project.services["api"], 1, "sha256:api", None);
        words(&spec, image).map(|words| words.join(" "))
    }

    fn list(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_shell_runs_what_the_engine_would() {
        let of = |change: &dyn Fn(&mut Service)| words_with(change, &image()).unwrap_or_default();
        assert_eq!(of(&|_| {}), "docker-entrypoint.sh node server.js");
        assert_eq!(of(&|it| it.command = Some(list(&["node", "a.js"]))), "docker-entrypoint.sh node a.js");
        assert_eq!(of(&|it| it.command = Some(list(&[]))), "docker-entrypoint.sh");
        assert_eq!(
            of(&|it| it.entrypoint = Some(list(&["deno"]))),
            "deno",
            "the image's command goes with its entrypoint"
        );
        assert_eq!(words_with(|_| {}, &ImageConfig::default()), None, "nothing to run");
        let whole = "/bin/sh -c script hoist-program node a.js".split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(without_shell(whole.clone()).join(" "), "node a.js");
        assert_eq!(without_shell(whole[..2].to_vec()), whole[..2]);
        assert_eq!(command_without_shell("/bin/sh -c '[ $$ = 1 ]' hoist-program node a.js"), "node a.js");
        assert_eq!(command_without_shell("echo '' hoist-program node"), "echo '' hoist-program node");
    }

    #[test]
    fn what_a_shell_would_change_begins_without_one() {
        let changes: [&dyn Fn(&mut Service); 12] = [
            &|it| it.tty = true,
            &|it| it.stdin_open = true,
            &|it| it.init = Some(true),
            &|it| it.stop_signal = Some("SIGQUIT".into()),
            &|it| it.namespaces.pid = Some(Sharing::Mode("host".into())),
            &|it| it.entrypoint = Some(list(&["/init"])),
            &|it| it.entrypoint = Some(list(&["/sbin/tini", "--"])),
            &|it| it.command = Some(list(&["x"])),
            &|it| drop(it.environment.insert("spring.port".into(), None)),
            &|it| drop(it.environment.insert("2ND".into(), None)),
            &|it| drop(it.environment.insert("PWD".into(), None)),
            &|it| it.healthcheck = Some(Healthcheck::default()),
        ];
        let checked = HealthConfig { test: Some(vec!["CMD".into(), "true".into()]), ..HealthConfig::default() };
        let with_check = ImageConfig {
            healthcheck: Some(checked),
            entrypoint: Some(list(&["/usr/lib/systemd/systemd"])),
            ..image()
        };
        for (number, change) in changes.iter().enumerate() {
            assert_eq!(words_with(change, &with_check), None, "change {number}");
        }
        let of_image = ImageConfig { entrypoint: None, ..with_check };
        assert_eq!(words_with(|_| {}, &of_image), None, "of the image's check only the engine knows");
        let own = |it: &mut Service| {
            it.healthcheck = Some(Healthcheck { test: HealthTest::Shell("true".into()), ..Healthcheck::default() });
        };
        assert_eq!(words_with(own, &of_image).as_deref(), Some("node server.js"));
    }

    const SECOND: u64 = 1_000_000_000;

    /// What is made of an engine's word about a container whose program was last started after ten seconds; `results` are
    /// the second and the exit code of each check.
    fn corrected(status: HealthStatusEnum, results: &[(i64, i64)]) -> Option<HealthStatusEnum> {
        let programs = Programs::default();
        programs.known().started.insert("a".into(), 10 * SECOND);
        let log = results.iter().map(|(second, code)| HealthcheckResult {
            start: chrono::DateTime::from_timestamp(*second, 0),
            exit_code: Some(*code),
            ..HealthcheckResult::default()
        });
        let health = Health { status: Some(status), log: Some(log.collect()), ..Health::default() };
        let check = HealthConfig { retries: Some(2), start_period: Some(5_000_000_000), ..HealthConfig::default() };
        let mut inspected = ContainerInspectResponse {
            id: Some("a".into()),
            state: Some(ContainerState { health: Some(health), ..ContainerState::default() }),
            config: Some(ContainerConfig { healthcheck: Some(check), ..ContainerConfig::default() }),
            ..ContainerInspectResponse::default()
        };
        programs.correct(&mut inspected);
        inspected.state?.health?.status
    }

    #[test]
    fn health_is_what_was_found_since_the_program_started() {
        use HealthStatusEnum::{HEALTHY, STARTING, UNHEALTHY};
        assert_eq!(corrected(HEALTHY, &[(8, 0), (9, 0)]), Some(STARTING));
        assert_eq!(corrected(HEALTHY, &[(9, 0), (11, 1)]), Some(STARTING));
        assert_eq!(corrected(HEALTHY, &[(9, 0), (10, 0)]), Some(HEALTHY));
        assert_eq!(corrected(HEALTHY, &[(11, 0), (12, 1)]), Some(HEALTHY));
        assert_eq!(corrected(UNHEALTHY, &[(8, 1), (9, 1), (16, 1)]), Some(STARTING));
        assert_eq!(corrected(UNHEALTHY, &[(11, 1), (14, 1), (16, 1)]), Some(STARTING), "its start period counts again");
        assert_eq!(corrected(UNHEALTHY, &[(15, 1), (16, 1)]), Some(UNHEALTHY));
    }
}
