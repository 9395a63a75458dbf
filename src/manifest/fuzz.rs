//! The inner readers, for programs that look for input they do not survive. It is compiled for those only.

use std::cell::Cell;

use super::interpolate::{BUDGET, expand};
use super::raw::{mount, port};
use super::value::{duration, size, words};
use super::{dotenv, scalar};

/// What names mean while values are replaced.
fn lookup(name: &str) -> Option<&'static str> {
    match name {
        "A" => Some("a value"),
        "B" => Some("${A}"),
        "EMPTY" => Some(""),
        _ => None,
    }
}

/// Replaces the variables of a text, and of the same text with its dollar signs doubled, which must give it back.
pub fn interpolate(text: &str) {
    let _ = expand(text, &lookup, &Cell::new(BUDGET), &mut |_, start, end| {
        assert!(text.get(start..end).is_some(), "a variable stands outside the text");
    });
    let doubled = text.replace('$', "$$");
    let back = expand(&doubled, &lookup, &Cell::new(BUDGET), &mut |name, _, _| panic!("`{name}` is no variable"));
    assert!(back.is_ok_and(|back| back == text), "doubled dollar signs do not give the text back");
}

/// Reads a text as a file of variables in both formats.
pub fn dotenv(text: &str) {
    for result in [dotenv::parse(text, &lookup), dotenv::parse_raw(text, &lookup)] {
        match result {
            Ok(variables) => assert!(variables.keys().all(|name| !name.contains(['\n', '='])), "a name is none"),
            Err(mistake) => assert!(mistake.at <= text.len(), "a mistake lies outside the text"),
        }
    }
}

/// Reads a text as every kind of short form and value.
pub fn values(text: &str) {
    if let Ok(ports) = port::from_short(text) {
        assert!(ports.len() <= 65536, "more ports than there are");
    }
    let _ = mount::from_short(text);
    let _ = words::split(text);
    let _ = size::parse(text);
    if let Ok(span) = duration::parse(text) {
        let shown = duration::show(span);
        assert_eq!(duration::parse(&shown), Ok(span), "`{shown}` is not read as it was written");
    }
    if let scalar::Resolved::Float(value) = scalar::resolve(text) {
        scalar::float_text(value);
    }
}
