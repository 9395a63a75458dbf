use super::Patterns;

fn patterns(list: &[&str]) -> Patterns {
    Patterns::new(list).expect("the patterns are well-formed")
}

/// Patterns, a path, whether it is left out.
type Case = (&'static [&'static str], &'static str, bool);

#[test]
fn every_documented_rule_of_dockerignore_holds() {
    let cases: &[Case] = &[
        // Anchored at the root.
        (&["foo"], "foo", true),
        (&["foo"], "sub/foo", false),
        (&["foo"], "foobar", false),
        (&["*.md"], "README.md", true),
        (&["*.md"], "docs/README.md", false),
        (&["*/temp*"], "somedir/temporary.txt", true),
        (&["*/temp*"], "temporary.txt", false),
        (&["*/*/temp*"], "somedir/subdir/temporary.txt", true),
        (&["temp?"], "tempa", true),
        (&["temp?"], "temp", false),
        (&["temp?"], "temp/", false),
        // A folder takes all below it along.
        (&["foo"], "foo/a/b", true),
        (&["*/b"], "a/b/c/d", true),
        (&["a/b"], "a", false),
        // Two stars.
        (&["**"], "a", true),
        (&["**"], "a/b/c", true),
        (&["**/*.go"], "main.go", true),
        (&["**/*.go"], "a/b/main.go", true),
        (&["**/foo"], "foo", true),
        (&["**/foo"], "a/b/foo", true),
        (&["**/foo"], "a/foo/b", true),
        (&["**/foo"], "a/xfoo", false),
        (&["**/foo/bar"], "a/foo/bar/b", true),
        (&["**/foo/bar"], "a/foo/b", false),
        (&["**foo"], "a/xfoo", true),
        (&["**foo"], "a/xfoob", false),
        (&["foo/**"], "foo", false),
        (&["foo/**"], "foo/a/b", true),
        (&["foo**"], "foobar/a", true),
        (&["a/**/b"], "a/b", true),
        (&["a/**/b"], "a/x/y/b", true),
        (&["a/**/b"], "a/xb", false),
        (&["**/a/**"], "x/a/b", true),
        (&["**/a/**"], "x/a", false),
        (&["**/**/*.txt"], "a.txt", true),
        (&["a/**/*.txt"], "a/b/c.txt", true),
        // `!` and the last match.
        (&["*.md", "!README.md"], "README.md", false),
        (&["*.md", "!README.md"], "CHANGES.md", true),
        (&["*.md", "!README*.md", "README-secret.md"], "README-secret.md", true),
        (&["*.md", "README-secret.md", "!README*.md"], "README-secret.md", false),
        (&["*", "!src"], "src/a/b", false),
        (&["*", "!src"], "lib/a", true),
        (&["docs", "!docs/README.md"], "docs/README.md", false),
        (&["docs", "!docs/README.md"], "docs/other", true),
        (&["!foo", "foo"], "foo", true),
        (&["**", "!**/*.rs"], "a/b.rs", false),
        (&["**", "!**/*.rs"], "a/b.c", true),
        (&["a", "!a/b", "a/b/c"], "a/b/c/d", true),
        (&["a", "!a/b", "a/b/c"], "a/b/d", false),
        (&["*/a", "!b"], "b/a/c", true),
        (&["*", "?/a", "!a/a/c"], "a/a/c", false),
        // Cleaning.
        (&["./foo"], "foo", true),
        (&["/foo"], "foo", true),
        (&["foo/"], "foo", true),
        (&["foo//bar"], "foo/bar", true),
        (&["foo/../bar"], "bar", true),
        (&["foo/../bar"], "foo", false),
        (&["  foo  "], "foo", true),
        (&["*", "! src "], "src/a", false),
        (&["../foo"], "foo", false),
        (&["/../foo"], "foo", true),
        (&["."], "foo", false),
        (&["", "   "], "foo", false),
        // What is special elsewhere and means itself here.
        (&["{a,b}"], "a", false),
        (&["{a,b}"], "{a,b}", true),
        (&["a.c"], "abc", false),
        (&["a+(b)|$"], "a+(b)|$", true),
        (&["<a>?"], "<a>b", true),
        (&["#foo"], "#foo", true),
        // Classes and escapes.
        (&["[a-c]x"], "bx", true),
        (&["[a-c]x"], "dx", false),
        (&["[^a-c]x"], "dx", true),
        (&["[!a]"], "!", true),
        (&["[a&&b]"], "&", true),
        (&["[[x]"], "[", true),
        (&["[\\]]"], "]", true),
        (&["a\\*"], "a*", true),
        (&["a\\*"], "ab", false),
        (&["\\!a"], "!a", true),
        // Letters beyond ASCII, and names with line ends.
        (&["ü?"], "üö", true),
        (&["*.txt"], "a\nb.txt", true),
    ];
    for (list, path, expected) in cases {
        assert_eq!(patterns(list).excludes(path), *expected, "{list:?} on {path}");
    }
}

#[test]
fn a_file_may_begin_with_a_byte_order_mark_and_hold_comments_and_windows_line_ends() {
    let parsed =
        Patterns::parse("\u{feff}# what npm makes\r\nnode_modules\r\n\r\n #a\r\n  *.log  \r\n!keep.log").unwrap();
    assert!(parsed.excludes("node_modules/a/index.js"));
    assert!(parsed.excludes("a.log"));
    assert!(!parsed.excludes("keep.log"));
    assert!(parsed.excludes("#a"), "a comment begins in the first column");
    assert!(!parsed.excludes("# what npm makes"));
}

#[test]
fn what_docker_refuses_is_an_error_that_quotes_the_pattern() {
    for bad in ["!", "! ", "[a", "[]", "[]a]", "[c-a]", "[a-]", "[-a]", "a\\"] {
        let error = Patterns::new([bad]).unwrap_err();
        assert_eq!(error.pattern, bad);
    }
    assert_eq!(
        Patterns::parse("ok\n[a").unwrap_err().to_string(),
        "`[a` is not an ignore pattern: a `[` is not closed"
    );
}

#[test]
fn only_folders_that_no_exception_reaches_into_are_pruned() {
    let cases: &[Case] = &[
        (&["node_modules"], "node_modules", true),
        (&["node_modules"], "src", false),
        (&["node_modules"], "node_modules/a", true),
        (&["*", "!src"], "lib", true),
        (&["*", "!src"], "src", false),
        (&["*", "!src/app"], "src", false),
        (&["*", "!src/app"], "src/other", true),
        (&["*", "!src/app"], "lib", true),
        // The last one would change nothing about the folder, which is left out already, and so has no say below it.
        (&["*", "!src/app", "src"], "src", false),
        (&["*", "!src/app"], "src/app", false),
        (&["*", "!**/*.rs"], "lib", false),
        (&["*", "!s*/a"], "src", false),
        (&["*", "!s*/a"], "lib", true),
        (&["*", "!*/*.json"], "lib", false),
        (&["*", "!*/*.json"], "lib/deeper", true),
        // The exception comes first and has no say.
        (&["!node_modules/keep", "node_modules"], "node_modules", true),
        // A class cut in two by its slash.
        (&["*", "!a[/]b"], "a", false),
    ];
    for (list, directory, expected) in cases {
        assert_eq!(patterns(list).prunes(directory), *expected, "{list:?} on {directory}");
    }
}

#[test]
fn nothing_is_left_out_without_patterns_and_the_root_never_is() {
    assert!(!Patterns::default().excludes("a"));
    assert!(Patterns::parse("# nothing").unwrap().is_empty());
    assert!(!patterns(&["**"]).excludes(""));
    assert!(!patterns(&["**"]).excludes("."));
}
