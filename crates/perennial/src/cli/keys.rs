//! `perennial keys`.

use clap::Subcommand;

/// Write keys and API keys.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a key; it is shown once
    #[command(after_help = "\
Examples:
  perennial keys create \"web shop\"                  a write key: sends events, may stand in a web page
  perennial keys create warehouse --scope read       an API key: reads everything of the workspace
  perennial keys create deploy --scope write         an API key: also changes segments, campaigns, offers
  perennial keys create owner --scope admin          an API key: all of that, and keys")]
    Create {
        /// What it is for, such as `web shop`
        #[arg(default_value = "")]
        name: String,
        /// Make an API key that may do this; may be given several times
        #[arg(long = "scope", value_enum, value_name = "SCOPE")]
        scopes: Vec<Scope>,
    },
    /// List keys, without the keys themselves
    List,
    /// End a key at once
    Revoke {
        /// Its id, from `perennial keys list`
        key: String,
    },
}

/// What an API key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scope {
    /// Send events
    Ingest,
    /// Read everything but keys
    Read,
    /// Change definitions and act; includes reading
    Write,
    /// Everything in the workspace, keys included
    Admin,
}
