//! The dependency graph of a project's services: order, dependents, cycles named in full. The only module that knows
//! petgraph. It knows nothing of containers or conditions.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::Direction;
use petgraph::algo::{tarjan_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Dfs, Reversed};

use crate::project::{Project, Service};

/// Services as nodes, an edge from each to every service that it depends on. Free of cycles.
#[derive(Debug, Clone)]
pub struct Graph {
    inner: DiGraph<String, ()>,
    indices: BTreeMap<String, NodeIndex>,
    order: Vec<NodeIndex>,
}

impl Graph {
    /// The graph of the project's enabled services.
    ///
    /// Dependencies on services that are not there are left out: whether they may be missing is the manifest's business.
    ///
    /// # Errors
    /// Every cycle, each beginning and ending with the same name: `a → b → a`.
    pub fn new(project: &Project) -> Result<Self, Vec<Vec<String>>> {
        Self::of(&project.services)
    }

    /// The graph of these services.
    ///
    /// # Errors
    /// Every cycle, as for [`Graph::new`].
    pub fn of(services: &BTreeMap<String, Service>) -> Result<Self, Vec<Vec<String>>> {
        Self::from_edges(
            services.iter().map(|(name, service)| {
                (name.as_str(), service.depends_on.keys().map(String::as_str).collect::<Vec<_>>())
            }),
        )
    }

    /// The graph of names and the names that each depends on.
    ///
    /// # Errors
    /// Every cycle, as for [`Graph::new`].
    pub fn from_edges<'a, D>(edges: impl IntoIterator<Item = (&'a str, D)>) -> Result<Self, Vec<Vec<String>>>
    where
        D: IntoIterator<Item = &'a str>,
    {
        let edges: BTreeMap<&str, D> = edges.into_iter().collect();
        let mut inner = DiGraph::new();
        let indices: BTreeMap<String, NodeIndex> =
            edges.keys().map(|name| ((*name).to_owned(), inner.add_node((*name).to_owned()))).collect();
        for (name, dependencies) in edges {
            for dependency in dependencies {
                if let Some(to) = indices.get(dependency) {
                    inner.update_edge(indices[name], *to, ());
                }
            }
        }
        let Ok(dependents_first) = toposort(&inner, None) else { return Err(cycles(&inner)) };
        let order = longest_chains_first(&inner, &dependents_first);
        Ok(Self { inner, indices, order })
    }

    /// All services, each after everything that it depends on, and those first that the longest chains wait for.
    #[must_use]
    pub fn order(&self) -> Vec<&str> {
        self.order.iter().map(|index| self.inner[*index].as_str()).collect()
    }

    /// The services that name this one in their `depends_on`, by name.
    #[must_use]
    pub fn dependents(&self, service: &str) -> BTreeSet<&str> {
        self.neighbours(service, Direction::Incoming)
    }

    /// The services that this one names in its `depends_on`, by name.
    #[must_use]
    pub fn dependencies(&self, service: &str) -> BTreeSet<&str> {
        self.neighbours(service, Direction::Outgoing)
    }

    /// These services and everything that they depend on, however indirectly.
    #[must_use]
    pub fn with_dependencies<'a>(&self, services: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
        self.reachable(services, |start, found| {
            let mut search = Dfs::new(&self.inner, start);
            while let Some(index) = search.next(&self.inner) {
                found.insert(self.inner[index].clone());
            }
        })
    }

    /// These services and everything that depends on them, however indirectly.
    #[must_use]
    pub fn with_dependents<'a>(&self, services: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
        self.reachable(services, |start, found| {
            let reversed = Reversed(&self.inner);
            let mut search = Dfs::new(reversed, start);
            while let Some(index) = search.next(reversed) {
                found.insert(self.inner[index].clone());
            }
        })
    }

    fn neighbours(&self, service: &str, direction: Direction) -> BTreeSet<&str> {
        self.indices
            .get(service)
            .into_iter()
            .flat_map(|index| self.inner.neighbors_directed(*index, direction))
            .map(|index| self.inner[index].as_str())
            .collect()
    }

    fn reachable<'a>(
        &self,
        services: impl IntoIterator<Item = &'a str>,
        collect: impl Fn(NodeIndex, &mut BTreeSet<String>),
    ) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for index in services.into_iter().filter_map(|service| self.indices.get(service)) {
            collect(*index, &mut found);
        }
        found
    }
}

/// Sorts by the length of the longest chain of dependents above each service, the longest first. A dependency has a
/// longer one than anything that depends on it, so it comes before that.
fn longest_chains_first(graph: &DiGraph<String, ()>, dependents_first: &[NodeIndex]) -> Vec<NodeIndex> {
    let mut chain = vec![0_usize; graph.node_count()];
    for index in dependents_first {
        for dependency in graph.neighbors(*index) {
            chain[dependency.index()] = chain[dependency.index()].max(chain[index.index()] + 1);
        }
    }
    let mut order = dependents_first.to_vec();
    order.sort_by_key(|index| (std::cmp::Reverse(chain[index.index()]), &graph[*index]));
    order
}

/// One cycle for every group of services that depend on each other, from its first name in alphabetical order.
fn cycles(graph: &DiGraph<String, ()>) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = tarjan_scc(graph)
        .into_iter()
        .filter(|group| group.len() > 1 || graph.contains_edge(group[0], group[0]))
        .map(|group| {
            let group: BTreeSet<NodeIndex> = group.into_iter().collect();
            let start = *group
                .iter()
                .min_by_key(|index| &graph[**index])
                .expect("a strongly connected component has at least one node");
            shortest_cycle(graph, &group, start).into_iter().map(|index| graph[index].clone()).collect()
        })
        .collect();
    found.sort();
    found
}

/// The shortest way from `start` back to itself, both ends included, by a search in breadth within its group.
fn shortest_cycle(graph: &DiGraph<String, ()>, group: &BTreeSet<NodeIndex>, start: NodeIndex) -> Vec<NodeIndex> {
    let mut came_from: BTreeMap<NodeIndex, NodeIndex> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(index) = queue.pop_front() {
        let mut next: Vec<NodeIndex> = graph.neighbors(index).filter(|next| group.contains(next)).collect();
        next.sort_by_key(|next| &graph[*next]);
        for next in next {
            if next == start {
                let mut path = vec![start, index];
                let mut at = index;
                while at != start {
                    at = came_from[&at];
                    path.push(at);
                }
                path.reverse();
                return path;
            }
            came_from.entry(next).or_insert_with(|| {
                queue.push_back(next);
                index
            });
        }
    }
    unreachable!("every node of a strongly connected component lies on a cycle")
}

#[cfg(test)]
mod tests {
    use super::Graph;
    use proptest::prelude::*;

    fn graph(edges: &[(&'static str, &[&'static str])]) -> Result<Graph, Vec<Vec<String>>> {
        Graph::from_edges(edges.iter().map(|(name, dependencies)| (*name, dependencies.iter().copied())))
    }

    #[test]
    fn dependencies_come_before_those_that_need_them() {
        let graph =
            graph(&[("web", &["api"]), ("api", &["db", "cache"]), ("db", &[]), ("cache", &[])]).expect("no cycle");
        let order = graph.order();
        let at = |name| order.iter().position(|other| *other == name).expect("every service is in the order");
        assert!(at("db") < at("api") && at("cache") < at("api") && at("api") < at("web"));
    }

    #[test]
    fn what_the_longest_chain_waits_for_comes_first() {
        let graph =
            graph(&[("a", &[]), ("web", &["api"]), ("api", &["db"]), ("db", &[]), ("b", &[])]).expect("no cycle");
        assert_eq!(graph.order(), ["db", "api", "a", "b", "web"]);
    }

    #[test]
    fn a_cycle_is_named_in_full_from_its_first_name() {
        let cycles = graph(&[("c", &["a"]), ("a", &["b"]), ("b", &["c"]), ("d", &["a"])]).expect_err("a cycle");
        assert_eq!(cycles, [["a", "b", "c", "a"]]);
    }

    #[test]
    fn a_service_that_depends_on_itself_is_a_cycle() {
        assert_eq!(graph(&[("a", &["a"])]).expect_err("a cycle"), [["a", "a"]]);
    }

    #[test]
    fn every_separate_cycle_is_reported() {
        let cycles = graph(&[("a", &["b"]), ("b", &["a"]), ("x", &["y"]), ("y", &["x"])]).expect_err("cycles");
        assert_eq!(cycles, [["a", "b", "a"], ["x", "y", "x"]]);
    }

    #[test]
    fn dependents_are_found_directly_and_through_others() {
        let graph = graph(&[("web", &["api"]), ("api", &["db"]), ("db", &[]), ("mail", &[])]).expect("no cycle");
        assert_eq!(graph.dependents("db").into_iter().collect::<Vec<_>>(), ["api"]);
        assert_eq!(graph.with_dependents(["db"]).into_iter().collect::<Vec<_>>(), ["api", "db", "web"]);
        assert_eq!(graph.with_dependencies(["api"]).into_iter().collect::<Vec<_>>(), ["api", "db"]);
    }

    fn any_edges() -> impl Strategy<Value = Vec<(usize, usize)>> {
        proptest::collection::vec((0_usize..12, 0_usize..12), 0..30)
    }

    proptest! {
        #[test]
        fn an_order_exists_exactly_when_there_is_no_cycle_and_respects_every_edge(edges in any_edges()) {
            let names: Vec<String> = (0..12).map(|number| format!("s{number:02}")).collect();
            let of = |from: usize| edges.iter().filter(move |edge| edge.0 == from).map(|edge| names[edge.1].as_str()).collect::<Vec<_>>();
            match Graph::from_edges((0..12).map(|number| (names[number].as_str(), of(number)))) {
                Ok(graph) => {
                    let order = graph.order();
                    prop_assert_eq!(order.len(), 12);
                    let at = |name: &str| order.iter().position(|other| *other == name);
                    for (from, to) in &edges {
                        prop_assert!(at(&names[*to]) < at(&names[*from]));
                    }
                }
                Err(cycles) => {
                    prop_assert!(!cycles.is_empty());
                    for cycle in cycles {
                        prop_assert_eq!(cycle.first(), cycle.last());
                        for pair in cycle.windows(2) {
                            prop_assert!(edges.iter().any(|(from, to)| names[*from] == pair[0] && names[*to] == pair[1]));
                        }
                    }
                }
            }
        }
    }
}
