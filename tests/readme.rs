//! The README's blocks: every manifest in it loads, every command in it exists with the flags that it is given.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn hoist(arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hoist"));
    command.args(arguments).current_dir(folder).output().expect("run the binary")
}

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    fs::read_to_string(path).expect("read the README")
}

/// The texts of the fenced blocks of one language.
fn blocks(language: &str) -> Vec<String> {
    let opening = format!("```{language}");
    let (mut found, mut open) = (Vec::new(), None::<String>);
    for line in readme().lines() {
        match &mut open {
            None if line == opening => open = Some(String::new()),
            None => {}
            Some(_) if line == "```" => found.extend(open.take()),
            Some(text) => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    found
}

#[test]
fn every_manifest_of_the_readme_loads() {
    let manifests = blocks("yaml");
    assert!(!manifests.is_empty());
    for manifest in manifests {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir_all(folder.path().join("web/src")).expect("create a folder");
        fs::write(folder.path().join("compose.yaml"), &manifest).expect("write the manifest");
        let output = hoist(&["config", "-q"], folder.path());
        assert!(output.status.success(), "{manifest}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "{manifest}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn every_command_of_the_readme_exists_with_its_flags() {
    let commands: Vec<String> = blocks("console").iter().flat_map(|block| lines_of(block)).collect();
    assert!(commands.len() >= 10, "{commands:?}");
    for command in commands {
        let words: Vec<&str> = command.split(' ').collect();
        let name = words[0];
        let has_more = matches!(words[..], ["export", "kubernetes", ..] | ["deploy", "down", ..]);
        let mut asked: Vec<&str> = words.iter().copied().take(if has_more { 2 } else { 1 }).collect();
        asked.push("--help");
        let help = hoist(&asked, Path::new(env!("CARGO_MANIFEST_DIR")));
        assert!(help.status.success(), "`{name}` is no command");
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        // What follows `exec SERVICE PROGRAM` is the program's own.
        let own = words.iter().skip(1).take_while(|word| name != "exec" || word.starts_with('-'));
        for flag in own.filter(|word| word.starts_with('-')) {
            assert!(help.contains(flag), "`{flag}` of `hoist {command}` is not in its help:\n{help}");
        }
    }
}

/// The commands of hoist in a block, without the program's name.
fn lines_of(block: &str) -> Vec<String> {
    block.lines().filter_map(|line| line.strip_prefix("$ hoist ")).map(str::to_owned).collect()
}
