//! A program that is started again inside its container. An engine takes half a second and more for a container, because
//! it takes its network away and gives it back; what was copied only needs a new process.
//!
//! A container that saved files may want restarted begins with a shell, which runs the program and does for it what the
//! kernel and the engine do for a first process: it passes signals on, ends with the program's code, and takes everything
//! else in the container away before the program comes again. What cannot begin like that (an image without a shell, a
//! program that insists on being the first process) is started again with its container, as before.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, Health, HealthStatusEnum, HealthcheckResult, ImageConfig,
};
use bollard::query_parameters::ContainerArchiveInfoOptions;

use super::Docker;
use super::create::whole_seconds;
use super::error::{from_bollard, is_not_found};
use super::inspect::nanoseconds;
use crate::engine::EngineError;
use crate::plan::observed::{Container, ContainerState};
use crate::plan::spec::{ContainerSpec, label};
use crate::project::{HealthTest, Healthcheck, Hook, Mount, MountSource, Service};

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
const RETRIES: u32 = 3;
/// How much time is between two of its runs.
const INTERVAL: Duration = Duration::from_secs(30);

/// `$!` is set as soon as the program runs, and a wait that a signal cuts short is waited again. Only the first process of
/// a namespace takes others away: elsewhere they would be somebody's. What is killed is waited for, since it holds its
/// ports until it is gone. `STOP` is the signal that stops the program, `MEMORY` the folders whose files are in memory:
/// emptied before whoever asked is answered, and after all are gone that could write there. `AGAIN` is [`AGAIN`].
const SCRIPT: &str = r#"[ $$ = 1 ] || exec "$@"
unset PWD OLDPWD SHLVL
for hoist_signal in HUP INT QUIT USR1 USR2 WINCH TERM; do
  trap "kill -s $hoist_signal \$! 2>/dev/null" "$hoist_signal"
done
trap 'hoist_again=$!; kill -s STOP $! 2>/dev/null' AGAIN
hoist_empty() {
  for hoist_folder in MEMORY; do
    rm -rf -- "$hoist_folder"/* "$hoist_folder"/.[!.]* "$hoist_folder"/..?* 2>/dev/null
  done
}
while :; do
  "$@" &
  hoist_program=$!
  while wait "$hoist_program" 2>/dev/null; hoist_code=$?; [ -d "/proc/$hoist_program" ]; do :; done
  [ "$hoist_again" = "$hoist_program" ] || exit "$hoist_code"
  hoist_empty
  kill -KILL -1 2>/dev/null
  hoist_looks=0
  while kill -0 -1 2>/dev/null && [ "$hoist_looks" -lt 100 ]; do sleep 0.01; hoist_looks=$((hoist_looks + 1)); done
  hoist_empty
done
"#;

/// What the script calls its own begins so.
const OWN: &str = "hoist_";

/// Variables that shells set themselves, or do not pass on as they got them.
const OF_SHELLS: [&str; 18] = [
    "PWD",
    "OLDPWD",
    "SHLVL",
    "_",
    "IFS",
    "PPID",
    "OPTIND",
    "RANDOM",
    "SRANDOM",
    "PS1",
    "PS2",
    "PS4",
    "COMP_WORDBREAKS",
    "LINENO",
    "SHELLOPTS",
    "POSIXLY_CORRECT",
    "EPOCHSECONDS",
    "EPOCHREALTIME",
];

/// The signals that stop a program and that the script passes on; `KILL` needs nobody to. Not `INT` and `QUIT`: what a shell
/// begins behind itself ignores these two, and some programs leave it at that.
const STOPS: [(&str, &str); 6] =
    [("TERM", "15"), ("HUP", "1"), ("USR1", "10"), ("USR2", "12"), ("WINCH", "28"), ("KILL", "9")];

/// The programs that are started again inside their containers. Clones share what is known of them.
#[derive(Clone, Default)]
pub(super) struct Programs(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// When the last check began whose result was there when the program was last started again, by container: nanoseconds
    /// since 1970 on the engine's clock. Until something is found of the new one's health.
    marks: HashMap<String, u64>,
    /// Images that have no shell, by id.
    without_shell: HashSet<String>,
}

impl Programs {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A container is gone, or is to be started as a whole.
    pub(super) fn forget(&self, id: &str) {
        self.known().marks.remove(id);
    }

    /// What an engine says of a container's health counts from the last start of its program, of which the engine does not
    /// know: what was found before is no verdict on it.
    pub(super) fn correct(&self, inspected: &mut ContainerInspectResponse) {
        let Some(id) = inspected.id.as_deref() else { return };
        let Some(mark) = self.known().marks.get(id).copied() else { return };
        let Some(health) = inspected.state.as_mut().and_then(|state| state.health.as_mut()) else { return };
        let results = health.log.as_deref().unwrap_or_default();
        // A check that was killed with the program before says nothing.
        let mut new = results.iter().filter(|result| began(result) > mark && result.exit_code != Some(KILLED));
        let is_unhealthy = health.status == Some(HealthStatusEnum::UNHEALTHY);
        if new.any(|result| (result.exit_code != Some(0)) == is_unhealthy) {
            // From now on the engine's word is about this program, also where it goes by more results than it keeps.
            self.forget(id);
        } else {
            health.status = Some(HealthStatusEnum::STARTING);
        }
    }
}

/// When a check began, on the engine's clock: nanoseconds since 1970.
fn began(result: &HealthcheckResult) -> u64 {
    result.start.map_or(0, nanoseconds)
}

/// Whether news of a container's health will come: engines tell only of what changes, so that nothing would be heard of a
/// program that fails as the one before did.
fn is_heard(health: Option<&Health>) -> bool {
    health.is_none_or(|health| {
        health.failing_streak.unwrap_or(0) == 0 && health.status != Some(HealthStatusEnum::UNHEALTHY)
    })
}

/// What a shell runs in place of a container's first process.
#[derive(Debug, PartialEq, Eq)]
struct Program {
    /// The signal that stops it.
    signal: &'static str,
    /// The folders whose files are in memory.
    memory: Vec<String>,
    words: Vec<String>,
}

/// What would have been a container's first process, when a shell can run it in its place.
fn program(spec: &ContainerSpec, image: &ImageConfig) -> Option<Program> {
    let service = &spec.service;
    let is_first_itself = service.tty || service.stdin_open || service.init == Some(true);
    if is_first_itself || service.namespaces.pid.is_some() {
        return None;
    }
    let memory = memory(spec, image)?;
    let signal = stop_signal(service, image)?;
    let variables = image.env.iter().flatten().map(|entry| entry.split('=').next().unwrap_or_default());
    let mut variables = variables.chain(service.environment.keys().map(String::as_str));
    if may_be_out_of_reach(service, image) || is_checked_unheard(service, image) || !variables.all(passes_a_shell) {
        return None;
    }
    let words = without_guardian(words(service, image));
    let can_follow = words.first().is_some_and(|first| !first.is_empty() && !wants_to_be_first(first));
    can_follow.then_some(Program { signal, memory, words })
}

/// The signal that stops a program, when the script passes it on.
fn stop_signal(service: &Service, image: &ImageConfig) -> Option<&'static str> {
    let signal = service.stop_signal.as_deref().or(image.stop_signal.as_deref()).unwrap_or("TERM").to_uppercase();
    let signal = signal.strip_prefix("SIG").unwrap_or(&signal);
    STOPS.into_iter().find(|(name, number)| [*name, *number].contains(&signal)).map(|(name, _)| name)
}

/// Whether a program may become another user's, whom the shell has no right to signal.
fn may_be_out_of_reach(service: &Service, image: &ImageConfig) -> bool {
    let has = |all: &[String]| all.iter().any(|it| ["ALL", "KILL", "CAP_KILL"].contains(&it.to_uppercase().as_str()));
    let user = service.user.as_ref().or(image.user.as_ref()).filter(|user| !user.is_empty());
    let is_root = user.is_none_or(|user| ["root", "0"].contains(&user.split(':').next().unwrap_or_default()));
    has(&service.cap_drop) && !has(&service.cap_add) && is_root
}

/// Whether nobody would hear in time of what a check finds, since only the engine knows it, or would hear too early: the
/// engine grants no start period a second time.
fn is_checked_unheard(service: &Service, image: &ImageConfig) -> bool {
    let check = service.healthcheck.as_ref();
    match check.map(|check| &check.test) {
        Some(HealthTest::Command(_) | HealthTest::Shell(_)) => check.is_some_and(is_impatient),
        Some(HealthTest::Disabled) => false,
        Some(HealthTest::Inherit) | None => image.healthcheck.as_ref().is_some_and(|check| check.test.is_some()),
    }
}

/// The first process's words, as an engine puts them together: an entrypoint takes the image's command away, too.
fn words(service: &Service, image: &ImageConfig) -> Vec<String> {
    let of_image = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
    let (entrypoint, command) = match &service.entrypoint {
        Some(entrypoint) => (entrypoint.clone(), service.command.clone().unwrap_or_default()),
        None => (of_image(&image.entrypoint), service.command.clone().unwrap_or_else(|| of_image(&image.cmd))),
    };
    entrypoint.into_iter().chain(command).collect()
}

/// Whether a check may find a program unhealthy within the time that it is given to start, or for a check that was killed.
fn is_impatient(check: &Healthcheck) -> bool {
    let retries = check.retries.unwrap_or(RETRIES);
    let patience = check.interval.unwrap_or(INTERVAL) * retries;
    retries < 2 || check.start_period.is_some_and(|period| period > patience)
}

/// What only passes signals on and waits for what is left behind has the shell in its place. With options it does more.
fn without_guardian(mut words: Vec<String>) -> Vec<String> {
    let is_guardian = |program: &String| ["tini", "dumb-init"].contains(&name_of(program));
    if words.first().is_some_and(is_guardian) {
        let ends = usize::from(words.get(1).is_some_and(|word| word == "--"));
        if ends == 1 || words.get(1).is_some_and(|word| !word.starts_with('-')) {
            words.drain(..=ends);
        }
    }
    words
}

fn name_of(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// The folders of a container whose files are in memory, when nothing else is mounted that could lie in them, by whatever
/// link.
fn memory(spec: &ContainerSpec, image: &ImageConfig) -> Option<Vec<String>> {
    let service = &spec.service;
    let is_memory = |mount: &&Mount| matches!(mount.source, MountSource::Tmpfs { .. });
    let folders: Vec<String> = service.mounts.iter().filter(is_memory).map(|mount| mount.target.clone()).collect();
    let is_alone = folders.len() == service.mounts.len()
        && image.volumes.as_ref().is_none_or(Vec::is_empty)
        && spec.file_mounts.is_empty()
        && service.volumes_from.is_empty()
        && !service.use_api_socket;
    // A path that is written another way than it is might lead elsewhere.
    let is_plain = |folder: &String| {
        folder.trim_end_matches('/').len() > 1
            && folder.starts_with('/')
            && !folder.contains(['\'', '\\'])
            && !folder.split('/').any(|part| part == "..")
    };
    (folders.is_empty() || is_alone && folders.iter().all(is_plain)).then_some(folders)
}

/// Whether a shell passes a variable on as it got it: what is no name in its language it leaves out.
fn passes_a_shell(name: &str) -> bool {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let is_own = OF_SHELLS.contains(&name) || name.starts_with("BASH") || name.starts_with(OWN);
    name.chars().all(is_name) && !name.starts_with(|first: char| first.is_ascii_digit()) && !is_own
}

/// Whether a program is, or begins, a system of processes that has to be the first one.
fn wants_to_be_first(program: &str) -> bool {
    let name = name_of(program);
    name.contains("init") || ["tini", "s6-", "systemd", "runsv"].iter().any(|start| name.starts_with(start))
}

/// A container's request with a shell in front of its program.
fn put_in_shell(mut body: ContainerCreateBody, program: Program) -> ContainerCreateBody {
    let memory: Vec<String> = program.memory.iter().map(|folder| format!("'{folder}'")).collect();
    let values = [("STOP", program.signal), ("AGAIN", &AGAIN.to_string()), ("MEMORY", &memory.join(" "))];
    let script = values.iter().fold(SCRIPT.to_owned(), |script, (name, value)| script.replacen(name, value, 1));
    body.entrypoint = Some([SHELL, "-c", &script, NAME].map(str::to_owned).to_vec());
    body.cmd = Some(program.words);
    // An engine may put its own first process into every container.
    body.host_config.get_or_insert_default().init = Some(false);
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

/// The request for a container that begins with a shell.
pub(super) struct Ready {
    pub(super) body: ContainerCreateBody,
    /// The id of its image.
    pub(super) image: String,
}

impl Docker {
    /// The request for a container that is to have its program started again, when that can be.
    pub(super) async fn in_shell_of(
        &self,
        spec: &ContainerSpec,
        body: &ContainerCreateBody,
    ) -> Result<Option<Ready>, EngineError> {
        // An engine that does it fast itself needs none.
        if !spec.restarts_program || self.abilities().await?.removes_files {
            return Ok(None);
        }
        let Some(inspected) = self.image_inspection(&spec.image).await? else { return Ok(None) };
        let image = inspected.id.unwrap_or_default();
        if self.programs.known().without_shell.contains(&image) {
            return Ok(None);
        }
        let program = program(spec, &inspected.config.unwrap_or_default());
        Ok(program.map(|program| Ready { body: put_in_shell(body.clone(), program), image }))
    }

    /// Whether a container, of the image with this id, has the shell that it begins with.
    pub(super) async fn has_shell(&self, container: &str, image: String) -> Result<bool, EngineError> {
        let options = ContainerArchiveInfoOptions { path: SHELL.to_owned() };
        match self.client.get_container_archive_info(container, Some(options)).await {
            Ok(_) => Ok(true),
            Err(error) if is_not_found(&error) => {
                self.programs.known().without_shell.insert(image);
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
        let Some(inspected) = self.inspection(id).await? else { return Ok(None) };
        let config = inspected.config.unwrap_or_default();
        let state = inspected.state.unwrap_or_default();
        let runs = state.running.unwrap_or(false) && is_heard(state.health.as_ref());
        let ready = config.labels.is_some_and(|labels| labels.get(label::RESTARTS).is_some_and(|it| it == PROGRAM));
        if !runs || !ready {
            return Ok(None);
        }
        let own = config.stop_timeout.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        let grace = grace.or(own).unwrap_or(GRACE);
        match tokio::time::timeout(grace + MARGIN, self.ask_for_program(id, grace)).await {
            Ok(Ok(KILLED)) => self.note_start(id).await,
            // It has had its time.
            Ok(Ok(0)) => self.restart(id, Some(Duration::ZERO)).await.map(Some),
            _ => Ok(None),
        }
    }

    /// The container after the start of its program; `None` when that ended by itself at the same time, and took its
    /// container with it: it has yet to run again.
    async fn note_start(&self, id: &str) -> Result<Option<Container>, EngineError> {
        let Some(inspected) = self.inspection(id).await? else { return Ok(None) };
        let health = inspected.state.as_ref().and_then(|state| state.health.as_ref());
        let results = health.and_then(|health| health.log.as_deref()).unwrap_or_default();
        let mark = results.iter().map(began).max().unwrap_or(0);
        self.programs.known().marks.insert(id.to_owned(), mark);
        let again = self.container_of(inspected, None);
        Ok(Some(again).filter(|container| container.state == ContainerState::Running))
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
    use std::collections::BTreeMap;

    use bollard::models::{ContainerState as ApiState, HealthConfig};

    use super::*;
    use crate::plan::fixtures::{project, service};
    use crate::plan::spec;
    use crate::project::Sharing;

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
        program(&spec, image).map(|program| format!("{}: {}", program.signal, program.words.join(" ")))
    }

    fn list(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_shell_runs_what_the_engine_would() {
        let of = |change: &dyn Fn(&mut Service)| words_with(change, &image()).unwrap_or_default();
        assert_eq!(of(&|_| {}), "TERM: docker-entrypoint.sh node server.js");
        assert_eq!(of(&|it| it.command = Some(list(&["node", "a.js"]))), "TERM: docker-entrypoint.sh node a.js");
        assert_eq!(of(&|it| it.command = Some(list(&[]))), "TERM: docker-entrypoint.sh");
        assert_eq!(of(&|it| it.stop_signal = Some("SIGKILL".into())), "KILL: docker-entrypoint.sh node server.js");
        let of_user = |it: &mut Service| (it.cap_drop, it.user) = (list(&["all"]), Some("1000".into()));
        assert_eq!(of(&|it| of_user(it)), "TERM: docker-entrypoint.sh node server.js");
        assert_eq!(
            of(&|it| it.entrypoint = Some(list(&["deno"]))),
            "TERM: deno",
            "the image's command goes with its entrypoint"
        );
        for guardian in ["/sbin/tini --", "dumb-init", "dumb-init --"] {
            let words: Vec<String> = guardian.split(' ').map(str::to_owned).chain(list(&["node", "a.js"])).collect();
            assert_eq!(of(&|it| it.entrypoint = Some(words.clone())), "TERM: node a.js", "the shell does as much");
        }
        let whole = "/bin/sh -c script hoist-program node a.js".split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(without_shell(whole.clone()).join(" "), "node a.js");
        assert_eq!(without_shell(whole[..2].to_vec()), whole[..2]);
        assert_eq!(command_without_shell("/bin/sh -c '[ $$ = 1 ]' hoist-program node a.js"), "node a.js");
        assert_eq!(command_without_shell("echo '' hoist-program node"), "echo '' hoist-program node");
    }

    #[test]
    fn what_a_shell_would_change_begins_without_one() {
        let changes: [&dyn Fn(&mut Service); 16] = [
            &|it| it.tty = true,
            &|it| it.stdin_open = true,
            &|it| it.init = Some(true),
            &|it| it.stop_signal = Some("SIGQUIT".into()),
            &|it| it.stop_signal = Some("sigint".into()),
            &|it| it.stop_signal = Some("SIGPWR".into()),
            &|it| it.cap_drop = list(&["ALL"]),
            &|it| it.entrypoint = Some(list(&[""])),
            &|it| drop(it.environment.insert("BASHOPTS".into(), None)),
            &|it| drop(it.environment.insert("hoist_code".into(), None)),
            &|it| it.namespaces.pid = Some(Sharing::Mode("host".into())),
            &|it| it.entrypoint = Some(list(&["/init"])),
            &|it| it.entrypoint = Some(list(&["/sbin/tini", "-g", "--"])),
            &|it| drop(it.environment.insert("spring.port".into(), None)),
            &|it| drop(it.environment.insert("2ND".into(), None)),
            &|it| drop(it.environment.insert("PWD".into(), None)),
        ];
        for (number, change) in changes.iter().enumerate() {
            assert_eq!(words_with(change, &image()), None, "change {number}");
        }
        let images = [
            ImageConfig { entrypoint: Some(list(&["/usr/lib/systemd/systemd"])), ..image() },
            ImageConfig { stop_signal: Some("SIGINT".into()), ..image() },
            ImageConfig { env: Some(list(&["a-b=c"])), ..image() },
            ImageConfig::default(),
        ];
        for (number, image) in images.iter().enumerate() {
            assert_eq!(words_with(|_| {}, image), None, "image {number}");
        }
    }

    #[test]
    fn files_in_memory_go_with_the_program_where_nothing_else_can_lie_among_them() {
        let mount = |target: &str, source| Mount { target: target.into(), read_only: false, source };
        let memory = |target| mount(target, MountSource::Tmpfs { size: None, mode: None, options: None });
        let data = mount("/data", MountSource::Anonymous { nocopy: false, labels: BTreeMap::new() });
        let folders = |mounts: &[Mount], image: &ImageConfig| {
            let mut api = service("api");
            api.mounts = mounts.to_vec();
            let project = project([api]);
            super::memory(&spec::container(&project, &project.services["api"], 1, "sha256:api", None), image)
        };
        let two = [memory("/tmp"), memory("/run/")];
        assert_eq!(folders(std::slice::from_ref(&data), &image()), Some(Vec::new()));
        assert_eq!(folders(&two, &image()), Some(list(&["/tmp", "/run/"])));
        assert_eq!(folders(&[memory("/var/run"), data], &image()), None, "a link may lead there");
        let volumes = ImageConfig { volumes: Some(list(&["/data"])), ..image() };
        assert_eq!(folders(&two, &volumes), None);
        for target in ["/", "tmp", "/a'b", "/a/../b"] {
            assert_eq!(folders(&[memory(target)], &image()), None, "{target}");
        }
    }

    #[test]
    fn what_only_the_engine_checks_is_restarted_where_it_hears_of_it() {
        let test = Some(vec!["CMD".into(), "true".into()]);
        let checked = ImageConfig { healthcheck: Some(HealthConfig { test, ..HealthConfig::default() }), ..image() };
        let with = |test: Option<HealthTest>| {
            let check = test.map(|test| Healthcheck { test, ..Healthcheck::default() });
            words_with(|it| it.healthcheck = check, &checked).is_some()
        };
        assert!(!with(None) && !with(Some(HealthTest::Inherit)));
        assert!(with(Some(HealthTest::Shell("true".into()))) && with(Some(HealthTest::Disabled)));
    }

    const SECOND: u64 = 1_000_000_000;

    /// What is made of an engine's word about a container whose program was last started after ten seconds; `results` are
    /// the second and the exit code of each check.
    fn corrected(programs: &Programs, status: HealthStatusEnum, results: &[(i64, i64)]) -> Option<HealthStatusEnum> {
        let log = results.iter().map(|(second, code)| HealthcheckResult {
            start: chrono::DateTime::from_timestamp(*second, 0),
            exit_code: Some(*code),
            ..HealthcheckResult::default()
        });
        let health = Health { status: Some(status), log: Some(log.collect()), ..Health::default() };
        let mut inspected = ContainerInspectResponse {
            id: Some("a".into()),
            state: Some(ApiState { health: Some(health), ..ApiState::default() }),
            ..ContainerInspectResponse::default()
        };
        programs.correct(&mut inspected);
        inspected.state?.health?.status
    }

    fn started_after_ten_seconds() -> Programs {
        let programs = Programs::default();
        programs.known().marks.insert("a".into(), 10 * SECOND);
        programs
    }

    #[test]
    fn health_is_what_was_found_since_the_program_started() {
        use HealthStatusEnum::{HEALTHY, STARTING, UNHEALTHY};
        let of = |status, results: &[(i64, i64)]| corrected(&started_after_ten_seconds(), status, results);
        assert_eq!(of(HEALTHY, &[(9, 0), (10, 0)]), Some(STARTING));
        assert_eq!(of(HEALTHY, &[(9, 0), (11, 1)]), Some(STARTING));
        assert_eq!(of(HEALTHY, &[(9, 0), (11, 0)]), Some(HEALTHY));
        assert_eq!(of(HEALTHY, &[(11, 0), (12, 1)]), Some(HEALTHY));
        assert_eq!(of(UNHEALTHY, &[(9, 1), (10, 1)]), Some(STARTING));
        assert_eq!(of(UNHEALTHY, &[(10, 1), (11, 137)]), Some(STARTING), "it was killed with the program before");
        assert_eq!(of(UNHEALTHY, &[(11, 137), (12, 1)]), Some(UNHEALTHY));

        let programs = started_after_ten_seconds();
        assert_eq!(corrected(&programs, HEALTHY, &[(11, 0)]), Some(HEALTHY));
        let only_failures = [(12, 1), (13, 1), (14, 1), (15, 1), (16, 1)];
        assert_eq!(corrected(&programs, HEALTHY, &only_failures), Some(HEALTHY), "the engine has more patience");
    }

    #[test]
    fn what_no_event_would_tell_of_is_restarted_whole() {
        let health = |status, failing_streak| Health { status, failing_streak, ..Health::default() };
        assert!(is_heard(None));
        assert!(is_heard(Some(&health(Some(HealthStatusEnum::HEALTHY), Some(0)))));
        assert!(!is_heard(Some(&health(Some(HealthStatusEnum::HEALTHY), Some(1)))));
        assert!(!is_heard(Some(&health(Some(HealthStatusEnum::UNHEALTHY), Some(0)))));
        let check = |interval, retries, start_period| Healthcheck {
            interval: Some(Duration::from_secs(interval)),
            retries: Some(retries),
            start_period: Some(Duration::from_secs(start_period)),
            ..Healthcheck::default()
        };
        assert!(!is_impatient(&check(5, 3, 15)));
        assert!(is_impatient(&check(5, 3, 16)));
        assert!(is_impatient(&check(5, 1, 0)));
    }
}
