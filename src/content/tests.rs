use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{Hash, Hashes, Stamp, cache};

/// A file that nobody has touched for a while, so that its stamp can be trusted.
fn file(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).expect("a file");
    settle(&path);
    path
}

/// Waits until the clock of files has moved on from a file's last change.
fn settle(path: &Path) {
    let deadline = SystemTime::now() + Duration::from_secs(10);
    while !stamp(path).is_settled(SystemTime::now()) {
        assert!(SystemTime::now() < deadline, "the clock stands still");
        std::thread::yield_now();
    }
}

fn stamp(path: &Path) -> Stamp {
    Stamp::of(&fs::metadata(path).expect("a file"))
}

fn hash(text: &str) -> Hash {
    Hash(*blake3::hash(text.as_bytes()).as_bytes())
}

fn hash_of(hashes: &Hashes, path: &Path) -> Hash {
    let metadata = fs::metadata(path).expect("a file");
    hashes.of(path, &metadata, &CancellationToken::new()).expect("it can be read")
}

#[test]
fn a_file_that_looks_as_it_did_is_not_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder, "a", "one");
    let hashes = Hashes::default();
    assert_eq!(hashes.known(&path, &stamp(&path)), None);
    assert_eq!(hash_of(&hashes, &path), hash("one"));
    assert_eq!(hashes.known(&path, &stamp(&path)), Some(hash("one")));
    assert_eq!(hashes.known(&folder.path().join("b"), &stamp(&path)), None, "it is known by its path");
}

#[test]
fn a_write_is_seen_although_size_and_time_of_writing_stay_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder, "a", "one");
    let hashes = Hashes::default();
    hash_of(&hashes, &path);
    let modified = fs::metadata(&path).expect("a file").modified().expect("a time");
    fs::write(&path, "two").expect("a write");
    File::options().write(true).open(&path).expect("a file").set_modified(modified).expect("a time");
    assert_eq!(hash_of(&hashes, &path), hash("two"));
}

#[test]
fn a_file_that_was_read_in_the_tick_of_its_last_change_is_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let hashes = Hashes::default();
    for round in 0..200 {
        let path = folder.path().join(format!("{round}"));
        fs::write(&path, "one").expect("a file");
        let reading = hashes.read(&path, &CancellationToken::new()).expect("it can be read");
        fs::write(&path, "two").expect("a write within the same tick, most of the time");
        assert_eq!(hash_of(&hashes, &path), hash("two"), "round {round}, {reading:?}");
    }
}

#[test]
fn what_is_known_outlasts_the_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder, "a", "one");
    let place = folder.path().join("cache/contents/x");
    let hashes = Hashes::kept_at(Some(place.clone()));
    hash_of(&hashes, &path);
    hashes.keep();
    let again = Hashes::kept_at(Some(place.clone()));
    assert_eq!(again.known(&path, &stamp(&path)), Some(hash("one")));
    let before = fs::metadata(&place).expect("it is there").modified().expect("a time");
    again.keep();
    assert_eq!(fs::metadata(&place).expect("it is there").modified().expect("a time"), before, "nothing new to keep");
}

#[test]
fn what_nobody_asks_for_is_forgotten_after_some_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let (used, unused) = (file(&folder, "used", "one"), file(&folder, "unused", "two"));
    let place = folder.path().join("contents/x");
    let hashes = Hashes::kept_at(Some(place.clone()));
    hash_of(&hashes, &used);
    hash_of(&hashes, &unused);
    hashes.keep();
    for run in 0..30 {
        let hashes = Hashes::kept_at(Some(place.clone()));
        assert!(hashes.known(&used, &stamp(&used)).is_some());
        hash_of(&hashes, &file(&folder, &format!("{run}"), "something new"));
        hashes.keep();
    }
    let hashes = Hashes::kept_at(Some(place));
    assert!(hashes.known(&used, &stamp(&used)).is_some());
    assert!(hashes.known(&unused, &stamp(&unused)).is_none());
}

#[test]
fn a_damaged_cache_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder, "a", "one");
    let place = folder.path().join("contents/x");
    let hashes = Hashes::kept_at(Some(place.clone()));
    hash_of(&hashes, &path);
    hashes.keep();
    let whole = fs::read(&place).expect("it is there");
    assert!(cache::read(&place).is_some());
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&place, &damaged).expect("a write");
        assert!(cache::read(&place).is_none(), "byte {at}");
        fs::write(&place, &whole[..at]).expect("a write");
        assert!(cache::read(&place).is_none(), "{at} bytes");
    }
    fs::remove_file(&place).expect("it is there");
    std::os::unix::fs::symlink("/dev/zero", &place).expect("a link");
    assert!(cache::read(&place).is_none());
}

#[test]
fn so_many_projects_are_kept_and_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder, "a", "one");
    for project in 0..80 {
        let hashes = Hashes::kept_at(Some(folder.path().join(format!("contents/{project}"))));
        hash_of(&hashes, &path);
        hashes.keep();
    }
    assert_eq!(fs::read_dir(folder.path().join("contents")).expect("a folder").count(), 64);
    assert!(folder.path().join("contents/79").exists());
}

#[test]
fn a_reading_that_is_called_off_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder, "a", "one");
    let cancel = CancellationToken::new();
    cancel.cancel();
    assert!(Hashes::default().read(&path, &cancel).is_err());
}
