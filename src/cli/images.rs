//! Builds and pulls of many images at once, for `build` and `pull`, with their progress on the terminal.

use std::time::Instant;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::engine::{EngineError, Progress};
use crate::plan::observed::Image;
use crate::plan::operation::{Cause, Operation};
use crate::project::Project;
use crate::reconcile::notice::Notice;
use crate::ui::{self, Message, Options, Scene};

/// How many builds or pulls are under way at once.
const PARALLEL: usize = 8;

/// How many pieces of news of one build may wait to be printed.
const NEWS: usize = 256;

/// One image to be made or fetched.
pub(super) struct Job {
    /// What it is, for people.
    pub(super) operation: Operation,
    /// Does it: is given where its progress goes and what calls it off.
    pub(super) perform: Perform,
}

/// Does a job.
pub(super) type Perform =
    Box<dyn FnOnce(mpsc::Sender<Progress>, CancellationToken) -> BoxFuture<'static, Result<Image, EngineError>> + Send>;

/// How the jobs went, all together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// All succeeded.
    Well,
    /// So many failed.
    Badly(usize),
    /// The person interrupted.
    Interrupted,
}

/// Does all the jobs. One that fails does not keep the others from going on.
pub(super) async fn perform(project: &Project, jobs: Vec<Job>, options: &Options) -> Ended {
    let (messages, printer) = ui::start(options, &Scene::of(project), None);
    let cancel = CancellationToken::new();
    let all = all(jobs, messages, cancel.clone());
    tokio::pin!(all);
    let results = tokio::select! {
        results = &mut all => results,
        () = interrupted() => {
            cancel.cancel();
            all.await
        }
    };
    printer.finish().await;
    match results.into_iter().filter(|succeeded| !succeeded).count() {
        _ if cancel.is_cancelled() => Ended::Interrupted,
        0 => Ended::Well,
        failed => Ended::Badly(failed),
    }
}

async fn all(jobs: Vec<Job>, messages: mpsc::Sender<Message>, cancel: CancellationToken) -> Vec<bool> {
    let all = stream::iter(jobs).map(|job| one(job, messages.clone(), cancel.clone()));
    all.buffer_unordered(PARALLEL).collect().await
}

async fn one(job: Job, messages: mpsc::Sender<Message>, cancel: CancellationToken) -> bool {
    let Job { operation, perform } = job;
    let service = operation.service().unwrap_or_default().to_owned();
    let begun = Instant::now();
    tell(&messages, Notice::Began { operation: operation.clone(), cause: Cause::Asked, edit: None }).await;
    let (sender, mut news) = mpsc::channel(NEWS);
    let forward = async {
        while let Some(progress) = news.recv().await {
            let _ = messages.send(Message::Progress { service: service.clone(), progress }).await;
        }
    };
    let (result, ()) = tokio::join!(perform(sender, cancel), forward);
    let succeeded = result.is_ok();
    let notice = match result {
        Ok(_) => Notice::Done { operation, took: begun.elapsed(), edit: None },
        Err(EngineError::Cancelled) => Notice::Cancelled { operation },
        Err(error) => {
            let reason = error.to_string();
            let output = match error {
                EngineError::CommandFailed { output, .. } => output,
                _ => Vec::new(),
            };
            Notice::Failed { operation, reason, output, still_running: false, edit: None }
        }
    };
    tell(&messages, notice).await;
    succeeded
}

/// The printing task outlives every sender; if it is gone there is nobody left to tell.
async fn tell(messages: &mpsc::Sender<Message>, notice: Notice) {
    let _ = messages.send(Message::Notice(notice)).await;
}

/// Waits for ctrl-c or, where there is such a thing, SIGTERM.
pub(super) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // Without a handler the signal ends the process by itself.
    let _ = tokio::signal::ctrl_c().await;
}
