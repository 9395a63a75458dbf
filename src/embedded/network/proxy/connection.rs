//! A connection from its coming to its end, whoever it is carried to meanwhile.

use std::cell::RefCell;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::{Shutdown, sockopt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use super::behind::HOLD;
use super::http::{Place, Tracker};
use super::{Access, Lease, Turn};

/// How long a container may take to accept.
const CONNECT: Duration = Duration::from_secs(10);
/// How long one that listened a moment ago is waited for to listen again: its program has been started anew inside.
const AGAIN: Duration = Duration::from_secs(2);
/// The pauses between attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(40);
/// How long what is left of a container that is gone may take to reach the client.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often a connection may change hands without having been carried.
const MOST_TURNS: usize = 64;
/// How much is read at once.
const CHUNK: usize = 256 * 1024;

thread_local! {
    /// What is being carried on this thread: connections that say nothing hold no memory.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// How a connection's stay with a container has ended.
enum End {
    /// Both sides have said all they had to say.
    Over,
    /// One side broke off, so the other has to know.
    Broken,
    /// It goes to another one: when the client says more, or at once when nothing has been said at all.
    LetGo { fresh: bool },
}

/// Takes connections and carries each.
pub(super) async fn serve(listener: TcpListener, access: Access) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let own = access.clone();
                tokio::spawn(async move { carry(&client, own).await });
            }
            Err(error) => {
                // Out of descriptors, most likely: others are being closed.
                tracing::warn!(at = %access.door.address, %error, "a published port cannot take a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn carry(client: &TcpStream, access: Access) {
    let _ = client.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(client, true);
    let mut turns = 0;
    while turns < MOST_TURNS {
        let Some(mut lease) = turn(client, &access).await else { break };
        match carry_to(client, &mut lease, &access).await {
            End::Over => return,
            End::Broken => break,
            End::LetGo { fresh: true } => turns += 1,
            End::LetGo { fresh: false } => {
                drop(lease);
                turns = 0;
                if !says_more(client, &access).await {
                    return;
                }
            }
        }
    }
    reset(client);
}

/// Waits for somebody to be behind the door; `None` when nobody will be.
async fn turn(client: &TcpStream, access: &Access) -> Option<Lease> {
    let patience = Instant::now() + HOLD;
    let mut changes = access.networks.upgrade()?.changes.subscribe();
    let mut waiting = None;
    loop {
        changes.mark_unchanged();
        let until = match access.turn() {
            Turn::To(lease) => return Some(lease),
            Turn::Wait(until) => Instant::from_std(until).min(patience),
            Turn::Nobody => return None,
        };
        if patience <= Instant::now() {
            return None;
        }
        if waiting.is_none() {
            waiting = Some(access.wait()?);
        }
        tokio::select! {
            news = changes.changed() => news.ok()?,
            () = tokio::time::sleep_until(until) => {}
            () = access.end.cancelled() => return None,
            () = broken(client) => return None,
        }
    }
}

/// Returns when a client that waits has broken off. One that has said something, or has nothing more to say, waits on.
async fn broken(client: &TcpStream) {
    if let Ok(()) = client.readable().await
        && client.peek(&mut [0]).await.is_ok()
    {
        std::future::pending::<()>().await;
    }
}

/// Waits for the client's next word; `false` when it has none, or the door is closed.
async fn says_more(client: &TcpStream, access: &Access) -> bool {
    let mut word = [0];
    tokio::select! {
        peeked = client.peek(&mut word) => matches!(peeked, Ok(1..)),
        () = access.end.cancelled() => false,
    }
}

/// Carries a connection to a container until one of them has enough.
async fn carry_to(client: &TcpStream, lease: &mut Lease, access: &Access) -> End {
    let server = match connect(lease, access).await {
        Ok(server) => server,
        Err(end) => return end,
    };
    let _ = server.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(&server, true);
    let (gone, talk) = (lease.gone.clone(), Talk::new(lease));
    let pumps =
        async { tokio::try_join!(talk.pump(client, &server, Side::Client), talk.pump(&server, client, Side::Server)) };
    let mut pumps = std::pin::pin!(pumps);
    let ended = tokio::select! {
        ended = &mut pumps => ended.map(|_| ()),
        () = gone.cancelled() => {
            if talk.now().free() {
                Err(Stop::LetGo)
            } else {
                // What it said before it ended is there to be read.
                timeout(LAST_WORDS, pumps).await.map_or(Err(Stop::Broken), |ended| ended.map(|_| ()))
            }
        }
    };
    match ended {
        Ok(()) => End::Over,
        Err(Stop::LetGo) if talk.now().ended[Side::Client as usize] => End::Over,
        Err(Stop::LetGo) => End::LetGo { fresh: talk.now().tracker.place() == Place::Fresh },
        Err(Stop::Broken) => {
            reset(&server);
            End::Broken
        }
    }
}

/// Connects to the container. One that has listened is given time to do so again.
async fn connect(lease: &Lease, access: &Access) -> Result<TcpStream, End> {
    let begun = Instant::now();
    let mut pause = FIRST_PAUSE;
    let moved = || lease.let_go.is_cancelled() || lease.gone.is_cancelled();
    loop {
        let socket = access.hub.run(TcpSocket::new_v4).await.map_err(|_| End::Broken)?;
        let connected = tokio::select! {
            connected = timeout(CONNECT, socket.connect(lease.to)) => {
                connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            }
            () = lease.gone.cancelled() => return Err(End::LetGo { fresh: true }),
        };
        match connected {
            Ok(server) => return Ok(server),
            Err(_) if moved() => return Err(End::LetGo { fresh: true }),
            Err(error) if is_refusal(&error) && lease.listened && begun.elapsed() < AGAIN => {
                tokio::select! {
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                    () = lease.let_go.cancelled() => {}
                    () = lease.gone.cancelled() => {}
                }
            }
            Err(_) => return Err(End::Broken),
        }
    }
}

fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

/// Makes the end of a connection a reset.
fn reset(stream: &TcpStream) {
    let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

/// Why carrying stops before both sides are silent.
enum Stop {
    /// Between two exchanges, for another container.
    LetGo,
    Broken,
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// A connection while it is carried to one container.
struct Talk<'a> {
    now: Mutex<Now<'a>>,
    let_go: tokio_util::sync::CancellationToken,
}

struct Now<'a> {
    lease: &'a mut Lease,
    tracker: Tracker,
    /// What has been read has not been written whole, of either side.
    writing: [bool; 2],
    /// It will say no more.
    ended: [bool; 2],
}

impl Now<'_> {
    /// Whether the connection could be another's now.
    fn free(&self) -> bool {
        let between = matches!(self.tracker.place(), Place::Fresh | Place::Between);
        between && self.writing == [false; 2] && !self.ended[Side::Server as usize]
    }

    /// Marks an exchange as under way before it is known to be, so that whoever asks meanwhile waits for it.
    fn before_reading(&mut self, side: Side) -> Result<(), Stop> {
        if side == Side::Client && self.free() {
            self.lease.busy.set(true);
            if self.lease.let_go.is_cancelled() {
                return Err(Stop::LetGo);
            }
        }
        Ok(())
    }

    fn read(&mut self, side: Side, bytes: &[u8]) {
        match side {
            Side::Client => self.tracker.sent(bytes),
            Side::Server => self.tracker.answered(bytes),
        }
    }

    fn settle(&mut self) {
        let busy = match self.tracker.place() {
            Place::Within => true,
            Place::Fresh | Place::Between => self.writing != [false; 2],
            Place::Opaque => false,
        };
        self.lease.busy.set(busy);
    }
}

impl<'a> Talk<'a> {
    fn new(lease: &'a mut Lease) -> Self {
        let let_go = lease.let_go.clone();
        lease.busy.set(false);
        let now = Now { lease, tracker: Tracker::default(), writing: [false; 2], ended: [false; 2] };
        Self { now: Mutex::new(now), let_go }
    }

    /// Never held across an await.
    fn now(&self) -> MutexGuard<'_, Now<'a>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries one way until its end, which it passes on. What the receiver cannot take yet waits, and the sender with it.
    async fn pump(&self, from: &TcpStream, to: &TcpStream, side: Side) -> Result<(), Stop> {
        let mut let_go = std::pin::pin!(self.let_go.cancelled());
        let mut told = false;
        loop {
            tokio::select! {
                biased;
                () = &mut let_go, if !told => {
                    told = true;
                    if self.now().free() {
                        return Err(Stop::LetGo);
                    }
                    continue;
                }
                readable = from.readable() => readable?,
            }
            let (over, left) = SCRATCH.with_borrow_mut(|scratch| self.hand_over(from, to, side, scratch))?;
            if over {
                return match rustix::net::shutdown(to, Shutdown::Write) {
                    // The other way has ended it all.
                    Err(rustix::io::Errno::NOTCONN) => Ok(()),
                    outcome => Ok(outcome.map_err(io::Error::from)?),
                };
            }
            if !left.is_empty() {
                write(to, &left).await?;
                let mut now = self.now();
                now.writing[side as usize] = false;
                now.settle();
            }
            if self.let_go.is_cancelled() && self.now().free() {
                return Err(Stop::LetGo);
            }
            // Two sides that are always ready do not keep the thread to themselves.
            tokio::task::coop::consume_budget().await;
        }
    }

    /// Reads once and writes once. Whether the sender has ended, and what the receiver has not taken.
    fn hand_over(
        &self,
        from: &TcpStream,
        to: &TcpStream,
        side: Side,
        scratch: &mut [u8],
    ) -> Result<(bool, Vec<u8>), Stop> {
        let mut now = self.now();
        now.before_reading(side)?;
        let read = from.try_read(scratch);
        let length = match read {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                now.settle();
                return Ok((false, Vec::new()));
            }
            Err(error) => return Err(error.into()),
        };
        now.read(side, &scratch[..length]);
        if length == 0 {
            now.ended[side as usize] = true;
            now.settle();
            return Ok((true, Vec::new()));
        }
        let written = match to.try_write(&scratch[..length]) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error.into()),
        };
        now.writing[side as usize] = written < length;
        now.settle();
        Ok((false, scratch[written..length].to_vec()))
    }
}

async fn write(to: &TcpStream, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        to.writable().await?;
        match to.try_write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
