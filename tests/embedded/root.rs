//! Root file systems: layers in and out, files copied, by helpers of the real program on the real kernel.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use hoist::embedded::error::Error;
use hoist::embedded::layout::Layout;
use hoist::embedded::root::{self, Bind, Rootfs, View, WriteOptions};
use hoist::embedded::{ByteStream, set_program};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

/// An engine's folders of this test's own.
struct Place {
    folder: TempDir,
    layout: Layout,
}

fn place() -> Place {
    assert!(rustix::process::geteuid().is_root(), "these tests need the superuser");
    set_program(env!("CARGO_BIN_EXE_hoist").into());
    let folder = tempfile::tempdir().expect("a folder");
    let layout = Layout::new(Some(folder.path()));
    fs::create_dir_all(layout.mounts()).expect("a folder");
    Place { folder, layout }
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn new_folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("a folder");
        path
    }

    async fn unpacked(&self, name: &str, tar: Vec<u8>) -> Result<PathBuf, Error> {
        let folder = self.new_folder(name);
        root::unpack(&self.layout, &folder, bytes(tar)).await.map(|_| folder)
    }

    async fn packed(&self, folder: &Path) -> Vec<u8> {
        all(root::pack(&self.layout, folder).await.expect("packed")).await
    }

    /// A container's root that is not mounted.
    fn stopped(&self, lower: Vec<PathBuf>, binds: Vec<Bind>) -> View {
        let rootfs = Rootfs::Layers { lower, upper: self.path("upper"), work: self.path("work") };
        View::Stopped { rootfs, binds }
    }
}

/// In pieces of an odd size, as a network brings them.
fn bytes(all: impl AsRef<[u8]>) -> ByteStream {
    let all = all.as_ref();
    let chunks: Vec<_> = all.chunks(70_001).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    futures_util::stream::iter(chunks).boxed()
}

async fn all(stream: ByteStream) -> Vec<u8> {
    let chunks: Vec<Bytes> = stream.try_collect().await.expect("the stream ends well");
    chunks.concat()
}

fn header(name: &str, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_ustar();
    let bytes = &mut header.as_old_mut().name;
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_600_000_000);
    header.set_size(size);
    header
}

/// A tar of `(name, kind, content or target)`; names are taken as they are.
fn tarball(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let link = matches!(kind, EntryType::Symlink | EntryType::Link);
        let mut header = header(name, *kind, if link { 0 } else { content.len() as u64 });
        if link {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
        }
        header.set_cksum();
        builder.append(&header, if link { &[] } else { content.as_bytes() }).expect("appended");
    }
    builder.into_inner().expect("a tar")
}

const FILE: EntryType = EntryType::Regular;
const FOLDER: EntryType = EntryType::Directory;
const LINK: EntryType = EntryType::Symlink;
const HARD: EntryType = EntryType::Link;

/// Names and kinds of a tar, one a line.
fn listing(tar: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().expect("a tar");
    entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let kind = char::from(entry.header().entry_type().as_byte());
            let link = entry.link_name().expect("a link").map(|link| format!(" > {}", link.display()));
            format!("{kind} {}{}", entry.path().expect("a path").display(), link.unwrap_or_default())
        })
        .collect()
}

fn is_whiteout(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_char_device() && metadata.rdev() == 0)
}

fn is_opaque(path: &Path) -> bool {
    xattr::get(path, "trusted.overlay.opaque").expect("attributes").as_deref() == Some(b"y")
}

#[tokio::test]
async fn a_layer_comes_out_with_all_that_it_says_of_its_files() {
    let place = place();
    let mut builder = Builder::new(Vec::new());
    let records: [(&str, &[u8]); 3] = [
        ("mtime", b"1500000000.123456789"),
        ("SCHILY.xattr.user.colour", b"red"),
        ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
    ];
    builder.append_pax_extensions(records).expect("appended");
    let mut tool = header("bin/tool", FILE, 4);
    tool.set_mode(0o4755);
    tool.set_uid(1000);
    tool.set_gid(1001);
    tool.set_cksum();
    builder.append(&tool, b"text".as_slice()).expect("appended");
    for (name, kind, major, minor) in
        [("dev/null", EntryType::Char, 1, 3), ("dev/disk", EntryType::Block, 8, 1), ("pipe", EntryType::Fifo, 0, 0)]
    {
        let mut node = header(name, kind, 0);
        node.set_device_major(major).expect("a number");
        node.set_device_minor(minor).expect("a number");
        node.set_cksum();
        builder.append(&node, std::io::empty()).expect("appended");
    }
    let mut folder = header("late/", FOLDER, 0);
    folder.set_mode(0o1777);
    folder.set_cksum();
    builder.append(&folder, std::io::empty()).expect("appended");
    let mut gnu = Header::new_gnu();
    gnu.set_size(2);
    gnu.set_mode(0o600);
    let long = format!("late/{}/{}", "a".repeat(90), "b".repeat(90));
    builder.append_data(&mut gnu, &long, b"ok".as_slice()).expect("appended");
    let layer = place.unpacked("layer", builder.into_inner().expect("a tar")).await.expect("unpacked");

    let tool = fs::metadata(layer.join("bin/tool")).expect("a file");
    assert_eq!((tool.mode() & 0o7777, tool.uid(), tool.gid()), (0o4755, 1000, 1001));
    assert_eq!((tool.mtime(), tool.mtime_nsec()), (1_500_000_000, 123_456_789));
    assert_eq!(
        xattr::get(layer.join("bin/tool"), "user.colour").expect("attributes").as_deref(),
        Some(b"red".as_slice())
    );
    assert_eq!(xattr::get(layer.join("bin/tool"), "trusted.overlay.redirect").expect("attributes"), None);
    assert_eq!(fs::metadata(layer.join("dev/null")).expect("a node").rdev(), rustix::fs::makedev(1, 3));
    assert!(fs::metadata(layer.join("dev/disk")).expect("a node").file_type().is_block_device());
    assert!(fs::metadata(layer.join("pipe")).expect("a pipe").file_type().is_fifo());
    assert_eq!(fs::read_to_string(layer.join(&long)).expect("a file"), "ok");
    let late = fs::metadata(layer.join("late")).expect("a folder");
    assert_eq!((late.mode() & 0o7777, late.mtime()), (0o1777, 1_600_000_000));
}

#[tokio::test]
async fn what_a_layer_takes_away_is_taken_away_and_packed_again_the_same() {
    let place = place();
    let below = place
        .unpacked(
            "below",
            tarball(&[
                ("etc/", FOLDER, ""),
                ("etc/gone", FILE, "x"),
                ("etc/kept", FILE, "x"),
                ("opt/", FOLDER, ""),
                ("opt/old", FILE, "x"),
            ]),
        )
        .await
        .expect("unpacked");
    let entries = [
        ("etc/", FOLDER, ""),
        ("etc/.wh.gone", FILE, ""),
        ("etc/.wh..wh.plnk", FILE, ""),
        ("etc/new", FILE, "new"),
        ("etc/same", HARD, "etc/new"),
        ("opt/", FOLDER, ""),
        ("opt/.wh..wh..opq", FILE, ""),
        ("opt/fresh", LINK, "../etc/new"),
    ];
    let layer = place.unpacked("layer", tarball(&entries)).await.expect("unpacked");
    assert!(is_whiteout(&layer.join("etc/gone")));
    assert!(!layer.join("etc/.wh..wh.plnk").exists());
    assert!(is_opaque(&layer.join("opt")));
    assert_eq!(
        fs::metadata(layer.join("etc/new")).expect("a file").ino(),
        fs::metadata(layer.join("etc/same")).expect("a file").ino()
    );

    let view = place.stopped(vec![layer.clone(), below], vec![]);
    let (_, tar) = root::read(&place.layout, &view, "/etc").await.expect("read");
    assert_eq!(listing(&all(tar).await), ["5 etc/", "0 etc/kept", "0 etc/new", "1 etc/same > etc/new"]);
    let (_, tar) = root::read(&place.layout, &view, "/opt").await.expect("read");
    assert_eq!(listing(&all(tar).await), ["5 opt/", "2 opt/fresh > ../etc/new"]);

    let tar = place.packed(&layer).await;
    assert_eq!(
        listing(&tar),
        [
            "5 etc/",
            "0 etc/.wh.gone",
            "0 etc/new",
            "1 etc/same > etc/new",
            "5 opt/",
            "0 opt/.wh..wh..opq",
            "2 opt/fresh > ../etc/new",
        ]
    );
    assert!(tar == place.packed(&layer).await, "the same files are the same bytes");
    let again = place.unpacked("again", tar.clone()).await.expect("unpacked");
    assert!(tar == place.packed(&again).await, "what was packed comes out the same");
}

#[tokio::test]
async fn what_overlayfs_writes_becomes_a_layer_that_does_the_same() {
    let place = place();
    let entries =
        [("a/", FOLDER, ""), ("a/one", FILE, "1"), ("b/", FOLDER, ""), ("b/two", FILE, "2"), ("c", FILE, "3")];
    let below = place.unpacked("below", tarball(&entries)).await.expect("unpacked");
    let view = place.stopped(vec![below.clone()], vec![]);
    // A folder replaced by a file, and the other way round, through the mounted root.
    let change =
        tarball(&[("b", FILE, "now a file"), ("c/", FOLDER, ""), ("c/new", FILE, "x"), ("a/one", FILE, "changed")]);
    root::write(&place.layout, &view, "/", bytes(change), WriteOptions::default()).await.expect("written");
    let tar = place.packed(&place.path("upper")).await;
    let layer = place.unpacked("layer", tar).await.expect("unpacked");

    let rootfs = Rootfs::Layers { lower: vec![layer, below], upper: place.path("upper2"), work: place.path("work2") };
    let view = View::Stopped { rootfs, binds: vec![] };
    let (_, tar) = root::read(&place.layout, &view, "/").await.expect("read");
    assert_eq!(listing(&all(tar).await), ["5 /", "5 /a/", "0 /a/one", "0 /b", "5 /c/", "0 /c/new"]);
}

#[tokio::test]
async fn a_hostile_archive_is_refused_and_leaves_nothing_outside() {
    let place = place();
    fs::write(place.path("secret"), "kept").expect("a file");
    let outside = place.path("secret").display().to_string();
    for (name, tar) in [
        ("up", tarball(&[("../escaped", FILE, "x")])),
        ("middle", tarball(&[("a/../../escaped", FILE, "x")])),
        ("hard", tarball(&[("a", HARD, "../secret")])),
        ("elsewhere", tarball(&[("a", HARD, &outside)])),
        ("whiteout", tarball(&[("a/.wh...", FILE, "")])),
        ("nameless", tarball(&[("./", FILE, "x")])),
    ] {
        let refused = place.unpacked(name, tar).await.expect_err(name);
        assert!(
            matches!(&refused, Error::Invalid(text) if text.contains("the archive is corrupt")),
            "{name}: {refused}"
        );
    }
    assert!(!place.path("escaped").exists());
    assert!(!Path::new("/escaped").exists());

    // A link out is a link within: what is written behind it stays inside.
    let through = tarball(&[("out", LINK, "/"), ("out/tmp/hoist-escaped", FILE, "x"), ("/absolute", FILE, "x")]);
    let layer = place.unpacked("through", through).await.expect("unpacked");
    assert!(!Path::new("/tmp/hoist-escaped").exists());
    assert!(layer.join("tmp/hoist-escaped").exists());
    assert!(layer.join("absolute").exists());
    assert_eq!(fs::read_to_string(place.path("secret")).expect("a file"), "kept");
}

#[tokio::test]
async fn a_broken_archive_says_where() {
    let place = place();
    let whole = tarball(&[("first", FILE, "1"), ("second", FILE, &"x".repeat(5000))]);
    let refused = place.unpacked("cut", whole[..2048].to_vec()).await.expect_err("cut");
    assert!(refused.to_string().contains("second"), "{refused}");

    let mut flipped = whole.clone();
    flipped[1024] ^= 0x20;
    let refused = place.unpacked("flipped", flipped).await.expect_err("flipped");
    assert!(refused.to_string().contains("the archive is corrupt"), "{refused}");

    let mut huge = header("huge", FILE, 0);
    huge.set_size(u64::MAX / 2);
    huge.set_cksum();
    let refused = place.unpacked("huge", huge.as_bytes().to_vec()).await.expect_err("huge");
    assert!(matches!(refused, Error::Invalid(_)), "{refused}");

    let refused = place.unpacked("noise", vec![7; 4096]).await.expect_err("noise");
    assert!(matches!(refused, Error::Invalid(_)), "{refused}");

    let broken =
        futures_util::stream::iter([Ok(Bytes::from(whole[..512].to_vec())), Err(std::io::Error::other("cable cut"))]);
    let folder = place.new_folder("broken");
    let refused = root::unpack(&place.layout, &folder, broken.boxed()).await.expect_err("broken");
    assert_eq!(refused.to_string(), "cannot read the archive: cable cut");
}

#[tokio::test]
async fn a_name_without_end_does_not_take_the_machines_memory() {
    let place = place();
    let mut endless = header("x", EntryType::XHeader, 1 << 40);
    endless.set_cksum();
    let start = Bytes::from(endless.as_bytes().to_vec());
    let zeros = Bytes::from(vec![b'1'; 1 << 20]);
    let stream =
        futures_util::stream::iter(std::iter::once(Ok(start)).chain(std::iter::repeat_with(move || Ok(zeros.clone()))));
    let folder = place.new_folder("endless");
    assert!(root::unpack(&place.layout, &folder, stream.boxed()).await.is_err());
}

#[tokio::test]
async fn a_hundred_and_twenty_layers_are_one_root() {
    let place = place();
    let mut lower = Vec::new();
    for number in 0..120 {
        // As long as the engine's own, which are named by digests.
        let folder = place.new_folder(&format!("layers/{number:0>64}"));
        fs::write(folder.join(format!("file-{number}")), "x").expect("a file");
        fs::write(folder.join("top"), number.to_string()).expect("a file");
        lower.insert(0, folder);
    }
    let view = place.stopped(lower, vec![]);
    let (_, tar) = root::read(&place.layout, &view, "/.").await.expect("read");
    let tar = all(tar).await;
    assert_eq!(listing(&tar).len(), 122);
    let (_, top) = root::read(&place.layout, &view, "/top").await.expect("read");
    let top = all(top).await;
    assert_eq!(&top[512..515], b"119");
}

#[tokio::test]
async fn no_layer_at_all_is_an_empty_root_that_can_be_written() {
    let place = place();
    let view = place.stopped(vec![], vec![]);
    let tar = tarball(&[("hello", FILE, "x")]);
    root::write(&place.layout, &view, "/", bytes(tar), WriteOptions::default()).await.expect("written");
    assert_eq!(fs::read_to_string(place.path("upper/hello")).expect("a file"), "x");
}

#[tokio::test]
async fn a_path_is_described_as_docker_does() {
    let place = place();
    let folder = place.new_folder("folder");
    fs::create_dir(folder.join("etc")).expect("a folder");
    fs::write(folder.join("etc/hosts"), "12345").expect("a file");
    fs::set_permissions(folder.join("etc/hosts"), fs::Permissions::from_mode(0o4640)).expect("a mode");
    symlink("../etc/hosts", folder.join("etc/link")).expect("a link");
    symlink("/nowhere", folder.join("dangling")).expect("a link");
    symlink("etc", folder.join("folder-link")).expect("a link");
    let view = View::Folder(folder);
    let stat = async |path: &str| root::stat(&place.layout, &view, path).await;

    let hosts = stat("/etc/hosts").await.expect("there");
    assert_eq!(
        (hosts.name.as_str(), hosts.size, hosts.mode, hosts.link_target.as_str()),
        ("hosts", 5, 1 << 23 | 0o640, "")
    );
    assert!(chrono::DateTime::parse_from_rfc3339(&hosts.mtime).is_ok(), "{}", hosts.mtime);
    let etc = stat("etc").await.expect("there");
    assert_eq!((etc.name.as_str(), etc.mode), ("etc", 1 << 31 | 0o755));
    let link = stat("/etc/link").await.expect("there");
    assert_eq!((link.mode >> 27 & 1, link.link_target.as_str()), (1, "/etc/hosts"));
    assert_eq!(stat("/dangling").await.expect("there").link_target, "/nowhere");
    assert_eq!(stat("/folder-link/").await.expect("there").mode >> 31, 1);
    assert_eq!(stat("/").await.expect("there").name, "/");
    assert!(matches!(stat("/nothing").await, Err(Error::NotFound(_))));
    assert_eq!(stat("/etc/hosts/").await, Err(Error::Invalid("not a directory".into())));
    assert_eq!(stat("/etc/hosts/more").await, Err(Error::Invalid("not a directory".into())));
}

#[tokio::test]
async fn a_copy_out_has_the_last_part_of_its_path_before_its_entries() {
    let place = place();
    let folder = place.new_folder("folder");
    fs::create_dir_all(folder.join("srv/www")).expect("a folder");
    fs::write(folder.join("srv/www/page"), "x").expect("a file");
    symlink("www", folder.join("srv/now")).expect("a link");
    let view = View::Folder(folder);
    let read = async |path: &str| {
        let (_, tar) = root::read(&place.layout, &view, path).await.expect("read");
        listing(&all(tar).await)
    };
    assert_eq!(read("/srv/www").await, ["5 www/", "0 www/page"]);
    assert_eq!(read("/srv/www/.").await, ["5 ./", "0 ./page"]);
    assert_eq!(read("/srv/now").await, ["2 now > www"]);
    assert_eq!(read("/srv/now/").await, ["5 now/", "0 now/page"]);
    let missing = root::read(&place.layout, &view, "/none").await.map(|(stat, _)| stat);
    assert!(matches!(missing, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn a_copy_in_merges_folders_and_keeps_owners() {
    let place = place();
    let folder = place.new_folder("folder");
    fs::create_dir_all(folder.join("srv/kept")).expect("a folder");
    fs::write(folder.join("srv/file"), "old").expect("a file");
    let view = View::Folder(folder.clone());
    let mut builder = Builder::new(Vec::new());
    let mut file = header("file", FILE, 3);
    file.set_uid(1234);
    file.set_cksum();
    builder.append(&file, b"new".as_slice()).expect("appended");
    let tar = builder.into_inner().expect("a tar");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).expect("compressed");
    let gzip = gzip.finish().expect("compressed");
    root::write(&place.layout, &view, "/srv", bytes(gzip), WriteOptions::default()).await.expect("written");
    assert_eq!(fs::read_to_string(folder.join("srv/file")).expect("a file"), "new");
    assert_eq!(fs::metadata(folder.join("srv/file")).expect("a file").uid(), 1234);
    assert!(folder.join("srv/kept").exists());

    let write = async |path: &str, tar: Vec<u8>, no_overwrite_dir_non_dir: bool| {
        let options = WriteOptions { no_overwrite_dir_non_dir, ..WriteOptions::default() };
        root::write(&place.layout, &view, path, bytes(tar), options).await
    };
    let over = write("/srv", tarball(&[("kept", FILE, "x")]), true).await.expect_err("a folder is there");
    assert_eq!(over.to_string(), "cannot overwrite directory \"kept\" with non-directory \"kept\"");
    let over = write("/srv", tarball(&[("file/", FOLDER, "")]), true).await.expect_err("a file is there");
    assert_eq!(over.to_string(), "cannot overwrite non-directory \"file\" with directory \"file\"");
    write("/srv", tarball(&[("kept", FILE, "x")]), false).await.expect("replaced");
    assert!(matches!(write("/none", tarball(&[]), false).await, Err(Error::NotFound(_))));
    assert_eq!(
        write("/srv/file", tarball(&[]), false).await,
        Err(Error::Invalid("extraction point is not a directory".into()))
    );
}

#[tokio::test]
async fn volumes_are_where_the_stopped_container_has_them() {
    let place = place();
    let below = place.new_folder("below");
    fs::create_dir(below.join("data")).expect("a folder");
    fs::write(below.join("data/hidden"), "x").expect("a file");
    // A link in the image does not lead the mount out of it.
    symlink(place.path("outside"), below.join("linked")).expect("a link");
    let within = below.join(place.path("outside").strip_prefix("/").expect("an absolute path"));
    fs::create_dir_all(within).expect("a folder");
    let (volume, config, outside) = (place.new_folder("volume"), place.path("config"), place.new_folder("outside"));
    fs::write(volume.join("shown"), "x").expect("a file");
    fs::write(&config, "text").expect("a file");
    let bind = |source: &Path, destination: &str, read_only| Bind {
        source: source.to_owned(),
        destination: destination.into(),
        read_only,
    };
    let binds = vec![
        bind(&volume, "/data", false),
        bind(&config, "/etc/app/config", true),
        bind(&volume, "/linked/in", true),
        bind(&place.path("gone"), "/gone", false),
    ];
    let view = place.stopped(vec![below], binds);
    let (_, tar) = root::read(&place.layout, &view, "/data").await.expect("read");
    assert_eq!(listing(&all(tar).await), ["5 data/", "0 data/shown"]);
    assert_eq!(root::stat(&place.layout, &view, "/etc/app/config").await.expect("there").size, 4);
    assert!(fs::read_dir(&outside).expect("a folder").next().is_none());
    let tar = tarball(&[("file", FILE, "x")]);
    root::write(&place.layout, &view, "/data", bytes(tar.clone()), WriteOptions::default()).await.expect("written");
    assert!(volume.join("file").exists());
    let refused = root::write(&place.layout, &view, "/linked/in", bytes(tar), WriteOptions::default()).await;
    assert!(refused.expect_err("read-only").to_string().contains("Read-only file system"));
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    assert!(!mounts.contains(&place.folder.path().display().to_string()), "nothing is mounted for others to see");
}

#[tokio::test]
async fn a_stream_that_nobody_wants_any_more_ends_its_helper() {
    let place = place();
    let folder = place.new_folder("folder");
    fs::File::create(folder.join("large")).and_then(|file| file.set_len(1 << 30)).expect("a file");
    let mut stream = root::pack(&place.layout, &folder).await.expect("packed");
    stream.next().await.expect("a chunk").expect("bytes");
    let marker = folder.display().to_string();
    let helpers = || {
        fs::read_dir("/proc").expect("processes").flatten().any(|process| {
            fs::read(process.path().join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&marker))
        })
    };
    assert!(helpers());
    drop(stream);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while helpers() {
        assert!(std::time::Instant::now() < deadline, "the helper lives on");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_tree_is_removed_but_for_what_is_mounted_in_it() {
    let place = place();
    let tree = place.new_folder("tree/a/b");
    fs::write(tree.join("file"), "x").expect("a file");
    fs::set_permissions(&tree, fs::Permissions::from_mode(0o555)).expect("a mode");
    root::remove(&place.path("tree")).await.expect("removed");
    assert!(!place.path("tree").exists());
    root::remove(&place.path("tree")).await.expect("gone already");

    let (kept, inside) = (place.new_folder("kept"), place.new_folder("tree/mounted"));
    fs::write(kept.join("file"), "x").expect("a file");
    rustix::mount::mount_bind(&kept, &inside).expect("mounted");
    let refused = root::remove(&place.path("tree")).await;
    rustix::mount::unmount(&inside, rustix::mount::UnmountFlags::DETACH).expect("unmounted");
    assert!(refused.is_err());
    assert!(kept.join("file").exists(), "what is mounted is left alone");
}

/// A tmpfs where the engine has one.
struct Memory(PathBuf);

impl Memory {
    fn new(place: &Place) -> Self {
        let path = place.layout.mounts();
        rustix::mount::mount("tmpfs", &path, "tmpfs", rustix::mount::MountFlags::empty(), None).expect("mounted");
        Self(path)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

#[tokio::test]
async fn the_machines_own_root_shows_its_programs_and_nothing_of_its_engines() {
    let place = place();
    let memory = Memory::new(&place);
    let rootfs = Rootfs::Machine { upper: memory.0.join("one.upper"), work: memory.0.join("one.work") };
    let view = View::Stopped { rootfs, binds: vec![] };
    let names = async |path: &str| {
        let (_, tar) = root::read(&place.layout, &view, path).await.expect(path);
        listing(&all(tar).await)
    };
    assert_eq!(names("/tmp").await, ["5 tmp/"]);
    assert_eq!(names("/run").await, ["5 run/", "5 run/lock/"]);
    let stat = async |path: &str| root::stat(&place.layout, &view, path).await;
    assert_eq!(stat("/tmp").await.expect("there").mode & 0o777, 0o777);
    assert_eq!(stat("/").await.expect("there").mode & 0o777, fs::metadata("/").expect("there").mode() & 0o777);
    let passwd = stat("/etc/passwd").await.expect("there").size;
    assert_eq!(u64::try_from(passwd).ok(), Some(fs::metadata("/etc/passwd").expect("there").len()));
    assert!(stat("/bin/sh").await.is_ok());
    for hidden in ["/var/lib/docker", "/var/lib/hoist", "/var/lib/containers", "/run/docker.sock"] {
        assert!(matches!(stat(hidden).await, Err(Error::NotFound(_))), "{hidden}");
    }

    let name = format!("hoist-{}", std::process::id());
    for folder in ["/etc", "/tmp"] {
        let tar = tarball(&[(&name, FILE, "x")]);
        root::write(&place.layout, &view, folder, bytes(tar), WriteOptions::default()).await.expect("written");
        assert!(!Path::new(folder).join(&name).exists(), "the machine's {folder} is as it was");
        assert!(memory.0.join("one.upper").join(&folder[1..]).join(&name).exists());
    }
    // As when the container is started again: what it wrote is there, and the rest is still hidden.
    assert!(stat(&format!("/tmp/{name}")).await.is_ok());
    assert!(matches!(stat("/var/lib/docker").await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn a_container_that_replaces_its_folders_by_links_leads_nobody_out() {
    let place = place();
    let memory = Memory::new(&place);
    let rootfs = Rootfs::Machine { upper: memory.0.join("one.upper"), work: memory.0.join("one.work") };
    let view = View::Stopped { rootfs, binds: vec![] };
    root::stat(&place.layout, &view, "/").await.expect("mounted");
    let victim = place.new_folder("victim");
    // What its own program could do to its written layer. It has only the folders in which the machine has something to
    // hide.
    for folder in ["var", "run"].map(|folder| memory.0.join("one.upper").join(folder)) {
        let removed = fs::remove_dir_all(&folder);
        assert!(removed.is_ok() || !folder.exists(), "{removed:?}");
        symlink(&victim, folder).expect("a link");
    }
    root::stat(&place.layout, &view, "/").await.expect("mounted");
    assert!(fs::read_dir(&victim).expect("a folder").next().is_none());
}

#[tokio::test]
async fn another_file_system_of_the_machine_is_shown_read_only() {
    let place = place();
    let memory = Memory::new(&place);
    // Only disks are shown, and a test has none of its own to mount: the machine's, where there is one.
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    let disk = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (_, point, kind) = (words.next()?, words.next()?, words.next()?);
        let shown = ["ext4", "xfs", "btrfs", "squashfs"].contains(&kind) && point != "/" && Path::new(point).is_dir();
        (shown && !["/tmp", "/run", "/var/lib"].iter().any(|own| point.starts_with(own))).then(|| point.to_owned())
    });
    let Some(point) = disk.into_iter().next() else {
        eprintln!("LEFT OUT: this machine has no second disk mounted");
        return;
    };
    let rootfs = Rootfs::Machine { upper: memory.0.join("one.upper"), work: memory.0.join("one.work") };
    let view = View::Stopped { rootfs, binds: vec![] };
    let refused =
        root::write(&place.layout, &view, &point, bytes(tarball(&[("x", FILE, "x")])), WriteOptions::default()).await;
    assert!(refused.expect_err("read-only").to_string().contains("Read-only file system"));
}
