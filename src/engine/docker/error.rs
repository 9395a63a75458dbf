//! bollard's errors → [`EngineError`]: which kind of failure it is, in words without the noise of HTTP and runtimes.
//! Never asks an engine or the machine anything.

use std::path::PathBuf;

use bollard::errors::Error;

use crate::engine::EngineError;

/// The answer when an operation takes longer than any engine should.
const SILENT: &str = "the engine did not answer in time";

/// What an error of bollard means.
pub(super) fn from_bollard(error: Error) -> EngineError {
    match error {
        Error::DockerResponseServerError { status_code, message } => from_status(status_code, &message),
        Error::DockerStreamError { error } | Error::DockerContainerWaitError { error, .. } => from_message(&error),
        Error::RequestTimeoutError => EngineError::Unreachable { message: SILENT.to_owned() },
        Error::SocketNotFoundError(path) => {
            EngineError::Unreachable { message: format!("no engine listens on `{path}`") }
        }
        Error::HyperLegacyError { err } => unreachable_because(&err),
        Error::HyperResponseError { err } => unreachable_because(&err),
        Error::IOError { err } => unreachable_because(&err),
        Error::JsonDataError { message, .. } => {
            EngineError::Refused { message: format!("the engine's answer cannot be read: {message}") }
        }
        other => EngineError::Refused { message: other.to_string() },
    }
}

/// Whether the engine says that the thing is not there.
pub(super) fn is_not_found(error: &Error) -> bool {
    status_of(error) == Some(404)
}

/// The HTTP status with which the engine refused.
pub(super) fn status_of(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// The engine's words without what wraps them.
pub(super) fn readable(message: &str) -> String {
    let mut text = message.trim();
    for marker in ["Error response from daemon: ", "unable to start container process: ", "process caused: "] {
        if let Some((_, rest)) = text.rsplit_once(marker) {
            text = rest;
        }
    }
    let text = text.strip_suffix(": unknown").unwrap_or(text).trim_end_matches(['.', '\n']);
    let mut letters = text.chars();
    match letters.next() {
        // A first word in capitals is a name (`OCI`, `COPY`) and stays.
        Some(first) if letters.clone().next().is_some_and(char::is_lowercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

fn from_status(status: u16, message: &str) -> EngineError {
    match from_message(message) {
        EngineError::Refused { message } if status == 404 => EngineError::NotFound { message },
        EngineError::Refused { message } if message.is_empty() => {
            EngineError::Refused { message: format!("the engine refused with status {status}") }
        }
        error => error,
    }
}

fn from_message(message: &str) -> EngineError {
    if let Some(port) = taken_port(message) {
        return EngineError::PortTaken { port, holder: None };
    }
    if let Some((_, path)) = message.split_once("bind source path does not exist: ") {
        return EngineError::MissingPath { path: PathBuf::from(path.trim()) };
    }
    EngineError::Refused { message: readable(message) }
}

/// The host port of `Bind for 0.0.0.0:8080 failed: port is already allocated` and its many relatives.
fn taken_port(message: &str) -> Option<u16> {
    let lower = message.to_ascii_lowercase();
    if !lower.contains("port is already allocated") && !lower.contains("address already in use") {
        return None;
    }
    lower.split([' ', ',']).find_map(|word| {
        let (_, after) = word.split_once(address_end(word)?)?;
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok().filter(|port| *port != 0)
    })
}

/// What separates an address from its port in this word, when the word holds both.
fn address_end(word: &str) -> Option<&'static str> {
    if word.contains("]:") {
        Some("]:")
    } else if word.starts_with(":::") {
        Some(":::")
    } else if word.starts_with(|first: char| first.is_ascii_digit() || first == ':') && word.contains(':') {
        Some(":")
    } else {
        None
    }
}

/// The cause at the end of a chain is the only link that says something.
fn unreachable_because(error: &(dyn std::error::Error + 'static)) -> EngineError {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    EngineError::Unreachable { message: format!("the engine does not answer: {innermost}") }
}

#[cfg(test)]
mod tests {
    use super::{from_message, readable, taken_port};
    use crate::engine::EngineError;

    #[test]
    fn a_taken_port_is_found_in_the_words_of_every_engine() {
        for message in [
            "driver failed programming external connectivity on endpoint a (3f1): Bind for 0.0.0.0:8080 failed: port is already allocated",
            "driver failed programming external connectivity on endpoint a (3f1): Error starting userland proxy: listen tcp4 0.0.0.0:8080: bind: address already in use",
            "failed to set up container networking: driver failed programming external connectivity on endpoint a (3f1): failed to bind host port for 0.0.0.0:8080:172.17.0.2:80/tcp: address already in use",
            "failed to bind host port 0.0.0.0:8080/tcp: address already in use",
            "Bind for [::]:8080 failed: port is already allocated",
            "Bind for :::8080 failed: port is already allocated",
            "rootlessport listen tcp 0.0.0.0:8080: bind: address already in use",
            "listen tcp4 :8080: bind: address already in use",
        ] {
            assert_eq!(taken_port(message), Some(8080), "{message}");
        }
    }

    #[test]
    fn other_failures_are_no_port_conflicts() {
        assert_eq!(taken_port("no such image: 10.0.0.1:5000/a"), None);
    }

    #[test]
    fn the_runtimes_wrapping_is_taken_off() {
        let message = "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"nope\": executable file not found in $PATH: unknown";
        assert_eq!(readable(message), "exec: \"nope\": executable file not found in $PATH");
        assert_eq!(readable("No such image: a:latest"), "no such image: a:latest");
        assert_eq!(readable("OCI runtime missing"), "OCI runtime missing");
    }

    #[test]
    fn a_missing_bind_source_names_the_path() {
        let error = from_message("invalid mount config for type \"bind\": bind source path does not exist: /nowhere/x");
        assert_eq!(error, EngineError::MissingPath { path: "/nowhere/x".into() });
    }
}
