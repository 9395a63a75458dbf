//! The one hierarchy of control groups of version 2: its root limits nothing itself, and hands controllers down to groups
//! below it only where it is told to.

use std::fs;
use std::path::Path;

/// The group that all containers are in.
const PARENT: &str = "hoist";
/// Where those processes go that are in the way.
const OTHERS: &str = "init";
/// What containers are limited by.
const CONTROLLERS: [&str; 6] = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids"];

/// Makes the group that the containers will be in and hands the controllers down to it. Those that it has then; all of the
/// root's where it cannot be made.
pub(super) fn handed_down(root: &Path, all: String) -> String {
    if is_of_a_namespace(root) {
        make_way(root);
    }
    let _ = fs::create_dir(root.join(PARENT));
    for controller in CONTROLLERS.iter().filter(|controller| all.split_whitespace().any(|it| it == **controller)) {
        // One by one: what the machine refuses of one says nothing of the others.
        let _ = fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"));
    }
    fs::read_to_string(root.join(PARENT).join("cgroup.controllers")).unwrap_or(all)
}

/// Whether it is the root for those inside a container only.
fn is_of_a_namespace(root: &Path) -> bool {
    root.join("cgroup.type").exists()
}

/// A group with processes of its own hands nothing down but to its threads, and in a container everything is in its root:
/// that moves into a group below it.
fn make_way(root: &Path) {
    let processes = fs::read_to_string(root.join("cgroup.procs")).unwrap_or_default();
    if processes.is_empty() {
        return;
    }
    let group = root.join(OTHERS);
    let _ = fs::create_dir(&group);
    for process in processes.lines() {
        // It may have ended by itself.
        let _ = fs::write(group.join("cgroup.procs"), process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("a file");
        }
        folder
    }

    #[test]
    fn what_the_group_of_the_containers_has_counts_and_else_what_the_root_has() {
        let folder = root(&[("cgroup.subtree_control", "")]);
        assert_eq!(handed_down(folder.path(), "cpu memory misc".into()), "cpu memory misc");
        fs::write(folder.path().join("hoist/cgroup.controllers"), "memory").expect("a file");
        assert_eq!(handed_down(folder.path(), "cpu memory misc".into()), "memory");
    }

    #[test]
    fn processes_make_way_in_the_root_of_a_namespace_alone() {
        for (files, moved) in
            [(&[("cgroup.procs", "7\n")][..], false), (&[("cgroup.procs", "7\n"), ("cgroup.type", "domain")], true)]
        {
            let folder = root(files);
            handed_down(folder.path(), "memory".into());
            assert_eq!(folder.path().join("init/cgroup.procs").exists(), moved);
        }
    }
}
