//! `perennial export`.

use std::path::PathBuf;

use clap::Subcommand;

/// What to export.
#[derive(Debug, Subcommand)]
pub enum Export {
    /// Everything about one person, from all services
    #[command(after_help = "Example:\n  perennial export person ana@example.com --file ana.json")]
    Person {
        /// Any identifier: user id, e-mail, phone, anonymous id, or the profile's own id
        person: String,
        /// Into this file; standard output if left out
        #[arg(long, short, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}
