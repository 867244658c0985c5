//! `perennial parked` and `perennial rejected`: what could not be taken in. `perennial merges`: what was taken for one person.

use clap::Subcommand;

/// Parked profiles.
#[derive(Debug, Subcommand)]
pub enum Parked {
    /// List them, with what stopped them
    List,
    /// Try one again, or all of them if none is named
    Retry {
        /// The profile's id
        profile: Option<String>,
    },
}

/// Events that were refused.
#[derive(Debug, Subcommand)]
pub enum Rejected {
    /// Count them by cause, and what the tracking plan observed
    List,
    /// Show those of a cause, newest first
    Show {
        /// The cause, from `perennial rejected list`
        cause: String,
        /// How many
        #[arg(long, short, default_value_t = 10)]
        number: i32,
    },
    /// Mend those of a cause; they are taken when they are replayed
    #[command(after_help = "\
Examples:
  perennial rejected fix 3f2a9c --dry-run --patch '[{\"op\":\"move\",\"from\":\"/properties/number\",\"path\":\"/properties/order_id\"}]'
  perennial rejected fix 3f2a9c --merge '{\"properties\":{\"currency\":\"EUR\"}}'
  perennial rejected fix 3f2a9c --undo")]
    Fix {
        /// The cause, from `perennial rejected list`
        cause: String,
        /// A JSON Patch (RFC 6902), or a file with one
        #[arg(long, value_name = "JSON", conflicts_with_all = ["merge", "undo"])]
        patch: Option<String>,
        /// A JSON Merge Patch (RFC 7386), or a file with one
        #[arg(long, value_name = "JSON", conflicts_with = "undo")]
        merge: Option<String>,
        /// Take earlier mendings back
        #[arg(long)]
        undo: bool,
        /// Show what would become of them, change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Send them in again, mended or not; each counts once, and what is older than an hour is history
    Replay {
        /// The cause; all of them if left out
        cause: Option<String>,
    },
}

/// How profiles came to be one person.
#[derive(Debug, Subcommand)]
pub enum Merges {
    /// List a person's merges, and the event that showed each
    List {
        /// Any identifier: user id, e-mail, phone, anonymous id, or the profile's own id
        person: String,
    },
    /// Undo a merge: the profile is itself again, with its events, scores, consents and coupons
    #[command(after_help = "\
Without --yes it shows who would have what, and changes nothing. The two stay apart afterwards, whatever names both.

Examples:
  perennial merges list ana@example.com
  perennial merges undo 0198f3a1-…
  perennial merges undo 0198f3a1-… --yes")]
    Undo {
        /// The profile that became another one, from `perennial merges list`
        profile: String,
        /// Do it
        #[arg(long)]
        yes: bool,
    },
}
