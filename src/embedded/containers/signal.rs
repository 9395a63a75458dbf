//! Signals by name or number.

use crate::embedded::error::Error;

/// `SIGKILL`.
pub(super) const KILL: i32 = 9;
/// `SIGTERM`.
pub(super) const TERMINATE: i32 = 15;
/// The highest number of a signal.
const HIGHEST: i32 = 64;
/// The lowest of the real-time signals that programs may use.
const REAL_TIME: i32 = 34;

/// `TERM`, `SIGTERM`, `sigterm`, `15`, `SIGRTMIN+3`, `RTMAX-1` → its number.
pub(super) fn parse(text: &str) -> Result<i32, Error> {
    let invalid = || Error::Invalid(format!("Invalid signal: {text}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=HIGHEST).contains(&number) { Ok(number) } else { Err(invalid()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |digits: &str| if digits.is_empty() { Some(0) } else { digits[1..].parse::<i32>().ok() };
    if let Some(rest) = name.strip_prefix("RTMIN").filter(|rest| rest.is_empty() || rest.starts_with('+')) {
        let number = offset(rest).and_then(|offset| REAL_TIME.checked_add(offset));
        return number.filter(|number| (REAL_TIME..=HIGHEST).contains(number)).ok_or_else(invalid);
    }
    if let Some(rest) = name.strip_prefix("RTMAX").filter(|rest| rest.is_empty() || rest.starts_with('-')) {
        let number = offset(rest).and_then(|offset| HIGHEST.checked_sub(offset));
        return number.filter(|number| (REAL_TIME..=HIGHEST).contains(number)).ok_or_else(invalid);
    }
    let name = match name {
        "CLD" => "CHLD",
        "IOT" => "ABRT",
        "POLL" => "IO",
        name => name,
    };
    format!("SIG{name}").parse::<nix::sys::signal::Signal>().map(|signal| signal as i32).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in
            [("TERM", 15), ("sigkill", 9), ("15", 15), ("SIGRTMIN+3", 37), ("RTMAX", 64), ("RTMAX-1", 63)]
        {
            assert_eq!(parse(text), Ok(number), "{text}");
        }
        for text in ["", "0", "65", "SIG", "NOPE", "-1", "RTMIN+99", "RTMIN-1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
