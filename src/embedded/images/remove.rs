//! Names, images and layers away.

use std::collections::BTreeSet;

use bollard_stubs::models::ImageDeleteResponseItem;

use super::super::error::Error;
use super::catalogue::short;
use super::describe::Wanted;
use super::reference::Reference;
use super::{Filters, Image, Images, MACHINE, Use, must_be_here};

/// What is to be done with an image.
enum Removal {
    /// Only this name goes.
    Untag(Reference),
    /// All its names go, and it stays without one because containers have it.
    UntagAll,
    /// It goes.
    Delete,
}

impl Images {
    /// See [`Images::remove`].
    pub(super) async fn remove_one(
        &self,
        reference: &str,
        force: bool,
        in_use: &[Use],
    ) -> Result<Vec<ImageDeleteResponseItem>, Error> {
        let (image, name) = self.lookup(reference)?;
        if image.machine {
            return Err(Error::Forbidden(format!("{MACHINE} is this machine itself and cannot be removed")));
        }
        let users: Vec<&Use> = in_use.iter().filter(|one| one.image == image.id).collect();
        let removal = decide(&image, name, reference, force, &users)?;
        let gone = self.carry_out(&image, removal).await?;
        drop(image);
        self.sweep().await?;
        Ok(gone)
    }

    /// See [`Images::prune`].
    pub(super) async fn prune_all(
        &self,
        all: bool,
        filters: &Filters,
        in_use: &[Use],
    ) -> Result<(Vec<ImageDeleteResponseItem>, u64), Error> {
        let wanted = Wanted::of(filters)?;
        let used: BTreeSet<&str> = in_use.iter().map(|one| one.image.as_str()).collect();
        let ids: Vec<String> = self.store.state().catalogue.images.keys().cloned().collect();
        let mut gone = Vec::new();
        for id in ids.into_iter().filter(|id| !used.contains(id.as_str())) {
            let Some(image) = self.image(&id) else { continue };
            if (all || image.tags.is_empty()) && wanted.matches(&image) {
                gone.extend(self.carry_out(&image, Removal::Delete).await?);
            }
        }
        Ok((gone, self.sweep().await?))
    }

    /// Does what was decided, and tells of it.
    async fn carry_out(&self, image: &Image, removal: Removal) -> Result<Vec<ImageDeleteResponseItem>, Error> {
        let id = image.id.clone();
        let (untagged, deleted) = self
            .store
            .change(move |state| {
                must_be_here(state, &id)?;
                let catalogue = &mut state.catalogue;
                Ok(match removal {
                    Removal::Untag(name) => (catalogue.unname(&id, &name), false),
                    Removal::UntagAll => {
                        let entry = catalogue.images.get(&id).cloned().unwrap_or_default();
                        let gone = catalogue.forget(&id);
                        catalogue.images.insert(id, entry);
                        (gone, false)
                    }
                    Removal::Delete => {
                        state.documents.remove(&id);
                        (catalogue.forget(&id), true)
                    }
                })
            })
            .await?;
        let untagged_items = untagged.iter().map(|name| {
            self.tell("untag", &image.id, &image.id, &image.document);
            ImageDeleteResponseItem { untagged: Some(name.clone()), deleted: None }
        });
        let mut items: Vec<_> = untagged_items.collect();
        if deleted {
            self.tell("delete", &image.id, &image.id, &image.document);
            let layers = image.layers.iter().rev().map(|layer| layer.diff_id.clone());
            let ids = [image.id.clone()].into_iter().chain(layers);
            items.extend(ids.map(|id| ImageDeleteResponseItem { untagged: None, deleted: Some(id) }));
        }
        Ok(items)
    }

    /// Removes layers and blobs that nothing needs; the bytes gained.
    async fn sweep(&self) -> Result<u64, Error> {
        let (folders, bytes) = self.store.blocking(super::store::Store::sweep).await?;
        for folder in folders {
            folder.remove().await?;
        }
        Ok(bytes)
    }
}

/// Docker's rules: a name of several is taken away; the last name, or an id, takes the image along unless containers have it
/// or it has names of several repositories.
fn decide(
    image: &Image,
    name: Option<Reference>,
    reference: &str,
    force: bool,
    users: &[&Use],
) -> Result<Removal, Error> {
    let conflict = |text: String| Err(Error::Conflict(text));
    let Some(name) = name else {
        if let Some(user) = users.iter().find(|user| user.running) {
            return conflict(format!(
                "conflict: unable to delete {} (cannot be forced) - image is being used by running container {}",
                short(&image.id),
                short(&user.container)
            ));
        }
        let repository = |name: &String| Reference::parse(name).map(|name| name.name()).unwrap_or_default();
        let repositories: BTreeSet<_> = image.tags.iter().chain(&image.digests).map(repository).collect();
        if (image.tags.len() > 1 || repositories.len() > 1) && !force {
            return conflict(format!(
                "conflict: unable to delete {} (must be forced) - image is referenced in multiple repositories",
                short(&image.id)
            ));
        }
        return match users.first() {
            None => Ok(Removal::Delete),
            Some(_) if force => Ok(Removal::UntagAll),
            Some(user) => conflict(format!(
                "conflict: unable to delete {} (must be forced) - image is being used by stopped container {}",
                short(&image.id),
                short(&user.container)
            )),
        };
    };
    match users.first() {
        _ if !is_last(image, &name) => Ok(Removal::Untag(name)),
        None => Ok(Removal::Delete),
        Some(_) if force => Ok(Removal::Untag(name)),
        Some(user) => conflict(format!(
            "conflict: unable to remove repository reference \"{reference}\" (must force) - container {} is using its \
             referenced image {}",
            short(&user.container),
            short(&image.id)
        )),
    }
}

/// Whether an image has no name left when this one is taken away. With the last tag of a repository its digests go too.
fn is_last(image: &Image, name: &Reference) -> bool {
    if name.digest.is_some() {
        return image.tags.is_empty() && image.digests.len() <= 1;
    }
    let of_it = format!("{}@", name.familiar_repository());
    image.tags.iter().all(|tag| *tag == name.familiar())
        && image.digests.iter().all(|digest| digest.starts_with(&of_it))
}

#[cfg(test)]
mod tests {
    use super::super::Document;
    use super::*;

    fn decided(tags: &[&str], digests: &[&str], reference: &str, force: bool, running: Option<bool>) -> String {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let (id, document) = (format!("sha256:{}", "a".repeat(64)), Document::default());
        let image = Image {
            id: id.clone(),
            document,
            layers: Vec::new(),
            machine: false,
            tags: owned(tags),
            digests: owned(digests),
        };
        let user = running.map(|running| Use { container: "c".repeat(64), image: id, running });
        let name = if reference == "id" { None } else { Reference::parse(reference).ok().map(Reference::or_latest) };
        match decide(&image, name, reference, force, &user.iter().collect::<Vec<_>>()) {
            Ok(Removal::Untag(name)) => format!("untag {}", name.familiar()),
            Ok(Removal::UntagAll) => "untag all".to_owned(),
            Ok(Removal::Delete) => "delete".to_owned(),
            Err(error) => error.to_string().replace("conflict: unable to ", ""),
        }
    }

    #[test]
    fn one_of_several_names_goes_and_the_last_takes_the_image_along() {
        assert_eq!(decided(&["web:1", "web:2"], &[], "web:1", false, None), "untag web:1");
        assert_eq!(decided(&["web:1"], &[], "web:1", false, None), "delete");
        assert_eq!(decided(&["web:1"], &["web@sha256:d"], "web:1", false, None), "delete");
        assert_eq!(decided(&["web:1"], &["local.test/web@sha256:d"], "web:1", false, None), "untag web:1");
        assert_eq!(decided(&["web:1"], &[], "id", false, None), "delete");
    }

    #[test]
    fn an_id_of_several_names_must_be_forced() {
        let expected = "delete aaaaaaaaaaaa (must be forced) - image is referenced in multiple repositories";
        assert_eq!(decided(&["web:1", "db:1"], &[], "id", false, None), expected);
        assert_eq!(decided(&["web:1", "web:2"], &[], "id", false, None), expected);
        assert_eq!(decided(&["web:1", "db:1"], &[], "id", true, None), "delete");
    }

    #[test]
    fn what_a_container_has_is_never_deleted() {
        let by_name = "remove repository reference \"web\" (must force) - container cccccccccccc is using its referenced \
                       image aaaaaaaaaaaa";
        assert_eq!(decided(&["web:latest"], &[], "web", false, Some(false)), by_name);
        assert_eq!(decided(&["web:latest"], &[], "web", true, Some(true)), "untag web:latest");
        assert_eq!(decided(&["web:latest", "db:1"], &[], "web", false, Some(true)), "untag web:latest");
        let stopped = "delete aaaaaaaaaaaa (must be forced) - image is being used by stopped container cccccccccccc";
        assert_eq!(decided(&["web:latest"], &[], "id", false, Some(false)), stopped);
        assert_eq!(decided(&["web:latest"], &[], "id", true, Some(false)), "untag all");
        let running = "delete aaaaaaaaaaaa (cannot be forced) - image is being used by running container cccccccccccc";
        assert_eq!(decided(&["web:latest"], &[], "id", true, Some(true)), running);
    }
}
