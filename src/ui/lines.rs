//! Container output with its service before it: `users  | listening on 8080`, aligned, each service in its colour.

use std::collections::BTreeMap;

use console::{Color, Style};

use super::{Line, Scene};

/// The colours that services get in turn.
const COLOURS: [Color; 6] = [Color::Cyan, Color::Yellow, Color::Green, Color::Magenta, Color::Blue, Color::Red];

/// No column is wider than this; a longer name moves its own lines only.
const WIDEST: usize = 32;

/// Puts lines into text. Keeps the prefix of every container that it has seen.
#[derive(Debug)]
pub(super) struct Prefixes {
    scene: Scene,
    shown: bool,
    width: usize,
    coloured: bool,
    made: BTreeMap<String, BTreeMap<u32, String>>,
}

impl Prefixes {
    /// For the services of a project; `shown` is false for bare lines.
    pub(super) fn new(scene: &Scene, shown: bool) -> Self {
        let width = scene
            .services
            .iter()
            .map(|(name, replicas)| console::measure_text_width(&label(scene, name, (*replicas).max(1))))
            .filter(|width| *width <= WIDEST)
            .max()
            .unwrap_or(0);
        Self { scene: scene.clone(), shown, width, coloured: console::colors_enabled(), made: BTreeMap::new() }
    }

    /// Appends a line with its prefix and its line end.
    pub(super) fn append(&mut self, text: &mut String, line: &Line) {
        if self.shown {
            text.push_str(self.prefix(&line.service, line.number));
        }
        if !line.text.contains('\u{1b}') {
            text.push_str(&line.text);
        } else if self.coloured {
            text.push_str(&line.text);
            // Its colours end with the line, whatever it says.
            text.push_str("\u{1b}[0m");
        } else {
            text.push_str(&console::strip_ansi_codes(&line.text));
        }
        text.push('\n');
    }

    fn prefix(&mut self, service: &str, number: u32) -> &str {
        if !self.made.get(service).is_some_and(|numbers| numbers.contains_key(&number)) {
            let prefix = self.make(service, number);
            self.made.entry(service.to_owned()).or_default().insert(number, prefix);
        }
        &self.made[service][&number]
    }

    fn make(&self, service: &str, number: u32) -> String {
        let label = label(&self.scene, service, number);
        let padded = console::pad_str(&label, self.width, console::Alignment::Left, None);
        let place = self.scene.services.keys().position(|name| name == service).unwrap_or_else(|| hash(service));
        let colour = COLOURS[(place + number.saturating_sub(1) as usize) % COLOURS.len()];
        format!("{} ", Style::new().for_stdout().fg(colour).apply_to(format!("{padded} |")))
    }
}

/// A container's name in a prefix: the service's alone where that is enough.
fn label(scene: &Scene, service: &str, number: u32) -> String {
    match scene.services.get(service) {
        None | Some(0 | 1) if number == 1 => service.to_owned(),
        _ => format!("{service}-{number}"),
    }
}

/// A colour for a service that the project does not have: the same one every time.
fn hash(service: &str) -> usize {
    service.bytes().fold(0, |sum: usize, byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Prefixes;
    use crate::ui::{Line, Scene};

    fn line(service: &str, number: u32, text: &str) -> Line {
        Line { service: service.into(), number, stderr: false, text: text.into() }
    }

    fn printed(services: &[(&str, u32)], shown: bool, lines: &[Line]) -> String {
        let services: BTreeMap<String, u32> = services.iter().map(|(name, count)| ((*name).into(), *count)).collect();
        let mut prefixes = Prefixes::new(&Scene { services, ..Scene::default() }, shown);
        let mut text = String::new();
        for line in lines {
            prefixes.append(&mut text, line);
        }
        console::strip_ansi_codes(&text).into_owned()
    }

    #[test]
    fn prefixes_are_aligned_and_number_only_where_there_are_several() {
        let lines = [line("db", 1, "ready"), line("users", 2, "listening")];
        assert_eq!(printed(&[("db", 1), ("users", 2)], true, &lines), "db      | ready\nusers-2 | listening\n");
    }

    #[test]
    fn without_a_prefix_lines_are_as_they_came() {
        assert_eq!(printed(&[("db", 1)], false, &[line("db", 1, "ready")]), "ready\n");
    }

    #[test]
    fn colours_of_containers_are_left_out_where_there_are_none() {
        let mut prefixes = Prefixes::new(&Scene::default(), false);
        prefixes.coloured = false;
        let mut text = String::new();
        prefixes.append(&mut text, &line("db", 1, "\u{1b}[32mready\u{1b}[0m"));
        assert_eq!(text, "ready\n");
    }
}
