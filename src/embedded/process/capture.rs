//! What `libcontainer` says of its failures: its errors are thin, their causes go to `tracing`. A process of the engine's
//! own collects them in memory that its children share, because most failures happen in a child.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use rustix::fs::MemfdFlags;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Bytes kept of them.
const KEPT: u64 = 16 * 1024;

/// The collected causes.
#[derive(Debug, Clone)]
pub(super) struct Causes(Arc<File>);

impl Causes {
    /// Collects from now on what this process and its children report as errors.
    pub(super) fn collect() -> std::io::Result<Self> {
        let causes = Self(Arc::new(File::from(rustix::fs::memfd_create("causes", MemfdFlags::CLOEXEC)?)));
        tracing::subscriber::set_global_default(causes.clone()).map_err(std::io::Error::other)?;
        Ok(causes)
    }

    /// The first that was reported: what comes after it follows from it.
    pub(super) fn first(&self) -> Option<String> {
        let mut bytes = vec![0; usize::try_from(KEPT).expect("a few thousand")];
        let read = self.0.read_at(&mut bytes, 0).ok()?;
        bytes.truncate(read);
        let text = String::from_utf8_lossy(&bytes);
        text.lines().next().map(str::to_owned).filter(|line| !line.is_empty())
    }
}

impl Subscriber for Causes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::ERROR)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let text = format!("{}{}\n", line.message, line.fields).replace('\n', " ");
        if self.0.metadata().is_ok_and(|metadata| metadata.len() < KEPT) {
            // A cause that cannot be kept is one that is not told; there is nobody to tell that to.
            let _ = (&*self.0).write_all(format!("{}\n", text.trim_end()).as_bytes());
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// An event as one line.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let written = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, ", {}: {value:?}", field.name())
        };
        debug_assert!(written.is_ok(), "writing to a string does not fail");
    }
}
