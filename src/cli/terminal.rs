//! The person's terminal lent to a process in a container: raw while it lasts, given back however it ends.

use std::io::{self, IsTerminal as _, Write as _};
use std::pin::Pin;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::error::Error;
use crate::engine::{EngineError, LogChunk};

/// How many bytes of standard input are read at once.
const INPUT: usize = 16 * 1024;

/// Both ends of a process in a container.
pub(super) struct Streams {
    /// Its standard input.
    pub(super) input: Pin<Box<dyn AsyncWrite + Send>>,
    /// What it writes.
    pub(super) output: BoxStream<'static, Result<LogChunk, EngineError>>,
}

/// Whether a process can be given a terminal.
pub(super) fn is_there() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// The terminal's width and height in characters.
pub(super) fn size() -> (u16, u16) {
    let (height, width) = console::Term::stdout().size();
    (width, height)
}

/// Copies standard input to a process and its output to ours, until its output ends.
pub(super) async fn connect(streams: Streams, with_input: bool) -> Result<(), Error> {
    let Streams { mut input, mut output } = streams;
    let feeding = async {
        if with_input {
            feed(&mut input).await;
        }
        // The end of our input is the end of its: the stream stays half open for what it still writes.
        let _ = input.shutdown().await;
        std::future::pending::<()>().await;
    };
    let showing = async {
        while let Some(chunk) = output.next().await {
            show(&chunk.map_err(Error::engine("read the output"))?)?;
        }
        Ok(())
    };
    tokio::select! {
        () = feeding => Ok(()),
        shown = showing => shown,
    }
}

async fn feed(input: &mut Pin<Box<dyn AsyncWrite + Send>>) {
    let mut stdin = tokio::io::stdin();
    let mut buffer = vec![0; INPUT];
    while let Ok(count @ 1..) = stdin.read(&mut buffer).await {
        // A process that takes no more input is no mistake of ours.
        if input.write_all(&buffer[..count]).await.is_err() || input.flush().await.is_err() {
            return;
        }
    }
}

fn show(chunk: &LogChunk) -> Result<(), Error> {
    if !chunk.stderr {
        return super::output::print_bytes(&chunk.bytes);
    }
    let mut stderr = io::stderr().lock();
    stderr.write_all(&chunk.bytes).map_err(Error::io("write to standard error"))
}

/// The terminal in raw mode: every key goes to the process. Dropping it gives the terminal back as it was, also when
/// the command panics.
#[derive(Debug)]
pub(super) struct Raw {
    #[cfg(unix)]
    before: rustix::termios::Termios,
}

impl Raw {
    /// Switches standard input over.
    #[cfg(unix)]
    pub(super) fn enter() -> Result<Self, Error> {
        use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
        let failed = |error: rustix::io::Errno| Error::io("set up the terminal")(error.into());
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Self { before })
    }

    /// There is nothing to switch over.
    #[cfg(not(unix))]
    pub(super) fn enter() -> Result<Self, Error> {
        Ok(Self {})
    }
}

#[cfg(unix)]
impl Drop for Raw {
    fn drop(&mut self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        // If the terminal is gone there is nothing to restore.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Ends when the terminal has another size; never where sizes are not told.
pub(super) struct Resizes {
    #[cfg(unix)]
    signals: Option<tokio::signal::unix::Signal>,
}

impl Resizes {
    /// Starts to listen.
    pub(super) fn listen() -> Self {
        Self {
            #[cfg(unix)]
            signals: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::window_change()).ok(),
        }
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> (u16, u16) {
        #[cfg(unix)]
        if let Some(signals) = &mut self.signals
            && signals.recv().await.is_some()
        {
            return size();
        }
        std::future::pending().await
    }
}
