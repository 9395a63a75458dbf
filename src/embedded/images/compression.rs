//! How a layer or archive is compressed, told from its first bytes.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// First bytes enough to tell.
const MAGIC: usize = 6;

/// A way of compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// None.
    Plain,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// By the first bytes. What is recognised but not understood is an error that names it.
    pub(crate) fn of(first: &[u8]) -> io::Result<Self> {
        let unknown = |name: &str, tool: &str| {
            let text = format!("it is compressed with {name}, which this engine does not read; use `{tool}` first");
            Err(io::Error::new(io::ErrorKind::Unsupported, text))
        };
        match first {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [b'B', b'Z', b'h', ..] => unknown("bzip2", "bunzip2"),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => unknown("xz", "unxz"),
            _ => Ok(Self::Plain),
        }
    }

    /// The media type of a layer compressed so.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// The plain bytes of what may be compressed. Blocking.
pub(crate) fn plain<R: Read + Send + 'static>(mut source: R) -> io::Result<Box<dyn Read + Send>> {
    let mut first = Vec::with_capacity(MAGIC);
    source.by_ref().take(MAGIC as u64).read_to_end(&mut first)?;
    let compression = Compression::of(&first)?;
    let source = io::Cursor::new(first).chain(source);
    Ok(match compression {
        Compression::Plain => Box::new(source),
        Compression::Gzip => Box::new(MultiGzDecoder::new(source)),
        Compression::Zstd => {
            Box::new(Zstd { source: io::BufReader::new(source), decoder: FrameDecoder::new(), inside: false })
        }
    })
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
    fn an_unknown_compression_is_named() {
        let error = unpacked(b"BZh9....".to_vec()).expect_err("not read here");
        assert!(error.to_string().contains("bzip2"), "{error}");
    }
}
