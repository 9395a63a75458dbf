use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{IgnoreFile, Rules, definition_files, dockerfile, ignore_file_candidates, shown};
use crate::change::{Change, PathState};
use crate::project::{Build, BuildContext, Hook, Mount, MountSource, Project, Service, WatchAction, WatchRule};

fn build(context: &str, dockerfile: &str) -> Build {
    Build {
        context: BuildContext::Local(PathBuf::from(context)),
        dockerfile: dockerfile.to_owned(),
        dockerfile_inline: None,
        args: BTreeMap::new(),
        target: None,
        ..Build::default()
    }
}

fn service(name: &str, build: impl Into<Option<Build>>, watch: Vec<WatchRule>) -> Service {
    Service { name: name.to_owned(), build: build.into(), watch, ..Service::default() }
}

fn rule(path: &str, action: WatchAction) -> WatchRule {
    WatchRule::new(PathBuf::from(path), action)
}

fn sync(path: &str, target: &str) -> WatchRule {
    rule(path, WatchAction::Sync { target: target.to_owned() })
}

fn bind(source: &str, target: &str) -> Mount {
    let source = MountSource::Bind {
        path: PathBuf::from(source),
        create_host_path: false,
        propagation: None,
        selinux: None,
        recursion: None,
    };
    Mount { target: target.to_owned(), read_only: false, source }
}

fn rules(services: Vec<Service>, ignore_file: &str) -> Rules {
    let project = project(services);
    let all = project.services.values();
    let ignores = all.filter_map(|service| {
        let path = ignore_file_candidates(service.build.as_ref()?).pop()?;
        Some((service.name.clone(), IgnoreFile { path, text: ignore_file.to_owned() }))
    });
    Rules::new(&project, &ignores.collect())
}

fn project(services: Vec<Service>) -> Project {
    Project {
        name: "shop".to_owned(),
        directory: PathBuf::from("/p"),
        files: vec![PathBuf::from("/p/compose.yaml")],
        environment_files: Vec::new(),
        services: services.into_iter().map(|service| (service.name.clone(), service)).collect(),
        disabled: BTreeMap::new(),
        networks: BTreeMap::new(),
        volumes: BTreeMap::new(),
        secrets: BTreeMap::new(),
        configs: BTreeMap::new(),
        models: BTreeMap::new(),
        kubernetes: crate::project::ProjectKubernetes::default(),
    }
}

fn affected(rules: &Rules, present: &[&str], gone: &[&str]) -> BTreeMap<String, Change> {
    let present = present.iter().map(|path| (PathBuf::from(path), PathState::Present));
    let gone = gone.iter().map(|path| (PathBuf::from(path), PathState::Gone));
    rules.affected(&present.chain(gone).collect())
}

/// Who is rebuilt by a change of one file.
fn rebuilt(rules: &Rules, path: &str) -> Vec<String> {
    let changes = affected(rules, &[path], &[]);
    changes.into_iter().filter(|(_, change)| change.rebuild).map(|(service, _)| service).collect()
}

#[test]
fn a_service_restarts_by_its_own_rules_that_say_so() {
    let sync_restart = WatchAction::SyncRestart { target: "/app".to_owned() };
    let services = [
        service("synced", None, vec![sync("/p/synced", "/app")]),
        service("copied", None, vec![sync("/p/copied/views", "/app"), rule("/p/copied", sync_restart)]),
        service("bound", None, vec![rule("/p/bound", WatchAction::Restart)]),
        service("built", build("/p/built", "Dockerfile"), vec![rule("/p/built", WatchAction::Rebuild)]),
        service("db", None, Vec::new()),
    ];
    let rules = rules(services.into(), "");
    let restart: Vec<_> =
        ["synced", "copied", "bound", "built", "db"].into_iter().filter(|it| rules.restart(it)).collect();
    assert_eq!(restart, ["copied", "bound"]);
}

#[test]
fn a_service_without_rules_is_rebuilt_by_its_context_alone() {
    let users = service("users", build("/p/users", "Dockerfile"), Vec::new());
    let orders = service("orders", build("/p/orders", "Dockerfile"), Vec::new());
    let rules = rules(vec![users, orders, service("db", None, Vec::new())], "");
    assert_eq!(rebuilt(&rules, "/p/users/src/main.js"), ["users"]);
    assert_eq!(rebuilt(&rules, "/p/orders/a"), ["orders"]);
    assert!(affected(&rules, &["/p/README.md", "/p/usersx"], &[]).is_empty());
}

#[test]
fn what_the_ignore_file_version_control_or_an_editor_owns_never_triggers() {
    let rules = rules(vec![service("a", build("/p/a", "Dockerfile"), Vec::new())], "node_modules\n*.log\n!keep.log\n");
    for path in ["node_modules/x/index.js", "a.log", ".git/index", ".main.js.swp", "src/main.js~", "src/.git/HEAD"] {
        assert!(rebuilt(&rules, &format!("/p/a/{path}")).is_empty(), "{path}");
    }
    assert_eq!(rebuilt(&rules, "/p/a/keep.log"), ["a"]);
    assert!(rules.prunes(Path::new("/p/a/node_modules")));
    assert!(rules.prunes(Path::new("/p/a/.git")));
    assert!(!rules.prunes(Path::new("/p/a/src")));
    assert!(!rules.prunes(Path::new("/p/a")));
}

#[test]
fn the_dockerfile_and_the_ignore_file_trigger_even_when_ignored() {
    let rules = rules(vec![service("a", build("/p/a", "../docker/a.Dockerfile"), Vec::new())], "*\n");
    for path in ["/p/docker/a.Dockerfile", "/p/docker/a.Dockerfile.dockerignore", "/p/a/.dockerignore"] {
        assert_eq!(rebuilt(&rules, path), ["a"], "{path}");
        assert!(rules.roots().contains(Path::new(path)), "{path}");
    }
    // What is inferred depends on both.
    assert!(rules.means_reload(Path::new("/p/a/.dockerignore")));
    assert!(rules.means_reload(Path::new("/p/docker/a.Dockerfile")));
}

#[test]
fn a_file_that_a_bind_mount_shows_rebuilds_nothing_by_itself() {
    let mut a = service("a", build("/p/a", "Dockerfile"), Vec::new());
    a.mounts = vec![bind("/p/a/src", "/app/src")];
    let rules = rules(vec![a], "");
    assert!(rebuilt(&rules, "/p/a/src/main.js").is_empty());
    assert!(rules.prunes(Path::new("/p/a/src")));
    assert_eq!(rebuilt(&rules, "/p/a/package.json"), ["a"]);
}

#[test]
fn the_dockerfile_rebuilds_although_the_whole_context_is_bind_mounted() {
    let mut a = service("a", build("/p", "Dockerfile"), Vec::new());
    a.mounts = vec![bind("/p", "/app")];
    assert_eq!(rebuilt(&rules(vec![a], ""), "/p/Dockerfile"), ["a"]);
}

#[test]
fn synced_paths_keep_their_place_below_the_target() {
    let a =
        service("a", build("/p", "Dockerfile"), vec![sync("/p/web", "/app/web/"), sync("/p/x.conf", "/etc/y.conf")]);
    let changes = affected(&rules(vec![a], ""), &["/p/web/a/b.js", "/p/x.conf", "/p/other"], &["/p/web/gone.js"]);
    let change = &changes["a"];
    assert_eq!(
        change.sync.copied,
        BTreeSet::from([
            (PathBuf::from("/p/web/a/b.js"), "/app/web/a/b.js".to_owned()),
            (PathBuf::from("/p/x.conf"), "/etc/y.conf".to_owned()),
        ])
    );
    assert_eq!(change.sync.deleted, BTreeSet::from(["/app/web/gone.js".to_owned()]));
    assert!(!change.rebuild && !change.restart);
    assert_eq!(change.paths.len(), 3);
}

#[test]
fn of_a_removed_folder_only_the_folder_is_deleted() {
    let a = service("a", None, vec![sync("/p/web", "/app")]);
    let rules = rules(vec![a], "");
    let sync = |present: &[&str], gone: &[&str]| affected(&rules, present, gone)["a"].sync.clone();
    let both = sync(&["/p/web/ab"], &["/p/web/a", "/p/web/a/b", "/p/web/a/b/c"]);
    assert_eq!(both.deleted, BTreeSet::from(["/app/a".to_owned()]));
    assert!(!both.is_empty() && !sync(&[], &["/p/web/a"]).is_empty() && !sync(&["/p/web/ab"], &[]).is_empty());
}

#[test]
fn a_rebuild_stands_alone() {
    let rebuild = rule("/p/package.json", WatchAction::Rebuild);
    let a = service("a", build("/p", "Dockerfile"), vec![sync("/p/src", "/app"), rebuild]);
    let rules = rules(vec![a], "");
    let changes = affected(&rules, &["/p/package.json", "/p/src/a"], &[]);
    assert!(changes["a"].rebuild);
    assert!(changes["a"].sync.is_empty());
    assert_eq!(changes["a"].paths.len(), 2);
    assert!(affected(&rules, &["/p/Dockerfile"], &[]).is_empty(), "written rules replace the inferred one");
}

#[test]
fn a_rule_for_one_file_counts_although_the_build_ignores_the_file() {
    let a = service("a", build("/p", "Dockerfile"), vec![rule("/p/Dockerfile", WatchAction::Rebuild)]);
    let rules = rules(vec![a], "Dockerfile\n");
    assert!(affected(&rules, &["/p/Dockerfile"], &[])["a"].rebuild);
}

#[test]
fn restarts_and_hooks_come_with_their_files_and_hooks_only_once() {
    let hook = Hook { command: vec!["reload".to_owned()], ..Hook::default() };
    let exec = WatchAction::SyncExec { target: "/app".to_owned(), exec: hook.clone() };
    let restart = WatchAction::SyncRestart { target: "/etc".to_owned() };
    let a = service("a", None, vec![rule("/p/src", exec), rule("/p/etc", restart), rule("/p/x", WatchAction::Restart)]);
    let rules = rules(vec![a], "");
    let change = &affected(&rules, &["/p/src/a", "/p/src/b"], &[])["a"];
    assert_eq!((change.restart, &change.exec, change.sync.copied.len()), (false, &vec![hook], 2));
    let change = &affected(&rules, &["/p/etc/a"], &[])["a"];
    assert_eq!((change.restart, change.exec.len(), change.sync.copied.len()), (true, 0, 1));
    let change = &affected(&rules, &["/p/x/a"], &[])["a"];
    assert!(change.restart && change.sync.is_empty());
}

#[test]
fn patterns_of_a_rule_are_anchored_at_its_path() {
    let mut written = sync("/p/src", "/app");
    written.ignore = vec!["*.tmp".to_owned(), "gen/".to_owned()];
    written.include = vec!["**/*.js".to_owned(), "**/*.tmp".to_owned(), "gen".to_owned()];
    let rules = rules(vec![service("a", build("/p", "Dockerfile"), vec![written])], "src/secret\n");
    let is_synced = |path: &str| !affected(&rules, &[path], &[]).is_empty();
    assert!(is_synced("/p/src/a.js"));
    assert!(is_synced("/p/src/deep/a.tmp"), "a star stays in its folder");
    assert!(!is_synced("/p/src/a.tmp"));
    assert!(!is_synced("/p/src/gen/a.js"));
    assert!(!is_synced("/p/src/a.css"));
    assert!(!is_synced("/p/src/secret/a.js"));
    assert!(rules.prunes(Path::new("/p/src/gen")) && rules.prunes(Path::new("/p/src/secret")));
}

#[test]
fn a_file_that_a_bind_mount_already_shows_at_its_target_is_not_synced() {
    let restart = WatchAction::SyncRestart { target: "/app".to_owned() };
    let mut a = service("a", None, vec![rule("/p/src", restart)]);
    a.mounts = vec![bind("/p/src/lib", "/app/lib"), bind("/p/src/other", "/elsewhere")];
    let changes = affected(&rules(vec![a], ""), &["/p/src/lib/a.js", "/p/src/other/b.js"], &[]);
    let copied: Vec<_> = changes["a"].sync.copied.iter().map(|(_, inside)| inside.as_str()).collect();
    assert_eq!(copied, ["/app/other/b.js"]);
    assert!(changes["a"].restart);
}

#[test]
fn the_first_sync_takes_what_the_rules_that_ask_for_it_match() {
    let mut written = sync("/p/src", "/app");
    written.initial_sync = true;
    written.ignore = vec!["*.log".to_owned()];
    let rules = rules(vec![service("a", None, vec![written, sync("/p/other", "/other")])], "");
    assert_eq!(rules.initial_roots(), BTreeSet::from([Path::new("/p/src")]));
    let files = ["/p/src/a.js", "/p/src/a.log", "/p/other/b"].map(PathBuf::from).into();
    let copied = &rules.initial(&files)["a"].copied;
    assert_eq!(copied, &BTreeSet::from([(PathBuf::from("/p/src/a.js"), "/app/a.js".to_owned())]));
}

#[test]
fn a_pattern_that_docker_refuses_is_reported_and_left_out() {
    let rules = rules(vec![service("a", build("/p", "Dockerfile"), Vec::new())], "[a\n*.log\n");
    assert_eq!(rules.problems()[0].to_string(), "service `a`: `[a` is not an ignore pattern: a `[` is not closed");
    assert!(rebuilt(&rules, "/p/a.log").is_empty());
}

#[test]
fn gits_ignore_files_at_any_depth_mean_that_the_rules_are_made_anew() {
    let mut web = service("web", None, Vec::new());
    web.image = Some(crate::project::MACHINE_IMAGE.to_owned());
    web.working_dir = Some("/p/web".to_owned());
    let rules = rules(vec![web, service("built", build("/p/built", "Dockerfile"), Vec::new())], "");
    assert!(!rules.means_reload(Path::new("/p/built/.gitignore")), "a build goes by another file");
    assert!(!rules.means_reload(Path::new("/p/web/src/main.js")), "nothing is made from it");
    assert!(rules.means_reload(Path::new("/p/web/.gitignore")));
    assert!(rules.means_reload(Path::new("/p/web/src/deep/.gitignore")));
    assert!(!rules.means_reload(Path::new("/p/web/node_modules/tool/.gitignore")), "nobody reads it");
    assert!(!rules.means_reload(Path::new("/p/api/.gitignore")));
}

#[test]
fn the_manifest_is_watched_and_concerns_no_service() {
    let rules = rules(vec![service("a", build("/p/a", "Dockerfile"), Vec::new())], "");
    let manifest = Path::new("/p/compose.yaml");
    assert!(rules.roots().contains(manifest) && rules.concerns(manifest) && rules.is_manifest(manifest));
    assert!(!rules.is_manifest(Path::new("/p/a/compose.yaml")), "only the files that were read are");
    assert!(affected(&rules, &["/p/compose.yaml"], &[]).is_empty());
}

#[test]
fn the_manifest_in_a_build_context_rebuilds_nothing_by_itself() {
    let rules = rules(vec![service("web", build("/p", "Dockerfile"), Vec::new())], "");
    assert_eq!(rebuilt(&rules, "/p/main.js"), ["web"]);
    assert!(rebuilt(&rules, "/p/compose.yaml").is_empty());
}

#[test]
fn a_compose_file_is_hoists_own_to_read_and_a_file_of_variables_the_programs_too() {
    let rules = rules(vec![service("web", build("/p", "Dockerfile"), Vec::new())], "");
    let files = ["/p/compose.yaml", "/p/.env", "/p/web.env"].map(PathBuf::from);
    let rules = rules.made_from(&files.into());
    assert!(affected(&rules, &["/p/compose.yaml"], &[]).is_empty());
    for file in ["/p/.env", "/p/web.env"] {
        assert!(rules.is_manifest(Path::new(file)));
        assert!(affected(&rules, &[file], &[]).contains_key("web"), "{file}");
    }
}

#[test]
fn a_path_concerns_the_project_when_a_rule_or_the_manifest_does() {
    let rules = rules(vec![service("a", build("/p/a", "Dockerfile"), Vec::new())], "*.md\n");
    for path in ["/p/a/main.js", "/p/a/.dockerignore", "/p/compose.yaml"] {
        assert!(rules.concerns(Path::new(path)), "{path}");
    }
    for path in ["/p/README.md", "/p/a/README.md", "/p/a/main.js~"] {
        assert!(!rules.concerns(Path::new(path)), "{path}");
    }
}

#[test]
fn a_service_is_at_a_path_when_it_watches_something_below_it_or_above_it() {
    let a = service("a", None, vec![sync("/p/src/a", "/a")]);
    let b = service("b", None, vec![sync("/p/src/b/main.js", "/b"), sync("/p/srcs", "/s")]);
    let rules = rules(vec![a, b], "");
    for (path, services) in [
        ("/p", &["a", "b"][..]),
        ("/p/src", &["a", "b"]),
        ("/p/src/a", &["a"]),
        ("/p/src/a/deep/a.js", &["a"]),
        ("/p/src/b", &["b"]),
        ("/p/srcs", &["b"]),
        ("/p/sr", &[]),
        ("/q", &[]),
    ] {
        assert_eq!(rules.services_at(Path::new(path)), services.iter().copied().collect(), "{path}");
    }
}

#[test]
fn a_dockerfile_in_the_manifest_is_no_file() {
    let mut inline = build("/p/a", "Dockerfile");
    assert_eq!(dockerfile(&inline).as_deref(), Some(Path::new("/p/a/Dockerfile")));
    inline.dockerfile_inline = Some("FROM scratch".to_owned());
    assert_eq!(dockerfile(&inline), None);
    assert_eq!(definition_files(&inline), [Path::new("/p/a/.dockerignore")]);
}

#[test]
fn what_an_image_is_built_with_rebuilds_although_it_does_not_run() {
    let with = |base: &str, context: &str| {
        let additional_contexts = [("base".to_owned(), format!("service:{base}"))].into();
        Build { additional_contexts, ..build(context, "Dockerfile") }
    };
    let mut project = project(vec![service("web", with("base", "/p/web"), vec![sync("/p/web/src", "/app")])]);
    for (name, build) in [
        ("base", with("root", "/p/base")),
        ("root", build("/p/root", "Dockerfile")),
        ("other", build("/p/other", "Dockerfile")),
    ] {
        project.disabled.insert(name.to_owned(), service(name, build, vec![sync("/p/base", "/app")]));
    }
    let ignored = IgnoreFile { path: PathBuf::from("/p/base/.dockerignore"), text: "*.md".to_owned() };
    let rules = Rules::new(&project, &[("base".to_owned(), ignored)].into());
    let changes = affected(&rules, &["/p/base/a.js", "/p/root/b.js", "/p/other/c.js", "/p/base/d.md"], &[]);
    assert_eq!(changes.keys().collect::<Vec<_>>(), ["base", "root"]);
    assert!(changes.values().all(|change| change.rebuild && change.sync.is_empty()));
    assert_eq!(changes["base"].paths, [PathBuf::from("/p/base/a.js")].into());
}

#[test]
fn rules_are_written_down_as_what_they_were_made_from() {
    let original = rules(vec![service("a", build("/p/a", "Dockerfile"), Vec::new())], "*.md\n");
    let text = serde_json::to_string(&original).expect("rules are plain data");
    let read: Rules = serde_json::from_str(&text).expect("it was written by rules");
    assert_eq!(read.origin(), original.origin());
    assert_eq!(read.origin().services.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!((rebuilt(&read, "/p/a/a.js"), rebuilt(&read, "/p/a/a.md")), (vec!["a".to_owned()], Vec::new()));
    assert!(read.is_manifest(Path::new("/p/compose.yaml")));
}

#[test]
fn rules_that_copy_to_where_a_bind_mount_shows_the_same_are_named() {
    let all = [
        ("/p/src", "/app"),
        ("/p/./src/lib", "/app/lib/"),
        // It shows that below `lib`.
        ("/p/src/lib", "/app"),
        ("/p/other", "/app"),
    ];
    let written =
        all.map(|(path, target)| sync(path, target)).into_iter().chain([rule("/p/src", WatchAction::Restart)]);
    let service = Service { mounts: vec![bind("/p/src/", "/app")], ..service("api", None, written.collect()) };
    assert_eq!(shown(&service).collect::<Vec<_>>(), ["/app", "/app/lib/"]);
    let rules = rules(vec![service], "");
    assert_eq!(rules.shown().collect::<Vec<_>>(), [("api", "/app"), ("api", "/app/lib/")]);
}
