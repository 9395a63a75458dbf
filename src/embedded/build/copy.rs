//! Pure: `COPY` and `ADD` against a context → what is copied, and a digest of it.

use sha2::{Digest as _, Sha256};

use super::context::{Context, Entry, Kind};
use super::document::absolute;
use super::ignore::Ignore;
use super::work::{Copying, Item, ItemKind, Piece};
use crate::dockerfile::Heredoc;
use crate::dockerfile::instruction::Copy;
use crate::dockerfile::pattern::{Flavour, Pattern, is_pattern};
use crate::dockerfile::problem::suggestion;
use crate::embedded::id::hexadecimal;

/// Where a `COPY` in a stage with this working directory writes to, and with whose permissions; nothing to copy yet.
pub(super) fn copying(copy: &Copy, folder: &str) -> Result<Copying, String> {
    let word = if copy.add { "ADD" } else { "COPY" };
    let destination = &copy.destination;
    let several = copy.sources.len() + copy.heredocs.len() > 1;
    let last = destination.rsplit('/').next().unwrap_or_default();
    let into = matches!(last, "" | "." | "..");
    if destination.is_empty() {
        return Err(format!("{word}: the destination is empty"));
    }
    for address in copy.sources.iter().filter(|source| copy.add && is_address(source)) {
        if !address.starts_with("http") {
            return Err(format!("ADD: `{address}` is not fetched by this engine: use RUN git clone"));
        }
        if into && name_of(address).is_empty() {
            return Err(format!("ADD: `{address}` names no file; name it in the destination: `{destination}name`"));
        }
    }
    if several && !into {
        return Err(format!(
            "{word}: with more than one source the destination is a folder and ends with /: `{destination}/`"
        ));
    }
    let mode = copy.chmod.as_deref().map(|mode| {
        let number = u32::from_str_radix(mode, 8).ok().filter(|number| *number <= 0o7777);
        number.ok_or_else(|| format!("{word} --chmod={mode}: it takes an octal number, as 755 or 0644"))
    });
    Ok(Copying {
        destination: absolute(folder, destination),
        into: into || several || copy.parents,
        owner: copy.chown.clone().filter(|owner| !owner.is_empty()),
        mode: mode.transpose()?,
        unpack: copy.add,
        exclude: copy.exclude.clone(),
        pieces: Vec::new(),
    })
}

/// Whether a source of `ADD` is somewhere else.
pub(super) fn is_address(source: &str) -> bool {
    ["http://", "https://", "git://", "git@"].iter().any(|beginning| source.starts_with(beginning))
}

/// What a file from the web is called.
pub(super) fn name_of(address: &str) -> &str {
    let path = address.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    path.split_once('/').map_or("", |(_, path)| path.rsplit('/').next().unwrap_or_default())
}

/// What a `COPY` takes from the context, and from the Dockerfile itself.
pub(super) fn pieces(context: &Context, copy: &Copy) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    for source in copy.sources.iter().filter(|source| !(copy.add && is_address(source))) {
        for path in sources(context, source)? {
            pieces.push(piece(context, &path, copy)?);
        }
    }
    pieces.extend(heredocs(copy));
    Ok(pieces)
}

/// What a `COPY` takes from the Dockerfile itself.
pub(super) fn heredocs(copy: &Copy) -> Vec<Piece> {
    let piece = |heredoc: &Heredoc| {
        let kind = ItemKind::Text(heredoc.text.clone());
        let items = vec![Item { path: String::new(), kind, mode: 0o644, mtime: 0 }];
        Piece::Listed { name: heredoc.name.clone(), items }
    };
    copy.heredocs.iter().map(piece).collect()
}

/// A folder or file of the context as a piece of its own.
pub(super) fn part(context: &Context, path: &str) -> Result<Piece, String> {
    let copy = Copy { sources: vec![path.to_owned()], ..Copy::default() };
    let paths = sources(context, path)?;
    piece(context, paths.first().map_or("", String::as_str), &copy)
}

/// The paths that a source means. Its pattern has to fit something.
fn sources(context: &Context, source: &str) -> Result<Vec<String>, String> {
    // `.` in the middle is where the kept parents begin; it says nothing else.
    let path = absolute("/", source).trim_start_matches('/').to_owned();
    if is_pattern(&path) && context.entry(&path).is_none() {
        let pattern = Pattern::new(&path, Flavour::Path)?;
        let found: Vec<String> = context.paths().filter(|path| pattern.matches(path)).map(str::to_owned).collect();
        if !found.is_empty() {
            return Ok(found);
        }
    } else if context.resolve(&path).is_some() {
        return Ok(vec![path]);
    }
    let suggestion = suggestion(&path, context.paths());
    Err(format!("`{source}` is not in the build context, or .dockerignore leaves it out{suggestion}"))
}

fn piece(context: &Context, path: &str, copy: &Copy) -> Result<Piece, String> {
    let exclude = Ignore::of(copy.exclude.iter().map(String::as_str))?;
    let real =
        context.resolve(path).ok_or_else(|| format!("the link `{path}` leads to nothing in the build context"))?;
    let entry = context.entry(&real).unwrap_or(Entry { kind: Kind::Folder, mode: 0o755, mtime: 0 });
    let mut items = Vec::new();
    let is_folder = entry.kind == Kind::Folder;
    items.push(item(String::new(), &entry));
    if is_folder {
        let skip = if real.is_empty() { 0 } else { real.len() + 1 };
        for (below, entry) in context.below(&real) {
            if !exclude.excludes(&below[skip..]) && !exclude.excludes(below) {
                items.push(item(below[skip..].to_owned(), entry));
            }
        }
    }
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    if !copy.parents || path.is_empty() {
        return Ok(Piece::Listed { name, items });
    }
    // With the folders above it: as part of a folder that holds nothing else.
    for item in &mut items {
        item.path = if item.path.is_empty() { path.to_owned() } else { format!("{path}/{}", item.path) };
    }
    let mut whole = vec![item(String::new(), &Entry { kind: Kind::Folder, mode: 0o755, mtime: 0 })];
    for (at, _) in path.match_indices('/') {
        let above = context.entry(&path[..at]).unwrap_or(Entry { kind: Kind::Folder, mode: 0o755, mtime: 0 });
        whole.push(item(path[..at].to_owned(), &Entry { kind: Kind::Folder, ..above }));
    }
    whole.append(&mut items);
    Ok(Piece::Listed { name, items: whole })
}

fn item(path: String, entry: &Entry) -> Item {
    let kind = match &entry.kind {
        Kind::Folder => ItemKind::Folder,
        Kind::File { offset, size, digest } => {
            ItemKind::File { offset: *offset, size: *size, digest: hexadecimal(digest) }
        }
        Kind::Link(target) => ItemKind::Link(target.clone()),
    };
    Item { path, kind, mode: entry.mode, mtime: entry.mtime }
}

/// A digest of what is copied: names, permissions and contents, no times.
pub(super) fn digest(pieces: &[Piece]) -> String {
    let mut hash = Sha256::new();
    // Every text is preceded by its length, so that no two lists read the same.
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    for piece in pieces {
        match piece {
            Piece::Tree { path, parents, .. } => add(&format!("tree {parents} {path}")),
            Piece::Listed { name, items } => {
                add(&format!("listed {} {name}", items.len()));
                for item in items {
                    add(&item.path);
                    match &item.kind {
                        ItemKind::Folder => add(&format!("folder {:o}", item.mode)),
                        ItemKind::File { digest, .. } => add(&format!("file {:o} {digest}", item.mode)),
                        ItemKind::Fetched { digest, .. } => add(&format!("fetched {} {digest}", item.mtime)),
                        ItemKind::Text(text) => add(&format!("text {:o} {text}", item.mode)),
                        ItemKind::Link(target) => add(&format!("link {target}")),
                    }
                }
            }
        }
    }
    hexadecimal(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::super::context::tests::{context, tar};
    use super::super::work::Piece;
    use super::{copying, digest, pieces};
    use crate::dockerfile::instruction::Copy;

    fn copy(sources: &[&str], destination: &str) -> Copy {
        let sources = sources.iter().map(|source| (*source).to_owned()).collect();
        Copy { sources, destination: destination.into(), ..Copy::default() }
    }

    /// What is copied, one line a piece.
    fn told(entries: &[(&str, &str)], copy: &Copy) -> Result<Vec<String>, String> {
        let (_folder, context) = context(&tar(entries))?;
        let told = |piece: &Piece| match piece {
            Piece::Listed { name, items } => {
                let items: Vec<&str> = items.iter().map(|item| item.path.as_str()).collect();
                format!("{name}: {}", items.join(" "))
            }
            Piece::Tree { path, .. } => path.clone(),
        };
        Ok(pieces(&context, copy)?.iter().map(told).collect())
    }

    const FILES: [(&str, &str); 5] = [
        ("package.json", "{}"),
        ("package-lock.json", "{}"),
        ("src/a.js", "1"),
        ("src/b/c.js", "2"),
        ("link", "-> src/b"),
    ];

    #[test]
    fn patterns_folders_and_links_are_found() {
        for (source, expected) in [
            ("package*.json", Ok(vec!["package-lock.json: ", "package.json: "])),
            ("./src/", Ok(vec!["src:  a.js b/c.js"])),
            ("/link", Ok(vec!["link:  c.js"])),
            ("../../src/a.js", Ok(vec!["a.js: "])),
            (
                "packag.json",
                Err("`packag.json` is not in the build context, or .dockerignore leaves it out; did you mean \
                     `package.json`?"),
            ),
            ("*.ts", Err("`*.ts` is not in the build context, or .dockerignore leaves it out")),
        ] {
            let told = told(&FILES, &copy(&[source], "/x/"));
            let expected = expected.map_err(str::to_owned).map(|lines| lines.into_iter().map(str::to_owned).collect());
            assert_eq!(told, expected, "{source}");
        }
    }

    #[test]
    fn what_is_excluded_is_left_out_and_parents_are_kept() {
        let exclude = Copy { exclude: vec!["**/*.js".into(), "link".into()], ..copy(&["."], "/x") };
        assert_eq!(told(&FILES, &exclude), Ok(vec![":  package-lock.json package.json".into()]));
        let parents = Copy { parents: true, ..copy(&["src/b/c.js"], "/x/") };
        assert_eq!(told(&FILES, &parents), Ok(vec!["c.js:  src src/b src/b/c.js".into()]));
    }

    #[test]
    fn the_digest_is_of_names_permissions_and_contents() {
        let of = |text: &str| {
            let (_folder, context) = context(&tar(&[("a", text)])).expect("it is one");
            digest(&pieces(&context, &copy(&["a"], "/x")).expect("it is there"))
        };
        assert_eq!(of("1"), of("1"));
        assert_ne!(of("1"), of("2"));
    }

    #[test]
    fn destinations_are_read_as_docker_does() {
        for (destination, absolute, into) in
            [("b", "/w/b", false), ("b/", "/w/b", true), (".", "/w", true), ("/x/..", "/", true), ("/", "/", true)]
        {
            let copying = copying(&copy(&["a"], destination), "/w").expect("it is fine");
            assert_eq!((copying.destination.as_str(), copying.into), (absolute, into), "{destination}");
        }
        assert!(copying(&copy(&["a", "b"], "c"), "/").is_err());
        assert!(copying(&Copy { chmod: Some("u+x".into()), ..copy(&["a"], "c") }, "/").is_err());
    }
}
