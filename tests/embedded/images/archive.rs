//! Images saved and loaded.

use std::io::Write as _;
use std::process::Command;

use futures_util::TryStreamExt as _;
use hoist::embedded::error::Error;

use super::{Home, files_in, news, stream, tar, words};

async fn saved(home: &Home, names: &[&str]) -> Vec<u8> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let pieces: Vec<_> = home.images.save(&names).await.expect("all are here").try_collect().await.expect("it is read");
    pieces.concat()
}

fn paths(archive: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().expect("a tar");
    entries.map(|entry| entry.expect("a tar").path().expect("a path").display().to_string()).collect()
}

#[tokio::test]
async fn what_is_saved_can_be_loaded_elsewhere_and_shared_layers_are_in_it_once() {
    let home = Home::new().await;
    let image = home.two_layers("web:1").await;
    home.images.tag("web:1", "local.test/web:2").await.expect("a free name");
    let archive = saved(&home, &["web:1", "local.test/web"]).await;
    let paths = paths(&archive);
    for path in ["manifest.json", "index.json", "oci-layout", "repositories"] {
        assert!(paths.iter().any(|found| found == path), "{path} is missing in {paths:?}");
    }
    // Two layers, a configuration, a manifest.
    assert_eq!(paths.iter().filter(|path| path.starts_with("blobs/sha256/")).count(), 4);

    let other = Home::new().await;
    let (sender, lines) = news();
    let loaded = other.images.load(stream(&archive), sender).await.expect("a good archive");
    assert_eq!(loaded.len(), 1);
    assert_eq!(loaded[0].id, image.id);
    assert_eq!(loaded[0].tags, ["local.test/web:2", "web:1"]);
    let lines = lines();
    assert_eq!(lines[lines.len() - 2..], ["Loaded image: web:1\n", "Loaded image: local.test/web:2\n"]);
    assert!(other.told().contains(&format!("load {}", image.id)));
    other.is_tidy().await;
}

#[tokio::test]
async fn an_archive_may_be_compressed_and_an_image_in_it_nameless() {
    let home = Home::new().await;
    let image = home.two_layers("web:1").await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&saved(&home, &[&image.id]).await).expect("to memory");
    let archive = encoder.finish().expect("to memory");
    let other = Home::new().await;
    let (sender, lines) = news();
    let loaded = other.images.load(stream(&archive), sender).await.expect("a good archive");
    assert!(loaded[0].tags.is_empty());
    assert_eq!(lines().last(), Some(&format!("Loaded image ID: {}\n", image.id)));
}

#[tokio::test]
async fn an_oci_layout_without_dockers_list_is_loaded_too() {
    let home = Home::new().await;
    let image = home.two_layers("web:1").await;
    let archive = saved(&home, &["web:1"]).await;
    let mut only = tar::Builder::new(Vec::new());
    let mut archive = tar::Archive::new(&archive[..]);
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("a tar");
        let path = entry.path().expect("a path").into_owned();
        if !matches!(path.to_str(), Some("manifest.json" | "repositories")) {
            let mut header = entry.header().clone();
            only.append_data(&mut header, path, &mut entry).expect("to memory");
        }
    }
    let other = Home::new().await;
    let archive = stream(&only.into_inner().expect("to memory"));
    let loaded = other.images.load(archive, news().0).await.expect("a good archive");
    assert_eq!(loaded[0].id, image.id);
    assert_eq!(loaded[0].tags, ["web:1"]);
}

#[tokio::test]
async fn what_docker_would_not_write_is_refused_and_leaves_nothing() {
    let home = Home::new().await;
    let load = async |files: &[(&str, &str)]| home.images.load(stream(&tar(files)), news().0).await;
    let text = words(load(&[("manifest.json", "[")]).await);
    assert!(text.starts_with("`manifest.json` of the archive cannot be read"), "{text}");
    let text = words(load(&[("hello", "world")]).await);
    assert!(text.contains("neither `manifest.json` nor `index.json`"), "{text}");
    let text = words(load(&[("manifest.json", r#"[{"Config":"../x","Layers":[]}]"#)]).await);
    assert_eq!(text, "the archive has the path `../x`, which is not inside it");
    let huge = format!("[\"{}\"]", "x".repeat(9 << 20));
    let text = words(load(&[("manifest.json", &huge)]).await);
    assert!(text.contains("is larger than"), "{text}");
    let text = words(home.images.load(stream(&b"not a tar at all".repeat(100)), news().0).await);
    assert!(text.starts_with("the archive cannot be read"), "{text}");
    let mut raw = tar(&[("aa/bb", "x")]);
    raw[..5].copy_from_slice(b"../bb");
    let sum: u32 = raw[..512]
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
        .sum();
    raw[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let text = words(home.images.load(stream(&raw), news().0).await);
    assert_eq!(text, "the archive has the path `../bb`, which is not inside it");
    home.is_tidy().await;
    assert_eq!(files_in(&home.store().join("blobs/sha256")), 0);
}

#[tokio::test]
async fn a_corrupt_layer_is_named_and_nothing_of_the_image_stays() {
    let home = Home::new().await;
    let image = home.two_layers("web:1").await;
    let mut archive = saved(&home, &["web:1"]).await;
    // A letter of a file in a layer: "soon".
    let at = archive.windows(4).position(|four| four == b"soon").expect("the layer is plain");
    archive[at] = b'm';
    let other = Home::new().await;
    let text = words(other.images.load(stream(&archive), news().0).await);
    assert!(text.starts_with(&format!("layer {} is corrupt", image.layers[0].diff_id)), "{text}");
    assert!(matches!(other.images.find("web:1").await, Err(Error::NotFound(_))));
    other.is_tidy().await;
    assert_eq!(files_in(&other.store().join("blobs/sha256")), 0);
    assert_eq!(files_in(&other.store().join("layers/sha256")), 0);
}

/// The list of an archive as other tools read it.
#[tokio::test]
async fn tar_itself_reads_what_is_saved() {
    let home = Home::new().await;
    home.two_layers("web:1").await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("web.tar");
    std::fs::write(&path, saved(&home, &["web"]).await).expect("a file");
    let listed = Command::new("tar").arg("-tf").arg(&path).output().expect("tar is here");
    assert!(listed.status.success() && listed.stderr.is_empty(), "{listed:?}");
}
