//! Reads the command line, runs the command, ends with its exit code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cephdock::cli::Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(cephdock::command::run(cli)).into(),
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "there is nothing yet that could report it")]
            {
                eprintln!("error: the system gives no threads: {error}");
            }
            ExitCode::FAILURE
        }
    }
}
