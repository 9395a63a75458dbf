//! How a layer or archive is compressed, told from its first bytes, and its plain bytes.

use std::io::{self, Read};

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// First bytes enough to tell.
const MAGIC: usize = 6;
/// KiB that a decoder of xz may take: its file says how many it wants, and four times `xz -9` is no honest wish.
const MOST_FOR_XZ: u32 = 256 * 1024;

/// A way of compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// None.
    Plain,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
}

impl Compression {
    /// By the first bytes.
    pub(crate) fn of(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            _ => Self::Plain,
        }
    }

    /// The media type of a layer compressed so.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
            Self::Bzip2 => "application/vnd.oci.image.layer.v1.tar+bzip2",
            Self::Xz => "application/vnd.oci.image.layer.v1.tar+xz",
        }
    }

    /// Whether other engines read a layer compressed so.
    pub(crate) fn is_common(self) -> bool {
        !matches!(self, Self::Bzip2 | Self::Xz)
    }
}

/// The plain bytes of what may be compressed. Blocking.
pub(crate) fn plain<R: Read>(mut source: R) -> io::Result<Plain<R>> {
    let mut first = Vec::with_capacity(MAGIC);
    source.by_ref().take(MAGIC as u64).read_to_end(&mut first)?;
    let compression = Compression::of(&first);
    let source = io::Cursor::new(first).chain(source);
    Ok(Plain(match compression {
        Compression::Plain => Decoder::Plain(source),
        Compression::Gzip => Decoder::Gzip(MultiGzDecoder::new(source)),
        Compression::Zstd => {
            let source = io::BufReader::new(source);
            Decoder::Zstd(Box::new(Zstd { source, decoder: FrameDecoder::new(), inside: false }))
        }
        Compression::Bzip2 => Decoder::Bzip2(MultiBzDecoder::new(source)),
        Compression::Xz => {
            let source = io::BufReader::new(source);
            Decoder::Xz(Box::new(XzReader::new_mem_limit(source, true, MOST_FOR_XZ)))
        }
    }))
}

/// What [`plain`] returns.
pub(crate) struct Plain<R: Read>(Decoder<R>);

/// A source whose first bytes have been looked at.
type Source<R> = io::Chain<io::Cursor<Vec<u8>>, R>;

enum Decoder<R: Read> {
    Plain(Source<R>),
    Gzip(MultiGzDecoder<Source<R>>),
    Zstd(Box<Zstd<io::BufReader<Source<R>>>>),
    Bzip2(MultiBzDecoder<Source<R>>),
    Xz(Box<XzReader<io::BufReader<Source<R>>>>),
}

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Decoder::Plain(source) => source.read(buffer),
            Decoder::Gzip(decoder) => decoder.read(buffer),
            Decoder::Zstd(decoder) => decoder.read(buffer),
            Decoder::Bzip2(decoder) => decoder.read(buffer),
            Decoder::Xz(decoder) => decoder.read(buffer).map_err(|error| match error.kind() {
                io::ErrorKind::OutOfMemory => {
                    let hint = "compress it with `xz -9` or less";
                    invalid(format!("it needs more than {} MiB to be read; {hint}", MOST_FOR_XZ / 1024))
                }
                _ => error,
            }),
        }
    }
}

/// All frames of a Zstandard stream, one after the other; those meant for other readers are skipped.
struct Zstd<R> {
    source: R,
    decoder: FrameDecoder,
    /// Whether a frame has begun and not ended.
    inside: bool,
}

impl<R: Read> Zstd<R> {
    /// Begins the next frame; false at the end of the stream.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            let mut magic = Vec::with_capacity(4);
            self.source.by_ref().take(4).read_to_end(&mut magic)?;
            if magic.is_empty() {
                return Ok(false);
            }
            if !matches!(magic[..], [0x50..=0x5f, 0x2a, 0x4d, 0x18]) {
                let mut whole = io::Cursor::new(magic).chain(self.source.by_ref());
                self.decoder.reset(&mut whole).map_err(invalid)?;
                self.inside = true;
                return Ok(true);
            }
            let mut length = [0_u8; 4];
            self.source.read_exact(&mut length)?;
            let length = u64::from(u32::from_le_bytes(length));
            if io::copy(&mut self.source.by_ref().take(length), &mut io::sink())? < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.inside && !self.next_frame()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder.decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1)).map_err(invalid)?;
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.inside = false;
        }
    }
}

fn invalid(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn unpacked(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        plain(io::Cursor::new(bytes))?.read_to_end(&mut text)?;
        Ok(text)
    }

    #[test]
    fn gzip_of_several_members_is_read_to_its_end() {
        let mut bytes = Vec::new();
        for part in ["one ", "two"] {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(part.as_bytes()).expect("to memory");
            bytes.extend(encoder.finish().expect("to memory"));
        }
        assert_eq!(unpacked(bytes).expect("good gzip"), b"one two");
    }

    #[test]
    fn zstandard_of_several_frames_is_read_to_its_end() {
        let frame = |text: &str| {
            ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest)
        };
        let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
        let bytes = [frame("one "), skipped, frame("two")].concat();
        assert_eq!(unpacked(bytes.clone()).expect("good zstd"), b"one two");
        assert!(unpacked(bytes[..bytes.len() - 2].to_vec()).is_err());
    }

    #[test]
    fn what_is_not_compressed_comes_as_it_is() {
        assert_eq!(unpacked(b"tar".to_vec()).expect("plain"), b"tar");
        assert_eq!(unpacked(Vec::new()).expect("nothing"), b"");
    }

    #[test]
    fn bzip2_of_several_streams_is_read_to_its_end() {
        let mut bytes = Vec::new();
        for part in ["one ", "two"] {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(part.as_bytes()).expect("to memory");
            bytes.extend(encoder.finish().expect("to memory"));
        }
        assert_eq!(unpacked(bytes.clone()).expect("good bzip2"), b"one two");
        assert!(unpacked(bytes[..bytes.len() - 4].to_vec()).is_err());
    }

    /// `one two`, compressed by `xz -9e`.
    const XZ: [u8; 64] = [
        0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02, 0x00, 0x21, 0x01, 0x1c, 0x00,
        0x00, 0x00, 0x10, 0xcf, 0x58, 0xcc, 0x01, 0x00, 0x06, 0x6f, 0x6e, 0x65, 0x20, 0x74, 0x77, 0x6f, 0x00, 0x00,
        0x38, 0x32, 0x64, 0x95, 0x8b, 0x58, 0x23, 0x7c, 0x00, 0x01, 0x1f, 0x07, 0x16, 0x2e, 0xb8, 0x73, 0x1f, 0xb6,
        0xf3, 0x7d, 0x01, 0x00, 0x00, 0x00, 0x00, 0x04, 0x59, 0x5a,
    ];

    #[test]
    fn xz_of_several_streams_is_read_to_its_end() {
        assert_eq!(unpacked([XZ, XZ].concat()).expect("good xz"), b"one twoone two");
        assert!(unpacked(XZ[..60].to_vec()).is_err());
    }

    #[test]
    fn an_xz_that_wants_more_memory_than_is_fair_is_refused() {
        let mut bytes = XZ.to_vec();
        // A dictionary of 1.5 GiB, and the checksum of the header that says so.
        bytes[16] = 0x25;
        bytes[20..24].copy_from_slice(&[0x3b, 0x78, 0x7b, 0x41]);
        let error = unpacked(bytes).expect_err("it is too much").to_string();
        assert!(error.contains("256 MiB"), "{error}");
    }
}
