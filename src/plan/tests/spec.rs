//! What the engine is asked to make, down to names and labels.

use std::path::PathBuf;

use super::*;
use crate::plan::spec::{self, ContainerSpec, CopiedFile, FileContent, Replaces};
use crate::project::{FileGrant, FileObject, FileSource, Link, Network, NetworkAttachment, Networking};

/// The first container of the service `api`.
fn made(project: &Project) -> ContainerSpec {
    spec::container(project, &project.services["api"], 1, "sha256:api", None)
}

#[test]
fn a_container_carries_the_labels_of_docker_compose_beside_its_own() {
    let mut api = service("api").needs("db", Condition::Healthy).restarts_with("cache");
    api.labels = [("own".into(), "yes".into()), (label::SERVICE.into(), "forged".into())].into();
    let mut shop = project([api, service("db"), service("cache")]);
    shop.files.push("/shop/compose.override.yaml".into());
    let labels = made(&shop).labels;
    let version = concat!("hoist-", env!("CARGO_PKG_VERSION"));
    let hash = crate::project::config_hash(&shop, &shop.services["api"]);
    let mut expected: BTreeMap<String, String> = [
        ("own", "yes"),
        (label::PROJECT, "shop"),
        (label::VERSION, version),
        (label::WORKING_DIR, "/shop"),
        (label::CONFIG_FILES, "/shop/compose.yaml,/shop/compose.override.yaml"),
        (label::SERVICE, "api"),
        (label::ONE_OFF, "False"),
        (label::NUMBER, "1"),
        (label::CONFIG_HASH, &hash),
        (label::IMAGE, "sha256:api"),
        (label::DEPENDS_ON, "cache:service_started:true,db:service_healthy:false"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    assert_eq!(labels, expected);
    shop.environment_files = vec!["/shop/a.env".into(), "/shop/b.env".into()];
    expected.insert(label::ENVIRONMENT_FILE.into(), "/shop/a.env,/shop/b.env".into());
    assert_eq!(made(&shop).labels, expected);
}

#[test]
fn a_replacement_has_a_name_of_its_own_and_says_whose_place_it_takes() {
    let shop = project([service("api")]);
    let new =
        spec::container(&shop, &shop.services["api"], 1, "sha256:api", Some(Replaces { old: "old", newest: "old" }));
    assert!(new.name.ends_with("_shop-api-1"), "{}", new.name);
    assert_eq!(new.labels.get(label::REPLACE).map(String::as_str), Some("old"));
    assert_eq!(new.networks[0].aliases, ["shop-api-1", "api"], "it answers to the final name at once");
    assert_eq!(made(&shop).name, "shop-api-1");
    let next = Replaces { old: "old", newest: "new" };
    let next = spec::container(&shop, &shop.services["api"], 1, "sha256:api", Some(next));
    assert_ne!(next.name, new.name, "the same once more, beside the one before");
}

#[test]
fn a_link_leads_to_every_container_of_the_service_by_its_alias_and_its_own_names() {
    let link = |target: &str, alias: &str| Link { target: target.into(), alias: alias.into() };
    let api = Service {
        links: vec![link("db", "store"), link("gone", "nobody")],
        external_links: vec![link("legacy_redis_1", "redis")],
        ..service("api")
    };
    let spec = made(&project([api, service("db").times(2)]));
    assert_eq!(
        spec.links,
        [
            "shop-db-1:store",
            "shop-db-1:db-1",
            "shop-db-1:shop-db-1",
            "shop-db-2:store",
            "shop-db-2:db-2",
            "shop-db-2:shop-db-2",
            "legacy_redis_1:redis",
        ]
    );
}

#[test]
fn networks_are_joined_by_priority_under_the_names_of_service_and_container() {
    let place = |priority, alias: &str| NetworkAttachment {
        priority,
        aliases: vec![alias.into()],
        ipv4_address: Some("10.0.0.9".into()),
        ..NetworkAttachment::default()
    };
    let places =
        [("back", place(0, "b")), ("default", place(0, "d")), ("front", place(7, "f")), ("gone", place(9, "g"))];
    let places = places.map(|(key, place)| (key.to_owned(), place)).into();
    let mut shop = project([Service { networking: Networking::Networks(places), ..service("api") }]);
    for key in ["back", "front"] {
        shop.networks.insert(key.into(), Network { name: format!("shop_{key}"), ..Network::default() });
    }
    let joined: Vec<String> = made(&shop)
        .networks
        .iter()
        .map(|it| {
            format!("{} as {} at {}", it.network, it.aliases.join(" "), it.ipv4_address.as_deref().unwrap_or("-"))
        })
        .collect();
    assert_eq!(
        joined,
        [
            "shop_front as shop-api-1 api f at 10.0.0.9",
            "shop_back as shop-api-1 api b at 10.0.0.9",
            "shop_default as shop-api-1 api d at 10.0.0.9",
        ]
    );
    shop.services.get_mut("api").expect("it is there").networking = Networking::Host;
    assert!(made(&shop).networks.is_empty());
}

#[test]
fn volumes_are_told_by_the_names_that_the_engine_has_for_them() {
    let mount = |source| Mount { target: "/x".into(), read_only: false, source };
    let volume = |key: &str| mount(MountSource::Volume { key: key.into(), nocopy: false, subpath: None });
    let scratch = mount(MountSource::Tmpfs { size: None, mode: None, options: None });
    let mut shop = project([Service { mounts: vec![volume("data"), scratch, volume("gone")], ..service("api") }]);
    let named = |name: &str| Volume { name: name.into(), ..Volume::default() };
    shop.volumes = [("data".into(), named("shop_data")), ("unused".into(), named("shop_unused"))].into();
    assert_eq!(made(&shop).volumes, BTreeMap::from([("data".into(), "shop_data".into())]));
}

/// A container with one secret from this source, asked for with these owners.
fn with_secret(source: FileSource, read_only: bool, (uid, gid, mode): Owner) -> ContainerSpec {
    let target = "/run/secrets/key".into();
    let grant = FileGrant { key: "key".into(), target, uid: uid.map(Into::into), gid: gid.map(Into::into), mode };
    let mut shop = project([Service { secrets: vec![grant], read_only, ..service("api") }]);
    shop.secrets.insert("key".into(), FileObject { name: "shop_key".into(), source });
    made(&shop)
}

type Owner = (Option<&'static str>, Option<&'static str>, Option<u32>);

fn copied(content: FileContent, (uid, gid, mode): (u64, u64, u32)) -> CopiedFile {
    CopiedFile { target: "/run/secrets/key".into(), content, mode, uid, gid }
}

#[test]
fn a_secret_of_a_file_is_mounted_unless_it_is_to_belong_to_somebody() {
    let file = || FileSource::File("/shop/key".into());
    let mounted = [(PathBuf::from("/shop/key"), "/run/secrets/key".to_owned())];
    for read_only in [false, true] {
        let plain = with_secret(file(), read_only, (None, None, None));
        assert_eq!((&plain.file_mounts[..], plain.copied_files, plain.left_out), (&mounted[..], vec![], vec![]));
    }
    let content = || FileContent::File("/shop/key".into());
    let owners: [(Owner, _); 3] = [
        ((Some("10"), None, None), (10, 0, 0o444)),
        ((None, Some("20"), None), (0, 20, 0o444)),
        ((None, None, Some(0o400)), (0, 0, 0o400)),
    ];
    for (asked, got) in owners {
        let owned = with_secret(file(), false, asked);
        let nothing = (vec![], vec![copied(content(), got)], vec![]);
        assert_eq!((owned.file_mounts, owned.copied_files, owned.left_out), nothing, "{asked:?}");
        // Nothing can be copied into it: it is told what it does not get.
        let read_only = with_secret(file(), true, asked);
        let message =
            "`uid`, `gid` and `mode` of the secret `key` have no effect: a read-only container has it mounted";
        assert_eq!(read_only.file_mounts, mounted, "{asked:?}");
        assert_eq!((read_only.copied_files, read_only.left_out), (vec![], vec![message.to_owned()]), "{asked:?}");
    }
}

#[test]
fn secrets_of_variables_and_of_the_manifest_are_copied_and_external_ones_are_named() {
    let text = || FileContent::Text("hush".into());
    let variable = FileSource::Environment { variable: "KEY".into(), value: "hush".into() };
    for source in [variable, FileSource::Content("hush".into())] {
        let spec = with_secret(source, false, (Some("10"), Some("20"), Some(0o440)));
        assert_eq!(spec.copied_files, [copied(text(), (10, 20, 0o440))]);
        assert!(spec.file_mounts.is_empty() && spec.left_out.is_empty());
    }
    let spec = with_secret(FileSource::External, false, (None, None, None));
    let message = "the external secret `key` is not there: only Docker Swarm keeps one outside the project";
    assert_eq!((spec.file_mounts, spec.copied_files, spec.left_out), (vec![], vec![], vec![message.to_owned()]));
}

#[test]
fn an_image_is_built_for_the_platform_of_its_service_or_for_the_only_one_of_its_build() {
    let cases = [
        (None, vec![], None),
        (None, vec!["linux/arm64"], Some("linux/arm64")),
        (None, vec!["linux/arm64", "linux/amd64"], None),
        (Some("linux/amd64"), vec!["linux/arm64"], Some("linux/amd64")),
    ];
    for (of_service, of_build, expected) in cases {
        let mut api = Service { platform: of_service.map(Into::into), ..service("api").built() };
        api.build.as_mut().expect("it is built").platforms = of_build.iter().map(|it| (*it).into()).collect();
        let shop = project([api]);
        let spec = spec::build(&shop, &shop.services["api"]).expect("it is built");
        assert_eq!(spec.platform.as_deref(), expected, "{of_service:?} and {of_build:?}");
    }
}
