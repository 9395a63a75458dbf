//! How one container takes the place of another.

use super::*;

#[test]
fn a_changed_configuration_replaces_only_that_service() {
    let before = project([service("db"), service("api").needs("db", Condition::Started)]);
    let observed = running(&before);
    let mut changed = service("api").needs("db", Condition::Started);
    changed.environment.insert("LEVEL".into(), Some("debug".into()));
    let after = project([service("db"), changed]);
    assert_up(
        &after,
        &observed,
        "create api-1 (configuration changed)
         replace api-1 (configuration changed): waits for its container",
    );
}

#[test]
fn a_replacement_that_was_made_is_exchanged_for_the_old_container() {
    let before = project([service("api")]);
    let mut changed = service("api");
    changed.user = Some("1000".into());
    let after = project([changed]);
    let mut replacement = container(&after, "api", 1, ContainerState::Created);
    replacement.id = "new".into();
    replacement.replaces = Some("api-1".into());
    replacement.created_at = 5;
    let observed = with(running(&before), [replacement]);
    assert_up(&after, &observed, "replace api-1 (configuration changed)");
}

#[test]
fn while_a_replacement_is_held_back_what_ran_before_is_started_again() {
    let before = project([service("api").built()]);
    let mut changed = service("api").built();
    changed.user = Some("1000".into());
    let after = project([changed]);
    let mut replacement = container(&after, "api", 1, ContainerState::Created);
    (replacement.id, replacement.replaces, replacement.created_at) = ("new".into(), Some("api-1".into()), 5);
    let old = container(&before, "api", 1, ContainerState::Exited(1));
    let observed = with(prepared(&after), [old, replacement]);
    let mut facts = Facts::new(&after);
    facts.fallbacks.insert("api-1".into());
    let text = |facts: &Facts| text(&after, &goal_up(&after), &observed, facts);
    // Nothing keeps it back: it takes the place itself.
    assert_eq!(text(&facts), "replace api-1 (configuration changed)\n");
    facts.generations.insert("api".into(), 1);
    assert_eq!(
        text(&facts),
        "build image of api (sources changed): waits for its files to be read\n\
         start api-1 (is not running)\n\
         replace api-1 (configuration changed): waits for image `shop-api`\n"
    );
}

#[test]
fn a_replacement_left_with_its_temporary_name_is_renamed() {
    let project = project([service("api")]);
    let mut replacement = container(&project, "api", 1, ContainerState::Running);
    replacement.name = "0123_shop-api-1".into();
    replacement.replaces = Some("gone".into());
    let observed = with(prepared(&project), [replacement]);
    assert_up(&project, &observed, "rename api-1 (an earlier exchange was cut short)");
}
