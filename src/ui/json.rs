//! Messages as JSON lines, for programs: an object each, with the time at which it was printed.

use serde_json::{Map, Value, json};

use super::{Line, Message};
use crate::engine::Progress;
use crate::reconcile::notice::Notice;

/// The objects of a message, each with its line end. `time` is RFC 3339.
pub(super) fn objects(message: &Message, time: &str) -> String {
    match message {
        Message::Notice(notice) => record(notice, None, time),
        Message::Line(line) => object(line_value(line), time),
        Message::Lines(lines) => lines.iter().map(|line| object(line_value(line), time)).collect(),
        Message::LastLines { service, lines } => {
            object(json!({ "notice": "last-lines", "service": service, "lines": lines }), time)
        }
        Message::Scene(_) => String::new(),
        Message::Progress { service, progress } => object(progress_value(service, progress), time),
    }
}

/// So many paths of an edit are left for `hoist events`.
const MOST_PATHS: usize = 100;

/// The line that a notice leaves for `hoist events`: its object, and what a person is told.
pub(super) fn record(notice: &Notice, text: Option<&str>, time: &str) -> String {
    let value = serde_json::to_value(notice).unwrap_or_else(|error| json!({ "error": error.to_string() }));
    let mut value = seconds_for_durations(value);
    // Hooks have variables, which are nothing for a file, and files are many.
    for counted in ["/operation/exec", "/operation/files/copied", "/operation/files/deleted"] {
        if let Some(many) = value.pointer_mut(counted) {
            *many = many.as_array().map_or(0, Vec::len).into();
        }
    }
    if let Some(paths) = value.get_mut("paths").and_then(Value::as_array_mut) {
        paths.truncate(MOST_PATHS);
    }
    if let (Value::Object(map), Some(text)) = (&mut value, text) {
        map.insert("text".into(), text.into());
    }
    object(value, time)
}

fn object(value: Value, time: &str) -> String {
    let mut map = Map::new();
    map.insert("time".into(), time.into());
    if let Value::Object(rest) = value {
        map.extend(rest);
    }
    format!("{}\n", Value::Object(map))
}

fn line_value(line: &Line) -> Value {
    let stream = if line.stderr { "stderr" } else { "stdout" };
    json!({ "service": line.service, "number": line.number, "stream": stream, "line": line.text })
}

fn progress_value(service: &str, progress: &Progress) -> Value {
    match progress {
        Progress::Step(step) => json!({ "notice": "progress", "service": service, "step": step }),
        Progress::Output(output) => json!({ "notice": "progress", "service": service, "output": output }),
        Progress::Bytes { received, total } => {
            json!({ "notice": "progress", "service": service, "received": received, "total": total })
        }
    }
}

/// Durations as numbers of seconds instead of pairs of seconds and nanoseconds.
pub(super) fn seconds_for_durations(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let part = |name: &str| map.get(name).and_then(Value::as_u64);
            if let (2, Some(seconds), Some(nanos)) = (map.len(), part("secs"), part("nanos")) {
                #[expect(clippy::cast_precision_loss, reason = "what is lost is less than a microsecond in a year")]
                let seconds = seconds as f64 + nanos as f64 / 1e9;
                return json!(seconds);
            }
            Value::Object(map.into_iter().map(|(key, value)| (key, seconds_for_durations(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(seconds_for_durations).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{objects, record};
    use crate::plan::operation::{Keep, Operation, SyncFiles};
    use crate::project::Hook;
    use crate::reconcile::notice::Notice;
    use crate::ui::{Line, Message};

    #[test]
    fn a_notice_is_an_object_with_its_durations_in_seconds() {
        let notice =
            Notice::Healthy { service: "users".into(), number: 1, took: Duration::from_millis(420), edit: None };
        assert_eq!(
            objects(&Message::Notice(notice), "T"),
            "{\"time\":\"T\",\"notice\":\"healthy\",\"service\":\"users\",\"number\":1,\"took\":0.42}\n"
        );
    }

    #[test]
    fn a_record_has_the_words_and_no_values_of_variables() {
        let hook = Hook {
            command: vec!["reload".into()],
            environment: [("KEY".into(), Some("hunter2".into()))].into(),
            ..Hook::default()
        };
        let operation = Operation::Sync {
            service: "web".into(),
            containers: Vec::new(),
            files: SyncFiles::default(),
            exec: vec![hook],
            keep: Keep::Nothing,
            compare: false,
        };
        let notice = Notice::Done { operation, took: Duration::from_millis(5), edit: None };
        let line = record(&notice, Some("web synced"), "T");
        assert!(line.contains(r#""text":"web synced""#) && line.contains(r#""exec":1"#), "{line}");
        assert!(!line.contains("hunter2"), "{line}");
    }

    #[test]
    fn a_line_is_an_object_with_its_stream() {
        let line = Line { service: "db".into(), number: 2, stderr: true, text: "no \"disk\"".into() };
        assert_eq!(
            objects(&Message::Lines(vec![line]), "T"),
            "{\"time\":\"T\",\"service\":\"db\",\"number\":2,\"stream\":\"stderr\",\"line\":\"no \\\"disk\\\"\"}\n"
        );
    }
}
