//! What happens in the engine, told to whoever asked (Docker Engine API, `GET /events`).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bollard_stubs::models::{EventActor, EventMessage, EventMessageScopeEnum, EventMessageTypeEnum};
use tokio::sync::broadcast;

/// How many past events can be asked for.
const REMEMBERED: usize = 1024;

/// The engine's events; clones share them.
#[derive(Debug, Clone)]
pub struct Events {
    sender: broadcast::Sender<EventMessage>,
    past: Arc<Mutex<VecDeque<EventMessage>>>,
}

impl Default for Events {
    fn default() -> Self {
        Self { sender: broadcast::channel(REMEMBERED).0, past: Arc::default() }
    }
}

impl Events {
    /// Tells that `action` (`start`, `die`, `create`) happened to `id`. `attributes` are what filters and people look at:
    /// labels, `image`, `name`, `exitCode`.
    pub fn tell(&self, kind: EventMessageTypeEnum, action: &str, id: &str, attributes: HashMap<String, String>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let event = EventMessage {
            typ: Some(kind),
            action: Some(action.to_owned()),
            actor: Some(EventActor { id: Some(id.to_owned()), attributes: Some(attributes) }),
            scope: Some(EventMessageScopeEnum::LOCAL),
            time: i64::try_from(now.as_secs()).ok(),
            time_nano: i64::try_from(now.as_nanos()).ok(),
        };
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        past.push_back(event.clone());
        if past.len() > REMEMBERED {
            past.pop_front();
        }
        // Told under the lock, so that a listener misses none between the past and what is to come. No listener is fine.
        let _ = self.sender.send(event);
    }

    /// The events so far that are remembered, and those to come.
    #[must_use]
    pub fn listen(&self) -> (Vec<EventMessage>, broadcast::Receiver<EventMessage>) {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        (past.iter().cloned().collect(), self.sender.subscribe())
    }
}
