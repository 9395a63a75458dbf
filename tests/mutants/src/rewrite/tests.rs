use crate::list::{Found, Genre, Mutant, Place, Span};

use super::rewrite;

/// The mutants of one line of text, each with what it replaces and with what.
fn rewritten(line: &str, changes: &[(Genre, &str, &str)]) -> String {
    let mutant = |(at, (genre, from, to)): (usize, &(Genre, &str, &str))| {
        let before = &line[..line.find(from).expect("a part of the line")];
        let column = before.chars().count() + 1;
        let (start, end) = (Place { line: 1, column }, Place { line: 1, column: column + from.len() });
        Mutant { id: at + 1, name: String::new(), line: 1, found: Found::new(*genre, to, Span { start, end }) }
    };
    let mutants: Vec<Mutant> = changes.iter().enumerate().map(mutant).collect();
    rewrite(line, &mutants.iter().collect::<Vec<_>>()).expect("it parses").text
}

#[test]
fn a_comparison_is_written_with_each_of_its_mutants_and_does_not_take_its_operands() {
    let changes = [(Genre::BinaryOperator, "<", "=="), (Genre::BinaryOperator, "<", "<=")];
    assert_eq!(
        rewritten("fn f() -> bool { a < b }", &changes),
        "fn f() -> bool { (match (&(a), &(b)) { (left, right) => if crate::mutant(1) { left == right } else \
         if crate::mutant(2) { left <= right } else { left < right } }) }"
    );
}

#[test]
fn and_becomes_or_with_its_right_operand_written_once() {
    let changes = [(Genre::BinaryOperator, "&&", "||"), (Genre::UnaryOperator, "!", "")];
    assert_eq!(
        rewritten("fn f() -> bool { a && !b }", &changes),
        "fn f() -> bool { ({ let left = a; if left ^ (crate::mutant(1)) { (crate::mutant(2) ^ !b) } else { left } }) }"
    );
}

#[test]
fn a_condition_that_binds_is_left_as_it_is() {
    let line = "fn f() { if let Some(a) = b && c { d() } }";
    assert_eq!(rewritten(line, &[(Genre::BinaryOperator, "&&", "||")]), line);
}

#[test]
fn an_assignment_stays_one() {
    assert_eq!(
        rewritten("fn f() { a += b; }", &[(Genre::BinaryOperator, "+=", "-=")]),
        "fn f() { { if crate::mutant(1) { a -= b } else { a += b } }; }"
    );
}

#[test]
fn a_function_answers_early() {
    assert_eq!(
        rewritten("fn f() -> u8 { 7 }", &[(Genre::FnValue, "7", "0")]),
        "fn f() -> u8 { if crate::mutant(1) { return 0; } 7 }"
    );
}

#[test]
fn an_arm_goes_by_a_guard_and_one_with_a_guard_by_that() {
    let changes = [(Genre::MatchArm, "1 =>", ""), (Genre::MatchArmGuard, "b", "true"), (Genre::MatchArm, "2 if", "")];
    assert_eq!(
        rewritten("fn f() { match a { 1 => {}, 2 if b => {}, _ => {} } }", &changes),
        "fn f() { match a { 1 if !crate::mutant(1) => {}, 2 if !(crate::mutant(3)) && \
         ((crate::mutant(2)) || (b)) => {}, _ => {} } }"
    );
}

#[test]
fn an_arm_that_the_compiler_would_miss_stays() {
    let line = "fn f() { match a { _ if b => {}, true => {}, false => {} } }";
    assert_eq!(rewritten(line, &[(Genre::MatchArm, "true", "")]), line);
}

#[test]
fn a_guard_that_is_one_operation_has_the_mutants_of_both() {
    let changes = [(Genre::UnaryOperator, "!", ""), (Genre::MatchArmGuard, "!b", "false")];
    assert_eq!(
        rewritten("fn f() { match a { 1 if !b => {}, _ => {} } }", &changes),
        "fn f() { match a { 1 if !(crate::mutant(2)) && (false || ((crate::mutant(1) ^ !b))) => {}, _ => {} } }"
    );
}

#[test]
fn a_field_comes_from_what_the_others_are_taken_from() {
    assert_eq!(
        rewritten("fn f() -> S { S { a: 1, ..s } }", &[(Genre::StructField, "a:", "")]),
        "fn f() -> S { S { a: if crate::mutant(1) { S { ..s }.a } else { 1 }, ..s } }"
    );
}

#[test]
fn columns_are_counted_in_characters() {
    assert_eq!(
        rewritten("fn f() -> bool { \"ä\" == a }", &[(Genre::BinaryOperator, "==", "!=")]),
        "fn f() -> bool { ((\"ä\" == a) ^ (crate::mutant(1))) }"
    );
}
