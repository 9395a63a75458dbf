//! Times of the command line.

use std::time::{Duration, SystemTime};

use chrono::DateTime;

/// A time since 1970: RFC 3339, a date, a number of seconds, or an age such as `1h30m`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    read(text).ok_or_else(|| "write `2026-01-02T13:23:37Z`, `2026-01-02` or an age such as `42m`".into())
}

fn read(text: &str) -> Option<Duration> {
    if let Some(time) = number(text) {
        return Some(time);
    }
    if let Some(age) = age(text) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        return Some(now.saturating_sub(age));
    }
    let date = || chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    let local = || chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok();
    let parsed = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()).ok();
    let parsed = parsed.or_else(|| local().or_else(date).map(|time| time.and_utc()))?;
    Some(Duration::new(u64::try_from(parsed.timestamp()).ok()?, parsed.timestamp_subsec_nanos()))
}

/// Reads `1767360217` and `1767360217.25`.
fn number(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    let nanos = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Some(Duration::new(whole.parse().ok()?, nanos))
}

/// Reads `1h30m`, `90s`, `500ms`.
fn age(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let after = &rest[digits..];
        let unit = after.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(after.len());
        let seconds = match &after[..unit] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        sum = sum.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = &after[unit..];
    }
    (!text.is_empty()).then_some(sum)
}

/// Seconds with nine digits of fraction.
pub(super) fn fraction(time: Duration) -> String {
    format!("{}.{:09}", time.as_secs(), time.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{age, fraction, time};

    #[test]
    fn a_time_is_a_date_a_number_or_an_age() {
        let read = |text: &str| time(text).ok().map(fraction);
        assert_eq!(read("2026-01-02T13:23:37Z").as_deref(), Some("1767360217.000000000"));
        assert_eq!(read("2026-01-02T14:23:37.5+01:00").as_deref(), Some("1767360217.500000000"));
        assert_eq!(read("2026-01-02").as_deref(), Some("1767312000.000000000"));
        assert_eq!(read("1767360217.25").as_deref(), Some("1767360217.250000000"));
        assert_eq!(read("1767360217.123456789").as_deref(), Some("1767360217.123456789"));
        assert_eq!(age("1h30m"), Some(Duration::from_mins(90)));
        assert_eq!(age("500ms"), Some(Duration::from_millis(500)));
        for wrong in ["", "yesterday", "5x", "m", "inf", "nan", "1e5", "-3", "1.", ".5"] {
            assert!(time(wrong).is_err(), "`{wrong}` was taken");
        }
    }
}
