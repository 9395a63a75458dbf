//! The daemon's side of the helper: starting one, feeding it, listening to it. A helper goes with who asked for it.
//!
//! Short work is done by a spare one: started beforehand, for a program takes longer to start than to write a file, and kept
//! for as long as such work comes.

use std::ffi::OsString;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::super::error::Error;
use super::super::{ByteStream, ROLE, program};
use super::helper::{Failure, SPARE_WORK, Work};

/// More than a helper says beside data.
const MOST_SAID: u64 = 64 * 1024;
/// Bytes of data that are passed on at once.
const CHUNK: usize = 128 * 1024;
/// How long a spare helper waits for work.
const SPARE: Duration = Duration::from_mins(10);

/// The helper that waits for work, of the runtime whose it is.
static WAITING: Mutex<Option<Spare>> = Mutex::new(None);

struct Spare {
    child: Child,
    runtime: tokio::runtime::Id,
}

/// Has a piece of work done that gives no data, and returns what the helper says of it.
pub(super) async fn perform<T: DeserializeOwned>(work: &Work, input: Option<ByteStream>) -> Result<T, Error> {
    finish(start(work, input.is_some())?, input).await
}

/// The same for work that takes no longer than a few milliseconds.
pub(super) async fn perform_shortly<T: DeserializeOwned>(work: &Work, input: Option<ByteStream>) -> Result<T, Error> {
    let mut child = match spare() {
        Some(child) => child,
        None => spawn(OsString::from(SPARE_WORK), true)?,
    };
    let done = match tell(&mut child, work).await {
        Ok(()) => {
            child.stdin = child.stdin.filter(|_| input.is_some());
            finish(child, input).await
        }
        // It has ended while it waited: for want of memory, say.
        Err(_) => perform(work, input).await,
    };
    tokio::spawn(async { keep_one() });
    done
}

/// Feeds a helper that works, and listens to it.
async fn finish<T: DeserializeOwned>(mut child: Child, input: Option<ByteStream>) -> Result<T, Error> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (fed, said, complaint) = tokio::join!(feed(stdin, input, &mut child), all(stdout), all(stderr));
    let status = child.wait().await.map_err(Error::io("wait for the helper"))?;
    // The input broke before the helper could: its complaint is about that.
    fed?;
    if !status.success() {
        return Err(why(&complaint, &status.to_string()));
    }
    let said = if said.is_empty() { b"null".to_vec() } else { said };
    serde_json::from_slice(&said).map_err(|error| Error::Failed(format!("the helper answered nonsense: {error}")))
}

/// Has a piece of work done that gives data: what the helper says before it, and the data. Dropped, it ends the helper.
pub(super) async fn stream<T: DeserializeOwned>(work: &Work) -> Result<(T, ByteStream), Error> {
    let mut child = start(work, false)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let mut stdout = BufReader::with_capacity(CHUNK, stdout);
    let mut line = Vec::new();
    let read = (&mut stdout).take(MOST_SAID).read_until(b'\n', &mut line).await;
    read.map_err(Error::io("listen to the helper"))?;
    if line.pop() != Some(b'\n') {
        let complaint = all(child.stderr.take()).await;
        let status = child.wait().await.map_err(Error::io("wait for the helper"))?;
        return Err(why(&complaint, &status.to_string()));
    }
    let said = serde_json::from_slice(&line)
        .map_err(|error| Error::Failed(format!("the helper answered nonsense: {error}")))?;
    Ok((said, data(child, stdout)))
}

/// What is left of its output; that it failed after all is the stream's last word.
fn data(child: Child, stdout: BufReader<ChildStdout>) -> ByteStream {
    futures_util::stream::try_unfold(Some((child, stdout)), |state| async move {
        let Some((mut child, mut stdout)) = state else { return Ok(None) };
        let chunk = Bytes::copy_from_slice(stdout.fill_buf().await?);
        if !chunk.is_empty() {
            stdout.consume(chunk.len());
            return Ok(Some((chunk, Some((child, stdout)))));
        }
        let complaint = all(child.stderr.take()).await;
        let status = child.wait().await?;
        if status.success() { Ok(None) } else { Err(std::io::Error::other(why(&complaint, &status.to_string()))) }
    })
    .boxed()
}

/// Takes the helper that waits, unless it is not for this runtime or has ended.
fn spare() -> Option<Child> {
    let Spare { mut child, runtime } = WAITING.lock().unwrap_or_else(PoisonError::into_inner).take()?;
    let is_ours = tokio::runtime::Handle::current().id() == runtime;
    (is_ours && matches!(child.try_wait(), Ok(None))).then_some(child)
}

/// Sees to it that a helper waits, for a while.
fn keep_one() {
    let runtime = tokio::runtime::Handle::current().id();
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    if waiting.as_ref().is_some_and(|spare| spare.runtime == runtime) {
        return;
    }
    let child = match spawn(OsString::from(SPARE_WORK), true) {
        Ok(child) => child,
        Err(error) => return tracing::debug!("no helper waits for work: {error}"),
    };
    let process = child.id();
    *waiting = Some(Spare { child, runtime });
    drop(waiting);
    tokio::spawn(async move {
        tokio::time::sleep(SPARE).await;
        let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        // It has been taken, and maybe another one waits.
        waiting.take_if(|spare| spare.child.id() == process);
    });
}

/// Tells a helper that waits what to do.
async fn tell(child: &mut Child, work: &Work) -> std::io::Result<()> {
    let work = serde_json::to_vec(work)?;
    let length = u32::try_from(work.len()).map_err(std::io::Error::other)?;
    let stdin = child.stdin.as_mut().ok_or(std::io::ErrorKind::BrokenPipe)?;
    stdin.write_all(&[&length.to_le_bytes()[..], &work].concat()).await
}

/// Starts a helper with its work.
fn start(work: &Work, input: bool) -> Result<Child, Error> {
    let work = serde_json::to_string(work)
        .map_err(|error| Error::Failed(format!("cannot write JSON for the helper: {error}")))?;
    spawn(work.into(), input)
}

/// Starts a helper; it is killed when the child is dropped.
fn spawn(work: OsString, input: bool) -> Result<Child, Error> {
    Command::new(program())
        .args([OsString::from(ROLE), "root".into(), work])
        .arg0("hoist")
        .env_clear()
        .current_dir("/")
        .stdin(if input { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(Error::io(format!("start {} as a helper", program().display())))
}

/// Writes the input to the helper. One that stops listening has failed and says why; an input that breaks must not look
/// like one that ended.
async fn feed(stdin: Option<ChildStdin>, input: Option<ByteStream>, child: &mut Child) -> Result<(), Error> {
    let (Some(mut stdin), Some(mut input)) = (stdin, input) else { return Ok(()) };
    loop {
        match input.try_next().await {
            Ok(Some(chunk)) => {
                if stdin.write_all(&chunk).await.is_err() {
                    return Ok(());
                }
            }
            Ok(None) => return Ok(()),
            Err(error) => {
                // Already gone is fine.
                let _ = child.start_kill();
                return Err(Error::Failed(format!("cannot read the archive: {error}")));
            }
        }
    }
}

/// What it says, to a bound.
async fn all(output: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut said = Vec::new();
    if let Some(output) = output {
        // Broken off is as good as ended: its status tells the rest.
        let _ = output.take(MOST_SAID).read_to_end(&mut said).await;
    }
    said
}

/// Its own words, or how it ended when it had none.
fn why(complaint: &[u8], status: &str) -> Error {
    serde_json::from_slice::<Failure>(complaint).map_or_else(
        |_| {
            let text = String::from_utf8_lossy(complaint);
            let text = format!("the helper process ended unexpectedly ({status}) {}", text.trim());
            Error::Failed(text.trim_end().to_owned())
        },
        Error::from,
    )
}

fn missing() -> Error {
    Error::Failed("the helper has no output".into())
}
