//! Where the system tells of no changes: they are found by looking.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use hoist::change::PathState::{self, Folder, Gone, Present};
use hoist::content::Hashes;
use hoist::watch::Watch;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::{folder, rules, within_deadline};

#[tokio::test]
async fn without_events_changes_are_found_by_looking() {
    let folder = folder(|app| fs::write(app.join("file"), "1").unwrap());
    let app = folder.path().canonicalize().unwrap().join("app");
    let watch = Watch::start_polling(rules(folder.path()), Hashes::default()).await.unwrap();
    assert_eq!(watch.watched_folders(), 0);
    fs::write(app.join("file"), "two").unwrap();
    assert_eq!(within_deadline(watch.changed()).await, BTreeMap::from([(app.join("file"), Present)]));
    fs::remove_file(app.join("file")).unwrap();
    assert_eq!(within_deadline(watch.changed()).await, BTreeMap::from([(app.join("file"), Gone)]));
}

/// An administrator reads everything; a thread that may not do so stays one for good.
fn without_power_over_files(test: impl Future<Output = ()> + Send + 'static) {
    let run = move || {
        let mut sets = capabilities(None).unwrap();
        sets.effective -= CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
        set_capabilities(None, sets).unwrap();
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    };
    std::thread::spawn(run).join().unwrap();
}

/// What is told up to a file that is written last: one look has been over everything by then.
async fn told_until(watch: &Watch, sentinel: &Path) -> BTreeMap<PathBuf, PathState> {
    fs::write(sentinel, "").unwrap();
    let mut told = BTreeMap::new();
    while told.remove(sentinel).is_none() {
        told.append(&mut within_deadline(watch.changed()).await);
    }
    told
}

#[test]
fn what_cannot_be_read_for_a_while_is_not_gone() {
    without_power_over_files(async {
        let folder = folder(|app| {
            fs::create_dir_all(app.join("far/deep")).unwrap();
            fs::write(app.join("far/deep/file"), "1").unwrap();
        });
        let app = folder.path().canonicalize().unwrap().join("app");
        let allow = |mode: u32| fs::set_permissions(app.join("far"), Permissions::from_mode(mode)).unwrap();
        let watch = Watch::start_polling(rules(folder.path()), Hashes::default()).await.unwrap();
        // To read it fails, then even to see what there is in it.
        for mode in [0o300, 0o000] {
            allow(mode);
            assert!(fs::read_dir(app.join("far")).is_err());
            for sentinel in ["first", "second"] {
                let sentinel = app.join(format!("{sentinel}-{mode}"));
                assert_eq!(told_until(&watch, &sentinel).await, BTreeMap::new(), "{mode:o}");
            }
        }
        allow(0o700);
        fs::remove_file(app.join("far/deep/file")).unwrap();
        assert_eq!(within_deadline(watch.changed()).await, BTreeMap::from([(app.join("far/deep/file"), Gone)]));
    });
}

#[tokio::test]
async fn what_comes_while_the_rules_are_exchanged_is_told_and_what_only_comes_into_view_is_not() {
    let folder = folder(|app| {
        fs::create_dir_all(app.join("gen")).unwrap();
        fs::write(app.join("gen/file"), "1").unwrap();
        fs::write(app.join("one.log"), "1").unwrap();
        fs::write(app.join(".dockerignore"), "gen\n*.log\n").unwrap();
    });
    let app = folder.path().canonicalize().unwrap().join("app");
    let watch = Watch::start_polling(rules(folder.path()), Hashes::default()).await.unwrap();
    fs::write(app.join(".dockerignore"), "# nothing\n").unwrap();
    let rules = rules(folder.path());
    // No look is due for a while yet.
    fs::create_dir_all(app.join("new/deep")).unwrap();
    fs::write(app.join("new/deep/file"), "1").unwrap();
    fs::write(app.join("new.js"), "1").unwrap();
    watch.replace(rules).await.unwrap();
    let told = told_until(&watch, &app.join("sentinel")).await;
    let expected = [
        (".dockerignore", Present),
        ("new", Folder),
        ("new.js", Present),
        ("new/deep", Folder),
        ("new/deep/file", Present),
    ];
    assert_eq!(told, expected.map(|(path, state)| (app.join(path), state)).into());
}
