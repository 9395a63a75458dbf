//! Joining a container's input and output, also before it is started.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::record::Status;
use super::shared::{Container, Shared};
use crate::embedded::error::Error;
use crate::embedded::process::{Attached, Output, Running};

/// Pieces of output or input under way between a client and a container that it joined before the start.
const QUEUE: usize = 16;
/// Clients that may wait for one container.
const MOST: usize = 64;

/// A client that waits for a container's start.
#[derive(Debug)]
pub(super) struct Waiting {
    output: mpsc::Sender<Output>,
    input: Option<mpsc::Receiver<Bytes>>,
}

/// Joins one that runs; of one that does not, everything from its next start on will come.
pub(super) async fn attach(container: &Arc<Container>) -> Result<Attached, Error> {
    let (status, running, stdin) = {
        let live = container.live();
        (live.record.state.status, live.running.clone(), live.record.body.open_stdin == Some(true))
    };
    if status == Status::Paused {
        return Err(Error::Conflict(format!(
            "container {} is paused, unpause the container before attach",
            container.id
        )));
    }
    if let Some(running) = running {
        return Box::pin(running.attach()).await;
    }
    let (output, of_output) = mpsc::channel(QUEUE);
    let (to_input, input) = mpsc::channel(QUEUE);
    let mut waiting = container.waiting.lock().unwrap_or_else(PoisonError::into_inner);
    // Those that have gone meanwhile make room.
    waiting.retain(|other| !other.output.is_closed());
    if waiting.len() >= MOST {
        return Err(Error::Conflict(format!("too many clients wait for the start of container {}", container.id)));
    }
    waiting.push(Waiting { output, input: stdin.then_some(input) });
    Ok(Attached { output: of_output, input: stdin.then_some(to_input) })
}

/// Takes those that wait for the start.
pub(super) fn waiting(container: &Container) -> Vec<Waiting> {
    let mut waiting = std::mem::take(&mut *container.waiting.lock().unwrap_or_else(PoisonError::into_inner));
    waiting.retain(|client| !client.output.is_closed());
    waiting
}

/// The start failed: they go on waiting.
pub(super) fn put_back(container: &Container, clients: Vec<Waiting>) {
    if !container.is_being_removed() {
        container.waiting.lock().unwrap_or_else(PoisonError::into_inner).extend(clients);
    }
}

/// Joins them to the container that has just been started.
pub(super) fn serve(shared: &Arc<Shared>, running: &Running, clients: Vec<Waiting>) {
    for client in clients {
        let (running, closing) = (running.clone(), shared.closing.clone());
        shared.tasks.spawn(async move {
            tokio::select! {
                () = closing.cancelled() => {}
                () = relay(running, client) => {}
            }
        });
    }
}

/// Passes output and input on until either side is gone.
async fn relay(running: Running, client: Waiting) {
    let mut attached = match Box::pin(running.attach()).await {
        Ok(attached) => attached,
        Err(error) => {
            tracing::debug!("container {} ended before it could be joined: {error}", running.id());
            return;
        }
    };
    let Waiting { output, input } = client;
    let to_container = async {
        if let (Some(mut from), Some(to)) = (input, attached.input.take()) {
            while let Some(bytes) = from.recv().await {
                if to.send(bytes).await.is_err() {
                    break;
                }
            }
        }
        // The client has closed its input and may go on reading.
        std::future::pending::<()>().await;
    };
    let to_client = async {
        while let Some(piece) = attached.output.recv().await {
            if output.send(piece).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = to_container => {}
        () = to_client => {}
        () = output.closed() => {}
    }
}
