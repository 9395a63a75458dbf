//! Which services a changed path concerns, what is to be done about it, and when a burst of changes is over.
//!
//! Pure: paths and the texts of ignore files come in, decisions go out. It looks at no file and reads no clock.

pub mod ignore;
