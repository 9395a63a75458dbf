//! JSON as Go writes it: two spaces, and what HTML minds is escaped.

use std::fmt::Write as _;

use serde_json::Value;

/// A value in lines.
pub(super) fn write(value: &Value) -> String {
    let mut out = String::new();
    any(value, 0, &mut out);
    out.push('\n');
    out
}

fn any(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(value) => number(value, out),
        Value::String(value) => text(value, out),
        Value::Array(items) if items.is_empty() => out.push_str("[]"),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                line(if at == 0 { "[" } else { "," }, indent + 1, out);
                any(item, indent + 1, out);
            }
            line("", indent, out);
            out.push(']');
        }
        Value::Object(map) if map.is_empty() => out.push_str("{}"),
        Value::Object(map) => {
            for (at, (key, item)) in map.iter().enumerate() {
                line(if at == 0 { "{" } else { "," }, indent + 1, out);
                text(key, out);
                out.push_str(": ");
                any(item, indent + 1, out);
            }
            line("", indent, out);
            out.push('}');
        }
    }
}

/// Ends a line and begins the next.
fn line(end: &str, indent: usize, out: &mut String) {
    out.push_str(end);
    out.push('\n');
    for _ in 0..indent {
        out.push_str("  ");
    }
}

fn number(value: &serde_json::Number, out: &mut String) {
    let Some(float) = value.as_f64().filter(|_| value.is_f64()) else {
        let _ = write!(out, "{value}");
        return;
    };
    let size = float.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        let _ = write!(out, "{float}");
    } else {
        let written = format!("{float:e}");
        let sign = if written.contains("e-") { "e" } else { "e+" };
        out.push_str(&written.replacen('e', sign, 1));
    }
}

fn text(value: &str, out: &mut String) {
    out.push('"');
    let mut rest = value;
    while let Some(at) = rest.find(needs_escape) {
        out.push_str(&rest[..at]);
        let character = rest[at..].chars().next().unwrap_or_default();
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            other => {
                let _ = write!(out, "\\u{:04x}", u32::from(other));
            }
        }
        rest = &rest[at + character.len_utf8()..];
    }
    out.push_str(rest);
    out.push('"');
}

fn needs_escape(character: char) -> bool {
    matches!(character, '"' | '\\' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}') || character < ' '
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::write;

    #[test]
    fn json_is_written_as_go_writes_it() {
        let value = json!({ "a": ["<&>", "tab\t", "é", 1.5, 2e30, 1e-9, -3], "b": {}, "c": [], "d": null });
        let expected = "{\n  \"a\": [\n    \"\\u003c\\u0026\\u003e\",\n    \"tab\\t\",\n    \"é\",\n    1.5,\n    2e+30,\n    \
                        1e-9,\n    -3\n  ],\n  \"b\": {},\n  \"c\": [],\n  \"d\": null\n}\n";
        assert_eq!(write(&value), expected);
    }
}
