//! Which values of an environment belong into a Secret, told by their names and by how they look.
//!
//! A value taken for a secret by mistake costs somebody a line to fill in; a secret taken for a plain value ends up in
//! a repository. When in doubt it is a secret.

/// Words that make a name's value a secret wherever they stand in it.
const ANYWHERE: [&str; 7] = ["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "CREDENTIAL", "APIKEY"];

/// Parts of a name, between its underscores, that make its value a secret.
const PARTS: [&str; 8] = ["KEY", "KEYS", "PASS", "PWD", "PW", "DSN", "SALT", "AUTH"];

/// Last parts of a name that say that its value only tells where a secret is or how long it lasts.
const HARMLESS_ENDS: [&str; 14] = [
    "FILE",
    "PATH",
    "DIR",
    "URL",
    "URI",
    "HOST",
    "PORT",
    "EXPIRY",
    "EXPIRES",
    "TTL",
    "LENGTH",
    "ALGORITHM",
    "NAME",
    "TYPE",
];

/// Whether the value of this variable is to be kept in a Secret.
pub(super) fn is_secret(name: &str, value: &str) -> bool {
    if value.is_empty() || is_switch(value) {
        return false;
    }
    has_credentials(value) || name_is_secret(name)
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

/// Values that only switch something on or off are nobody's secret.
fn is_switch(value: &str) -> bool {
    ["true", "false", "yes", "no", "on", "off", "0", "1"].contains(&value.to_ascii_lowercase().as_str())
}

fn name_is_secret(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let mut parts: Vec<&str> = upper.split(|character: char| !character.is_ascii_alphanumeric()).collect();
    while parts.len() > 1 && parts.last().is_some_and(|part| part.chars().all(|character| character.is_ascii_digit())) {
        parts.pop();
    }
    if parts.contains(&"PUBLIC") || parts.last().is_some_and(|part| HARMLESS_ENDS.contains(part)) {
        return false;
    }
    ANYWHERE.iter().any(|word| upper.contains(word)) || parts.iter().any(|part| PARTS.contains(part))
}

/// `scheme://user:password@host`, or a connection string with `password=`.
fn has_credentials(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    if ["password=", "pwd=", "passwd=", "accountkey="].iter().any(|word| lower.contains(word)) {
        return true;
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
