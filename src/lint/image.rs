//! What is known of images by their names.

/// The parts of an image's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Image<'a> {
    /// Without registry, tag and digest: `bitnami/postgresql`, `postgres`.
    pub(super) repository: &'a str,
    /// The last part of the repository.
    pub(super) name: &'a str,
    /// One of Docker's official images.
    pub(super) is_official: bool,
    pub(super) tag: Option<&'a str>,
    pub(super) has_digest: bool,
}

impl<'a> Image<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        let (rest, has_digest) = text.split_once('@').map_or((text, false), |(rest, _)| (rest, true));
        let last = rest.rfind('/').map_or(0, |at| at + 1);
        let (rest, tag) = match rest[last..].find(':') {
            Some(at) => (&rest[..last + at], Some(&rest[last + at + 1..])),
            None => (rest, None),
        };
        let is_registry = |part: &str| part.contains(['.', ':']) || part == "localhost";
        let (registry, repository) = match rest.split_once('/') {
            Some((first, rest)) if is_registry(first) => (Some(first), rest),
            _ => (None, rest),
        };
        let hub = registry.is_none_or(|registry| registry.ends_with("docker.io") || registry == "public.ecr.aws");
        let repository = repository.strip_prefix("docker/library/").unwrap_or(repository);
        let repository = repository.strip_prefix("library/").unwrap_or(repository);
        let name = repository.rsplit('/').next().unwrap_or(repository);
        Self { repository, name, is_official: hub && !repository.contains('/'), tag, has_digest }
    }

    /// The version that the tag begins with.
    pub(super) fn major(&self) -> Option<u32> {
        self.tag?.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
    }

    /// The ports that a database of this name listens on.
    pub(super) fn database_ports(&self) -> &'static [u16] {
        match self.name {
            "postgres" | "postgresql" | "postgis" | "pgvector" | "timescaledb" | "timescaledb-ha" => &[5432],
            "mysql" | "mariadb" | "percona" | "mysql-server" => &[3306, 33060],
            "mongo" | "mongodb" | "mongodb-community-server" => &[27017],
            "redis" | "valkey" | "keydb" | "redis-stack" | "redis-stack-server" | "dragonfly" => &[6379],
            "memcached" => &[11211],
            "elasticsearch" | "opensearch" => &[9200, 9300],
            "cassandra" | "scylla" => &[9042],
            "couchdb" => &[5984],
            "neo4j" => &[7474, 7687],
            "influxdb" => &[8086],
            "clickhouse" | "clickhouse-server" => &[8123, 9000],
            "etcd" => &[2379],
            "server" if self.repository == "mssql/server" => &[1433],
            _ => &[],
        }
    }

    /// Where the data of a database of this name lies.
    pub(super) fn data_folder(&self) -> Option<&'static str> {
        if !self.is_official {
            return None;
        }
        match self.name {
            "postgres" => Some(if self.major()? >= 18 { "/var/lib/postgresql" } else { "/var/lib/postgresql/data" }),
            "mysql" | "mariadb" => Some("/var/lib/mysql"),
            "mongo" => Some("/data/db"),
            "redis" | "valkey" => Some("/data"),
            _ => None,
        }
    }

    /// Whether an image of this name is known to lack a program.
    pub(super) fn lacks(&self, program: &str) -> bool {
        if self.repository.contains("distroless") || self.repository == "scratch" {
            return true;
        }
        if !self.is_official {
            return false;
        }
        let tag = self.tag.unwrap_or_default();
        let alpine = tag.contains("alpine") || self.name == "alpine";
        let small = match self.name {
            "node" | "python" | "ruby" | "golang" | "rust" | "php" | "openjdk" => alpine || tag.contains("slim"),
            "postgres" | "redis" | "valkey" | "memcached" | "alpine" | "debian" | "ubuntu" | "busybox" => true,
            _ => false,
        };
        let is_php = self.name == "php";
        small && ((program == "curl" && !is_php) || (program == "wget" && !alpine && self.name != "busybox"))
    }
}

/// Ports on which nothing but a database listens.
pub(super) const DATABASE_PORTS: &[u16] = &[1433, 3306, 5432, 6379, 9042, 11211, 27017];

#[cfg(test)]
mod tests {
    use super::Image;

    #[test]
    fn a_name_falls_into_its_parts() {
        for (text, repository, name, is_official, tag) in [
            ("postgres:16-alpine", "postgres", "postgres", true, Some("16-alpine")),
            ("docker.io/library/redis", "redis", "redis", true, None),
            ("localhost:5000/shop/web", "shop/web", "web", false, None),
            ("ghcr.io/a/b:latest", "a/b", "b", false, Some("latest")),
            ("bitnami/postgresql:16@sha256:00", "bitnami/postgresql", "postgresql", false, Some("16")),
        ] {
            let image = Image::parse(text);
            assert_eq!(
                (image.repository, image.name, image.is_official, image.tag),
                (repository, name, is_official, tag),
                "{text}"
            );
        }
    }
}
