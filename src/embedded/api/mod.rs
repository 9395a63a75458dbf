//! The Docker Engine API: routes, parameters, streams, statuses. Decides nothing.

mod answer;
mod build;
mod changes;
mod commit;
mod containers;
mod disk;
mod escape;
mod events;
mod exec;
mod filter;
mod images;
mod kit;
mod machine;
mod networks;
mod own;
mod request;
pub mod session;
mod stream;
mod system;
mod volumes;

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Frame, SizeHint};

use self::answer::Refusal;
use self::session::{Hold, Session};
use super::build::Builder;
use super::containers::Containers;
use super::events::Events;
use super::images::Images;
use super::kit::Kit;
use super::layout::Layout;
use super::network::Networks;
use super::spec::Machine;
use super::volumes::Volumes;

/// What the routes work on.
#[derive(Debug, Clone)]
pub struct Engine {
    /// Folders.
    pub layout: Layout,
    /// What this machine has.
    pub machine: Machine,
    /// Whether the engine is asked for anything, and its end.
    pub session: Session,
    /// Events.
    pub events: Events,
    /// Images.
    pub images: Images,
    /// Volumes.
    pub volumes: Volumes,
    /// Networks.
    pub networks: Networks,
    /// Containers.
    pub containers: Containers,
    /// Builds.
    pub builder: Builder,
    /// Builds for clients that speak BuildKit's protocol.
    pub kit: Kit,
}

/// All routes, with and without a version before them.
pub fn router(engine: Engine) -> Router {
    let session = engine.session.clone();
    let routes = Router::new()
        .merge(system::routes())
        .merge(own::routes())
        .merge(containers::routes())
        .merge(exec::routes())
        .merge(images::routes())
        .merge(build::routes())
        .merge(kit::routes())
        .merge(commit::routes())
        .merge(networks::routes())
        .merge(volumes::routes())
        .merge(events::routes())
        .fallback(async || no_page())
        .method_not_allowed_fallback(async || no_page())
        // Bodies are bounded where they are read whole.
        .layer(DefaultBodyLimit::disable())
        .with_state(engine);
    // The path is changed before a route is looked for.
    Router::new().fallback_service(routes).layer(from_fn_with_state(session, answer_one))
}

/// What there is at no other path.
fn no_page() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "page not found")
}

/// Around every request: it is noted as long as it lasts, its version is taken off, its answer says who gives it.
async fn answer_one(State(session): State<Session>, mut request: Request, next: Next) -> Response {
    let hold = session.begin();
    request.extensions_mut().insert(hold.clone());
    let stopping = session.is_stopping() && !request.uri().path().starts_with("/hoist/");
    let mut response = match request::unversion(&mut request) {
        Err(refusal) => refusal.into_response(),
        Ok(()) if stopping => {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the engine is stopping; try again in a moment")
                .into_response()
        }
        Ok(()) => next.run(request).await,
    };
    response.headers_mut().extend(system::headers());
    response.map(|body| Body::new(Held { body, _hold: hold }))
}

/// A body that is open as long as the client reads it.
struct Held {
    body: Body,
    _hold: Hold,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
