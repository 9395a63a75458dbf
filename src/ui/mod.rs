//! Typed notices, plans and states → text for a person or a program. One task owns the terminal and prints what it is
//! sent; nothing else in a run prints.

use crate::engine::Progress;
use crate::reconcile::notice::Notice;

/// What the printing task is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// News of the run.
    Notice(Notice),
    /// A whole line of a container's output.
    Line(Line),
    /// News of a build or a pull.
    Progress {
        /// The service whose image it is.
        service: String,
        /// What.
        progress: Progress,
    },
}

/// A whole line of a container's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The service.
    pub service: String,
    /// The container's number within it.
    pub number: u32,
    /// Whether it came from standard error.
    pub stderr: bool,
    /// The text, without its line end and without what would move the cursor.
    pub text: String,
}
