//! What a shim and a daemon say to each other: frames of a kind, a length and bytes, over a Unix socket. Both sides may be
//! of different ages, because a daemon can be replaced while its containers run; the first frame names the version.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Source;

/// Of this exchange. A shim refuses another one.
pub(super) const VERSION: u32 = 1;

/// Longest frame; a longer one is a mistake or an attack and ends the connection.
const LONGEST: usize = 1 << 20;

/// Kind and length.
const HEADER: usize = 5;

/// What a client wants of a shim: its first frame.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Hello {
    /// [`VERSION`].
    pub(super) version: u32,
    /// Whether output is to be sent.
    pub(super) attach: bool,
}

/// What a shim says of its container once it runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Started {
    /// The first process, on the machine.
    pub(super) pid: u32,
    /// Since when.
    pub(super) at: DateTime<Utc>,
    /// Whether input is taken.
    pub(super) input: bool,
}

/// Why there is no process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Failure {
    /// For people.
    pub(super) text: String,
    /// 127 for a program that is not there, 126 for one that cannot be executed, 128 for everything else.
    pub(super) code: i64,
}

/// Kinds of frames. The numbers are fixed for a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// To the shim: [`Hello`], or the command of an exec.
    Hello = 0,
    /// To it: bytes for standard input.
    Input = 1,
    /// To it: no more of them.
    InputEnd = 2,
    /// To it: columns and rows, two bytes each.
    Resize = 3,
    /// To it: a signal's number, four bytes.
    Signal = 4,
    /// From it: [`Started`].
    Started = 16,
    /// From it: [`Failure`]; the last frame.
    Failed = 17,
    /// From it.
    Stdout = 18,
    /// From it.
    Stderr = 19,
    /// From it: a `Resize` or `Signal` has been carried out.
    Done = 20,
    /// From it: it has not; why, as text.
    Refused = 21,
    /// From it: [`super::Exit`]; the last frame.
    Exit = 22,
    /// From it: likewise, before what is left of the container is taken away. Not all shims say so.
    Ended = 23,
}

impl Kind {
    fn of(number: u8) -> Option<Self> {
        const ALL: [Kind; 13] = [
            Kind::Hello,
            Kind::Input,
            Kind::InputEnd,
            Kind::Resize,
            Kind::Signal,
            Kind::Started,
            Kind::Failed,
            Kind::Stdout,
            Kind::Stderr,
            Kind::Done,
            Kind::Refused,
            Kind::Exit,
            Kind::Ended,
        ];
        ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// Of output.
    pub(super) fn output(source: Source) -> Self {
        match source {
            Source::Stdout => Self::Stdout,
            Source::Stderr => Self::Stderr,
        }
    }
}

/// A whole frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// What it is.
    pub(super) kind: Kind,
    /// What it carries.
    pub(super) bytes: Vec<u8>,
}

impl Frame {
    /// What a frame of JSON says; `None` when it is not what it should be.
    pub(super) fn json<T: for<'a> Deserialize<'a>>(&self) -> Option<T> {
        serde_json::from_slice(&self.bytes).ok()
    }
}

/// A stream that is no exchange of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it does not speak this program's protocol")]
pub(super) struct Garbled;

/// Appends a frame; `bytes` longer than a frame may be become several.
pub(super) fn put(buffer: &mut Vec<u8>, kind: Kind, bytes: &[u8]) {
    let mut put_one = |part: &[u8]| {
        let length = u32::try_from(part.len()).expect("a part is at most LONGEST bytes");
        buffer.push(kind as u8);
        buffer.extend_from_slice(&length.to_le_bytes());
        buffer.extend_from_slice(part);
    };
    if bytes.is_empty() {
        put_one(bytes);
    }
    bytes.chunks(LONGEST).for_each(put_one);
}

/// A frame of JSON.
pub(super) fn put_json(buffer: &mut Vec<u8>, kind: Kind, value: &impl Serialize) {
    put(buffer, kind, &serde_json::to_vec(value).expect("the exchange's own types have no maps with odd keys"));
}

/// A frame on its own.
pub(super) fn one(kind: Kind, bytes: &[u8]) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(HEADER + bytes.len());
    put(&mut buffer, kind, bytes);
    buffer
}

/// The size of a terminal: columns and rows.
pub(super) fn size(columns: u16, rows: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (columns.to_le_bytes(), rows.to_le_bytes());
    [a, b, c, d]
}

/// Columns and rows.
pub(super) fn size_of(bytes: &[u8]) -> Option<(u16, u16)> {
    let &[a, b, c, d] = bytes else { return None };
    Some((u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])))
}

/// Frames out of bytes as they come.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    bytes: Vec<u8>,
    taken: usize,
}

impl Decoder {
    /// More bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.taken == self.bytes.len() {
            self.bytes.clear();
        } else if self.taken > LONGEST {
            self.bytes.drain(..self.taken);
        } else {
            self.bytes.extend_from_slice(bytes);
            return;
        }
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Garbled> {
        let rest = &self.bytes[self.taken..];
        let Some((&[kind, a, b, c, d], rest)) = rest.split_first_chunk::<HEADER>() else { return Ok(None) };
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let kind = Kind::of(kind).filter(|_| length <= LONGEST).ok_or(Garbled)?;
        let Some(bytes) = rest.get(..length) else { return Ok(None) };
        let frame = Frame { kind, bytes: bytes.to_vec() };
        self.taken += HEADER + length;
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_however_the_bytes_arrive() {
        let mut bytes = one(Kind::Input, b"abc");
        put(&mut bytes, Kind::InputEnd, b"");
        put(&mut bytes, Kind::Resize, &size(80, 24));
        for step in 1..bytes.len() {
            let mut decoder = Decoder::default();
            let mut frames = Vec::new();
            for chunk in bytes.chunks(step) {
                decoder.feed(chunk);
                while let Some(frame) = decoder.next().expect("the frames are well-formed") {
                    frames.push(frame);
                }
            }
            assert_eq!(frames.len(), 3, "in steps of {step}");
            assert_eq!(frames[0], Frame { kind: Kind::Input, bytes: b"abc".to_vec() });
            assert_eq!(size_of(&frames[2].bytes), Some((80, 24)));
        }
    }

    #[test]
    fn a_frame_of_no_kind_or_too_long_is_refused() {
        let mut decoder = Decoder::default();
        decoder.feed(&[99, 0, 0, 0, 0]);
        assert_eq!(decoder.next(), Err(Garbled));
        let mut decoder = Decoder::default();
        decoder.feed(&[1, 255, 255, 255, 255]);
        assert_eq!(decoder.next(), Err(Garbled));
    }
}
