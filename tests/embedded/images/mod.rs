//! Images: taken in, found, named, shown, removed; saved and loaded; pulled and pushed.

mod archive;
mod registry;

use std::collections::HashMap;
use std::path::Path;

use bollard_stubs::models::ImageConfig;
use bytes::Bytes;
use futures_util::StreamExt as _;
use hoist::embedded::ByteStream;
use hoist::embedded::error::Error;
use hoist::embedded::events::Events;
use hoist::embedded::images::{Document, DocumentRootfs, Image, Images, MACHINE, News, Use};
use hoist::embedded::layout::Layout;
use tempfile::TempDir;

/// An engine's images in folders of their own.
struct Home {
    folder: TempDir,
    events: Events,
    images: Images,
}

impl Home {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        Self::at(folder).await
    }

    async fn at(folder: TempDir) -> Self {
        hoist::embedded::set_program(env!("CARGO_BIN_EXE_hoist").into());
        let events = Events::default();
        let images = Images::open(&Layout::new(Some(folder.path())), events.clone()).await.expect("images open");
        Self { folder, events, images }
    }

    /// The same folders after a restart of the engine.
    async fn again(self) -> Self {
        drop(self.images);
        Self::at(self.folder).await
    }

    fn store(&self) -> std::path::PathBuf {
        Layout::new(Some(self.folder.path())).images()
    }

    async fn import(&self, name: &str, files: &[(&str, &str)]) -> Image {
        let tar = stream(&tar(files));
        self.images.import(tar, Some(name), ImageConfig::default(), "imported").await.expect("a good tar")
    }

    /// An image of two layers.
    async fn two_layers(&self, name: &str) -> Image {
        let one = self.import("one", &[("etc/one", "1"), ("gone", "soon")]).await;
        let other = self.import("other", &[("etc/two", "2"), (".wh.gone", "")]).await;
        let document = Document {
            architecture: one.document.architecture.clone(),
            os: "linux".into(),
            config: ImageConfig { cmd: Some(vec!["sh".into()]), ..ImageConfig::default() },
            rootfs: DocumentRootfs {
                kind: "layers".into(),
                diff_ids: [&one, &other].map(|image| image.layers[0].diff_id.clone()).into(),
            },
            ..Document::default()
        };
        let image = self.images.add(&document, &[name.to_owned()]).await.expect("both layers are here");
        for name in ["one", "other"] {
            self.images.remove(name, false, &[]).await.expect("it is here");
        }
        image
    }

    /// Nothing half-done is left.
    async fn is_tidy(&self) {
        let staging = self.store().join("staging");
        let tidy = || async { files_in(&staging) == 0 };
        for _ in 0..200 {
            if tidy().await {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("left in staging: {:?}", std::fs::read_dir(&staging).expect("it is there").collect::<Vec<_>>());
    }

    fn told(&self) -> Vec<String> {
        let told = self.events.listen().0.into_iter();
        told.map(|event| {
            let attributes = event.actor.and_then(|actor| actor.attributes).unwrap_or_default();
            format!("{} {}", event.action.unwrap_or_default(), attributes.get("name").cloned().unwrap_or_default())
        })
        .collect()
    }
}

/// A tar of small files.
fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        builder.append_data(&mut header, path, text.as_bytes()).expect("to memory");
    }
    builder.into_inner().expect("to memory")
}

/// In pieces, as a client sends it.
fn stream(bytes: &[u8]) -> ByteStream {
    let pieces: Vec<_> = bytes.chunks(1000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    futures_util::stream::iter(pieces).boxed()
}

fn files_in(folder: &Path) -> usize {
    std::fs::read_dir(folder).expect("the folder is there").count()
}

/// A queue for news that is never full, and what was told through it, a line each.
fn news() -> (tokio::sync::mpsc::Sender<News>, impl FnOnce() -> Vec<String>) {
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<News>(10_000);
    let lines = move || {
        let mut lines = Vec::new();
        while let Ok(piece) = receiver.try_recv() {
            let text = piece.stream.unwrap_or(piece.status);
            lines.push(piece.id.map_or_else(|| text.clone(), |id| format!("{id}: {text}")));
        }
        lines
    };
    (sender, lines)
}

fn none() -> HashMap<String, Vec<String>> {
    HashMap::new()
}

fn words<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.expect_err("refused").to_string()
}

#[tokio::test]
async fn an_imported_tar_is_an_image_of_one_layer_and_is_there_after_a_restart() {
    let home = Home::new().await;
    let image = home.import("web:1", &[("hello", "world")]).await;
    assert_eq!(image.tags, ["web:1"]);
    assert_eq!(std::fs::read_to_string(image.layers[0].folder.join("hello")).expect("unpacked"), "world");
    assert_eq!(image.layers[0].size, 5);
    assert_eq!(home.told(), ["import web:1"]);
    let id = image.id.clone();
    let home = home.again().await;
    let found = home.images.find("docker.io/library/web:1").await.expect("it is kept");
    assert_eq!(found, image);
    assert_eq!(home.images.find(&id[7..19]).await.expect("by a short id"), image);
    assert_eq!(words(home.images.find("web").await), "No such image: web:latest");
}

#[tokio::test]
async fn names_are_given_and_taken_and_the_last_takes_the_image_and_its_layers_along() {
    let home = Home::new().await;
    let image = home.import("web", &[("a", "1")]).await;
    home.images.tag("web", "local.test:5000/web:2").await.expect("a free name");
    let conflict = words(home.images.remove(&image.id, false, &[]).await);
    assert!(conflict.contains("(must be forced) - image is referenced in multiple repositories"), "{conflict}");
    let gone = home.images.remove("web", false, &[]).await.expect("one of two names");
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0].untagged.as_deref(), Some("web:latest"));
    let container = Use { container: "c".repeat(64), image: image.id.clone(), running: false };
    let conflict = words(home.images.remove("local.test:5000/web:2", false, &[container]).await);
    let start = "conflict: unable to remove repository reference \"local.test:5000/web:2\" (must force) - container cccccccccccc is using its referenced image ";
    assert!(conflict.starts_with(start), "{conflict}");
    let id = image.id.clone();
    drop(image);
    let gone = home.images.remove("local.test:5000/web:2", false, &[]).await.expect("the last name");
    assert_eq!(gone[1].deleted.as_ref(), Some(&id));
    assert_eq!(files_in(&home.store().join("layers/sha256")), 0);
    assert_eq!(files_in(&home.store().join("blobs/sha256")), 0);
    assert_eq!(files_in(&home.store().join("staging")), 0);
}

#[tokio::test]
async fn a_layer_that_somebody_holds_outlives_its_image() {
    let home = Home::new().await;
    let image = home.import("web", &[("a", "1")]).await;
    let layer = image.layers[0].clone();
    let (id, diff_id) = (image.id.clone(), layer.diff_id.clone());
    drop(image);
    home.images.remove(&id, false, &[]).await.expect("it has one name");
    assert!(layer.folder.join("a").exists());
    drop(layer);
    let (_, bytes) = home.images.prune(false, &none(), &[]).await.expect("nothing holds it");
    assert!(bytes > 0);
    assert_eq!(home.images.layer(&diff_id).await, None);
}

#[tokio::test]
async fn the_machine_is_an_image_that_is_always_there_and_nobody_changes() {
    let home = Home::new().await;
    let machine = home.images.find("hoist/machine").await.expect("it is built in");
    assert!(machine.machine && machine.layers.is_empty());
    assert!(machine.document.config.env.expect("an environment")[0].starts_with("PATH=/"));
    assert!(home.images.list(false, &none()).await.expect("a list").is_empty());
    assert_eq!(home.images.list(true, &none()).await.expect("a list")[0].repo_tags, [MACHINE]);
    assert!(matches!(home.images.remove(MACHINE, true, &[]).await, Err(Error::Forbidden(_))));
    assert!(matches!(home.images.tag(MACHINE, "mine").await, Err(Error::Forbidden(_))));
    home.import("web", &[("a", "1")]).await;
    assert!(matches!(home.images.tag("web", MACHINE).await, Err(Error::Forbidden(_))));
}

#[tokio::test]
async fn a_listing_is_filtered_as_dockers() {
    let home = Home::new().await;
    let first = home.import("web:1", &[("a", "1")]).await;
    let labels = Some(HashMap::from([("team".to_owned(), "blue".to_owned())]));
    let document = Document {
        config: ImageConfig { labels, ..ImageConfig::default() },
        created: Some(first.document.created.expect("it has a time") + chrono::Duration::seconds(5)),
        ..first.document.clone()
    };
    home.images.add(&document, &["local.test/db:2".to_owned()]).await.expect("its layer is here");
    let second = home.import("old", &[("b", "1")]).await;
    home.import("old", &[("b", "2")]).await;
    let listed = async |filters: &[(&str, &str)]| {
        let filters = filters.iter().map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()])).collect();
        let mut names: Vec<_> = home
            .images
            .list(false, &filters)
            .await
            .expect("known filters")
            .into_iter()
            .flat_map(|one| one.repo_tags)
            .collect();
        names.sort();
        names
    };
    assert_eq!(listed(&[]).await, ["<none>:<none>", "local.test/db:2", "old:latest", "web:1"]);
    assert_eq!(listed(&[("dangling", "true")]).await, ["<none>:<none>"]);
    assert_eq!(listed(&[("dangling", "false")]).await.len(), 3);
    assert_eq!(listed(&[("label", "team=blue")]).await, ["local.test/db:2"]);
    assert_eq!(listed(&[("reference", "*/db")]).await, ["local.test/db:2"]);
    assert_eq!(listed(&[("since", "web:1"), ("label", "team")]).await, ["local.test/db:2"]);
    assert_eq!(listed(&[("before", "local.test/db:2"), ("reference", "web")]).await, ["web:1"]);
    assert!(matches!(home.images.list(false, &HashMap::from([("no".into(), vec![])])).await, Err(Error::Invalid(_))));

    drop(second);
    let used = Use { container: "c".repeat(64), image: first.id.clone(), running: false };
    let (gone, _) = home.images.prune(false, &none(), &[]).await.expect("a tidy store");
    assert_eq!(gone.iter().filter(|item| item.deleted.is_some()).count(), 2, "an image and its layer: {gone:?}");
    let (gone, _) = home.images.prune(true, &none(), &[used]).await.expect("a tidy store");
    let untagged: Vec<_> = gone.iter().filter_map(|item| item.untagged.as_deref()).collect();
    assert_eq!(untagged.len(), 2, "{untagged:?}");
    assert_eq!(listed(&[]).await, ["web:1"]);
    assert!(first.layers[0].folder.join("a").exists());
}

#[tokio::test]
async fn an_image_is_shown_with_what_docker_shows() {
    let home = Home::new().await;
    let image = home.two_layers("web:1").await;
    let shown = home.images.inspect("web:1").await.expect("it is here");
    assert_eq!(shown.id.as_ref(), Some(&image.id));
    assert_eq!(shown.repo_tags, Some(vec!["web:1".to_owned()]));
    assert_eq!(shown.size, Some(6));
    assert_eq!(shown.os.as_deref(), Some("linux"));
    assert_eq!(shown.root_fs.and_then(|rootfs| rootfs.layers), Some(image.document.rootfs.diff_ids.clone()));
    assert_eq!(shown.graph_driver.expect("a driver").name, "overlay2");
    assert!(shown.metadata.expect("metadata").last_tag_time.is_some());
    let steps = home.images.history("web:1").await.expect("it is here");
    assert_eq!(steps.len(), 2);
    assert_eq!((steps[0].id.as_str(), steps[0].size), (image.id.as_str(), 1));
    assert_eq!(steps[1].id, "<missing>");
}

#[tokio::test]
async fn what_a_build_wrote_becomes_a_layer_that_can_be_saved() {
    let home = Home::new().await;
    let upper = home.folder.path().join("lib/upper");
    let write = |text: &str| {
        std::fs::create_dir_all(upper.join("etc")).expect("a folder");
        std::fs::write(upper.join("etc/motd"), text).expect("a file");
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        for path in ["etc/motd", "etc", ""] {
            let file = std::fs::File::open(upper.join(path)).expect("it is there");
            file.set_modified(old).expect("its owner may");
        }
    };
    write("hello");
    let layer = home.images.add_layer(&upper).await.expect("files of a build");
    assert!(!upper.exists(), "the folder has become the layer's");
    assert_eq!(layer.size, 5);
    write("hello");
    assert_eq!(home.images.add_layer(&upper).await.expect("the same files"), layer);
    assert!(!upper.exists());
    let document = Document {
        architecture: "amd64".into(),
        os: "linux".into(),
        rootfs: DocumentRootfs { kind: "layers".into(), diff_ids: vec![layer.diff_id.clone()] },
        ..Document::default()
    };
    let image = home.images.add(&document, &["built".to_owned()]).await.expect("its layer is here");
    let (gone, _) = home.images.prune(false, &none(), &[]).await.expect("a tidy store");
    assert!(gone.is_empty());

    let other = Home::new().await;
    let tar = home.images.save(&["built".to_owned()]).await.expect("it is here");
    let loaded = other.images.load(tar, news().0).await.expect("a good archive");
    assert_eq!(loaded[0].id, image.id);
    assert_eq!(std::fs::read_to_string(loaded[0].layers[0].folder.join("etc/motd")).expect("unpacked"), "hello");

    std::fs::write(layer.folder.join("etc/motd"), "jello").expect("a file");
    let tar = home.images.save(&["built".to_owned()]).await.expect("it is here");
    let failed = tar.filter_map(async |piece| piece.err()).boxed().next().await.expect("the files are others");
    assert!(failed.to_string().contains("have been changed"), "{failed}");
}

#[tokio::test]
async fn a_tar_may_be_compressed_with_zstandard() {
    let home = Home::new().await;
    let plain = tar(&[("hello", "world")]);
    let packed = ruzstd::encoding::compress_to_vec(&plain[..], ruzstd::encoding::CompressionLevel::Fastest);
    let config = ImageConfig::default();
    let image = home.images.import(stream(&packed), Some("web"), config, "").await.expect("a good tar");
    assert_eq!(std::fs::read_to_string(image.layers[0].folder.join("hello")).expect("unpacked"), "world");
    let same = home.import("other", &[("hello", "world")]).await;
    assert_eq!(same.layers, image.layers);
    let text = words(home.images.import(stream(b"BZh91AY&SY........"), None, ImageConfig::default(), "").await);
    assert!(text.contains("bzip2: invalid data"), "{text}");
    home.is_tidy().await;
}
