//! The socket and its connections.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use nix::unistd::{Group, chown};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::embedded::error::Error;
use crate::embedded::layout::Layout;

/// Connections that are served at once; further ones wait.
const CONNECTIONS: usize = 1024;
/// How long an answer that has been begun may take once the engine ends.
const FAREWELL: Duration = Duration::from_secs(2);
/// Groups whose people may use the engine, the first that is there.
const GROUPS: [&str; 2] = ["hoist", "docker"];

/// Opens the socket, in the place of one that an earlier engine has left.
pub(super) fn listen(layout: &Layout) -> Result<UnixListener, Error> {
    let path = layout.socket();
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io(format!("remove the old socket `{}`", path.display()))(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(Error::io(format!(
        "listen at `{}` (the path of a socket has at most 107 bytes; HOIST_HOME names another folder)",
        path.display()
    )))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o660))
        .map_err(Error::io(format!("restrict the socket `{}`", path.display())))?;
    let group = GROUPS.iter().find_map(|name| Group::from_name(name).ok().flatten());
    if let Some(group) = group
        && let Err(error) = chown(&path, None, Some(group.gid))
    {
        tracing::warn!("the socket stays the superuser's: {error}");
    }
    Ok(listener)
}

/// Serves until `end`; answers that have been begun then have a moment to be finished.
pub(super) async fn serve(listener: UnixListener, router: Router, end: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((connection, _)) => {
                    connections.spawn(connect(connection, router.clone(), end.clone()));
                }
                Err(error) => {
                    tracing::warn!("a connection was not accepted: {error}");
                    // Out of descriptors, most likely: one that is given back lets the next in.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = end.cancelled() => break,
        }
    }
    drop(listener);
    let farewell = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
        connections.shutdown().await;
    }
}

async fn connect(connection: UnixStream, router: Router, end: CancellationToken) {
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(connection), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = end.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended early: {error}");
    }
}
