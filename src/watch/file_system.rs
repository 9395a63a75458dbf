//! Which file systems tell of changes. Those that others write to, over a network or from outside a virtual machine, do
//! not: the system knows only of what is written through it.

use std::path::Path;

/// The name of the file system of a path, if it tells of no changes. Of a path that is not there, the nearest folder
/// above it counts.
pub(super) fn silent(path: &Path) -> Option<String> {
    #[cfg(target_os = "linux")]
    return linux::silent(path);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        None
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::os::unix::ffi::OsStringExt as _;
    use std::path::{Path, PathBuf};

    /// A file system that programs make, each as it likes: its name says more than its number.
    const FUSE: u64 = 0x6573_5546;
    /// The numbers of file systems that tell of no changes, or only of this machine's own.
    /// Source: `linux/magic.h`, and the file systems' own headers.
    const SILENT: &[(u64, &str)] = &[
        (0x6969, "nfs"),
        (0x517B, "smbfs"),
        (0xFE53_4D42, "smb2"),
        (0xFF53_4D42, "cifs"),
        (0x0102_1997, "9p"),
        (0x00C3_6400, "ceph"),
        (0x5346_414F, "afs"),
        (0x6B41_4653, "afs"),
        (0x7375_7245, "coda"),
        (0x0BD0_0BD0, "lustre"),
        (0x1983_0326, "beegfs"),
        (0x4750_4653, "gpfs"),
        (0x0116_1970, "gfs2"),
        (0x7461_636F, "ocfs2"),
        (0x786F_4256, "vboxsf"),
        (0xBACB_ACBC, "vmhgfs"),
        (0x7C7C_6673, "prl_fs"),
        (0x5346_4846, "wslfs"),
    ];
    /// Those of FUSE whose files are on this machine's own disks, and written by this machine alone.
    const LOCAL: &[&str] =
        &["fuseblk", "fuse.fuse-overlayfs", "fuse.ntfs-3g", "fuse.exfat", "fuse.gocryptfs", "fuse.encfs"];

    pub(super) fn silent(path: &Path) -> Option<String> {
        let number = path.ancestors().find_map(|above| rustix::fs::statfs(above).ok())?.f_type;
        let number = u64::try_from(number).unwrap_or_default();
        if number == FUSE {
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            let path = path.ancestors().find_map(|above| fs::canonicalize(above).ok())?;
            return of_fuse(&mounts, &path);
        }
        named(number).map(str::to_owned)
    }

    fn named(number: u64) -> Option<&'static str> {
        SILENT.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
    }

    /// The name of a file system of FUSE, by the mounts of this process, unless it is as good as any.
    fn of_fuse(mounts: &str, path: &Path) -> Option<String> {
        let mounts = mounts.lines().filter_map(mount).filter(|(place, _)| path.starts_with(place));
        // The last one mounted at a place hides those before it.
        let (_, name) = mounts.max_by_key(|(place, _)| place.components().count()).unwrap_or_default();
        if LOCAL.contains(&name) {
            return None;
        }
        Some(name.strip_prefix("fuse.").filter(|name| !name.is_empty()).unwrap_or("fuse").to_owned())
    }

    /// Where a mount is, and its type.
    fn mount(line: &str) -> Option<(PathBuf, &str)> {
        let (front, back) = line.split_once(" - ")?;
        Some((unescaped(front.split(' ').nth(4)?), back.split(' ').next()?))
    }

    /// `\040` is a space.
    fn unescaped(text: &str) -> PathBuf {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            let digits = (*first == b'\\').then(|| after.first_chunk::<3>()).flatten();
            let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
            if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
                bytes.push(byte);
                rest = &after[3..];
            } else {
                bytes.push(*first);
                rest = after;
            }
        }
        std::ffi::OsString::from_vec(bytes).into()
    }

    #[cfg(test)]
    mod tests {
        use std::path::Path;

        use super::{named, of_fuse, silent};

        const MOUNTS: &str = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
            40 22 0:40 / /mnt/far rw shared:2 - fuse.sshfs me@there:/ rw,user_id=0\n\
            41 22 0:41 / /mnt/disk rw - fuseblk /dev/sdb1 rw\n\
            42 22 0:42 / /mnt/with\\040space rw - fuse.rclone remote: rw\n\
            43 40 0:43 / /mnt/far/near rw - fuse.gocryptfs /x rw\n\
            44 22 0:44 / /mnt/plain rw - fuse share rw\n";

        #[test]
        fn file_systems_that_others_write_to_are_silent() {
            for (number, name) in [(0x6969, "nfs"), (0xFF53_4D42, "cifs"), (0x0102_1997, "9p"), (0x786F_4256, "vboxsf")]
            {
                assert_eq!(named(number), Some(name));
            }
            // ext4, btrfs, xfs, tmpfs, overlay.
            for number in [0xEF53, 0x9123_683E, 0x5846_5342, 0x0102_1994, 0x794C_7630] {
                assert_eq!(named(number), None);
            }
            assert_eq!(silent(Path::new("/proc/no such/place")), None);
        }

        #[test]
        fn of_fuse_the_name_of_the_innermost_mount_says_which_it_is() {
            for (path, name) in [
                ("/mnt/far/a/b", Some("sshfs")),
                ("/mnt/disk/a", None),
                ("/mnt/with space/a", Some("rclone")),
                ("/mnt/far/near/a", None),
                ("/mnt/plain", Some("fuse")),
            ] {
                assert_eq!(of_fuse(MOUNTS, Path::new(path)).as_deref(), name, "{path}");
            }
        }
    }
}
