//! Pure: which images there are and what they are called.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::super::error::Error;
use super::reference::{Reference, is_hexadecimal};

/// Digits of an id that people see and write.
pub(crate) const SHORT: usize = 12;

/// All images and names; what `names.json` holds. Names are whole (`docker.io/library/busybox:latest`), ids and digests are
/// `sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Catalogue {
    /// By id.
    pub(crate) images: BTreeMap<String, Entry>,
    /// `name:tag` → id.
    pub(crate) tags: BTreeMap<String, String>,
    /// `name@sha256:…` → id.
    pub(crate) digests: BTreeMap<String, String>,
}

/// What is known of an image beside its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Digests of the manifests under which it came or went, which are kept as blobs.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) manifests: BTreeSet<String>,
    /// When it was given a name here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tagged: Option<DateTime<Utc>>,
}

/// What a text that names an image turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The image.
    pub(crate) id: String,
    /// The name by which it was found; `None` when it was by its id.
    pub(crate) name: Option<Reference>,
}

impl Catalogue {
    /// Finds by `name`, `name:tag`, `name@digest`, id or the beginning of an id, in this order.
    pub(crate) fn find(&self, text: &str) -> Result<Found, Error> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        if is_hexadecimal(digits, 64) {
            let id = format!("sha256:{digits}");
            let known = self.images.contains_key(&id);
            return if known { Ok(Found { id, name: None }) } else { Err(not_found(text)) };
        }
        let name = Reference::parse(text).map(Reference::or_latest);
        if let Ok(name) = &name
            && let Some(id) = self.named(name)
        {
            return Ok(Found { id: id.to_owned(), name: Some(name.clone()) });
        }
        if let Some(id) = self.beginning(digits)? {
            return Ok(Found { id, name: None });
        }
        match name {
            Ok(name) => Err(not_found(&name.familiar())),
            // `sha256:ab…` is no name, but may have been meant as an id.
            Err(_) if text.starts_with("sha256:") => Err(not_found(text)),
            Err(error) => Err(error),
        }
    }

    /// The image of a whole name. A digest beside a tag decides.
    pub(crate) fn named(&self, name: &Reference) -> Option<&str> {
        let names = if name.digest.is_some() { &self.digests } else { &self.tags };
        let key = if name.digest.is_some() { name.at(None, name.digest.as_deref()) } else { name.clone() };
        names.get(&key.to_string()).map(String::as_str)
    }

    fn beginning(&self, digits: &str) -> Result<Option<String>, Error> {
        if digits.is_empty() || digits.len() > 64 || !is_hexadecimal(digits, digits.len()) {
            return Ok(None);
        }
        let start = format!("sha256:{digits}");
        let mut those = self.images.range(start.clone()..).map(|(id, _)| id).take_while(|id| id.starts_with(&start));
        let first = those.next().cloned();
        match those.next() {
            Some(second) => {
                let first = first.unwrap_or_default();
                let message =
                    format!("`{digits}` begins the ids of several images (`{first}`, `{second}`): write more");
                Err(Error::Invalid(message))
            }
            None => Ok(first),
        }
    }

    /// Names with a tag, as people write them, sorted.
    pub(crate) fn tags_of(&self, id: &str) -> Vec<String> {
        names_of(&self.tags, id)
    }

    /// Names with a digest, as people write them, sorted.
    pub(crate) fn digests_of(&self, id: &str) -> Vec<String> {
        names_of(&self.digests, id)
    }

    /// Gives an image a name. The image that had it before loses it.
    pub(crate) fn name(&mut self, id: &str, name: &Reference, now: DateTime<Utc>) {
        let names = if name.digest.is_some() { &mut self.digests } else { &mut self.tags };
        let key = if name.digest.is_some() { name.at(None, name.digest.as_deref()) } else { name.clone() };
        names.insert(key.to_string(), id.to_owned());
        if name.digest.is_none()
            && let Some(entry) = self.images.get_mut(id)
        {
            entry.tagged = Some(now);
        }
    }

    /// Takes a name away. The digests of its repository go with the repository's last tag.
    pub(crate) fn unname(&mut self, id: &str, name: &Reference) -> Vec<String> {
        let mut gone = Vec::new();
        let digest_of_it = |key: &str| key.strip_prefix(&name.name()).is_some_and(|rest| rest.starts_with('@'));
        let tag_of_it = |key: &str| key.strip_prefix(&name.name()).is_some_and(|rest| rest.starts_with(':'));
        if name.digest.is_some() {
            let key = name.at(None, name.digest.as_deref());
            if self.digests.remove(&key.to_string()).is_some() {
                gone.push(key.familiar());
            }
            return gone;
        }
        if self.tags.remove(&name.to_string()).is_some() {
            gone.push(name.familiar());
        }
        if !self.tags.iter().any(|(key, of)| of == id && tag_of_it(key)) {
            let digests: Vec<_> = self.digests.iter().filter(|(key, of)| *of == id && digest_of_it(key)).collect();
            let digests: Vec<String> = digests.into_iter().map(|(key, _)| key.clone()).collect();
            for key in digests {
                self.digests.remove(&key);
                gone.push(familiar(&key));
            }
        }
        gone
    }

    /// Takes an image and all its names away; the names that went, as people write them.
    pub(crate) fn forget(&mut self, id: &str) -> Vec<String> {
        let gone = [self.tags_of(id), self.digests_of(id)].concat();
        self.tags.retain(|_, of| of != id);
        self.digests.retain(|_, of| of != id);
        self.images.remove(id);
        gone
    }
}

/// `No such image: web:latest`.
pub(crate) fn not_found(name: &str) -> Error {
    Error::NotFound(format!("No such image: {name}"))
}

/// The beginning of an id that people see.
pub(crate) fn short(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..SHORT).unwrap_or(digits)
}

fn names_of(names: &BTreeMap<String, String>, id: &str) -> Vec<String> {
    let mut found: Vec<_> = names.iter().filter(|(_, of)| *of == id).map(|(name, _)| familiar(name)).collect();
    found.sort();
    found
}

/// A name that is kept, as people write it.
fn familiar(name: &str) -> String {
    Reference::parse(name).map_or_else(|_| name.to_owned(), |name| name.familiar())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(first: &str) -> String {
        format!("sha256:{first:0<64}")
    }

    fn catalogue() -> Catalogue {
        let mut catalogue = Catalogue::default();
        for (image, names) in [("aa1", &["web", "web:2", "local.test/web"][..]), ("aa2", &["db"]), ("cafe", &[])] {
            catalogue.images.insert(id(image), Entry::default());
            for name in names {
                catalogue.name(&id(image), &name_of(name), DateTime::UNIX_EPOCH);
            }
        }
        catalogue.name(&id("aa1"), &name_of(&format!("web@{}", id("d"))), DateTime::UNIX_EPOCH);
        catalogue
    }

    fn name_of(text: &str) -> Reference {
        Reference::parse(text).expect("a good name").or_latest()
    }

    fn found(text: &str) -> String {
        catalogue().find(text).map_or_else(|error| error.to_string(), |found| short(&found.id)[..4].to_owned())
    }

    #[test]
    fn an_image_is_found_by_name_digest_id_and_beginning_of_its_id() {
        assert_eq!(found("web"), "aa10");
        assert_eq!(found("docker.io/library/web:2"), "aa10");
        assert_eq!(found(&format!("web@{}", id("d"))), "aa10");
        assert_eq!(found(&id("aa2")), "aa20");
        assert_eq!(found(&id("aa2")["sha256:".len()..]), "aa20");
        assert_eq!(found("aa2"), "aa20");
        assert_eq!(found("sha256:caf"), "cafe");
    }

    #[test]
    fn what_is_not_here_is_named_in_full() {
        assert_eq!(found("nothing"), "No such image: nothing:latest");
        assert_eq!(found("web:3"), "No such image: web:3");
        assert_eq!(found("sha256:beef"), "No such image: sha256:beef");
        assert!(found("aa").starts_with("`aa` begins the ids of several images"), "{}", found("aa"));
    }

    #[test]
    fn a_name_goes_before_a_beginning_of_an_id() {
        let mut catalogue = catalogue();
        catalogue.name(&id("aa2"), &name_of("cafe"), DateTime::UNIX_EPOCH);
        assert_eq!(catalogue.find("cafe").expect("it is there").id, id("aa2"));
    }

    #[test]
    fn the_last_tag_of_a_repository_takes_its_digests_along() {
        let mut catalogue = catalogue();
        assert_eq!(catalogue.unname(&id("aa1"), &name_of("web")), ["web:latest"]);
        let expected = ["web:2".to_owned(), format!("web@{}", id("d"))];
        assert_eq!(catalogue.unname(&id("aa1"), &name_of("web:2")), expected);
        assert_eq!(catalogue.tags_of(&id("aa1")), ["local.test/web:latest"]);
    }

    #[test]
    fn a_name_moves_from_one_image_to_another() {
        let mut catalogue = catalogue();
        catalogue.name(&id("aa2"), &name_of("web"), DateTime::UNIX_EPOCH);
        assert_eq!(catalogue.tags_of(&id("aa2")), ["db:latest", "web:latest"]);
        assert_eq!(catalogue.tags_of(&id("aa1")), ["local.test/web:latest", "web:2"]);
    }
}
