//! The keys that leave a terminal without ending what runs in it.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::answer::Refusal;

/// Looks for the keys in what is typed; what only begins like them is held back until it is clear.
#[derive(Debug)]
pub(super) struct Escape {
    keys: Vec<u8>,
    matched: usize,
}

impl Escape {
    /// From `ctrl-p,ctrl-q`, which they are when nothing is asked for.
    pub(super) fn new(keys: Option<&str>) -> Result<Self, Refusal> {
        let wrong = |key: &str| Refusal::invalid(format!("invalid detach keys: unknown character `{key}`"));
        let keys = keys.unwrap_or("ctrl-p,ctrl-q");
        let keys = keys.split(',').map(|key| code(key).ok_or_else(|| wrong(key))).collect::<Result<_, _>>()?;
        Ok(Self { keys, matched: 0 })
    }

    /// What is to be passed on of what was typed, and whether the keys were in it.
    pub(super) fn feed(&mut self, typed: &[u8]) -> (Bytes, bool) {
        let mut passed = BytesMut::with_capacity(typed.len() + self.matched);
        for &byte in typed {
            if byte != self.keys[self.matched] {
                passed.put_slice(&self.keys[..self.matched]);
                self.matched = 0;
            }
            if byte != self.keys[self.matched] {
                passed.put_u8(byte);
                continue;
            }
            self.matched += 1;
            if self.matched == self.keys.len() {
                self.matched = 0;
                return (passed.freeze(), true);
            }
        }
        (passed.freeze(), false)
    }
}

/// `a`, `ctrl-p`.
fn code(key: &str) -> Option<u8> {
    match *key.strip_prefix("ctrl-").unwrap_or_default().as_bytes() {
        [letter @ (b'a'..=b'z')] => return Some(letter - b'a' + 1),
        [sign @ (b'@' | b'[' | b'\\' | b']' | b'^' | b'_')] => return Some(sign - b'@'),
        _ => {}
    }
    match *key.as_bytes() {
        [byte] if byte.is_ascii() => Some(byte),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_leave_and_what_begins_like_them_is_passed_on() {
        let mut escape = Escape::new(None).unwrap();
        assert_eq!(escape.feed(b"ab"), (Bytes::from_static(b"ab"), false));
        assert_eq!(escape.feed(b"c\x10"), (Bytes::from_static(b"c"), false));
        assert_eq!(escape.feed(b"d"), (Bytes::from_static(b"\x10d"), false));
        assert_eq!(escape.feed(b"\x10\x10"), (Bytes::from_static(b"\x10"), false));
        assert_eq!(escape.feed(b"\x11e"), (Bytes::new(), true));
    }

    #[test]
    fn keys_are_named_as_docker_names_them() {
        assert_eq!(Escape::new(Some("a,ctrl-a,ctrl-],ctrl-@")).unwrap().keys, b"a\x01\x1d\0");
        for wrong in ["", "ctrl-", "ctrl-1", "ab", "é"] {
            assert!(Escape::new(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
