//! Files that go into a container again and again, which a shell there takes over from a Docker engine.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use hoist::engine::docker::Docker;
use hoist::engine::{Engine, EngineError};
use hoist::plan::operation::Restarted;
use hoist::project::{Mount, MountSource};
use tar::EntryType;

use crate::world::{DEADLINE, World, own_engine, with_docker};

/// A tar of a file that a shell in the container can write and the engine cannot: it does not see what is mounted there.
const SIGN: &str = "memory/sign";

fn entry(builder: &mut tar::Builder<Vec<u8>>, kind: EntryType, path: &str, mode: u32, content: &str) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(7);
    header.set_gid(8);
    header.set_mtime(1_000_000_000);
    if kind == EntryType::Symlink {
        header.set_size(0);
        builder.append_link(&mut header, path, content).expect("a link");
    } else {
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, content.as_bytes()).expect("an entry");
    }
}

fn tar_of(entries: &[(EntryType, &str, u32, &str)]) -> Bytes {
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, path, mode, content) in entries {
        entry(&mut builder, *kind, path, *mode, content);
    }
    builder.into_inner().expect("a tar").into()
}

impl World<Docker> {
    async fn unpack(&self, id: &str, entries: &[(EntryType, &str, u32, &str)]) {
        self.engine.upload(id, "/", tar_of(entries)).await.expect("an upload");
    }

    /// The names in the tar of a path, or `None` when there is nothing.
    async fn names(&self, id: &str, path: &str) -> Option<Vec<String>> {
        let mut pieces = self.engine.download(id, path);
        let mut tar = Vec::new();
        while let Some(piece) = pieces.next().await {
            match piece {
                Err(EngineError::NotFound { .. }) => return None,
                piece => tar.extend_from_slice(&piece.expect("a piece")),
            }
        }
        let mut archive = tar::Archive::new(tar.as_slice());
        let names = archive.entries().expect("entries");
        Some(names.map(|entry| entry.expect("an entry").path().expect("a path").display().to_string()).collect())
    }

    /// Uploads until the container sees it where only its shell can write.
    async fn until_by_shell(&self, id: &str) {
        let seen = async {
            loop {
                self.unpack(id, &[(EntryType::Regular, SIGN, 0o644, "x")]).await;
                if self.prints(id, &format!("ls /{SIGN} 2>/dev/null; :")).await.trim() == format!("/{SIGN}") {
                    return;
                }
            }
        };
        tokio::time::timeout(DEADLINE, seen).await.expect("a shell takes over");
        self.prints(id, &format!("rm /{SIGN}")).await;
    }
}

/// All that files, links and folders can be, twice over: what is there is replaced.
async fn changes(world: &World<Docker>, id: &str) -> String {
    world
        .unpack(
            id,
            &[
                (EntryType::Directory, "in/folder/", 0o750, ""),
                (EntryType::Regular, "in/folder/a b", 0o640, "one"),
                (EntryType::Regular, "in/-f", 0o755, "two"),
                (EntryType::Symlink, "in/link", 0o777, "folder/a b"),
                (EntryType::Regular, "in/turns", 0o644, "a file"),
            ],
        )
        .await;
    let long = format!("in/{}/file", "deep/".repeat(30));
    world
        .unpack(
            id,
            &[
                (EntryType::Regular, "in/folder/a b", 0o600, "three, and longer"),
                (EntryType::Regular, "in/link", 0o644, "a file now"),
                (EntryType::Symlink, "in/turns", 0o777, "link"),
                (EntryType::Regular, &long, 0o644, "four"),
                (EntryType::Regular, "in/goes\nfar", 0o644, "five"),
            ],
        )
        .await;
    let paths = ["/in/none", "/in/-f", "/in/goes\nfar"].map(str::to_owned);
    world.engine.remove_files(id, &paths[..2]).await.expect("they are removed");
    world.engine.remove_files(id, &paths[2..]).await.expect("it is removed");
    assert_eq!(world.names(id, "/in/nowhere").await, None);
    assert_eq!(world.names(id, "/in/turns").await, Some(vec!["turns".to_owned()]));
    let mut names = world.names(id, "/in/folder").await.expect("it is there");
    names.sort();
    assert_eq!(names, ["folder/", "folder/a b"]);
    // Whose a link is and how old depends on the `tar`, and nothing on that.
    let listing = "cd /in; find . | sort | while read -r path; do stat -c '%n %F %a %s' \"$path\"; \
                   if [ -f \"$path\" ] && [ ! -L \"$path\" ]; then stat -c '%u %g %Y' \"$path\"; cat \"$path\"; \
                   else readlink \"$path\"; fi; done; true";
    let found = world.prints(id, listing).await;
    world.prints(id, "rm -rf /in").await;
    found
}

#[tokio::test]
async fn files_come_out_the_same_through_a_shell_as_through_the_engine() {
    with_docker(async |world| {
        let spec = world.container("a", "sleep 1000", |spec| {
            let memory = MountSource::Tmpfs { size: None, mode: None, options: None };
            spec.service.mounts = vec![Mount { target: "/memory".to_owned(), read_only: false, source: memory }];
        });
        let started = world.started(&spec).await;
        let by_engine = changes(world, &started.id).await;
        assert!(
            by_engine.contains("./folder/a b regular file 600 17\n7 8 1000000000\nthree, and longer"),
            "{by_engine}"
        );
        world.until_by_shell(&started.id).await;
        assert_eq!(changes(world, &started.id).await, by_engine);

        // It ends with its container's process; what is asked meanwhile is done all the same.
        world
            .engine
            .restart_container(&started.id, Some(Duration::ZERO), Restarted::Container)
            .await
            .expect("it starts again");
        assert_eq!(changes(world, &started.id).await, by_engine);
        world.until_by_shell(&started.id).await;

        // More than a shell is trusted with.
        let large = "x".repeat(5 << 20);
        world.unpack(&started.id, &[(EntryType::Regular, "large", 0o644, &large)]).await;
        assert_eq!(world.prints(&started.id, "wc -c < /large").await.trim(), large.len().to_string());
        assert_eq!(world.names(&started.id, "/large").await, Some(vec!["large".to_owned()]));
        world.engine.stop_container(&started.id, Some(Duration::ZERO)).await.expect("it stops");
        world.unpack(&started.id, &[(EntryType::Regular, "in/late", 0o644, "x")]).await;
        assert_eq!(world.names(&started.id, "/in/late").await, Some(vec!["late".to_owned()]));
    })
    .await;
}

#[tokio::test]
async fn a_shell_ends_with_the_client_that_opened_it() {
    with_docker(async |world| {
        let spec = world.container("a", "sleep 1000", |_| {});
        let started = world.started(&spec).await;
        let shells = async || {
            let found = world.prints(&started.id, "cat /proc/[0-9]*/cmdline | wc -c").await;
            // The text of a shell's requests is far longer than all else that runs.
            found.trim().parse::<usize>().expect("a number") > 500
        };
        let other = Docker::connect(own_engine().as_deref()).await.expect("it answers");
        other.upload(&started.id, "/", tar_of(&[(EntryType::Regular, "file", 0o644, "x")])).await.expect("an upload");
        let wait = async |there: bool| {
            let wait = async { while shells().await != there {} };
            tokio::time::timeout(DEADLINE, wait).await.expect("it comes and goes");
        };
        // Its own engine does all of it fast, and has none.
        wait(own_engine().is_none()).await;
        drop(other);
        wait(false).await;
    })
    .await;
}

#[tokio::test]
async fn what_a_containers_root_may_not_give_away_comes_from_the_engine() {
    with_docker(async |world| {
        let spec = world.container("a", "sleep 1000", |spec| {
            spec.service.cap_drop = vec!["ALL".to_owned()];
            let memory = MountSource::Tmpfs { size: None, mode: None, options: None };
            spec.service.mounts = vec![Mount { target: "/memory".to_owned(), read_only: false, source: memory }];
        });
        let started = world.started(&spec).await;
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        builder.append_data(&mut header, SIGN, &b""[..]).expect("an entry");
        let of_root = Bytes::from(builder.into_inner().expect("a tar"));
        let by_shell = async {
            loop {
                world.engine.upload(&started.id, "/", of_root.clone()).await.expect("an upload");
                if world.prints(&started.id, "ls /memory").await.contains("sign") {
                    return;
                }
            }
        };
        tokio::time::timeout(DEADLINE, by_shell).await.expect("a shell takes over what is root's");
        for round in 0..3 {
            world.unpack(&started.id, &[(EntryType::Regular, "in/file", 0o644, &round.to_string())]).await;
            let found = world.prints(&started.id, "stat -c '%a %u %g' /in/file; cat /in/file").await;
            assert_eq!(found, format!("644 7 8\n{round}"));
        }
    })
    .await;
}
