//! `RUN`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard_stubs::models::ImageConfig;
use hoist::embedded::build::Options;

use super::{Disk, Home, arguments, base, tar, until};

#[tokio::test]
async fn a_command_writes_a_layer_as_the_user_and_in_the_folder_that_were_set() {
    let home = Home::with_base().await;
    let dockerfile = "FROM base\nENV A=env\nARG B=arg\nWORKDIR /work\nRUN echo $A $B $(hostname) > out && mkdir -m 777 w\n\
                      RUN [\"/bin/sh\", \"-c\", \"echo exec >> out\"]\nUSER web\nRUN id -u > w/who && echo $HOME >> w/who\nRUN true\n\
                      USER root\nRUN rm out";
    let done = home.build(dockerfile, &[]).await.unwrap_or_else(|(error, told)| panic!("{error}\n{told}"));
    assert_eq!(done.text("work/w/who"), "1000\n/home/web\n");
    let with_out = &done.image.layers[done.image.layers.len() - 3];
    assert_eq!(
        std::fs::read_to_string(with_out.folder.join("work/out")).expect("it is there"),
        "env arg build\nexec\n"
    );
    let history: Vec<_> =
        done.image.document.history.iter().map(|step| (step.created_by.as_str(), step.empty_layer)).collect();
    assert!(history.contains(&("RUN |1 B=arg /bin/sh -c true", true)), "{history:?}");
    // What the engine puts into the container is not in the image.
    for path in ["proc", "sys", "dev", "etc/resolv.conf", "etc/hosts", "etc/hostname"] {
        assert_eq!(done.path(path), None, "{path}");
    }
    assert_eq!(home.staged(), 0);
}

#[tokio::test]
async fn output_is_told_and_a_failure_names_command_code_and_line() {
    let home = Home::with_base().await;
    let dockerfile = "FROM base\nRUN echo first\n\nRUN echo out && \\\n  echo err >&2; exit 7\nRUN echo never";
    let (error, told) = home.build(dockerfile, &[]).await.err().expect("it fails");
    assert_eq!(
        error,
        "Dockerfile:4: The command '/bin/sh -c echo out &&   echo err >&2; exit 7' returned a non-zero code: 7"
    );
    for line in ["Step 2/4 : RUN echo first\n", "first\n", "out\n", "err\n"] {
        assert!(told.contains(line), "{line} {told}");
    }
    assert!(!told.contains("never") || told.matches("Step").count() == 3, "{told}");
    let (error, _) = home.build("FROM base\nRUN [\"/nothing\"]", &[]).await.err().expect("it fails");
    assert!(error.starts_with("Dockerfile:2: ") && error.contains("/nothing"), "{error}");
    assert_eq!(home.staged(), 0);
}

#[tokio::test]
async fn a_command_is_cached_by_its_arguments_and_what_came_before() {
    let home = Home::with_base().await;
    let dockerfile = "FROM base\nARG v\nCOPY a /a\nRUN cat a > b && echo $v $HTTP_PROXY >> b";
    let with = |v: &str, proxy: &str| Options {
        arguments: arguments(&[("v", v), ("HTTP_PROXY", proxy)]),
        network: "host".into(),
        ..Options::default()
    };
    let first = home.build_with(dockerfile, &[("a", "1\n")], with("x", "p")).await;
    let first = first.unwrap_or_else(|(error, told)| panic!("{error}\n{told}"));
    assert_eq!(first.text("b"), "1\nx p\n");
    let same = home.build_with(dockerfile, &[("a", "1\n")], with("x", "q")).await.expect("it is built");
    assert_eq!((same.count("Using cache"), &same.image.id), (2, &first.image.id));
    let other = home.build_with(dockerfile, &[("a", "1\n")], with("y", "q")).await.expect("it is built");
    assert_eq!((other.count("Using cache"), other.text("b").as_str()), (1, "1\ny q\n"));
    let changed = home.build_with(dockerfile, &[("a", "2\n")], with("x", "p")).await.expect("it is built");
    assert_eq!((changed.count("Using cache"), changed.text("b").as_str()), (0, "2\nx p\n"));
}

#[tokio::test]
async fn here_documents_are_scripts_and_input() {
    let home = Home::with_base().await;
    let dockerfile = "FROM base\nRUN <<EOF\necho one > /one\necho $PWD >> /one\nEOF\nRUN cat <<A > /two && cat <<'B' >> /two\n$PWD\nA\n$PWD\nB\n\
                      RUN <<X\n#!/bin/cat\nshown\nX\n";
    let done = home.build(dockerfile, &[]).await.unwrap_or_else(|(error, told)| panic!("{error}\n{told}"));
    assert_eq!(done.text("one"), "one\n/\n");
    assert_eq!(done.text("two"), "/\n$PWD\n");
    assert!(done.told.contains("#!/bin/cat\nshown\n"), "{}", done.told);
}

#[tokio::test]
async fn a_cache_mount_is_kept_between_builds_and_is_not_in_the_image() {
    let home = Home::with_base().await;
    let dockerfile = "FROM base\nARG n\nRUN --mount=type=cache,target=/root/.npm,sharing=locked echo $n >> /root/.npm/log && cat /root/.npm/log > /seen";
    for (n, seen) in [("1", "1\n"), ("2", "1\n2\n")] {
        let options = Options { arguments: arguments(&[("n", n)]), network: "host".into(), ..Options::default() };
        let done =
            home.build_with(dockerfile, &[], options).await.unwrap_or_else(|(error, told)| panic!("{error}\n{told}"));
        assert_eq!(done.text("seen"), seen);
        assert!(done.path("root/.npm").is_none());
    }
    assert!(home.builder.prune().await.expect("it is emptied") > 0);
}

#[tokio::test]
async fn a_cache_that_is_mounted_twice_does_not_wait_for_itself() {
    let home = Home::with_base().await;
    let dockerfile = "FROM base\nRUN --mount=type=cache,id=x,target=/a,sharing=locked \
                      --mount=type=cache,id=x,target=/b,sharing=locked echo same > /a/f && cat /b/f > /seen";
    let done = home.build(dockerfile, &[]).await.unwrap_or_else(|(error, told)| panic!("{error}\n{told}"));
    assert_eq!(done.text("seen"), "same\n");
}

#[tokio::test]
async fn parts_of_the_context_and_of_stages_can_be_bound() {
    let home = Home::with_base().await;
    let dockerfile = "FROM base AS other\nRUN echo o > /o\nFROM base\nWORKDIR /w\n\
                      RUN --mount=type=bind,source=a.txt,target=a.txt --mount=type=bind,target=/all \
                      --mount=from=other,source=/o,target=/o,rw --mount=type=tmpfs,target=/t,size=1m \
                      --mount=type=secret,id=s cat a.txt /all/b/c /o > /sum && touch /t/x; echo no > /all/x || echo refused >> /sum; echo w > /o";
    let files = [("a.txt", "a\n"), ("b/c", "c\n")];
    let done = home.build(dockerfile, &files).await.unwrap_or_else(|(error, told)| panic!("{error}\n{told}"));
    assert_eq!(done.text("sum"), "a\nc\no\nrefused\n");
    for path in ["all", "o", "t", "w/a.txt"] {
        assert_eq!(done.path(path), None, "{path}");
    }
    let cached = home.build(dockerfile, &files).await.expect("it is built");
    assert_eq!(cached.image.id, done.image.id);
    let changed = home.build(dockerfile, &[("a.txt", "z\n"), ("b/c", "c\n")]).await.expect("it is built");
    assert_eq!(changed.text("sum"), "z\nc\no\nrefused\n");
}

#[tokio::test]
async fn what_cannot_be_given_to_a_command_is_told() {
    let home = Home::with_base().await;
    for (flag, problem) in [
        ("--mount=type=ssh,required", "Dockerfile:2: the SSH agent `default` is required"),
        ("--mount=type=secret,id=t,required=true", "Dockerfile:2: the secret `t` is required"),
        ("--security=insecure", "Dockerfile:2: RUN --security=insecure is not given"),
        ("--mount=type=bind,source=none,target=/x", "Dockerfile:2: `none` is not in the build context"),
    ] {
        let (error, _) = home.build(&format!("FROM base\nRUN {flag} true"), &[]).await.err().expect("it fails");
        assert!(error.starts_with(problem), "{error}");
    }
}

#[tokio::test]
async fn a_build_that_nobody_waits_for_any_more_leaves_nothing() {
    let home = Home::with_base().await;
    let context = tar(&[("Dockerfile", "FROM base\nRUN echo runs; sleep 1000")]);
    let (sender, mut news) = tokio::sync::mpsc::channel(16);
    let options = Options { network: "host".into(), ..Options::default() };
    let began = Instant::now();
    {
        let mut running = Box::pin(home.builder.build(super::order(options, super::stream(&context), sender)));
        loop {
            tokio::select! {
                built = &mut running => panic!("it ended: {built:?}"),
                news = news.recv() => {
                    if news.and_then(|news| news.stream).is_some_and(|text| text == "runs\n") {
                        break;
                    }
                }
            }
            assert!(began.elapsed() < Duration::from_secs(30), "it never began");
        }
    }
    until("the folders of the build are gone", || home.staged() == 0).await;
    let containers = std::fs::read_dir(home.layout().run().join("c")).map_or(0, Iterator::count);
    assert_eq!(containers, 0);
}

#[tokio::test]
async fn a_command_is_on_the_default_network_unless_it_is_to_have_none() {
    let home = Home::with_base().await;
    let dockerfile = "FROM base\nRUN ls /sys/class/net > /some && cat /etc/hosts > /hosts\nRUN --network=none ls /sys/class/net > /none";
    let options = Options { extra_hosts: vec!["db:10.1.2.3".into()], ..Options::default() };
    let done =
        home.build_with(dockerfile, &[], options).await.unwrap_or_else(|(error, told)| panic!("{error}\n{told}"));
    assert!(done.text("some").contains("eth0"), "{}", done.text("some"));
    assert!(!done.text("none").contains("eth0"), "{}", done.text("none"));
    assert!(done.text("hosts").contains("10.1.2.3\tdb\n"), "{}", done.text("hosts"));
}

#[tokio::test]
async fn a_disk_that_a_command_fills_is_told_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::new(folder.path(), "8m");
    let home = Home::at(Arc::new(folder)).await;
    let imported = home.images.import(super::stream(&base()), Some("base"), ImageConfig::default(), "").await;
    imported.expect("it fits");
    let dockerfile = "FROM base\nRUN dd if=/dev/zero of=/big bs=1024 count=20000";
    let (error, told) = home.build(dockerfile, &[]).await.err().expect("the disk is full");
    assert!(error.contains("returned a non-zero code: 1"), "{error}\n{told}");
    assert!(told.contains("No space left on device"), "{told}");
    assert_eq!(home.staged(), 0);
    let done = home.build("FROM base\nRUN echo s > /small", &[]).await;
    assert_eq!(done.unwrap_or_else(|(error, told)| panic!("{error}\n{told}")).text("small"), "s\n");
    drop(home);
    drop(disk);
}

#[tokio::test]
async fn what_a_killed_engine_left_is_removed() {
    let home = Home::with_base().await;
    let left = home.layout().builds().join("staging").join("x").join("a".repeat(64));
    std::fs::create_dir_all(left.join("step-upper/deep")).expect("folders");
    let folder = home.folder.clone();
    drop(home);
    let home = Home::at(folder).await;
    assert_eq!(home.staged(), 0);
}
