//! What keeps files from being watched.

/// Why a watch does not work, or not as it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The system watches no more folders for this user.
    #[error("the system's limit `{sysctl}`{} is reached, so changes are looked for once a second", .limit.map(|limit| format!(" of {limit}")).unwrap_or_default())]
    Limit {
        /// The setting's name.
        sysctl: &'static str,
        /// Its value, where it can be read.
        limit: Option<u64>,
    },
    /// Anything else.
    #[error("cannot watch files: {message}")]
    Failed {
        /// The system's words.
        message: String,
    },
}

impl WatchError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Limit { sysctl, limit } => {
                let least = if sysctl.ends_with("watches") { 524_288 } else { 1_024 };
                let raised = limit.map_or(least, |limit| limit.saturating_mul(2).max(least));
                Some(format!("raise it with `sudo sysctl {sysctl}={raised}`, or ignore large folders"))
            }
            Self::Failed { .. } => None,
        }
    }

    /// The error of adding a watch.
    pub(super) fn from_notify(error: &notify::Error) -> Self {
        let is_full = |error: &std::io::Error| {
            matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
        };
        match &error.kind {
            notify::ErrorKind::MaxFilesWatch => Self::limit("fs.inotify.max_user_watches"),
            notify::ErrorKind::Io(error) if is_full(error) => Self::limit("fs.inotify.max_user_watches"),
            _ => Self::Failed { message: error.to_string() },
        }
    }

    /// The error of making a watcher: too many of them, in all likelihood.
    pub(super) fn from_start(error: &notify::Error) -> Self {
        const TOO_MANY_OPEN_FILES: i32 = 24;
        match &error.kind {
            notify::ErrorKind::Io(error) if error.raw_os_error() == Some(TOO_MANY_OPEN_FILES) => {
                Self::limit("fs.inotify.max_user_instances")
            }
            _ => Self::Failed { message: error.to_string() },
        }
    }

    fn limit(sysctl: &'static str) -> Self {
        let file = format!("/proc/sys/{}", sysctl.replace('.', "/"));
        let limit = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok());
        Self::Limit { sysctl, limit }
    }
}

#[cfg(test)]
mod tests {
    use super::WatchError;

    #[test]
    fn a_limit_is_named_with_the_command_that_raises_it() {
        let error = WatchError::Limit { sysctl: "fs.inotify.max_user_watches", limit: Some(8_192) };
        assert_eq!(
            error.to_string(),
            "the system's limit `fs.inotify.max_user_watches` of 8192 is reached, so changes are looked for once a second"
        );
        assert_eq!(
            error.hint().as_deref(),
            Some("raise it with `sudo sysctl fs.inotify.max_user_watches=524288`, or ignore large folders")
        );
    }

    #[test]
    fn notify_says_when_the_limit_is_reached() {
        let error = WatchError::from_notify(&notify::Error::new(notify::ErrorKind::MaxFilesWatch));
        assert!(matches!(error, WatchError::Limit { sysctl: "fs.inotify.max_user_watches", .. }));
        let error = WatchError::from_start(&notify::Error::io(std::io::Error::from_raw_os_error(24)));
        assert!(matches!(error, WatchError::Limit { sysctl: "fs.inotify.max_user_instances", .. }));
    }
}
