//! Pure: which of the images in an index is for a machine.

use super::super::error::Error;
use super::archive::{Descriptor, Platform};
use super::machine;

impl Platform {
    /// This machine's.
    pub(super) fn here() -> Self {
        Self {
            architecture: machine::architecture().to_owned(),
            os: "linux".to_owned(),
            variant: machine::variant().to_owned(),
        }
    }

    /// Reads `os`, `architecture`, `os/architecture` or `os/architecture/variant`.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let here = Self::here();
        let good = |part: &&str| {
            !part.is_empty() && part.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-'))
        };
        let parts: Vec<&str> = text.split('/').filter(good).collect();
        if parts.len() != text.split('/').count() {
            return Err(bad(text));
        }
        let (os, architecture, variant) = match parts[..] {
            ["linux"] => ("linux", here.architecture.as_str(), here.variant.as_str()),
            [architecture] => ("linux", architecture, ""),
            [os, architecture] => (os, architecture, ""),
            [os, architecture, variant] => (os, architecture, variant),
            _ => return Err(bad(text)),
        };
        let (architecture, usual) = match architecture {
            "x86_64" | "x86-64" => ("amd64", ""),
            "aarch64" => ("arm64", ""),
            "armhf" => ("arm", "v7"),
            "armel" => ("arm", "v6"),
            "i386" | "i686" => ("386", ""),
            other => (other, ""),
        };
        let variant = if variant.is_empty() { usual } else { variant };
        Ok(Self { os: os.to_owned(), architecture: architecture.to_owned(), variant: variant.to_owned() })
    }

    /// How well an image for `other` runs on this one; `None` when not at all, more is better.
    fn suits(&self, other: &Self) -> Option<u32> {
        if self.os != other.os || self.architecture != other.architecture {
            return None;
        }
        let level = |variant: &str| variant.strip_prefix('v').and_then(|digits| digits.parse::<u32>().ok());
        let usual = match self.architecture.as_str() {
            "arm64" => "v8",
            "arm" => "v7",
            _ => "v1",
        };
        let or_usual = |variant: &str| level(if variant.is_empty() { usual } else { variant });
        match (or_usual(&self.variant), or_usual(&other.variant)) {
            (Some(mine), Some(theirs)) if theirs <= mine => Some(theirs),
            // An unknown way of naming: only the same is the same.
            (None, _) | (_, None) if self.variant == other.variant => Some(0),
            _ => None,
        }
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(formatter, "/{}", self.variant) }
    }
}

fn bad(text: &str) -> Error {
    Error::Invalid(format!("`{text}` is no platform: write `os/architecture`, such as `linux/arm64`"))
}

/// The entry of an index that suits best; when none does, the error lists what there is.
pub(super) fn choose<'a>(manifests: &'a [Descriptor], wanted: &Platform, name: &str) -> Result<&'a Descriptor, Error> {
    let suited = manifests.iter().filter_map(|entry| match &entry.platform {
        Some(platform) => wanted.suits(platform).map(|how| (how, entry)),
        // An index that does not say for what its one image is.
        None => (manifests.len() == 1).then_some((0, entry)),
    });
    // The first of equals, as registries list the preferred one first.
    let best = suited.fold(None::<(u32, &Descriptor)>, |best, one| match best {
        Some(best) if best.0 >= one.0 => Some(best),
        _ => Some(one),
    });
    best.map(|(_, entry)| entry).ok_or_else(|| {
        let platforms = manifests.iter().filter_map(|entry| entry.platform.as_ref());
        let mut there: Vec<_> = platforms.filter(|one| one.os != "unknown").map(ToString::to_string).collect();
        there.sort();
        there.dedup();
        let there = if there.is_empty() { "none that it names".to_owned() } else { there.join(", ") };
        Error::NotFound(format!(
            "no matching manifest for {wanted} in the manifest list entries of {name}: it has {there}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(platforms: &[&str]) -> Vec<Descriptor> {
        let entry = |text: &&str| Descriptor {
            digest: (*text).to_owned(),
            platform: Some(Platform::parse(text).expect("a platform")),
            ..Descriptor::default()
        };
        platforms.iter().map(entry).collect()
    }

    fn chosen(platforms: &[&str], wanted: &str) -> String {
        let wanted = Platform::parse(wanted).expect("a platform");
        choose(&index(platforms), &wanted, "web:latest")
            .map_or_else(|error| error.to_string(), |entry| entry.digest.clone())
    }

    #[test]
    fn the_image_for_the_platform_is_taken() {
        assert_eq!(chosen(&["linux/amd64", "linux/arm64/v8"], "linux/arm64"), "linux/arm64/v8");
        assert_eq!(chosen(&["windows/amd64", "linux/amd64"], "amd64"), "linux/amd64");
        assert_eq!(chosen(&["linux/amd64"], "linux/x86_64"), "linux/amd64");
    }

    #[test]
    fn the_highest_variant_that_runs_is_taken() {
        let arm = ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"];
        assert_eq!(chosen(&arm, "linux/arm"), "linux/arm/v7");
        assert_eq!(chosen(&arm, "linux/arm/v6"), "linux/arm/v6");
        assert_eq!(chosen(&["linux/amd64/v3", "linux/amd64"], "linux/amd64"), "linux/amd64");
    }

    #[test]
    fn no_match_lists_what_there_is() {
        let expected = "no matching manifest for linux/s390x in the manifest list entries of web:latest: it has \
                        linux/amd64, linux/arm64";
        assert_eq!(chosen(&["linux/arm64", "linux/amd64", "unknown/unknown"], "linux/s390x"), expected);
    }

    #[test]
    fn what_is_no_platform_is_refused() {
        for text in ["", "linux/", "/amd64", "a/b/c/d", "linux/am d"] {
            assert!(Platform::parse(text).is_err(), "{text}");
        }
    }
}
