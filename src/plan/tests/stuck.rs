//! When a plan can go no further: what waits for something that failed is told from what may still come.

use super::*;
use crate::plan::operation::{Cause, Hold};
use crate::plan::{Entry, Plan};

fn entry(operation: Operation, holds: &[Hold]) -> Entry {
    Entry { operation, cause: Cause::Missing, holds: holds.to_vec() }
}

fn start(service: &str, holds: &[Hold]) -> Entry {
    entry(Operation::Start { service: service.into(), number: 1, container: String::new() }, holds)
}

fn build(service: &str, holds: &[Hold]) -> Entry {
    entry(Operation::Build { service: service.into(), generation: 0 }, holds)
}

fn network(holds: &[Hold]) -> Entry {
    entry(Operation::RemoveNetwork { name: "shop_default".into() }, holds)
}

fn failed() -> Hold {
    Hold::Failed { reason: "no".into() }
}

#[test]
fn a_plan_is_stuck_when_every_entry_waits_for_something_that_failed() {
    let image = || Hold::Image { image: "shop-api".into() };
    let turn = || Hold::Order { subject: "`api-2` to be replaced".into() };
    let dependency = || Hold::DependencyFailed { service: "db".into(), reason: "is unhealthy".into() };
    let starting = || Hold::Dependency { service: "db".into(), condition: Condition::Started };
    let dependent = || Hold::Dependent { service: "web".into() };
    let cases = [
        ("nothing is left", vec![], false),
        ("it can be done", vec![start("api", &[])], false),
        ("it failed", vec![start("api", &[failed()])], true),
        ("its dependency failed", vec![start("api", &[dependency()])], true),
        ("another can go on", vec![start("api", &[failed()]), start("web", &[])], false),
        ("its image", vec![build("api", &[failed()]), start("api", &[image()])], true),
        ("its container", vec![start("api", &[failed()]), start("api", &[Hold::Container])], true),
        ("its turn", vec![start("api", &[failed()]), start("api", &[turn()])], true),
        ("its image is on its way", vec![start("api", &[image(), Hold::Container])], false),
        ("another's image failed", vec![build("web", &[failed()]), start("api", &[image()])], false),
        ("its dependency is on its way", vec![build("api", &[failed()]), start("api", &[starting()])], false),
        ("it is tried again", vec![build("api", &[failed()]), start("api", &[Hold::BackOff])], false),
        ("one failed to stop", vec![start("web", &[failed()]), start("db", &[dependent()])], true),
        ("one is about to stop", vec![start("web", &[Hold::Busy]), start("db", &[dependent()])], false),
        ("one that uses it failed to stop", vec![start("web", &[failed()]), network(&[Hold::InUse])], true),
        ("one that uses it is about to stop", vec![start("web", &[Hold::Busy]), network(&[Hold::InUse])], false),
    ];
    for (what, entries, expected) in cases {
        assert_eq!(Plan { entries }.is_stuck(), expected, "{what}");
    }
}

#[test]
fn what_fails_to_be_made_fails_those_that_need_it_with_the_reason() {
    let shop = project([service("db"), service("api").needs("db", Condition::Started)]);
    let mut observed = prepared(&shop);
    observed.networks.clear();
    let facts = Facts { failures: [(Subject::Network("default".into()), "full".into())].into(), ..Facts::new(&shop) };
    assert_plan(
        &shop,
        &goal_up(&shop),
        &observed,
        &facts,
        "create network default (does not exist): failed: full
         create db-1 (does not exist): failed: full
         start db-1 (does not exist): waits for its container
         create api-1 (does not exist): failed: full
         start api-1 (does not exist): dependency `db` cannot start: full, waits for its container",
    );
}
