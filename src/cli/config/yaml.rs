//! YAML as Go's writer lays it out: blocks of two spaces, and quotes where a reader of any age might take a text for
//! something else.

use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

use crate::manifest::is_plain_text;

/// A mapping in lines.
pub(super) fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => entries(map, 0, &mut out),
        other => {
            scalar(other, 0, &mut out);
            out.push('\n');
        }
    }
    out
}

fn pad(indent: usize, out: &mut String) {
    for _ in 0..indent {
        out.push(' ');
    }
}

fn entries(map: &Map<String, Value>, indent: usize, out: &mut String) {
    for (at, (key, value)) in map.iter().enumerate() {
        // The first one stands where the mapping begins.
        if at > 0 || indent == 0 {
            pad(indent, out);
        }
        entry(key, value, indent, out);
    }
}

fn entry(key: &str, value: &Value, indent: usize, out: &mut String) {
    text(key, None, out);
    out.push(':');
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            pad(indent + 2, out);
            entries(map, indent + 2, out);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            pad(indent + 2, out);
            list(items, indent + 2, out);
        }
        other => {
            out.push(' ');
            scalar(other, indent + 2, out);
            out.push('\n');
        }
    }
}

fn list(items: &[Value], indent: usize, out: &mut String) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            pad(indent, out);
        }
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() => entries(map, indent + 2, out),
            Value::Array(items) if !items.is_empty() => list(items, indent + 2, out),
            other => {
                scalar(other, indent + 2, out);
                out.push('\n');
            }
        }
    }
}

/// A value in one place; a text of several lines goes on in lines with this indent.
fn scalar(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(value) => match value.as_f64().filter(|_| value.is_f64()) {
            Some(float) => number(float, out),
            None => drop(write!(out, "{value}")),
        },
        Value::String(value) => text(value, Some(indent), out),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

/// The shortest digits, with an exponent when the number is very small or has more than six of them before the point.
fn number(float: f64, out: &mut String) {
    let written = format!("{float:e}");
    let (mantissa, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    let power: i32 = exponent.parse().unwrap_or(0);
    if float == 0.0 || (-4..6).contains(&power) {
        let _ = write!(out, "{float}");
    } else {
        let sign = if power < 0 { '-' } else { '+' };
        let _ = write!(out, "{mantissa}e{sign}{:02}", power.abs());
    }
}

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// A text; `None` is a key, which has no lines of its own.
fn text(value: &str, indent: Option<usize>, out: &mut String) {
    match style(value, indent.is_none()) {
        Style::Plain => out.push_str(value),
        Style::Single => {
            out.push('\'');
            out.push_str(&value.replace('\'', "''"));
            out.push('\'');
        }
        Style::Double => double(value, out),
        Style::Literal => literal(value, indent.unwrap_or_default(), out),
    }
}

fn style(value: &str, is_key: bool) -> Style {
    let shape = Shape::of(value);
    if value.contains('\n') {
        return if is_key || !shape.block { Style::Double } else { Style::Literal };
    }
    if !is_plain_text(value) || is_old(value) {
        return Style::Double;
    }
    match (shape.plain, shape.single) {
        (true, _) => Style::Plain,
        (false, true) => Style::Single,
        (false, false) => Style::Double,
    }
}

/// Words that readers of YAML 1.1 take for flags, and digits that they take for hours and minutes.
fn is_old(text: &str) -> bool {
    static BASE_60: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$").expect("the pattern is a valid expression")
    });
    let word = matches!(
        text,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF"
    );
    word || (text.contains(':') && BASE_60.is_match(text))
}

/// In which styles a text stays what it is.
struct Shape {
    plain: bool,
    single: bool,
    block: bool,
}

impl Shape {
    fn of(value: &str) -> Self {
        if is_simple(value) {
            return Self { plain: true, single: true, block: true };
        }
        let (mut indicator, mut special, mut tab, mut breaks) = (false, false, false, false);
        let (mut space_break, mut break_space) = (false, false);
        let mut before = ' ';
        let mut characters = value.chars().peekable();
        let mut first = true;
        while let Some(character) = characters.next() {
            let blank_follows = characters.peek().is_none_or(|next| is_blank(*next));
            indicator |= match character {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`'
                    if first =>
                {
                    true
                }
                '?' | '-' if first => blank_follows,
                ':' => blank_follows,
                '#' => is_blank(before),
                _ => false,
            };
            tab |= character == '\t';
            special |= character != '\t' && !is_printable(character);
            if is_break(character) {
                breaks = true;
                space_break |= before == ' ' && !first;
            } else if character == ' ' {
                break_space |= is_break(before);
            }
            before = character;
            first = false;
        }
        let at_edge = |end: Option<char>| end.is_some_and(|character| character == ' ' || is_break(character));
        let edges = at_edge(value.chars().next()) || at_edge(value.chars().next_back());
        let marker = value.starts_with("---") || value.starts_with("...");
        let hard = space_break || tab || special;
        Self {
            plain: !(indicator || marker || edges || break_space || hard || breaks),
            single: !(break_space || hard),
            block: !(value.ends_with(' ') || space_break || special),
        }
    }
}

/// Letters and digits, with what never means anything in between: most texts.
fn is_simple(value: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'/' | b'=');
    let also = |byte: u8| inside(byte) || matches!(byte, b'.' | b'-');
    value.bytes().next().is_some_and(inside) && value.bytes().all(also)
}

fn is_blank(character: char) -> bool {
    character == ' ' || character == '\t' || is_break(character)
}

fn is_break(character: char) -> bool {
    matches!(character, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_printable(character: char) -> bool {
    matches!(character, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && character != '\u{feff}'
}

fn double(value: &str, out: &mut String) {
    out.push('"');
    for character in value.chars() {
        let escape = match character {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\0' => "\\0",
            '\u{7}' => "\\a",
            '\u{8}' => "\\b",
            '\t' => "\\t",
            '\n' => "\\n",
            '\u{b}' => "\\v",
            '\u{c}' => "\\f",
            '\r' => "\\r",
            '\u{1b}' => "\\e",
            '\u{85}' => "\\N",
            '\u{2028}' => "\\L",
            '\u{2029}' => "\\P",
            other if is_printable(other) => {
                out.push(other);
                continue;
            }
            other => {
                let code = u32::from(other);
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02X}"),
                    0x100..=0xffff => write!(out, "\\u{code:04X}"),
                    _ => write!(out, "\\U{code:08X}"),
                };
                continue;
            }
        };
        out.push_str(escape);
    }
    out.push('"');
}

fn literal(value: &str, indent: usize, out: &mut String) {
    out.push('|');
    if value.starts_with(' ') || value.starts_with(is_break) {
        out.push('2');
    }
    let body = value.strip_suffix('\n');
    out.push_str(match body {
        None => "-",
        Some(body) if body.is_empty() || body.ends_with('\n') => "+",
        Some(_) => "",
    });
    for line in body.unwrap_or(value).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(indent, out);
            out.push_str(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::write;

    #[test]
    fn texts_are_quoted_where_a_reader_could_take_them_for_something_else() {
        for (text, expected) in [
            ("plain text", "plain text"),
            ("", "\"\""),
            ("yes", "\"yes\""),
            ("012", "\"012\""),
            ("22:22", "\"22:22\""),
            ("a: b", "'a: b'"),
            ("it's #1", "'it''s #1'"),
            ("it's", "it's"),
            ("tab\t", "\"tab\\t\""),
            ("two\nlines", "|-\n  two\n  lines"),
            ("ends\n\n", "|+\n  ends\n"),
            (" led\n", "|2\n   led"),
            ("😀", "\"\\U0001F600\""),
        ] {
            assert_eq!(write(&json!({ "k": text })), format!("k: {expected}\n"), "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let value = json!({ "a": [{ "b": [], "c": { "d": null } }, [1, 2.5e30], "- x"], "e:": "x\n\n y", "10": true });
        assert_eq!(serde_yaml::from_str::<Value>(&write(&value)).expect("it is YAML"), value);
    }
}
