//! Sizes in bytes: `64m`, `1.5gb`, `1024`.

/// Reads a size; every unit is a power of 1024. The error has a hint after a line end.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    let bad = || match in_words(text) {
        Some(meant) => format!("`{text}` is no size\nwrite `{meant}`"),
        None => format!("`{text}` is no size\nwrite bytes or a number with its unit, as in `512m` or `2g`"),
    };
    let digits = text.find(|character: char| !matches!(character, '0'..='9' | '.' | '-')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_lowercase();
    let power = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit) {
        "" if unit != "ib" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(bad()),
    };
    if let Ok(whole) = number.parse::<i64>() {
        if whole < 0 && (whole != -1 || power != 0) {
            return Err(bad());
        }
        return whole.checked_mul(1024_i64.pow(power)).ok_or_else(bad);
    }
    let value: f64 = number.parse().map_err(|_| bad())?;
    let bytes = value * 1024_f64.powi(i32::try_from(power).map_err(|_| bad())?);
    // Above 2^53 a fraction has lost its meaning anyway.
    if !(0.0..9.0e15).contains(&bytes) {
        return Err(bad());
    }
    format!("{bytes:.0}").parse().map_err(|_| bad())
}

/// `512 megabytes` as it should be written.
fn in_words(text: &str) -> Option<String> {
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, word) = text.split_at(digits);
    let unit = match word.trim().to_lowercase().trim_end_matches('s') {
        "kilobyte" | "kbyte" => "k",
        "megabyte" | "mbyte" | "meg" => "m",
        "gigabyte" | "gbyte" | "gig" => "g",
        _ => return None,
    };
    (!number.is_empty()).then(|| format!("{number}{unit}"))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes_are_read_with_every_unit() {
        for (text, expected) in [
            ("1", 1),
            ("1b", 1),
            ("1k", 1024),
            ("1KiB", 1024),
            ("10 m", 10_485_760),
            ("0.5g", 536_870_912),
            ("1p", 1_125_899_906_842_624),
            ("-1", -1),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        for text in ["", "1x", "1mm", "ib", "-2", "1..5m", "99999999999p"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
