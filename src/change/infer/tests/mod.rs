//! Dockerfiles, and what is told of them as text.

mod dockerfiles;
mod running;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{BuildFiles, Inferred, infer};
use crate::project::{Build, BuildContext, Mount, MountSource, Service, WatchAction};

/// A service whose context is `/p/web`, and what is known of it.
struct Case {
    service: Service,
    build: Build,
    files: BuildFiles,
}

fn case(dockerfile: &str, names: &[&str]) -> Case {
    let build = Build {
        context: BuildContext::Local(PathBuf::from("/p/web")),
        dockerfile: "Dockerfile".to_owned(),
        ..Build::default()
    };
    let folders = ["src", "public", "config", "web", "prisma", "app"].map(str::to_owned).into();
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let files = BuildFiles { dockerfile: dockerfile.to_owned(), names, folders, ..BuildFiles::default() };
    Case { service: Service { name: "web".to_owned(), ..Service::default() }, build, files }
}

impl Case {
    fn script(mut self, name: &str, text: &str) -> Self {
        self.files.scripts.insert(name.to_owned(), text.to_owned());
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.service.environment.insert(name.to_owned(), Some(value.to_owned()));
        self
    }

    fn command(mut self, words: &[&str]) -> Self {
        self.service.command = Some(words.iter().map(|word| (*word).to_owned()).collect());
        self
    }

    fn mount(mut self, target: &str, source: MountSource) -> Self {
        self.service.mounts.push(Mount { target: target.to_owned(), read_only: false, source });
        self
    }

    fn inferred(&self) -> Inferred {
        infer(&self.service, &self.build, Some(&self.files))
    }

    /// What becomes of the sources, a word for each rule that is about more than what is installed; paths relative to the
    /// context.
    fn told(&self) -> String {
        let mut told = Vec::new();
        for reasoned in self.inferred().rules.iter().filter(|reasoned| reasoned.why != "says what is installed") {
            let rule = &reasoned.rule;
            let path = rule.path.strip_prefix("/p/web").expect("below the context").display().to_string();
            let mut text = match &rule.action {
                WatchAction::Rebuild => "rebuild".to_owned(),
                WatchAction::Sync { target } => format!("sync {path}→{target}"),
                WatchAction::SyncRestart { target } => format!("restart {path}→{target}"),
                other => format!("{other:?}"),
            };
            if !rule.include.is_empty() {
                let _ = write!(text, " [{}]", rule.include.join(" "));
            }
            told.push(text);
        }
        told.join(", ")
    }

    /// The reason of the first rule.
    fn why(&self) -> String {
        self.inferred().rules.first().map(|reasoned| reasoned.why.clone()).unwrap_or_default()
    }
}

fn bind() -> MountSource {
    let path = PathBuf::from("/p/web/src");
    MountSource::Bind { path, create_host_path: false, propagation: None, selinux: None, recursion: None }
}

#[test]
fn sources_that_are_copied_last_are_synced_to_where_they_are_copied() {
    for (dockerfile, names, told) in [
        ("FROM node\nWORKDIR /app\nCOPY . .\nCMD [\"node\", \"a.js\"]", "package.json", "restart →/app"),
        ("FROM node\nCOPY --chown=1000 . /app/\nWORKDIR /app\nCMD node a.js", "", "restart →/app"),
        (
            "FROM node\nWORKDIR /app\nCOPY package*.json ./\nRUN npm ci\nCOPY . .\nUSER node\nEXPOSE 80\nCMD npm start",
            "package.json",
            "restart →/app, rebuild [package*.json]",
        ),
        (
            "FROM python:3.13\nWORKDIR /srv\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\nCOPY src src\n\
             COPY main.py .\nENTRYPOINT [\"python\", \"main.py\"]",
            "requirements.txt",
            "restart src→/srv/src, restart main.py→/srv/main.py, rebuild [requirements.txt]",
        ),
        (
            "FROM node AS deps\nWORKDIR /d\nCOPY package.json .\nRUN npm i\nFROM node\nWORKDIR app\nWORKDIR /app\n\
             COPY --from=deps /d/node_modules node_modules\nCOPY src ./src\nHEALTHCHECK CMD true\nCMD node src/a.js",
            "package.json",
            "restart src→/app/src, rebuild [package.json]",
        ),
        (
            "FROM ruby:3\nWORKDIR /a\nADD Gemfile /a/\nRUN bundle\nADD . /a\nCMD bundle exec puma",
            "Gemfile",
            "restart →/a, rebuild [Gemfile]",
        ),
        ("FROM php:8-apache\nCOPY src/ /var/www/html/", "composer.json", "sync src→/var/www/html"),
        ("FROM php:8-cli\nCOPY . /a\nCMD [\"php\", \"/a/worker.php\"]", "composer.json", "restart →/a"),
        ("FROM node AS base\nWORKDIR /b\nCOPY . .\nFROM base AS dev\nCMD node a.js\nFROM base\nRUN x", "", "rebuild"),
        ("FROM node\nARG dir=/x\nENV sub=$dir/y\nCOPY src ${sub}/z\nCMD node a.js", "", "restart src→/x/y/z"),
        ("FROM python\nWORKDIR /a\nCOPY *.py ./\nCMD python a.py", "", "restart →/a [*.py]"),
        (
            "FROM node\nRUN --mount=type=bind,source=package.json,target=/p npm ci\nCOPY src /s\nCMD node a",
            "",
            "restart src→/s, rebuild [package.json]",
        ),
        ("# escape=`\nFROM node\nCOPY src `\n  /s\nCMD node a", "", "restart src→/s"),
        // An entrypoint lets go of the command of the stage below.
        (
            "FROM node AS base\nCMD [\"--watch\", \"a.js\"]\nFROM base\nCOPY src /s\nENTRYPOINT [\"node\"]",
            "",
            "restart src→/s",
        ),
        ("ARG I=hoist-test/node:latest\nFROM ${I}\nCOPY . /s", "", "restart →/s"),
        (
            "FROM node\nCOPY --from=tools /bin/x /x\nCOPY src /s\nCOPY <<E /etc/x\nhi\nE\nCMD node a",
            "",
            "restart src→/s",
        ),
    ] {
        assert_eq!(case(dockerfile, &[names]).told(), told, "{dockerfile}");
    }
}

#[test]
fn whatever_is_not_sure_rebuilds_and_says_why() {
    let node = "FROM node\nWORKDIR /app\nCOPY . .\n";
    for (dockerfile, names, why) in [
        ("FROM golang\nCOPY . /a\nCMD /a/x", "go.mod", "Go is compiled"),
        ("FROM x\nCOPY . /a\nCMD dotnet a.dll", "web.csproj", ".NET is compiled"),
        ("FROM nginx\nCOPY . /usr/share/nginx/html", "package.json", "the language of what runs is not known"),
        (
            "FROM python\nCOPY . /a\nCMD python a.py",
            "package.json",
            "the Dockerfile runs Python, beside `package.json`",
        ),
        (
            &format!("{node}RUN npm run build\nCMD node a.js"),
            "",
            "Node, but the Dockerfile runs something after it copies the sources (line 4 after line 3)",
        ),
        (
            "FROM node AS b\nCOPY . /b\nRUN x\nFROM node\nCOPY --from=b /b/dist /a\nCMD node /a/a.js",
            "",
            "Node, but the image gets what was made from the sources (line 2)",
        ),
        ("FROM node\nCMD node a.js", "", "Node, but the Dockerfile copies no sources"),
        (
            "FROM node\nCOPY . .\nCMD node a.js",
            "",
            "the Dockerfile copies to `.` in a folder of its base image (line 2)",
        ),
        (
            "FROM node\nCOPY . $HOME\nCMD node a.js",
            "",
            "the Dockerfile has a variable that only the build knows (line 2)",
        ),
        (
            "FROM node\nARG d\nCOPY . $d\nCMD node a.js",
            "",
            "the Dockerfile has a variable that only the build knows (line 3)",
        ),
        ("FROM node\nONBUILD COPY . /a\nCOPY . /a\nCMD node a.js", "", "the Dockerfile has an ONBUILD (line 2)"),
        ("CPY a b", "", "the Dockerfile cannot be read: line 1: unknown instruction: CPY; did you mean `COPY`?"),
        (
            "FROM node\nCOPY --chmod=755 . /a\nCMD node a.js",
            "",
            "Node, but the image gets what was made from the sources (line 2)",
        ),
        (
            "FROM node\nRUN --mount=target=. npm run build\nCOPY . /a\nCMD node a",
            "",
            "Node, but the Dockerfile builds with the sources (line 2)",
        ),
    ] {
        let case = case(dockerfile, &[names]);
        assert_eq!((case.told().as_str(), case.why().as_str()), ("rebuild", why), "{dockerfile}");
    }
    let mut read_only = case(&format!("{node}CMD node a.js"), &[]);
    read_only.service.read_only = true;
    assert_eq!(read_only.why(), "its files cannot be written (`read_only`)");
    let unread = case(node, &[]);
    assert_eq!(infer(&unread.service, &unread.build, None).rules[0].why, "its Dockerfile cannot be read");
}

#[test]
fn what_a_mount_lies_over_is_not_synced() {
    let dockerfile = "FROM node\nWORKDIR /app\nCOPY src src\nCOPY public public\nCMD node a.js";
    let bound = case(dockerfile, &[]).mount("/app/src", bind());
    assert_eq!(bound.told(), "restart public→/app/public");
    assert_eq!(bound.inferred().notes, ["a bind mount lies over `/app/src`: nothing is copied to `/app/src`"]);
    let alone = case("FROM node\nCOPY src /app/src\nCMD node a.js", &[]).mount("/app", bind());
    assert_eq!(alone.told(), "", "the container sees every save");
    let volume = MountSource::Volume { key: "data".to_owned(), nocopy: false, subpath: None };
    let volume = case(dockerfile, &[]).mount("/app/public", volume);
    assert_eq!(volume.told(), "restart src→/app/src, rebuild [public]");
    let inside = case("FROM node\nCOPY . /app\nCMD node a", &[]).mount("/app/src", bind());
    assert!(inside.inferred().rules[0].rule.ignore.contains(&"src".to_owned()));
}

#[test]
fn what_is_copied_over_by_another_line_is_left_to_that_line() {
    let dockerfile =
        "FROM node\nWORKDIR /app\nCOPY . .\nCOPY config/ ./settings\nCOPY --from=x /dist ./dist\nCMD node a";
    let inferred = case(dockerfile, &["package.json"]).inferred();
    let ignore = &inferred.rules[0].rule.ignore;
    for pattern in ["settings", "dist", "package.json", "yarn.lock", "Dockerfile*", ".dockerignore", "**/node_modules"]
    {
        assert!(ignore.contains(&pattern.to_owned()), "{pattern}: {ignore:?}");
    }
    let rebuild = inferred.rules.last().expect("there are rules");
    assert_eq!(rebuild.files, [PathBuf::from("/p/web/package.json")]);
    assert!(rebuild.rule.include.contains(&"package-lock.json".to_owned()), "it may come to be");
}

#[test]
fn files_that_the_containers_user_could_not_read_rebuild() {
    let with = |dockerfile: &str, private: &[(&str, u32)]| {
        let mut case = case(dockerfile, &[]);
        case.files.private = private.iter().map(|(path, owner)| ((*path).to_owned(), *owner)).collect();
        case
    };
    let dockerfile = "FROM node\nCOPY --chown=1000 . /app\nUSER 1000\nCMD node a.js";
    assert_eq!(with(dockerfile, &[(".env", 0)]).told(), "restart →/app, rebuild [.env]");
    assert_eq!(with(dockerfile, &[(".env", 1000)]).told(), "restart →/app");
    assert_eq!(with("FROM node\nCOPY . /app\nCMD node a.js", &[(".env", 500)]).told(), "restart →/app");
    let many: BTreeMap<String, u32> = (0..20).map(|number| (format!("{number}.js"), 0)).collect();
    let mut closed = with(dockerfile, &[]);
    closed.files.private = many;
    assert_eq!(closed.told(), "rebuild");
}

#[test]
fn a_further_folder_of_the_build_rebuilds() {
    let mut case = case("FROM node\nCOPY --from=shared . /s\nCOPY . /app\nCMD node a.js", &[]);
    let contexts = [("shared", "/p/shared"), ("image", "docker-image://a:1"), ("other", "service:base")];
    case.build.additional_contexts = contexts.map(|(name, source)| (name.to_owned(), source.to_owned())).into();
    let rules = case.inferred().rules;
    let last = rules.last().expect("there are rules");
    assert_eq!((last.rule.path.as_path(), &last.rule.action), (Path::new("/p/shared"), &WatchAction::Rebuild));
    let shared = rules.iter().filter(|reasoned| !reasoned.rule.path.starts_with("/p/web")).count();
    assert_eq!(shared, 1, "images are no folders");
}

#[test]
fn folders_of_what_is_installed_are_not_looked_into_for_files_that_rebuild() {
    let rules = case("FROM node\nWORKDIR /app\nCOPY package.json .\nRUN npm i\nCOPY src src\nCMD node a", &[]);
    for reasoned in rules.inferred().rules.iter().filter(|it| it.rule.action == WatchAction::Rebuild) {
        assert!(reasoned.rule.ignore.contains(&"**/node_modules".to_owned()), "{reasoned:?}");
    }
    let vendored = case("FROM php:8\nCOPY vendor /v\nRUN php a\nCOPY src /s\nCMD php -S 0:80", &["composer.json"]);
    let rules = vendored.inferred().rules;
    let meant = rules.iter().find(|it| it.rule.include.contains(&"vendor".to_owned())).expect("it is built from");
    assert!(meant.rule.ignore.is_empty(), "{meant:?}");
}
