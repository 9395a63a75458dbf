//! As much HTTP as a scenario needs to ask a service that it started.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The body of a page on a port of this machine, or `None` when nothing answers with status 200 in time.
pub(crate) fn get(port: u16, path: &str) -> Option<String> {
    send(port, &format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n"))
}

/// The body of the answer to a POST, likewise.
pub(crate) fn post(port: u16, path: &str, body: &str) -> Option<String> {
    let length = body.len();
    send(port, &format!("POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"))
}

fn send(port: u16, request: &str) -> Option<String> {
    let patience = Duration::from_secs(3);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?;
    status.starts_with('2').then(|| body.to_owned())
}
