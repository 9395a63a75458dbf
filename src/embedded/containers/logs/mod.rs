//! A container's output, past and to come, out of the log that its shim writes.

mod files;
mod line;
mod wakers;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::watch;

pub(super) use self::wakers::Wakers;

use self::files::{Reader, Step};
use self::line::Wanted;
use self::wakers::Watch;
use super::LogOptions;
use super::launch;
use super::shared::{Container, Phase, Shared};
use crate::embedded::error::Error;
use crate::embedded::process::Output;

/// How often a log is looked at that cannot be watched.
const UNWATCHED: Duration = Duration::from_millis(100);

/// Its output. A stream that follows ends when the container does.
pub(super) async fn logs(
    shared: &Arc<Shared>,
    container: &Container,
    options: &LogOptions,
) -> Result<BoxStream<'static, Result<Output, Error>>, Error> {
    if !options.stdout && !options.stderr {
        return Err(Error::Invalid("you must choose at least one stream".into()));
    }
    let record = container.record();
    let Some(file) = launch::log_file(&shared.layout, &record)? else {
        return Err(Error::Unsupported("configured logging driver does not support reading".into()));
    };
    let wanted = Wanted {
        stdout: options.stdout,
        stderr: options.stderr,
        since: options.since,
        until: options.until,
        timestamps: options.timestamps,
    };
    let follow = if options.follow { Follow::of(shared, container) } else { None };
    let tail = options.tail;
    let opened = tokio::task::spawn_blocking(move || Reader::open(&file.path, file.max_files, wanted, tail)).await;
    let tried = format!("read the log of container {}", record.id);
    let reader = opened.map_err(io::Error::other).flatten().map_err(Error::io(tried.clone()))?;
    let state = Reading { reader: Some(reader), ready: VecDeque::new(), follow, until: options.until, tried };
    Ok(stream::unfold(state, |mut state| async move { Some((state.next().await?, state)) }).boxed())
}

/// What tells that there may be more.
struct Follow {
    phase: watch::Receiver<Phase>,
    /// Ends of the container when the following began.
    ends: u64,
    watch: Option<Watch>,
}

impl Follow {
    /// `None` when nothing more will come.
    fn of(shared: &Arc<Shared>, container: &Container) -> Option<Self> {
        let phase = container.phase.subscribe();
        let (ends, running) = {
            let phase = phase.borrow();
            (phase.ends, phase.running)
        };
        let folder = shared.layout.container(&container.id);
        let watch = shared.wakers.watch(shared, &folder);
        if let Err(error) = &watch {
            tracing::warn!("{} cannot be watched, it is looked at instead: {error}", folder.display());
        }
        running.then(|| Self { phase, ends, watch: watch.ok() })
    }

    fn is_over(&self) -> bool {
        let phase = self.phase.borrow();
        phase.ends != self.ends || !phase.running || phase.removed
    }

    /// Marks all news so far as seen.
    fn look(&mut self) -> bool {
        if let Some(watch) = &mut self.watch {
            watch.news.mark_unchanged();
        }
        self.phase.mark_unchanged();
        self.is_over()
    }

    async fn news(&mut self) {
        let phase = &mut self.phase;
        match &mut self.watch {
            Some(watch) => {
                tokio::select! {
                    _ = watch.news.changed() => {}
                    _ = phase.changed() => {}
                }
            }
            None => {
                tokio::select! {
                    () = tokio::time::sleep(UNWATCHED) => {}
                    _ = phase.changed() => {}
                }
            }
        }
    }
}

struct Reading {
    /// Away while it reads.
    reader: Option<Reader>,
    ready: VecDeque<Output>,
    follow: Option<Follow>,
    until: Option<i64>,
    tried: String,
}

impl Reading {
    async fn next(&mut self) -> Option<Result<Output, Error>> {
        loop {
            if let Some(output) = self.ready.pop_front() {
                return Some(Ok(output));
            }
            // Whether it is over is asked before the last look: what came until then is read.
            let over = self.follow.as_mut().is_none_or(Follow::look);
            let mut reader = self.reader.take()?;
            let stepped = tokio::task::spawn_blocking(move || {
                let step = reader.step();
                (reader, step)
            });
            let (reader, step) = match stepped.await {
                Ok((reader, Ok(step))) => (reader, step),
                Ok((_, Err(error))) => return Some(Err(Error::io(self.tried.clone())(error))),
                Err(error) => return Some(Err(Error::Failed(format!("cannot {}: {error}", self.tried)))),
            };
            let past = reader.is_past();
            self.reader = Some(reader);
            match step {
                Step::More(outputs) => self.ready.extend(outputs),
                Step::End if over || past => return None,
                Step::End => self.wait().await?,
            }
        }
    }

    /// `None` when `until` has come.
    async fn wait(&mut self) -> Option<()> {
        let follow = self.follow.as_mut()?;
        let Some(until) = self.until else {
            follow.news().await;
            return Some(());
        };
        let now = chrono::Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX);
        let left = u64::try_from(until.saturating_sub(now)).ok().filter(|left| *left > 0)?;
        // The clock may have been set: what is left is looked at again.
        let _ = tokio::time::timeout(Duration::from_nanos(left), follow.news()).await;
        Some(())
    }
}
