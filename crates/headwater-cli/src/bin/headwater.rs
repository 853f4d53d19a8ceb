//! The `headwater` binary: the operator's commands, for what needs no code of a service.

use std::process::ExitCode;

fn main() -> ExitCode {
    headwater_cli::main(headwater::App::new())
}
