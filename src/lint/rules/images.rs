//! Images and how they are built.

use std::collections::BTreeSet;

use crate::lint::image::Image;
use crate::lint::{Subject, dockerfile, warning};
use crate::manifest::problem::Problem;

/// An image whose content changes under its name.
pub(in crate::lint) fn unpinned(subject: &Subject<'_>) -> Vec<Problem> {
    let built: BTreeSet<String> = subject
        .services()
        .filter(|service| service.build.is_some())
        .map(|service| subject.project.image_of(service))
        .collect();
    let mut found = Vec::new();
    for service in subject.services().filter(|service| service.build.is_none() && !service.is_on_machine()) {
        let (Some(text), Some(item)) = (service.image.as_deref(), subject.attribute(service, "image")) else {
            continue;
        };
        let image = Image::parse(text);
        let is_moving = !image.has_digest && image.tag.is_none_or(|tag| tag == "latest");
        // Who takes the tag from a variable has thought of it.
        if !is_moving || subject.source(item.place()).contains('$') || built.contains(text) {
            continue;
        }
        let message = match image.tag {
            Some(_) => format!("`{text}` is another image tomorrow"),
            None => format!("`{text}` has no tag: it is `latest`, another image tomorrow"),
        };
        let problem = warning(message, Some(item.place()));
        found.push(problem.hint("name the version that you have tried, or its digest"));
    }
    found
}

/// A build that copies everything, `.git` and secrets included.
pub(in crate::lint) fn no_dockerignore(subject: &Subject<'_>) -> Vec<Problem> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for service in subject.services() {
        let (Some(file), Some(context)) = (dockerfile::of(subject, service), dockerfile::context(service)) else {
            continue;
        };
        let own = service.build.as_ref().map(|build| format!("{}.dockerignore", build.dockerfile)).unwrap_or_default();
        let has_one = [".dockerignore", &own].iter().any(|name| subject.loader.is_file(&context.join(name)));
        if has_one || !file.copies_everything() || !seen.insert(context) {
            continue;
        }
        let message = format!("the build of `{}` copies its whole folder, and nothing is left out", service.name);
        let problem = warning(message, subject.place(service, "build"));
        found.push(
            problem.hint("list in `.dockerignore` what does not belong into the image: `.git`, `.env`, `node_modules`"),
        );
    }
    found
}
