//! `hoist config` in this process: what the tests of the loader hold against docker compose.

use std::collections::BTreeMap;
use std::path::Path;

use hoist::cli::config::{Output, print_config, variables_table};
use hoist::cli::load::load;
use hoist::manifest::{Failure, Request, Steps};

/// What a command line after `hoist` prints, or the report of what is wrong.
pub(crate) fn run(
    directory: &Path,
    arguments: &[String],
    environment: BTreeMap<String, String>,
) -> Result<String, String> {
    let mut request = Request {
        files: Vec::new(),
        project_directory: None,
        project_name: None,
        profiles: Vec::new(),
        env_files: Vec::new(),
        current_directory: directory.to_path_buf(),
        environment,
        services: Vec::new(),
        steps: Steps { ports: false, ..Steps::default() },
    };
    let mut output = Output::Yaml;
    let mut variables = false;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().cloned().unwrap_or_default();
        match argument.as_str() {
            "-f" => request.files.push(value().into()),
            "-p" => request.project_name = Some(value()),
            "--profile" => request.profiles.push(value()),
            "--env-file" => request.env_files.push(value().into()),
            "--project-directory" => request.project_directory = Some(value().into()),
            "--no-interpolate" => request.steps.interpolate = false,
            "--no-normalize" => request.steps.normalize = false,
            "--no-path-resolution" => request.steps.paths = false,
            "--no-consistency" => request.steps.checks = false,
            "--variables" => variables = true,
            "--environment" => output = Output::Environment,
            "--services" => output = Output::Services,
            "--images" => output = Output::Images,
            "--volumes" => output = Output::Volumes,
            "--networks" => output = Output::Networks,
            "--format" => output = if value() == "json" { Output::Json } else { Output::Yaml },
            "config" | "--no-env-resolution" => {}
            service => request.services.push(service.to_owned()),
        }
    }
    let services = request.services.clone();
    let named = [Output::Services, Output::Images, Output::Volumes, Output::Networks];
    request.steps.variables = request.steps.interpolate && !named.contains(&output);
    let report = |failure: Failure| hoist::ui::problems::render(&failure.problems, &failure.sources, false);
    if variables {
        return hoist::cli::load::variables(&request).map(|uses| variables_table(&uses)).map_err(report);
    }
    match load(&request) {
        Ok(mut loaded) => {
            if ![Output::Services, Output::Volumes, Output::Networks].contains(&output) {
                loaded.keep_only(&services);
            }
            Ok(print_config(&loaded, &output))
        }
        Err(failure) => Err(report(failure)),
    }
}
