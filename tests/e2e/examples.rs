//! The examples of the repository, run as their first readers run them.

use crate::support::engine::PrivateEngine;
use crate::support::{Project, free_port, http};

#[test]
fn the_shop_opens_sells_and_takes_a_new_customer_at_a_save() {
    let port = free_port();
    let project = Project::example("shop").with("SHOP_PORT", &port.to_string());
    let session = project.start(&["up"]);
    project.eventually("the shop is open", || {
        session.assert_running();
        http::get(port, "/").is_some_and(|page| page.contains("Copper kettle") && page.contains("Ada"))
    });
    http::post(port, "/orders", r#"{"user": 2, "sku": "lamp", "quantity": 1}"#).expect("the order is taken");
    session.wait_for("to everyone: order 2");
    let before = project.container("users");
    let code = project.read("users/server.js");
    project.write("users/server.js", &code.replace("Grace", "Barbara"));
    project.eventually("the new name is served", || http::get(port, "/").is_some_and(|page| page.contains("Barbara")));
    assert_eq!(project.container("users").id, before.id, "the file was copied in, nothing was built");
    let before = project.container("inventory");
    let code = project.read("inventory/server.js");
    project.write("inventory/server.js", &code.replace("Copper kettle", "Steel kettle"));
    project.eventually("the new item is served", || http::get(port, "/").is_some_and(|page| page.contains("Steel")));
    assert_eq!(project.container("inventory").id, before.id, "without a rule of its own it is not built either");
}

#[test]
fn the_ledger_is_filled_before_it_is_read_and_only_once() {
    let port = free_port();
    let project = Project::example("ledger").with("LEDGER_PORT", &port.to_string());
    project.hoist(&["up", "-d", "--wait"]).success();
    assert_eq!(http::get(port, "/").as_deref().map(str::trim), Some(r#"{"rent":-1800,"salary":3200}"#));
    project.hoist(&["down"]).success();
    project.hoist(&["up", "-d", "--wait"]).success();
    assert_eq!(http::get(port, "/").as_deref().map(str::trim), Some(r#"{"rent":-1800,"salary":3200}"#));
}

#[test]
fn the_quickstart_needs_no_image_and_shows_a_saved_word() {
    let Some(engine) = PrivateEngine::unstarted() else { return };
    let port = free_port();
    let project = Project::example_on(engine.found(), "quickstart").with("QUICKSTART_PORT", &port.to_string());
    let session = project.start(&["up"]);
    project.eventually("every service answers by its name", || {
        session.assert_running();
        http::get(port, "/").is_some_and(|page| {
            page.contains("Hello from a container") && page.contains("It is ") && !page.contains("class=\"ill\"")
        })
    });
    let code = project.read("greeter/server.js");
    project.write("greeter/server.js", &code.replace("Hello from", "Greetings from"));
    project
        .eventually("the new word is served", || http::get(port, "/").is_some_and(|page| page.contains("Greetings")));
    session.wait_for("greeter `greeter/server.js` → replaced");
    project.hoist(&["ps"]).success().says(&["counter", "clock"]);
}

#[test]
fn a_file_saved_while_nothing_watches_makes_a_service_without_an_image_stale_and_up_starts_it_anew() {
    let Some(engine) = PrivateEngine::unstarted() else { return };
    let port = free_port();
    let project = Project::example_on(engine.found(), "quickstart").with("QUICKSTART_PORT", &port.to_string());
    project.hoist(&["up", "-d", "--wait"]).success();
    let stale = || project.hoist(&["ps"]).success().stdout.matches("stale: changed while hoist was away").count();
    assert_eq!(stale(), 0);
    let code = project.read("greeter/server.js");
    project.write("greeter/server.js", &code.replace("Hello from", "Greetings from"));
    assert_eq!(stale(), 1, "{}", project.hoist(&["ps"]));
    project.hoist(&["up", "-d", "--wait"]).success().says(&["greeter-1"]);
    assert_eq!(stale(), 0, "{}", project.hoist(&["ps"]));
    project
        .eventually("the new word is served", || http::get(port, "/").is_some_and(|page| page.contains("Greetings")));
}

#[test]
fn every_example_plans_draws_and_exports() {
    for example in ["shop", "ledger"] {
        let project = Project::example(example);
        project.hoist(&["config", "-q"]).success();
        project.hoist(&["graph"]).success();
        project.hoist(&["plan"]).success();
        project.hoist(&["export", "kubernetes", "--stdout"]).success().says(&["kind: Deployment"]);
    }
    let quickstart = Project::example("quickstart");
    quickstart.hoist(&["config", "-q"]).success();
    quickstart.hoist(&["graph"]).success();
    let exported = quickstart.hoist(&["export", "kubernetes", "--stdout"]);
    assert!(exported.stderr.contains("give it an `image`, or a `build`"), "{exported}");
}
