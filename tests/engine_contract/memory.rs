//! What only the engine of maps can be told to do, and what it shows of those who use an engine.

use hoist::engine::LogOptions;

use crate::world::{followed, with_memory};

#[tokio::test]
async fn a_log_that_an_engine_ends_too_early_is_passed_on_to_its_last_line() {
    with_memory(async |world| {
        world.engine.cut_followed_logs();
        let spec = world.container("a", "sleep 1000", |_| {});
        let started = world.started(&spec).await;
        world.engine.write_log(&started.id, false, "one\n");
        let following = followed(world, &started.id, LogOptions { follow: true, ..Default::default() });
        let ending = async {
            // The follower waits by now: it has taken what there was.
            tokio::task::yield_now().await;
            world.engine.write_log(&started.id, true, "warning\n");
            world.engine.write_log(&started.id, false, "two\nthree");
            world.engine.exit(&started.id, 1);
        };
        let (lines, ()) = tokio::join!(following, ending);
        assert_eq!(lines, ["one", "warning", "two", "three"]);
    })
    .await;
}

#[tokio::test]
async fn a_log_of_which_the_end_alone_is_wanted_is_not_read_again() {
    with_memory(async |world| {
        let spec = world.container("a", "echo one; echo two", |_| {});
        let started = world.started(&spec).await;
        let options = LogOptions { follow: true, tail: Some(1), ..Default::default() };
        assert_eq!(followed(world, &started.id, options).await, ["two"]);
    })
    .await;
}
