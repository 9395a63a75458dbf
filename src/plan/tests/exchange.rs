//! How one container takes the place of another.

use super::*;
use crate::plan::replicas_of;
use crate::project::{
    Device, DeviceRequest, Devices, MACHINE_IMAGE, NetworkAttachment, Networking, UpdateOrder, VolumesFrom,
    VolumesSource,
};

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
fn while_a_replacement_cannot_be_made_what_ran_before_is_started_again() {
    let before = project([service("api").built()]);
    let after = project([Service { user: Some("1000".into()), ..service("api").built() }]);
    let of = |state| with(prepared(&after), [container(&before, "api", 1, state)]);
    let mut facts = Facts { fallbacks: ["api-1".into()].into(), ..Facts::new(&after) };
    let makes = "create api-1 (configuration changed)
                 replace api-1 (configuration changed): waits for its container";
    assert_plan(&after, &goal_up(&after), &of(ContainerState::Exited(1)), &facts, makes);
    facts.generations.insert("api".into(), 1);
    let waits = "build image of api (sources changed): waits for its files to be read
                 create api-1 (configuration changed): waits for image `shop-api`
                 replace api-1 (configuration changed): waits for its container";
    assert_plan(&after, &goal_up(&after), &of(ContainerState::Running), &facts, waits);
    let serves = format!("{waits}\nstart api-1 (is not running)");
    assert_plan(&after, &goal_up(&after), &of(ContainerState::Exited(1)), &facts, &serves);
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
    // Neither one that has its name nor one that another tool named so is renamed.
    let renamed = Container { replaces: Some("gone".into()), ..container(&project, "api", 1, ContainerState::Running) };
    let foreign = Container { name: "shop_api_1".into(), ..container(&project, "api", 1, ContainerState::Running) };
    for container in [renamed, foreign] {
        assert_up(&project, &with(prepared(&project), [container]), "");
    }
}

/// What is done once the container is made that takes the place of one of this service: `start` beside it, or `replace`.
fn order_of(service: &Service, change: impl FnOnce(&mut Observed)) -> String {
    let mut observed = running(&project([service.clone()]));
    change(&mut observed);
    let after = project([Service { hostname: Some("other".into()), ..service.clone() }]);
    let planned = text(&after, &goal_up(&after), &observed, &Facts::new(&after));
    let then = planned.lines().nth(1).expect("one is made and then takes the place");
    then.split(' ').next().expect("it begins with what is done").to_owned()
}

/// A service that others call.
fn server() -> Service {
    Service { expose: vec!["80".into()], ..service("api") }
}

fn port(published: Published) -> Port {
    Port { target: 80, published, host_ip: None, protocol: Protocol::Tcp, name: None, app_protocol: None }
}

fn mounts(read_only: bool, source: MountSource) -> Service {
    Service { mounts: vec![Mount { target: "/data".into(), read_only, source }], ..server() }
}

fn placed(place: NetworkAttachment) -> Service {
    Service { networking: Networking::Networks([("default".into(), place)].into()), ..server() }
}

#[test]
fn a_new_version_runs_beside_the_old_one_only_where_nothing_speaks_against_it() {
    let bind = || MountSource::Bind {
        path: "/shop/data".into(),
        create_host_path: true,
        propagation: None,
        selinux: None,
        recursion: None,
    };
    let volume = || MountSource::Volume { key: "data".into(), nocopy: false, subpath: None };
    let anonymous = || MountSource::Anonymous { nocopy: false, labels: BTreeMap::new() };
    let memory = MountSource::Tmpfs { size: None, mode: None, options: None };
    let address = || Some("10.0.0.9".to_owned());
    let device = DeviceRequest {
        driver: None,
        count: None,
        ids: Vec::new(),
        capabilities: Vec::new(),
        options: BTreeMap::new(),
    };
    let mapped = Device { source: "/dev/fuse".into(), target: "/dev/fuse".into(), permissions: "rwm".into() };
    let elsewhere = VolumesFrom { source: VolumesSource::Container("store".into()), read_only: None };
    let cases = vec![
        ("others call it", "start", server()),
        ("it publishes some port", "start", Service { ports: vec![port(Published::Ephemeral)], ..service("api") }),
        ("it publishes one port", "replace", Service { ports: vec![port(Published::Port(80))], ..server() }),
        ("nobody calls it", "replace", service("api")),
        ("it writes to a folder", "replace", mounts(false, bind())),
        ("it reads a folder", "start", mounts(true, bind())),
        ("the machine's files", "start", Service { image: Some(MACHINE_IMAGE.into()), ..mounts(false, bind()) }),
        ("it writes to a volume", "replace", mounts(false, volume())),
        ("it reads a volume", "start", mounts(true, volume())),
        ("it writes to a volume without a name", "replace", mounts(false, anonymous())),
        ("it writes to memory", "start", mounts(false, memory)),
        (
            "any address",
            "start",
            placed(NetworkAttachment { aliases: vec!["a".into()], ..NetworkAttachment::default() }),
        ),
        (
            "an address",
            "replace",
            placed(NetworkAttachment { ipv4_address: address(), ..NetworkAttachment::default() }),
        ),
        ("IPv6", "replace", placed(NetworkAttachment { ipv6_address: address(), ..NetworkAttachment::default() })),
        ("hardware", "replace", placed(NetworkAttachment { mac_address: address(), ..NetworkAttachment::default() })),
        ("hardware of the container", "replace", Service { mac_address: address(), ..server() }),
        ("no network", "start", Service { networking: Networking::None, ..server() }),
        ("the host's network", "replace", Service { networking: Networking::Host, ..server() }),
        ("all capabilities", "replace", server().privileged()),
        ("another's volumes", "replace", Service { volumes_from: vec![elsewhere], ..server() }),
        (
            "a device",
            "replace",
            Service { devices: Devices { mapped: vec![mapped], ..Devices::default() }, ..server() },
        ),
        ("a GPU", "replace", Service { devices: Devices { requests: vec![device], ..Devices::default() }, ..server() }),
        ("the manifest says so", "start", Service { update_order: Some(UpdateOrder::StartFirst), ..service("api") }),
        ("the manifest forbids it", "replace", Service { update_order: Some(UpdateOrder::StopFirst), ..server() }),
    ];
    for (what, expected, service) in cases {
        assert_eq!(order_of(&service, |_| ()), expected, "{what}");
    }
}

#[test]
fn what_the_image_writes_to_a_volume_of_its_own_is_not_shared_by_two_versions() {
    let writes = |observed: &mut Observed| {
        observed.containers.get_mut("api-1").expect("it runs").writes_volumes = true;
    };
    assert_eq!(order_of(&server(), writes), "replace");
}

#[test]
fn two_versions_publish_one_port_only_where_the_engine_hands_it_over() {
    let hands_over = |observed: &mut Observed| observed.abilities.hands_over_ports = true;
    let publishing = Service { ports: vec![port(Published::Port(80))], ..service("api") };
    assert_eq!(order_of(&publishing, hands_over), "start");
    let first = Service { update_order: Some(UpdateOrder::StartFirst), ..publishing };
    assert_eq!(order_of(&first, |_| ()), "replace");
    assert_eq!(order_of(&first, hands_over), "start");
}

#[test]
fn a_broken_container_is_replaced_and_so_is_every_one_that_is_to_be_made_anew_once() {
    let shop = project([service("api")]);
    let dead = with(prepared(&shop), [container(&shop, "api", 1, ContainerState::Dead)]);
    let anew = "create api-1 (asked for)
                replace api-1 (asked for): waits for its container";
    assert_up(&shop, &dead, anew);
    let forced = Goal::Up(Up { force_recreate: true, ..up(&shop, Until::Started) });
    let mut facts = Facts::new(&shop);
    assert_plan(&shop, &forced, &running(&shop), &facts, "");
    facts.pending.insert("api-1".into());
    assert_plan(&shop, &forced, &running(&shop), &facts, anew);
    assert_plan(&shop, &goal_up(&shop), &running(&shop), &facts, "");
}

#[test]
fn what_uses_the_network_of_another_container_is_replaced_after_it() {
    let shop = project([service("vpn"), Service { networking: Networking::Service("vpn".into()), ..service("api") }]);
    let made_at = |vpn: u64| {
        let mut observed = running(&shop);
        observed.containers.get_mut("vpn-1").expect("it runs").created_at = vpn;
        observed.containers.get_mut("api-1").expect("it runs").created_at = 5;
        observed
    };
    assert_up(&shop, &made_at(4), "");
    assert_up(&shop, &made_at(5), "");
    let newer = made_at(6);
    assert_up(
        &shop,
        &newer,
        "create api-1 (dependency `vpn` was replaced)
         replace api-1 (dependency `vpn` was replaced): waits for its container",
    );
    // Nobody follows to a container before it is there for good.
    let mut next = container(&shop, "vpn", 1, ContainerState::Created);
    (next.id, next.replaces, next.created_at) = ("next".into(), Some("vpn-1".into()), 7);
    let planned = text(&shop, &goal_up(&shop), &with(newer, [next]), &Facts::new(&shop));
    assert!(!planned.contains("api-1"), "{planned}");
}

/// Which container of the first number is which: the one that holds it, its replacement, and what is left over.
fn parts(containers: &[(&str, u64, Option<&str>)]) -> String {
    let shop = project([service("api")]);
    let made = containers.iter().map(|(id, created_at, replaces)| Container {
        id: (*id).into(),
        name: format!("name-of-{id}"),
        created_at: *created_at,
        replaces: replaces.map(Into::into),
        ..container(&shop, "api", 1, ContainerState::Running)
    });
    let observed = with(prepared(&shop), made);
    let replicas = replicas_of(&observed, "api");
    let replica = &replicas[&1];
    let leftovers: Vec<&str> = replica.leftovers.iter().map(|left| &*left.id).collect();
    format!("{}, {:?}, {leftovers:?}", replica.current.id, replica.replacement.map(|it| &*it.id))
}

#[test]
fn of_the_containers_of_one_number_the_one_that_is_being_replaced_holds_it() {
    assert_eq!(parts(&[("old", 1, None)]), "old, None, []");
    assert_eq!(parts(&[("old", 1, None), ("new", 2, Some("old"))]), r#"old, Some("new"), []"#);
    assert_eq!(parts(&[("old", 1, None), ("new", 2, Some("name-of-old"))]), r#"old, Some("new"), []"#);
    let two = [("old", 1, None), ("new", 2, Some("old")), ("newer", 3, Some("name-of-old"))];
    assert_eq!(parts(&two), r#"old, Some("newer"), ["new"]"#);
}

#[test]
fn of_containers_that_do_not_replace_one_another_the_newest_holds_the_number() {
    assert_eq!(parts(&[("old", 1, None), ("new", 2, None)]), r#"new, None, ["old"]"#);
    assert_eq!(parts(&[("old", 1, None), ("new", 2, Some("gone"))]), r#"new, None, ["old"]"#);
    assert_eq!(parts(&[("old", 1, Some("gone")), ("new", 2, None)]), r#"new, None, ["old"]"#);
    assert_eq!(parts(&[("b", 1, None), ("a", 1, None)]), r#"b, None, ["a"]"#);
}

#[test]
fn replicas_are_exchanged_one_after_the_other_and_not_at_all_once_one_has_failed() {
    let before = project([service("api").times(3)]);
    let after = project([Service { user: Some("1000".into()), ..service("api").times(3) }]);
    let old = [1, 2, 3].map(|number| container(&before, "api", number, ContainerState::Running));
    let observed = with(prepared(&after), old);
    let created = |observed: &Observed, facts: &Facts| {
        let planned = text(&after, &goal_up(&after), observed, facts);
        planned.lines().filter(|line| line.starts_with("create")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        created(&observed, &Facts::new(&after)),
        "create api-1 (configuration changed)\n\
         create api-2 (configuration changed): waits for `api-1` to be replaced\n\
         create api-3 (configuration changed): waits for `api-1` to be replaced, waits for `api-2` to be replaced"
    );
    let failures = [(Subject::Replica("api".into(), 2), "exited".into())].into();
    assert_eq!(
        created(&observed, &Facts { failures, ..Facts::new(&after) }),
        "create api-1 (configuration changed): failed: api-2: exited\n\
         create api-2 (configuration changed): failed: exited, waits for `api-1` to be replaced\n\
         create api-3 (configuration changed): failed: api-2: exited, waits for `api-1` to be replaced"
    );
    let mut new = container(&after, "api", 3, ContainerState::Running);
    (new.id, new.replaces, new.created_at) = ("new".into(), Some("api-3".into()), 5);
    assert_eq!(
        created(&with(observed, [new]), &Facts::new(&after)),
        "create api-1 (configuration changed): waits for `api-3` to be replaced\n\
         create api-2 (configuration changed): waits for `api-1` to be replaced, waits for `api-3` to be replaced"
    );
}

#[test]
fn what_a_cut_off_exchange_left_is_removed_unless_it_is_what_serves() {
    let shop = project([service("api")]);
    let of = |id: &str, created_at, state| Container { id: id.into(), created_at, ..container(&shop, "api", 1, state) };
    let newest = || of("new", 5, ContainerState::Created);
    let left = with(prepared(&shop), [of("left", 1, ContainerState::Exited(0)), newest()]);
    assert_up(
        &shop,
        &left,
        "remove api-1 (an earlier exchange was cut short)
         start api-1 (is not running)",
    );
    let serving = with(prepared(&shop), [of("left", 1, ContainerState::Running), newest()]);
    assert_up(&shop, &serving, "start api-1 (is not running)");
}

#[test]
fn an_exchange_that_was_cut_short_goes_on_also_where_nobody_knows_any_more_what_it_was_for() {
    let project = project([service("api")]);
    let mut new = container(&project, "api", 1, ContainerState::Exited(143));
    (new.id, new.replaces, new.created_at) = ("new".into(), Some("api-1".into()), 5);
    let old = container(&project, "api", 1, ContainerState::Exited(143));
    let observed = with(prepared(&project), [old, new.clone()]);
    assert_up(&project, &observed, "replace api-1 (an earlier exchange was cut short)");
    // It was for what the manifest said then.
    let other = Container { config_hash: Some("other".into()), ..new };
    let old = container(&project, "api", 1, ContainerState::Running);
    let observed = with(prepared(&project), [old, other]);
    assert_up(&project, &observed, "take back api-1 (an earlier exchange was cut short)");
}
