//! Pure: where one exchange of HTTP/1 has ended and the next has not begun, told from the bytes that pass by.
//!
//! Nothing is changed and nothing of a body is kept. Whatever leaves a doubt is taken for a protocol of which nothing is
//! known, for good: then no moment is one at which the connection could change hands.

use std::collections::VecDeque;

use httparse::{EMPTY_HEADER, Header, Request, Response, Status};

/// Bytes and fields of a head.
const LARGEST_HEAD: usize = 64 * 1024;
const MOST_FIELDS: usize = 128;
/// Bytes of the line before a chunk, and of the fields after the last one.
const LONGEST_SIZE: usize = 1024;
const LARGEST_TRAILER: usize = 16 * 1024;
/// Bytes of a method.
const LONGEST_METHOD: usize = 24;
/// Requests that wait for their answers.
const MOST_ASKED: usize = 128;

/// Where a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Not a byte has passed.
    Fresh,
    /// Every request has its answer, and no further one has begun.
    Between,
    /// Within an exchange, or after one with which the connection ends.
    Within,
    /// It is not followed any more: another protocol, or something odd.
    Opaque,
}

/// Follows one connection.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    requests: Part,
    answers: Part,
    /// The requests without a whole head of an answer, oldest first.
    asked: VecDeque<Asked>,
    begun: bool,
    /// With the exchange that is under way the connection ends.
    last: bool,
    opaque: bool,
}

/// What matters of a request to its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Head,
    Connect,
    Other,
}

/// What comes next in one direction.
#[derive(Debug)]
enum Part {
    /// A head, of which so much is there; nothing of it between two messages.
    Head { bytes: Vec<u8>, line: usize },
    /// So many bytes of a body.
    Body(u64),
    /// The line before a chunk.
    Size(Vec<u8>),
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The end of its line; whether the carriage return is there.
    ChunkEnd(bool),
    /// Fields after the last chunk: bytes of the line, and of all lines.
    Trailer { line: usize, all: usize },
    /// A body that ends with the connection.
    Rest,
}

impl Default for Part {
    fn default() -> Self {
        Self::Head { bytes: Vec::new(), line: 0 }
    }
}

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Unsaid,
    Bytes(u64),
    Chunks,
}

/// It cannot be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Doubt;

impl Tracker {
    /// Where the connection is now.
    pub(crate) fn place(&self) -> Place {
        if self.opaque {
            Place::Opaque
        } else if !self.begun {
            Place::Fresh
        } else if self.asked.is_empty() && self.requests.is_between() && self.answers.is_between() && !self.last {
            Place::Between
        } else {
            Place::Within
        }
    }

    /// Bytes of the client.
    pub(crate) fn sent(&mut self, bytes: &[u8]) {
        self.follow(bytes, Self::sent_some);
    }

    /// Bytes of the server.
    pub(crate) fn answered(&mut self, bytes: &[u8]) {
        self.follow(bytes, Self::answered_some);
    }

    fn follow(&mut self, mut bytes: &[u8], some: impl Fn(&mut Self, &[u8]) -> Result<usize, Doubt>) {
        self.begun |= !bytes.is_empty();
        while !self.opaque && !bytes.is_empty() {
            match some(self, bytes) {
                Ok(taken) => bytes = &bytes[taken..],
                Err(Doubt) => *self = Self { begun: true, opaque: true, ..Self::default() },
            }
        }
    }

    /// Takes in some bytes of the client; how many.
    fn sent_some(&mut self, bytes: &[u8]) -> Result<usize, Doubt> {
        let (taken, head) = self.requests.take(bytes, is_request_line)?;
        if let Some(head) = head {
            let mut fields = [EMPTY_HEADER; MOST_FIELDS];
            let mut request = Request::new(&mut fields);
            whole(request.parse(&head), head.len())?;
            let length = length(request.headers)?;
            self.last |= !persists(request.version, request.headers);
            self.asked.push_back(match request.method {
                Some("HEAD") => Asked::Head,
                Some("CONNECT") => Asked::Connect,
                _ => Asked::Other,
            });
            if self.asked.len() > MOST_ASKED {
                return Err(Doubt);
            }
            self.requests = match length {
                Length::Chunks if request.version == Some(0) => return Err(Doubt),
                Length::Unsaid => Part::default(),
                length => Part::body(length),
            };
        }
        Ok(taken)
    }

    /// Takes in some bytes of the server; how many.
    fn answered_some(&mut self, bytes: &[u8]) -> Result<usize, Doubt> {
        let (taken, head) = self.answers.take(bytes, is_status_line)?;
        if let Some(head) = head {
            let mut fields = [EMPTY_HEADER; MOST_FIELDS];
            let mut answer = Response::new(&mut fields);
            whole(answer.parse(&head), head.len())?;
            let asked = *self.asked.front().ok_or(Doubt)?;
            let length = length(answer.headers)?;
            let code = answer.code.ok_or(Doubt)?;
            match code {
                101 => return Err(Doubt),
                // Word that the answer is still to come.
                100..200 => return Ok(taken),
                200..300 if asked == Asked::Connect => return Err(Doubt),
                _ => {}
            }
            self.asked.pop_front();
            self.last |= !persists(answer.version, answer.headers);
            self.answers = match length {
                _ if asked == Asked::Head || code == 204 || code == 304 => Part::default(),
                Length::Chunks if answer.version == Some(0) => return Err(Doubt),
                Length::Unsaid => Part::Rest,
                length => Part::body(length),
            };
        }
        Ok(taken)
    }
}

impl Part {
    fn body(length: Length) -> Self {
        match length {
            Length::Unsaid | Length::Bytes(0) => Self::default(),
            Length::Bytes(bytes) => Self::Body(bytes),
            Length::Chunks => Self::Size(Vec::new()),
        }
    }

    fn is_between(&self) -> bool {
        matches!(self, Self::Head { bytes, .. } if bytes.is_empty())
    }

    /// Takes in some bytes: how many, and the head when with them it is whole.
    fn take(
        &mut self,
        bytes: &[u8],
        begins: impl Fn(&[u8], bool) -> Result<(), Doubt>,
    ) -> Result<(usize, Option<Vec<u8>>), Doubt> {
        match self {
            Self::Head { bytes: head, line } => take_head(head, line, bytes, begins),
            Self::Rest => Ok((bytes.len(), None)),
            Self::Body(left) => {
                let taken = skip(left, bytes);
                if *left == 0 {
                    *self = Self::default();
                }
                Ok((taken, None))
            }
            Self::Chunk(left) => {
                let taken = skip(left, bytes);
                if *left == 0 {
                    *self = Self::ChunkEnd(false);
                }
                Ok((taken, None))
            }
            Self::ChunkEnd(returned) => {
                match (bytes[0], *returned) {
                    (b'\r', false) => *returned = true,
                    (b'\n', true) => *self = Self::Size(Vec::new()),
                    _ => return Err(Doubt),
                }
                Ok((1, None))
            }
            Self::Size(line) => {
                let (taken, ended) = take_line(line, bytes, LONGEST_SIZE)?;
                if ended {
                    *self = match chunk_size(line)? {
                        0 => Self::Trailer { line: 0, all: 0 },
                        size => Self::Chunk(size),
                    };
                }
                Ok((taken, None))
            }
            Self::Trailer { line, all } => {
                let end = bytes.iter().position(|byte| *byte == b'\n');
                let taken = end.map_or(bytes.len(), |end| end + 1);
                *all += taken;
                if *all > LARGEST_TRAILER {
                    return Err(Doubt);
                }
                *line += bytes[..taken].iter().filter(|byte| !matches!(byte, b'\r' | b'\n')).count();
                if end.is_some() && std::mem::take(line) == 0 {
                    *self = Self::default();
                }
                Ok((taken, None))
            }
        }
    }
}

/// Takes bytes of a head up to the empty line after it. `begins` looks at the first line as far as it is there.
fn take_head(
    head: &mut Vec<u8>,
    line: &mut usize,
    bytes: &[u8],
    begins: impl Fn(&[u8], bool) -> Result<(), Doubt>,
) -> Result<(usize, Option<Vec<u8>>), Doubt> {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let taken = end.map_or(bytes.len(), |end| end + 1);
    head.extend_from_slice(&bytes[..taken]);
    if head.len() > LARGEST_HEAD {
        return Err(Doubt);
    }
    if *line == 0 {
        begins(head, end.is_some())?;
    }
    if end.is_none() {
        return Ok((taken, None));
    }
    if matches!(&head[*line..], b"\r\n" | b"\n") {
        *line = 0;
        let whole = std::mem::take(head);
        // An empty line before the first is nothing.
        return Ok((taken, Some(whole).filter(|whole| whole.len() > 2)));
    }
    *line = head.len();
    Ok((taken, None))
}

/// Takes bytes up to the end of a line, without it.
fn take_line(line: &mut Vec<u8>, bytes: &[u8], longest: usize) -> Result<(usize, bool), Doubt> {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    line.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
    if line.len() > longest {
        return Err(Doubt);
    }
    match end {
        None => Ok((bytes.len(), false)),
        Some(_) if line.pop() != Some(b'\r') => Err(Doubt),
        Some(end) => Ok((end + 1, true)),
    }
}

fn skip(left: &mut u64, bytes: &[u8]) -> usize {
    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= taken as u64;
    taken
}

/// Of `1a2b` and `1a2b;name=value`.
fn chunk_size(line: &[u8]) -> Result<u64, Doubt> {
    let digits = line.split(|byte| matches!(byte, b';' | b' ' | b'\t')).next().unwrap_or_default();
    let text = std::str::from_utf8(digits).map_err(|_| Doubt)?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Doubt);
    }
    u64::from_str_radix(text, 16).map_err(|_| Doubt)
}

/// Whether the first line of a request is one, as far as it goes.
fn is_request_line(line: &[u8], ended: bool) -> Result<(), Doubt> {
    if matches!(line, b"\r" | b"\r\n" | b"\n") {
        return Ok(());
    }
    let method = line.iter().take_while(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_')).count();
    let is_method = (1..=LONGEST_METHOD).contains(&method) && line.get(method).is_none_or(|byte| *byte == b' ');
    let has_version = [b" HTTP/1.1".as_slice(), b" HTTP/1.0"].iter().any(|end| line.trim_ascii_end().ends_with(end));
    if is_method && (!ended || has_version) { Ok(()) } else { Err(Doubt) }
}

/// The same of an answer.
fn is_status_line(line: &[u8], ended: bool) -> Result<(), Doubt> {
    const BEGINNING: &[u8] = b"HTTP/1.";
    let there = line.len().min(BEGINNING.len());
    if line[..there] == BEGINNING[..there] && (!ended || line.len() > BEGINNING.len()) { Ok(()) } else { Err(Doubt) }
}

/// A head that was cut where the parser sees its end.
fn whole(parsed: httparse::Result<usize>, length: usize) -> Result<(), Doubt> {
    match parsed {
        Ok(Status::Complete(parsed)) if parsed == length => Ok(()),
        _ => Err(Doubt),
    }
}

fn values<'a>(fields: &'a [Header<'_>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let named = fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
    named.map(|field| field.value.trim_ascii())
}

/// What the fields say of the body. What two programs may read in two ways is no answer.
fn length(fields: &[Header<'_>]) -> Result<Length, Doubt> {
    let mut codings = values(fields, "transfer-encoding");
    let mut lengths = values(fields, "content-length");
    match (codings.next(), codings.next(), lengths.next(), lengths.next()) {
        (None, _, None, _) => Ok(Length::Unsaid),
        (None, _, Some(text), None) => {
            let text = std::str::from_utf8(text).map_err(|_| Doubt)?;
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| is_number).map(Length::Bytes).ok_or(Doubt)
        }
        (Some(coding), None, None, _) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Length::Chunks),
        _ => Err(Doubt),
    }
}

/// Whether the connection outlives the message.
fn persists(version: Option<u8>, fields: &[Header<'_>]) -> bool {
    let says = |word: &[u8]| {
        let options = values(fields, "connection").flat_map(|value| value.split(|byte| *byte == b','));
        options.into_iter().any(|option| option.trim_ascii().eq_ignore_ascii_case(word))
    };
    match version {
        Some(0) => says(b"keep-alive") && !says(b"close"),
        _ => !says(b"close"),
    }
}

#[cfg(test)]
mod tests;
