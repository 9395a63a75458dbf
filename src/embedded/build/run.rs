//! `RUN`: a container on the layers so far; what it writes becomes the next one.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use bollard_stubs::models::{ContainerCreateBody, EndpointSettings, HostConfig};

use super::NON_ZERO;
use super::cache::{Held, key};
use super::context::Context;
use super::copy;
use super::document;
use super::execute::given_up;
use super::lend::Lent;
use super::mount::{self, Mount};
use super::plan::Step;
use super::scope::words_of;
use super::stage::{Room, Stage, Taken, context, short};
use super::work::{Mounted, Piece, Place, Task, Work};
use crate::dockerfile::instruction::{Command, Instruction, Run};
use crate::embedded::error::Error;
use crate::embedded::network::{Join, Joined};
use crate::embedded::process::{self, ContainerProcess, Exit, Running, Seccomp};
use crate::embedded::root::Bind;
use crate::embedded::spec::{self, Namespace, NetworkNamespace, Request, ResolvedBind};

/// What it calls itself: the same in every build.
const HOSTNAME: &str = "build";
/// Where scripts of here-documents are found inside.
const SCRIPTS: &str = "/dev/pipes";
/// `SIGKILL`.
const KILL: i32 = 9;

/// What is put into the file system for a while.
#[derive(Default)]
pub(super) struct Extra {
    binds: Vec<ResolvedBind>,
    /// In memory: place and options.
    tmpfs: HashMap<String, String>,
    /// Held until the end.
    caches: Vec<Held>,
    /// Places that must be there: whether as folders.
    places: Vec<(String, bool)>,
    /// `name=value`.
    variables: Vec<String>,
    /// What the client lends; taken back at the end.
    lent: Option<Lent>,
}

impl Stage<'_> {
    /// Carries it out, or finds it in the cache.
    pub(super) async fn run(&mut self, step: &Step, run: &Run) -> Result<(), Error> {
        let shell = document::shell(&self.document.config);
        let arguments = self.scope.arguments();
        let told = document::created_by(&Instruction::Run(run.clone()), &shell, &arguments);
        let mounts = self.mounts(step, run)?;
        let mut parts = vec![self.key.clone(), "run".into(), told.clone()];
        parts.extend(run.network.clone());
        for mount in &mounts {
            parts.push(format!("{mount:?}"));
            if let Mount::Bind(bind) = mount {
                parts.push(self.digest(bind).await?);
            }
        }
        let next = key(&parts.iter().map(String::as_str).collect::<Vec<_>>());
        if let Some(found) = self.found(&next).await {
            self.keep(next, &told, found);
            return Ok(());
        }
        let room = Room::new(self.build)?;
        self.build.teller.runs(self.place, short(&room.id)).await;
        Box::pin(self.perform(run, &mounts, &room, &shell)).await?;
        let made = self.take_in(&room.upper("step"), &next).await?;
        room.leave().await?;
        self.keep(next, &told, made);
        Ok(())
    }

    fn mounts(&self, step: &Step, run: &Run) -> Result<Vec<Mount>, Error> {
        let folder = self.document.config.working_dir.clone().unwrap_or_default();
        let read = |text: &String| {
            let mut mount =
                mount::read(step.line.number, text).map_err(|problem| Error::Invalid(problem.of(&self.build.file)))?;
            if let Mount::Cache(mount::Cache { target, .. })
            | Mount::Bind(mount::Bind { target, .. })
            | Mount::Tmpfs { target, .. }
            | Mount::Secret(mount::Secret { target: Some(target), .. })
            | Mount::Agent(mount::Agent { target: Some(target), .. }) = &mut mount
            {
                *target = document::absolute(&folder, target);
            }
            Ok(mount)
        };
        run.mounts.iter().map(read).collect()
    }

    /// What a bound part of something holds.
    async fn digest(&self, bind: &mount::Bind) -> Result<String, Error> {
        let of = |files: &Context| {
            let part = copy::part(files, &bind.source).map_err(Error::Invalid)?;
            Ok(copy::digest(&[part]))
        };
        match self.taken(bind.from.as_deref()).await? {
            Taken::Layers(_, name) => Ok(name),
            Taken::Context(files) => of(files),
            Taken::Folder(files) => of(context(&files)?),
        }
    }

    async fn perform(&self, run: &Run, mounts: &[Mount], room: &Room, shell: &[String]) -> Result<(), Error> {
        let mut extra = Extra::default();
        self.hold(mounts, room, &mut extra).await?;
        for (number, mount) in mounts.iter().enumerate() {
            self.prepare(mount, number, room, &mut extra).await?;
        }
        self.borrow(mounts, room, &mut extra).await?;
        let command = command(run, room, shell, &mut extra)?;
        // What lies inside another place is put there after it.
        extra.binds.sort_by_key(|bind| bind.bind.destination.components().count());
        let network = run.network.as_deref().filter(|network| *network != "default");
        let network = network.unwrap_or(&self.build.options.network);
        let joined = self.join(network, &room.id).await?;
        let ran = Box::pin(self.contain(&command, joined.as_ref(), network, room, extra)).await;
        let left = match &joined {
            Some(_) => self.build.networks.leave(&room.id).await,
            None => Ok(()),
        };
        let exit = ran?;
        left?;
        if exit.code == 0 {
            return Ok(());
        }
        let shown = match &run.command {
            Command::Shell(_) if run.heredocs.is_empty() => words_of(&run.command, shell).join(" "),
            Command::Shell(text) => format!("{} {}", shell.join(" "), text.lines().next().unwrap_or_default()),
            Command::Exec(words) => words.join(" "),
        };
        let why = match (exit.oom_killed, &exit.error) {
            (true, _) => "; the kernel ended it for want of memory".to_owned(),
            (false, Some(error)) => format!("; {error}"),
            (false, None) => String::new(),
        };
        Err(Error::Failed(format!("The command '{shown}' {NON_ZERO}{}{why}", exit.code)))
    }

    /// Takes the caches, in the order of their ids, each once: steps that want the same ones never wait for each other.
    async fn hold(&self, mounts: &[Mount], room: &Room, extra: &mut Extra) -> Result<(), Error> {
        let caches = mounts.iter().filter_map(|mount| if let Mount::Cache(cache) = mount { Some(cache) } else { None });
        let mut caches: Vec<&mount::Cache> = caches.collect();
        caches.sort_by(|one, other| one.id.cmp(&other.id));
        let mut last: Option<(&str, PathBuf)> = None;
        for (number, cache) in caches.into_iter().enumerate() {
            let folder = match last {
                Some((id, folder)) if id == cache.id => folder,
                _ => {
                    let spare = room.path.join(format!("cache-{number}"));
                    let wait = self.build.cache.mount(cache, &spare);
                    let held = self.build.cancel.run_until_cancelled(wait).await.ok_or_else(given_up)??;
                    let folder = held.folder.clone();
                    extra.caches.push(held);
                    folder
                }
            };
            extra.bind(folder.clone(), &cache.target, cache.read_only);
            extra.places.push((cache.target.clone(), true));
            last = Some((&cache.id, folder));
        }
        Ok(())
    }

    /// Makes what a mount needs.
    async fn prepare(&self, mount: &Mount, number: usize, room: &Room, extra: &mut Extra) -> Result<(), Error> {
        match mount {
            Mount::Bind(bind) => {
                let folder = room.path.join(format!("bind-{number}"));
                fs::create_dir(&folder).map_err(Error::io(format!("make `{}`", folder.display())))?;
                self.bring(bind, &folder, room, number).await?;
                let file = folder.join("file");
                let is_file = file.exists();
                extra.places.push((bind.target.clone(), !is_file));
                extra.bind(if is_file { file } else { folder.join("folder") }, &bind.target, !bind.writable);
            }
            Mount::Tmpfs { target, size } => {
                let options = size.map(|size| format!("size={size}")).unwrap_or_default();
                extra.tmpfs.insert(target.clone(), options);
                extra.places.push((target.clone(), true));
            }
            // Caches are held by now, and the client is asked next.
            Mount::Cache(_) | Mount::Secret(_) | Mount::Agent(_) => {}
        }
        Ok(())
    }

    /// Copies a part of the context, a stage or an image to `file` or `folder` in a folder.
    async fn bring(&self, bind: &mount::Bind, folder: &Path, room: &Room, number: usize) -> Result<(), Error> {
        let part = |files: &Context| {
            let piece = copy::part(files, &bind.source).map_err(Error::Invalid)?;
            Ok::<_, Error>((Vec::new(), piece, Some(files.spool.clone())))
        };
        let (sources, piece, spool) = match self.taken(bind.from.as_deref()).await? {
            Taken::Context(files) => part(files)?,
            Taken::Folder(files) => part(context(&files)?)?,
            Taken::Layers(layers, _) => {
                let name = format!("from-{number}");
                let rootfs = room.rootfs(&layers, &name, None)?;
                let piece = Piece::Tree { source: 0, path: document::absolute("/", &bind.source), parents: false };
                (vec![Mounted { rootfs, at: room.path.join(format!("{name}-root")) }], piece, None)
            }
        };
        let work =
            Work { place: Place::Folder(folder.to_owned()), sources, spool, tasks: vec![Task::Bring(piece)], epoch: 0 };
        self.build.help(&work).await.map(drop)
    }

    /// Puts it on the network that was asked for; `None` on the machine's own.
    async fn join(&self, network: &str, id: &str) -> Result<Option<Joined>, Error> {
        let endpoints = match network {
            "host" => return Ok(None),
            "none" => HashMap::new(),
            "" | "default" => HashMap::from([("bridge".to_owned(), EndpointSettings::default())]),
            other => HashMap::from([(other.to_owned(), EndpointSettings::default())]),
        };
        let join = Join {
            id: id.to_owned(),
            name: format!("build-{}", short(id)),
            hostname: HOSTNAME.to_owned(),
            endpoints,
            ..Join::default()
        };
        self.build.networks.join(&join).await.map(Some)
    }

    /// Runs the container and tells its output; how it ended.
    async fn contain(
        &self,
        command: &[String],
        joined: Option<&Joined>,
        network: &str,
        room: &Room,
        mut extra: Extra,
    ) -> Result<Exit, Error> {
        self.own_files(joined, network, room, &mut extra)?;
        let stubs = stubs(room, &extra.places).map_err(Error::io("prepare the folders of a step"))?;
        let rootfs = room.rootfs(&self.layers, "step", Some(stubs))?;
        let config = &self.document.config;
        let mut variables = self.scope.command();
        variables.append(&mut extra.variables);
        let options = &self.build.options;
        let body = ContainerCreateBody {
            hostname: Some(Some(options.hostname.clone()).filter(|name| !name.is_empty()).unwrap_or(HOSTNAME.into())),
            env: Some(variables),
            working_dir: config.working_dir.clone(),
            ..ContainerCreateBody::default()
        };
        let host = HostConfig {
            shm_size: options.shm_size.and_then(|size| i64::try_from(size).ok()),
            tmpfs: Some(std::mem::take(&mut extra.tmpfs)),
            ..options.limits.clone()
        };
        let namespace =
            joined.map_or(NetworkNamespace::Host, |joined| NetworkNamespace::Path(joined.namespace.clone()));
        let request = Request {
            id: &room.id,
            body: &body,
            host: &host,
            arguments: command,
            binds: &extra.binds,
            root: self.build.layout.mounts().join(&room.id),
            network: namespace,
            pid: Namespace::Own,
            ipc: Namespace::Own,
            cgroup: spec::cgroup_namespace(&host, &self.build.machine),
            machine: &self.build.machine,
        };
        // What this machine cannot limit is not asked for here.
        let (spec, _) = spec::container(&request)?;
        let container = ContainerProcess {
            id: room.id.clone(),
            spec,
            rootfs,
            user: config.user.clone().unwrap_or_default(),
            group_add: Vec::new(),
            propagated: Vec::new(),
            shared_memory_of: None,
            populate: Vec::new(),
            terminal: false,
            stdin: false,
            stdin_once: false,
            init: false,
            log: None,
            seccomp: Seccomp::Default,
            hold_output: true,
        };
        let running = Box::pin(process::start(&self.build.layout, &container)).await?;
        let told = self.build.cancel.run_until_cancelled(self.tell_output(&running)).await;
        if !matches!(told, Some(Ok(()))) {
            // It may have ended by itself; waited for in any case, so that nothing of it is left.
            let _ = running.signal(KILL).await;
        }
        let exit = running.wait().await;
        process::forget(&self.build.layout, &room.id).await?;
        drop(extra);
        told.unwrap_or_else(|| Err(given_up()))?;
        Ok(exit)
    }

    async fn tell_output(&self, running: &Running) -> Result<(), Error> {
        let mut attached = running.attach().await?;
        let mut text = Text::default();
        while let Some(piece) = attached.output.recv().await {
            let said = text.take(&piece.bytes);
            if !said.is_empty() {
                self.build.teller.output(self.place, piece.source, said).await;
            }
        }
        Ok(())
    }

    /// `hosts`, `hostname`, `resolv.conf`.
    fn own_files(&self, joined: Option<&Joined>, network: &str, room: &Room, extra: &mut Extra) -> Result<(), Error> {
        let mut hosts = String::from("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
        for line in &self.build.options.extra_hosts {
            let split = line.split_once('=').or_else(|| line.split_once(':'));
            let (name, address) = split.ok_or_else(|| Error::Invalid(format!("`{line}` is not `name:address`")))?;
            hosts.extend([address.trim_matches(['[', ']']), "\t", name, "\n"]);
        }
        for endpoint in joined.iter().flat_map(|joined| joined.endpoints.values()) {
            if let Some(address) = endpoint.ip_address.as_deref().filter(|address| !address.is_empty()) {
                hosts.extend([address, "\t", HOSTNAME, "\n"]);
            }
        }
        let resolv = match joined.and_then(|joined| joined.nameserver.as_deref()) {
            Some(nameserver) => format!("nameserver {nameserver}\n"),
            None if network == "none" => String::new(),
            // A machine without one resolves nothing, inside as outside.
            None => fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
        };
        for (name, text) in [("hosts", hosts), ("hostname", format!("{HOSTNAME}\n")), ("resolv.conf", resolv)] {
            let path = room.path.join(name);
            fs::write(&path, text).map_err(Error::io(format!("write `{}`", path.display())))?;
            extra.bind(path, &format!("/etc/{name}"), false);
        }
        Ok(())
    }
}

impl Extra {
    fn bind(&mut self, source: PathBuf, destination: &str, read_only: bool) {
        let bind = Bind { source, destination: destination.into(), read_only };
        self.binds.push(ResolvedBind { bind, propagation: String::new(), recursive: true });
    }

    /// A file that the client lends.
    pub(super) fn lend_file(&mut self, source: PathBuf, destination: &str) {
        self.places.push((destination.to_owned(), false));
        self.bind(source, destination, false);
    }

    /// A variable that has to do with it.
    pub(super) fn lend_variable(&mut self, variable: String) {
        self.variables.push(variable);
    }

    /// Keeps what was lent until the end.
    pub(super) fn keep(&mut self, lent: Lent) {
        self.lent = Some(lent);
    }
}

/// Program and arguments. A script of a here-document that names its interpreter is a file inside.
fn command(run: &Run, room: &Room, shell: &[String], extra: &mut Extra) -> Result<Vec<String>, Error> {
    let Command::Shell(text) = &run.command else { return Ok(words_of(&run.command, shell)) };
    let script = match &run.heredocs[..] {
        [] => text.clone(),
        // Nothing but here-documents: they are the script.
        [only] if text.trim().starts_with("<<") && !text.trim().contains(char::is_whitespace) => {
            if only.text.starts_with("#!") {
                let path = room.path.join("script");
                let written = fs::write(&path, &only.text).and_then(|()| {
                    use std::os::unix::fs::PermissionsExt as _;
                    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                });
                written.map_err(Error::io("write a script"))?;
                let inside = format!("{SCRIPTS}/{}", only.name);
                extra.bind(path, &inside, true);
                return Ok(vec![inside]);
            }
            only.text.clone()
        }
        // The shell reads them itself.
        several => {
            let bodies = several.iter().map(|heredoc| format!("{}{}\n", heredoc.text, heredoc.name));
            format!("{text}\n{}", bodies.collect::<String>())
        }
    };
    Ok(words_of(&Command::Shell(script), shell))
}

/// The lowest layer of all: places for mounts that an image may not have. What lies in it is no part of what a step writes.
fn stubs(room: &Room, places: &[(String, bool)]) -> std::io::Result<PathBuf> {
    let stubs = room.path.join("stubs");
    let folders = ["proc", "sys", "dev", "etc"].map(|name| (format!("/{name}"), true));
    let files = ["hosts", "hostname", "resolv.conf"].map(|name| (format!("/etc/{name}"), false));
    for (place, is_folder) in folders.iter().chain(&files).chain(places) {
        // It has been made absolute: nothing in it leads up.
        let path = stubs.join(place.trim_start_matches('/'));
        if *is_folder {
            fs::create_dir_all(path)?;
        } else if !path.exists() {
            fs::create_dir_all(path.parent().unwrap_or(&stubs))?;
            fs::write(path, "")?;
        }
    }
    Ok(stubs)
}

/// Bytes that come in pieces, as text: a character is not cut in two.
#[derive(Debug, Default)]
struct Text(Vec<u8>);

impl Text {
    fn take(&mut self, bytes: &[u8]) -> String {
        self.0.extend_from_slice(bytes);
        let whole = match str::from_utf8(&self.0) {
            // The beginning of a character; more of it comes with the next piece.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.0.len(),
        };
        let rest = self.0.split_off(whole);
        String::from_utf8_lossy(&std::mem::replace(&mut self.0, rest)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn a_character_that_comes_in_two_pieces_is_told_whole() {
        let mut text = Text::default();
        assert_eq!(text.take(b"a\xc3"), "a");
        assert_eq!(text.take(b"\xa9b"), "éb");
        assert_eq!(text.take(b"\xff!"), "\u{fffd}!");
    }
}
