//! Commands in containers.

use tokio::sync::{mpsc, oneshot};

use super::super::frame::{self, Kind};
use super::super::{Exec, ExecProcess, Exit};
use super::{Inner, pump, spawn, started};
use crate::embedded::error::Error;

/// Sizes that wait.
const SIZES: usize = 4;

/// Runs a command in a container.
pub(in super::super) async fn exec(inner: &Inner, command: &ExecProcess) -> Result<Exec, Error> {
    let (mut child, mut line, said) = spawn("exec", &inner.folder).map_err(Error::io("start the command's process"))?;
    let mut hello = Vec::new();
    frame::put_json(&mut hello, Kind::Hello, command);
    line.send(&hello).await.map_err(Error::io("tell the command's process what to run"))?;
    let started = started(&mut line, &mut child, said).await?;
    let (attached, ends) = pump::channels(command.stdin);
    let (resize, sizes) = mpsc::channel(SIZES);
    let (sender, exit) = oneshot::channel();
    // It belongs to the command and ends with it: also when the client has gone the command goes on, and its output has to
    // be read.
    tokio::spawn(async move {
        let (reader, writer) = line.stream.into_split();
        let ended = tokio::select! {
            ended = pump::read(reader, line.decoder, ends.output, true) => ended,
            () = pump::write(writer, ends.input, Some(sizes)) => None,
        };
        // Nobody may wait for it.
        let _ = sender.send(ended.unwrap_or_else(|| Exit {
            code: 137,
            oom_killed: false,
            finished_at: chrono::Utc::now(),
            error: Some("the process that ran it was killed".into()),
        }));
        let _ = child.wait().await;
    });
    Ok(Exec { pid: started.pid, attached, exit, resize })
}
