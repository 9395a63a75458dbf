//! What hoist's own engine does beyond the Docker Engine API, asked by hand because bollard has no request for it.

use std::fmt::Write as _;
use std::io;

use tokio::net::UnixStream;

use super::{Docker, ping};
use crate::engine::{EngineError, rm};

/// So many bytes of paths go into one request.
const ROOM: usize = 16 * 1024;
/// No answer comes near this many bytes.
const LONGEST: u64 = 64 * 1024;

impl Docker {
    /// Removes files and folders of a container, running or not; `rm` does it in a running one where the engine cannot.
    pub(super) async fn remove_paths(&self, id: &str, paths: &[String]) -> Result<(), EngineError> {
        let socket = self.address().strip_prefix("unix://");
        let Some(socket) = socket.filter(|_| !paths.is_empty()) else { return rm(self, id, paths).await };
        if !self.abilities().await?.removes_files {
            return rm(self, id, paths).await;
        }
        let mut queries = vec![String::new()];
        for path in paths {
            if queries.last().is_some_and(|query| query.len() > ROOM) {
                queries.push(String::new());
            }
            if let Some(query) = queries.last_mut() {
                query.push_str(if query.is_empty() { "path=" } else { "&path=" });
                query.push_str(&escaped(path));
            }
        }
        for query in queries {
            let refused = |message: String| EngineError::Refused { message };
            let answer = ask(socket, &format!("DELETE /containers/{id}/archive?{query}")).await;
            let answer = answer.map_err(|error| EngineError::Unreachable { message: error.to_string() })?;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
            match head.split(' ').nth(1) {
                Some("204") => {}
                Some("404") => return Err(EngineError::NotFound { message: words(body) }),
                _ => return Err(refused(words(body))),
            }
        }
        Ok(())
    }
}

async fn ask(socket: &str, request: &str) -> io::Result<String> {
    ping::exchange(UnixStream::connect(socket).await?, request, LONGEST).await
}

/// The `message` of a refusal.
fn words(body: &str) -> String {
    let refusal: Option<serde_json::Value> = serde_json::from_str(body.trim()).ok();
    let message = refusal.as_ref().and_then(|refusal| refusal["message"].as_str());
    message.unwrap_or("the engine does not remove files").to_owned()
}

/// A path as it stands in a query (RFC 3986, section 2.1).
fn escaped(path: &str) -> String {
    path.bytes().fold(String::new(), |mut text, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => text.push(byte.into()),
            _ => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn a_path_in_a_query_is_escaped() {
        assert_eq!(escaped("/src/a b&path=ü.js"), "/src/a%20b%26path%3D%C3%BC.js");
    }
}
