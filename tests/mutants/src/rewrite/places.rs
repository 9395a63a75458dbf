//! Where in a text its operators, arms and fields are, by where they start.

use std::collections::HashMap;
use std::ops::Range;

use proc_macro2::LineColumn;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Arm, BinOp, Expr, ExprBinary, ExprMatch, ExprStruct, ExprUnary, Member, Pat, UnOp};

use crate::list::{Mutant, Place};

/// An operation with two operands.
#[derive(Debug)]
pub(super) struct Binary {
    pub(super) left: Range<usize>,
    pub(super) right: Range<usize>,
    pub(super) operator: String,
    pub(super) assigns: bool,
}

/// An arm of a `match` that may be left out.
#[derive(Debug)]
pub(super) struct ArmPlace {
    pub(super) pattern_end: usize,
    pub(super) guard: Option<Range<usize>>,
}

/// A field of a struct expression that takes others from something.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) value: Range<usize>,
    /// `field` instead of `field: field`.
    pub(super) is_short: bool,
    /// The struct with nothing but what the others are taken from.
    pub(super) rest: String,
}

/// The places of a text.
#[derive(Debug, Default)]
pub(super) struct Places {
    lines: Lines,
    pub(super) binaries: HashMap<usize, Binary>,
    /// What `!` is before.
    pub(super) negations: HashMap<usize, Range<usize>>,
    pub(super) arms: HashMap<usize, ArmPlace>,
    pub(super) fields: HashMap<usize, Field>,
}

/// A text, and the bytes at which its lines start.
#[derive(Debug, Default)]
struct Lines {
    text: String,
    starts: Vec<usize>,
}

impl Lines {
    fn of(text: &str) -> Self {
        let after = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text: text.to_owned(), starts: std::iter::once(0).chain(after).collect() }
    }

    /// The byte of a line, from 1 on, and a column in characters, from 0 on.
    fn at(&self, line: usize, column: usize) -> usize {
        let start = line.checked_sub(1).and_then(|line| self.starts.get(line)).copied().unwrap_or(self.text.len());
        self.text[start..].char_indices().nth(column).map_or(self.text.len(), |(at, _)| start + at)
    }
}

impl Places {
    /// Reads a text.
    pub(super) fn of(text: &str) -> syn::Result<Self> {
        let mut places = Self { lines: Lines::of(text), ..Self::default() };
        places.visit_file(&syn::parse_file(text)?);
        Ok(places)
    }

    pub(super) fn start(&self, mutant: &Mutant) -> usize {
        self.place(mutant.found.span.start)
    }

    pub(super) fn end(&self, mutant: &Mutant) -> usize {
        self.place(mutant.found.span.end)
    }

    fn place(&self, place: Place) -> usize {
        self.lines.at(place.line, place.column.saturating_sub(1))
    }

    fn at(&self, place: LineColumn) -> usize {
        self.lines.at(place.line, place.column)
    }

    fn text(&self, of: &impl Spanned) -> &str {
        &self.lines.text[self.range(of)]
    }

    fn range(&self, of: &impl Spanned) -> Range<usize> {
        self.at(of.span().start())..self.at(of.span().end())
    }
}

/// Whether an operand binds something, so that its `&&` is no operator but a part of the `if`.
fn binds(operand: &Expr) -> bool {
    match operand {
        Expr::Let(_) => true,
        Expr::Binary(binary) if matches!(binary.op, BinOp::And(_)) => binds(&binary.left) || binds(&binary.right),
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Places {
    fn visit_expr_binary(&mut self, binary: &'ast ExprBinary) {
        if !binds(&binary.left) && !binds(&binary.right) {
            let (left, right, at) = (self.range(&*binary.left), self.range(&*binary.right), self.range(&binary.op));
            let operator = self.lines.text[at.clone()].to_owned();
            let assigns = operator.ends_with('=') && !["==", "!=", "<=", ">="].contains(&operator.as_str());
            self.binaries.insert(at.start, Binary { left, right, operator, assigns });
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast ExprUnary) {
        if matches!(unary.op, UnOp::Not(_)) {
            self.negations.insert(self.range(&unary.op).start, self.range(&*unary.expr));
        }
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_match(&mut self, whole: &'ast ExprMatch) {
        // The compiler misses no arm with a guard, and none where another takes everything.
        let takes_all = |arm: &Arm| matches!(arm.pat, Pat::Wild(_)) && arm.guard.is_none();
        let has_last = whole.arms.iter().any(takes_all);
        for arm in whole.arms.iter().filter(|arm| has_last || arm.guard.is_some()) {
            let guard = arm.guard.as_ref().map(|(_, guard)| self.range(&**guard));
            let place = ArmPlace { pattern_end: self.range(&arm.pat).end, guard };
            self.arms.insert(self.range(arm).start, place);
        }
        visit::visit_expr_match(self, whole);
    }

    fn visit_expr_struct(&mut self, whole: &'ast ExprStruct) {
        for field in &whole.fields {
            let (Some(rest), Member::Named(name)) = (&whole.rest, &field.member) else { continue };
            let rest = format!("{} {{ ..{} }}", self.text(&whole.path), self.text(&**rest));
            let is_short = field.colon_token.is_none();
            let place = Field { name: name.to_string(), value: self.range(&field.expr), is_short, rest };
            self.fields.insert(self.range(field).start, place);
        }
        visit::visit_expr_struct(self, whole);
    }
}
