//! Which values of an environment belong into a Secret, told by their names and by how they look.
//!
//! A value taken for a secret by mistake costs somebody a line to fill in; a secret taken for a plain value ends up in
//! a repository. When in doubt it is a secret.

use std::collections::{BTreeMap, BTreeSet};

use crate::project::{FileSource, Kubernetes, Project};

/// Words that make a name's value a secret wherever they stand in it.
const ANYWHERE: [&str; 7] = ["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "CREDENTIAL", "APIKEY"];

/// Parts of a name, between its underscores, that make its value a secret wherever they stand.
const PARTS: [&str; 6] = ["PASS", "PWD", "PW", "DSN", "SALT", "KEK"];

/// Last parts of a name that make its value a secret.
const ENDS: [&str; 4] = ["KEY", "KEYS", "AUTH", "SECRETKEY"];

/// What may follow the word `KEY` in the name of a key: `AWS_ACCESS_KEY_ID`, `SECRET_KEY_BASE`, `KEY_V1`.
const AFTER_KEY: [&str; 4] = ["ID", "BASE", "V1", "V2"];

/// Last parts of a name that say that its value only tells where a secret is, of which kind, or how long it lasts.
const HARMLESS_ENDS: [&str; 36] = [
    "ALGORITHM",
    "CLASS",
    "CONVERTER",
    "DIR",
    "DISABLED",
    "ENABLED",
    "ENDPOINT",
    "EXPIRES",
    "EXPIRY",
    "FILE",
    "HEADER",
    "HOST",
    "LENGTH",
    "LIMIT",
    "LOCATION",
    "MECHANISM",
    "METHOD",
    "MODE",
    "NAME",
    "PATH",
    "POLICY",
    "PORT",
    "PROTOCOL",
    "PROVIDER",
    "REQUIRED",
    "ROLE",
    "SECONDS",
    "SERVERS",
    "SIZE",
    "SOURCE",
    "TTL",
    "TYPE",
    "URI",
    "URL",
    "USER",
    "USERNAME",
];

/// Whether the value of this variable is to be kept in a Secret.
pub(super) fn is_secret(name: &str, value: &str) -> bool {
    if value.is_empty() || is_switch(value) {
        return false;
    }
    has_credentials(value) || name_is_secret(name, value)
}

/// The same of a variable of a service, which may say otherwise.
pub(super) fn is_kept_secret(settings: &Kubernetes, name: &str, value: &str) -> bool {
    let is_plain = settings.plain_variables.contains(name);
    settings.secret_variables.contains(name) || (!is_plain && is_secret(name, value))
}

/// Whether a file's name says that its content is to be kept in a Secret.
pub(super) fn is_secret_file(file_name: &str, content: &[u8]) -> bool {
    let lower = file_name.to_ascii_lowercase();
    let ending = [".key", ".pem", ".p12", ".pfx", ".jks", ".htpasswd", ".env", "id_rsa", "id_ed25519"];
    let private = b"PRIVATE KEY-----";
    ending.iter().any(|ending| lower.ends_with(ending))
        || ["password", "passwd", "secret", "credential", "token"].iter().any(|word| lower.contains(word))
        || content.windows(private.len()).any(|window| window == private)
}

/// The values that the project keeps secret and that are too particular to stand somewhere by accident.
pub(super) fn known_values<'a>(project: &'a Project, settings: &BTreeMap<&str, Kubernetes>) -> BTreeSet<&'a str> {
    let services = project.services.values();
    let variables = services.flat_map(|service| {
        let settings = settings.get(service.name.as_str());
        let is_secret = move |name: &str, value: &str| {
            settings.map_or_else(|| is_secret(name, value), |settings| is_kept_secret(settings, name, value))
        };
        service
            .environment
            .iter()
            .filter_map(move |(name, value)| value.as_deref().filter(|value| is_secret(name, value)))
    });
    let files = project.secrets.values().filter_map(|secret| match &secret.source {
        FileSource::Content(text) => Some(text.trim()),
        FileSource::Environment { value, .. } => Some(value.trim()),
        FileSource::File(_) | FileSource::External => None,
    });
    variables.chain(files).filter(|value| is_particular(value)).collect()
}

/// `postgres` is the password of many a development database, and also a word like any other.
fn is_particular(value: &str) -> bool {
    let digits = value.contains(|character: char| character.is_ascii_digit());
    let letters = value.contains(|character: char| character.is_ascii_alphabetic());
    value.len() >= 12 || (value.len() >= 6 && digits && letters)
}

/// Values that only switch something on or off are nobody's secret.
fn is_switch(value: &str) -> bool {
    ["true", "false", "yes", "no", "on", "off", "0", "1"].contains(&value.to_ascii_lowercase().as_str())
}

fn name_is_secret(name: &str, value: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let mut parts: Vec<&str> = upper.split(|character: char| !character.is_ascii_alphanumeric()).collect();
    while parts.len() > 1 && parts.last().is_some_and(|part| part.chars().all(|character| character.is_ascii_digit())) {
        parts.pop();
    }
    let Some(last) = parts.last() else { return false };
    if parts.contains(&"PUBLIC") || HARMLESS_ENDS.contains(last) {
        return false;
    }
    if ANYWHERE.iter().any(|word| upper.contains(word)) || parts.iter().any(|part| PARTS.contains(part)) {
        return true;
    }
    // The key of a certificate is mostly given as a path to it.
    let is_path = value.starts_with('/');
    let is_key = parts.windows(2).any(|pair| pair[0] == "KEY" && AFTER_KEY.contains(&pair[1]));
    !is_path && (is_key || ENDS.contains(last))
}

/// `scheme://user:password@host`, or anything else with a password in it.
fn has_credentials(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    if ["password=", "pwd=", "passwd=", "accountkey="].iter().any(|word| lower.contains(word)) {
        return true;
    }
    if !value.contains("://") {
        return lower.contains("passw") && value.contains(':') && !value.starts_with('/');
    }
    value.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', '?', '#', ' ', ',']).next().unwrap_or_default();
        authority.contains('@')
    })
}

#[cfg(test)]
mod tests {
    use super::{is_secret, is_secret_file};

    #[test]
    fn names_of_passwords_tokens_and_keys_are_secrets() {
        for (name, value) in [
            ("POSTGRES_PASSWORD", "x"),
            ("DB_PASSWORD_1", "12345"),
            ("GITHUB_TOKEN", "x"),
            ("SECRET_KEY_BASE", "x"),
            ("AWS_ACCESS_KEY_ID", "x"),
            ("api-key", "x"),
            ("SENTRY_DSN", "x"),
            ("DB_PASS", "x"),
            ("REDIS_AUTH", "x"),
            ("APP_KEY_V1", "x"),
            ("ADMIN", "superuser:secretpassword"),
        ] {
            assert!(is_secret(name, value), "{name}");
        }
    }

    #[test]
    fn an_address_with_a_user_in_it_is_a_secret_whatever_its_name() {
        assert!(is_secret("DATABASE_URL", "postgres://shop:pw@db:5432/shop"));
        assert!(is_secret("MAIL", "smtp://user@mail"));
        assert!(is_secret("JDBC", "jdbc:mysql://db/x?user=a&password=b"));
        assert!(!is_secret("HOME_PAGE", "https://example.com/@people"));
        assert!(!is_secret("USERS_URL", "http://users:8080/"));
    }

    #[test]
    fn what_only_tells_where_a_secret_is_or_switches_something_is_plain() {
        for (name, value) in [
            ("POSTGRES_PASSWORD_FILE", "/run/secrets/pw"),
            ("MYSQL_ALLOW_EMPTY_PASSWORD", "yes"),
            ("TOKEN_TTL", "3600"),
            ("POSTGRES_HOST_AUTH_METHOD", "trust"),
            ("KEY_CONVERTER", "org.example.Json"),
            ("TLS_KEY", "/certs/server.key"),
            ("RESET", "https://shop.example/password"),
            ("KEYBOARD", "de"),
            ("MONKEY", "x"),
            ("STRIPE_PUBLIC_KEY", "pk"),
            ("PASSWORD", ""),
            ("PATH", "/bin"),
        ] {
            assert!(!is_secret(name, value), "{name}");
        }
    }

    #[test]
    fn a_private_key_is_a_secret_file_whatever_its_name() {
        assert!(is_secret_file("server.crt", b"-----BEGIN RSA PRIVATE KEY-----\n"));
        assert!(is_secret_file("tls.key", b""));
        assert!(!is_secret_file("nginx.conf", b"events {}"));
    }
}
