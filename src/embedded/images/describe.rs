//! Images as the API shows them.

use std::collections::HashMap;

use bollard_stubs::models::{
    DriverData, ImageHistoryResponseItem, ImageInspect, ImageInspectMetadata, ImageInspectRootFs, ImageSummary,
};
use chrono::{DateTime, Duration, Utc};

use super::super::error::Error;
use super::catalogue::not_found;
use super::reference::Reference;
use super::{Filters, Image, Images};

/// What a listing shows where an image has no name.
const NO_TAG: &str = "<none>:<none>";
const NO_DIGEST: &str = "<none>@<none>";

/// Filters that were understood.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Those without a name, or only those with one.
    dangling: Option<bool>,
    /// `key` or `key=value`; each must be there.
    labels: Vec<String>,
    /// Likewise; none may be there.
    not_labels: Vec<String>,
    /// Patterns of names; one must fit.
    references: Vec<String>,
    /// Made before.
    until: Option<DateTime<Utc>>,
    /// Names of images: made before, made after.
    before: Vec<String>,
    since: Vec<String>,
}

impl Wanted {
    /// Reads filters; an unknown one is an error, as Docker's.
    pub(super) fn of(filters: &Filters) -> Result<Self, Error> {
        let mut wanted = Self::default();
        for (key, values) in filters {
            let values = values.clone();
            match key.as_str() {
                "dangling" => wanted.dangling = values.first().map(|value| switch(value)).transpose()?,
                "label" => wanted.labels = values,
                "label!" => wanted.not_labels = values,
                "reference" => wanted.references = values,
                "before" => wanted.before = values,
                "since" => wanted.since = values,
                "until" => {
                    let times = values.iter().map(|value| time(value)).collect::<Result<Vec<_>, _>>()?;
                    wanted.until = times.into_iter().min();
                }
                _ => return Err(Error::Invalid(format!("invalid filter '{key}'"))),
            }
        }
        Ok(wanted)
    }

    /// Whether an image fits by itself: its labels and its age.
    pub(super) fn matches(&self, image: &Image) -> bool {
        let labels = image.document.config.labels.clone().unwrap_or_default();
        let has = |wanted: &String| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
            None => labels.contains_key(wanted),
        };
        let old = self.until.is_none_or(|until| image.document.created.unwrap_or_default() < until);
        self.labels.iter().all(has) && !self.not_labels.iter().any(has) && old
    }
}

fn switch(text: &str) -> Result<bool, Error> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "t" => Ok(true),
        "0" | "false" | "f" => Ok(false),
        _ => Err(Error::Invalid(format!("invalid filter 'dangling={text}'"))),
    }
}

/// Seconds since 1970, RFC 3339, or a time back from now (`24h`, `1h30m`).
fn time(text: &str) -> Result<DateTime<Utc>, Error> {
    let bad = || Error::Invalid(format!("invalid filter 'until={text}': neither a time nor a duration such as `24h`"));
    if let Some((seconds, rest)) = text.split_once('.').or(Some((text, "0")))
        && let (Ok(seconds), Ok(_)) = (seconds.parse(), rest.parse::<u64>())
    {
        return DateTime::from_timestamp(seconds, 0).ok_or_else(bad);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let (mut seconds, mut number) = (0_i64, String::new());
    for letter in text.chars() {
        if letter.is_ascii_digit() {
            number.push(letter);
            continue;
        }
        let unit = match letter {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return Err(bad()),
        };
        let count: i64 = number.parse().map_err(|_| bad())?;
        seconds = count.checked_mul(unit).and_then(|more| seconds.checked_add(more)).ok_or_else(bad)?;
        number.clear();
    }
    let back = Duration::try_seconds(seconds).filter(|_| number.is_empty()).ok_or_else(bad)?;
    Utc::now().checked_sub_signed(back).ok_or_else(bad)
}

impl Images {
    /// See [`Images::list`].
    pub(super) fn summaries(&self, all: bool, filters: &Filters) -> Result<Vec<ImageSummary>, Error> {
        let wanted = Wanted::of(filters)?;
        let made = |name: &String| {
            let (image, _) = self.lookup(name).map_err(|_| not_found(name))?;
            Ok(image.document.created.unwrap_or_default())
        };
        let before = wanted.before.iter().map(made).collect::<Result<Vec<_>, Error>>()?;
        let since = wanted.since.iter().map(made).collect::<Result<Vec<_>, Error>>()?;
        let ids: Vec<String> = self.store.state().catalogue.images.keys().cloned().collect();
        let machine = all.then(|| (*self.machine).clone());
        let images = ids.iter().filter_map(|id| self.image(id)).chain(machine);
        let mut found = Vec::new();
        for mut image in images {
            let created = image.document.created.unwrap_or_default();
            let timely = before.iter().all(|time| created < *time) && since.iter().all(|time| created > *time);
            if !timely || !wanted.matches(&image) || wanted.dangling.is_some_and(|none| none != image.tags.is_empty()) {
                continue;
            }
            if !wanted.references.is_empty() {
                image.tags.retain(|name| wanted.references.iter().any(|pattern| names(pattern, name)));
                image.digests.retain(|name| wanted.references.iter().any(|pattern| names(pattern, name)));
                if image.tags.is_empty() && image.digests.is_empty() {
                    continue;
                }
            }
            found.push(summary(image));
        }
        found.sort_by(|one, other| other.created.cmp(&one.created).then_with(|| one.id.cmp(&other.id)));
        Ok(found)
    }

    /// As `GET /images/{name}/json` shows it.
    pub(super) fn describe(&self, image: &Image) -> ImageInspect {
        let tagged = self.store.state().catalogue.images.get(&image.id).and_then(|entry| entry.tagged);
        let document = &image.document;
        let folder = |layer: &super::Layer| layer.folder.display().to_string();
        let mut data = HashMap::new();
        let mut folders = image.layers.iter().rev().map(folder);
        data.extend(folders.next().map(|upper| ("UpperDir".to_owned(), upper)));
        let lower: Vec<_> = folders.collect();
        if !lower.is_empty() {
            data.insert("LowerDir".to_owned(), lower.join(":"));
        }
        let comment = document.history.last().map(|step| step.comment.clone()).unwrap_or_default();
        ImageInspect {
            id: Some(image.id.clone()),
            repo_tags: Some(image.tags.clone()),
            repo_digests: Some(image.digests.clone()),
            comment: Some(comment),
            created: document.created,
            author: Some(document.author.clone()),
            config: Some(document.config.clone()),
            architecture: Some(document.architecture.clone()),
            variant: (!document.variant.is_empty()).then(|| document.variant.clone()),
            os: Some(document.os.clone()),
            size: Some(size(image)),
            graph_driver: Some(DriverData { name: "overlay2".to_owned(), data }),
            root_fs: Some(ImageInspectRootFs {
                typ: "layers".to_owned(),
                layers: Some(document.rootfs.diff_ids.clone()),
            }),
            metadata: Some(ImageInspectMetadata { last_tag_time: tagged }),
            ..ImageInspect::default()
        }
    }
}

/// See [`Images::history`]. Steps that made a layer have its size; those of an image that says nothing of itself are its
/// layers alone.
pub(super) fn history(image: &Image) -> Vec<ImageHistoryResponseItem> {
    let mut layers = image.layers.iter();
    let mut items: Vec<_> = image
        .document
        .history
        .iter()
        .map(|step| {
            let layer = if step.empty_layer { None } else { layers.next() };
            ImageHistoryResponseItem {
                id: "<missing>".to_owned(),
                created: step.created.map_or(0, |time| time.timestamp()),
                created_by: step.created_by.clone(),
                tags: Vec::new(),
                size: layer.map_or(0, |layer| i64::try_from(layer.size).unwrap_or(i64::MAX)),
                comment: step.comment.clone(),
            }
        })
        .collect();
    items.extend(layers.map(|layer| ImageHistoryResponseItem {
        id: "<missing>".to_owned(),
        size: i64::try_from(layer.size).unwrap_or(i64::MAX),
        ..ImageHistoryResponseItem::default()
    }));
    if let Some(last) = items.last_mut() {
        last.id.clone_from(&image.id);
        last.tags.clone_from(&image.tags);
    }
    items.reverse();
    items
}

fn summary(image: Image) -> ImageSummary {
    let or_none = |names: Vec<String>, none: &str| if names.is_empty() { vec![none.to_owned()] } else { names };
    let nameless = image.tags.is_empty() && image.digests.is_empty();
    ImageSummary {
        size: size(&image),
        created: image.document.created.unwrap_or_default().timestamp(),
        labels: image.document.config.labels.clone().unwrap_or_default(),
        repo_tags: if nameless { or_none(image.tags, NO_TAG) } else { image.tags },
        repo_digests: if nameless { or_none(image.digests, NO_DIGEST) } else { image.digests },
        id: image.id,
        shared_size: -1,
        containers: -1,
        ..ImageSummary::default()
    }
}

fn size(image: &Image) -> i64 {
    i64::try_from(image.layers.iter().map(|layer| layer.size).sum::<u64>()).unwrap_or(i64::MAX)
}

/// Whether a pattern of `reference` fits a name: with its tag, or its repository alone.
fn names(pattern: &str, name: &str) -> bool {
    let repository = Reference::parse(name).map(|name| name.familiar_repository()).unwrap_or_default();
    fits(pattern.as_bytes(), name.as_bytes()) || fits(pattern.as_bytes(), repository.as_bytes())
}

/// Go's `path.Match`: `*` and `?` do not go over a slash. What a star takes is the least that lets the part up to the next
/// star fit, which is always enough, so that the time is bounded.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // Where to go on when the part behind the last star does not fit: the star takes one letter more.
    let mut again: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some(rest) = pattern.strip_prefix(b"*") {
            again = Some((rest, text));
            pattern = rest;
            continue;
        }
        match one(pattern, text) {
            Some((rest, after)) => (pattern, text) = (rest, after),
            None if pattern.is_empty() && text.is_empty() => return true,
            None => match again {
                Some((rest, [letter, after @ ..])) if *letter != b'/' => {
                    again = Some((rest, after));
                    (pattern, text) = (rest, after);
                }
                _ => return false,
            },
        }
    }
}

/// Takes one letter off both, if it fits.
fn one<'a, 'b>(pattern: &'a [u8], text: &'b [u8]) -> Option<(&'a [u8], &'b [u8])> {
    let ((first, rest), (letter, after)) = (pattern.split_first()?, text.split_first()?);
    let (fits, rest) = match first {
        b'?' => (*letter != b'/', rest),
        b'[' => {
            let end = rest.iter().position(|letter| *letter == b']')?;
            let (set, rest) = (&rest[..end], &rest[end + 1..]);
            let (not, set) = set.strip_prefix(b"^").map_or((false, set), |set| (true, set));
            let range = set.windows(3).any(|three| three[1] == b'-' && (three[0]..=three[2]).contains(letter));
            ((range || set.contains(letter)) != not, rest)
        }
        b'\\' => {
            let (wanted, rest) = rest.split_first()?;
            (wanted == letter, rest)
        }
        wanted => (wanted == letter, rest),
    };
    fits.then_some((rest, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_the_repository_or_the_whole_name() {
        assert!(names("web", "web:latest"));
        assert!(names("w*:la?est", "web:latest"));
        assert!(names("local.test/*", "local.test/web:1"));
        assert!(names("we[a-c]", "web:1"));
        assert!(names("*a*/*b*", "local/web"));
        assert!(!names(&"*a".repeat(60), &"a".repeat(100).replace("aa", "ab")));
        assert!(!names("*", "local.test/web:1"));
        assert!(!names("we[^b]", "web:1"));
        assert!(!names("web:2", "web:latest"));
    }

    #[test]
    fn a_time_is_absolute_or_back_from_now() {
        assert_eq!(time("10").expect("seconds").timestamp(), 10);
        assert_eq!(time("2026-01-02T03:04:05Z").expect("a date").timestamp(), 1_767_323_045);
        let hour = Utc::now() - time("1h").expect("a duration");
        assert!((3599..=3601).contains(&hour.num_seconds()), "{hour}");
        assert!(time("1x").is_err());
        assert!(time("99999999999999999999h").is_err());
    }

    #[test]
    fn an_unknown_filter_is_named() {
        let error = Wanted::of(&HashMap::from([("nothing".to_owned(), Vec::new())])).expect_err("unknown");
        assert_eq!(error.to_string(), "invalid filter 'nothing'");
    }
}
