//! What a file looks like from outside.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The clock that files are stamped with ticks a hundred times a second at the least, and lags behind by one tick.
const TICK: Duration = Duration::from_millis(20);
/// A time without a fraction comes from a file system that counts in seconds, or in pairs of them.
const COARSE_TICK: Duration = Duration::from_secs(2);

/// Size, times and inode of a file: while they stay the same, so does the content, with one exception, which
/// [`Stamp::is_settled`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// All of them, hashed.
    sum: [u8; 16],
    /// When anything about the file last changed, in nanoseconds since 1970. Nobody can set it back, unlike the time of
    /// the last write.
    changed: i64,
}

impl Stamp {
    /// The stamp of a file.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        let changed = nanoseconds(metadata.ctime(), metadata.ctime_nsec());
        let written = nanoseconds(metadata.mtime(), metadata.mtime_nsec());
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&metadata.size().to_le_bytes());
        bytes[8..16].copy_from_slice(&written.to_le_bytes());
        bytes[16..24].copy_from_slice(&changed.to_le_bytes());
        bytes[24..].copy_from_slice(&metadata.ino().to_le_bytes());
        Self { sum: shortened(&blake3::hash(&bytes)), changed }
    }

    /// Whether a change after this moment would show in the stamp. It would not when the file was last changed within
    /// the same tick of the clock: another write in it, of as many bytes, leaves no trace.
    #[must_use]
    pub fn is_settled(&self, moment: SystemTime) -> bool {
        let tick = if self.changed % 1_000_000_000 == 0 { COARSE_TICK } else { TICK };
        let moment = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
        let latest = moment.saturating_sub(tick);
        i64::try_from(latest.as_nanos()).is_ok_and(|latest| self.changed < latest)
    }

    /// Size, times and inode as one number, the same in every run.
    #[must_use]
    pub fn sum(&self) -> [u8; 16] {
        self.sum
    }
}

fn nanoseconds(seconds: i64, fraction: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(fraction)
}

/// Half of a hash: enough to tell apart what nobody forges.
pub(super) fn shortened(hash: &blake3::Hash) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash.as_bytes()[..16]);
    half
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::Stamp;

    #[test]
    fn only_a_time_before_the_tick_of_a_moment_is_settled_and_a_coarse_one_two_seconds_before() {
        let stamp = Stamp { sum: [0; 16], changed: 5_000_000_001 };
        let is_settled = |stamp: Stamp, at| stamp.is_settled(UNIX_EPOCH + Duration::from_millis(at));
        assert!(!is_settled(stamp, 5_000) && !is_settled(stamp, 5_020) && is_settled(stamp, 5_021));
        assert!(!is_settled(stamp, 4_000), "a clock that was set back");
        let coarse = Stamp { changed: 5_000_000_000, ..stamp };
        assert!(!is_settled(coarse, 7_000) && is_settled(coarse, 7_001));
    }
}
