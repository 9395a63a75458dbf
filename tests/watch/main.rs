//! Watching a real folder through the system's own events.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod limits;
mod looking;
mod mirror;
#[path = "../parity/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hoist::change::PathState::{self, Folder, Gone, Present};
use hoist::change::rules::Rules;
use hoist::content::Hashes;
use hoist::project::{Build, BuildContext, Project, Service};
use hoist::watch::{Watch, files_below, read_ignore_files};
use tempfile::TempDir;

/// A project of one service whose build context is the folder `app`.
struct World {
    folder: TempDir,
    app: PathBuf,
    watch: Watch,
}

impl World {
    async fn new(prepare: impl FnOnce(&Path)) -> Self {
        let folder = folder(prepare);
        let watch = Watch::start(rules(folder.path()), Hashes::default()).await.unwrap();
        assert_eq!(watch.take_warnings(), []);
        watch.learn().await.unwrap();
        let app = folder.path().canonicalize().unwrap().join("app");
        Self { folder, app, watch }
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.app.join(relative)
    }

    fn write(&self, relative: &str, text: &str) {
        fs::write(self.path(relative), text).unwrap();
    }

    /// Everything reported up to a file that is written last, without that file, and in how many sets it came.
    async fn until_quiet(&self) -> (BTreeMap<String, PathState>, usize) {
        let (all, sets) = self.sets_until_quiet().await;
        (all.into_iter().map(|(path, state)| (path.display().to_string(), state)).collect(), sets)
    }

    async fn paths_until_quiet(&self) -> BTreeMap<PathBuf, PathState> {
        self.sets_until_quiet().await.0
    }

    async fn sets_until_quiet(&self) -> (BTreeMap<PathBuf, PathState>, usize) {
        let sentinel = self.path("sentinel");
        fs::write(&sentinel, "").unwrap();
        let mut all = BTreeMap::new();
        let mut sets = 0;
        while all.remove(&sentinel).is_none() {
            all.append(&mut within_deadline(self.watch.changed()).await);
            sets += 1;
        }
        fs::remove_file(&sentinel).unwrap();
        while all.remove(&sentinel).is_none() {
            all.append(&mut within_deadline(self.watch.changed()).await);
        }
        let relative = |path: PathBuf| path.strip_prefix(&self.app).map_or(path.clone(), Path::to_owned);
        (all.into_iter().map(|(path, state)| (relative(path), state)).collect(), sets)
    }

    async fn reported(&self) -> BTreeMap<String, PathState> {
        self.until_quiet().await.0
    }
}

async fn within_deadline<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("a change is reported within 20 s")
}

fn folder(prepare: impl FnOnce(&Path)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("app")).unwrap();
    prepare(&folder.path().join("app"));
    folder
}

fn rules(folder: &Path) -> Arc<Rules> {
    rules_of(folder, &["app"])
}

/// Those of a service for each folder, which is its build context.
fn rules_of(folder: &Path, contexts: &[&str]) -> Arc<Rules> {
    let folder = folder.canonicalize().unwrap();
    let service = |name: &&str| {
        let context = BuildContext::Local(folder.join(name));
        let build = Build { context, dockerfile: "../app.Dockerfile".to_owned(), ..Build::default() };
        let name = (*name).to_owned();
        (name.clone(), Service { name, build: Some(build), ..Service::default() })
    };
    let services = contexts.iter().map(service).collect();
    let project = Project {
        name: "watched".to_owned(),
        directory: folder,
        files: Vec::new(),
        environment_files: Vec::new(),
        services,
        disabled: BTreeMap::new(),
        networks: BTreeMap::new(),
        volumes: BTreeMap::new(),
        secrets: BTreeMap::new(),
        configs: BTreeMap::new(),
        models: BTreeMap::new(),
        kubernetes: hoist::project::ProjectKubernetes::default(),
    };
    Arc::new(Rules::new(&project, &read_ignore_files(&project)))
}

fn expected<const N: usize>(paths: [(&str, PathState); N]) -> BTreeMap<String, PathState> {
    paths.map(|(path, state)| (path.to_owned(), state)).into()
}

#[tokio::test]
async fn a_plain_save_is_one_changed_path() {
    let world = World::new(|app| fs::write(app.join("main.js"), "1").unwrap()).await;
    world.write("main.js", "two");
    assert_eq!(world.reported().await, expected([("main.js", Present)]));
}

#[tokio::test]
async fn an_atomic_save_is_the_final_name_alone() {
    let world = World::new(|app| fs::write(app.join("main.js"), "1").unwrap()).await;
    world.write("main.js.new", "two");
    fs::rename(world.path("main.js.new"), world.path("main.js")).unwrap();
    let mut reported = world.reported().await;
    // The temporary name may have been looked at while it was there.
    assert_ne!(reported.remove("main.js.new"), Some(Present));
    assert_eq!(reported, expected([("main.js", Present)]));
}

#[tokio::test]
async fn vims_way_of_saving_is_the_final_name_alone() {
    let world = World::new(|app| fs::write(app.join("main.js"), "1").unwrap()).await;
    world.write("4913", "");
    fs::remove_file(world.path("4913")).unwrap();
    world.write(".main.js.swp", "");
    fs::rename(world.path("main.js"), world.path("main.js~")).unwrap();
    world.write("main.js", "two");
    fs::remove_file(world.path("main.js~")).unwrap();
    assert_eq!(world.reported().await, expected([("main.js", Present)]));
}

#[tokio::test]
async fn files_made_together_with_their_folders_are_found() {
    let world = World::new(|_| ()).await;
    fs::create_dir_all(world.path("a/b/c")).unwrap();
    world.write("a/b/c/file", "1");
    world.write("a/file", "1");
    let folders = [("a", Folder), ("a/b", Folder), ("a/b/c", Folder)];
    let mut all = expected([("a/b/c/file", Present), ("a/file", Present)]);
    all.append(&mut expected(folders));
    assert_eq!(world.reported().await, all);
    world.write("a/b/c/file", "two");
    assert_eq!(world.reported().await, expected([("a/b/c/file", Present)]), "new folders are watched");
}

#[tokio::test]
async fn a_renamed_folder_is_gone_under_its_old_name_and_watched_under_its_new_one() {
    let world = World::new(|app| {
        fs::create_dir_all(app.join("old/deep")).unwrap();
        fs::write(app.join("old/deep/file"), "1").unwrap();
    })
    .await;
    fs::rename(world.path("old"), world.path("new")).unwrap();
    let gone = [("old", Gone), ("old/deep", Gone), ("old/deep/file", Gone)];
    let come = [("new", Folder), ("new/deep", Folder), ("new/deep/file", Present)];
    assert_eq!(world.reported().await, expected(gone).into_iter().chain(expected(come)).collect());
    world.write("new/deep/file", "two");
    assert_eq!(world.reported().await, expected([("new/deep/file", Present)]));
}

#[tokio::test]
async fn a_removed_file_and_a_removed_folder_are_gone() {
    let world = World::new(|app| {
        fs::create_dir(app.join("sub")).unwrap();
        fs::write(app.join("sub/file"), "1").unwrap();
        fs::write(app.join("file"), "1").unwrap();
    })
    .await;
    fs::remove_file(world.path("file")).unwrap();
    fs::remove_dir_all(world.path("sub")).unwrap();
    assert_eq!(world.reported().await, expected([("file", Gone), ("sub", Gone), ("sub/file", Gone)]));
    fs::create_dir(world.path("sub")).unwrap();
    world.write("sub/file", "1");
    assert_eq!(world.reported().await, expected([("sub", Folder), ("sub/file", Present)]), "it is watched again");
}

#[tokio::test]
async fn a_context_that_is_exchanged_as_a_whole_is_watched_on() {
    let world = World::new(|app| fs::write(app.join("file"), "1").unwrap()).await;
    fs::rename(world.path(""), world.path("../before")).unwrap();
    fs::create_dir(world.path("")).unwrap();
    world.write("file", "two");
    world.write("other", "1");
    assert_eq!(world.reported().await, expected([("file", Present), ("other", Present)]));
    world.write("file", "three");
    assert_eq!(world.reported().await, expected([("file", Present)]));
}

#[tokio::test]
async fn ten_thousand_files_changed_at_once_arrive_whole_and_in_few_sets() {
    let world = World::new(|_| ()).await;
    for folder in 0..100 {
        fs::create_dir(world.path(&format!("{folder}"))).unwrap();
        for file in 0..100 {
            world.write(&format!("{folder}/{file}"), "1");
        }
    }
    // Taken only when all of them have been written, as by somebody who is busy.
    let (reported, sets) = world.until_quiet().await;
    assert_eq!(reported.values().filter(|state| **state == Present).count(), 10_000);
    assert!(sets <= 20, "{sets} sets");
}

#[tokio::test]
async fn reading_and_rewriting_nothing_is_silent_and_a_new_mode_is_not() {
    let world = World::new(|app| fs::write(app.join("run.sh"), "1").unwrap()).await;
    fs::read(world.path("run.sh")).unwrap();
    fs::read_dir(world.path("")).unwrap().count();
    let modified = fs::metadata(world.path("run.sh")).unwrap().modified().unwrap();
    fs::File::open(world.path("run.sh")).unwrap().set_modified(modified).unwrap();
    assert_eq!(world.reported().await, expected([]));
    fs::set_permissions(world.path("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(world.reported().await, expected([("run.sh", Present)]));
}

#[tokio::test]
async fn ignored_folders_are_never_watched_and_nothing_in_them_is_reported() {
    let world = World::new(|app| {
        fs::write(app.join(".dockerignore"), "node_modules\n*.log\n").unwrap();
        for package in 0..200 {
            fs::create_dir_all(app.join(format!("node_modules/{package}/lib"))).unwrap();
        }
        fs::create_dir_all(app.join(".git/objects/00")).unwrap();
        fs::create_dir(app.join("src")).unwrap();
    })
    .await;
    // The context, `src`, and the folder above, where the Dockerfile lies.
    assert_eq!(world.watch.watched_folders(), 3);
    world.write("node_modules/7/lib/index.js", "1");
    world.write("a.log", "1");
    world.write(".git/index", "1");
    fs::create_dir_all(world.path("node_modules/new/lib")).unwrap();
    assert_eq!(world.reported().await, expected([]));
    assert_eq!(world.watch.watched_folders(), 3);
}

#[tokio::test]
async fn a_dockerfile_outside_the_context_is_watched_also_when_it_comes_later() {
    let world = World::new(|_| ()).await;
    let dockerfile = world.app.with_file_name("app.Dockerfile");
    fs::write(&dockerfile, "FROM scratch").unwrap();
    fs::write(dockerfile.with_file_name("unrelated"), "1").unwrap();
    assert_eq!(world.reported().await, expected([(dockerfile.to_str().unwrap(), Present)]));
    fs::remove_file(&dockerfile).unwrap();
    assert_eq!(world.reported().await, expected([(dockerfile.to_str().unwrap(), Gone)]));
}

#[tokio::test]
async fn a_symbolic_link_is_a_file_and_is_not_followed() {
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("file"), "1").unwrap();
    let world = World::new(|_| ()).await;
    symlink(elsewhere.path(), world.path("link")).unwrap();
    assert_eq!(world.reported().await, expected([("link", Present)]));
    fs::write(elsewhere.path().join("file"), "two").unwrap();
    assert_eq!(world.reported().await, expected([]));
    assert_eq!(world.watch.watched_folders(), 2);
}

#[tokio::test]
async fn a_folder_that_two_contexts_lead_to_is_told_of_under_both_names() {
    let folder = folder(|app| {
        fs::create_dir(app.join("src")).unwrap();
        symlink("app", app.with_file_name("link")).unwrap();
    });
    let watch = Watch::start(rules_of(folder.path(), &["app", "link"]), Hashes::default()).await.unwrap();
    let top = folder.path().canonicalize().unwrap();
    for file in ["src/first", "src/new/second"] {
        fs::create_dir_all(top.join("app").join(file).parent().unwrap()).unwrap();
        fs::write(top.join("app").join(file), "1").unwrap();
        let mut left: Vec<PathBuf> = ["app", "link"].map(|name| top.join(name).join(file)).into();
        while !left.is_empty() {
            let told = within_deadline(watch.changed()).await;
            left.retain(|path| !told.contains_key(path));
        }
    }
}

#[tokio::test]
async fn a_folder_that_is_not_there_yet_is_watched_when_it_comes() {
    let folder = folder(|_| ());
    let app = folder.path().canonicalize().unwrap().join("app");
    fs::remove_dir(&app).unwrap();
    let watch = Watch::start(rules(folder.path()), Hashes::default()).await.unwrap();
    fs::create_dir_all(app.join("src")).unwrap();
    fs::write(app.join("src/a"), "1").unwrap();
    let mut all = BTreeMap::new();
    while !all.contains_key(&app.join("src/a")) {
        all.append(&mut within_deadline(watch.changed()).await);
    }
}

#[tokio::test]
async fn new_rules_let_go_of_folders_and_report_only_what_changed_meanwhile() {
    let world = World::new(|app| {
        fs::create_dir_all(app.join("gen/deep")).unwrap();
        fs::write(app.join("gen/deep/file"), "1").unwrap();
        fs::write(app.join("file"), "1").unwrap();
    })
    .await;
    assert_eq!(world.watch.watched_folders(), 4);
    world.write(".dockerignore", "gen\n");
    assert_eq!(world.reported().await, expected([(".dockerignore", Present)]));
    world.watch.replace(rules(world.folder.path())).await.unwrap();
    assert_eq!(world.reported().await, expected([]));
    assert_eq!(world.watch.watched_folders(), 2);
    world.write("gen/deep/file", "two");
    assert_eq!(world.reported().await, expected([]));
    fs::remove_file(world.path(".dockerignore")).unwrap();
    world.watch.replace(rules(world.folder.path())).await.unwrap();
    assert_eq!(world.reported().await, expected([(".dockerignore", Gone)]));
    assert_eq!(world.watch.watched_folders(), 4);
}

#[tokio::test]
async fn giving_up_a_wait_loses_nothing() {
    let world = World::new(|_| ()).await;
    let waiting = world.watch.changed();
    tokio::select! {
        biased;
        changed = waiting => panic!("{changed:?}"),
        () = std::future::ready(()) => {}
    }
    world.write("file", "1");
    assert_eq!(world.reported().await, expected([("file", Present)]));
}

#[test]
fn the_files_of_a_first_sync_are_those_that_the_rules_keep() {
    let folder = folder(|app| {
        fs::write(app.join(".dockerignore"), "*.log\n").unwrap();
        fs::write(app.join("a.log"), "").unwrap();
        fs::create_dir(app.join("src")).unwrap();
        fs::write(app.join("src/a"), "").unwrap();
    });
    let app = folder.path().canonicalize().unwrap().join("app");
    let files = files_below(&rules(folder.path()), &[app.as_path()].into());
    assert_eq!(files, [app.join(".dockerignore"), app.join("src/a")].into());
}
