//! One contract for every engine: the engine of maps passes it always, the Docker engine that `DOCKER_HOST` or the
//! usual places name passes it too, and what only a real engine can show follows in `docker`.
//!
//! A real engine has to answer: `tests/setup/engine` makes sure of it.

#![expect(clippy::expect_used, reason = "a test that cannot go on ends")]

mod contract;
mod docker;
mod memory;
mod program;
mod registry;
mod shell;
mod world;

/// Runs every function of the contract on the engine of maps and on the real one.
macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        mod on_memory {
            $(
                #[tokio::test]
                async fn $name() {
                    crate::world::with_memory(crate::contract::$name).await;
                }
            )*
        }
        mod on_docker {
            $(
                #[tokio::test]
                async fn $name() {
                    crate::world::with_docker(crate::contract::$name).await;
                }
            )*
        }
    };
}

contract![
    a_container_is_made_started_stopped_and_removed,
    a_name_is_given_once_and_can_be_changed,
    only_the_projects_own_and_what_was_asked_for_is_observed,
    exit_codes_and_output_are_kept,
    a_followed_log_ends_with_its_container,
    what_a_followed_container_writes_last_is_passed_on,
    events_tell_from_the_call_on_which_containers_changed,
    making_twice_and_removing_twice_succeed,
    what_is_not_there_is_said,
    a_missing_host_path_is_named_before_anything_is_made,
    a_taken_port_names_its_holder,
    a_command_in_a_container_gives_its_code_and_output,
    a_killed_container_has_exited,
    the_same_inputs_build_the_same_image,
    another_input_builds_another_image,
    a_failed_step_is_named_with_its_output,
    a_missing_context_is_named,
    a_cancelled_build_says_so,
    an_image_in_use_is_not_removed,
];
