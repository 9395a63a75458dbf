//! A valid project with one mistake in its main manifest.

use crate::project::{Case, made};
use crate::random::Random;
use crate::yaml::{Yaml, map, plain, text, texts};

/// What can be wrong.
const MISTAKES: &[fn(&mut Yaml, &mut Random) -> Option<()>] = &[
    misspell,
    retype,
    retype,
    retype,
    drop_entry,
    double_item,
    garble,
    garble,
    unknown_key,
    empty,
    negative,
    bad_variable,
    no_services,
];

/// A project with a mistake; some mistakes turn out to be none.
pub(crate) fn mutant(seed: u64) -> Case {
    let mut case = made(seed, false);
    let mut random = Random::new(seed ^ 0x00AB_CDEF);
    case.name = format!("mutant {seed}");
    if random.percent(20) {
        let manifest = case.files.get_mut("compose.yaml").expect("every case has a manifest");
        *manifest = break_text(manifest, &mut random);
        return case;
    }
    for _ in 0..20 {
        let mistake = MISTAKES[random.below(MISTAKES.len())];
        if mistake(&mut case.tree, &mut random).is_some() {
            break;
        }
    }
    case.files.insert("compose.yaml".to_owned(), case.tree.write(&mut random));
    case
}

/// The text with something done to it that text editors make easy.
fn break_text(text: &str, random: &mut Random) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = random.below(lines.len());
    match random.below(7) {
        0 => lines[at].insert(0, ' '),
        1 => lines[at] = lines[at].trim_start().into(),
        2 => lines.insert(at, lines[at].clone()),
        3 => lines[at] = lines[at].replacen(':', "", 1),
        4 => lines[at].push('"'),
        5 => lines[at].insert(0, '\t'),
        _ => lines[at] = lines[at].replacen(['[', '{', '"', '\''], "", 1),
    }
    lines.join("\n") + "\n"
}

/// A value somewhere below the top that fits.
fn somewhere<'t>(tree: &'t mut Yaml, random: &mut Random, fits: impl Fn(&Yaml) -> bool) -> Option<&'t mut Yaml> {
    let mut paths: Vec<Vec<usize>> = tree.paths();
    paths.retain(|path| path.len() > 1 && tree.at(path).is_some_and(|value| fits(value)));
    let path = paths.get(random.below(paths.len()))?.clone();
    tree.at(&path)
}

fn is_map(value: &Yaml) -> bool {
    matches!(value, Yaml::Map(entries) if !entries.is_empty())
}

fn is_scalar(value: &Yaml) -> bool {
    matches!(value, Yaml::Text(_) | Yaml::Plain(_))
}

fn misspell(tree: &mut Yaml, random: &mut Random) -> Option<()> {
    let Yaml::Map(entries) = somewhere(tree, random, is_map)? else { return None };
    let at = random.below(entries.len());
    let key = &mut entries[at].0;
    match random.below(3) {
        0 => key.push('s'),
        1 => drop(key.pop()),
        _ => *key = key.to_uppercase(),
    }
    Some(())
}

fn retype(tree: &mut Yaml, random: &mut Random) -> Option<()> {
    let value = somewhere(tree, random, |_| true)?;
    let other = match random.below(9) {
        0 => plain("true"),
        1 => plain(7),
        2 => plain("1.5"),
        3 => plain(""),
        4 => Yaml::List(Vec::new()),
        5 => texts(["one", "two"]),
        6 => map([("a", text("b"))]),
        7 => Yaml::Map(Vec::new()),
        _ => text("words"),
    };
    *value = other;
    Some(())
}

fn drop_entry(tree: &mut Yaml, random: &mut Random) -> Option<()> {
    let Yaml::Map(entries) = somewhere(tree, random, is_map)? else { return None };
    let at = random.below(entries.len());
    entries.remove(at);
    Some(())
}

fn double_item(tree: &mut Yaml, random: &mut Random) -> Option<()> {
    let is_list = |value: &Yaml| matches!(value, Yaml::List(items) if !items.is_empty());
    let Yaml::List(items) = somewhere(tree, random, is_list)? else { return None };
    let item = items[random.below(items.len())].clone();
    items.push(item);
    Some(())
}

fn garble(tree: &mut Yaml, random: &mut Random) -> Option<()> {
    let value = somewhere(tree, random, is_scalar)?;
    let (Yaml::Text(said) | Yaml::Plain(said)) = &*value else { return None };
    let other = match random.below(8) {
        0 => format!("{said}x"),
        1 => format!("{said}:"),
        2 => format!(":{said}"),
        3 => said.replace(|character: char| character.is_ascii_digit(), "z"),
        4 => format!("{said} {said}"),
        5 => said.to_uppercase(),
        6 => "nonsense".to_owned(),
        _ => format!("-{said}"),
    };
    *value = text(other);
    Some(())
}

fn unknown_key(tree: &mut Yaml, random: &mut Random) -> Option<()> {
    let Yaml::Map(entries) = somewhere(tree, random, |value| matches!(value, Yaml::Map(_)))? else { return None };
    entries.push(("surprise".to_owned(), text("x")));
    Some(())
}

fn empty(tree: &mut Yaml, random: &mut Random) -> Option<()> {
    *somewhere(tree, random, is_scalar)? = text("");
    Some(())
}

fn negative(tree: &mut Yaml, random: &mut Random) -> Option<()> {
    let number = |value: &Yaml| matches!(value, Yaml::Plain(text) if text.parse::<i64>().is_ok());
    *somewhere(tree, random, number)? = plain(random.pick(&["-1", "-70000", "99999999999", "1.25"]));
    Some(())
}

fn bad_variable(tree: &mut Yaml, random: &mut Random) -> Option<()> {
    *somewhere(tree, random, is_scalar)? =
        text(random.pick(&["${", "${A", "${A!}", "${}", "${UNSET:?gone}", "$$${UNSET}", "${A:}"]));
    Some(())
}

fn no_services(tree: &mut Yaml, random: &mut Random) -> Option<()> {
    let Yaml::Map(entries) = tree else { return None };
    let at = random.below(entries.len());
    match random.below(3) {
        0 => drop(entries.remove(at)),
        1 => entries[at].1 = plain(""),
        _ => entries[at].1 = Yaml::List(Vec::new()),
    }
    Some(())
}
