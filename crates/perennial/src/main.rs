//! The `perennial` program.

use std::process::ExitCode;

use clap::Parser;
use perennial::cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            perennial::output::complain(&anyhow::Error::new(error).context("the process cannot start"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(Box::pin(perennial::program::run(cli))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            perennial::output::complain(&error);
            ExitCode::FAILURE
        }
    }
}
