//! What must not be seen on a screen or in a log: the values of variables that are named like secrets, and passwords in
//! addresses. It goes by names, so it hides too much rather than too little.

use std::borrow::Cow;

/// What stands instead of a value.
pub(super) const MASK: &str = "***";

/// Whether a variable of this name holds a secret.
pub(super) fn is_secret(name: &str) -> bool {
    const ANY: [&str; 7] = ["PASSWORD", "PASSWD", "PASSPHRASE", "API_KEY", "APIKEY", "PRIVATE_KEY", "ACCESS_KEY"];
    const VARIABLES: [&str; 3] = ["SECRET", "TOKEN", "CREDENTIAL"];
    let upper = name.to_ascii_uppercase();
    let is_variable = upper == name;
    let is_named = ANY.iter().any(|word| upper.contains(word))
        || (is_variable && VARIABLES.iter().any(|word| upper.contains(word)))
        || (is_variable && ["_PASS", "_PWD", "_KEY"].iter().any(|end| upper.ends_with(end)));
    is_named && !["_FILE", "_PATH", "_DIR"].iter().any(|end| upper.ends_with(end))
}

/// A file's text with `*` instead of what is secret, as long as it was, so that places stay right.
#[must_use]
pub fn masked(text: &str) -> Cow<'_, str> {
    let mut hidden: Vec<(usize, usize)> = passwords(text).collect();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !is_word(bytes[at]) {
            at += 1;
            continue;
        }
        let end = at + bytes[at..].iter().take_while(|byte| is_word(**byte)).count();
        if is_secret(&text[at..end])
            && let Some((start, stop)) = value_after(text, end)
        {
            hidden.push((start, stop));
        }
        at = end;
    }
    if hidden.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut result = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        if hidden.iter().any(|(start, end)| (*start..*end).contains(&at)) {
            result.extend(std::iter::repeat_n('*', character.len_utf8()));
        } else {
            result.push(character);
        }
    }
    Cow::Owned(result)
}

/// A text with the passwords of its addresses hidden.
pub(super) fn without_passwords(text: &str) -> Cow<'_, str> {
    let mut result = Cow::Borrowed(text);
    let found: Vec<(usize, usize)> = passwords(text).collect();
    for (start, end) in found.into_iter().rev() {
        result.to_mut().replace_range(start..end, MASK);
    }
    result
}

/// The `password` of every `scheme://user:password@host`.
fn passwords(text: &str) -> impl Iterator<Item = (usize, usize)> {
    text.match_indices("://").filter_map(move |(at, _)| {
        let start = at + 3;
        let rest = &text[start..];
        let authority = rest.split(|c: char| c.is_whitespace() || "/\"'`,?#".contains(c)).next().unwrap_or_default();
        let (user, _) = authority.rsplit_once('@')?;
        let (name, password) = user.split_once(':')?;
        let begin = start + name.len() + 1;
        (!password.is_empty() && !password.starts_with('$')).then_some((begin, begin + password.len()))
    })
}

/// The value that follows a name, when one does that is written out.
fn value_after(text: &str, end: usize) -> Option<(usize, usize)> {
    let line_end = text[end..].find(['\n', '\r']).map_or(text.len(), |length| end + length);
    let rest = &text[end..line_end];
    let after = rest.trim_start_matches(['"', '\'']).trim_start();
    let after = after.strip_prefix('=').or_else(|| after.strip_prefix(": "))?.trim_start();
    let start = line_end - after.len();
    let line_start = text[..end].rfind('\n').map_or(0, |at| at + 1);
    let in_flow = text[line_start..end].contains(['{', '[']);
    let (start, value) = match after.chars().next()? {
        quote @ ('"' | '\'') => (start + 1, after[1..].split(quote).next().unwrap_or_default()),
        '$' | '{' | '[' | '&' | '*' | '!' | '|' | '>' | '#' => return None,
        _ if in_flow => (start, after.split([',', '}', ']', '"', '\'']).next().unwrap_or_default()),
        _ => (start, after.trim_end_matches(['"', '\''])),
    };
    (!value.is_empty() && !value.starts_with('$')).then_some((start, start + value.len()))
}

#[cfg(test)]
mod tests {
    use super::{masked, without_passwords};

    #[test]
    fn what_is_named_like_a_secret_is_hidden_and_nothing_moves() {
        for (text, expected) in [
            ("DB_PASSWORD=hunter2\nA=1", "DB_PASSWORD=*******\nA=1"),
            ("  - API_TOKEN=a b # c", "  - API_TOKEN=*******"),
            ("  POSTGRES_PASSWORD: \"x\" # why", "  POSTGRES_PASSWORD: \"*\" # why"),
            ("e: {STRIPE_KEY: abc, B: c}", "e: {STRIPE_KEY: ***, B: c}"),
            ("  DB_PASSWORD: ${DB_PASSWORD}", "  DB_PASSWORD: ${DB_PASSWORD}"),
            ("  DB_PASSWORD_FILE: /run/secrets/db", "  DB_PASSWORD_FILE: /run/secrets/db"),
            ("secrets: [token]\ntoken: x", "secrets: [token]\ntoken: x"),
            ("u: postgres://me:pw@db/x", "u: postgres://me:**@db/x"),
            ("PASSWORD=é", "PASSWORD=**"),
        ] {
            assert_eq!(masked(text), expected);
            assert_eq!(masked(text).len(), text.len());
        }
        assert_eq!(without_passwords("a://u:p@h b://u@h"), "a://u:***@h b://u@h");
    }
}
