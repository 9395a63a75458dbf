//! The known name that a wrong one was probably meant to be.

/// How long a word must be that stands for a longer name.
const MIN_WORD: usize = 4;

/// The most similar of the known names, if one is similar enough to be worth mentioning; or the only one that has the
/// wrong name as one of its words.
pub(crate) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<&str> = known.into_iter().collect();
    similar(wrong, &known).or_else(|| {
        let has_word = |name: &&&str| name.split(['_', '-']).any(|word| word.eq_ignore_ascii_case(wrong));
        let mut found = known.iter().filter(has_word).filter(|_| wrong.len() >= MIN_WORD);
        found.next().copied().filter(|_| found.next().is_none())
    })
}

fn similar<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let length = wrong.chars().count();
    if length < 2 {
        return None;
    }
    let allowed = (length / 3).max(1);
    let scored = known.iter().map(|name| (strsim::osa_distance(&wrong.to_lowercase(), &name.to_lowercase()), *name));
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
        assert_eq!(nearest("healthy", ["service_started", "service_healthy"]), Some("service_healthy"));
        assert_eq!(nearest("service", ["service_started", "service_healthy"]), None);
    }
}
