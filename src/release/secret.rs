//! What a Secret in the cluster and one with placeholders come to: nothing that somebody has supplied is overwritten, and
//! nothing starts with a placeholder for a password.

use serde_json::{Value, json};

use crate::export::PLACEHOLDER;

use super::item::{Item, base64};
use super::{applyset, owned};

/// What is to be done about a Secret.
#[derive(Debug, Clone, PartialEq)]
pub enum Settled {
    /// It is applied.
    Apply(Item),
    /// Somebody else has made it, with all that is needed; it is theirs.
    Leave,
}

/// Settles a Secret with what the cluster has under its name. `set` is the set of the project's objects.
///
/// # Errors
/// The keys whose values nobody has supplied.
pub fn settle(mut item: Item, live: Option<&Value>, set: &str) -> Result<Settled, Vec<String>> {
    let placeholder = json!(base64(PLACEHOLDER));
    let Some(data) = item.body.get_mut("data").and_then(Value::as_object_mut) else { return Ok(Settled::Apply(item)) };
    let open: Vec<String> =
        data.iter().filter(|(_, value)| **value == placeholder).map(|(key, _)| key.clone()).collect();
    if open.is_empty() {
        return Ok(Settled::Apply(item));
    }
    let held = |key: &str| live.and_then(|live| live["data"].get(key)).filter(|value| **value != placeholder);
    let missing: Vec<String> = open.iter().filter(|key| held(key).is_none()).cloned().collect();
    if !missing.is_empty() {
        return Err(missing);
    }
    let ours = live.and_then(applyset::set_of) == Some(set);
    if !ours && open.len() == data.len() {
        return Ok(Settled::Leave);
    }
    for key in open {
        let value = held(&key).cloned().unwrap_or_default();
        // What hoist once applied and now leaves out would be removed; what others supply stays theirs.
        if live.is_some_and(|live| owned::has_applied(live, &["data", &key])) {
            data.insert(key, value);
        } else {
            data.remove(&key);
        }
    }
    if data.is_empty() {
        item.body.as_object_mut().and_then(|fields| fields.remove("data"));
    }
    Ok(Settled::Apply(item))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::item::{Id, Item, base64};
    use super::{Settled, settle};

    fn secret(data: &[(&str, &str)]) -> Item {
        let data: serde_json::Map<String, Value> =
            data.iter().map(|(key, value)| ((*key).to_owned(), json!(base64(value)))).collect();
        let body = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" }, "data": data });
        Item { id: Id::of(&body), body }
    }

    fn live(data: &[(&str, &str)], set: Option<&str>, owned: &[&str]) -> Value {
        let mut body = secret(data).body;
        let fields: serde_json::Map<String, Value> = owned.iter().map(|key| (format!("f:{key}"), json!({}))).collect();
        body["metadata"]["managedFields"] =
            json!([{ "manager": "hoist", "operation": "Apply", "fieldsV1": { "f:data": fields } }]);
        if let Some(set) = set {
            body["metadata"]["labels"] = json!({ "applyset.kubernetes.io/part-of": set });
        }
        body
    }

    fn data(settled: Result<Settled, Vec<String>>) -> Value {
        match settled {
            Ok(Settled::Apply(item)) => item.body["data"].clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_placeholder_is_never_applied() {
        let item = secret(&[("A", "REPLACE_ME"), ("B", "b")]);
        assert_eq!(settle(item.clone(), None, "set"), Err(vec!["A".to_owned()]));
        let there = live(&[("A", "REPLACE_ME")], Some("set"), &["A"]);
        assert_eq!(settle(item.clone(), Some(&there), "set"), Err(vec!["A".to_owned()]));
        let there = live(&[("A", "mine")], Some("set"), &[]);
        assert_eq!(data(settle(item.clone(), Some(&there), "set")), json!({ "B": base64("b") }));
    }

    #[test]
    fn what_hoist_once_applied_is_not_removed_by_leaving_it_out() {
        let item = secret(&[("A", "REPLACE_ME"), ("B", "b")]);
        let there = live(&[("A", "applied earlier")], Some("set"), &["A"]);
        let expected = json!({ "A": base64("applied earlier"), "B": base64("b") });
        assert_eq!(data(settle(item, Some(&there), "set")), expected);
    }

    #[test]
    fn a_secret_that_somebody_else_supplies_whole_stays_theirs() {
        let item = secret(&[("A", "REPLACE_ME")]);
        assert_eq!(settle(item.clone(), Some(&live(&[("A", "x")], None, &[])), "set"), Ok(Settled::Leave));
        assert_eq!(settle(item, Some(&live(&[("B", "x")], None, &[])), "set"), Err(vec!["A".to_owned()]));
    }
}
