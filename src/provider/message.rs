//! What a provider says while it works: JSON objects, one after the other.

use serde::Deserialize;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// What it is doing.
    Info(String),
    /// Why it cannot go on.
    Error(String),
    /// For who develops it.
    Debug(String),
    /// Something that the dependents have to know.
    Variable {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
        /// Whether the name is taken as it is, without the service's in front.
        plain: bool,
    },
}

/// As it is written.
#[derive(Deserialize)]
struct Written {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    message: String,
}

/// Takes the first message off what has been read; `None` when it is not whole yet. What cannot be one is given back.
pub(super) fn take(read: &mut Vec<u8>) -> Result<Option<Message>, String> {
    let mut values = serde_json::Deserializer::from_slice(read).into_iter::<Written>();
    let written = match values.next() {
        None => return Ok(None),
        Some(Ok(written)) => written,
        Some(Err(error)) if error.is_eof() => return Ok(None),
        Some(Err(_)) => return Err(beginning(read)),
    };
    let used = values.byte_offset();
    let message = match written.kind.as_str() {
        "info" => Message::Info(written.message),
        "error" => Message::Error(written.message),
        "debug" => Message::Debug(written.message),
        kind @ ("setenv" | "rawsetenv") => match written.message.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                Message::Variable { name: name.to_owned(), value: value.to_owned(), plain: kind == "rawsetenv" }
            }
            _ => return Err(beginning(read)),
        },
        _ => return Err(beginning(read)),
    };
    read.drain(..used);
    Ok(Some(message))
}

/// The first line of it, as far as it can be shown.
fn beginning(read: &[u8]) -> String {
    let text = String::from_utf8_lossy(read);
    text.trim_start().lines().next().unwrap_or_default().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<Message>, String> {
        let mut read = text.as_bytes().to_vec();
        std::iter::from_fn(|| take(&mut read).transpose()).collect()
    }

    #[test]
    fn messages_are_read_however_they_are_spaced() {
        let read =
            all("{\"type\":\"info\",\"message\":\"a\"}{\n \"type\": \"setenv\",\n \"message\": \"URL=a=b\"}\n\n");
        let variable = Message::Variable { name: "URL".into(), value: "a=b".into(), plain: false };
        assert_eq!(read, Ok(vec![Message::Info("a".into()), variable]));
    }

    #[test]
    fn a_message_that_is_not_whole_yet_is_waited_for() {
        let mut read = b" {\"type\":\"info\",\"mess".to_vec();
        assert_eq!(take(&mut read), Ok(None));
        read.extend(b"age\":\"now\"}");
        assert_eq!(take(&mut read), Ok(Some(Message::Info("now".into()))));
        assert_eq!(take(&mut read), Ok(None));
    }

    #[test]
    fn what_is_no_message_is_shown() {
        assert_eq!(all("Creating…\nmore"), Err("Creating…".into()));
        assert_eq!(all(r#"{"type":"dance"}"#), Err(r#"{"type":"dance"}"#.into()));
        assert_eq!(all(r#"{"type":"setenv","message":"URL"}"#), Err(r#"{"type":"setenv","message":"URL"}"#.into()));
    }
}
