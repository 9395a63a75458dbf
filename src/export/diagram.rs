//! The dependency graph as a tree of words, for Graphviz, for Mermaid and for programs.
//!
//! Always the same text for the same project: everything is in the order of names.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use crate::project::{Condition, Dependency, Project};

/// An edge of the graph: one service needs another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Edge<'a> {
    service: &'a str,
    on: &'a str,
    condition: &'static str,
    required: bool,
    restart: bool,
    /// Whether the other one is of the project as it is now, its profiles being what they are.
    enabled: bool,
    #[serde(skip)]
    word: &'static str,
}

impl Edge<'_> {
    /// What the edge says, in words.
    fn label(&self) -> String {
        let mut label = self.word.to_owned();
        for (holds, word) in
            [(!self.required, "optional"), (self.restart, "restarts with it"), (!self.enabled, "not enabled")]
        {
            if holds {
                label.push_str(", ");
                label.push_str(word);
            }
        }
        label
    }
}

/// A tree from the services that nobody needs down to those that need nobody. What several need is shown in full where
/// it comes first.
#[must_use]
pub fn text(project: &Project, services: &BTreeSet<String>) -> String {
    let edges = edges(project, services);
    let mut below: BTreeMap<&str, Vec<&Edge<'_>>> = BTreeMap::new();
    for edge in &edges {
        below.entry(edge.service).or_default().push(edge);
    }
    let needed: BTreeSet<&str> = edges.iter().map(|edge| edge.on).collect();
    let mut text = String::new();
    let mut shown = BTreeSet::new();
    let tops = services.iter().filter(|name| !needed.contains(name.as_str()));
    // In a circle nobody is on top, so whoever is left comes after those who are.
    for name in tops.chain(services) {
        if !shown.contains(name.as_str()) {
            write_tree(&mut text, name, &below, &mut shown);
        }
    }
    text
}

/// One line of the tree that is still to be written.
struct Branch<'a> {
    name: &'a str,
    label: Option<String>,
    /// What the lines below it begin with.
    margin: String,
    /// What its own line begins with.
    lead: String,
}

fn write_tree<'a>(
    text: &mut String,
    top: &'a str,
    below: &BTreeMap<&'a str, Vec<&Edge<'a>>>,
    shown: &mut BTreeSet<&'a str>,
) {
    let mut open = vec![Branch { name: top, label: None, margin: String::new(), lead: String::new() }];
    while let Some(branch) = open.pop() {
        let label = branch.label.map(|label| format!(" ({label})")).unwrap_or_default();
        let children = below.get(branch.name).map(Vec::as_slice).unwrap_or_default();
        let is_new = shown.insert(branch.name);
        let more = if is_new || children.is_empty() { "" } else { " …" };
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{}{}{label}{more}", branch.lead, branch.name);
        if !is_new {
            continue;
        }
        for (index, edge) in children.iter().enumerate().rev() {
            let is_last = index + 1 == children.len();
            let (corner, line) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            open.push(Branch {
                name: edge.on,
                label: Some(edge.label()),
                margin: format!("{}{line}", branch.margin),
                lead: format!("{}{corner}", branch.margin),
            });
        }
    }
}

/// A graph for Graphviz.
#[must_use]
pub fn dot(project: &Project, services: &BTreeSet<String>) -> String {
    let mut text = format!("digraph {} {{\n  rankdir=LR;\n  node [shape=box];\n", dot_quoted(&project.name));
    for service in services {
        let _ = writeln!(text, "  {};", dot_quoted(service));
    }
    for edge in edges(project, services) {
        let style = if edge.required { "" } else { ", style=dashed" };
        let (from, to, label) = (dot_quoted(edge.service), dot_quoted(edge.on), dot_quoted(&edge.label()));
        let _ = writeln!(text, "  {from} -> {to} [label={label}{style}];");
    }
    text.push_str("}\n");
    text
}

fn dot_quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A flowchart for Mermaid.
#[must_use]
pub fn mermaid(project: &Project, services: &BTreeSet<String>) -> String {
    let edges = edges(project, services);
    // Mermaid has words of its own, `end` among them, so that names cannot be identifiers.
    let names: BTreeSet<&str> = services.iter().map(String::as_str).chain(edges.iter().map(|edge| edge.on)).collect();
    let numbers: BTreeMap<&str, usize> = names.into_iter().zip(0..).collect();
    let mut text = "flowchart LR\n".to_owned();
    for (name, number) in &numbers {
        let _ = writeln!(text, "  s{number}[\"{}\"]", name.replace('"', "#quot;"));
    }
    for edge in &edges {
        let arrow = if edge.required { "-->" } else { "-.->" };
        let (from, to) = (numbers[edge.service], numbers[edge.on]);
        let _ = writeln!(text, "  s{from} {arrow}|{}| s{to}", edge.label());
    }
    text
}

/// The graph for programs.
#[must_use]
pub fn json(project: &Project, services: &BTreeSet<String>) -> String {
    let graph = serde_json::json!({
        "project": project.name,
        "services": services,
        "dependencies": edges(project, services),
    });
    format!("{graph:#}\n")
}

/// What these services need, in the order of names.
fn edges<'a>(project: &'a Project, services: &BTreeSet<String>) -> Vec<Edge<'a>> {
    project
        .services
        .values()
        .filter(|service| services.contains(&service.name))
        .flat_map(|service| {
            service.depends_on.iter().map(|(on, dependency)| edge(project, &service.name, on, *dependency))
        })
        .collect()
}

fn edge<'a>(project: &Project, service: &'a str, on: &'a str, dependency: Dependency) -> Edge<'a> {
    Edge {
        service,
        on,
        condition: dependency.condition.as_str(),
        required: dependency.required,
        restart: dependency.restart,
        enabled: project.services.contains_key(on),
        word: match dependency.condition {
            Condition::Started => "started",
            Condition::Healthy => "healthy",
            Condition::Completed => "completed",
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::{dot, json, mermaid, text};
    use crate::project::{Condition, Dependency, Project, Service};

    fn needs(condition: Condition) -> Dependency {
        Dependency { condition, required: true, restart: false }
    }

    fn project(services: &[(&str, &[(&str, Dependency)])]) -> (Project, BTreeSet<String>) {
        let services: BTreeMap<String, Service> = services
            .iter()
            .map(|(name, depends_on)| {
                let depends_on = depends_on.iter().map(|(on, dependency)| ((*on).to_owned(), *dependency)).collect();
                ((*name).to_owned(), Service { name: (*name).to_owned(), depends_on, ..Service::default() })
            })
            .collect();
        let names = services.keys().cloned().collect();
        let project = Project {
            name: "shop".to_owned(),
            directory: "/shop".into(),
            files: Vec::new(),
            environment_files: Vec::new(),
            services,
            disabled: BTreeMap::new(),
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            secrets: BTreeMap::new(),
            configs: BTreeMap::new(),
            models: BTreeMap::new(),
            kubernetes: crate::project::ProjectKubernetes::default(),
        };
        (project, names)
    }

    fn shop() -> (Project, BTreeSet<String>) {
        project(&[
            ("gateway", &[("orders", needs(Condition::Healthy)), ("users", needs(Condition::Started))]),
            ("orders", &[("db", needs(Condition::Healthy)), ("seed", needs(Condition::Completed))]),
            ("users", &[("orders", needs(Condition::Started))]),
            ("seed", &[("db", Dependency { restart: true, ..needs(Condition::Healthy) })]),
            ("db", &[("cache", Dependency { required: false, ..needs(Condition::Started) })]),
            ("mail", &[]),
        ])
    }

    #[test]
    fn the_tree_shows_what_several_need_in_full_where_it_comes_first() {
        let (project, names) = shop();
        assert_eq!(
            text(&project, &names),
            "\
gateway
├─ orders (healthy)
│  ├─ db (healthy)
│  │  └─ cache (started, optional, not enabled)
│  └─ seed (completed)
│     └─ db (healthy, restarts with it) …
└─ users (started)
   └─ orders (started) …
mail
"
        );
    }

    #[test]
    fn services_in_a_circle_are_shown_and_nothing_runs_for_ever() {
        let (project, names) =
            project(&[("a", &[("b", needs(Condition::Started))]), ("b", &[("a", needs(Condition::Started))])]);
        assert_eq!(text(&project, &names), "a\n└─ b (started)\n   └─ a (started) …\n");
    }

    #[test]
    fn a_chain_of_thousands_is_drawn() {
        let names: Vec<String> = (0..3000).map(|number| format!("s{number:05}")).collect();
        let edges: Vec<[(&str, Dependency); 1]> =
            names.iter().skip(1).map(|on| [(on.as_str(), needs(Condition::Started))]).collect();
        let services: Vec<(&str, &[(&str, Dependency)])> =
            names.iter().zip(&edges).map(|(name, edges)| (name.as_str(), edges.as_slice())).collect();
        let (project, names) = project(&services);
        assert_eq!(text(&project, &names).lines().count(), 3000);
    }

    #[test]
    fn graphviz_and_mermaid_get_the_condition_on_every_edge() {
        let (project, names) = project(&[
            ("end", &[("a\"b", needs(Condition::Healthy))]),
            ("a\"b", &[("x", Dependency { required: false, ..needs(Condition::Completed) })]),
        ]);
        assert_eq!(
            dot(&project, &names),
            r#"digraph "shop" {
  rankdir=LR;
  node [shape=box];
  "a\"b";
  "end";
  "a\"b" -> "x" [label="completed, optional, not enabled", style=dashed];
  "end" -> "a\"b" [label="healthy"];
}
"#
        );
        assert_eq!(
            mermaid(&project, &names),
            r#"flowchart LR
  s0["a#quot;b"]
  s1["end"]
  s2["x"]
  s0 -.->|completed, optional, not enabled| s2
  s1 -->|healthy| s0
"#
        );
    }

    #[test]
    fn programs_get_the_words_of_the_manifest() {
        let (project, _) = shop();
        let graph: serde_json::Value =
            serde_json::from_str(&json(&project, &BTreeSet::from(["seed".to_owned()]))).unwrap_or_default();
        assert_eq!(
            graph,
            serde_json::json!({
                "project": "shop",
                "services": ["seed"],
                "dependencies": [{
                    "service": "seed",
                    "on": "db",
                    "condition": "service_healthy",
                    "required": true,
                    "restart": true,
                    "enabled": true,
                }],
            })
        );
    }
}
