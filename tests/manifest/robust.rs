//! Whatever a file holds, loading it ends soon, in a project or in problems.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use hoist::manifest::{Loader, ReadError, Request, load};
use hoist::ui::problems;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

/// One file and nothing else.
struct OneFile(String);

impl Loader for OneFile {
    fn read(&self, path: &Path) -> Result<String, ReadError> {
        if path == Path::new("/w/compose.yaml") { Ok(self.0.clone()) } else { Err(ReadError::Missing) }
    }

    fn is_file(&self, path: &Path) -> bool {
        path == Path::new("/w/compose.yaml")
    }

    fn is_directory(&self, _: &Path) -> bool {
        false
    }

    fn real_path(&self, path: &Path) -> PathBuf {
        path.to_path_buf()
    }
}

fn load_text(text: &str) -> String {
    let request = Request {
        files: Vec::new(),
        project_directory: None,
        project_name: None,
        profiles: Vec::new(),
        env_files: Vec::new(),
        current_directory: "/w".into(),
        environment: BTreeMap::new(),
        services: Vec::new(),
        steps: hoist::manifest::Steps::default(),
    };
    match load(&request, &OneFile(text.to_owned())) {
        Ok(loaded) => problems::render(&loaded.warnings, &loaded.sources, false),
        Err(failure) => problems::render(&failure.problems, &failure.sources, true),
    }
}

/// Pieces of manifests, put together in any way.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "services:",
        "\n  a:",
        "\n    image: x",
        "\n    ports: [",
        "80:80",
        "]",
        "\n    depends_on:",
        "\n      - a",
        " {",
        "}",
        "&a ",
        "*a",
        "<<: ",
        "!reset ",
        "!override ",
        "${",
        "$X",
        ":-",
        "\n",
        "  ",
        "\"",
        "'",
        "|\n",
        "- ",
        ": ",
        "\n    extends: a",
        "\ninclude: [compose.yaml]",
        "\n    environment:",
        "\n    healthcheck: {interval: 5",
        "\t",
        "\n    volumes: [a:/b, ./x",
        "\n    deploy: {replicas: -1}",
        "é",
        "\u{feff}",
        "\n---\n",
        "%YAML 1.2\n",
        "1_0",
        "~",
        "\n    build:",
        "\n    env_file: x",
        "\nnetworks:",
        "\nvolumes: {v: {external: yes}}",
        "9-11:9-11",
        "\n    command: a '",
    ];
    prop_oneof![8 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => any::<String>(), 1 => Just("x".to_owned())]
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        load_text(&text);
    }

    #[test]
    fn no_mixture_of_manifests_makes_it_panic(pieces in proptest::collection::vec(piece(), 0..60)) {
        load_text(&pieces.concat());
    }
}

#[test]
fn a_chain_of_services_that_extend_each_other_ends_in_a_problem() {
    let mut text = "services:\n  a0: {image: x}\n".to_owned();
    for number in 1..5000 {
        let _ = writeln!(text, "  a{number}: {{extends: a{}}}", number - 1);
    }
    load_text(&text);
}

#[test]
fn services_that_multiply_by_extending_end_in_a_problem() {
    let labels: Vec<String> = (0..2000).map(|number| format!("l{number}: x")).collect();
    let labels = labels.join(", ");
    let mut text = format!("services:\n  a: {{image: x, labels: {{{labels}}}}}\n");
    for number in 0..2000 {
        let _ = writeln!(text, "  b{number}: {{extends: a}}");
    }
    assert!(load_text(&text).contains("extend"));
}

#[test]
fn ports_that_multiply_end_in_a_problem() {
    let services: Vec<String> = (0..200).map(|number| format!("a{number}: {{image: x, ports: [1-65535]}}")).collect();
    let services = services.join(", ");
    assert!(load_text(&format!("services: {{{services}}}")).contains("ports"));
}

#[test]
fn the_deepest_nesting_that_is_read_does_not_end_the_program() {
    for depth in [60, 100, 120, 126, 127, 128, 129, 200] {
        let nested = format!("{}x{}", "[".repeat(depth), "]".repeat(depth));
        load_text(&format!(
            "x-a: {nested}\nservices: {{a: {{image: x, command: {nested}, labels: {nested}, x-b: {nested}}}}}"
        ));
        let maps = format!("{}x{}", "{a: ".repeat(depth), "}".repeat(depth));
        load_text(&format!("x-a: {maps}\nservices: {{a: {{image: x, build: {maps}, environment: {maps}}}}}"));
    }
}

#[test]
fn ranges_of_all_ports_many_times_over_end_in_a_problem() {
    let ranges = vec!["1-65535:1-65535"; 100].join(", ");
    assert!(load_text(&format!("services: {{a: {{image: x, ports: [{ranges}]}}}}")).contains("ports"));
}

/// Files that are small and want to become large.
fn bombs() -> Vec<String> {
    let levels = |first: &str, level: &dyn Fn(usize, &str) -> String| {
        (1..12).fold(first.to_owned(), |text, number| {
            text + &level(number, &vec![format!("*a{}", number - 1); 10].join(", "))
        })
    };
    let lists = levels("x-a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n", &|number, aliases| {
        format!("x-a{number}: &a{number} [{aliases}]\n")
    });
    let maps = levels("x-a0: &a0 {k: v}\n", &|number, aliases| {
        let entries = aliases.split(", ").enumerate().map(|(at, alias)| format!("k{at}: {alias}"));
        format!("x-a{number}: &a{number} {{{}}}\n", entries.collect::<Vec<_>>().join(", "))
    });
    let merged = format!(
        "x-a: &a {{{}}}\nservices: {{{}}}\n",
        (0..5000).map(|number| format!("k{number}: v")).collect::<Vec<_>>().join(", "),
        (0..5000).map(|number| format!("s{number}: {{<<: *a}}")).collect::<Vec<_>>().join(", ")
    );
    let anchors: Vec<String> = (0..120).map(|number| format!("&a{number} [")).collect();
    let nested = format!("x-a: {}{}{}\n", anchors.concat(), "x, ".repeat(20_000), "]".repeat(120));
    let variables = format!("x-a: {}\n", "${A:-".repeat(31) + &"x".repeat(4000) + &"}".repeat(31));
    [lists, maps, merged, nested, variables].map(|text| text + "services: {a: {image: x}}\n").into()
}

/// The most memory that this process has used, in MiB.
#[cfg(target_os = "linux")]
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    peak.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// How long this process has had a processor, in milliseconds: others may be busy too.
#[cfg(target_os = "linux")]
fn busy() -> i64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    spent.tv_sec * 1000 + spent.tv_nsec / 1_000_000
}

/// The test runs itself again in a process of its own, where no other test uses memory.
#[cfg(target_os = "linux")]
#[test]
fn a_bomb_takes_little_time_and_memory() {
    const ALONE: &str = "HOIST_TEST_BOMBS";
    // The promise is 100 ms; a build without optimisation is several times slower.
    let most = if cfg!(debug_assertions) { 400 } else { 100 };
    if std::env::var_os(ALONE).is_some() {
        for (number, bomb) in bombs().iter().enumerate() {
            let begun = busy();
            load_text(bomb);
            let took = busy() - begun;
            assert!(took < most, "bomb {number} took {took} ms");
            assert!(peak() < 100, "bomb {number} took {} MiB", peak());
        }
        return;
    }
    let mut command = std::process::Command::new(std::env::current_exe().expect("the test itself"));
    command.args(["--exact", "robust::a_bomb_takes_little_time_and_memory", "--nocapture"]).env(ALONE, "1");
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
