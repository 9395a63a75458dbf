//! Writing a tar: the same bytes for the same files, in the form that all tools read (`ustar`, with PAX records where that
//! has no room).

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use tar::{EntryType, Header};

use super::names::is_kept;

/// Bytes that are moved at once.
const BUFFER: usize = 256 * 1024;
/// What the fields of a header can hold.
const LONGEST_NAME: usize = 100;
const LARGEST_ID: u32 = 0o777_7777;
const LARGEST_SIZE: u64 = 0o777_7777_7777;

/// A tar that is being written.
pub(super) struct Tarball<W: Write> {
    out: io::BufWriter<W>,
    /// Files with several names that are in it under one: device and number.
    links: HashMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
}

/// What a header says.
struct Item<'a> {
    name: &'a [u8],
    kind: EntryType,
    mode: u32,
    owner: (u32, u32),
    time: u64,
    size: u64,
    link: &'a [u8],
    device: Option<(u32, u32)>,
    attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl<W: Write> Tarball<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out: io::BufWriter::with_capacity(BUFFER, out), links: HashMap::new(), buffer: vec![0; BUFFER] }
    }

    /// A file of the machine under a name; of a folder, itself only. A socket is left out.
    pub(super) fn file(&mut self, name: &[u8], path: &Path, metadata: &Metadata) -> io::Result<()> {
        let kind = metadata.file_type();
        let mut item = Item {
            name,
            kind: EntryType::Regular,
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
            time: u64::try_from(metadata.mtime()).unwrap_or(0),
            size: 0,
            link: b"",
            device: None,
            attributes: attributes(path)?,
        };
        let mut folder_name = name.to_owned();
        let target;
        let device = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
        if kind.is_dir() {
            if !folder_name.ends_with(b"/") {
                folder_name.push(b'/');
            }
            item.name = &folder_name;
            item.kind = EntryType::Directory;
        } else if kind.is_symlink() {
            target = std::fs::read_link(path)?;
            item.kind = EntryType::Symlink;
            item.link = target.as_os_str().as_bytes();
        } else if kind.is_socket() || self.linked(&mut item, metadata)? {
            return Ok(());
        } else if kind.is_file() {
            return self.regular(item, path);
        } else {
            (item.kind, item.device) = match () {
                () if kind.is_char_device() => (EntryType::Char, Some(device)),
                () if kind.is_block_device() => (EntryType::Block, Some(device)),
                () => (EntryType::Fifo, None),
            };
        }
        self.header(&item)
    }

    /// An empty file of nobody's, for a name that says something by itself.
    pub(super) fn mark(&mut self, name: &[u8], time: i64) -> io::Result<()> {
        self.header(&Item {
            name,
            kind: EntryType::Regular,
            mode: 0,
            owner: (0, 0),
            time: u64::try_from(time).unwrap_or(0),
            size: 0,
            link: b"",
            device: None,
            attributes: BTreeMap::new(),
        })
    }

    /// Ends it.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.write_all(&[0; 1024])?;
        self.out.flush()
    }

    /// Writes a link where the file is in the tar under another name; `false` where it is not.
    fn linked(&mut self, item: &mut Item<'_>, metadata: &Metadata) -> io::Result<bool> {
        if metadata.nlink() < 2 {
            return Ok(false);
        }
        let number = (metadata.dev(), metadata.ino());
        let Some(first) = self.links.get(&number).cloned() else {
            self.links.insert(number, item.name.to_owned());
            return Ok(false);
        };
        self.header(&Item {
            name: item.name,
            kind: EntryType::Link,
            link: &first,
            attributes: BTreeMap::new(),
            ..*item
        })?;
        Ok(true)
    }

    fn regular(&mut self, mut item: Item<'_>, path: &Path) -> io::Result<()> {
        let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
        let mut file = File::options().read(true).custom_flags(flags).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it became another kind of file"));
        }
        item.size = metadata.len();
        self.header(&item)?;
        let mut left = item.size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            let read = match file.read(&mut self.buffer[..most]) {
                // It has become shorter: the header has promised its length.
                Ok(0) => {
                    self.buffer[..most].fill(0);
                    most
                }
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.out.write_all(&self.buffer[..read])?;
            left -= read as u64;
        }
        self.pad(item.size)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let over = usize::try_from(size % 512).unwrap_or(0);
        if over > 0 { self.out.write_all(&[0; 512][over..]) } else { Ok(()) }
    }

    fn header(&mut self, item: &Item<'_>) -> io::Result<()> {
        let records = records(item);
        if !records.is_empty() {
            let mut header = Header::new_ustar();
            header.set_entry_type(EntryType::XHeader);
            header.as_old_mut().name[..11].copy_from_slice(b"PaxHeaders/");
            header.set_mode(0o644);
            header.set_size(records.len() as u64);
            header.set_mtime(item.time);
            header.set_uid(0);
            header.set_gid(0);
            header.set_cksum();
            self.out.write_all(header.as_bytes())?;
            self.out.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        let mut header = Header::new_ustar();
        let cut = |name: &mut [u8; LONGEST_NAME], text: &[u8]| {
            let length = text.len().min(LONGEST_NAME);
            name[..length].copy_from_slice(&text[..length]);
        };
        cut(&mut header.as_old_mut().name, item.name);
        cut(&mut header.as_old_mut().linkname, item.link);
        header.set_entry_type(item.kind);
        header.set_mode(item.mode);
        header.set_uid(item.owner.0.min(LARGEST_ID).into());
        header.set_gid(item.owner.1.min(LARGEST_ID).into());
        header.set_size(item.size.min(LARGEST_SIZE));
        header.set_mtime(item.time);
        let (major, minor) = item.device.unwrap_or_default();
        header.set_device_major(major)?;
        header.set_device_minor(minor)?;
        header.set_cksum();
        self.out.write_all(header.as_bytes())
    }
}

/// What the header has no room for, in a fixed order.
fn records(item: &Item<'_>) -> Vec<u8> {
    let mut all: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut add = |key: &str, value: Vec<u8>| drop(all.insert(key.into(), value));
    if item.name.len() > LONGEST_NAME {
        add("path", item.name.to_owned());
    }
    if item.link.len() > LONGEST_NAME {
        add("linkpath", item.link.to_owned());
    }
    if item.size > LARGEST_SIZE {
        add("size", item.size.to_string().into());
    }
    for (key, id) in [("uid", item.owner.0), ("gid", item.owner.1)] {
        if id > LARGEST_ID {
            add(key, id.to_string().into());
        }
    }
    for (name, value) in &item.attributes {
        all.insert([b"SCHILY.xattr.", name.as_slice()].concat(), value.clone());
    }
    all.iter().flat_map(|(key, value)| record(key, value)).collect()
}

/// `28 path=…` and a new line: the number counts all of it, itself included.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

/// The attributes of a file that go with it.
fn attributes(path: &Path) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut kept = BTreeMap::new();
    let names = match xattr::list(path) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(kept),
        Err(error) => return Err(error),
    };
    for name in names.filter(|name| is_kept(name.as_bytes())) {
        if let Some(value) = xattr::get(path, &name)? {
            kept.insert(name.as_bytes().to_owned(), value);
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        assert_eq!(record(b"path", b"x"), b"9 path=x\n".to_vec());
        let long = record(b"path", &[b'x'; 91]);
        assert_eq!((long.len(), &long[..4]), (101, b"101 ".as_slice()));
        let shorter = record(b"path", &[b'x'; 90]);
        assert_eq!(shorter.len().to_string().as_bytes(), &shorter[..shorter.len().to_string().len()]);
    }
}
