//! Projects made by hand, where a manifest would say too much.

use std::collections::BTreeMap;
use std::path::Path;

use hoist::cli::load::load;
use hoist::export::{Export, File, Options, SecretValues, kubernetes, wanted_files};
use hoist::manifest::{Request, Steps};
use hoist::project::{Project, Service};

/// The project of a manifest, in a folder of its own.
pub(crate) fn loaded(manifest: &str) -> Project {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("compose.yaml"), manifest).expect("a manifest");
    project_of(folder.path())
}

/// The options that the command line takes when it is told nothing, with the Dockerfiles of a project.
pub(crate) fn options_with_files(project: &Project) -> Options {
    let mut options = Options::new(SecretValues::Placeholder);
    for path in wanted_files(project, &options.secrets) {
        let file = std::fs::read(&path).map_or(File::Missing, |bytes| File::Content { bytes, executable: false });
        options.files.insert(path, file);
    }
    options
}

/// The project of the manifest in a folder.
pub(crate) fn project_of(folder: &Path) -> Project {
    let request = Request {
        files: Vec::new(),
        project_directory: None,
        project_name: None,
        profiles: Vec::new(),
        env_files: Vec::new(),
        current_directory: folder.to_path_buf(),
        environment: BTreeMap::new(),
        services: Vec::new(),
        steps: Steps::default(),
    };
    match load(&request) {
        Ok(loaded) => loaded.project,
        Err(failure) => panic!("{}", hoist::ui::problems::render(&failure.problems, &failure.sources, false)),
    }
}

/// A service with an image and nothing else.
pub(crate) fn service(name: &str) -> Service {
    Service { name: name.to_owned(), image: Some("image".to_owned()), replicas: 1, ..Service::default() }
}

/// A project of these services.
pub(crate) fn project(services: impl IntoIterator<Item = Service>) -> Project {
    Project {
        name: "shop".to_owned(),
        directory: "/shop".into(),
        files: Vec::new(),
        environment_files: Vec::new(),
        services: services.into_iter().map(|service| (service.name.clone(), service)).collect(),
        disabled: BTreeMap::new(),
        networks: BTreeMap::new(),
        volumes: BTreeMap::new(),
        secrets: BTreeMap::new(),
        configs: BTreeMap::new(),
        models: BTreeMap::new(),
        kubernetes: hoist::project::ProjectKubernetes::default(),
    }
}

/// The export of a project without files.
pub(crate) fn exported(project: &Project, secrets: SecretValues) -> Export {
    kubernetes(project, &Options::new(secrets))
}
