//! Input, output, terminals and logs.

use bytes::Bytes;
use hoist::embedded::process::Source;

use super::home::{Home, end, eventually, output, rest, until};

#[tokio::test]
async fn an_announced_client_sees_the_first_byte() {
    let home = Home::new();
    let mut container = home.container(&["sh", "-c", "echo first; echo second >&2"]);
    container.hold_output = true;
    let running = home.start(&container).await;
    let mut attached = running.attach().await.expect("it waits for the client");
    let text = rest(&mut attached).await;
    assert!(text.contains("first\n") && text.contains("second\n"), "{text}");
    assert_eq!(end(&running).await.code, 0);
}

#[tokio::test]
async fn input_goes_in_and_its_end_is_seen() {
    let home = Home::new();
    let mut container = home.container(&["sh", "-c", "cat; echo done"]);
    (container.stdin, container.stdin_once, container.hold_output) = (true, true, true);
    let running = home.start(&container).await;
    let mut attached = running.attach().await.expect("it runs");
    let input = attached.input.take().expect("its input is open");
    let large = "0123456789abcdef\n".repeat(40_000);
    let send = {
        let large = large.clone();
        async move {
            for chunk in large.as_bytes().chunks(30_000) {
                input.send(Bytes::copy_from_slice(chunk)).await.expect("it reads");
            }
        }
    };
    let (text, ()) = tokio::join!(rest(&mut attached), send);
    assert!(text == format!("{large}done\n"), "{} bytes came back", text.len());
    assert_eq!(end(&running).await.code, 0);
}

#[tokio::test]
async fn without_input_a_program_reads_the_end_at_once() {
    let home = Home::new();
    let container = home.container(&["cat"]);
    assert_eq!(home.run(&container).await.1.code, 0);
}

#[tokio::test]
async fn input_stays_open_when_a_client_goes_unless_it_is_for_one() {
    let home = Home::new();
    let mut container = home.container(&["cat"]);
    container.stdin = true;
    let running = home.start(&container).await;
    drop(running.attach().await.expect("it runs"));
    let mut attached = running.attach().await.expect("it still runs");
    attached.input.as_ref().expect("it is open").send("still\n".into()).await.expect("it reads");
    until(&mut attached, "still").await;
    running.signal(9).await.expect("it runs");
    end(&running).await;
    let mut once = home.container(&["cat"]);
    (once.stdin, once.stdin_once) = (true, true);
    let running = home.start(&once).await;
    drop(running.attach().await.expect("it runs"));
    assert_eq!(end(&running).await.code, 0);
}

#[tokio::test]
async fn a_terminal_is_one_and_takes_a_size() {
    let home = Home::new();
    let script = "tty; echo $TERM; until [ \"$(stty size)\" = '37 91' ]; do sleep 0.01; done; \
                  stty size; read line; echo got $line; \
                  while [ \"$(stty size)\" != '50 100' ]; do sleep 0.01; done; exit 4";
    let mut container = home.container(&["sh", "-c", script]);
    (container.terminal, container.stdin, container.hold_output) = (true, true, true);
    let running = home.start(&container).await;
    running.resize(91, 37).await.expect("it has a terminal");
    let mut attached = running.attach().await.expect("it runs");
    let text = until(&mut attached, "\n37 91").await;
    assert!(text.contains("/dev/pts/0") && text.contains("xterm"), "{text}");
    let input = attached.input.clone().expect("it is open");
    input.send("hello\n".into()).await.expect("it reads");
    until(&mut attached, "got hello").await;
    running.resize(100, 50).await.expect("it has a terminal");
    assert_eq!(end(&running).await.code, 4);
    assert!(output(&container).contains("got hello\r\n"), "{}", output(&container));
}

#[tokio::test]
async fn interrupting_at_the_terminal_reaches_the_program() {
    let home = Home::new();
    for init in [false, true] {
        let script = "trap 'echo interrupted' INT; trap 'exit 5' TERM; echo ready; while true; do sleep 0.05; done";
        let mut container = home.container(&["sh", "-c", script]);
        (container.terminal, container.stdin, container.hold_output, container.init) = (true, true, true, init);
        let running = home.start(&container).await;
        let mut attached = running.attach().await.expect("it runs");
        until(&mut attached, "ready").await;
        attached.input.as_ref().expect("it is open").send(Bytes::from_static(b"\x03")).await.expect("it reads");
        until(&mut attached, "interrupted").await;
        running.signal(15).await.expect("it runs");
        assert_eq!(end(&running).await.code, 5);
        assert_eq!(output(&container).matches("interrupted").count(), 1, "init {init}");
    }
}

#[tokio::test]
async fn much_output_is_whole_in_the_log_and_at_all_clients() {
    let home = Home::new();
    let mut container = home.container(&["seq", "1", "300000"]);
    container.hold_output = true;
    let running = home.start(&container).await;
    let mut first = running.attach().await.expect("it runs");
    let text = rest(&mut first).await;
    assert_eq!(text.lines().count(), 300_000);
    assert!(text.ends_with("\n300000\n"));
    end(&running).await;
    assert!(output(&container) == text, "the log holds the same");
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_neither_the_log_nor_the_container() {
    let home = Home::new();
    let mut container = home.container(&["seq", "1", "400000"]);
    container.hold_output = true;
    let running = home.start(&container).await;
    let deaf = running.attach().await.expect("it runs");
    let exit = end(&running).await;
    assert_eq!(exit.code, 0);
    drop(deaf);
    assert!(output(&container).ends_with("\n400000\n"));
}

#[tokio::test]
async fn the_log_is_rotated_by_size_and_number() {
    let home = Home::new();
    let mut container = home.container(&["seq", "10000", "19999"]);
    let log = container.log.as_mut().expect("it has one");
    (log.max_size, log.max_files) = (Some(100_000), 3);
    let path = log.path.clone();
    home.run(&container).await;
    let named = |end: &str| std::path::PathBuf::from(format!("{}{end}", path.display()));
    assert!(named(".1").exists() && named(".2").exists() && !named(".3").exists());
    let sizes = [named(""), named(".1"), named(".2")].map(|file| std::fs::metadata(file).expect("it is there").len());
    assert!(sizes.iter().all(|size| *size <= 100_000), "{sizes:?}");
    assert!(output(&container).ends_with("19999\n"));
}

#[tokio::test]
async fn output_is_told_apart_by_stream() {
    let home = Home::new();
    let mut container = home.container(&["sh", "-c", "echo bad >&2"]);
    container.hold_output = true;
    let running = home.start(&container).await;
    let mut attached = running.attach().await.expect("it runs");
    let output = attached.output.recv().await.expect("it writes");
    assert_eq!((output.source, &output.bytes[..]), (Source::Stderr, &b"bad\n"[..]));
    end(&running).await;
}

#[tokio::test]
async fn an_announced_client_that_never_comes_is_not_waited_for_for_ever() {
    let home = Home::new();
    let mut container = home.container(&["echo", "alone"]);
    container.hold_output = true;
    let running = home.start(&container).await;
    assert_eq!(end(&running).await.code, 0);
    let mut holds = || output(&container) == "alone\n";
    eventually("the log", &mut holds).await;
}
