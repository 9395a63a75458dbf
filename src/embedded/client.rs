//! The other side of the daemon's own routes: starting it, asking how it is, ending it.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::error::Error;
use super::layout::Layout;
use super::{ROLE, program};

/// A daemon that starts answers within this time; recovering many containers takes the longest.
const START: Duration = Duration::from_secs(30);
/// A daemon that is told to stop stops its containers first, and each may take its grace period.
const STOP: Duration = Duration::from_mins(5);
/// No answer of these routes comes near this many bytes.
const LONGEST: u64 = 1 << 20;
/// The daemon ends by itself after so long without a container and without a request.
const IDLE: Duration = Duration::from_mins(10);

/// How a daemon is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Its process.
    pub pid: u32,
    /// Since when it runs, RFC 3339.
    pub since: String,
    /// Its version.
    pub version: String,
    /// Where its API is.
    pub socket: PathBuf,
    /// Where it keeps what outlives a reboot.
    pub state: PathBuf,
    /// Where it keeps what does not.
    pub run: PathBuf,
    /// What it says of itself.
    pub log: PathBuf,
    /// Containers that run.
    pub running: usize,
}

/// Whether a daemon was there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// It runs since now.
    Now,
    /// It ran before.
    Before,
}

/// How the daemon of these folders is; `None` when none answers.
pub async fn status(layout: &Layout) -> Option<Status> {
    ask(layout, "GET", "/hoist/status", "", Duration::from_secs(5)).await.ok()
}

/// Starts a daemon in the background, unless one answers, and returns when it does.
pub async fn start(layout: &Layout, home: Option<&str>) -> Result<Started, Error> {
    if status(layout).await.is_some() {
        return Ok(Started::Before);
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Error::Forbidden("hoist's own engine runs as root".into()));
    }
    let mut daemon = spawn(layout, home)?;
    let end = Instant::now() + START;
    loop {
        if status(layout).await.is_some() {
            return Ok(Started::Now);
        }
        let ended = daemon.try_wait().map_err(Error::io("ask for the engine's process"))?;
        if ended.is_some() || Instant::now() >= end {
            // Another may have been quicker, and this one have ended for that reason.
            if status(layout).await.is_some() {
                return Ok(Started::Before);
            }
            let what = if ended.is_some() { "ended at once" } else { "does not answer" };
            return Err(Error::Failed(format!("the engine {what}{}", last_words(layout))));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The daemon, apart from this process: it neither shares its terminal's signals nor ends with it.
fn spawn(layout: &Layout, home: Option<&str>) -> Result<Child, Error> {
    let log = layout.log();
    let folder = log.parent().unwrap_or(layout.state());
    std::fs::create_dir_all(folder).map_err(Error::io(format!("make the folder `{}`", folder.display())))?;
    let words = OpenOptions::new().create(true).append(true).open(&log);
    let words = words.map_err(Error::io(format!("write `{}`", log.display())))?;
    let mut command = Command::new(program());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.args([ROLE, "daemon", home.unwrap_or("-"), &IDLE.as_secs().to_string()]).current_dir("/");
    // One heap that grows and shrinks, in place of one a thread that only grows: a hundred starts at once are no reason to
    // stay large.
    command.env("MALLOC_ARENA_MAX", "1").env("MALLOC_TRIM_THRESHOLD_", "1048576");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(words);
    command.spawn().map_err(Error::io("start the engine"))
}

fn last_words(layout: &Layout) -> String {
    let text = std::fs::read_to_string(layout.log()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    let lines = lines.into_iter().rev().fold(String::new(), |text, line| text + "\n  " + line);
    format!("; the end of `{}`:{lines}", layout.log().display())
}

/// Stops the daemon and, with `containers`, what runs; without it, running containers are a refusal. Returns how many were
/// stopped.
pub async fn stop(layout: &Layout, containers: bool) -> Result<usize, Error> {
    #[derive(Deserialize)]
    struct Stopped {
        stopped: usize,
    }
    let body = format!("{{\"containers\":{containers}}}");
    let answer: Stopped = ask(layout, "POST", "/hoist/stop", &body, STOP).await?;
    let end = Instant::now() + Duration::from_secs(30);
    while layout.socket().exists() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(answer.stopped)
}

/// One request, its answer read to the end.
async fn ask<T: DeserializeOwned>(
    layout: &Layout,
    method: &str,
    path: &str,
    body: &str,
    patience: Duration,
) -> Result<T, Error> {
    let socket = layout.socket();
    let talk = async {
        let mut stream = UnixStream::connect(&socket).await?;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: engine\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(LONGEST).read_to_end(&mut answer).await?;
        Ok(answer)
    };
    let answer = tokio::time::timeout(patience, talk).await;
    let answer = answer.map_err(|_| Error::Failed(format!("the engine does not answer within {patience:?}")))?;
    let answer = answer.map_err(Error::io(format!("reach the engine at `{}`", socket.display())))?;
    read(&answer)
}

fn read<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Error> {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    let strange = || Error::Failed("the engine's answer cannot be understood".into());
    let text = std::str::from_utf8(answer).map_err(|_| strange())?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(strange)?;
    if head.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) {
        return serde_json::from_str(body).map_err(|_| strange());
    }
    let refusal: Refusal = serde_json::from_str(body).map_err(|_| strange())?;
    Err(Error::Conflict(refusal.message))
}

#[cfg(test)]
mod tests {
    use super::{Error, read};

    #[test]
    fn an_answer_is_its_body_or_what_it_refuses() {
        assert_eq!(read::<u8>(b"HTTP/1.0 200 OK\r\n\r\n7"), Ok(7));
        let refused = b"HTTP/1.0 409 Conflict\r\n\r\n{\"message\":\"two containers run\"}";
        assert_eq!(read::<u8>(refused), Err(Error::Conflict("two containers run".into())));
        assert!(read::<u8>(b"nothing of the kind").is_err());
    }
}
