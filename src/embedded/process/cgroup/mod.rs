//! The control groups of a container, of either version: what runs in them, freezing, ending, taking away.

mod limits;
mod usage;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Where the groups of all containers are, in each hierarchy.
const PARENT: &str = "hoist";

/// How long the machine is given to let go of what has been ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// Makes the next move of a process into a group quick: the first in a while has to wait until each of the machine's
/// processors has passed through its scheduler, 8 ms and more. A move of this process to where it is already, made while
/// there is other work, has had that wait by then. Only the wait counts, so nothing is said where it cannot be made.
pub(super) fn hasten() {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups = own.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let mut places = groups.map(|(hierarchy, path)| {
        let root = Path::new("/sys/fs/cgroup").join(hierarchy.trim_start_matches("name="));
        root.join(path.trim_start_matches('/')).join("cgroup.procs")
    });
    places.any(|place| fs::write(place, "0").is_ok());
}

/// The groups of one container; they need not be there.
#[derive(Debug, Clone)]
pub(super) struct Cgroup {
    /// Whether there is one hierarchy for all controllers.
    unified: bool,
    /// A folder and the controllers that it has; with one hierarchy the folder alone.
    folders: Vec<(PathBuf, Vec<String>)>,
}

/// The path of a container's groups in a specification.
pub(super) fn path(id: &str) -> PathBuf {
    Path::new("/").join(PARENT).join(id)
}

impl Cgroup {
    /// Of a container.
    pub(super) fn of(id: &str) -> Self {
        Self::find(id, &fs::read_to_string("/proc/self/mounts").unwrap_or_default())
    }

    /// By the text of the machine's mounts.
    fn find(id: &str, mounts: &str) -> Self {
        let inside = Path::new(PARENT).join(id);
        let mut folders = Vec::new();
        let mut unified = None;
        for line in mounts.lines() {
            let mut words = line.split(' ').skip(1);
            let (Some(place), Some(kind), Some(options)) = (words.next(), words.next(), words.next()) else { continue };
            match kind {
                "cgroup" => {
                    folders.push((Path::new(place).join(&inside), options.split(',').map(str::to_owned).collect()));
                }
                "cgroup2" if place == "/sys/fs/cgroup" => unified = Some(Path::new(place).join(&inside)),
                _ => {}
            }
        }
        match unified {
            Some(folder) => Self { unified: true, folders: vec![(folder, Vec::new())] },
            None => Self { unified: false, folders },
        }
    }

    /// Whether a controller of version 1 is there, or there is but one hierarchy.
    pub(super) fn has(&self, controller: &str) -> bool {
        self.folder(controller).is_some()
    }

    /// Whether there is one hierarchy for all.
    pub(super) fn is_unified(&self) -> bool {
        self.unified
    }

    /// The hierarchies of version 1 that lie at their usual place, by name, and the group in each.
    pub(super) fn hierarchies(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.folders.iter().filter_map(|(folder, _)| {
            let inside = folder.strip_prefix("/sys/fs/cgroup").ok().filter(|_| !self.unified)?;
            Some((inside.iter().next()?.to_str()?, folder.as_path()))
        })
    }

    fn folder(&self, controller: &str) -> Option<&Path> {
        let has =
            |(_, controllers): &&(PathBuf, Vec<String>)| self.unified || controllers.iter().any(|it| it == controller);
        self.folders.iter().find(has).map(|(folder, _)| folder.as_path())
    }

    fn read(&self, controller: &str, file: &str) -> Option<String> {
        fs::read_to_string(self.folder(controller)?.join(file)).ok()
    }

    fn write(&self, controller: &str, file: &str, value: &str) -> io::Result<()> {
        let folder = self.folder(controller).ok_or_else(|| {
            io::Error::new(io::ErrorKind::Unsupported, format!("this machine has no control group {controller}"))
        })?;
        let file = folder.join(file);
        fs::write(&file, value).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot write {value} to {}: {error}", file.display()))
        })
    }

    /// Whether any of the groups is there.
    pub(super) fn exists(&self) -> bool {
        self.folders.iter().any(|(folder, _)| folder.exists())
    }

    /// All processes in them and below, on the machine.
    pub(super) fn processes(&self) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        for (folder, _) in &self.folders {
            collect(folder, &mut found);
        }
        found
    }

    /// Stops all processes where they are.
    pub(super) fn freeze(&self) -> io::Result<()> {
        let (file, value, state, done) = if self.unified {
            ("cgroup.freeze", "1", "cgroup.events", "frozen 1")
        } else {
            ("freezer.state", "FROZEN", "freezer.state", "FROZEN")
        };
        let by = Instant::now() + PATIENCE;
        loop {
            self.write("freezer", file, value)?;
            if self.read("freezer", state).is_some_and(|text| text.lines().any(|line| line == done)) {
                return Ok(());
            }
            if Instant::now() > by {
                self.thaw()?;
                return Err(io::Error::new(io::ErrorKind::TimedOut, "its processes do not stop"));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Lets them go on.
    pub(super) fn thaw(&self) -> io::Result<()> {
        if self.unified {
            self.write("freezer", "cgroup.freeze", "0")
        } else {
            self.write("freezer", "freezer.state", "THAWED")
        }
    }

    /// How often the kernel ended one of them for want of memory.
    pub(super) fn out_of_memory(&self) -> u64 {
        let file = if self.unified { "memory.events" } else { "memory.oom_control" };
        self.read("memory", file).and_then(|text| usage::field(&text, "oom_kill")).unwrap_or(0)
    }

    /// Ends whatever runs in them and takes them away.
    pub(super) fn remove(&self) -> io::Result<()> {
        let by = Instant::now() + PATIENCE;
        loop {
            let Err(error) = self.try_remove() else { return Ok(()) };
            if Instant::now() > by {
                return Err(error);
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn try_remove(&self) -> io::Result<()> {
        if !self.exists() {
            return Ok(());
        }
        self.kill();
        self.folders.iter().try_for_each(|(folder, _)| remove(folder))
    }

    /// Ends all processes in them; they may still be about to go when this returns.
    pub(super) fn kill(&self) {
        let processes = self.processes();
        if !processes.is_empty() {
            for pid in processes {
                if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                    // It may have ended by itself.
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            // The frozen do not even die; those that are not frozen do not mind.
            let _ = self.thaw();
        }
    }

    /// Whether swap is counted, and so can be limited.
    pub(super) fn counts_swap(&self) -> bool {
        let parent = |folder: &Path| folder.ancestors().nth(2).map(Path::to_path_buf);
        let file = |root: PathBuf| root.join("memory.memsw.limit_in_bytes").exists();
        self.unified || self.folder("memory").and_then(parent).is_some_and(file)
    }
}

fn collect(folder: &Path, found: &mut BTreeSet<u32>) {
    let Ok(text) = fs::read_to_string(folder.join("cgroup.procs")) else { return };
    found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid != 0));
    subfolders(folder).for_each(|folder| collect(&folder, found));
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) => {
            subfolders(folder).try_for_each(|folder| remove(&folder))?;
            fs::remove_dir(folder)
        }
    }
}

fn subfolders(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_found_in_the_machines_mounts() {
        let mixed = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\n\
                     cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let cgroup = Cgroup::find("web", mixed);
        assert!(!cgroup.is_unified());
        assert_eq!(cgroup.folder("cpuacct"), Some(Path::new("/sys/fs/cgroup/cpu,cpuacct/hoist/web")));
        assert!(!cgroup.has("memory"));
        let cgroup = Cgroup::find("web", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n");
        assert!(cgroup.is_unified());
        assert_eq!(cgroup.folder("memory"), Some(Path::new("/sys/fs/cgroup/hoist/web")));
    }
}
