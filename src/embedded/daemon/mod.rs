//! The daemon: takes the lock, cleans up what a crash or a reboot has left (its own and other dead engines'), opens
//! everything, serves the socket, and ends when it is told to or has nothing to do.

mod folders;
mod leftovers;
mod lock;
mod log;
mod server;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::lock::Lock;
use super::api::session::Session;
use super::api::{self, Engine};
use super::build::Builder;
use super::containers::{Containers, running_joins};
use super::error::Error;
use super::events::Events;
use super::images::Images;
use super::kit::Kit;
use super::layout::Layout;
use super::network::Networks;
use super::root::machine;
use super::volumes::Volumes;

/// Threads that serve; all that takes long waits elsewhere, and each further one costs memory.
const WORKERS: usize = 2;
/// Threads for what blocks.
const BLOCKING: usize = 16;

/// How a daemon runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its folders.
    pub layout: Layout,
    /// Ends by itself after so long without a running container and without a request; `None` never.
    pub idle: Option<Duration>,
}

/// Why a daemon ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It was sent a signal: what runs goes on, the next daemon takes it over.
    Signal,
    /// A client has asked for it; containers and networks are gone.
    Stopped,
    /// There was nothing to do.
    Idle,
}

/// The role `daemon`: the folder that everything is below (`-` for the machine's own folders), and the seconds of idleness
/// after which it ends (`-` for never).
#[must_use]
pub fn main(arguments: &[OsString]) -> ExitCode {
    let Some(options) = options(arguments) else {
        return complain("usage: daemon HOME|- SECONDS|-");
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error.to_string()),
    }
}

fn options(arguments: &[OsString]) -> Option<Options> {
    let [home, idle] = arguments else { return None };
    let home = (home != "-").then(|| PathBuf::from(home));
    let idle = match idle.to_str()? {
        "-" => None,
        seconds => Some(Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?),
    };
    Some(Options { layout: Layout::new(home.as_deref()), idle })
}

fn complain(message: &str) -> ExitCode {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "{message}");
    ExitCode::FAILURE
}

/// Serves in this thread and threads of its own, and writes a log; see [`serve`].
pub fn run(mut options: Options) -> Result<(), Error> {
    folders::make(&options.layout)?;
    options.layout = options.layout.resolved().map_err(Error::io("find the engine's folders"))?;
    log::begin(&options.layout)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING)
        .enable_all()
        .build()
        .map_err(Error::io("start the engine's threads"))?;
    let served = runtime.block_on(serve(options));
    // What still blocks is not waited for: it is nobody's any more.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Err(error) = &served {
        tracing::error!("{error}");
    }
    served
}

/// Serves until it is told to stop (SIGTERM, SIGINT: containers are left running, as their shims are; a hoist that wants
/// them stopped says so over the API before) or is idle for too long.
pub async fn serve(options: Options) -> Result<(), Error> {
    let Options { layout, idle } = options;
    let began = Instant::now();
    folders::make(&layout)?;
    let lock = Lock::take(&layout).await?;
    let presence = leftovers::enter(&layout).await;
    leftovers::clear().await;
    blocking(&layout, folders::prepare).await?;
    let engine = Box::pin(open(&layout)).await?;
    let listener = server::listen(&layout)?;
    let told = told()?;
    let took = u64::try_from(began.elapsed().as_millis()).unwrap_or_default();
    tracing::info!(took, "the engine {} listens at `{}`", env!("CARGO_PKG_VERSION"), layout.socket().display());

    let end = CancellationToken::new();
    let serving = server::serve(listener, api::router(engine.clone()), end.clone());
    let mut serving = std::pin::pin!(serving);
    let why = tokio::select! {
        () = &mut serving => End::Signal,
        () = told => End::Signal,
        () = engine.session.ended() => End::Stopped,
        () = idleness(&engine, idle) => End::Idle,
    };
    tracing::info!(?why, "the engine ends");
    end.cancel();
    serving.await;
    close(&layout, engine, why).await?;
    if why == End::Signal {
        return Ok(());
    }
    if let Some(presence) = presence {
        presence.remove();
    }
    lock.remove();
    folders::remove_run(&layout);
    Ok(())
}

/// The parts, in the order in which they need each other.
async fn open(layout: &Layout) -> Result<Engine, Error> {
    let machine =
        tokio::task::spawn_blocking(machine::detect).await.map_err(|error| Error::Failed(error.to_string()))??;
    let events = Events::default();
    let images = Images::open(layout, events.clone()).await?;
    let volumes = Volumes::open(layout, events.clone()).await?;
    let networks = Networks::open(layout, events.clone(), &running_joins(layout).await?).await?;
    let containers =
        Containers::open(layout, machine.clone(), images.clone(), networks.clone(), volumes.clone(), events.clone())
            .await?;
    let builder = Box::pin(Builder::open(layout, images.clone(), networks.clone())).await?;
    let layout = layout.clone();
    let kit = Kit::new(layout.clone(), builder.clone(), networks.host_address());
    let session = Session::new();
    Ok(Engine { layout, machine, session, events, images, volumes, networks, containers, builder, kit })
}

/// Ends the streams, and gives back what the next daemon does not need.
async fn close(layout: &Layout, engine: Engine, why: End) -> Result<(), Error> {
    engine.session.end();
    engine.session.streams().close();
    engine.session.streams().wait().await;
    engine.builder.close().await;
    match why {
        End::Signal => {
            // Containers run on, and their networks with them.
            let _ = std::fs::remove_file(layout.socket());
            return Ok(());
        }
        End::Stopped => {}
        End::Idle => engine.networks.close().await?,
    }
    drop(engine);
    blocking(layout, folders::give_back).await
}

/// Returns when a signal asks for the end. A terminal that closes is no reason.
fn told() -> Result<impl Future<Output = ()>, Error> {
    let listen = |kind| signal(kind).map_err(Error::io("listen for signals"));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
                _ = hang_up.recv() => {}
            }
        }
    })
}

/// Returns when no container has run, no request was open and none came for `idle`.
async fn idleness(engine: &Engine, idle: Option<Duration>) {
    let Some(idle) = idle else { return std::future::pending().await };
    let step = (idle / 4).clamp(Duration::from_millis(50), Duration::from_secs(15));
    let mut look = tokio::time::interval(step);
    let mut last_run = Instant::now();
    loop {
        look.tick().await;
        if engine.containers.running().await > 0 {
            last_run = Instant::now();
        }
        let quiet = engine.session.quiet_for().is_some_and(|quiet| quiet >= idle);
        if quiet && last_run.elapsed() >= idle && engine.session.begin_stop() {
            return;
        }
    }
}

async fn blocking(
    layout: &Layout,
    work: impl FnOnce(&Layout) -> Result<(), Error> + Send + 'static,
) -> Result<(), Error> {
    let layout = layout.clone();
    let done = tokio::task::spawn_blocking(move || work(&layout)).await;
    done.map_err(|error| Error::Failed(error.to_string()))?
}
