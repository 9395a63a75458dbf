//! The person's terminal lent to a process in a container: raw while it lasts, given back however it ends.

use std::io::{self, IsTerminal as _, Write as _};
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::error::Error;
use crate::engine::docker::Attached;
use crate::engine::{EngineError, LogChunk};

/// How many bytes of standard input are read at once.
const INPUT: usize = 16 * 1024;

/// Whether a process can be given a terminal.
pub(super) fn is_there() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// The terminal's width and height in characters.
fn size() -> (u16, u16) {
    let (height, width) = console::Term::stdout().size();
    (width, height)
}

/// Copies standard input to a process and its output to ours, until its output ends.
pub(super) async fn connect(attached: Attached, with_input: bool) -> Result<(), Error> {
    let Attached { mut input, mut output, .. } = attached;
    let feeding = async {
        if with_input {
            feed(&mut input).await;
            // The end of our input is the end of its; what it still writes is read on.
            let _ = input.shutdown().await;
        }
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

/// Tells a process how large the terminal is, at first and whenever that changes. Never ends.
pub(super) async fn follow_size(tty: bool, tell: impl AsyncFn(u16, u16) -> Result<(), EngineError>) {
    if !tty {
        return std::future::pending().await;
    }
    let mut resizes = Resizes::listen();
    let (mut width, mut height) = size();
    // The process may not have its terminal yet when it is told for the first time.
    for _ in 0..20 {
        if tell(width, height).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    loop {
        (width, height) = resizes.next().await;
        // A size that is not taken is a matter of looks.
        let _ = tell(width, height).await;
    }
}

/// Waits for a signal that ends the command and returns the exit code that says so.
pub(super) async fn told_to_end() -> u8 {
    128 + signal().await
}

/// Waits for a signal to end, and returns its number.
#[cfg(unix)]
pub(super) async fn signal() -> u8 {
    use tokio::signal::unix::{Signal, SignalKind};
    async fn next(signal: std::io::Result<Signal>) {
        if let Ok(mut signal) = signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
    let listen = |kind| tokio::signal::unix::signal(kind);
    tokio::select! {
        () = next(listen(SignalKind::interrupt())) => 2,
        () = next(listen(SignalKind::terminate())) => 15,
        () = next(listen(SignalKind::hangup())) => 1,
        () = next(listen(SignalKind::quit())) => 3,
    }
}

/// Waits for ctrl-c.
#[cfg(not(unix))]
pub(super) async fn signal() -> u8 {
    let _ = tokio::signal::ctrl_c().await;
    2
}

/// Tells when the terminal has another size.
struct Resizes {
    #[cfg(unix)]
    signals: Option<tokio::signal::unix::Signal>,
}

impl Resizes {
    /// Starts to listen.
    fn listen() -> Self {
        Self {
            #[cfg(unix)]
            signals: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::window_change()).ok(),
        }
    }

    /// Waits for the next one.
    async fn next(&mut self) -> (u16, u16) {
        #[cfg(unix)]
        if let Some(signals) = &mut self.signals
            && signals.recv().await.is_some()
        {
            return size();
        }
        std::future::pending().await
    }
}
