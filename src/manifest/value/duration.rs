//! Durations: `1h5m30s20ms`, and days and weeks besides.

use std::fmt::Write as _;

const UNITS: [(&str, i128); 9] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
];

/// Reads a duration into nanoseconds. The error has a hint after a line end.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    let bad = |why: &str| match in_words(text) {
        Some(meant) => format!("`{text}` is no duration: {why}\nwrite `{meant}`"),
        None => {
            format!("`{text}` is no duration: {why}\nwrite a number with its unit, as in `90s`, `1m30s` or `500ms`")
        }
    };
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(bad("it is empty"));
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let unit_length =
            after.find(|character: char| character.is_ascii_digit() || character == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_length);
        if number.is_empty() || number == "." {
            return Err(bad("a number is missing"));
        }
        if unit.is_empty() {
            return Err(bad(&format!("the number `{number}` has no unit")));
        }
        let Some((_, size)) = UNITS.into_iter().find(|(name, _)| *name == unit) else {
            let is_apart = UNITS.iter().any(|(name, _)| *name == unit.trim());
            let unknown = || format!("there is no unit `{}`", unit.trim());
            return Err(bad(&if is_apart { "a space stands before its unit".to_owned() } else { unknown() }));
        };
        total += nanoseconds(number, size).ok_or_else(|| bad("it is out of range"))?;
        rest = next;
    }
    i64::try_from(total * sign).map_err(|_| bad("it is out of range"))
}

/// `5 minutes` as it should be written.
fn in_words(text: &str) -> Option<String> {
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, word) = text.split_at(digits);
    let unit = match word.trim().to_lowercase().trim_end_matches('s') {
        "" if word.trim() == "s" => "s",
        "sec" | "second" => "s",
        "m" | "min" | "minute" => "m",
        "h" | "hr" | "hour" => "h",
        "milli" | "millisecond" => "ms",
        "d" | "day" => "d",
        _ => return None,
    };
    (!number.is_empty()).then(|| format!("{number}{unit}"))
}

fn nanoseconds(number: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || whole.len() > 18 {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // More digits than nanoseconds of a week have cannot count.
    let fraction = &fraction[..fraction.len().min(15)];
    let parts: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    Some(whole * unit + parts * unit / scale)
}

/// Writes nanoseconds as Go does: `1m30s`, `1h0m0s`, `1.5s`, `10µs`, `0s`.
pub(crate) fn show(nanoseconds: i64) -> String {
    let mut text = String::new();
    if nanoseconds < 0 {
        text.push('-');
    }
    let value = nanoseconds.unsigned_abs();
    let (unit, name) = match value {
        0 => return "0s".to_owned(),
        1..1_000 => (1, "ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => {
            let minutes = value / 60_000_000_000;
            if minutes >= 60 {
                let _ = write!(text, "{}h", minutes / 60);
            }
            if minutes > 0 {
                let _ = write!(text, "{}m", minutes % 60);
            }
            decimal(&mut text, value % 60_000_000_000, 1_000_000_000);
            text.push('s');
            return text;
        }
    };
    decimal(&mut text, value, unit);
    text.push_str(name);
    text
}

fn decimal(text: &mut String, value: u64, unit: u64) {
    let _ = write!(text, "{}", value / unit);
    if !value.is_multiple_of(unit) {
        let width = unit.ilog10() as usize;
        let fraction = format!("{:0width$}", value % unit);
        let _ = write!(text, ".{}", fraction.trim_end_matches('0'));
    }
}

#[cfg(test)]
mod tests {
    use super::{parse, show};

    #[test]
    fn durations_are_read_and_written_as_compose_does() {
        for (text, expected) in [
            ("10s", "10s"),
            ("1m", "1m0s"),
            ("1h5m30s20ms", "1h5m30.02s"),
            ("10us", "10µs"),
            ("1.5s", "1.5s"),
            ("1d", "24h0m0s"),
            ("2w", "336h0m0s"),
            ("-5s", "-5s"),
            ("2.5h", "2h30m0s"),
            ("0", "0s"),
            ("0s", "0s"),
        ] {
            assert_eq!(parse(text).map(show), Ok(expected.to_owned()), "{text}");
        }
        for text in ["", "10", "5 s", "1h 30m", "abc", "1m30", " 5s", "PT5S", ".s", "1..5s", "99999999999999999999s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
