//! Files from a client: it says what there is, is asked for the contents, and sends them in any order (fsutil's protocol).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use bollard_buildkit_proto::moby::filesync::v1::file_sync_client::FileSyncClient;
use futures_util::stream;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Status, Streaming};

use super::sessions::{Session, origin, refused};
use crate::embedded::build::client::Wanted;
use crate::embedded::build::context::{Collector, Context, Entry, Kind, Refusal};
use crate::embedded::build::progress::{Happening, Listener};
use crate::embedded::error::Error;

/// The method by which a client sends files.
const METHOD: &str = "/moby.filesync.v1.FileSync/DiffCopy";
/// As large as a file may be that a client announces.
const LARGEST: u64 = 1 << 50;
/// How often is told how much has come.
const OFTEN: Duration = Duration::from_millis(100);

/// Go's bits of what a file is.
const FOLDER: u32 = 1 << 31;
const LINK: u32 = 1 << 27;
/// Devices, pipes, sockets and what else is nothing to build from.
const OTHER: u32 = 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19;

/// What is wanted of a client, received.
pub(super) async fn files(session: &Session, wanted: Wanted) -> Result<Context, Error> {
    if !session.offers(METHOD) {
        return Err(Error::Invalid(format!("the client offers no files, so none of `{}` can be had", wanted.folder)));
    }
    // Not bounded: the client reads what it is asked for as fast as it sends, and there are as many as files.
    let (ask, mut asked) = mpsc::unbounded_channel::<Packet>();
    let mut request = tonic::Request::new(stream::poll_fn(move |context| asked.poll_recv(context)));
    describe(request.metadata_mut(), &wanted)?;
    let answers = FileSyncClient::with_origin(session.line(), origin()).diff_copy(request).await;
    let tried = format!("send files of `{}`", wanted.folder);
    let answers = answers.map_err(|status| refused(&tried, &status))?.into_inner();
    let runtime = Handle::current();
    // It hashes and writes all the way.
    let received = tokio::task::spawn_blocking(move || {
        let spool = wanted.spool.clone();
        let mut receiver = Receiver::new(wanted, ask)?;
        let result = runtime.block_on(receiver.run(answers));
        match result {
            Ok(()) => Ok(receiver.collector.finish()),
            Err(Trouble::Client(status)) => Err(refused(&tried, &status)),
            Err(Trouble::Refused(refusal)) => Err(refusal.into_error(&spool)),
        }
    });
    received.await.map_err(|error| Error::Failed(format!("files of a client were not read: {error}")))?
}

/// Says what is wanted, in the headers of the question.
fn describe(headers: &mut MetadataMap, wanted: &Wanted) -> Result<(), Error> {
    let lists = [
        ("dir-name", std::slice::from_ref(&wanted.folder)),
        ("followpaths", &wanted.paths[..]),
        ("exclude-patterns", &wanted.without[..]),
    ];
    for (name, texts) in lists {
        // Headers are ASCII: where one is not, all of its name are written otherwise, which another header says.
        let encode = texts.iter().any(|text| !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        if encode {
            let key = tonic::metadata::MetadataKey::<Ascii>::from_bytes(format!("{name}-encoded").as_bytes());
            headers.insert(key.map_err(|error| Error::Failed(error.to_string()))?, MetadataValue::from_static("1"));
        }
        for text in texts {
            let text = if encode { encoded(text) } else { text.clone() };
            let value = MetadataValue::<Ascii>::try_from(text);
            headers.append(name, value.map_err(|error| Error::Failed(error.to_string()))?);
        }
    }
    Ok(())
}

/// As the query of an address has it.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// Why files do not come.
enum Trouble {
    Client(Status),
    Refused(Refusal),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Status> for Trouble {
    fn from(status: Status) -> Self {
        Self::Client(status)
    }
}

struct Receiver {
    collector: Collector,
    ask: mpsc::UnboundedSender<Packet>,
    /// How many files, folders and links have been announced: the number of the next one.
    announced: u32,
    /// Whether all have been.
    all: bool,
    /// Files whose contents are on their way, by number.
    coming: HashMap<u32, Coming>,
    /// Further names of files, with their permissions.
    same: Vec<(Stat, u32)>,
    tally: Tally,
}

/// A file whose contents are on their way.
struct Coming {
    path: String,
    mode: u32,
    mtime: i64,
    offset: u64,
    /// The room that it has.
    size: u64,
    written: u64,
    hash: Sha256,
}

/// How much has come, told now and then.
struct Tally {
    told: Option<(Listener, String, String)>,
    bytes: u64,
    last: Instant,
}

impl Receiver {
    fn new(wanted: Wanted, ask: mpsc::UnboundedSender<Packet>) -> Result<Self, Error> {
        let collector = Collector::new(wanted.spool)?;
        let tally = Tally { told: wanted.told, bytes: 0, last: Instant::now() };
        let (announced, all, coming, same) = (0, false, HashMap::new(), Vec::new());
        Ok(Self { collector, ask, announced, all, coming, same, tally })
    }

    async fn run(&mut self, mut packets: Streaming<Packet>) -> Result<(), Trouble> {
        while !(self.all && self.coming.is_empty()) {
            let ended = || Status::unavailable("it ended early");
            let packet = packets.message().await?.ok_or_else(ended)?;
            self.tally.count(packet.data.len());
            match packet.r#type() {
                PacketType::PacketStat => match packet.stat {
                    Some(stat) => self.announce(stat)?,
                    None => self.all = true,
                },
                PacketType::PacketData => self.data(packet.id, &packet.data)?,
                PacketType::PacketErr => {
                    let text = String::from_utf8_lossy(&packet.data).into_owned();
                    return Err(Status::unknown(text).into());
                }
                PacketType::PacketReq | PacketType::PacketFin => {}
            }
        }
        for (stat, mode) in std::mem::take(&mut self.same) {
            self.put_same(&stat, mode)?;
        }
        self.send(PacketType::PacketFin, 0);
        // It confirms, and then has nothing more to say.
        while let Ok(Some(packet)) = packets.message().await {
            if packet.r#type() == PacketType::PacketFin {
                break;
            }
        }
        self.tally.end();
        Ok(())
    }

    fn announce(&mut self, stat: Stat) -> Result<(), Trouble> {
        let number = self.announced;
        self.announced = number.checked_add(1).ok_or_else(|| Status::out_of_range("too many files"))?;
        let mode = permissions(stat.mode);
        let mtime = stat.mod_time.div_euclid(1_000_000_000);
        if stat.mode & OTHER != 0 {
            return Ok(());
        }
        if stat.mode & FOLDER != 0 {
            return Ok(self.collector.put(stat.path.as_bytes(), Entry { kind: Kind::Folder, mode, mtime })?);
        }
        if stat.mode & LINK != 0 {
            let kind = Kind::Link(stat.linkname.replace('\\', "/"));
            return Ok(self.collector.put(stat.path.as_bytes(), Entry { kind, mode, mtime })?);
        }
        if !stat.linkname.is_empty() {
            self.same.push((stat, mode));
            return Ok(());
        }
        let size = u64::try_from(stat.size).ok().filter(|size| *size <= LARGEST);
        let size = size.ok_or_else(|| Refusal::Said(format!("`{}` cannot be so large", stat.path)))?;
        let offset = self.collector.reserve(size);
        let (path, written, hash) = (stat.path, 0, Sha256::new());
        let coming = Coming { path, mode, mtime, offset, size, written, hash };
        if size == 0 {
            return self.put(coming);
        }
        self.coming.insert(number, coming);
        self.send(PacketType::PacketReq, number);
        Ok(())
    }

    fn data(&mut self, number: u32, bytes: &[u8]) -> Result<(), Trouble> {
        let unasked = || Status::unknown("it sent a file that it was not asked for");
        let coming = self.coming.get_mut(&number).ok_or_else(unasked)?;
        if bytes.is_empty() {
            let coming = self.coming.remove(&number).ok_or_else(unasked)?;
            return self.put(coming);
        }
        coming.hash.update(bytes);
        let at = coming.offset + coming.written;
        coming.written += bytes.len() as u64;
        if coming.written > coming.size {
            return Err(
                Refusal::Said(format!("`{}` was written to while it was sent; build again", coming.path)).into()
            );
        }
        Ok(self.collector.write(at, bytes)?)
    }

    fn put(&mut self, coming: Coming) -> Result<(), Trouble> {
        let Coming { path, mode, mtime, offset, written, hash, .. } = coming;
        let kind = Kind::File { offset, size: written, digest: hash.finalize().into() };
        Ok(self.collector.put(path.as_bytes(), Entry { kind, mode, mtime })?)
    }

    /// A further name of a file that has come.
    fn put_same(&mut self, stat: &Stat, mode: u32) -> Result<(), Trouble> {
        let missing = || Refusal::Said(format!("`{}` is a link to `{}`, which is not there", stat.path, stat.linkname));
        let kind = self.collector.same(stat.linkname.as_bytes())?.ok_or_else(missing)?;
        let mtime = stat.mod_time.div_euclid(1_000_000_000);
        Ok(self.collector.put(stat.path.as_bytes(), Entry { kind, mode, mtime })?)
    }

    fn send(&self, kind: PacketType, id: u32) {
        // Nobody there: the answers end too, and say why.
        let _ = self.ask.send(Packet { r#type: kind.into(), id, ..Packet::default() });
    }
}

impl Tally {
    fn count(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if self.last.elapsed() >= OFTEN {
            self.tell(false);
        }
    }

    fn end(&mut self) {
        self.tell(true);
    }

    fn tell(&mut self, done: bool) {
        self.last = Instant::now();
        if let Some((listener, step, part)) = &self.told {
            listener.tell(step, Happening::Part { name: part.clone(), current: self.bytes, total: None, done });
        }
    }
}

/// A mode as the kernel has it, of one as Go has it.
fn permissions(mode: u32) -> u32 {
    let special = [(23, 0o4000), (22, 0o2000), (20, 0o1000)];
    special.iter().filter(|(bit, _)| mode & (1 << bit) != 0).fold(mode & 0o777, |sum, (_, flag)| sum | flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver(folder: &std::path::Path) -> (Receiver, mpsc::UnboundedReceiver<Packet>) {
        let (ask, asked) = mpsc::unbounded_channel();
        let (paths, without, told) = (Vec::new(), Vec::new(), None);
        let wanted = Wanted { folder: "context".into(), paths, without, spool: folder.join("spool"), told };
        (Receiver::new(wanted, ask).expect("the folder can be written"), asked)
    }

    fn stat(path: &str, mode: u32, size: i64, linkname: &str) -> Stat {
        let (path, linkname) = (path.to_owned(), linkname.to_owned());
        Stat { path, mode, size, linkname, mod_time: 7_500_000_000, ..Stat::default() }
    }

    fn told(trouble: Result<(), Trouble>) -> String {
        match trouble {
            Ok(()) => String::new(),
            Err(Trouble::Client(status)) => status.message().to_owned(),
            Err(Trouble::Refused(refusal)) => refusal.into_error(std::path::Path::new("/")).to_string(),
        }
    }

    #[test]
    fn contents_come_in_any_order_and_a_second_name_has_those_of_the_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut receiver, mut asked) = receiver(folder.path());
        let stats = [
            stat("a", FOLDER | 0o755, 0, ""),
            stat("a/one", 0o644 | 1 << 23, 4, ""),
            stat("a/socket", 1 << 24 | 0o644, 0, ""),
            stat("a/two", 0o600, 2, ""),
            stat("empty", 0o644, 0, ""),
            stat("link", LINK | 0o777, 0, "a/one"),
            stat("three", 0o644, 2, "a/two"),
        ];
        for stat in stats {
            assert_eq!(told(receiver.announce(stat)), "");
        }
        let numbers: Vec<u32> = std::iter::from_fn(|| asked.try_recv().ok()).map(|packet| packet.id).collect();
        assert_eq!(numbers, [1, 3]);
        for (number, bytes) in [(3, &b"22"[..]), (1, b"11"), (3, b""), (1, b"11"), (1, b"")] {
            assert_eq!(told(receiver.data(number, bytes)), "");
        }
        for (stat, mode) in std::mem::take(&mut receiver.same) {
            assert_eq!(told(receiver.put_same(&stat, mode)), "");
        }
        let context = receiver.collector.finish();
        let found: Vec<(&str, u32, i64)> =
            context.entries().map(|(path, entry)| (path, entry.mode, entry.mtime)).collect();
        let expected = [
            ("a", 0o755, 7),
            ("a/one", 0o4644, 7),
            ("a/two", 0o600, 7),
            ("empty", 0o644, 7),
            ("link", 0o777, 7),
            ("three", 0o644, 7),
        ];
        assert_eq!(found, expected);
        let kind = |path: &str| context.entries().find(|(own, _)| *own == path).map(|(_, entry)| entry.kind.clone());
        assert_eq!(kind("three"), kind("a/two"));
    }

    #[test]
    fn a_client_that_sends_what_it_should_not_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut receiver, _asked) = receiver(folder.path());
        assert!(told(receiver.announce(stat("a/../../b", 0o644, 0, ""))).contains("leads out"));
        assert!(told(receiver.announce(stat("b", 0o644, -1, ""))).contains("so large"));
        assert!(told(receiver.data(9, b"x")).contains("not asked for"));
        assert_eq!(told(receiver.announce(stat("c", 0o644, 1, ""))), "");
        assert!(told(receiver.data(2, b"xx")).contains("written to while it was sent"));
    }

    #[test]
    fn headers_are_ascii_whatever_the_names_are() {
        let wanted = |paths: &[&str]| Wanted {
            folder: "context".into(),
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            without: vec!["*.log".into()],
            spool: "spool".into(),
            told: None,
        };
        let mut headers = MetadataMap::new();
        describe(&mut headers, &wanted(&["a b", "é"])).expect("they can be written");
        let all = |name: &str| -> Vec<String> {
            headers.get_all(name).iter().map(|value| value.to_str().expect("ASCII").to_owned()).collect()
        };
        assert_eq!(all("followpaths"), ["a%20b", "%C3%A9"]);
        assert_eq!(all("followpaths-encoded"), ["1"]);
        assert_eq!(all("exclude-patterns"), ["*.log"]);
        assert_eq!(all("exclude-patterns-encoded"), [""; 0]);
    }
}
