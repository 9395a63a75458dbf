//! Stages.

use std::time::{Duration, Instant};

use hoist::embedded::build::Options;

use super::{Home, arguments};

#[tokio::test]
async fn files_go_from_stage_to_stage_with_their_owners() {
    let home = Home::with_base().await;
    let dockerfile = "FROM base AS one\nCOPY --chown=web a /data/a\nCOPY b /data/sub/b\nCOPY l /data/l\n\
                      FROM scratch\nCOPY --from=one /data /copied\nCOPY --from=0 /data/* /flat/\nCOPY --from=base /etc/passwd /p\n\
                      COPY --from=one --chown=7:8 data/sub /owned";
    let files = [("a", "a"), ("b", "b"), ("l", "-> a")];
    let done = home.build(dockerfile, &files).await.unwrap_or_else(|(error, told)| panic!("{error}\n{told}"));
    assert_eq!(done.text("copied/sub/b"), "b");
    assert_eq!(done.text("flat/a"), "a");
    assert!(done.text("p").starts_with("root:"));
    assert!(done.attributes("copied/a").starts_with("644 1000 1001 "), "{}", done.attributes("copied/a"));
    assert!(done.attributes("owned/b").starts_with("644 7 8 "));
    let again = home.build(dockerfile, &files).await.expect("it is built");
    assert_eq!(again.image.id, done.image.id);
    assert_eq!(again.count("Using cache"), 7);
}

#[tokio::test]
async fn a_stage_that_is_not_needed_is_not_made() {
    let home = Home::with_base().await;
    let dockerfile = "FROM base AS tests\nRUN exit 1\nFROM base AS app\nENV a=1\nFROM nowhere/none AS last\n";
    let options = Options { target: "app".into(), ..Options::default() };
    let done =
        home.build_with(dockerfile, &[], options).await.unwrap_or_else(|(error, told)| panic!("{error}\n{told}"));
    assert!(done.told.contains("Step 1/2 : FROM base AS app"), "{}", done.told);
    let options = Options { target: "ap".into(), ..Options::default() };
    let (error, _) = home.build_with(dockerfile, &[], options).await.err().expect("there is none");
    assert_eq!(error, "Dockerfile: it has no stage `ap`; did you mean `app`?");
}

#[tokio::test]
async fn a_stage_goes_on_from_another_with_its_arguments_and_triggers() {
    let home = Home::with_base().await;
    let options = Options { tags: vec!["parent".into()], ..Options::default() };
    let parent = "FROM base\nONBUILD COPY app /app\nONBUILD ENV built=yes\nCMD [\"x\"]";
    home.build_with(parent, &[], options).await.unwrap_or_else(|(error, told)| panic!("{error}\n{told}"));
    let dockerfile = "FROM parent AS one\nARG v=1\nFROM one\nWORKDIR /$v\nCOPY --chmod=600 app $built\n";
    let options = Options { arguments: arguments(&[("v", "2"), ("unused", "3")]), ..Options::default() };
    let done = home.build_with(dockerfile, &[("app", "hi")], options).await;
    let done = done.unwrap_or_else(|(error, told)| panic!("{error}\n{told}"));
    assert_eq!(done.text("app"), "hi");
    assert_eq!(done.text("2/yes"), "hi");
    assert_eq!(done.image.document.config.on_build, None);
    assert_eq!(done.image.document.config.cmd.clone().unwrap_or_default(), ["x"]);
    assert!(done.told.contains("[Warning] One or more build-args [unused] were not consumed\n"), "{}", done.told);
}

#[tokio::test]
async fn independent_stages_are_made_at_the_same_time_and_told_one_after_the_other() {
    let home = Home::with_base().await;
    let dockerfile = "FROM base AS a\nRUN for i in 1 2 3 4; do echo a$i; sleep 0.25; done; touch /a\n\
                      FROM base AS b\nRUN for i in 1 2 3 4; do echo b$i; sleep 0.25; done; touch /b\n\
                      FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /";
    let began = Instant::now();
    let done = home.build(dockerfile, &[]).await.unwrap_or_else(|(error, told)| panic!("{error}\n{told}"));
    let took = began.elapsed();
    assert!(took < Duration::from_millis(1900), "one after the other takes two seconds, this took {took:?}");
    assert!(done.path("a").is_some() && done.path("b").is_some());
    let lines: Vec<_> = done.told.lines().filter(|line| line.len() == 2).collect();
    assert_eq!(lines, ["a1", "a2", "a3", "a4", "b1", "b2", "b3", "b4"]);
}

#[tokio::test]
async fn a_stage_that_fails_ends_the_others() {
    let home = Home::with_base().await;
    let dockerfile = "FROM base AS a\nRUN sleep 100\nFROM base AS b\nRUN echo here; exit 3\nFROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /";
    let began = Instant::now();
    let (error, told) = home.build(dockerfile, &[]).await.err().expect("it fails");
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(error, "Dockerfile:4: The command '/bin/sh -c echo here; exit 3' returned a non-zero code: 3");
    assert!(told.ends_with("here\n"), "{told}");
    assert_eq!(home.staged(), 0);
}

#[tokio::test]
async fn a_base_that_cannot_be_had_is_named() {
    let home = Home::with_base().await;
    let dockerfile = "FROM base AS build\nFROM scratch\nCOPY --from=biuld /a /";
    let (error, _) = home.build(dockerfile, &[]).await.err().expect("there is none");
    assert!(error.starts_with("Dockerfile:3: the image `biuld` is not here and cannot be pulled: "), "{error}");
    assert!(error.ends_with("; did you mean `build`?"), "{error}");
}
