//! What listings leave out: the filters that are the same for several kinds of things.

use std::collections::HashMap;

use crate::embedded::containers::Filters;

/// Whether labels have one that is asked for as `name` or `name=value`.
pub(super) fn label(wanted: &str, labels: Option<&HashMap<String, String>>) -> bool {
    let Some(labels) = labels else { return false };
    match wanted.split_once('=') {
        Some((name, value)) => labels.get(name).is_some_and(|found| found == value),
        None => labels.contains_key(wanted),
    }
}

/// Whether something with these labels may be pruned: `label` names those it must have, `label!` those it must not.
pub(super) fn prunes(filters: &Filters, labels: Option<&HashMap<String, String>>) -> bool {
    filters.get("label").is_none_or(|wanted| wanted.iter().all(|wanted| label(wanted, labels)))
        && filters.get("label!").is_none_or(|kept| !kept.iter().any(|kept| label(kept, labels)))
}

/// Seconds since 1970 of `until`: seconds, RFC 3339, or how long ago (`1h30m`).
pub(super) fn until(text: &str) -> Option<i64> {
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp());
    }
    if let Ok(seconds) = text.split('.').next().unwrap_or_default().parse() {
        return Some(seconds);
    }
    chrono::Utc::now().timestamp().checked_sub(ago(text)?)
}

/// Seconds of `1h30m10s`.
fn ago(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut sum = 0_i64;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let number: i64 = rest[..end].parse().ok()?;
        let (unit, left) = match rest[end..].strip_prefix("ms") {
            Some(left) => (0, left),
            None => match rest.as_bytes()[end] {
                b'h' => (3600, &rest[end + 1..]),
                b'm' => (60, &rest[end + 1..]),
                b's' => (1, &rest[end + 1..]),
                _ => return None,
            },
        };
        sum = sum.checked_add(number.checked_mul(unit)?)?;
        rest = left;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_asked_for_by_name_or_with_its_value() {
        let labels = HashMap::from([("a".to_owned(), "b".to_owned())]);
        let found = ["a", "a=b", "a=c", "b", "a="].map(|wanted| label(wanted, Some(&labels)));
        assert_eq!(found, [true, true, false, false, false]);
        assert!(!label("a", None));
    }

    #[test]
    fn what_was_made_so_long_ago_is_meant() {
        assert_eq!(
            ["1h30m", "10s", "5ms", "", "h", "1d", "1", "é"].map(ago),
            [Some(5400), Some(10), Some(0), Some(0), None, None, None, None]
        );
        assert_eq!(until("12.5"), Some(12));
        assert_eq!(until("1970-01-01T00:01:00Z"), Some(60));
    }
}
