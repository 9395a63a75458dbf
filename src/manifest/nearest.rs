//! The known name that a wrong one was probably meant to be.

/// The most similar of the known names, if one is similar enough to be worth mentioning.
pub(crate) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = wrong.chars().count();
    if length < 2 {
        return None;
    }
    let allowed = (length / 3).max(1);
    let scored =
        known.into_iter().map(|name| (strsim::osa_distance(&wrong.to_lowercase(), &name.to_lowercase()), name));
    scored.filter(|(distance, _)| *distance <= allowed).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn only_a_similar_name_is_suggested() {
        assert_eq!(nearest("enviroment", ["environment", "env_file"]), Some("environment"));
        assert_eq!(nearest("dbb", ["db", "web"]), Some("db"));
        assert_eq!(nearest("b", ["a"]), None);
        assert_eq!(nearest("zzz", ["db", "web"]), None);
    }
}
