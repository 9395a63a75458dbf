//! What a plain YAML scalar is: the rules of Go's YAML reader, because they decide what existing manifests mean.
//! `yes`, `on` and their kind are text here; whoever wants a flag reads them as one.

use std::sync::LazyLock;

use regex::Regex;

/// What a scalar means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Resolved<'a> {
    Null,
    Flag(bool),
    Integer(i64),
    /// An integer that is larger than an `i64`.
    Unsigned(u64),
    Float(f64),
    Text(&'a str),
}

pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Resolves a plain scalar.
pub(super) fn resolve(text: &str) -> Resolved<'_> {
    let Some(first) = text.bytes().next() else { return Resolved::Null };
    match first {
        b'~' | b'n' | b'N' if is_null(text) => Resolved::Null,
        b't' | b'T' if matches!(text, "true" | "True" | "TRUE") => Resolved::Flag(true),
        b'f' | b'F' if matches!(text, "false" | "False" | "FALSE") => Resolved::Flag(false),
        b'.' | b'+' | b'-' if let Some(value) = special_float(text) => Resolved::Float(value),
        b'0'..=b'9' | b'+' | b'-' if !is_timestamp(text) => number(text),
        b'.' => float(text).map_or(Resolved::Text(text), Resolved::Float),
        _ => Resolved::Text(text),
    }
}

/// Whether a plain scalar is this text, for readers of any age.
#[must_use]
pub fn is_plain_text(text: &str) -> bool {
    matches!(resolve(text), Resolved::Text(_)) && !is_timestamp(text)
}

fn special_float(text: &str) -> Option<f64> {
    match text {
        ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Some(f64::NEG_INFINITY),
        "-0" | "-0.0" => Some(-0.0),
        _ => None,
    }
}

fn is_timestamp(text: &str) -> bool {
    static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ][0-9: .Zz+-]*)?$").expect("the pattern is a valid expression")
    });
    text.as_bytes().get(4) == Some(&b'-') && PATTERN.is_match(text)
}

fn number(text: &str) -> Resolved<'_> {
    let joined;
    let digits = if text.contains('_') {
        joined = text.replace('_', "");
        &joined
    } else {
        text
    };
    if let Some(value) = integer(digits) {
        return i64::try_from(value)
            .map(Resolved::Integer)
            .or_else(|_| u64::try_from(value).map(Resolved::Unsigned))
            .unwrap_or_else(|_| float(digits).map_or(Resolved::Text(text), Resolved::Float));
    }
    float(digits).map_or(Resolved::Text(text), Resolved::Float)
}

/// An integer in any of Go's bases; a leading zero alone is octal.
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // `from_str_radix` takes a sign of its own, which would be a second one here.
    if digits.len() > 30 || !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    Some(if negative { -value } else { value })
}

fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_is_right = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    let right = digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()) && exponent_is_right;
    right.then(|| text.parse().ok()).flatten().filter(|value: &f64| value.is_finite())
}

/// A float as Go's `%v` prints it, which is how a number becomes a variable's text.
pub(super) fn float_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let exponent = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    if !(-4.0..21.0).contains(&exponent) {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    format!("{value}")
}

#[cfg(test)]
mod tests {
    use super::{Resolved, float_text, resolve};

    #[test]
    fn plain_scalars_resolve_as_go_resolves_them() {
        for (text, expected) in [
            ("", Resolved::Null),
            ("~", Resolved::Null),
            ("TRUE", Resolved::Flag(true)),
            ("yes", Resolved::Text("yes")),
            ("014", Resolved::Integer(12)),
            ("0o14", Resolved::Integer(12)),
            ("0x1F", Resolved::Integer(31)),
            ("-0b11", Resolved::Integer(-3)),
            ("1_000", Resolved::Integer(1000)),
            ("080", Resolved::Float(80.0)),
            ("22:22", Resolved::Text("22:22")),
            ("2020-01-01", Resolved::Text("2020-01-01")),
            ("1.10", Resolved::Float(1.1)),
            (".5", Resolved::Float(0.5)),
            ("5.", Resolved::Float(5.0)),
            ("+-5", Resolved::Text("+-5")),
            ("-", Resolved::Text("-")),
            ("18446744073709551615", Resolved::Unsigned(u64::MAX)),
            ("1e400", Resolved::Text("1e400")),
            ("1.2.3", Resolved::Text("1.2.3")),
        ] {
            assert_eq!(resolve(text), expected, "{text}");
        }
    }

    #[test]
    fn floats_print_as_go_prints_them() {
        for (value, expected) in [
            (1.5, "1.5"),
            (1.0, "1"),
            (12000.0, "12000"),
            (1.234_567_890_123_456_8e29, "1.2345678901234568e+29"),
            (1e-7, "1e-07"),
            (1e20, "100000000000000000000"),
        ] {
            assert_eq!(float_text(value), expected);
        }
    }
}
