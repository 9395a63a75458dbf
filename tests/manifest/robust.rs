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
        interpolate: true,
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
