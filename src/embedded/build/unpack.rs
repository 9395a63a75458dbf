//! `ADD` of an archive: what is in it, below a folder of a root file system.

use std::io::{self, Read};

use rustix::fs::FileType;
use tar::EntryType;

use super::writer::{Attributes, Contents, Writer};
use crate::embedded::compression::plain;

/// Enough of a file for the first header of an archive that is compressed: a block of bzip2 can only be read whole.
const BEGINNING: u64 = 1 << 20;

/// Whether a file is an archive that is unpacked.
pub(super) fn is_archive(mut file: impl Read) -> io::Result<bool> {
    let mut beginning = Vec::new();
    file.by_ref().take(BEGINNING).read_to_end(&mut beginning)?;
    let mut block = Vec::new();
    // What was cut off breaks the decompression behind the first header.
    drop(plain(&beginning[..])?.take(512).read_to_end(&mut block));
    let Ok(block) = <[u8; 512]>::try_from(block) else { return Ok(false) };
    Ok(is_header(&block))
}

/// Whether a block has the checksum of a tar's header.
fn is_header(block: &[u8; 512]) -> bool {
    let header = tar::Header::from_byte_slice(block);
    let sum: u32 = block[..148].iter().chain(&block[156..]).map(|byte| u32::from(*byte)).sum::<u32>() + 8 * 32;
    block[0] != 0 && header.cksum().is_ok_and(|expected| expected == sum)
}

/// Unpacks it below `folder`.
pub(super) fn unpack(
    writer: &mut Writer,
    file: impl Read,
    folder: &str,
    owner: Option<(u32, u32)>,
    mode: Option<u32>,
) -> io::Result<()> {
    writer.folder(folder)?;
    let mut archive = tar::Archive::new(plain(file)?);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let Some(path) = below(folder, &entry.path_bytes())? else { continue };
        let header = entry.header();
        let number = |number: io::Result<u64>| number.ok().and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
        let (uid, gid) = owner.unwrap_or((number(header.uid()), number(header.gid())));
        let mode = mode.unwrap_or(header.mode()? & 0o7777);
        let mtime = header.mtime().ok().and_then(|mtime| i64::try_from(mtime).ok()).unwrap_or(0);
        let attributes = Attributes { uid, gid, mode, mtime, mtime_nanoseconds: 0 };
        let device = rustix::fs::makedev(
            header.device_major().ok().flatten().unwrap_or(0),
            header.device_minor().ok().flatten().unwrap_or(0),
        );
        let link = entry.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
        match header.entry_type() {
            EntryType::Directory => writer.put_folder(&path, &attributes)?,
            EntryType::Symlink => writer.put_link(&path, &link, &attributes)?,
            EntryType::Link => {
                let target = below(folder, &link)?.unwrap_or_default();
                writer.put_hard_link(&path, &target)?;
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                writer.put_file(&path, &attributes, &mut Contents::Reader(&mut entry))?;
            }
            EntryType::Fifo => writer.put_node(&path, FileType::Fifo, 0, &attributes)?,
            EntryType::Char => writer.put_node(&path, FileType::CharacterDevice, device, &attributes)?,
            EntryType::Block => writer.put_node(&path, FileType::BlockDevice, device, &attributes)?,
            _ => {}
        }
    }
    Ok(())
}

/// A path of the archive below the folder; `None` for the folder itself.
fn below(folder: &str, path: &[u8]) -> io::Result<Option<String>> {
    let name = || String::from_utf8_lossy(path).escape_debug().to_string();
    let text = str::from_utf8(path).map_err(|_| io::Error::other(format!("the name `{}` is not UTF-8", name())))?;
    let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return Err(io::Error::other(format!("the archive is refused: `{}` leads out of it", name())));
    }
    Ok((!parts.is_empty()).then(|| format!("{folder}/{}", parts.join("/"))))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::{below, is_archive};

    #[test]
    fn an_archive_is_known_by_its_first_header() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_mode(0o644);
        builder.append_data(&mut header, "a", &b"abc"[..]).expect("it fits");
        let bytes = builder.into_inner().expect("it ends");
        assert_eq!(is_archive(&bytes[..]).ok(), Some(true));
        assert_eq!(is_archive(&[0_u8; 1024][..]).ok(), Some(false));
        assert_eq!(is_archive(&b"hello"[..]).ok(), Some(false));
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
        encoder.write_all(&bytes).expect("to memory");
        assert_eq!(is_archive(&encoder.finish().expect("to memory")[..]).ok(), Some(true));
        assert_eq!(is_archive(&b"\xfd7zXZ\0......"[..]).ok(), Some(false));
    }

    #[test]
    fn no_path_leads_out() {
        assert_eq!(below("/x", b"./a//b").ok(), Some(Some("/x/a/b".into())));
        assert_eq!(below("/x", b"./").ok(), Some(None));
        assert!(below("/x", b"a/../../b").is_err());
    }
}
