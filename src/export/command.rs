//! What the command of a healthcheck asks, where a kubelet can ask just the same: an address over HTTP, or whether a port
//! takes connections. Everything that means more, or that cannot be told, is left to the command itself.
//!
//! `pg_isready` stays a command: it tells a server that still starts from one that answers, which a connection does not.
//! `redis-cli ping` does not: it fails only when there is no connection, whatever the server answers.

use crate::project::HealthTest;

/// What a command asks of its own container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Question {
    /// A request that must be answered with a status below 400.
    Request {
        /// It is encrypted, and nobody looks at the certificate.
        encrypted: bool,
        /// The host as written, with its port.
        host: String,
        /// The port.
        port: u16,
        /// The path with its query.
        path: String,
    },
    /// Whether a port takes connections.
    Connection(u16),
}

/// The question that a test asks, when that is all that it does.
pub(super) fn question(test: &HealthTest) -> Option<Question> {
    let words = match test {
        HealthTest::Command(words) => words.clone(),
        HealthTest::Shell(line) => shell_words(line)?,
        HealthTest::Inherit | HealthTest::Disabled => return None,
    };
    let (program, arguments) = words.split_first()?;
    match program.rsplit('/').next()? {
        "curl" => request(curl(arguments)?),
        "wget" => request(wget(arguments)?),
        "nc" | "ncat" | "netcat" => nc(arguments).map(Question::Connection),
        "redis-cli" | "valkey-cli" => redis(arguments).map(Question::Connection),
        "bash" | "sh" if words.len() == 3 && words[1] == "-c" => question(&HealthTest::Shell(words[2].clone())),
        _ => None,
    }
}

fn request(address: Address<'_>) -> Option<Question> {
    let (encrypted, host, path) = local(address.url)?;
    // A kubelet never looks at the certificate, so the command must not either.
    if encrypted && !address.trusts_anybody {
        return None;
    }
    let usual = if encrypted { 443 } else { 80 };
    let port =
        host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map_or(Ok(usual), |(_, port)| port.parse());
    Some(Question::Request { encrypted, host: host.to_owned(), port: port.ok()?, path: path.to_owned() })
}

/// What a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Address<'a> {
    url: &'a str,
    /// Any certificate will do.
    trusts_anybody: bool,
}

/// The words of a line that is nothing but one command, with or without `|| exit 1` after it.
fn shell_words(line: &str) -> Option<Vec<String>> {
    let line = line.trim();
    let command = match line.split_once("||") {
        Some((command, rest)) if ["exit 1", "false", "exit"].contains(&rest.trim()) => command,
        Some(_) => return None,
        None => line,
    };
    let command = command.trim().strip_suffix(">/dev/null 2>&1").unwrap_or(command).trim();
    let command =
        command.strip_suffix("> /dev/null 2>&1").or_else(|| command.strip_suffix("> /dev/null")).unwrap_or(command);
    let plain = !command.contains(|character: char| "$`\\|&;<>()*?[]{}~#!\n".contains(character));
    plain.then(|| shell_words::split(command).ok())?
}

/// The address that `curl` asks, when a status of 400 or more makes it fail and nothing else matters.
fn curl(arguments: &[String]) -> Option<Address<'_>> {
    let mut url = None;
    let mut fails = false;
    let mut trusts_anybody = false;
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--fail" => fails = true,
            "--insecure" => trusts_anybody = true,
            "--silent" | "--show-error" | "--location" => {}
            "-o" | "--output" if arguments.next().is_some_and(|file| file == "/dev/null") => {}
            short
                if short.len() > 1
                    && short.starts_with('-')
                    && short[1..].chars().all(|flag| "fsSkL".contains(flag)) =>
            {
                fails |= short.contains('f');
                trusts_anybody |= short.contains('k');
            }
            address if url.is_none() && !address.starts_with('-') => url = Some(address),
            _ => return None,
        }
    }
    Some(Address { url: url.filter(|_| fails)?, trusts_anybody })
}

/// The address that `wget` asks, when nothing else matters.
fn wget(arguments: &[String]) -> Option<Address<'_>> {
    let mut url = None;
    let mut trusts_anybody = false;
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--no-check-certificate" => trusts_anybody = true,
            "-q" | "--quiet" | "-nv" | "--no-verbose" | "--spider" | "--tries=1" | "-qO-" | "-O-" | "-O/dev/null"
            | "-qO/dev/null" => {}
            "-O" | "-qO" if arguments.next().is_some_and(|file| file == "-" || file == "/dev/null") => {}
            "-t" if arguments.next().is_some_and(|tries| tries == "1") => {}
            address if url.is_none() && !address.starts_with('-') => url = Some(address),
            _ => return None,
        }
    }
    Some(Address { url: url?, trusts_anybody })
}

/// The port that `nc` looks at, when it only looks.
fn nc(arguments: &[String]) -> Option<u16> {
    let mut looks = false;
    let mut plain = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-w" if arguments.next().is_some_and(|seconds| seconds.parse::<u32>().is_ok()) => {}
            short
                if short.len() > 1 && short.starts_with('-') && short[1..].chars().all(|flag| "zvn".contains(flag)) =>
            {
                looks |= short.contains('z');
            }
            word if !word.starts_with('-') => plain.push(word),
            _ => return None,
        }
    }
    match plain[..] {
        [host, port] if looks && is_local(host) => port.parse().ok().filter(|port| *port > 0),
        _ => None,
    }
}

/// The port that `redis-cli ping` asks: it fails only when there is no connection.
fn redis(arguments: &[String]) -> Option<u16> {
    let mut port = 6379;
    let mut arguments = arguments.iter();
    let mut asks = false;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-h" if arguments.next().is_some_and(|host| is_local(host)) => {}
            "-p" => port = arguments.next()?.parse().ok().filter(|port| *port > 0)?,
            "-a" | "--pass" | "--user" => drop(arguments.next()?),
            "--raw" | "--no-auth-warning" => {}
            word if !asks && word.eq_ignore_ascii_case("ping") => asks = true,
            _ => return None,
        }
    }
    asks.then_some(port)
}

fn is_local(host: &str) -> bool {
    ["localhost", "127.0.0.1", "0.0.0.0", "::1"].contains(&host)
}

/// Whether it is encrypted, host with port, and path, of an address on this container: `localhost:3000`, `/health`.
fn local(url: &str) -> Option<(bool, &str, &str)> {
    let (encrypted, rest) = match url.split_once("://") {
        Some(("http", rest)) => (false, rest),
        Some(("https", rest)) => (true, rest),
        Some(_) => return None,
        None => (false, url),
    };
    let (authority, path) = match rest.find('/') {
        Some(start) => rest.split_at(start),
        None => (rest, "/"),
    };
    let host = match authority.strip_prefix("[::1]") {
        Some(_) => "[::1]",
        None => authority.split(':').next()?,
    };
    let port = &authority[host.len()..];
    let port_is_plain =
        port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let is_here = host == "[::1]" || (is_local(host) && !host.contains("::"));
    (is_here && port_is_plain && !path.contains(['#', ' '])).then_some((encrypted, authority, path))
}

#[cfg(test)]
mod tests {
    use super::{Question, local, question, shell_words};
    use crate::project::HealthTest;

    fn asked(line: &str) -> Option<Question> {
        question(&HealthTest::Shell(line.to_owned()))
    }

    fn path(line: &str) -> Option<String> {
        match asked(line) {
            Some(Question::Request { host, path, .. }) => Some(format!("{host}{path}")),
            _ => None,
        }
    }

    #[test]
    fn a_line_with_anything_but_one_command_is_left_to_the_shell() {
        assert_eq!(shell_words("curl -f http://localhost/ || exit 1").map(|words| words.len()), Some(3));
        assert!(shell_words("curl -f http://localhost/ | grep ok").is_none());
        assert!(shell_words("curl -f http://localhost:$PORT/").is_none());
        assert!(shell_words("curl -f http://localhost/ || exit 0").is_none());
        assert!(shell_words("a || b || exit 1").is_none());
    }

    #[test]
    fn curl_is_a_request_only_when_a_bad_status_fails_it() {
        assert_eq!(path("curl -fsS -o /dev/null http://localhost/").as_deref(), Some("localhost/"));
        assert_eq!(path("curl -fsS http://localhost/ > /dev/null").as_deref(), Some("localhost/"));
        assert_eq!(path("curl -s http://localhost/"), None);
        assert_eq!(path("curl -f -X POST http://localhost/"), None);
        assert_eq!(path("curl -f http://localhost/ http://localhost/b"), None);
    }

    #[test]
    fn wget_is_a_request_with_flags_that_change_nothing() {
        assert_eq!(path("wget -qO- http://localhost/").as_deref(), Some("localhost/"));
        assert_eq!(path("wget --spider -q localhost:80").as_deref(), Some("localhost:80/"));
        assert_eq!(path("wget --post-data x http://localhost/"), None);
        assert_eq!(path("wget -O out http://localhost/"), None);
    }

    #[test]
    fn an_encrypted_request_must_not_look_at_the_certificate() {
        assert_eq!(path("curl -f https://localhost/"), None);
        assert!(matches!(
            asked("curl -fk https://localhost/"),
            Some(Question::Request { encrypted: true, port: 443, .. })
        ));
        assert!(asked("wget -q --no-check-certificate https://localhost:8443/").is_some());
    }

    #[test]
    fn a_connection_is_all_that_some_commands_ask_for() {
        assert_eq!(asked("nc -z localhost 5432"), Some(Question::Connection(5432)));
        assert_eq!(asked("nc -zv -w 2 127.0.0.1 80 || exit 1"), Some(Question::Connection(80)));
        assert_eq!(asked("nc localhost 80"), None);
        assert_eq!(asked("nc -z db 5432"), None);
        assert_eq!(asked("redis-cli ping"), Some(Question::Connection(6379)));
        assert_eq!(asked("redis-cli -p 7000 -a secret PING"), Some(Question::Connection(7000)));
        assert_eq!(asked("redis-cli ping | grep PONG"), None);
        assert_eq!(asked("redis-cli get x"), None);
        assert_eq!(asked("pg_isready -U postgres"), None);
    }

    #[test]
    fn a_shell_that_is_written_out_is_seen_through() {
        let words = ["sh", "-c", "nc -z localhost 1"].map(str::to_owned);
        assert_eq!(question(&HealthTest::Command(words.into())), Some(Question::Connection(1)));
    }

    #[test]
    fn only_addresses_of_the_container_itself_are_local() {
        assert_eq!(local("http://localhost:3000/health"), Some((false, "localhost:3000", "/health")));
        assert_eq!(local("127.0.0.1"), Some((false, "127.0.0.1", "/")));
        assert_eq!(local("http://[::1]:80/x"), Some((false, "[::1]:80", "/x")));
        assert_eq!(local("http://db:80/"), None);
        assert_eq!(local("http://user@localhost/"), None);
        assert_eq!(local("http://localhost:99999/"), None);
    }
}
