//! Pure: sizes as people write them.

/// `10m`, `1.5g`, `512`, `64kb` → bytes; units are of 1024.
pub(super) fn parse(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let unit = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(unit);
    let factor: u64 = match unit {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let number: f64 = number.parse().ok()?;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a unit is no exact number, and the cast saturates"
    )]
    let bytes = (number * factor as f64) as u64;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn units_are_of_1024() {
        for (text, bytes) in [("512", 512), ("10m", 10 << 20), ("1.5k", 1536), ("64KB", 64 << 10), ("1GiB", 1 << 30)] {
            assert_eq!(parse(text), Some(bytes), "{text}");
        }
        for text in ["", "m", "1x", "1.2.3", "-1", "99999999999t"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
