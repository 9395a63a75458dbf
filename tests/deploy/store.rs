//! The objects of a server: applied, listed, watched and removed as a real one does, as far as `hoist deploy` asks for it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::fields::{Path, encoded, get, leaves, remove, set, shown};

/// Where an object is: the plural of its kind, its namespace (empty for none) and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) plural: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// Something that happened to an object.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) version: u64,
    pub(crate) place: Place,
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub(crate) kind: &'static str,
    pub(crate) object: Value,
}

/// An answer that is no success: a code and a `Status`.
pub(crate) type Refusal = (u16, Value);

/// How an object is applied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How<'a> {
    pub(crate) manager: &'a str,
    pub(crate) force: bool,
    pub(crate) dry_run: bool,
}

/// An object, and who has set which of its fields.
#[derive(Debug, Clone, Default)]
struct Stored {
    object: Value,
    owners: BTreeMap<String, BTreeSet<Path>>,
}

/// All objects.
#[derive(Debug, Default)]
pub(crate) struct Store {
    objects: BTreeMap<Place, Stored>,
    pub(crate) version: u64,
    pub(crate) events: Vec<Event>,
}

/// A `Status` that says why not.
pub(crate) fn status(code: u16, reason: &str, message: &str) -> Refusal {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code
    });
    (code, status)
}

/// What a server says of an object and nobody writes.
const OWN: [&str; 6] = ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "namespace"];

impl Store {
    pub(crate) fn get(&self, place: &Place) -> Option<&Value> {
        self.objects.get(place).map(|stored| &stored.object)
    }

    pub(crate) fn list(&self, plural: &str, namespace: &str, labels: &BTreeMap<String, String>) -> Vec<Value> {
        let of = |place: &&Place| place.plural == plural && (namespace.is_empty() || place.namespace == namespace);
        let places: Vec<&Place> = self.objects.keys().filter(of).collect();
        places
            .into_iter()
            .filter_map(|place| self.get(place))
            .filter(|object| has_labels(object, labels))
            .cloned()
            .collect()
    }

    /// Server-side apply.
    pub(crate) fn apply(&mut self, place: &Place, body: &Value, how: How<'_>) -> Result<Value, Refusal> {
        let mut wanted = body.clone();
        let metadata = wanted["metadata"].as_object_mut().ok_or_else(|| status(400, "BadRequest", "no metadata"))?;
        metadata.remove("name");
        let mut fields = BTreeSet::new();
        leaves(&wanted, "", &mut Vec::new(), &mut fields);
        fields.retain(|path| !matches!(shown(path).as_str(), ".apiVersion" | ".kind" | ".metadata"));
        let before = self.objects.get(place).cloned();
        let mut stored = before.clone().unwrap_or_default();
        if before.is_some() {
            immutable(&stored.object, &wanted)?;
            let claimed = claims(&stored, &fields, &wanted, how.manager);
            if !claimed.is_empty() && !how.force {
                return Err(conflict(place, &claimed));
            }
            for path in &claimed {
                stored.owners.iter_mut().filter(|(name, _)| *name != how.manager).for_each(|(_, owned)| {
                    owned.remove(&path.0);
                });
            }
        } else {
            stored.object = json!({
                "apiVersion": body["apiVersion"], "kind": body["kind"],
                "metadata": { "name": place.name, "uid": format!("uid-{}", self.version + 1), "generation": 0,
                    "creationTimestamp": "2026-01-01T00:00:00Z" }
            });
            if !place.namespace.is_empty() {
                stored.object["metadata"]["namespace"] = json!(place.namespace);
            }
        }
        let earlier = stored.owners.remove(how.manager).unwrap_or_default();
        for path in earlier.difference(&fields) {
            if !stored.owners.values().any(|owned| owned.contains(path)) {
                remove(&mut stored.object, path, "");
            }
        }
        for path in &fields {
            if let Some(value) = get(&wanted, path, "") {
                set(&mut stored.object, path, value, "");
            }
        }
        stored.owners.insert(how.manager.to_owned(), fields);
        Ok(self.keep(place, before, stored, how.dry_run))
    }

    /// Puts an object as somebody else does who does not apply: the fields are then theirs.
    pub(crate) fn update(&mut self, place: &Place, manager: &str, change: impl FnOnce(&mut Value)) {
        let before = self.objects.get(place).cloned();
        let mut stored = before.clone().unwrap_or_default();
        if before.is_none() {
            stored.object = json!({ "metadata": { "name": place.name, "namespace": place.namespace, "generation": 0,
                "uid": format!("uid-{}", self.version + 1) } });
        }
        let old = stored.object.clone();
        change(&mut stored.object);
        let (mut was, mut is) = (BTreeSet::new(), BTreeSet::new());
        leaves(&old, "", &mut Vec::new(), &mut was);
        leaves(&stored.object, "", &mut Vec::new(), &mut is);
        let changed: Vec<Path> =
            is.into_iter().filter(|path| get(&old, path, "") != get(&stored.object, path, "")).collect();
        for path in changed.iter().filter(|path| !shown(path).starts_with(".status")) {
            stored.owners.values_mut().for_each(|owned| {
                owned.remove(path);
            });
            stored.owners.entry(manager.to_owned()).or_default().insert(path.clone());
        }
        self.keep(place, before, stored, false);
    }

    /// Sets an object's status, which changes nothing that anybody has set.
    pub(crate) fn set_status(&mut self, place: &Place, status: Value) {
        let before = self.objects.get(place).cloned();
        let Some(mut stored) = before.clone() else { return };
        stored.object["status"] = status;
        self.keep(place, before, stored, false);
    }

    fn keep(&mut self, place: &Place, before: Option<Stored>, mut stored: Stored, dry_run: bool) -> Value {
        let managed: Vec<Value> = stored
            .owners
            .iter()
            .filter(|(_, fields)| !fields.is_empty())
            .map(|(manager, fields)| {
                let operation = if manager == "hoist" { "Apply" } else { "Update" };
                json!({ "manager": manager, "operation": operation, "fieldsType": "FieldsV1", "fieldsV1": encoded(fields) })
            })
            .collect();
        stored.object["metadata"]["managedFields"] = json!(managed);
        let old = before.map(|before| before.object);
        if old.as_ref() == Some(&stored.object) {
            return stored.object;
        }
        let spec_changed = old.as_ref().map(|old| &old["spec"]) != Some(&stored.object["spec"]);
        if spec_changed {
            let generation = stored.object["metadata"]["generation"].as_u64().unwrap_or(0) + 1;
            stored.object["metadata"]["generation"] = json!(generation);
        }
        if dry_run {
            return stored.object;
        }
        self.version += 1;
        stored.object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = stored.object.clone();
        let kind = if old.is_some() { "MODIFIED" } else { "ADDED" };
        self.events.push(Event { version: self.version, place: place.clone(), kind, object: object.clone() });
        self.objects.insert(place.clone(), stored);
        object
    }

    /// Removes an object; whether it was there.
    pub(crate) fn delete(&mut self, place: &Place, uid: Option<&str>) -> Result<(), Refusal> {
        let not_found = || status(404, "NotFound", &format!("{} \"{}\" not found", place.plural, place.name));
        let stored = self.objects.get(place).ok_or_else(not_found)?;
        if uid.is_some_and(|uid| stored.object["metadata"]["uid"] != uid) {
            return Err(status(409, "Conflict", "the UID in the precondition does not match"));
        }
        let mut object = self.objects.remove(place).expect("it was just there").object;
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.events.push(Event { version: self.version, place: place.clone(), kind: "DELETED", object });
        Ok(())
    }

    /// All that there is, for a message.
    pub(crate) fn names(&self) -> Vec<String> {
        self.objects.keys().map(|place| format!("{}/{}", place.plural, place.name)).collect()
    }
}

pub(crate) fn has_labels(object: &Value, labels: &BTreeMap<String, String>) -> bool {
    labels.iter().all(|(key, value)| object["metadata"]["labels"][key] == *value)
}

/// What a Job runs cannot be changed.
fn immutable(live: &Value, wanted: &Value) -> Result<(), Refusal> {
    let changed = live["kind"] == "Job"
        && wanted.pointer("/spec/template/spec/containers/0/image")
            != live.pointer("/spec/template/spec/containers/0/image");
    if changed {
        let message = format!(
            "Job.batch \"{}\" is invalid: spec.template: Invalid value: field is immutable",
            live["metadata"]["name"]
        );
        return Err(status(422, "Invalid", &message));
    }
    Ok(())
}

/// The fields that others have set to something else, and who.
fn claims(stored: &Stored, fields: &BTreeSet<Path>, wanted: &Value, manager: &str) -> Vec<(Path, String)> {
    let others = stored.owners.iter().filter(|(name, _)| *name != manager);
    others
        .flat_map(|(name, owned)| owned.intersection(fields).map(move |path| (path.clone(), name.clone())))
        .filter(|(path, _)| get(&stored.object, path, "") != get(wanted, path, ""))
        .collect()
}

fn conflict(place: &Place, claimed: &[(Path, String)]) -> Refusal {
    let causes: Vec<Value> = claimed
        .iter()
        .map(|(path, by)| {
            json!({ "reason": "FieldManagerConflict", "message": format!("conflict with \"{by}\" using v1"), "field": shown(path) })
        })
        .collect();
    let (code, mut status) = status(409, "Conflict", &format!("Apply failed with {} conflicts", causes.len()));
    status["details"] = json!({ "name": place.name, "causes": causes });
    (code, status)
}

/// An object without what the server adds.
pub(crate) fn written(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for key in OWN {
            metadata.remove(key);
        }
    }
    object
}
