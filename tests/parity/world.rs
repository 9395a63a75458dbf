//! What the parts of one generated project share: its services' names, what they refer to, its files and variables.

use std::collections::{BTreeMap, BTreeSet};

use crate::random::Random;
use crate::yaml::{Yaml, map, plain, text};

/// A project in the making.
pub(crate) struct World {
    pub(crate) random: Random,
    /// The services that exist already and may be referred to.
    pub(crate) services: Vec<String>,
    pub(crate) networks: BTreeSet<String>,
    pub(crate) volumes: BTreeSet<String>,
    pub(crate) secrets: BTreeSet<String>,
    pub(crate) configs: BTreeSet<String>,
    pub(crate) models: BTreeSet<String>,
    /// Files beside the manifests, by their path.
    pub(crate) files: BTreeMap<String, String>,
    /// The variables of the process.
    pub(crate) variables: BTreeMap<String, String>,
}

pub(crate) const WORDS: &[&str] = &[
    "alpha", "beta", "gamma", "delta", "web", "db-1", "cache_2", "a.b", "x", "Prod", "front", "net0", "store", "unit",
];

/// Texts that writers and readers of YAML like to mistake for something else.
pub(crate) const TRICKY: &[&str] = &[
    "",
    " ",
    "yes",
    "no",
    "on",
    "off",
    "y",
    "N",
    "true",
    "False",
    "null",
    "~",
    "0",
    "012",
    "0o14",
    "0x1f",
    "1e3",
    "1_000",
    "1.0",
    ".5",
    "-1",
    "+2",
    "22:22",
    "1:20:30",
    "2001-12-14",
    "=",
    "<<",
    "- a",
    "-",
    "? x",
    ": y",
    "a: b",
    "a #b",
    "#c",
    "{a}",
    "[b]",
    "*x",
    "&y",
    "!z",
    "%w",
    "@v",
    "`u`",
    "'q'",
    "\"dq\"",
    "it's",
    "back\\slash",
    "tab\there",
    "two\nlines",
    "ends\n",
    "\nstarts",
    "  indented\nthen",
    "trail ",
    "é😀",
    "a,b",
    "|",
    ">",
    ".inf",
    ".nan",
    "0b11",
    "<tag>&amp;",
    "x=y=z",
    "non\u{a0}break",
    "colon:",
    "key: |",
    "---",
    "...",
    "0.10",
    "1e+20",
];

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            services: Vec::new(),
            networks: BTreeSet::new(),
            volumes: BTreeSet::new(),
            secrets: BTreeSet::new(),
            configs: BTreeSet::new(),
            models: BTreeSet::new(),
            files: BTreeMap::new(),
            variables: BTreeMap::new(),
        }
    }

    pub(crate) fn word(&mut self) -> String {
        self.random.pick(WORDS).to_owned()
    }

    /// Some text, now and then a tricky one.
    pub(crate) fn any_text(&mut self) -> String {
        let tricky = self.random.percent(35);
        self.random.pick(if tricky { TRICKY } else { WORDS }).replace('$', "$$")
    }

    pub(crate) fn pick(&mut self, items: &[&str]) -> Yaml {
        text(self.random.pick(items))
    }

    pub(crate) fn some(&mut self, items: &[&str]) -> Yaml {
        Yaml::List(self.random.some(items).into_iter().map(text).collect())
    }

    pub(crate) fn flag(&mut self) -> Yaml {
        match self.random.below(8) {
            0..=3 => plain("true"),
            4 | 5 => plain("false"),
            6 => text("true"),
            _ => text("false"),
        }
    }

    /// A whole number, in one of the forms that one may have.
    pub(crate) fn whole(&mut self, low: usize, high: usize) -> Yaml {
        let value = self.random.between(low, high);
        match self.random.below(8) {
            0 => text(value.to_string()),
            1 => plain(format!("0x{value:x}")),
            2 => plain(format!("0o{value:o}")),
            _ => plain(value),
        }
    }

    pub(crate) fn real(&mut self) -> Yaml {
        let value = self.random.pick(&["0.5", "1", "1.5", "2.25", "0.1", "4", "0.001", "1.0", "1e1"]);
        if self.random.percent(30) { text(value) } else { plain(value) }
    }

    pub(crate) fn size(&mut self) -> Yaml {
        let value =
            self.random.pick(&["64m", "1g", "512K", "1.5G", "100000", "10 m", "2gb", "3MiB", "1Gb", "7b", "0.5k"]);
        text(value)
    }

    pub(crate) fn duration(&mut self) -> Yaml {
        self.pick(&[
            "10s",
            "1m30s",
            "500ms",
            "1h",
            "1.5s",
            "0s",
            "1h5m30s20ms",
            "100us",
            "1d",
            "90s",
            "-5s",
            "2w",
            "1ns",
        ])
    }

    pub(crate) fn one_or_many(&mut self, items: &[&str]) -> Yaml {
        if self.random.percent(40) { self.pick(items) } else { self.some(items) }
    }

    /// `KEY: value` or `KEY=value`, some keys without a value where that means the one outside.
    pub(crate) fn list_or_dict(&mut self, bare: bool) -> Yaml {
        let count = self.random.between(1, 4);
        let mut keys = BTreeSet::new();
        for _ in 0..count {
            keys.insert(self.random.pick(&[
                "A",
                "B_1",
                "com.example.key",
                "lower",
                "Z9",
                "yes",
                "a-b",
                "OUT",
                "UNSET",
                "10",
            ]));
        }
        let list = self.random.percent(45);
        let mut entries = Vec::new();
        for key in keys {
            if list {
                let bare = bare && self.random.percent(20);
                entries
                    .push((key.to_owned(), if bare { text(key) } else { text(format!("{key}={}", self.any_text())) }));
            } else {
                entries.push((key.to_owned(), self.scalar(bare)));
            }
        }
        if list { Yaml::List(entries.into_iter().map(|(_, value)| value).collect()) } else { Yaml::Map(entries) }
    }

    /// A scalar of any type.
    pub(crate) fn scalar(&mut self, null: bool) -> Yaml {
        match self.random.below(10) {
            0 => plain("true"),
            1 => plain(
                self.random.pick(&["1", "1.5", "010", "0x10", "1_000", "1e3", "-7", "+3", "1.0", "12e30", "0b101"]),
            ),
            2 if null => plain(""),
            3 => plain(self.random.pick(&["yes", "no", "on", "off"])),
            _ => text(self.any_text()),
        }
    }

    pub(crate) fn options(&mut self) -> Yaml {
        let keys = self.random.some(&["opt.a", "opt-b", "size", "mode"]);
        let mut entries = Vec::new();
        for key in keys {
            let value = if self.random.percent(30) { self.whole(1, 2000) } else { text(self.any_text()) };
            entries.push((key, value));
        }
        map(entries)
    }

    pub(crate) fn extensions(&mut self, mut entries: Vec<(String, Yaml)>) -> Vec<(String, Yaml)> {
        if self.random.percent(6) {
            let value = self.free();
            entries.push(("x-own".to_owned(), value));
        }
        entries
    }

    /// A value of an extension, which may be anything.
    pub(crate) fn free(&mut self) -> Yaml {
        match self.random.below(5) {
            0 => map([("b", self.scalar(true)), ("a", self.scalar(true))]),
            1 => Yaml::List(vec![self.scalar(false), self.scalar(true)]),
            _ => self.scalar(true),
        }
    }

    /// Another service, made before; `None` for the first.
    pub(crate) fn other(&mut self) -> Option<String> {
        let known = self.services.len();
        (known > 0).then(|| self.services[self.random.below(known)].clone())
    }

    /// Each of these attributes with its chance in a hundred, in a random order.
    pub(crate) fn mapping(&mut self, attributes: &[(&str, Make)], chance: usize) -> Yaml {
        let mut entries = Vec::new();
        for (key, make) in attributes {
            if self.random.percent(chance) {
                let value = make(self);
                let at = self.random.below(entries.len() + 1);
                entries.insert(at, ((*key).to_owned(), value));
            }
        }
        Yaml::Map(self.extensions(entries))
    }
}

/// Makes the value of an attribute.
pub(crate) type Make = fn(&mut World) -> Yaml;
