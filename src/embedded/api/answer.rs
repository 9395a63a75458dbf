//! Answers: statuses, JSON, streams of JSON, in the forms that clients of the Docker Engine API read.

use std::future::Future;
use std::task::Poll;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt as _};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::embedded::ByteStream;
use crate::embedded::build::exit_code;
use crate::embedded::error::Error;

/// What a route returns.
pub(super) type Answer = Result<Response, Refusal>;

/// A request that is not granted: its status, and the message for the person.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    /// One that no part of the engine has made.
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// 400.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 501.
    pub(super) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, message)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::NotFound(_) => StatusCode::NOT_FOUND,
            Error::Conflict(_) => StatusCode::CONFLICT,
            Error::Invalid(_) => StatusCode::BAD_REQUEST,
            Error::Forbidden(_) => StatusCode::FORBIDDEN,
            Error::NotModified => StatusCode::NOT_MODIFIED,
            Error::Unsupported(_) => StatusCode::NOT_IMPLEMENTED,
            Error::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, message: error.to_string() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if self.status == StatusCode::NOT_MODIFIED {
            return self.status.into_response();
        }
        if self.status.is_server_error() {
            tracing::warn!(status = self.status.as_u16(), "{}", self.message);
        }
        with_status(self.status, &json!({ "message": self.message }))
    }
}

/// 200 with a value.
pub(super) fn value(value: &impl Serialize) -> Response {
    with_status(StatusCode::OK, value)
}

/// A value with another status.
pub(super) fn with_status(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            (status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// 204.
pub(super) fn nothing() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// Values as they come, a line each.
pub(super) fn lines<T: Serialize>(values: impl Stream<Item = T> + Send + 'static) -> Response {
    let body = Body::from_stream(values.map(|value| line(&value)));
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

/// Bytes as they come.
pub(super) fn bytes(kind: &'static str, stream: ByteStream) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static(kind))], Body::from_stream(stream)).into_response()
}

/// Some work and the news that it sends meanwhile, a line each, and after them the lines that `last` makes of its result.
/// The work is done as the client reads and is dropped when the client goes. Work that fails before it had any news is
/// answered with a status.
pub(super) async fn work<T: 'static, N: Serialize + Send + 'static>(
    mut news: mpsc::Receiver<N>,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
    last: impl FnOnce(T) -> Vec<Value> + Send + 'static,
) -> Answer {
    let mut work = Some((Box::pin(work), last));
    let mut end: Option<Result<Vec<Value>, Error>> = None;
    let steps = stream::poll_fn(move |context| {
        let mut closed = false;
        match news.poll_recv(context) {
            Poll::Ready(Some(piece)) => return Poll::Ready(Some(Ok(line(&piece)))),
            Poll::Ready(None) => closed = true,
            Poll::Pending => {}
        }
        if let Some((running, _)) = &mut work {
            let Poll::Ready(result) = running.as_mut().poll(context) else { return Poll::Pending };
            let (_, last) = work.take().expect("it was there a line above");
            end = Some(result.map(last));
            // What it said last is still in the queue.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if !closed {
            return Poll::Pending;
        }
        match end.take() {
            Some(Ok(lines)) => {
                let lines: std::io::Result<Vec<Bytes>> = lines.iter().map(line).collect();
                Poll::Ready(Some(Ok(lines.map(|lines| lines.concat().into()))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => Poll::Ready(None),
        }
    });
    let mut steps = Box::pin(steps);
    let first = match steps.next().await {
        Some(Err(error)) => return Err(error.into()),
        Some(Ok(first)) => first.unwrap_or_default(),
        None => Bytes::new(),
    };
    let rest = steps.map(|step| step.unwrap_or_else(|error| line(&failure(&error))));
    let body = Body::from_stream(stream::once(async move { Ok(first) }).chain(rest));
    Ok(([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response())
}

/// How a failure reads in the middle of a stream.
fn failure(error: &Error) -> Value {
    let message = error.to_string();
    match exit_code(error) {
        Some(code) => json!({ "errorDetail": { "code": code, "message": message }, "error": message }),
        None => json!({ "errorDetail": { "message": message }, "error": message }),
    }
}

fn line(value: &impl Serialize) -> std::io::Result<Bytes> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.extend_from_slice(b"\r\n");
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn news_come_before_the_end_of_the_work() {
        let (sender, news) = mpsc::channel(1);
        let done = async move {
            for number in 0..3 {
                sender.send(number).await.unwrap();
            }
            Ok("end")
        };
        let response = work(news, done, |end| vec![json!(end)]).await.unwrap();
        assert_eq!(text(response).await, "0\r\n1\r\n2\r\n\"end\"\r\n");
    }

    #[tokio::test]
    async fn a_failure_before_any_news_has_a_status_and_one_after_is_in_the_stream() {
        let (sender, news) = mpsc::channel::<u8>(1);
        let fails = async move {
            drop(sender);
            Err::<(), _>(Error::NotFound("no".into()))
        };
        let refusal = work(news, fails, |()| Vec::new()).await.unwrap_err();
        assert_eq!((refusal.status, refusal.message.as_str()), (StatusCode::NOT_FOUND, "no"));
        let (sender, news) = mpsc::channel(1);
        let fails = async move {
            sender.send("begun").await.unwrap();
            Err::<(), _>(Error::Failed("The command 'x' returned a non-zero code: 3".into()))
        };
        let response = work(news, fails, |()| Vec::new()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let text = text(response).await;
        assert!(text.starts_with("\"begun\"\r\n") && text.contains("\"code\":3"), "{text}");
    }
}
