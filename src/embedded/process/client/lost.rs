//! A container whose shim is gone without having said how it ended.

use std::time::{Duration, Instant};

use chrono::Utc;

use super::super::Exit;
use super::super::cgroup::Cgroup;
use super::super::folder::Folder;

/// How long a shim that has closed its socket may take to go.
const GOING: Duration = Duration::from_secs(10);

/// What is said of it.
pub(super) fn killed(error: Option<&dyn std::fmt::Display>) -> Exit {
    let why = error.map_or("its shim was killed".to_owned(), |error| format!("its shim was killed; {error}"));
    Exit { code: 137, oom_killed: false, finished_at: Utc::now(), error: Some(why) }
}

/// Its end as far as it is known; what is left of it is taken away.
pub(super) fn end(folder: &Folder, id: &str) -> Exit {
    let by = Instant::now() + GOING;
    while folder.is_held() && Instant::now() < by {
        std::thread::sleep(Duration::from_millis(2));
    }
    folder.exit().unwrap_or_else(|| {
        clean(folder, id);
        let exit = killed(None);
        // A daemon that comes later sees what this one has seen; without a record it finds the container lost.
        let _ = folder.record(&exit);
        exit
    })
}

/// Ends all processes of a container and takes away what is left of it: as much as the machine lets go of.
pub(super) fn clean(folder: &Folder, id: &str) {
    let container = folder.container().ok();
    // Without its shim the first process has been ended by the kernel, and with it all others; these are the rest.
    let _ = Cgroup::of(id).remove();
    let _ = folder.forget_runtime(id);
    if let Some(root) = container.as_ref().and_then(|container| container.spec.root().as_ref()) {
        // Its mounts went with the namespace: an empty folder, which stays if it is not.
        let _ = std::fs::remove_dir(root.path());
    }
}
