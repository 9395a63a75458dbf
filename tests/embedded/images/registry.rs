//! Images pulled and pushed, with a real registry and with one whose connections break.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Home, files_in, news, none, words};
use crate::registry::Registry;
use bollard_stubs::models::{AuthConfig, ImageConfig};
use hoist::embedded::error::Error;
use hoist::embedded::images::Document;

/// A way to the registry on which answers break off: `cuts` times, after `after` bytes of a connection.
struct Breaking {
    address: String,
    connections: Arc<AtomicUsize>,
}

impl Breaking {
    fn before(registry: &Registry, cuts: usize, after: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let (target, connections) = (registry.address.clone(), Arc::new(AtomicUsize::new(0)));
        let counted = connections.clone();
        let left = Arc::new(AtomicUsize::new(cuts));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                let (Ok(server), left) = (TcpStream::connect(&target), left.clone()) else { return };
                std::thread::spawn(move || forward(client, server, &left, after));
            }
        });
        Self { address, connections }
    }
}

fn forward(client: TcpStream, server: TcpStream, left: &AtomicUsize, after: usize) {
    let (Ok(mut from), Ok(mut to)) = (client.try_clone(), server.try_clone()) else { return };
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let (mut server, mut client) = (server, client);
    let (mut passed, mut piece) = (0, [0; 4096]);
    while let Ok(read) = server.read(&mut piece) {
        if read == 0 || client.write_all(&piece[..read]).is_err() {
            break;
        }
        passed += read;
        let take = |left: usize| left.checked_sub(1);
        if passed >= after && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

/// Text that does not compress away.
fn noise(bytes: usize) -> String {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let letter = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b' ' + u8::try_from(state % 90).expect("less than 90"))
    };
    (0..bytes).map(letter).collect()
}

/// A registry with `web:1`, an image of two layers, one of them large; the id of the image.
async fn stocked() -> (Registry, String) {
    let registry = Registry::start();
    let home = Home::new().await;
    home.import("large", &[("large", &noise(3_000_000)), ("small", "1")]).await;
    let name = format!("{}/web:1", registry.address);
    home.images.tag("large", &name).await.expect("a free name");
    home.images.push(&name, None, news().0).await.expect("the registry takes it");
    let image = home.images.find(&name).await.expect("it is here");
    (registry, image.id)
}

fn has(lines: &[String], end: &str) -> bool {
    lines.iter().any(|line| line.ends_with(end))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_can_be_pulled_elsewhere_with_its_digest() {
    let registry = Registry::start();
    let home = Home::new().await;
    let name = format!("{}/team/web:1", registry.address);
    let image = home.two_layers(&name).await;
    let (sender, lines) = news();
    home.images.push(&name, None, sender).await.expect("the registry takes it");
    let lines = lines();
    assert_eq!(lines[0], format!("The push refers to repository [{}/team/web]", registry.address));
    assert_eq!(lines.iter().filter(|line| line.ends_with(": Pushed")).count(), 2, "{lines:?}");
    let last = lines.last().expect("news").clone();
    assert!(last.starts_with("1: digest: sha256:") && last.contains(" size: "), "{last}");
    let pushed = home.images.find(&name).await.expect("it is here").digests;

    let other = Home::new().await;
    let (sender, lines) = news();
    let pulled = other.images.pull(&name, None, None, sender).await.expect("it is there");
    assert_eq!(pulled.id, image.id);
    assert_eq!(pulled.tags, std::slice::from_ref(&name));
    assert_eq!(pulled.digests, pushed);
    assert_eq!(std::fs::read_to_string(pulled.layers[0].folder.join("etc/one")).expect("unpacked"), "1");
    let lines = lines();
    assert_eq!(lines[0], "1: Pulling from team/web");
    for end in ["Pulling fs layer", "Verifying Checksum", "Download complete", "Extracting", "Pull complete"] {
        assert_eq!(lines.iter().filter(|line| line.ends_with(&format!(": {end}"))).count(), 2, "{end}: {lines:?}");
    }
    let end = format!("Status: Downloaded newer image for {name}");
    assert_eq!(lines.last(), Some(&end));
    assert_eq!(other.told(), [format!("pull {}", name.trim_end_matches(":1"))]);

    let (sender, lines) = news();
    other.images.pull(&name, None, None, sender).await.expect("it is there");
    assert!(has(&lines(), &format!("Status: Image is up to date for {name}")));
    let by_digest = other.images.pull(&pushed[0], None, None, news().0).await.expect("by its digest");
    assert_eq!(by_digest.id, image.id);
    other.is_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_registry_has_already_is_not_sent_again() {
    let (registry, _) = stocked().await;
    let home = Home::new().await;
    let name = format!("{}/web:1", registry.address);
    home.images.pull(&name, None, None, news().0).await.expect("it is there");
    let pulled = home.images.find(&name).await.expect("it is here").digests;
    let again = name.replace("web:1", "web:2");
    home.images.tag(&name, &again).await.expect("a free name");
    let (sender, lines) = news();
    home.images.push(&again, None, sender).await.expect("the registry takes it");
    assert!(has(&lines(), "Layer already exists"));
    let elsewhere = name.replace("web:1", "copy:1");
    home.images.tag(&name, &elsewhere).await.expect("a free name");
    let (sender, lines) = news();
    home.images.push(&elsewhere, None, sender).await.expect("the registry takes it");
    let lines = lines();
    assert!(has(&lines, "Mounted from web"), "{lines:?}");
    // It went as it came, so it is the same image to the registry.
    let digests = home.images.find(&again).await.expect("it is here").digests;
    assert!(digests.contains(&pulled[0]));
    assert!(digests.contains(&pulled[0].replace("/web@", "/copy@")), "{digests:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_is_cut_goes_on_from_where_it_was() {
    let (registry, id) = stocked().await;
    let way = Breaking::before(&registry, 2, 900_000);
    let home = Home::new().await;
    let name = format!("{}/web:1", way.address);
    let image = home.images.pull(&name, None, None, news().0).await.expect("it goes on");
    assert_eq!(image.id, id);
    assert_eq!(std::fs::metadata(image.layers[0].folder.join("large")).expect("unpacked").len(), 3_000_000);
    assert!(way.connections.load(Ordering::SeqCst) >= 3, "the connection was cut twice");
    home.is_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_always_breaks_off_is_an_error_that_names_it_and_leaves_nothing_broken() {
    let (registry, _) = stocked().await;
    let way = Breaking::before(&registry, usize::MAX, 20_000);
    let home = Home::new().await;
    let name = format!("{}/web:1", way.address);
    let text = words(home.images.pull(&name, None, None, news().0).await);
    assert!(text.starts_with(&format!("the registry {} broke off", way.address)), "{text}");
    assert!(matches!(home.images.find(&name).await, Err(Error::NotFound(_))));
    home.is_tidy().await;
    assert_eq!(files_in(&home.store().join("layers/sha256")), 0);
    // The same folders go on with a registry that works.
    let name = format!("{}/web:1", registry.address);
    home.images.pull(&name, None, None, news().0).await.expect("it is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_is_not_what_the_manifest_says_is_named_and_not_kept() {
    let (registry, _) = stocked().await;
    let home = Home::new().await;
    let name = format!("{}/web:1", registry.address);
    home.images.pull(&name, None, None, news().0).await.expect("it is there");
    let blobs = home.store().join("blobs/sha256");
    let largest = std::fs::read_dir(blobs)
        .expect("blobs")
        .flatten()
        .max_by_key(|entry| entry.metadata().map_or(0, |metadata| metadata.len()));
    let digest = format!("sha256:{}", largest.expect("a layer").file_name().display());
    let file = registry.blob(&digest);
    let mut bytes = std::fs::read(&file).expect("the registry has it");
    bytes[1_000_000] ^= 1;
    std::fs::write(&file, bytes).expect("it can be changed");
    let other = Home::new().await;
    let text = words(other.images.pull(&name, None, None, news().0).await);
    assert!(text.contains(&digest) && text.contains("corrupt"), "{text}");
    other.is_tidy().await;
    assert_eq!(files_in(&other.store().join("layers/sha256")), 0);
    let (gone, _) = other.images.prune(true, &none(), &[]).await.expect("a tidy store");
    assert!(gone.is_empty());
    assert_eq!(files_in(&other.store().join("blobs/sha256")), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_is_dropped_half_way_can_be_pulled_again() {
    let (registry, id) = stocked().await;
    let home = Home::new().await;
    let name = format!("{}/web:1", registry.address);
    for pieces in 1..8 {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(100);
        let pull = home.images.pull(&name, None, None, sender);
        let seen = async {
            for _ in 0..pieces {
                receiver.recv().await;
            }
        };
        tokio::select! {
            _ = pull => {}
            () = seen => {}
        }
        let _ = home.images.find(&name).await;
    }
    let image = home.images.pull(&name, None, None, news().0).await.expect("it is there");
    assert_eq!(image.id, id);
    assert_eq!(std::fs::metadata(image.layers[0].folder.join("large")).expect("unpacked").len(), 3_000_000);
    home.is_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_registry_does_not_have_is_said_in_dockers_words() {
    let (registry, _) = stocked().await;
    let home = Home::new().await;
    let name = format!("{}/web:none", registry.address);
    let text = words(home.images.pull(&name, None, None, news().0).await);
    assert_eq!(text, format!("manifest for {name} not found: manifest unknown: manifest unknown"));
    let text = words(home.images.pull("127.0.0.1:1/web", None, None, news().0).await);
    assert!(text.starts_with("cannot reach the registry 127.0.0.1:1: "), "{text}");
    let text = words(home.images.push("nothing:1", None, news().0).await);
    assert_eq!(text, "An image does not exist locally with the tag: nothing:1");
    let wrong = words(home.images.pull(&name.replace(":none", ":1"), Some("linux/s390x"), None, news().0).await);
    assert!(wrong.contains("does not match the specified platform: wanted linux/s390x"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_while_unpacking_is_an_error_that_leaves_nothing_broken() {
    let (registry, id) = stocked().await;
    let folder = tempfile::tempdir().expect("a folder");
    let lib = folder.path().join("lib");
    std::fs::create_dir(&lib).expect("a folder");
    let disk = Disk::at(&lib, "6m");
    let home = Home::at(folder).await;
    let name = format!("{}/web:1", registry.address);
    let filler = lib.join("filler");
    std::fs::write(&filler, vec![1; 2_500_000]).expect("there is room for it");
    let text = words(home.images.pull(&name, None, None, news().0).await);
    assert!(text.to_lowercase().contains("no space left on device"), "{text}");
    assert!(matches!(home.images.find(&name).await, Err(Error::NotFound(_))));
    home.is_tidy().await;
    std::fs::remove_file(&filler).expect("it is there");
    home.images.prune(true, &none(), &[]).await.expect("a tidy store");
    let image = home.images.pull(&name, None, None, news().0).await.expect("there is room now");
    assert_eq!(image.id, id);
    drop(image);
    let bad = home.images.import(super::stream(&vec![0; 9_000_000]), None, ImageConfig::default(), "").await;
    assert!(words(bad).to_lowercase().contains("no space left on device"));
    home.is_tidy().await;
    drop(home.images);
    drop(disk);
}

/// A small disk; unmounted with the value.
struct Disk(PathBuf);

impl Disk {
    fn at(folder: &std::path::Path, size: &str) -> Self {
        let made = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "hoist-test"])
            .arg(folder)
            .status();
        assert!(made.expect("mount is here").success(), "a tmpfs can be mounted (as root)");
        Self(folder.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Puts an index of several images under a tag, as `docker manifest push` does.
fn put_index(registry: &Registry, path: &str, body: &str) {
    let mut connection = TcpStream::connect(&registry.address).expect("it listens");
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/vnd.oci.image.index.v1+json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        registry.address,
        body.len()
    );
    connection.write_all(format!("{head}{body}").as_bytes()).expect("it reads");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_image_for_several_platforms_the_one_for_the_platform_is_pulled() {
    let registry = Registry::start();
    let home = Home::new().await;
    let mut entries = Vec::new();
    let mut ids = Vec::new();
    for (architecture, text) in [("amd64", "a"), ("arm64", "b")] {
        let layer = home.import("base", &[("architecture", text)]).await;
        let document = Document { architecture: architecture.into(), ..layer.document.clone() };
        let name = format!("{}/web:{architecture}", registry.address);
        ids.push(home.images.add(&document, std::slice::from_ref(&name)).await.expect("its layer is here").id);
        let (sender, lines) = news();
        home.images.push(&name, None, sender).await.expect("the registry takes it");
        let last = lines().pop().expect("news");
        let words: Vec<&str> = last.split(' ').collect();
        entries.push(format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":{},"platform":{{"architecture":"{architecture}","os":"linux"}}}}"#,
            words[2], words[4]
        ));
    }
    put_index(
        &registry,
        "/v2/web/manifests/all",
        &format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}]}}"#,
            entries.join(",")
        ),
    );
    let name = format!("{}/web:all", registry.address);
    let other = Home::new().await;
    for (platform, id) in ["linux/amd64", "linux/arm64"].iter().zip(&ids) {
        let image = other.images.pull(&name, Some(platform), None, news().0).await.expect("it is there");
        assert_eq!(&image.id, id);
        assert_eq!(image.digests.len(), 1, "the digest is that of the index");
    }
    let text = words(other.images.pull(&name, Some("linux/s390x"), None, news().0).await);
    assert!(text.ends_with("it has linux/amd64, linux/arm64"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_wants_a_password_gets_the_one_that_was_given() {
    let registry = Registry::guarded();
    let home = Home::new().await;
    let name = format!("{}/web:1", registry.address);
    home.import(&name, &[("a", "1")]).await;
    let anna = |password: &str| {
        Some(AuthConfig { username: Some("anna".into()), password: Some(password.into()), serveraddress: None })
    };
    let text = words(home.images.push(&name, None, news().0).await);
    assert!(text.starts_with("denied: requested access to the resource is denied"), "{text}");
    home.images.push(&name, anna("secret"), news().0).await.expect("the registry takes it");
    let other = Home::new().await;
    for credentials in [None, anna("wrong")] {
        let text = words(other.images.pull(&name, None, credentials, news().0).await);
        assert!(
            text.starts_with(&format!(
                "pull access denied for {}/web, repository does not exist or may require 'docker login'",
                registry.address
            )),
            "{text}"
        );
    }
    other.images.pull(&name, None, anna("secret"), news().0).await.expect("it is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_cut_anywhere_is_sent_again() {
    let registry = Registry::start();
    // Each answer of a push once: they are between 150 and 500 bytes long.
    for after in (1..=2401).step_by(300) {
        let way = Breaking::before(&registry, 1, after);
        let home = Home::new().await;
        let name = format!("{}/web-{after}:1", way.address);
        home.import(&name, &[("large", &noise(200_000 + after))]).await;
        home.images.push(&name, None, news().0).await.unwrap_or_else(|error| panic!("cut after {after}: {error:?}"));
        assert!(way.connections.load(Ordering::SeqCst) >= 2, "the connection was cut after {after} bytes");
        let other = Home::new().await;
        other.images.pull(&name, None, None, news().0).await.expect("it is there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_whose_small_answers_are_cut_asks_for_them_again() {
    let (registry, id) = stocked().await;
    for after in (1..=1201).step_by(200) {
        let way = Breaking::before(&registry, 1, after);
        let home = Home::new().await;
        let name = format!("{}/web:1", way.address);
        let pulled = home.images.pull(&name, None, None, news().0).await;
        assert_eq!(pulled.unwrap_or_else(|error| panic!("cut after {after}: {error:?}")).id, id);
        assert!(way.connections.load(Ordering::SeqCst) >= 2, "the connection was cut after {after} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls_of_the_same_image_at_once_share_what_they_fetch() {
    let (registry, id) = stocked().await;
    let home = Home::new().await;
    let name = format!("{}/web:1", registry.address);
    let pull = || home.images.pull(&name, None, None, news().0);
    let (one, two, three) = tokio::join!(pull(), pull(), pull());
    for image in [one, two, three] {
        assert_eq!(image.expect("it is there").id, id);
    }
    assert_eq!(files_in(&home.store().join("layers/sha256")), 1);
    // The layer, the configuration and the manifest.
    assert_eq!(files_in(&home.store().join("blobs/sha256")), 3);
    home.is_tidy().await;
}
