//! What an apply would change of an object, for people to read before it does.

use serde_json::{Value, json};

use crate::export;

use super::item::Id;
use super::owned::written;

/// Whether two states of an object say the same.
#[must_use]
pub fn is_same(before: &Value, after: &Value) -> bool {
    written(before) == written(after)
}

/// What changes between two states of an object, as a unified diff. What Secrets hold is not shown.
#[must_use]
pub fn diff(id: &Id, before: Option<&Value>, after: Option<&Value>) -> String {
    let (mut old, mut new) = (before.map(written), after.map(written));
    if id.kind == "Secret" {
        hide(&mut old, &mut new);
    }
    let text = |side: Option<Value>| side.map(export::text_of).unwrap_or_default();
    let path = format!("{}/{}", id.kind, id.name);
    export::shape::folder::diff(&path, &text(old), &text(new), "in the cluster", "of the project")
}

/// Puts words in the place of values, which still tell whether they change.
fn hide(old: &mut Option<Value>, new: &mut Option<Value>) {
    let before = old.as_ref().map(|old| old["data"].clone()).unwrap_or_default();
    for (side, is_new) in [(old, false), (new, true)] {
        let data = side.as_mut().and_then(|side| side.get_mut("data")).and_then(Value::as_object_mut);
        for (key, value) in data.into_iter().flatten() {
            let changed = is_new && before.get(key).is_some_and(|before| before != value);
            *value = json!(if changed { "(hidden, another)" } else { "(hidden)" });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::item::Id;
    use super::{diff, is_same};

    #[test]
    fn only_what_is_written_counts() {
        let before = json!({ "kind": "A", "metadata": { "name": "a", "resourceVersion": "1" }, "status": { "x": 1 } });
        let after = json!({ "kind": "A", "metadata": { "name": "a", "resourceVersion": "2", "managedFields": [] } });
        assert!(is_same(&before, &after));
        assert_eq!(diff(&Id::of(&before), Some(&before), Some(&after)), "");
    }

    #[test]
    fn a_secret_tells_that_it_changes_and_not_how() {
        let secret = |a: &str| json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" }, "data": { "a": a, "b": "Yg==" } });
        let text = diff(&Id::of(&secret("")), Some(&secret("YQ==")), Some(&secret("Yw==")));
        assert!(text.contains("-  a: (hidden)") || text.contains("(hidden, another)"), "{text}");
        assert!(!text.contains("YQ==") && !text.contains("Yw==") && text.contains("(hidden, another)"), "{text}");
    }
}
