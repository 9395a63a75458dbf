//! Pure: lines of a `json-file` log → output, in batches of one stream.

use bytes::{Bytes, BytesMut};
use chrono::DateTime;
use serde::Deserialize;

use crate::embedded::process::{Output, Source};

/// Bytes at which a batch is handed on.
const BATCH: usize = 64 << 10;

/// Which lines are wanted, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    /// Nanoseconds since 1970.
    pub(super) since: Option<i64>,
    pub(super) until: Option<i64>,
    pub(super) timestamps: bool,
}

/// Collects lines.
#[derive(Debug, Default)]
pub(super) struct Batches {
    full: Vec<Output>,
    bytes: BytesMut,
    source: Option<Source>,
    /// A line was newer than `until`: nothing that follows is wanted.
    pub(super) past: bool,
}

/// A line in a form that is not quite the usual one.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    log: String,
    #[serde(default)]
    stream: String,
    #[serde(default)]
    time: String,
}

impl Batches {
    /// Takes in a line without its end. One that makes no sense, cut short by a crash, is left out.
    pub(super) fn add(&mut self, line: &[u8], wanted: &Wanted) {
        if let Some((text, source, time)) = split(line) {
            if self.is_wanted(source, time, wanted) {
                self.begin(source, time, wanted);
                unescape(text, &mut self.bytes);
            }
            return;
        }
        let Ok(line) = serde_json::from_slice::<Line>(line) else { return };
        let source = if line.stream == "stderr" { Source::Stderr } else { Source::Stdout };
        if self.is_wanted(source, line.time.as_bytes(), wanted) {
            self.begin(source, line.time.as_bytes(), wanted);
            self.bytes.extend_from_slice(line.log.as_bytes());
        }
    }

    /// All that was collected.
    pub(super) fn take(&mut self) -> Vec<Output> {
        self.flush();
        std::mem::take(&mut self.full)
    }

    fn is_wanted(&mut self, source: Source, time: &[u8], wanted: &Wanted) -> bool {
        if wanted.since.is_some() || wanted.until.is_some() {
            let Some(time) = nanoseconds(time) else { return true };
            if wanted.until.is_some_and(|until| time > until) {
                self.past = true;
                return false;
            }
            if wanted.since.is_some_and(|since| time < since) {
                return false;
            }
        }
        match source {
            Source::Stdout => wanted.stdout,
            Source::Stderr => wanted.stderr,
        }
    }

    fn begin(&mut self, source: Source, time: &[u8], wanted: &Wanted) {
        if self.source != Some(source) || self.bytes.len() >= BATCH {
            self.flush();
            self.source = Some(source);
        }
        if wanted.timestamps {
            timestamp(time, &mut self.bytes);
        }
    }

    fn flush(&mut self) {
        if let Some(source) = self.source
            && !self.bytes.is_empty()
        {
            let bytes: Bytes = std::mem::take(&mut self.bytes).freeze();
            self.full.push(Output { source, bytes });
            self.bytes.reserve(BATCH + BATCH / 4);
        }
    }
}

/// `{"log":"…","stream":"…","time":"…"}` without looking at more than is needed: text (still escaped), stream and time.
fn split(line: &[u8]) -> Option<(&[u8], Source, &[u8])> {
    let rest = line.strip_prefix(b"{\"log\":\"")?;
    let mut at = 0;
    loop {
        at += rest[at..].iter().position(|byte| *byte == b'"' || *byte == b'\\')?;
        if rest[at] == b'"' {
            break;
        }
        // What follows a backslash is no end.
        at += 2;
        if at > rest.len() {
            return None;
        }
    }
    let (text, rest) = rest.split_at(at);
    let rest = rest.strip_prefix(b"\",\"stream\":\"")?;
    let (source, rest) = match rest.strip_prefix(b"stdout\",\"time\":\"") {
        Some(rest) => (Source::Stdout, rest),
        None => (Source::Stderr, rest.strip_prefix(b"stderr\",\"time\":\"")?),
    };
    let time = rest.strip_suffix(b"\"}")?;
    time.iter().all(|byte| *byte != b'"' && *byte != b'\\').then_some((text, source, time))
}

/// The text that JSON has escaped.
fn unescape(mut text: &[u8], into: &mut BytesMut) {
    while let Some(at) = text.iter().position(|byte| *byte == b'\\') {
        into.extend_from_slice(&text[..at]);
        let Some(letter) = text.get(at + 1) else { return };
        text = &text[at + 2..];
        let plain = match letter {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' => 8,
            b'f' => 12,
            b'u' => {
                let (letter, length) = unicode(text);
                let mut buffer = [0; 4];
                into.extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
                text = &text[length..];
                continue;
            }
            other => *other,
        };
        into.extend_from_slice(&[plain]);
    }
    into.extend_from_slice(text);
}

/// The letter after `\u`, with the second half of a pair, and how many bytes that took.
fn unicode(text: &[u8]) -> (char, usize) {
    let number = |from: usize| {
        let digits = text.get(from..from + 4)?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let Some(first) = number(0) else { return (char::REPLACEMENT_CHARACTER, text.len().min(4)) };
    if (0xd800..0xdc00).contains(&first)
        && text.get(4..6) == Some(b"\\u")
        && let Some(second) = number(6).filter(|second| (0xdc00..0xe000).contains(second))
    {
        let letter = char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00));
        return (letter.unwrap_or(char::REPLACEMENT_CHARACTER), 10);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 4)
}

fn nanoseconds(time: &[u8]) -> Option<i64> {
    let time = DateTime::parse_from_rfc3339(std::str::from_utf8(time).ok()?).ok()?;
    time.timestamp_nanos_opt()
}

/// Always with nine digits, so that lines stand below each other.
fn timestamp(time: &[u8], into: &mut BytesMut) {
    let Some(plain) = time.strip_suffix(b"Z") else {
        into.extend_from_slice(time);
        into.extend_from_slice(b" ");
        return;
    };
    into.extend_from_slice(plain);
    let digits = plain.iter().rev().position(|byte| *byte == b'.');
    if digits.is_none() {
        into.extend_from_slice(b".");
    }
    let digits = digits.unwrap_or(0);
    into.extend_from_slice(&b"000000000"[digits.min(9)..]);
    into.extend_from_slice(b"Z ");
}

#[cfg(test)]
mod tests {
    use super::{Batches, Wanted};
    use crate::embedded::process::Source;

    fn all() -> Wanted {
        Wanted { stdout: true, stderr: true, ..Default::default() }
    }

    fn shown(lines: &[&str], wanted: &Wanted) -> Vec<String> {
        let mut batches = Batches::default();
        for line in lines {
            batches.add(line.as_bytes(), wanted);
        }
        let mark = |source| if source == Source::Stdout { "o" } else { "e" };
        batches
            .take()
            .iter()
            .map(|output| format!("{}:{}", mark(output.source), String::from_utf8_lossy(&output.bytes)))
            .collect()
    }

    const ONE: &str = r#"{"log":"one\n","stream":"stdout","time":"2026-01-02T03:04:05.5Z"}"#;
    const TWO: &str = r#"{"log":"two\n","stream":"stdout","time":"2026-01-02T03:04:06Z"}"#;
    const ERROR: &str = r#"{"log":"no\n","stream":"stderr","time":"2026-01-02T03:04:07.123456789Z"}"#;

    #[test]
    fn lines_of_one_stream_come_together() {
        assert_eq!(shown(&[ONE, TWO, ERROR], &all()), ["o:one\ntwo\n", "e:no\n"]);
        assert_eq!(shown(&[ONE, TWO, ERROR], &Wanted { stdout: false, ..all() }), ["e:no\n"]);
    }

    #[test]
    fn times_have_nine_digits() {
        let wanted = Wanted { timestamps: true, ..all() };
        assert_eq!(
            shown(&[ONE, TWO, ERROR], &wanted),
            [
                "o:2026-01-02T03:04:05.500000000Z one\n2026-01-02T03:04:06.000000000Z two\n",
                "e:2026-01-02T03:04:07.123456789Z no\n"
            ]
        );
    }

    #[test]
    fn a_span_of_time_can_be_chosen() {
        let second =
            chrono::DateTime::parse_from_rfc3339("2026-01-02T03:04:06Z").expect("a time").timestamp_nanos_opt();
        assert_eq!(shown(&[ONE, TWO, ERROR], &Wanted { since: second, ..all() }), ["o:two\n", "e:no\n"]);
        assert_eq!(shown(&[ONE, TWO, ERROR], &Wanted { until: second, ..all() }), ["o:one\ntwo\n"]);
    }

    #[test]
    fn escapes_are_undone_and_nonsense_is_left_out() {
        let line = r#"{"log":"a\"b\\\u0041\ud83d\ude00\u001b\t\n","stream":"stdout","time":"2026-01-02T03:04:06Z"}"#;
        assert_eq!(shown(&[line], &all()), ["o:a\"b\\A😀\u{1b}\t\n"]);
        let odd = r#"{"stream":"stderr","log":"x","attrs":{"a":"b"},"time":"2026-01-02T03:04:06Z"}"#;
        assert_eq!(shown(&["{\"log\":\"cut", odd, "", "\\"], &all()), ["e:x"]);
    }
}
