//! A shell that is kept in a container which files are synced into. A request for a container's files takes an engine
//! about 60 ms, because it starts a helper process for each; the shell does the same in two or three.
//!
//! It is opened behind the first such request and used for the next ones. What it cannot do (an image without `sh` or
//! `tar`, a container that has stopped, capabilities that were dropped) is asked of the engine as before: every request
//! can be repeated.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio_util::task::AbortOnDropHandle;

use super::{Docker, ExecOptions};
use crate::engine::{EngineError, LogChunk};
use crate::project::Hook;

/// Containers that have a shell at the same time: more than anybody saves files of at once.
const MOST: usize = 16;
/// The largest tar that goes in or comes out through a shell; for more, what a request costs does not matter.
const LARGEST: usize = 4 << 20;
/// How long a shell may take to be there, and to do what it is asked for.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long the engine is left alone before it is asked for a shell: what comes up now is waited for, and nobody saves
/// the next file that soon.
const BREATH: Duration = Duration::from_secs(1);

/// Reads requests: a line of a word and a number, then so many bytes of a tar, or so many lines of paths. Answers with
/// base64, where there is something to tell, and a last line. A request that fails is its end, so that nothing of a tar
/// can be taken for a request. It begins with what it has of the capabilities that [`READY`] names.
const SCRIPT: &str = r#"
exec 2>/dev/null
dd bs=1 count=1 iflag=fullblock </dev/null && tar --help >/dev/null 2>&1 && echo x | base64 >/dev/null || exit
while read -r name capabilities; do [ "$name" = CapEff: ] && break; done </proc/self/status
echo "ready $((0x${capabilities#????????????} & 27))"
while read -r request size; do
  case $request in
    unpack)
      dd bs="$size" count=1 iflag=fullblock | tar -xpf - -C / || exit ;;
    remove)
      set --
      while [ "$size" -gt 0 ]; do IFS= read -r path; set -- "$@" "$path"; size=$((size - 1)); done
      rm -rf -- "$@" || exit ;;
    pack)
      IFS= read -r path
      if [ -e "$path" ] || [ -L "$path" ]; then
        { tar -cf - -C "${path%/*}/" "${path##*/}" || echo failed; } | base64 || exit
      fi ;;
    *) exit ;;
  esac
  echo .
done
"#;

/// What a shell says that may write what is somebody else's and give it to them: `chown`, `dac_override`, `fowner` and
/// `fsetid`.
const READY: &str = "ready 27";

/// The shells of an engine's containers, by container. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Shells(Arc<Mutex<HashMap<String, Arc<Place>>>>);

/// Where a container's shell is. Locked while it works, which is across an await: it does one thing at a time.
type Place = tokio::sync::Mutex<Stay>;

enum Stay {
    /// Aborted when its container is forgotten.
    Opening(AbortOnDropHandle<Option<Shell>>),
    Ready(Shell),
    /// The container cannot have one, or a request was given up before its answer was there.
    Nowhere,
}

struct Shell {
    output: BoxStream<'static, Result<LogChunk, EngineError>>,
    input: Pin<Box<dyn AsyncWrite + Send>>,
    /// What has been read and not looked at.
    read: BytesMut,
    /// Not every `tar` says that it could not give a file to its owner.
    gives_files_away: bool,
    /// It has done something already.
    proven: bool,
}

struct Request {
    line: String,
    gives_files_away: bool,
}

impl Shells {
    fn places(&self) -> MutexGuard<'_, HashMap<String, Arc<Place>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A container is gone, and its shell with it.
    pub(super) fn forget(&self, id: &str) {
        self.places().remove(id);
    }
}

impl Docker {
    /// More files are likely to follow into this container, which runs.
    pub(super) fn expect_files(&self, id: &str) {
        let mut places = self.shells.places();
        if !places.contains_key(id) && places.len() < MOST {
            places.insert(id.to_owned(), self.opening(id));
        }
    }

    /// A container has been started again, and its shell has ended.
    pub(super) fn reopen_shell(&self, id: &str) {
        if self.shells.places().contains_key(id) {
            self.shells.places().insert(id.to_owned(), self.opening(id));
        }
    }

    fn opening(&self, id: &str) -> Arc<Place> {
        // The task must not hold what holds it.
        let engine = Self { shells: Shells::default(), ..self.clone() };
        let id = id.to_owned();
        let opening = async move {
            tokio::time::sleep(BREATH).await;
            tokio::time::timeout(DEADLINE, engine.open_shell(&id)).await.ok().flatten()
        };
        Arc::new(Place::new(Stay::Opening(AbortOnDropHandle::new(tokio::spawn(opening)))))
    }

    async fn open_shell(&self, id: &str) -> Option<Shell> {
        // An engine that does it fast itself.
        if self.abilities().await.ok()?.removes_files {
            return None;
        }
        let command = vec!["sh".to_owned(), "-c".to_owned(), SCRIPT.to_owned()];
        let hook = Hook { command, user: Some("0".to_owned()), working_dir: Some("/".to_owned()), ..Hook::default() };
        let started = self.exec_interactive(id, &ExecOptions { hook, tty: false, stdin: true }).await.ok()?;
        let (output, input, read) = (started.output, started.input, BytesMut::new());
        let mut shell = Shell { output, input, read, gives_files_away: false, proven: false };
        let word = shell.line().await?;
        shell.gives_files_away = word == READY;
        word.starts_with("ready").then_some(shell)
    }

    /// Unpacks a tar at `/`; `None` when the engine is to do it.
    pub(super) async fn unpack_in_shell(&self, id: &str, tar: &Bytes) -> Option<()> {
        if tar.len() > LARGEST {
            return None;
        }
        let request = Request { line: format!("unpack {}\n", tar.len()), gives_files_away: !is_of_root(tar) };
        self.in_shell(id, &request, tar).await.map(drop)
    }

    /// Removes files and folders; `None` when the engine is to do it.
    pub(super) async fn remove_in_shell(&self, id: &str, paths: &[String]) -> Option<()> {
        let lines = lines(paths)?;
        let request = Request { line: format!("remove {}\n", paths.len()), gives_files_away: false };
        self.in_shell(id, &request, &lines).await.map(drop)
    }

    /// A tar of what is at a path, empty when there is nothing; `None` when the engine is to give it.
    pub(super) async fn pack_in_shell(&self, id: &str, path: &str) -> Option<Bytes> {
        let name = path.rsplit('/').next().filter(|name| !name.is_empty() && !name.starts_with('-'));
        name.filter(|name| *name != "." && *name != "..")?;
        let lines = lines(std::slice::from_ref(&path.to_owned()))?;
        let request = Request { line: "pack 1\n".to_owned(), gives_files_away: false };
        let tar = self.in_shell(id, &request, &lines).await?;
        // A `tar` that failed has words behind it.
        (tar.len() % 512 == 0).then_some(tar)
    }

    /// What a container's shell answers; `None` when there is none, or it fails. Dropped, the shell ends.
    async fn in_shell(&self, id: &str, request: &Request, input: &[u8]) -> Option<Bytes> {
        let place = self.shells.places().get(id).cloned()?;
        let mut stay = place.lock().await;
        if matches!(&*stay, Stay::Opening(opening) if !opening.is_finished()) {
            return None;
        }
        let mut shell = match std::mem::replace(&mut *stay, Stay::Nowhere) {
            Stay::Opening(opening) => opening.await.ok().flatten()?,
            Stay::Ready(shell) => shell,
            Stay::Nowhere => return None,
        };
        if request.gives_files_away && !shell.gives_files_away {
            *stay = Stay::Ready(shell);
            return None;
        }
        let answer = tokio::time::timeout(DEADLINE, shell.ask(&request.line, input)).await.ok().flatten();
        if answer.is_some() {
            shell.proven = true;
            *stay = Stay::Ready(shell);
        } else if shell.proven {
            // Its container may have been started again meanwhile; the next request makes another.
            self.shells.forget(id);
        }
        answer
    }
}

impl Shell {
    async fn ask(&mut self, request: &str, input: &[u8]) -> Option<Bytes> {
        self.input.write_all(request.as_bytes()).await.ok()?;
        self.input.write_all(input).await.ok()?;
        self.input.flush().await.ok()?;
        let mut answer = String::new();
        loop {
            let line = self.line().await?;
            if line == "." {
                return BASE64.decode(answer).ok().map(Bytes::from);
            }
            answer.push_str(&line);
            if answer.len() > LARGEST {
                return None;
            }
        }
    }

    /// The next line, without its end.
    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line = self.read.split_to(end + 1);
                return std::str::from_utf8(&line[..end]).ok().map(str::to_owned);
            }
            if self.read.len() > LARGEST {
                return None;
            }
            self.read.extend_from_slice(&self.output.next().await?.ok()?.bytes);
        }
    }
}

/// Whether all that is in a tar is root's, as whom the shell works.
fn is_of_root(tar: &Bytes) -> bool {
    let mut archive = tar::Archive::new(tar.as_ref());
    let Ok(mut entries) = archive.entries() else { return false };
    entries.all(|entry| {
        entry.is_ok_and(|entry| entry.header().uid().ok() == Some(0) && entry.header().gid().ok() == Some(0))
    })
}

/// Paths, each on a line; `None` when one would be two.
fn lines(paths: &[String]) -> Option<Vec<u8>> {
    if paths.iter().any(|path| path.contains('\n') || !path.starts_with('/')) {
        return None;
    }
    Some(paths.iter().flat_map(|path| [path.as_bytes(), b"\n"].concat()).collect())
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn a_path_that_would_be_two_requests_is_none() {
        let paths = |text: &[&str]| text.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
        assert_eq!(lines(&paths(&["/a b", "/c"])), Some(b"/a b\n/c\n".to_vec()));
        assert_eq!(lines(&paths(&["/a\nremove 1\n/"])), None);
        assert_eq!(lines(&paths(&["a"])), None);
    }
}
