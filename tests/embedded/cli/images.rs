//! Images, and what is built.

use std::fs;

use crate::support::{Daemon, run};

fn engine() -> Daemon {
    let daemon = Daemon::start();
    daemon.busybox();
    daemon
}

#[test]
fn images_are_listed_named_and_removed() {
    let daemon = engine();
    let names = || daemon.docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok();
    assert_eq!(names(), "busybox:latest\n");
    daemon.docker(&["tag", "busybox", "shop/box:1"]).ok();
    assert_eq!(daemon.docker(&["images", "-q", "shop/box"]).ok(), daemon.docker(&["images", "-q", "busybox"]).ok());
    assert_eq!(daemon.docker(&["rmi", "shop/box:1"]).ok(), "Untagged: shop/box:1\n");
    daemon.docker(&["create", "--name", "user", "busybox"]).ok();
    let refusal = daemon.docker(&["rmi", "busybox"]).fails();
    assert!(refusal.contains("container"), "{refusal}");
    daemon.docker(&["rm", "user"]).ok();
    assert!(daemon.docker(&["rmi", "busybox"]).ok().contains("Deleted: sha256:"));
    assert_eq!(names(), "");
    assert!(daemon.docker(&["inspect", "busybox"]).fails().contains("No such object"));
}

#[test]
fn inspect_and_history_tell_how_an_image_is() {
    let daemon = engine();
    let format = "{{.Os}} {{json .Config.Cmd}} {{json .RepoTags}} {{len .RootFS.Layers}}";
    assert_eq!(
        daemon.docker(&["image", "inspect", "-f", format, "busybox"]).ok(),
        "linux [\"sh\"] [\"busybox:latest\"] 1\n"
    );
    assert_eq!(daemon.docker(&["history", "-q", "busybox"]).ok().lines().count(), 1);
}

#[test]
fn a_saved_image_is_loaded_again() {
    let daemon = engine();
    let id = daemon.docker(&["images", "-q", "--no-trunc", "busybox"]).ok();
    let tar = daemon.home().join("saved.tar");
    let tar = tar.to_str().expect("a temporary path is text");
    daemon.docker(&["save", "-o", tar, "busybox"]).ok();
    daemon.docker(&["rmi", "busybox"]).ok();
    assert_eq!(daemon.docker(&["load", "-i", tar]).ok(), "Loaded image: busybox:latest\n");
    assert_eq!(daemon.docker(&["images", "-q", "--no-trunc", "busybox"]).ok(), id);
    assert_eq!(daemon.docker(&["run", "--rm", "busybox", "echo", "hi"]).ok(), "hi\n");
}

#[test]
fn an_archive_is_read_whatever_it_is_compressed_by() {
    let daemon = engine();
    let path = |name: &str| daemon.home().join(name).to_str().expect("a temporary path is text").to_owned();
    daemon.docker(&["save", "-o", &path("saved"), "busybox"]).ok();
    daemon.docker(&["run", "--name", "web", "busybox", "sh", "-c", "echo mine > /tmp/file"]).ok();
    daemon.docker(&["export", "-o", &path("exported"), "web"]).ok();
    daemon.docker(&["rm", "web"]).ok();
    for (program, ending) in [("xz", "xz"), ("bzip2", "bz2"), ("gzip", "gz")] {
        for file in ["saved", "exported"] {
            let packed = run(std::process::Command::new(program).arg("-fk").arg(path(file)), b"");
            packed.ok();
        }
        daemon.docker(&["rmi", "busybox"]).ok();
        let saved = path(&format!("saved.{ending}"));
        assert_eq!(daemon.docker(&["load", "-i", &saved]).ok(), "Loaded image: busybox:latest\n", "{program}");
        daemon.docker(&["import", &path(&format!("exported.{ending}")), "mine:1"]).ok();
        assert_eq!(daemon.docker(&["run", "--rm", "mine:1", "/bin/cat", "/tmp/file"]).ok(), "mine\n", "{program}");
        // Other engines read the layers of what is saved, whatever this one read them from.
        daemon.docker(&["save", "-o", &path("again"), "mine:1"]).ok();
        daemon.docker(&["rmi", "mine:1"]).ok();
        daemon.docker(&["load", "-i", &path("again")]).ok();
        daemon.docker(&["rmi", "mine:1"]).ok();
    }
}

#[test]
fn an_exported_container_is_imported_as_an_image() {
    let daemon = engine();
    daemon.docker(&["run", "--name", "web", "busybox", "sh", "-c", "echo mine > /tmp/file"]).ok();
    let tar = daemon.home().join("exported.tar");
    let tar = tar.to_str().expect("a temporary path is text");
    daemon.docker(&["export", "-o", tar, "web"]).ok();
    daemon.docker(&["import", tar, "mine:1"]).ok();
    assert_eq!(daemon.docker(&["run", "--rm", "mine:1", "/bin/cat", "/tmp/file"]).ok(), "mine\n");
}

#[test]
fn a_committed_container_is_an_image() {
    let daemon = engine();
    daemon.docker(&["run", "--name", "web", "busybox", "sh", "-c", "echo mine > /tmp/file; rm /etc/group"]).ok();
    daemon.docker(&["commit", "--change", "CMD [\"cat\", \"/tmp/file\"]", "-m", "by hand", "web", "mine:1"]).ok();
    assert_eq!(daemon.docker(&["run", "--rm", "mine:1"]).ok(), "mine\n");
    assert_ne!(daemon.docker(&["run", "--rm", "mine:1", "test", "-e", "/etc/group"]).code, 0);
    let format = "{{len .RootFS.Layers}} {{.Comment}}";
    assert_eq!(daemon.docker(&["image", "inspect", "-f", format, "mine:1"]).ok(), "2 by hand\n");
}

#[test]
fn build_makes_an_image_of_a_dockerfile() {
    let daemon = engine();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "content\n").unwrap();
    let text = "FROM busybox\nARG WHO=nobody\nRUN echo built for $WHO > /built\nCOPY file /file\nCMD [\"cat\", \"/built\", \"/file\"]\n";
    fs::write(folder.path().join("Dockerfile"), text).unwrap();
    let path = folder.path().to_str().expect("a temporary path is text");
    let built = daemon.docker(&["build", "-t", "made:1", "--build-arg", "WHO=you", "--label", "a=b", path]);
    assert!(built.stdout.contains("Step 1/5 : FROM busybox"), "{built:?}");
    assert!(built.stdout.contains("Successfully tagged made:1"), "{built:?}");
    assert_eq!(daemon.docker(&["run", "--rm", "made:1"]).ok(), "built for you\ncontent\n");
    assert_eq!(daemon.docker(&["image", "inspect", "-f", "{{.Config.Labels.a}}", "made:1"]).ok(), "b\n");
    let again = daemon.docker(&["build", "-q", "-t", "made:2", "--build-arg", "WHO=you", "--label", "a=b", path]).ok();
    assert!(again.starts_with("sha256:"), "{again}");
    assert_eq!(daemon.docker(&["images", "-q", "--no-trunc", "made:1"]).ok(), again);
}

#[test]
fn a_step_that_fails_says_which_and_why() {
    let daemon = engine();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("Dockerfile"), "FROM busybox\nRUN echo trying; exit 3\n").unwrap();
    let ran = daemon.docker(&["build", folder.path().to_str().expect("a temporary path is text")]);
    assert_eq!(ran.code, 3, "docker ends with the step's own code: {ran:?}");
    assert!(ran.stdout.contains("trying"), "{ran:?}");
    assert!(ran.stderr.contains("exit 3"), "{ran:?}");
}

#[test]
fn prune_and_df_tell_what_disk_is_used() {
    let daemon = engine();
    daemon.docker(&["tag", "busybox", "kept"]).ok();
    daemon.docker(&["create", "--name", "user", "busybox"]).ok();
    let table = daemon.docker(&["system", "df"]).ok();
    assert!(table.contains("Images") && table.contains("Local Volumes"), "{table}");
    let pruned = daemon.docker(&["image", "prune", "-af"]).ok();
    assert!(pruned.contains("Total reclaimed space"), "{pruned}");
    assert!(daemon.docker(&["images", "-q"]).ok().lines().count() >= 1, "what a container has stays");
    daemon.docker(&["system", "prune", "-af"]).ok();
    assert_eq!(daemon.docker(&["images", "-q"]).ok(), "");
}
