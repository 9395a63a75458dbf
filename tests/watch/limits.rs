//! A system that lets no more folders be watched: what is said, and what is noticed all the same.

use std::fs;
use std::path::Path;
use std::process::Command;

use hoist::content::Hashes;
use hoist::watch::{Watch, WatchError};

use super::{folder, rules, within_deadline};

/// In the process that has few watches.
const INSIDE: &str = "HOIST_TEST_FEW_WATCHES";

/// A user namespace of its own has a limit of its own, so that no other program feels it.
#[test]
fn beyond_the_systems_limit_that_is_named_and_saves_are_noticed_by_looking() {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(with_few_watches());
    }
    let name = "limits::beyond_the_systems_limit_that_is_named_and_saves_are_noticed_by_looking";
    let script = r#"echo 4 > /proc/sys/user/max_inotify_watches && exec "$0" --exact "$1" --nocapture"#;
    let mut inside = Command::new("unshare");
    inside.args(["--user", "--map-root-user", "sh", "-c", script]).arg(std::env::current_exe().unwrap()).arg(name);
    let ended = inside.env(INSIDE, "1").output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success() && said.contains("1 passed"), "{said}");
}

async fn with_few_watches() {
    let folder = folder(|top: &Path| {
        for number in 0..10 {
            fs::create_dir_all(top.join(number.to_string())).unwrap();
        }
    });
    let watch = Watch::start(rules(folder.path()), Hashes::default()).await.unwrap();
    let warnings = watch.take_warnings();
    let [warning @ WatchError::TooManyFolders { services, .. }] = &warnings[..] else { panic!("{warnings:?}") };
    assert_eq!(services.iter().collect::<Vec<_>>(), ["app"]);
    assert!(warning.to_string().contains("`user.max_inotify_watches` of 4"), "{warning}");
    assert!(warning.hint().unwrap().contains("sudo sysctl user.max_inotify_watches="), "{warning:?}");
    watch.learn().await.unwrap();
    let saved = folder.path().canonicalize().unwrap().join("app/9/saved");
    fs::write(&saved, "").unwrap();
    while !within_deadline(watch.changed()).await.contains_key(&saved) {}
}
