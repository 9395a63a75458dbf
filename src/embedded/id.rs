//! Identifiers, and digests as text.

use sha2::{Digest as _, Sha256};

/// 64 hexadecimal digits that nothing else has.
#[must_use]
pub fn random() -> String {
    let mut bytes = [0_u8; 32];
    let read = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
    debug_assert_eq!(read, Ok(32), "32 bytes are given whole");
    hexadecimal(&bytes)
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|half| char::from_digit(half.into(), 16)).collect()
}

/// `sha256:…` of some bytes.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hexadecimal(&Sha256::digest(bytes)))
}

/// The name that a container gets when it is given none: two words and enough of its id to be its own.
#[must_use]
pub fn name(id: &str) -> String {
    const FIRST: [&str; 16] = [
        "amber", "brisk", "calm", "deft", "eager", "fond", "grand", "hardy", "ideal", "jolly", "keen", "lucid",
        "merry", "noble", "proud", "quick",
    ];
    const SECOND: [&str; 16] = [
        "anchor", "beacon", "capstan", "davit", "ferry", "gantry", "harbor", "jib", "keel", "ladder", "mast", "pulley",
        "rudder", "sail", "tackle", "winch",
    ];
    let digit = |at: usize| id.as_bytes().get(at).and_then(|byte| char::from(*byte).to_digit(16)).unwrap_or(0) as usize;
    format!("{}_{}_{}", FIRST[digit(0)], SECOND[digit(1)], id.get(2..8).unwrap_or_default())
}
