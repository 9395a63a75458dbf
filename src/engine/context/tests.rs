use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{Context, EngineError, inputs_digest};
use crate::content::{Hash, Hashes, Stamp};
use crate::plan::spec::BuildSpec;
use crate::project::{Build, BuildContext};

fn spec(root: &Path) -> BuildSpec {
    BuildSpec {
        service: "a".to_owned(),
        image: "a".to_owned(),
        build: Build {
            context: BuildContext::Local(root.to_owned()),
            dockerfile: "Dockerfile".to_owned(),
            dockerfile_inline: None,
            args: BTreeMap::new(),
            target: None,
            ..Build::default()
        },
        labels: BTreeMap::new(),
        platform: None,
        pull: false,
        no_cache: false,
        secrets: BTreeMap::new(),
        aside: BTreeSet::new(),
    }
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, content) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, content).expect("a file");
    }
    folder
}

/// The entries of the tar as `path mode content`, and the digest.
fn packed(spec: &BuildSpec) -> (Vec<String>, String) {
    let context = Context::find(spec).expect("a context");
    let mut tar = Vec::new();
    let hashes = Hashes::default();
    let digest = context.pack(&mut tar, &hashes, &CancellationToken::new()).expect("a tar");
    for hashes in [hashes, Hashes::default()] {
        let without_tar = context.digest(&hashes, &CancellationToken::new()).expect("a digest");
        assert_eq!(digest, without_tar, "it is the same without the tar");
    }
    let mut archive = tar::Archive::new(tar.as_slice());
    let describe = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.expect("an entry");
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("text");
        let header = entry.header();
        assert_eq!((header.uid().expect("uid"), header.gid().expect("gid")), (0, 0));
        let link = entry.link_name().expect("a link").map(|link| format!("-> {}", link.display()));
        let path = entry.path().expect("a path").display().to_string();
        format!("{path} {:o} {}", header.mode().expect("mode"), link.unwrap_or(text)).trim_end().to_owned()
    };
    (archive.entries().expect("entries").map(describe).collect(), digest)
}

fn paths(spec: &BuildSpec) -> Vec<String> {
    let (entries, _) = packed(spec);
    entries.iter().map(|entry| entry.split(' ').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_context_is_sent_in_order_with_modes_and_links() {
    let folder = folder(&[("Dockerfile", "FROM scratch"), ("b/run.sh", "#!"), ("a", "1")]);
    fs::set_permissions(folder.path().join("b/run.sh"), fs::Permissions::from_mode(0o755)).expect("a mode");
    fs::set_permissions(folder.path().join("b"), fs::Permissions::from_mode(0o700)).expect("a mode");
    symlink("../a", folder.path().join("b/link")).expect("a link");
    let (entries, _) = packed(&spec(folder.path()));
    assert_eq!(entries, ["Dockerfile 644 FROM scratch", "a 644 1", "b 700", "b/link 777 -> ../a", "b/run.sh 755 #!"]);
}

#[test]
fn what_the_ignore_file_leaves_out_is_not_sent_and_what_it_takes_back_is() {
    let folder = folder(&[
        ("Dockerfile", "FROM scratch"),
        (".dockerignore", "node_modules\nlogs/*\n!logs/keep.txt\n"),
        ("node_modules/a/b.js", "x"),
        ("logs/a.log", "x"),
        ("logs/keep.txt", "x"),
    ]);
    assert_eq!(paths(&spec(folder.path())), [".dockerignore", "Dockerfile", "logs", "logs/keep.txt"]);
}

#[test]
fn folders_above_what_is_taken_back_are_sent_only_then() {
    let folder = folder(&[
        ("Dockerfile", "FROM scratch"),
        (".dockerignore", "*\n!a/b/keep\n"),
        ("a/b/keep", "x"),
        ("a/c/drop", "x"),
        ("z/drop", "x"),
    ]);
    assert_eq!(paths(&spec(folder.path())), ["a", "a/b", "a/b/keep", "Dockerfile"]);
}

#[test]
fn a_file_that_is_left_out_is_never_read() {
    let folder = folder(&[("Dockerfile", "FROM scratch"), (".dockerignore", "huge\n")]);
    let huge = fs::File::create(folder.path().join("huge")).expect("a file");
    huge.set_len(1 << 42).expect("a length that nobody reads in a lifetime");
    assert_eq!(paths(&spec(folder.path())), [".dockerignore", "Dockerfile"]);
}

#[test]
fn the_dockerfiles_own_ignore_file_wins() {
    let folder = folder(&[
        ("deploy/Dockerfile", "FROM scratch"),
        ("deploy/Dockerfile.dockerignore", "a\ndeploy/*.dockerignore\n"),
        (".dockerignore", "b"),
        ("a", "x"),
        ("b", "x"),
    ]);
    let mut spec = spec(folder.path());
    spec.build.dockerfile = "deploy/Dockerfile".to_owned();
    assert_eq!(paths(&spec), [".dockerignore", "b", "deploy", "deploy/Dockerfile"]);
}

#[test]
fn a_dockerfile_from_elsewhere_is_added() {
    let folder = folder(&[("context/a", "1"), ("Dockerfile", "FROM scratch")]);
    let mut outside = spec(&folder.path().join("context"));
    outside.build.dockerfile = "../Dockerfile".to_owned();
    assert_eq!(packed(&outside).0, ["a 644 1", ".hoist.Dockerfile 644 FROM scratch"]);
    let mut inline = spec(&folder.path().join("context"));
    inline.build.dockerfile_inline = Some("FROM other".to_owned());
    assert_eq!(packed(&inline).0, ["a 644 1", ".hoist.Dockerfile 644 FROM other"]);
}

#[test]
fn a_file_that_is_put_aside_is_sent_and_does_not_count() {
    let folder = folder(&[("Dockerfile", "FROM scratch"), ("compose.yaml", "one"), ("a", "1")]);
    let aside = [folder.path().join("compose.yaml")].into();
    let spec = BuildSpec { aside, ..spec(folder.path()) };
    let (entries, digest) = packed(&spec);
    assert!(entries.iter().any(|entry| entry.contains("compose.yaml") && entry.ends_with("one")), "{entries:?}");
    fs::write(folder.path().join("compose.yaml"), "two").expect("a file");
    assert_eq!(packed(&spec).1, digest);
    fs::write(folder.path().join("a"), "2").expect("a file");
    assert_ne!(packed(&spec).1, digest);
}

#[test]
fn the_digest_changes_with_every_input_and_with_nothing_else() {
    let files = [("Dockerfile", "FROM scratch"), ("a", "1"), (".dockerignore", "ignored")];
    let (one, two) = (folder(&files), folder(&files));
    let digest = |spec: &BuildSpec| packed(spec).1;
    let original = digest(&spec(one.path()));
    assert_eq!(original, digest(&spec(two.path())), "the folder's own path does not count");

    fs::write(two.path().join("ignored"), "x").expect("a file");
    let past = fs::File::options().write(true).open(two.path().join("a")).expect("a file");
    past.set_modified(std::time::UNIX_EPOCH).expect("a time");
    assert_eq!(original, digest(&spec(two.path())), "neither do times or files that are left out");

    let mut seen = BTreeSet::from([original]);
    let mut with_argument = spec(one.path());
    with_argument.build.args.insert("A".to_owned(), Some("1".to_owned()));
    assert!(seen.insert(digest(&with_argument)));
    let mut with_target = spec(one.path());
    with_target.build.target = Some("dev".to_owned());
    assert!(seen.insert(digest(&with_target)));
    fs::write(two.path().join("a"), "2").expect("a file");
    assert!(seen.insert(digest(&spec(two.path()))));
    fs::set_permissions(two.path().join("a"), fs::Permissions::from_mode(0o755)).expect("a mode");
    assert!(seen.insert(digest(&spec(two.path()))));
    fs::rename(two.path().join("a"), two.path().join("b")).expect("a new name");
    assert!(seen.insert(digest(&spec(two.path()))));
}

#[test]
fn what_is_missing_is_named() {
    let folder = folder(&[("a", "1")]);
    let missing = Context::find(&spec(folder.path())).expect_err("no Dockerfile");
    assert_eq!(missing, EngineError::MissingPath { path: folder.path().join("Dockerfile") });
    let missing = Context::find(&spec(&folder.path().join("gone"))).expect_err("no folder");
    assert_eq!(missing, EngineError::MissingPath { path: folder.path().join("gone") });
}

#[test]
fn a_cancelled_packing_ends() {
    let folder = folder(&[("Dockerfile", "FROM scratch")]);
    let cancel = CancellationToken::new();
    cancel.cancel();
    let context = Context::find(&spec(folder.path())).expect("a context");
    let hashes = Hashes::default();
    assert!(matches!(context.pack(Vec::new(), &hashes, &cancel), Err(super::PackError::Cancelled)));
    assert!(matches!(context.digest(&hashes, &cancel), Err(super::PackError::Cancelled)));
}

#[tokio::test]
async fn a_digest_reads_no_file_whose_hash_is_known() {
    let folder = folder(&[("Dockerfile", "FROM scratch"), ("a", "1")]);
    let spec = spec(folder.path());
    let path = folder.path().join("a");
    let original = inputs_digest(&spec, &Hashes::default()).await.expect("a digest");

    let lies = Hashes::default();
    let stamp = Stamp::of(&fs::metadata(&path).expect("a file"));
    lies.learn(&path, &stamp, SystemTime::now() + Duration::from_mins(1), Hash([7; 32]));
    assert_ne!(inputs_digest(&spec, &lies).await.expect("a digest"), original);
    fs::write(&path, "12").expect("a file");
    fs::write(&path, "1").expect("a file");
    assert_eq!(inputs_digest(&spec, &lies).await.expect("a digest"), original, "a file that changed is read");
}
