//! Builds by clients that speak BuildKit's protocol and that nobody here wrote: `docker build`, `docker buildx`, `docker
//! compose`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::{Daemon, Ran, eventually, processes_of, run};

/// What a secret holds; nothing else does.
const SECRET: &str = "s3cr3t-that-is-nowhere-else";

fn engine() -> Daemon {
    let daemon = Daemon::start();
    daemon.busybox();
    daemon
}

/// A folder with a Dockerfile and further files.
fn context(dockerfile: &str, files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for (path, text) in files.iter().chain([&("Dockerfile", dockerfile)]) {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("a folder can be made");
        fs::write(path, text).expect("a file can be written");
    }
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path is text")
}

impl Daemon {
    /// Runs `docker` as people do who have its plugins.
    fn plugged_docker(&self, arguments: &[&str], input: &[u8]) -> Ran {
        run(self.plugged().args(arguments), input)
    }

    fn buildx(&self, arguments: &[&str], folder: &Path) -> Ran {
        let arguments = [&["buildx", "build"], arguments, &[text(folder)]].concat();
        self.plugged_docker(&arguments, b"")
    }

    /// How many builds there are files of.
    fn staged(&self) -> usize {
        fs::read_dir(self.home().join("lib/builds/staging")).map_or(0, Iterator::count)
    }
}

const APP: &str = "FROM busybox AS build\nARG who\nWORKDIR /app\nCOPY . .\nRUN cat src/a > out && echo $who >> out && ls >> out\n\
                   FROM busybox\nENV kept=yes\nCOPY --from=build /app/out /\nCMD [\"cat\", \"/out\"]\n";
const FILES: [(&str, &str); 3] = [("src/a", "hello\n"), (".dockerignore", "# no\nsecret\n"), ("secret", "no\n")];

#[test]
fn docker_build_and_buildx_build_as_they_are() {
    let daemon = engine();
    let folder = context(APP, &FILES);
    let flags = ["--build-arg", "who=you", "--label", "a=b", "-t", "app:1", "-t", "app:2"];
    let build = |command: &[&str]| {
        let ran = daemon.plugged_docker(&[command, &flags, &[text(folder.path())]].concat(), b"");
        assert_eq!(ran.code, 0, "{ran:#?}");
        ran.stdout + &ran.stderr
    };
    for (number, command) in [&["build"][..], &["buildx", "build"]].into_iter().enumerate() {
        let told = build(command);
        for line in [
            "[internal] load build definition from Dockerfile",
            "[internal] load build context",
            "[build 1/4] FROM busybox",
            "[build 4/4] RUN cat src/a > out",
            "[stage-1 2/2] COPY --from=build /app/out /",
            "exporting to image",
            "naming to app:2",
        ] {
            assert!(told.contains(line), "{command:?} tells nothing of `{line}`:\n{told}");
        }
        assert_eq!(told.contains("CACHED"), number > 0, "{told}");
        assert_eq!(daemon.docker(&["run", "--rm", "app:1"]).ok(), "hello\nyou\nDockerfile\nout\nsrc\n");
        let format = "{{.Config.Labels.a}} {{index .Config.Env 1}} {{json .RepoTags}}";
        let inspected = daemon.docker(&["image", "inspect", "-f", format, "app:2"]).ok();
        assert_eq!(inspected, "b kept=yes [\"app:1\",\"app:2\"]\n");
    }
    let (id, metadata) = (daemon.home().join("id"), daemon.home().join("metadata"));
    let quiet = daemon.buildx(
        &["-q", "--iidfile", text(&id), "--metadata-file", text(&metadata), "--build-arg", "who=you", "--label", "a=b"],
        folder.path(),
    );
    let image = daemon.docker(&["inspect", "-f", "{{.Id}}", "app:1"]).ok();
    assert_eq!(quiet.ok(), image);
    assert_eq!(fs::read_to_string(id).expect("it was written"), image.trim());
    let metadata = fs::read_to_string(metadata).expect("it was written");
    assert!(metadata.contains(&format!("\"containerimage.digest\": \"{}\"", image.trim())), "{metadata}");
}

#[test]
fn a_failing_step_shows_its_output_and_its_lines() {
    let daemon = engine();
    let folder = context("FROM busybox\nRUN echo trying \\\n    && exit 3\nCMD x\n", &[]);
    let ran = daemon.buildx(&[], folder.path());
    assert_eq!(ran.code, 1, "{ran:#?}");
    for line in [
        " > [2/2] RUN echo trying",
        "trying\n",
        "Dockerfile:2\n",
        "   2 | >>> RUN echo trying \\\n   3 | >>>     && exit 3\n",
        "returned a non-zero code: 3",
    ] {
        assert!(ran.stderr.contains(line), "`{line}` is not told:\n{}", ran.stderr);
    }
    let folder = context("FROM busybox\nCOPY one two /three\n", &[]);
    let complaint = daemon.buildx(&[], folder.path()).fails();
    assert!(complaint.contains(">>> COPY one two /three") && complaint.contains("ends with /"), "{complaint}");
    assert_eq!(daemon.staged(), 0);
}

#[test]
fn a_secret_is_lent_and_is_in_no_layer_and_no_log() {
    let daemon = engine();
    let (secret, variable) = (daemon.home().join("secret.txt"), ("TOKEN", SECRET));
    fs::write(&secret, SECRET).expect("a file can be written");
    let dockerfile = "FROM busybox\nRUN --mount=type=secret,id=file,required,target=/etc/token,mode=0440,uid=7 \
                      stat -c '%a %u %s' /etc/token > /told && mount | grep -c /etc/token\n\
                      RUN --mount=type=secret,id=variable,env=TOKEN echo ${#TOKEN} >> /told; env > /dev/null\n\
                      RUN --mount=type=secret,id=other ls /run/secrets || echo none >> /told\n\
                      RUN test ! -e /etc/token && test -z \"$TOKEN\"\n";
    let folder = context(dockerfile, &[]);
    let file = format!("id=file,src={}", secret.display());
    let mut command = daemon.plugged();
    command.env(variable.0, variable.1);
    command.args(["buildx", "build", "-t", "app", "--secret", &file, "--secret", "id=variable,env=TOKEN"]);
    let ran = run(command.arg(folder.path()), b"");
    assert_eq!(ran.code, 0, "{ran:#?}");
    let told = daemon.docker(&["run", "--rm", "app", "cat", "/told"]).ok();
    assert_eq!(told, format!("440 7 {0}\n{0}\nnone\n", SECRET.len()));
    let saved = daemon.home().join("saved.tar");
    daemon.docker(&["save", "-o", text(&saved), "app"]).ok();
    fs::remove_file(&secret).expect("it is there");
    // The namespaces of networks are files that nobody can read, which is no failure.
    let kept = run(Command::new("grep").args(["-rslF", "-D", "skip", SECRET]).arg(daemon.home()), b"");
    assert_eq!((kept.stdout.as_str(), kept.stderr.as_str()), ("", ""), "the secret is kept");
    let missing = daemon.buildx(&["--no-cache"], folder.path()).fails();
    assert!(missing.contains("the secret `file` is required and was not given"), "{missing}");
}

/// A program of the machine with the libraries that it needs, in a folder.
fn with_libraries(program: &str, folder: &Path) {
    let found = run(Command::new("sh").args(["-c", &format!("command -v {program}")]), b"").ok();
    let listed = run(Command::new("ldd").arg(found.trim()), b"").ok();
    let libraries = listed.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    for file in libraries.chain([found.trim()]) {
        let to = folder.join(&file[1..]);
        fs::create_dir_all(to.parent().expect("it lies in a folder")).expect("a folder can be made");
        fs::copy(file, to).expect("a file can be copied");
    }
}

/// An SSH agent with one key; ends with the value.
struct Agent {
    process: std::process::Child,
    socket: PathBuf,
}

impl Agent {
    fn start(folder: &Path) -> Self {
        let (socket, key) = (folder.join("agent.sock"), folder.join("key"));
        let mut agent = Command::new("ssh-agent");
        let process = agent.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn();
        let agent = Self { process: process.expect("these tests need Debian's openssh-client"), socket };
        eventually("the agent listens", || agent.socket.exists().then_some(()));
        run(
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "a key of a test", "-f"]).arg(&key),
            b"",
        )
        .ok();
        run(Command::new("ssh-add").arg(key).env("SSH_AUTH_SOCK", &agent.socket), b"").ok();
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn an_ssh_agent_is_lent_and_its_keys_stay_where_they_are() {
    let daemon = engine();
    let agent = Agent::start(daemon.home());
    let dockerfile = "FROM busybox\nCOPY machine /\n\
                      RUN --mount=type=ssh,id=mine,required echo $SSH_AUTH_SOCK && /usr/bin/ssh-add -l > /told\n\
                      RUN --mount=type=ssh test -z \"$SSH_AUTH_SOCK\" && test ! -e /run/buildkit\n";
    let folder = context(dockerfile, &[]);
    with_libraries("ssh-add", &folder.path().join("machine"));
    let flag = format!("mine={}", agent.socket.display());
    let ran = daemon.buildx(&["-t", "app", "--ssh", &flag], folder.path());
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.stderr.contains("/run/buildkit/ssh_agent.0"), "{}", ran.stderr);
    let told = daemon.docker(&["run", "--rm", "app", "cat", "/told"]).ok();
    assert!(told.contains("a key of a test (ED25519)"), "{told}");
    let missing = daemon.buildx(&["--no-cache"], folder.path()).fails();
    assert!(missing.contains("the SSH agent `mine` is required and was not given"), "{missing}");
}

#[test]
fn a_context_of_five_thousand_files_comes_whole_and_only_what_is_wanted_of_another() {
    let daemon = engine();
    let folder = context("FROM busybox\nCOPY . /all\nRUN find /all -type f | wc -l > /count\n", &[]);
    for number in 0..5000 {
        let path = folder.path().join(format!("{}/{}", number % 50, number % 7));
        fs::create_dir_all(&path).expect("a folder can be made");
        fs::write(path.join(number.to_string()), format!("{number}")).expect("a file can be written");
    }
    fs::hard_link(folder.path().join("0/0/0"), folder.path().join("zero")).expect("a link can be made");
    fs::write(folder.path().join("ümlaut"), "ü").expect("a file can be written");
    let script = folder.path().join("script");
    fs::write(&script, "#!/bin/sh\n").expect("a file can be written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o4755)).expect("it is there");
    let ran = daemon.buildx(&["-t", "all"], folder.path());
    assert_eq!(ran.code, 0, "{ran:#?}");
    let command = "cat /count /all/zero /all/ümlaut; stat -c ' %a %u' /all/script; cat /all/49/0/4949";
    assert_eq!(daemon.docker(&["run", "--rm", "all", "sh", "-c", command]).ok(), "5004\n0ü 4755 0\n4949");
    fs::write(folder.path().join("Dockerfile"), "FROM busybox\nCOPY ümlaut 1/[0-3] /some/\n").expect("a file");
    let told = daemon.buildx(&["-t", "some"], folder.path());
    assert_eq!(told.code, 0, "{told:#?}");
    let sizes = told.stderr.lines().filter_map(|line| line.split("transferring context: ").nth(1));
    let sizes: Vec<&str> =
        sizes.filter_map(|size| size.split_whitespace().next()).filter(|size| *size != "done").collect();
    assert!(
        !sizes.is_empty()
            && sizes.iter().all(|size| size.ends_with('B') && !size.ends_with("kB") && !size.ends_with("MB")),
        "{told:?}"
    );
    let files = daemon.docker(&["run", "--rm", "some", "sh", "-c", "ls /some | wc -l; cat /some/ümlaut"]).ok();
    assert!(files.ends_with('ü') && !files.starts_with("5004"), "{files}");
}

#[test]
fn a_client_that_goes_takes_its_build_with_it() {
    let daemon = engine();
    let folder = context("FROM busybox\nRUN echo it runs && sleep 12345\n", &[]);
    for signal in ["INT", "KILL"] {
        let mut command = daemon.plugged();
        command.args(["buildx", "build"]).arg(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut client = command.spawn().expect("docker can be started");
        let sleeps = || {
            fs::read_dir("/proc")
                .expect("there is `/proc`")
                .flatten()
                .any(|entry| fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == b"sleep\x0012345\x00"))
        };
        eventually("the step runs", || sleeps().then_some(()));
        // Docker starts its plugin as another process, which does not end with it.
        for process in processes_of(text(folder.path())) {
            let pid = process.split(' ').next().expect("it begins with its number").to_owned();
            run(Command::new("kill").args([&format!("-{signal}"), pid.as_str()]), b"");
        }
        eventually("the step has ended", || (!sleeps()).then_some(()));
        eventually("its files are gone", || (daemon.staged() == 0).then_some(()));
        client.wait().expect("it is ours");
    }
}

#[test]
fn further_contexts_are_folders_images_and_what_else_was_built() {
    let daemon = engine();
    let other = context("", &[("file", "other\n"), ("left/out", "no\n"), (".dockerignore", "left\n")]);
    let dockerfile = "FROM base AS built\nCOPY --from=other file /\n\
                      RUN --mount=from=other,target=/mnt ls /mnt > /listed\n\
                      FROM other AS files\nFROM busybox\nCOPY --from=built /file /listed /\nCOPY --from=files / /files\n";
    let folder = context(dockerfile, &[]);
    let named = format!("other={}", other.path().display());
    let flags = ["-t", "app", "--build-context", &named, "--build-context", "base=docker-image://busybox"];
    let ran = daemon.buildx(&flags, folder.path());
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.stderr.contains("[context other] load from client"), "{}", ran.stderr);
    let told = daemon.docker(&["run", "--rm", "app", "sh", "-c", "cat /file /listed; ls /files"]).ok();
    assert_eq!(told, "other\nDockerfile\nfile\nDockerfile\nfile\n");
}

#[test]
fn a_result_can_be_files_or_a_tar() {
    let daemon = engine();
    let dockerfile = "FROM busybox AS made\nRUN mkdir -p /out/sub.d /out/sub && echo hi > /out/sub/file && \
                      echo ho > /out/sub.d/x && ln -s sub/file /out/link && chmod 751 /out/sub/file\n\
                      FROM scratch\nCOPY --from=made /out /\n";
    let folder = context(dockerfile, &[]);
    let images = daemon.docker(&["images", "-aq"]).ok();
    let (out, tar) = (daemon.home().join("out"), daemon.home().join("out.tar"));
    let ran = daemon.buildx(&["-o", &format!("type=local,dest={}", out.display())], folder.path());
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(fs::read_to_string(out.join("link")).expect("it leads to a file"), "hi\n");
    assert_eq!(fs::read_to_string(out.join("sub.d/x")).expect("it is there"), "ho\n");
    assert_eq!(fs::metadata(out.join("sub/file")).expect("it is there").mode() & 0o7777, 0o751);
    daemon.buildx(&["-o", &format!("type=tar,dest={}", tar.display())], folder.path()).ok();
    let listed = run(Command::new("tar").arg("tf").arg(&tar), b"").ok();
    assert!(listed.contains("./sub/file\n"), "{listed}");
    assert_eq!(daemon.docker(&["images", "-aq"]).ok(), images, "no image is made");
    eventually("its files are gone", || (daemon.staged() == 0).then_some(()));
}

#[test]
fn a_context_or_a_dockerfile_can_be_piped() {
    let daemon = engine();
    let folder = context(APP, &FILES);
    for command in [&["build"][..], &["buildx", "build"]] {
        let tar = tar_of(folder.path());
        let ran = daemon.plugged_docker(&[command, &["--no-cache", "-t", "piped", "-"]].concat(), &tar);
        assert_eq!(ran.code, 0, "{command:?} {ran:#?}");
        assert_eq!(daemon.docker(&["run", "--rm", "piped"]).ok(), "hello\n\nDockerfile\nout\nsrc\n");
        let dockerfile = b"FROM busybox\nCOPY src /src\nRUN cat /src/a\n";
        let arguments = [command, &["-t", "piped", "-f", "-", text(folder.path())]].concat();
        let ran = daemon.plugged_docker(&arguments, dockerfile);
        assert_eq!(ran.code, 0, "{command:?} {ran:#?}");
        let ran = daemon.plugged_docker(&[command, &["-t", "piped", "-"]].concat(), b"FROM busybox\nRUN echo alone\n");
        assert_eq!(ran.code, 0, "{command:?} {ran:#?}");
    }
}

fn tar_of(folder: &Path) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_dir_all(".", folder).expect("a tar can be written");
    tar.into_inner().expect("a tar can be written")
}

const PROJECT: &str = "services:
  base: { build: base, command: ['true'] }
  app:
    build:
      context: app
      additional_contexts: { base: 'service:base' }
      secrets: [token]
    init: true
    command: [sleep, '1000']
secrets:
  token: { file: ./token.txt }
";

#[test]
fn docker_compose_builds_one_service_on_another_with_a_secret() {
    let daemon = engine();
    let project = context("", &[("compose.yaml", PROJECT), ("token.txt", SECRET)]);
    let base = "FROM busybox\nENV from=base\nRUN echo based > /based\n";
    let app = "FROM base\nRUN --mount=type=secret,id=token,required wc -c < /run/secrets/token > /told; echo $from >> /told\n";
    for (name, dockerfile) in [("base", base), ("app", app)] {
        let folder = project.path().join(name);
        fs::create_dir(&folder).expect("a folder can be made");
        fs::write(folder.join("Dockerfile"), dockerfile).expect("a file can be written");
    }
    let compose = |bake: &str, arguments: &[&str]| {
        let mut command = daemon.plugged();
        command.env("COMPOSE_BAKE", bake).env("COMPOSE_PROJECT_NAME", "kit").current_dir(project.path());
        run(command.arg("compose").args(arguments), b"")
    };
    for bake in ["true", "false"] {
        let built = compose(bake, &["build", "--no-cache"]);
        assert_eq!(built.code, 0, "{built:#?}");
        let told = daemon.docker(&["run", "--rm", "kit-app", "cat", "/told", "/based"]).ok();
        assert_eq!(told, format!("{}\nbase\nbased\n", SECRET.len()), "COMPOSE_BAKE={bake}");
    }
    let up = compose("true", &["up", "-d", "--build"]);
    assert_eq!(up.code, 0, "{up:#?}");
    assert_eq!(compose("true", &["exec", "-T", "app", "cat", "/based"]).ok(), "based\n");
    compose("true", &["down", "-t", "0"]).ok();
}

#[test]
fn what_cannot_be_done_is_said_in_words() {
    let daemon = engine();
    let folder = context("FROM busybox\nRUN true\n", &[]);
    for (flags, words) in [
        (&["--check"][..], "answers no questions about a Dockerfile"),
        (&["--platform", "linux/s390x"], "cannot build for linux/s390x"),
        (&["--target", "no"], "it has no stage `no`"),
    ] {
        let complaint = daemon.buildx(flags, folder.path()).fails();
        assert!(complaint.contains(words), "{flags:?}: {complaint}");
    }
    let listed = daemon.plugged_docker(&["buildx", "ls"], b"").ok();
    assert!(listed.contains("running"), "{listed}");
    daemon.buildx(&[], folder.path()).ok();
    assert!(daemon.plugged_docker(&["buildx", "du"], b"").ok().contains("Total:"));
    assert!(daemon.plugged_docker(&["buildx", "prune", "-f"], b"").ok().contains("Total:"));
}
