//! The table of what is mounted in this process's mount namespace, `/proc/self/mountinfo` (proc(5)).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::mount::MountFlags;

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub point: PathBuf,
    /// Its options, such as `rw,nosuid`.
    pub options: String,
    /// The type of the file system, such as `ext4`.
    pub kind: String,
    /// What is mounted at it is seen by others too.
    pub shared: bool,
    /// What others mount is seen at it.
    pub slave: bool,
}

impl Mount {
    /// Of its options those that have to be said again when it is mounted anew.
    #[must_use]
    pub fn flags(&self) -> MountFlags {
        let flag = |option| match option {
            "ro" => MountFlags::RDONLY,
            "nosuid" => MountFlags::NOSUID,
            "nodev" => MountFlags::NODEV,
            "noexec" => MountFlags::NOEXEC,
            "noatime" => MountFlags::NOATIME,
            _ => MountFlags::empty(),
        };
        self.options.split(',').map(flag).fold(MountFlags::empty(), |flags, flag| flags | flag)
    }
}

/// Everything that is mounted, in the order in which it was.
pub fn table() -> io::Result<Vec<Mount>> {
    Ok(parsed(&fs::read("/proc/self/mountinfo")?))
}

/// The table by its text; what is no line of it is passed over.
#[must_use]
pub fn parsed(text: &[u8]) -> Vec<Mount> {
    text.split(|byte| *byte == b'\n').filter_map(mount).collect()
}

/// The mount that a path without links is on.
#[must_use]
pub fn holding<'a>(table: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let above = table.iter().filter(|mount| path.starts_with(&mount.point));
    // Of two at the same place the later one hides the earlier.
    above.max_by_key(|mount| mount.point.components().count())
}

/// A line: numbers of the mount, its parent and its device, the root, the point, the options, any number of tags, a hyphen,
/// and the type.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ').skip(4);
    let point = PathBuf::from(OsString::from_vec(unescaped(fields.next()?)));
    let options = String::from_utf8_lossy(fields.next()?).into_owned();
    let tags: Vec<&[u8]> = fields.by_ref().take_while(|field| *field != b"-").collect();
    let has = |name: &str| tags.iter().any(|tag| tag.starts_with(name.as_bytes()));
    let kind = String::from_utf8_lossy(fields.next()?).into_owned();
    Some(Mount { point, options, kind, shared: has("shared:"), slave: has("master:") })
}

/// The kernel writes blanks and the like as a backslash and three octal digits.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(|_| *first == b'\\');
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_read_with_the_blanks_of_its_place_and_its_tags() {
        let line = br"36 35 98:0 /mnt1 /a\040b/c\134d rw,noatime shared:3 master:1 - ext3 /dev/root rw";
        let point = PathBuf::from(r"/a b/c\d");
        let (options, kind) = ("rw,noatime".into(), "ext3".into());
        let expected = Mount { point, options, kind, shared: true, slave: true };
        assert_eq!(mount(line), Some(expected));
        assert_eq!(mount(b"36 35"), None);
        assert_eq!(unescaped(br"/run/a\"), br"/run/a\");
        let private = mount(b"22 27 0:21 / /proc rw,relatime - proc shared:1 rw").expect("a whole line");
        assert!(!private.shared && !private.slave, "what follows the hyphen are no tags");
    }

    #[test]
    fn a_path_is_on_the_last_mount_nearest_above_it() {
        let table = parsed(
            b"1 0 0:1 / / rw - ext4 x rw
2 1 0:2 / /a rw - ext4 x rw
3 2 0:3 / /a rw shared:1 - ext4 x rw
4 3 0:4 / /a/b rw - ext4 x rw",
        );
        assert_eq!(holding(&table, Path::new("/a/c")), Some(&table[2]));
        assert_eq!(holding(&table, Path::new("/ab")), Some(&table[0]));
    }
}
