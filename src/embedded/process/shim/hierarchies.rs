//! What a container sees of control groups of version 1: its own group of each hierarchy, below one folder.
//!
//! `libcontainer` mounts each of them by itself, and looks up each place with great care: ten hierarchies take a third of
//! the time in which a container is made. Here they are put together where nobody else can be, and given to it as one.

use std::io;
use std::path::Path;

use libcontainer::oci_spec::runtime::{Mount, MountBuilder, Spec};
use rustix::mount::{MountFlags, mount, mount_bind, mount_remount};

use super::super::cgroup::Cgroup;
use super::super::frame::Failure;
use super::failed;

/// Puts a container's groups together at `stage`, and makes that what its specification mounts.
pub(super) fn stage(spec: &mut Spec, cgroup: &Cgroup, stage: &Path) -> Result<(), Failure> {
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    let theirs = mounts.iter_mut().find(|mount| mount.typ().as_deref() == Some("cgroup"));
    let Some(theirs) = theirs.filter(|_| !cgroup.is_unified()) else { return Ok(()) };
    let read_only = theirs.options().iter().flatten().any(|option| option == "ro");
    assemble(cgroup, stage, read_only).map_err(failed("put the container's control groups together"))?;
    *theirs = bound(stage, theirs)?;
    spec.set_mounts(Some(mounts));
    Ok(())
}

/// In place of what was to be mounted.
fn bound(stage: &Path, theirs: &Mount) -> Result<Mount, Failure> {
    let options = theirs.options().iter().flatten().cloned().chain(["rbind".to_owned()]).collect::<Vec<_>>();
    MountBuilder::default()
        .typ("bind")
        .source(stage)
        .destination(theirs.destination())
        .options(options)
        .build()
        .map_err(failed("mount the container's control groups"))
}

fn assemble(cgroup: &Cgroup, stage: &Path, read_only: bool) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    std::fs::create_dir_all(stage)?;
    mount("tmpfs", stage, "tmpfs", flags, c"mode=755")?;
    let access = if read_only { flags | MountFlags::RDONLY } else { flags };
    for (name, group) in cgroup.hierarchies() {
        let place = stage.join(name);
        // The group is about to be made anyway.
        std::fs::create_dir_all(group)?;
        std::fs::create_dir(&place)?;
        mount_bind(group, &place)?;
        mount_remount(&place, MountFlags::BIND | access, c"")?;
        for controller in name.split(',').filter(|controller| *controller != name) {
            std::os::unix::fs::symlink(name, stage.join(controller))?;
        }
    }
    Ok(())
}
