//! The first question to an engine, asked by hand because bollard does not hand out the answer's headers: whether it
//! is there, which API it speaks and how it builds.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use super::Version;

/// No engine's headers come near this many bytes.
const LONGEST_HEAD: u64 = 16 * 1024;

/// What an engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct Greeting {
    /// The newest API that it speaks.
    pub(in crate::engine) version: Version,
    /// It builds with BuildKit.
    pub(in crate::engine) buildkit: bool,
}

/// Asks an engine behind a Unix socket.
#[cfg(unix)]
pub(in crate::engine) async fn unix(path: &str) -> io::Result<Greeting> {
    ask(UnixStream::connect(path).await?).await
}

/// Asks an engine behind `host:port`, without TLS.
pub(in crate::engine) async fn tcp(address: &str) -> io::Result<Greeting> {
    ask(TcpStream::connect(address).await?).await
}

async fn ask(stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<Greeting> {
    parse(&exchange(stream, "GET /_ping", LONGEST_HEAD).await?).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "what answers is not an engine that speaks the Docker API")
    })
}

/// Sends a request without a body, and reads at most so many bytes of the answer.
pub(super) async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
    most: u64,
) -> io::Result<String> {
    let request = format!("{request} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(most).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn parse(answer: &str) -> Option<Greeting> {
    let mut lines = answer.lines();
    let status = lines.next()?;
    if !status.starts_with("HTTP/1") || status.split(' ').nth(1)? != "200" {
        return None;
    }
    let headers: Vec<(String, &str)> = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim())))
        .collect();
    let get = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
    let version = get("api-version")?.parse().ok()?;
    Some(Greeting { version, buildkit: has_buildkit(version, get("builder-version"), get("server"), get("ostype")) })
}

/// Newer Docker names its builder; an older one has BuildKit without saying so; others that serve the API have none.
fn has_buildkit(version: Version, builder: Option<&str>, server: Option<&str>, system: Option<&str>) -> bool {
    match builder {
        Some(builder) if !builder.is_empty() => builder == "2",
        _ => {
            version >= Version(1, 39)
                && system != Some("windows")
                && server.is_some_and(|server| server.starts_with("Docker/"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Greeting, parse};
    use crate::engine::docker::Version;

    #[test]
    fn an_engine_is_known_by_its_headers() {
        let old = "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nOstype: linux\r\nServer: Docker/20.10.24 (linux)\r\n\r\nOK";
        assert_eq!(parse(old), Some(Greeting { version: Version(1, 41), buildkit: true }));
        let new = "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nBuilder-Version: 2\r\n\r\nOK";
        assert_eq!(parse(new), Some(Greeting { version: Version(1, 51), buildkit: true }));
        let podman = "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nBuilder-Version: 1\r\nServer: Libpod/5.0\r\n\r\nOK";
        assert_eq!(parse(podman), Some(Greeting { version: Version(1, 41), buildkit: false }));
    }

    #[test]
    fn a_web_server_is_not_an_engine() {
        assert_eq!(parse("HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\nhello"), None);
        assert_eq!(parse("SSH-2.0-OpenSSH_9.2\r\n"), None);
        assert_eq!(parse(""), None);
    }
}
