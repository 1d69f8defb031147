//! The program `poq-node`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match poq_node::run(env!("SUBSTRATE_CLI_IMPL_VERSION")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, with its causes. A panic has a backtrace; an error has an explanation.
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
