//! The machine's own root file system below what a container writes.
//!
//! What a container must not see of it is hidden by overlayfs itself, in the written layer: a folder that says that nothing
//! of it comes from below (`/tmp`, `/run`), or a mark that a path is gone. Other file systems that are mounted below `/` are
//! not part of the lower layer; each is mounted at its place through an overlay of its own. An overlay is read-only
//! here, and a socket or pipe in it is not the one that the machine's programs listen to.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, XattrFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::super::mount;
use crate::embedded::mountinfo::{self, Mount};

/// Begun anew in each container.
const FRESH: [(&str, u32); 3] = [("tmp", 0o1777), ("run", 0o755), ("run/lock", 0o1777)];
/// What engines keep.
const STATE: [&str; 5] =
    ["/var/lib/hoist", "/var/lib/docker", "/var/lib/containers", "/var/lib/containerd", "/var/lib/kubelet"];
/// Files that the engine puts in their places: a link there would lead to where nothing is.
const REPLACED: [&str; 3] = ["etc/resolv.conf", "etc/hosts", "etc/hostname"];
/// Not shown: the container has its own.
const OWN: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/tmp"];
/// File systems that hold no files of the machine's.
const UNSHOWN: [&str; 24] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];
/// Overlayfs's word for a folder of which nothing comes from below.
const OPAQUE: &str = "trusted.overlay.opaque";

/// Mounts the machine's `/`, read-only, below `upper`.
pub(in super::super) fn mount(upper: &Path, work: &Path, target: &Path) -> io::Result<()> {
    let hidden = hidden(upper);
    fs::create_dir_all(upper)?;
    fs::create_dir_all(work)?;
    let top = open(upper)?;
    copy_attributes(&top, Path::new("/"))?;
    for (path, mode) in FRESH {
        fresh(&top, path, mode)?;
    }
    for path in REPLACED {
        replace_link(&top, Path::new(path))?;
    }
    for path in &hidden {
        hide(&top, Path::new("/"), path)?;
    }
    let others = others(&mountinfo::table()?, &hidden);
    mount::layers(&[PathBuf::from("/")], upper, work, target)?;
    let root = open(target)?;
    for (number, (point, flags)) in others.iter().enumerate() {
        show(&root, point, *flags, &work.join("masks").join(number.to_string()), &hidden)?;
    }
    Ok(())
}

/// What of the machine is hidden: the engine's own folders and those of others, as they really lie.
fn hidden(upper: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = STATE.iter().map(PathBuf::from).collect();
    // The written layer lies in `mounts` in the engine's `run`, beside its `lib`.
    if let Some(run) = upper.parent().and_then(Path::parent) {
        all.push(run.to_owned());
        all.extend(run.parent().filter(|_| run.ends_with("run")).map(|home| home.join("lib")));
    }
    let mut real: Vec<_> = all.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    // What lies in a fresh folder is hidden already.
    real.retain(|path| path.parent().is_some() && !OWN.iter().any(|own| path.starts_with(own)));
    real.sort();
    real.dedup();
    real
}

/// A folder of the written layer that hides what is below it, unless the container has made something of its own there.
fn fresh(top: &OwnedFd, path: &str, mode: u32) -> io::Result<()> {
    let path = Path::new(path);
    let Some(parent) = folder(top, Path::new("/"), path.parent().unwrap_or(Path::new("")))? else { return Ok(()) };
    let name = path.file_name().unwrap_or_default();
    match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
        Err(Errno::EXIST) => return Ok(()),
        other => other?,
    }
    let empty = beneath(&parent, Path::new(name))?;
    rustix::fs::fsetxattr(readable(&empty)?, OPAQUE, b"y", XattrFlags::empty())?;
    // Made under a mask of bits otherwise.
    rustix::fs::chmodat(CWD, descriptor(&empty), Mode::from_raw_mode(mode), AtFlags::empty())?;
    Ok(())
}

/// An empty file where the machine has a link.
fn replace_link(top: &OwnedFd, path: &Path) -> io::Result<()> {
    let linked = fs::symlink_metadata(Path::new("/").join(path)).is_ok_and(|metadata| metadata.is_symlink());
    if !linked {
        return Ok(());
    }
    let Some(parent) = folder(top, Path::new("/"), path.parent().unwrap_or(Path::new("")))? else { return Ok(()) };
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(&parent, path.file_name().unwrap_or_default(), flags, Mode::from_raw_mode(0o644)) {
        Ok(_) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Marks a path of the file system at `base` as gone, in the layer above.
fn hide(top: &OwnedFd, base: &Path, path: &Path) -> io::Result<()> {
    let Ok(inside) = path.strip_prefix(base) else { return Ok(()) };
    let Some(name) = inside.file_name() else { return Ok(()) };
    let Some(parent) = folder(top, base, inside.parent().unwrap_or(Path::new("")))? else { return Ok(()) };
    match rustix::fs::mknodat(&parent, name, FileType::CharacterDevice, Mode::empty(), 0) {
        // The container's own, or marked before.
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A folder of a layer, made like those of the file system at `base` where it is not there. `None` when the container has
/// put something else there: what lies below is hidden then.
fn folder(top: &OwnedFd, base: &Path, path: &Path) -> io::Result<Option<OwnedFd>> {
    let mut at = top.try_clone()?;
    let mut below = base.to_owned();
    for part in path {
        below.push(part);
        let made = rustix::fs::mkdirat(&at, part, Mode::from_raw_mode(0o755));
        at = match beneath(&at, Path::new(part)) {
            Ok(next) => next,
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match made {
            Ok(()) => copy_attributes(&at, &below)?,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(at))
}

/// Gives a folder the owner and mode of another, which it stands for from now on.
fn copy_attributes(folder: &OwnedFd, of: &Path) -> io::Result<()> {
    // Not there below (a fresh folder's): then the usual ones are right.
    let Ok(metadata) = fs::symlink_metadata(of) else { return Ok(()) };
    let name = descriptor(folder);
    rustix::fs::chownat(
        CWD,
        &name,
        Some(Uid::from_raw(metadata.uid())),
        Some(Gid::from_raw(metadata.gid())),
        AtFlags::empty(),
    )?;
    rustix::fs::chmodat(CWD, &name, Mode::from_raw_mode(metadata.mode() & 0o7777), AtFlags::empty())?;
    Ok(())
}

/// The file systems of the machine that are to be shown, by their places, with what they are mounted with.
fn others(mounts: &[Mount], hidden: &[PathBuf]) -> BTreeMap<PathBuf, MountFlags> {
    let mut others = BTreeMap::new();
    for mount in mounts {
        let point = &mount.point;
        let shown = point != Path::new("/")
            && !UNSHOWN.contains(&mount.kind.as_str())
            && !OWN.iter().any(|own| point.starts_with(own))
            && !hidden.iter().any(|hidden| point.starts_with(hidden));
        // Another file system may be mounted over an earlier one: the last word counts.
        if shown {
            others.insert(point.clone(), flags(mount));
        } else {
            others.remove(point);
        }
    }
    others
}

/// Those of a mount that is made anew: nothing is written there.
fn flags(mount: &Mount) -> MountFlags {
    let flags = MountFlags::RDONLY | mount.flags();
    if super::cgroup2() { flags | MountFlags::NODEV } else { flags }
}

/// Mounts a file system of the machine at its place inside, read-only. `mask` becomes a layer above it. Where the container
/// has something of its own by now, or where the machine does not let it be seen, it is left out.
fn show(root: &OwnedFd, point: &Path, flags: MountFlags, mask: &Path, hidden: &[PathBuf]) -> io::Result<()> {
    let (Ok(source), Ok(inside)) =
        (rustix::fs::openat(CWD, point, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()), point.strip_prefix("/"))
    else {
        return Ok(());
    };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let flags_open = OFlags::PATH | OFlags::CLOEXEC;
    let Ok(place) = rustix::fs::openat2(root, inside, flags_open, Mode::empty(), resolve) else { return Ok(()) };
    let is_folder = |file: &OwnedFd| -> io::Result<bool> {
        Ok(FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode) == FileType::Directory)
    };
    if is_folder(&source)? != is_folder(&place)? {
        return Ok(());
    }
    if is_folder(&source)? {
        fs::create_dir_all(mask)?;
        let mask = open(mask)?;
        copy_attributes(&mask, point)?;
        for path in hidden {
            hide(&mask, point, path)?;
        }
        let options = format!("lowerdir={}:{}", descriptor(&mask), descriptor(&source));
        let options = std::ffi::CString::new(options)?;
        // Not every file system can lie below an overlay.
        if rustix::mount::mount("overlay", descriptor(&place), "overlay", flags, options.as_c_str()).is_ok() {
            return Ok(());
        }
    }
    if hidden.iter().any(|hidden| hidden.starts_with(point)) {
        return Ok(());
    }
    rustix::mount::mount_bind(descriptor(&source), descriptor(&place))?;
    // The descriptor still means what lies below the new mount.
    let place = rustix::fs::openat2(root, inside, flags_open, Mode::empty(), resolve)?;
    rustix::mount::mount_remount(descriptor(&place), MountFlags::BIND | flags, c"")?;
    Ok(())
}

fn open(folder: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, folder, flags, Mode::empty())?)
}

/// A folder in a folder; what a container may have put there instead is not followed.
fn beneath(parent: impl AsFd, name: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat2(parent, name, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
}

/// The same folder, open for more than to be named.
fn readable(folder: &OwnedFd) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(folder, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// The name by which the kernel finds it again.
fn descriptor(file: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
22 27 0:21 / /proc rw,relatime - proc proc rw
30 27 8:2 / /home rw,nosuid,noatime shared:3 - ext4 /dev/sdb rw
31 30 8:3 / /home/with\\040space rw master:1 - xfs /dev/sdc rw
32 27 0:40 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
33 27 8:4 / /var/lib/docker rw - ext4 /dev/sdd rw
34 27 8:5 / /run/media rw - ext4 /dev/sde rw
35 27 8:6 / /old rw - ext4 /dev/sdf rw
36 35 0:50 / /old rw - tmpfs tmpfs rw
garbage
";

    #[test]
    fn disks_are_shown_and_what_is_the_containers_own_is_not() {
        let others = others(&mountinfo::parsed(MOUNTS), &["/var/lib/docker".into()]);
        let points: Vec<_> = others.keys().map(|path| path.display().to_string()).collect();
        assert_eq!(points, ["/home", "/home/with space"]);
        let home = others[Path::new("/home")] - MountFlags::NODEV;
        assert_eq!(home, MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NOATIME);
    }
}
