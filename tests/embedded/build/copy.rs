//! `COPY`, `ADD` and all that runs no command.

use std::fs;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use hoist::embedded::build::Options;

use super::{Disk, Home, TIME, arguments, header};

#[tokio::test]
async fn the_configuration_is_what_the_instructions_say() {
    let home = Home::new().await;
    let dockerfile = "ARG v=1\nFROM scratch AS base\nARG v\nENV A=b C=\"d $v\"\nLABEL l=$C\nUSER web\nEXPOSE 80\n\
                      VOLUME /data\nSTOPSIGNAL SIGINT\nENTRYPOINT [\"/run\"]\nCMD serve it\nHEALTHCHECK --interval=1s CMD ok\n\
                      ONBUILD COPY x /y\nMAINTAINER me";
    let labels = [("given".to_owned(), "1".to_owned())].into();
    let options =
        Options { labels, tags: vec!["made:1".into()], arguments: arguments(&[("v", "2")]), ..Options::default() };
    let done = home.build_with(dockerfile, &[], options).await.expect("it is built");
    let config = done.image.document.config.clone();
    assert_eq!(config.env.unwrap_or_default()[1..], ["A=b", "C=d 2"]);
    let labels = config.labels.unwrap_or_default();
    assert_eq!((labels["l"].as_str(), labels["given"].as_str()), ("d 2", "1"));
    assert_eq!(config.cmd.unwrap_or_default(), ["/bin/sh", "-c", "serve it"]);
    assert_eq!(config.entrypoint.unwrap_or_default(), ["/run"]);
    assert_eq!(config.on_build.unwrap_or_default(), ["COPY x /y"]);
    assert_eq!(config.stop_signal.as_deref(), Some("SIGINT"));
    assert_eq!(done.image.document.author, "me");
    assert_eq!(done.image.tags, ["made:1"]);
    assert!(done.image.layers.is_empty());
    let history = done.image.document.history.iter().map(|step| step.created_by.as_str()).collect::<Vec<_>>();
    assert_eq!(history[..3], ["ARG v=2", "ENV A=b C=d 2", "LABEL l=d 2"]);
    assert!(done.told.contains("Step 3/13 : ENV A=b C=\"d $v\"\n"), "{}", done.told);
    assert!(done.told.contains("Successfully tagged made:1\n"), "{}", done.told);
}

#[tokio::test]
async fn files_are_copied_where_docker_copies_them() {
    let home = Home::with_base().await;
    let files =
        [("a.txt", "a"), ("b.txt", "b"), ("src/one.sh", "1"), ("src/deep/two", "2"), ("src/link", "-> deep/two")];
    let dockerfile = "FROM base\nWORKDIR /app\nCOPY a.txt .\nCOPY *.txt /all/\nCOPY src /src\nCOPY src merged/\n\
                      COPY a.txt renamed\nCOPY src/link /followed\nCOPY src /bin/\nCOPY a.txt /etc\n\
                      COPY --chown=web --chmod=640 b.txt /owned/b\nCOPY --chown=5 b.txt /five\nCOPY --chown=web:staff src /theirs";
    let done = home.build(dockerfile, &files).await.unwrap_or_else(|(error, told)| panic!("{error}\n{told}"));
    for (path, text) in [
        ("app/a.txt", "a"),
        ("all/a.txt", "a"),
        ("all/b.txt", "b"),
        ("src/one.sh", "1"),
        ("src/deep/two", "2"),
        ("app/merged/deep/two", "2"),
        ("app/renamed", "a"),
        ("followed", "2"),
        // Through the link `bin`, not instead of it.
        ("usr/bin/one.sh", "1"),
        ("etc/a.txt", "a"),
    ] {
        assert_eq!(done.text(path), text, "{path}");
    }
    assert_eq!(fs::read_link(done.path("src/link").expect("it is there")).expect("a link").to_str(), Some("deep/two"));
    assert_eq!(done.attributes("src/one.sh"), format!("755 0 0 {TIME}"));
    assert_eq!(done.attributes("app"), "755 0 0 0");
    assert_eq!(done.attributes("owned/b"), format!("640 1000 1001 {TIME}"));
    assert_eq!(done.attributes("owned"), "755 1000 1001 0");
    assert_eq!(done.attributes("five"), format!("644 5 5 {TIME}"));
    assert_eq!(done.attributes("theirs/deep/two"), format!("644 1000 50 {TIME}"));
    assert_eq!(home.staged(), 0);
}

#[tokio::test]
async fn the_same_files_make_the_same_layer_and_the_cache_finds_it() {
    let home = Home::with_base().await;
    let dockerfile = "FROM base\nWORKDIR /app\nCOPY package.json .\nCOPY . .\n";
    let files = [("package.json", "{}"), ("src/a.js", "1")];
    let first = home.build(dockerfile, &files).await.unwrap_or_else(|(error, told)| panic!("{error}\n{told}"));
    assert_eq!(first.count("Using cache"), 0);
    let again = home.build(dockerfile, &files).await.expect("it is built");
    assert_eq!((again.count("Using cache"), &again.image.id), (3, &first.image.id));
    let changed = home.build(dockerfile, &[files[0], ("src/a.js", "2")]).await.expect("it is built");
    assert_eq!(changed.count("Using cache"), 2);
    assert_eq!(changed.layers()[..3], first.layers()[..3]);
    assert_ne!(changed.layers()[3], first.layers()[3]);
    let options = Options { no_cache: true, ..Options::default() };
    let anew = home.build_with(dockerfile, &files, options).await.expect("it is built");
    assert_eq!(anew.count("Using cache"), 0);
    assert_eq!(anew.layers(), first.layers());
    // Another builder in the same folders knows what this one has made.
    let folder = home.folder.clone();
    drop(home);
    let home = Home::at(folder).await;
    let later = home.build(dockerfile, &files).await.expect("it is built");
    assert_eq!(later.count("Using cache"), 3);
    home.builder.prune().await.expect("the cache is emptied");
    assert_eq!(home.build(dockerfile, &files).await.expect("it is built").count("Using cache"), 0);
}

#[tokio::test]
async fn what_dockerignore_names_is_not_copied() {
    let home = Home::with_base().await;
    let files = [
        (".dockerignore", "node_modules\n*.log\n!keep.log\nDockerfile"),
        ("node_modules/x", ""),
        ("a.log", ""),
        ("keep.log", "k"),
        ("b", "b"),
    ];
    let done =
        home.build("FROM scratch\nCOPY . /\n", &files).await.unwrap_or_else(|(error, told)| panic!("{error}\n{told}"));
    let layer = &done.image.layers[0].folder;
    let mut names: Vec<_> = fs::read_dir(layer).expect("a layer").flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    assert_eq!(names, [".dockerignore", "b", "keep.log"]);
    let own = [files.as_slice(), &[("Dockerfile.dockerignore", "b")]].concat();
    let done = home.build("FROM scratch\nCOPY . /\n", &own).await.expect("it is built");
    assert!(done.path("b").is_none() && done.path("a.log").is_some());
}

#[tokio::test]
async fn archives_are_unpacked_by_add_and_not_by_copy() {
    let home = Home::with_base().await;
    let mut packed = tar::Builder::new(Vec::new());
    packed.append_data(&mut header(tar::EntryType::Regular, 0o600, 2), "in/side", &b"hi"[..]).expect("to memory");
    packed.append_link(&mut header(tar::EntryType::Symlink, 0o777, 0), "in/link", "/etc/passwd").expect("to memory");
    packed.append_link(&mut header(tar::EntryType::Link, 0o600, 0), "in/hard", "in/side").expect("to memory");
    let bytes = packed.into_inner().expect("to memory");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&bytes).expect("to memory");
    let gzip = gzip.finish().expect("to memory");
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    bzip2.write_all(&bytes).expect("to memory");
    let bzip2 = bzip2.finish().expect("to memory");
    let xz = super::xz(&bytes);
    let mut context = tar::Builder::new(Vec::new());
    let dockerfile = b"FROM base\nADD x.tar /plain/\nADD x.tgz /gzip\nCOPY x.tar /kept\nADD y.tar /no/\n\
        ADD x.tar.bz2 /bzip2/\nADD x.tar.xz /";
    let files = [
        ("x.tar", &bytes[..]),
        ("x.tgz", &gzip),
        ("x.tar.bz2", &bzip2),
        ("x.tar.xz", &xz),
        ("y.tar", b"not one"),
        ("Dockerfile", dockerfile),
    ];
    for (name, bytes) in files {
        let mut header = header(tar::EntryType::Regular, 0o644, bytes.len() as u64);
        context.append_data(&mut header, name, bytes).expect("to memory");
    }
    let context = context.into_inner().expect("to memory");
    let (sender, mut news) = tokio::sync::mpsc::channel(1000);
    let order = super::order(Options::default(), super::stream(&context), sender);
    let id = home.builder.build(order).await.expect("it is built");
    while news.recv().await.is_some() {}
    let done = super::Done { image: home.images.find(&id).await.expect("it is here"), told: String::new() };
    assert_eq!(done.text("plain/in/side"), "hi");
    assert_eq!(done.text("gzip/in/hard"), "hi");
    assert_eq!(done.text("bzip2/in/hard"), "hi");
    assert_eq!(done.text("in/hard"), "hi");
    assert_eq!(done.attributes("gzip/in/side"), format!("600 1234 1234 {TIME}"));
    assert!(fs::read_link(done.path("plain/in/link").expect("it is there")).is_ok());
    assert_eq!(done.text("no/y.tar"), "not one");
    assert_eq!(done.attributes("kept"), format!("644 0 0 {TIME}"));
}

#[tokio::test]
async fn add_fetches_from_the_web_and_checks_what_it_gets() {
    let home = Home::with_base().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let server = std::thread::spawn(move || {
        for _ in 0..4 {
            let (mut client, _) = listener.accept().expect("a client");
            let mut request = [0_u8; 2048];
            let read = client.read(&mut request).expect("a request");
            let answer = if request[..read].starts_with(b"GET /dir/file.txt?x ") {
                "HTTP/1.1 200 OK\r\nLast-Modified: Sun, 13 Sep 2020 12:26:40 GMT\r\nContent-Length: 2\r\n\
                 Connection: close\r\n\r\nhi"
            } else {
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            };
            client.write_all(answer.as_bytes()).expect("it is sent");
        }
    });
    let dockerfile = format!("FROM base\nADD http://127.0.0.1:{port}/dir/file.txt?x /got/");
    let done = home.build(&dockerfile, &[]).await.unwrap_or_else(|(error, told)| panic!("{error}\n{told}"));
    assert_eq!(done.text("got/file.txt"), "hi");
    assert_eq!(done.attributes("got/file.txt"), format!("600 0 0 {TIME}"));
    assert_eq!(home.build(&dockerfile, &[]).await.expect("it is built").count("Using cache"), 1);
    let other = format!("FROM base\nADD --checksum=sha256:00 http://127.0.0.1:{port}/dir/file.txt?x /got/");
    let (error, _) = home.build(&other, &[]).await.err().expect("it is another");
    assert!(error.contains("is sha256:8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"), "{error}");
    let missing = format!("FROM base\nADD http://127.0.0.1:{port}/none /x");
    let (error, _) = home.build(&missing, &[]).await.err().expect("it is not there");
    assert!(error.starts_with("Dockerfile:2: ADD: cannot fetch ") && error.contains("404"), "{error}");
    server.join().expect("all was asked for");
}

#[tokio::test]
async fn here_documents_become_files() {
    let home = Home::with_base().await;
    let dockerfile = "FROM base\nENV who=you\nCOPY <<one <<'two' /etc/conf/\nhello $who\none\nnot $who\ntwo\nCOPY <<-x /single\n\tx y\nx\n";
    let done = home.build(dockerfile, &[]).await.unwrap_or_else(|(error, told)| panic!("{error}\n{told}"));
    assert_eq!(done.text("etc/conf/one"), "hello you\n");
    assert_eq!(done.text("etc/conf/two"), "not $who\n");
    assert_eq!(done.text("single"), "x y\n");
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_line_and_leaves_nothing() {
    let home = Home::with_base().await;
    for (dockerfile, problem) in [
        (
            "FROM base\nCOPY pakage.json /",
            "Dockerfile:2: `pakage.json` is not in the build context, or .dockerignore leaves it out; did you mean \
             `package.json`?",
        ),
        ("FROM base\n\nCOPPY a b", "Dockerfile:3: unknown instruction: COPPY; did you mean `COPY`?"),
        ("FROM base\nCOPY --chown=nobody package.json /", "unable to find user nobody"),
        (
            "FROM base\nCOPY package.json /etc/passwd/x",
            "Dockerfile:2: cannot write `/etc/passwd`: there is something that is not a folder",
        ),
        (
            "FROM base\nCOPY package.json /package\nCOPY . /package",
            "Dockerfile:3: cannot write `/package`: there is something that is not a folder",
        ),
        (
            "FROM --platform=linux/s390x base",
            "Dockerfile:1: cannot build for linux/s390x: this engine builds for the machine that it runs on",
        ),
        (
            "FROM base\nADD git@example.org:x /x",
            "Dockerfile:2: ADD: `git@example.org:x` is not fetched by this engine: use RUN git clone",
        ),
        ("FROM base\nCOPY --from=base package.json /", "Dockerfile:2: `/package.json` is not there"),
    ] {
        let Err((error, _)) = home.build(dockerfile, &[("package.json", "{}")]).await else {
            panic!("built: {dockerfile}")
        };
        assert!(error.contains(problem), "{error}\n{problem}");
    }
    assert_eq!(home.staged(), 0);
}

#[tokio::test]
async fn a_context_cannot_lead_out() {
    let home = Home::with_base().await;
    let secret = home.folder.path().join("secret");
    fs::write(&secret, "hidden").expect("a file");
    let link = format!("-> {}", secret.display());
    let files = [("link", link.as_str()), ("up", "-> ../../../../../../../../etc/hostname")];
    let (error, _) = home.build("FROM base\nCOPY link /x", &files).await.err().expect("it leads nowhere");
    assert!(error.contains("`link` is not in the build context"), "{error}");
    let (error, _) = home.build("FROM base\nCOPY up /x", &files).await.err().expect("it leads nowhere");
    assert!(error.contains("`up` is not in the build context"), "{error}");
    // As a link in a folder it is copied as what it is, and what is written through it stays inside.
    let dockerfile = "FROM base\nCOPY . /d\nCOPY Dockerfile /d/link";
    let done = home.build(dockerfile, &files).await.unwrap_or_else(|(error, told)| panic!("{error}\n{told}"));
    assert_eq!(done.text(&secret.display().to_string()[1..]), dockerfile);
    assert_eq!(fs::read_to_string(&secret).expect("a file"), "hidden");
    let mut hostile = tar::Builder::new(Vec::new());
    let mut header = header(tar::EntryType::Regular, 0o644, 1);
    header.as_gnu_mut().expect("one").name[..9].copy_from_slice(b"../../out");
    header.set_cksum();
    hostile.append(&header, &b"x"[..]).expect("to memory");
    let (sender, _news) = tokio::sync::mpsc::channel(10);
    let stream = super::stream(&hostile.into_inner().expect("to memory"));
    let order = super::order(Options::default(), stream, sender);
    let refused = home.builder.build(order).await.expect_err("refused").error.to_string();
    assert_eq!(refused, "the build context is refused: the path `../../out` leads out of it");
    assert_eq!(home.staged(), 0);
}

#[tokio::test]
async fn a_full_disk_is_told_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::new(folder.path(), "4m");
    let home = Home::at(Arc::new(folder)).await;
    let big = "x".repeat(3 << 20);
    let (error, _) = home.build("FROM scratch\nCOPY big /", &[("big", &big)]).await.err().expect("the disk is full");
    assert!(error.contains("no space left on the disk"), "{error}");
    assert_eq!(home.staged(), 0);
    let done = home
        .build("FROM scratch\nCOPY small /", &[("small", "s")])
        .await
        .unwrap_or_else(|(error, told)| panic!("{error}\n{told}"));
    assert_eq!(done.text("small"), "s");
    drop(home);
    drop(disk);
}
