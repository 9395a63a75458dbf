//! What a cluster accepts as a name, a number and a time, for whoever reads such a thing from a manifest or writes it
//! into an object.
//!
//! Sources: the Kubernetes documentation, "Object Names and IDs", "Quantity" and "CronJob".

/// The length of a DNS label (RFC 1123) and of a label's value.
pub const LABEL_LENGTH: usize = 63;

/// The length of an object's name that is a DNS subdomain, and of a key inside a `ConfigMap`.
pub const SUBDOMAIN_LENGTH: usize = 253;

/// Whether a text is a DNS label that starts with a letter or, when `digits` allows it, with a digit.
#[must_use]
pub fn is_label(text: &str, digits: bool) -> bool {
    text.len() <= LABEL_LENGTH && is_dashed(text, digits)
}

/// Whether a text is what Kubernetes takes for a DNS subdomain: its parts may be longer than labels of DNS.
#[must_use]
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= SUBDOMAIN_LENGTH && text.split('.').all(|part| is_dashed(part, true))
}

/// Whether a text is a host of a rule: a DNS name, or one with `*.` before it.
#[must_use]
pub fn is_host(text: &str) -> bool {
    is_subdomain(text.strip_prefix("*.").unwrap_or(text))
}

fn is_dashed(text: &str, digits: bool) -> bool {
    let inner = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    text.starts_with(|first: char| first.is_ascii_lowercase() || (digits && first.is_ascii_digit()))
        && !text.ends_with('-')
        && text.chars().all(inner)
}

/// Whether a text is a key that labels and annotations may have: `name` or `prefix/name`.
#[must_use]
pub fn is_qualified(text: &str) -> bool {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(is_subdomain) && !name.is_empty() && is_label_value(name)
}

/// Whether a label may have this value.
#[must_use]
pub fn is_label_value(text: &str) -> bool {
    text.len() <= LABEL_LENGTH
        && text.chars().all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character))
        && [text.chars().next(), text.chars().next_back()].iter().flatten().all(char::is_ascii_alphanumeric)
}

/// The thousandths that a quantity is: `1Gi`, `0.5`, `250m`, `1e3`; `None` when it is none.
#[must_use]
pub fn quantity(text: &str) -> Option<i128> {
    let digits = text.trim_start_matches(['+', '-']);
    let end = digits.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(digits.len());
    let (number, suffix) = digits.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if text.len() - digits.len() > 1 || (whole.is_empty() && fraction.is_empty()) || number.matches('.').count() > 1 {
        return None;
    }
    let factor: i128 = match suffix {
        "" => 1000,
        "m" => 1,
        "k" => 1000_i128.pow(2),
        "M" => 1000_i128.pow(3),
        "G" => 1000_i128.pow(4),
        "T" => 1000_i128.pow(5),
        "P" => 1000_i128.pow(6),
        "E" => 1000_i128.pow(7),
        "Ki" => 1000 * 1024,
        "Mi" => 1000 * 1024_i128.pow(2),
        "Gi" => 1000 * 1024_i128.pow(3),
        "Ti" => 1000 * 1024_i128.pow(4),
        "Pi" => 1000 * 1024_i128.pow(5),
        "Ei" => 1000 * 1024_i128.pow(6),
        suffix => {
            let power: u32 = suffix.strip_prefix(['e', 'E'])?.parse().ok().filter(|power| *power <= 18)?;
            1000 * 10_i128.pow(power)
        }
    };
    let fraction = fraction.get(..9).unwrap_or(fraction);
    let places = u32::try_from(fraction.len()).ok()?;
    let digits: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let size = digits.checked_mul(factor)? / 10_i128.pow(places);
    Some(if text.starts_with('-') { -size } else { size })
}

/// Whether a text says when something runs: five fields of cron, or a word such as `@daily`.
#[must_use]
pub fn is_schedule(text: &str) -> bool {
    const WORDS: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    if WORDS.contains(&text) {
        return true;
    }
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let bounds: [(u32, u32, &[&str]); 5] = [(0, 59, &[]), (0, 23, &[]), (1, 31, &[]), (1, 12, &MONTHS), (0, 6, &DAYS)];
    fields.len() == bounds.len()
        && fields.iter().zip(bounds).all(|(field, (low, high, words))| is_field(field, low, high, words))
}

/// `*`, `5`, `1-5`, `*/10`, `mon-fri/2`, and lists of such.
fn is_field(field: &str, low: u32, high: u32, words: &[&str]) -> bool {
    let value = |text: &str| {
        let word = text.to_ascii_lowercase();
        let named = words.iter().position(|known| *known == word).and_then(|at| u32::try_from(at).ok());
        let written = || text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        named.map(|at| at + low).or_else(written).filter(|value| (low..=high).contains(value))
    };
    field.split(',').all(|part| {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let steps = step.is_none_or(|step| step.parse::<u32>().is_ok_and(|step| step > 0));
        let ranges = match range.split_once('-') {
            _ if range == "*" || range == "?" => true,
            Some((first, last)) => value(first).zip(value(last)).is_some_and(|(first, last)| first <= last),
            None => value(range).is_some(),
        };
        steps && ranges
    })
}

#[cfg(test)]
mod tests {
    use super::{is_host, is_schedule, quantity};

    #[test]
    fn five_fields_or_a_word_are_a_schedule() {
        for text in ["* * * * *", "*/15 0 1,15 * 1-5", "0 3 * jan-mar mon", "30 4 ? * SUN", "@daily", "0-30/10 * * * *"]
        {
            assert!(is_schedule(text), "{text}");
        }
        for text in [
            "",
            "daily",
            "* * * *",
            "60 * * * *",
            "* * 0 * *",
            "* * * 13 *",
            "*/0 * * * *",
            "5-1 * * * *",
            "* * * * * *",
            "+5 * * * *",
        ] {
            assert!(!is_schedule(text), "{text}");
        }
    }

    #[test]
    fn quantities_are_compared_by_what_they_are() {
        assert_eq!(quantity("1"), Some(1000));
        assert_eq!(quantity("250m"), Some(250));
        assert_eq!(quantity("0.5"), quantity("500m"));
        assert_eq!(quantity("1Ki"), quantity("1024"));
        assert_eq!(quantity("1.5Gi"), quantity("1536Mi"));
        assert_eq!(quantity("1e3"), quantity("1k"));
        assert_eq!(quantity("-1"), Some(-1000));
        for text in ["", "1 Gi", "1GB", "x", ".", "1.2.3", "--1", "1e", "NaN", "inf"] {
            assert_eq!(quantity(text), None, "{text}");
        }
    }

    #[test]
    fn a_host_may_begin_with_a_star() {
        assert!(is_host("shop.example.com") && is_host("*.example.com"));
        assert!(!is_host("shop_1.example.com") && !is_host("*") && !is_host("a.*.b"));
    }
}
