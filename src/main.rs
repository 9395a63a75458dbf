//! The binary: everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    if let Some(code) = hoist::embedded::role() {
        return code;
    }
    hoist::cli::main()
}
