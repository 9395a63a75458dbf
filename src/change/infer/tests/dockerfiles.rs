//! Where the paths that a Dockerfile copies go, and what is made from them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Case, bind, case};
use crate::change::infer::{MOST_PRIVATE, copied, sources};
use crate::project::{FileGrant, MountSource, VolumesFrom, VolumesSource};

/// What is not copied from the folder that the first rule is about.
fn left_out(case: &Case) -> Vec<String> {
    case.inferred().rules[0].rule.ignore.clone()
}

fn private(dockerfile: &str, files: &[(&str, u32)]) -> Case {
    let mut case = case(dockerfile, &[]);
    case.files.private = files.iter().map(|(path, owner)| ((*path).to_owned(), *owner)).collect();
    case
}

#[test]
fn what_has_to_be_looked_up_are_the_paths_of_the_context() {
    let dockerfile = "FROM node AS tools\nCOPY --from=other /bin/x /x\nADD https://e.org/a.tgz git@e.org:a/b.git /b/\n\
                      COPY ./src \"my files/\" /s/\nADD . /a";
    assert_eq!(copied(dockerfile), ["", "my files", "src"].map(str::to_owned).into());
    assert_eq!(copied("CPY a b"), BTreeSet::new());
}

#[test]
fn every_file_that_rules_are_told_from_is_known_by_its_name() {
    let sources = sources(Path::new("/p"));
    for name in ["package.json", "requirements.txt", "Gemfile.lock", "go.mod"] {
        assert!(sources.contains(&Path::new("/p").join(name)), "{name}");
    }
    assert!(sources.iter().all(|path| path.starts_with("/p") && !path.to_string_lossy().contains('*')), "{sources:?}");
}

#[test]
fn a_file_is_copied_to_its_target_or_into_the_folder_there() {
    for (copies, told) in [
        ("COPY a.js /s/b.js", "restart a.js→/s/b.js"),
        ("COPY Procfile /s/Procfile", "restart Procfile→/s/Procfile"),
        ("COPY a.js /s/", "restart a.js→/s/a.js"),
        ("COPY a.js /", "restart a.js→/a.js"),
        ("COPY a.js b.js /s", "restart a.js→/s/a.js, restart b.js→/s/b.js"),
        ("COPY a.js <<made.js /s\nx\nmade.js", "restart a.js→/s/a.js"),
        // Folders that are certain to be there.
        ("WORKDIR /srv/app\nCOPY a.js /srv/app", "restart a.js→/srv/app/a.js"),
        ("WORKDIR /srv/app\nCOPY a.js /srv", "restart a.js→/srv/a.js"),
        ("WORKDIR /srv/app\nCOPY a.js .", "restart a.js→/srv/app/a.js"),
        ("COPY a.js /s/\nCOPY b.js /s", "restart a.js→/s/a.js, restart b.js→/s/b.js"),
        // The base image may have a folder of this name.
        ("COPY a.js /s", "rebuild [a.js]"),
        ("COPY LICENSE /s", "rebuild [LICENSE]"),
        ("WORKDIR /srv/app\nCOPY a.js /srv/ap", "rebuild [a.js]"),
    ] {
        let case = case(&format!("FROM node\n{copies}\nCMD node a.js"), &[]);
        assert_eq!(case.told(), told, "{copies}");
    }
    let unsure = case("FROM php:8-apache\nCOPY index.php /var/www/html", &[]).inferred();
    assert_eq!(unsure.rules[0].why, "only the build knows what they are called (line 2)");
}

#[test]
fn of_a_pattern_only_a_plain_ending_is_sure_to_mean_files() {
    for (pattern, told) in [
        ("*.js", "restart →/s [*.js]"),
        ("src/*.js", "restart src→/s [*.js]"),
        ("*.[jt]s", "rebuild [*.[jt]s]"),
        ("*s", "rebuild [*s]"),
        ("a*.js", "rebuild [a*.js]"),
        ("*/a.js", "rebuild [*/a.js]"),
    ] {
        assert_eq!(case(&format!("FROM node\nCOPY {pattern} /s/\nCMD node a.js"), &[]).told(), told, "{pattern}");
    }
    let rules = case("FROM node\nCOPY src/*.js /s/\nCOPY app /app\nCMD node a.js", &[]).inferred().rules;
    assert_eq!(rules[0].files, [PathBuf::from("/p/web/src/*.js")], "people read the pattern");
    assert!(rules[1].files.is_empty(), "its path says it");
}

#[test]
fn what_something_is_made_from_rebuilds() {
    for (dockerfile, told) in [
        ("FROM node\nADD vendor.tgz /v/\nCOPY src /s", "restart src→/s, rebuild [vendor.tgz]"),
        ("FROM node\nADD https://e.org/a.js git@e.org:a/b.git /v/\nCOPY src /s", "restart src→/s"),
        ("FROM node\nCOPY app /a\nRUN make\nCOPY app src /s/", "restart src→/s, rebuild [app]"),
        ("FROM node\nRUN --mount=type=cache,target=/c npm ci\nCOPY src /s", "restart src→/s"),
        ("FROM node\nRUN --mount=type=bind,from=tools,target=/t make\nCOPY src /s", "restart src→/s"),
        ("FROM node AS b\nCOPY app /b\nFROM node\nCOPY --from=0 /b /b\nCOPY src /s", "restart src→/s, rebuild [app]"),
        (
            "FROM node AS b\nCOPY app /b\nFROM node\nRUN --mount=from=b,target=/b make\nCOPY src /s",
            "restart src→/s, rebuild [app]",
        ),
        // A stage's own number and one that no stage has mean images.
        ("FROM node\nCOPY src /s\nCOPY --from=0 /x /y\nCOPY --from=7 /x /z", "restart src→/s"),
    ] {
        assert_eq!(case(&format!("{dockerfile}\nCMD node a.js"), &[]).told(), told, "{dockerfile}");
    }
}

#[test]
fn a_target_may_be_the_number_of_a_stage() {
    let mut case = case("FROM node\nCOPY src /s\nCMD node a\nFROM node\nCOPY app /a\nCMD node a", &[]);
    for (target, told) in [("0", "restart src→/s"), ("1", "restart app→/a"), ("", "restart app→/a"), ("2", "rebuild")]
    {
        case.build.target = Some(target.to_owned());
        assert_eq!(case.told(), told, "{target}");
    }
    assert_eq!(case.why(), "the Dockerfile has no stage `2`");
}

#[test]
fn a_file_that_says_what_is_installed_rebuilds_wherever_it_is_copied() {
    let case = case(
        "FROM node\nWORKDIR /app\nCOPY package.json .\nRUN npm i\nCOPY yarn.lock .env ./\nCOPY src src\nCMD node a",
        &["README.md", "package.json", "yarn.lock"],
    );
    assert_eq!(case.told(), "restart .env→/app/.env, restart src→/app/src, rebuild [package.json]");
    let rules = case.inferred().rules;
    let installed = rules.last().expect("there are rules");
    assert_eq!(installed.files, [PathBuf::from("/p/web/yarn.lock")], "each file has one reason");
}

#[test]
fn whatever_comes_later_to_the_same_place_wins() {
    let ignores = |copies: &str, path: &str| {
        left_out(&case(&format!("FROM node\n{copies}\nCMD node a"), &[])).contains(&path.to_owned())
    };
    assert!(ignores("COPY . /app\nCOPY src /app/lib", "lib"), "a later line");
    assert!(ignores("COPY src a.js /app/", "a.js"), "a later word");
    assert!(!ignores("COPY src /app/lib\nCOPY . /app", "lib"), "an earlier line");
    assert!(!ignores("COPY --from=x /d /app/d\nCOPY . /app", "d"), "an earlier line");
    assert!(ignores("COPY . /app\nCOPY <<E /app/made.js\nx\nE", "made.js"), "a here-document");
    assert!(ignores("COPY . /app\nCOPY <<made.js /app/\nx\nmade.js", "made.js"), "one that is named in the folder");
    assert!(ignores("COPY src <<made.js /app/\nx\nmade.js", "made.js"), "one of the same line");
}

#[test]
fn nothing_is_copied_to_where_something_else_is_mounted() {
    let mut case = case("FROM node\nVOLUME /s [\"/x\"]\nCOPY src /s\nCOPY app /app\nCMD node a", &[]);
    assert_eq!(case.told(), "restart app→/app, rebuild [src]");
    assert_eq!(case.inferred().notes, ["a volume lies over `/s`: nothing is copied to `/s`"]);
    let grant =
        |target: &str| FileGrant { key: "key".to_owned(), target: target.to_owned(), uid: None, gid: None, mode: None };
    case.files.dockerfile = "FROM node\nVOLUME [\"/app/data\"]\nCOPY app /app\nCMD node a".to_owned();
    case.service.secrets.push(grant("/app/key"));
    case.service.configs.push(grant("/app/config.json"));
    let case = case
        .mount("/app/cache", MountSource::Tmpfs { size: None, mode: None, options: None })
        .mount("/app/lib", bind());
    let ignore = left_out(&case);
    for path in ["data", "key", "config.json", "cache", "lib"] {
        assert!(ignore.contains(&path.to_owned()), "{path}: {ignore:?}");
    }
}

#[test]
fn volumes_of_another_container_may_lie_over_anything() {
    let mut case = case("FROM node\nCOPY src /s\nCMD node a", &[]);
    case.service.volumes_from.push(VolumesFrom { source: VolumesSource::Service("db".to_owned()), read_only: None });
    assert_eq!((case.told().as_str(), case.why().as_str()), ("rebuild", "it has volumes of another container"));
}

#[test]
fn root_reads_every_file_unless_that_is_taken_from_it() {
    let dockerfile = "FROM node\nCOPY . /app\nCMD node a.js";
    let open = "restart →/app";
    let closed = "restart →/app, rebuild [.env]";
    for (drop, told) in [
        ("ALL", closed),
        ("all", closed),
        ("DAC_OVERRIDE", closed),
        ("cap_dac_override", closed),
        ("NET_RAW", open),
        ("DAC_READ_SEARCH", open),
    ] {
        let mut case = private(dockerfile, &[(".env", 500)]);
        case.service.cap_drop.push(drop.to_owned());
        assert_eq!(case.told(), told, "{drop}");
    }
    for (steps, told) in [
        ("COPY . /app\nUSER root:staff", open),
        ("COPY . /app\nUSER 1000", closed),
        ("COPY . /app\nUSER 500:0", open),
        // Who gives files to another user has another user in mind, whom the base image may name.
        ("COPY --chown=1000 . /app", closed),
    ] {
        let case = private(&format!("FROM node\n{steps}\nCMD node a.js"), &[(".env", 500)]);
        assert_eq!(case.told(), told, "{steps}");
    }
}

#[test]
fn a_private_file_is_copied_by_the_build_alone_and_very_many_mean_the_whole_context() {
    let dockerfile = "FROM node\nWORKDIR /app\nCOPY .env ./\nCOPY src src\nUSER 1000\nCMD node a.js";
    assert_eq!(private(dockerfile, &[(".env", 0)]).told(), "restart src→/app/src, rebuild [.env]");
    let names: Vec<String> = (0..=MOST_PRIVATE).map(|number| format!("{number:02}.key")).collect();
    let files: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 0)).collect();
    let most = private(dockerfile, &files[1..]).told();
    assert_eq!(most, format!("restart .env→/app/.env, restart src→/app/src, rebuild [{}]", names[1..].join(" ")));
    let more = private(dockerfile, &files);
    let why = "not everybody may read its files, and the user that it runs as must";
    assert_eq!((more.told().as_str(), more.why().as_str()), ("rebuild", why));
}
