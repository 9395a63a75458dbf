//! What runs in the container: which language it is, and whether it loads saved files by itself.

use super::case;

/// Checks for each command whether what it runs loads saved files by itself; by the scripts of `package.json` that a
/// project of the kind would have.
fn check(base: &str, reloads: bool, commands: &[&str]) {
    let scripts = [
        ("dev", "cross-env A=b next dev"),
        ("start", "node a.js"),
        ("w", "npm run dev"),
        ("test", "nodemon a.js"),
        ("nest", "nest start"),
    ];
    let expected = if reloads { "sync src→/s" } else { "restart src→/s" };
    for command in commands {
        let case = case(&format!("FROM {base}\nCOPY src /s\nCMD {command}"), &[]);
        let case = scripts.iter().fold(case, |case, (name, text)| case.script(name, text));
        assert_eq!(case.told(), expected, "{command}");
    }
}

#[test]
fn what_loads_saved_files_by_itself_is_not_restarted() {
    let node = [
        "nodemon a.js",
        "npx tsx watch a.ts",
        "yarn vite --host",
        "npm run migrate && exec nuxt dev",
        "[\"tini\", \"--\", \"astro\", \"dev\"]",
        "webpack serve",
        "react-scripts start",
        "nest start --watch",
        "nest start -w",
        "[\"sh\", \"-e\", \"-c\", \"nodemon a.js\"]",
        "gosu node nodemon a.js",
        "/opt/a=b/nodemon a.js",
    ];
    check("node", true, &node);
    check("node", false, &["vite build", "next start", "nodemon a & node b", "tsx a.ts", "webpack build", "ng build"]);
    check("node", false, &["react-scripts build", "nest start", "nest build --watch"]);
    let python = [
        "uvicorn a:b --reload",
        "poetry run uvicorn a:b --reload",
        "flask --debug run",
        "FLASK_DEBUG=1 flask run",
        "watchmedo auto-restart -- python a.py",
    ];
    check("python:3", true, &python);
    let python = [
        "uvicorn a:b",
        "gunicorn --reload a:b",
        "flask run",
        "flask --debug shell",
        "flask --debug run --no-reload",
        "watchmedo shell-command --command=x",
    ];
    check("python:3", false, &python);
    check("ruby", true, &["bin/rails server", "bundle exec rails s", "ruby bin/rails s"]);
    let ruby = [
        "RAILS_ENV=production bundle exec rails s",
        "rails s -e production",
        "rails s --environment=production",
        "ruby a.rb",
    ];
    check("ruby", false, &ruby);
    check("php:8", true, &["php -S 0:80 -t /s", "php artisan serve"]);
    check("php:8", false, &["php artisan queue:work"]);
}

#[test]
fn an_interpreters_own_flags_stand_before_its_program() {
    let node = [
        "[\"node\", \"--enable-source-maps\", \"--watch\", \"a.js\"]",
        "node -r dotenv/config --watch a.js",
        "node --watch-path=./src a.js",
        "bun run --hot a.js",
        "deno run --watch a.ts",
    ];
    check("node", true, &node);
    check("node", false, &["node a.js --watch", "node -r dotenv/config a.js"]);
    let python = [
        "python -u manage.py runserver 0:80",
        "python -W ignore manage.py runserver",
        "python -X dev -m flask --debug run",
        "python -m uvicorn a:b --reload",
    ];
    check("python:3", true, &python);
    let python = [
        "python manage.py runserver --noreload",
        "python a.py --reload",
        // A program's text, not its name.
        "[\"python\", \"-c\", \"watchfiles\"]",
    ];
    check("python:3", false, &python);
}

#[test]
fn a_package_manager_runs_its_scripts_by_its_own_rules() {
    check("node", true, &["npm run dev", "npm run w", "yarn dev", "pnpm run dev -- --port 80", "yarn nodemon a.js"]);
    // What follows `--` is the script's.
    check("node", true, &["npm run nest -- --watch"]);
    // Without `run` npm knows four scripts only, and no installed program.
    check("node", true, &["npm test"]);
    check("node", false, &["npm dev", "npm start", "npm run nothing", "npm nodemon a.js", "npm run nodemon a.js"]);
    // Asked for nothing, or not to run something, a launcher starts nothing.
    check("python:3", false, &["uv", "uv tool uvicorn a:b --reload"]);
    check("ruby", false, &["bundle"]);
}

#[test]
fn the_language_is_told_by_what_runs() {
    let node = "node nodejs npm npx yarn pnpm bun tsx nodemon ts-node ts-node-dev tsnd next nuxt nuxi vite astro webpack \
                nest ng react-scripts pm2";
    let python = "python python3 python3.13 uvicorn gunicorn hypercorn flask fastapi celery poetry pipenv uv manage.py \
                  django-admin daphne watchmedo watchfiles streamlit";
    let ruby = "ruby bundle rails rake puma rackup sidekiq rerun unicorn";
    let programs = [("Node", node), ("Python", python), ("Ruby", ruby), ("PHP", "php php-fpm composer")];
    for (language, programs) in programs {
        for program in programs.split_whitespace() {
            let why = case(&format!("FROM acme/base\nCOPY src /s\nCMD [\"{program}\"]"), &[]).why();
            assert!(why.starts_with(&format!("{language}: ")), "{program}: {why}");
        }
    }
    for program in ["/srv/server", "pythonic"] {
        let why = case(&format!("FROM acme/base\nCOPY src /s\nCMD [\"{program}\"]"), &[]).why();
        assert_eq!(why, "the language of what runs is not known", "{program}");
    }
}

#[test]
fn the_language_is_told_by_the_base_image_when_what_runs_says_nothing() {
    for (base, language) in [
        ("node", "Node"),
        ("oven/bun:1", "Node"),
        ("docker.io/library/python:3.13-slim@sha256:abc", "Python"),
        ("localhost:5000/pypy", "Python"),
        ("ruby:3.4", "Ruby"),
        ("acme/rails", "Ruby"),
        ("php:8-cli", "PHP"),
    ] {
        let why = case(&format!("FROM {base}\nCOPY src /s\nCMD [\"/srv/server\"]"), &[]).why();
        assert_eq!(why, format!("{language}: by its image; the Dockerfile copies its sources last (line 2)"), "{base}");
    }
}

#[test]
fn a_file_of_another_language_counts_only_when_none_of_the_own_is_there() {
    let case = |names: &[&str]| case("FROM python\nCOPY src /s\nCMD python a.py", names);
    let told = |file: &str| format!("Python: {file}; the Dockerfile copies its sources last (line 2)");
    assert_eq!(case(&["package.json", "requirements-dev.txt"]).why(), told("requirements-dev.txt"));
    assert_eq!(case(&["notes.txt", "requirements.md"]).why(), told("by its image"));
    assert_eq!(case(&["composer.json"]).why(), "the Dockerfile runs Python, beside `composer.json`");
}

#[test]
fn a_server_of_the_php_image_reads_scripts_anew_unless_something_else_runs() {
    for (dockerfile, told, why) in [
        (
            "FROM php:8-apache\nCOPY src /s",
            "sync src→/s",
            "PHP: by its image; the Dockerfile copies its sources last (line 2), `apache` loads them",
        ),
        (
            "FROM docker.io/library/php:8.4-fpm-alpine\nCOPY src /s",
            "sync src→/s",
            "PHP: by its image; the Dockerfile copies its sources last (line 2), `fpm` loads them",
        ),
        (
            "FROM php:8-cli\nCOPY src /s",
            "restart src→/s",
            "PHP: by its image; the Dockerfile copies its sources last (line 2)",
        ),
        (
            "FROM php:8-apache\nCOPY src /s\nCMD [\"php\", \"/s/worker.php\"]",
            "restart src→/s",
            "PHP: by its image; the Dockerfile copies its sources last (line 2)",
        ),
    ] {
        let case = case(dockerfile, &[]);
        assert_eq!((case.told().as_str(), case.why().as_str()), (told, why), "{dockerfile}");
    }
}

#[test]
fn the_manifest_has_the_last_word_on_what_runs() {
    let dockerfile = "FROM node\nCOPY src /s\nCMD node a.js";
    assert_eq!(case(dockerfile, &[]).command(&["nodemon", "a.js"]).told(), "sync src→/s");
    let rails = "FROM ruby\nENV RAILS_ENV=production\nCOPY src /s\nCMD rails s";
    assert_eq!(case(rails, &[]).told(), "restart src→/s");
    assert_eq!(case(rails, &[]).variable("RAILS_ENV", "development").told(), "sync src→/s");
    let mut target = case("FROM node AS dev\nCOPY src /s\nCMD nodemon a\nFROM dev\nRUN x", &[]);
    assert_eq!(target.told(), "rebuild");
    target.build.target = Some("dev".to_owned());
    assert_eq!(target.told(), "sync src→/s");
    let mut argument = case("FROM node\nARG d=/x\nCOPY src $d\nCMD node a", &[]);
    argument.build.args.insert("d".to_owned(), Some("/y".to_owned()));
    assert_eq!(argument.told(), "restart src→/y");
}

#[test]
fn an_entrypoint_is_followed_with_the_command_of_its_own_stage() {
    for (dockerfile, told) in [
        ("FROM node\nCOPY src /s\nENTRYPOINT [\"nodemon\", \"a.js\"]", "sync src→/s"),
        ("FROM node\nCOPY src /s\nCMD [\"--watch\", \"a.js\"]\nENTRYPOINT [\"node\"]", "sync src→/s"),
        ("FROM node\nCOPY src /s\nENTRYPOINT [\"node\"]\nCMD [\"--watch\", \"a.js\"]", "sync src→/s"),
    ] {
        assert_eq!(case(dockerfile, &[]).told(), told, "{dockerfile}");
    }
}
