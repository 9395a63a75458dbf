//! Builds: instructions, the cache, stages, failures, what is left behind.

mod client;
mod copy;
mod run;
mod stages;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bollard_stubs::models::ImageConfig;
use bytes::Bytes;
use futures_util::StreamExt as _;
use hoist::embedded::ByteStream;
use hoist::embedded::build::files::Origin;
use hoist::embedded::build::tell::Audience;
use hoist::embedded::build::{Builder, News, Options, Order};
use hoist::embedded::events::Events;
use hoist::embedded::images::{Image, Images};
use hoist::embedded::layout::Layout;
use hoist::embedded::network::Networks;
use tempfile::TempDir;
use tokio::sync::mpsc;

/// A builder in folders of its own, with a base image `base` of a static busybox.
struct Home {
    folder: Arc<TempDir>,
    images: Images,
    networks: Networks,
    builder: Builder,
}

/// What a build has come to.
struct Done {
    image: Image,
    /// All that was told.
    told: String,
}

/// A file of a context: its text, or `-> target` for a link.
type File<'a> = (&'a str, &'a str);

impl Home {
    async fn new() -> Self {
        Self::at(Arc::new(tempfile::tempdir().expect("a folder can be made"))).await
    }

    async fn at(folder: Arc<TempDir>) -> Self {
        hoist::embedded::set_program(PathBuf::from(env!("CARGO_BIN_EXE_hoist")));
        let (layout, events) = (Layout::new(Some(folder.path())), Events::default());
        let images = Images::open(&layout, events.clone()).await.expect("images open");
        let networks = Networks::open(&layout, events, &[]).await.expect("networks open");
        let builder = Builder::open(&layout, images.clone(), networks.clone()).await.expect("a builder opens");
        Self { folder, images, networks, builder }
    }

    /// With the image `base`.
    async fn with_base() -> Self {
        let home = Self::new().await;
        home.images
            .import(stream(&base()), Some("base"), ImageConfig::default(), "")
            .await
            .expect("a base image is imported");
        home
    }

    fn layout(&self) -> Layout {
        Layout::new(Some(self.folder.path()))
    }

    /// Builds with the network of the machine, which needs nothing made.
    async fn build(&self, dockerfile: &str, files: &[File<'_>]) -> Result<Done, (String, String)> {
        self.build_with(dockerfile, files, Options { network: "host".into(), ..Options::default() }).await
    }

    /// What was told comes with the error too.
    async fn build_with(
        &self,
        dockerfile: &str,
        files: &[File<'_>],
        options: Options,
    ) -> Result<Done, (String, String)> {
        let context = tar(&[&[("Dockerfile", dockerfile)], files].concat());
        let (sender, mut news) = mpsc::channel::<News>(16);
        let listen = async {
            let mut told = String::new();
            while let Some(news) = news.recv().await {
                told.push_str(&news.stream.unwrap_or_default());
            }
            told
        };
        let (built, told) = tokio::join!(self.builder.build(order(options, stream(&context), sender)), listen);
        let id = match built {
            Ok(id) => id,
            Err(failure) => return Err((failure.error.to_string(), told)),
        };
        let image = self.images.find(&id).await.expect("what was built is here");
        Ok(Done { image, told })
    }

    /// What is left of builds.
    fn staged(&self) -> usize {
        fs::read_dir(self.layout().builds().join("staging")).map_or(0, Iterator::count)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let networks = self.networks.clone();
        let close = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(networks.close())
        };
        // A test that fails leaves the reason, not this.
        let _ = std::thread::spawn(close).join();
    }
}

impl Done {
    /// Where a path of the image lies, topmost layer first.
    fn path(&self, path: &str) -> Option<PathBuf> {
        let layers = self.image.layers.iter().rev().map(|layer| layer.folder.join(path));
        layers.into_iter().find(|path| path.symlink_metadata().is_ok())
    }

    fn text(&self, path: &str) -> String {
        let found = self.path(path).unwrap_or_else(|| panic!("the image has no {path}; told:\n{}", self.told));
        fs::read_to_string(found).expect("it is a file")
    }

    /// `mode uid gid mtime`.
    fn attributes(&self, path: &str) -> String {
        let found = self.path(path).unwrap_or_else(|| panic!("the image has no {path}"));
        let found = found.symlink_metadata().expect("it is there");
        format!("{:o} {} {} {}", found.mode() & 0o7777, found.uid(), found.gid(), found.mtime())
    }

    fn layers(&self) -> Vec<&str> {
        self.image.layers.iter().map(|layer| layer.diff_id.as_str()).collect()
    }

    /// How often something was told.
    fn count(&self, words: &str) -> usize {
        self.told.matches(words).count()
    }
}

/// The time of a context's files.
const TIME: u64 = 1_600_000_000;

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(1234);
    header.set_gid(1234);
    header.set_mtime(TIME);
    header
}

fn tar(files: &[File<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, text) in files {
        if let Some(target) = text.strip_prefix("-> ") {
            let mut header = header(tar::EntryType::Symlink, 0o777, 0);
            builder.append_link(&mut header, path, target).expect("to memory");
        } else {
            let mode = if path.ends_with("sh") { 0o755 } else { 0o644 };
            let mut header = header(tar::EntryType::Regular, mode, text.len() as u64);
            builder.append_data(&mut header, path, text.as_bytes()).expect("to memory");
        }
    }
    builder.into_inner().expect("to memory")
}

/// A root file system of a static busybox, a user `web` (1000:1001) and a usr-merged `bin`.
fn base() -> Vec<u8> {
    let busybox = fs::read("/bin/busybox").expect("these tests need Debian's busybox-static");
    let mut builder = tar::Builder::new(Vec::new());
    let mut owned = |mut header: tar::Header, path: &str, bytes: &[u8]| {
        header.set_uid(0);
        header.set_gid(0);
        builder.append_data(&mut header, path, bytes).expect("to memory");
    };
    for folder in ["usr", "usr/bin", "etc", "tmp"] {
        let mode = if folder == "tmp" { 0o1777 } else { 0o755 };
        owned(header(tar::EntryType::Directory, mode, 0), folder, &[]);
    }
    owned(header(tar::EntryType::Regular, 0o755, busybox.len() as u64), "usr/bin/busybox", &busybox);
    let passwd = b"root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001::/home/web:/bin/sh\n";
    owned(header(tar::EntryType::Regular, 0o644, passwd.len() as u64), "etc/passwd", passwd);
    let group = b"root:x:0:\nweb:x:1001:\nstaff:x:50:\n";
    owned(header(tar::EntryType::Regular, 0o644, group.len() as u64), "etc/group", group);
    for name in
        ["sh", "cat", "echo", "ls", "mkdir", "id", "touch", "rm", "sleep", "env", "stat", "seq", "hostname", "dd"]
    {
        let mut link = header(tar::EntryType::Symlink, 0o777, 0);
        builder.append_link(&mut link, format!("usr/bin/{name}"), "busybox").expect("to memory");
    }
    let mut link = header(tar::EntryType::Symlink, 0o777, 0);
    builder.append_link(&mut link, "bin", "usr/bin").expect("to memory");
    builder.into_inner().expect("to memory")
}

/// In pieces, as a client sends it.
fn stream(bytes: &[u8]) -> ByteStream {
    let pieces: Vec<_> = bytes.chunks(64 * 1024).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    futures_util::stream::iter(pieces).boxed()
}

fn arguments(pairs: &[(&str, &str)]) -> HashMap<String, Option<String>> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect()
}

/// Compressed by the machine's `xz`.
fn xz(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut xz = Command::new("xz");
    let mut child =
        xz.arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("these tests need Debian's xz-utils");
    let (mut stdin, bytes) = (child.stdin.take().expect("it is piped"), bytes.to_vec());
    let writer = std::thread::spawn(move || stdin.write_all(&bytes).expect("xz reads"));
    let output = child.wait_with_output().expect("xz ends");
    writer.join().expect("writing does not panic");
    output.stdout
}

/// A build from a tar, as a client of the classic builder asks for it.
fn order(options: Options, context: ByteStream, news: mpsc::Sender<News>) -> Order {
    let audience = Audience::Lines { news, quiet: false };
    Order { options, origin: Origin::Tar(context), definition: None, client: None, audience }
}

/// Waits until something is so.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !so() {
        assert!(std::time::Instant::now() < deadline, "it did not come to this: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// A file system in memory of so many bytes, gone with the value.
struct Disk(PathBuf);

impl Disk {
    fn new(folder: &Path, size: &str) -> Self {
        use nix::mount::{MsFlags, mount};
        let options = format!("size={size}");
        mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
            .expect("these tests need root");
        Self(folder.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A test that fails leaves the reason, not this.
        let _ = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
    }
}
