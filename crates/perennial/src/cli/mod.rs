//! The command line: what can be said, and the help that teaches it.

mod demo;
mod export;
mod import;
mod keys;
mod mend;
mod score;

pub use demo::Demo;
pub use export::{Export, Plain, Timed};
pub use import::Import;
pub use keys::{Keys, Scope};
pub use mend::{Merges, Parked, Rejected};
pub use score::{ExportFormat, Score};

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use perennial_runtime::Secret;

use crate::output::Format;

const ABOUT: &str = "Perennial: a self-hosted customer lifecycle platform driven by customer lifetime value";

const EXAMPLES: &str = "\
Five minutes:
  perennial demo                                        simulate a shop for a year and see what it earned
  perennial serve                                       run everything in one process, data in ./data

Your own data:
  perennial import orders orders.csv --column customer=client_no --currency EUR --dry-run
  perennial score fit --publish                         learn how customers buy, and score everybody
  perennial score show ana@example.com                  what one customer is worth, with its interval
  perennial status                                      counts, members by stage, messages, lag

Campaigns:
  perennial apply -f campaigns/ --dry-run               what would change
  perennial apply -f campaigns/ --live                  change it, and let it run
  perennial explain ana@example.com welcome             why she did, or did not, get it
  perennial pause --reason \"wrong price in the mail\"     stop all sending, at once

Where it works: on the server at PERENNIAL_ADDR or --addr; else in --data-dir (default ./data), through the server that
holds it if one runs.
Exit codes: 0 done, 1 failed, 2 not understood.";

/// What was said on the command line.
#[derive(Debug, Parser)]
#[command(name = "perennial", version, about = ABOUT, after_help = EXAMPLES, max_term_width = 120)]
pub struct Cli {
    /// Settings common to all commands.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Settings common to all commands.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Read settings from this TOML file; see `perennial config --default`
    #[arg(long, global = true, env = "PERENNIAL_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Keep all data in this folder, and need nothing else
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Talk to the server at this address
    #[arg(
        long,
        global = true,
        env = "PERENNIAL_ADDR",
        value_name = "HOST:PORT",
        conflicts_with = "data_dir"
    )]
    pub addr: Option<String>,
    /// Show the server this API key (see `perennial keys create --scope`), or its own token
    #[arg(
        // A name of its own: `keys revoke KEY` has a key, too.
        id = "caller_key",
        long = "key",
        global = true,
        env = "PERENNIAL_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub key: Option<Secret>,
    /// The workspace
    #[arg(long, global = true, value_name = "NAME", default_value = "main")]
    pub workspace: String,
    /// For people, or for programs
    #[arg(long, short, global = true, value_enum, default_value_t)]
    pub output: Format,
    /// Say more on standard error; twice for everything
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run services until told to stop; all of them unless some are named
    #[command(after_help = "\
Examples:
  perennial serve                                everything, data in ./data, gRPC on 50051, HTTP on 8080
  perennial serve --data-dir .perennial/demo     look around in what the demo left
  perennial serve scoring --config prod.toml     one service; the others' addresses stand in [peers]")]
    Serve {
        /// ingestion, segmentation, scoring, campaign, loyalty, notification
        services: Vec<String>,
        /// Address of the gRPC port
        #[arg(long, value_name = "ADDR")]
        listen: Option<std::net::SocketAddr>,
        /// Address of the HTTP port: events in, unsubscribe pages, health
        #[arg(long, value_name = "ADDR")]
        http_listen: Option<std::net::SocketAddr>,
    },
    /// Bring the databases to this version, then end
    Migrate,
    /// Write keys, with which shops send events, and API keys, for programs of yours
    #[command(subcommand)]
    Keys(Keys),
    /// Read a file of orders, events, profiles or products into history
    Import(Import),
    /// Make segments, campaigns, templates, offers and the tracking plan what files say, and show what changes
    #[command(after_help = "\
Each file holds one or more documents with `kind: Segment`, `Campaign`, `Template`, `Offer` or `TrackingPlan`.
  + is new, ~ changes, = stays. A campaign that is new starts as a draft, unless --live.

Examples:
  perennial apply -f segments/ --dry-run
  perennial apply -f welcome.yaml --live
  perennial apply -f rescue.yaml --live --enter-existing --dry-run     whom it would start on
  perennial apply -f playbook:welcome --live     a playbook that comes with the product")]
    Apply {
        /// A file, a folder, `-` for standard input, or `playbook:NAME`; may be repeated
        #[arg(long = "file", short = 'f', required = true, value_name = "PATH")]
        files: Vec<PathBuf>,
        /// Check and show, change nothing
        #[arg(long)]
        dry_run: bool,
        /// Let the campaigns among them run
        #[arg(long)]
        live: bool,
        /// Start the campaigns among them on those already in their segment or stage, and say on how many; they have to
        /// be live, or become it by --live
        #[arg(long)]
        enter_existing: bool,
    },
    /// List segments, campaigns, templates, offers, models, stages, profiles, messages, coupons or erasures; or read one
    Get {
        /// Such as `segments`
        kind: String,
        /// The bare name of one
        name: Option<String>,
    },
    /// Tell all about one segment, campaign, template, offer, model, profile or erasure
    Describe {
        /// Such as `campaign`
        kind: String,
        /// Its bare name; for a profile, any identifier
        name: String,
    },
    /// Customer value: fit models, show scores
    #[command(subcommand)]
    Score(Score),
    /// Tell why a customer did, or did not, get a campaign's messages
    #[command(after_help = "Example:\n  perennial explain ana@example.com welcome")]
    Explain {
        /// Any identifier: user id, e-mail, phone, anonymous id, or the profile's own id
        customer: String,
        /// The campaign; all of them if left out
        campaign: Option<String>,
    },
    /// Count everything: events, profiles, orders, members by stage, messages, ledger, lag
    Status,
    /// Stop a campaign, or all sending of the workspace if none is named
    Pause {
        /// The campaign
        campaign: Option<String>,
        /// Why, for whoever finds it paused
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Let a campaign run, or go on sending if none is named
    Resume {
        /// The campaign
        campaign: Option<String>,
    },
    /// Profiles whose records wait because one of them could not be applied
    #[command(subcommand)]
    Parked(Parked),
    /// Write orders, events, people or products into a file, or all that is known of one person
    #[command(subcommand)]
    Export(Export),
    /// Erase a person from every service, and show the receipts
    #[command(after_help = "\
Without --yes it shows what would be erased, and erases nothing. It cannot be taken back; export first.
Their addresses stay on the suppression list as keyed hashes, so that they are not written to again.

Examples:
  perennial export person ana@example.com --file ana.json
  perennial erase ana@example.com
  perennial erase ana@example.com --yes
  perennial get erasures")]
    Erase {
        /// Any identifier: user id, e-mail, phone, anonymous id, or the profile's own id
        person: String,
        /// Do it
        #[arg(long)]
        yes: bool,
    },
    /// How profiles came to be one person, and undoing what was wrong
    #[command(subcommand)]
    Merges(Merges),
    /// Events that were refused: why, how to mend them, and sending them in again
    #[command(subcommand)]
    Rejected(Rejected),
    /// Print the settings in force as TOML
    Config {
        /// The defaults instead, each explained
        #[arg(long)]
        default: bool,
    },
    /// Simulate a shop whose customers react to messages, and show what campaigns earned and truly earned
    Demo(Demo),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound_and_every_part_of_it_explained() {
        Cli::command().debug_assert();
        let mut open = vec![Cli::command()];
        while let Some(command) = open.pop() {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty(), "{} has no help", command.get_name());
            for argument in command.get_arguments().filter(|it| !it.is_global_set()) {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(!help.is_empty(), "{} {} has no help", command.get_name(), argument.get_id());
            }
            open.extend(command.get_subcommands().cloned());
        }
        assert!(Cli::command().render_long_help().to_string().contains("perennial demo"));
    }

    #[test]
    fn what_the_issue_says_is_understood() {
        let line = "perennial --data-dir D import orders x.csv --column customer=customer_id --column ordered_at=date \
                    --column revenue=amount --currency USD";
        let cli = Cli::try_parse_from(line.split(' ').filter(|it| !it.is_empty())).unwrap();
        let Command::Import(import) = cli.command else { panic!("{:?}", cli.command) };
        assert_eq!(import.columns[1], ("ordered_at".to_owned(), "date".to_owned()));
        let line = "perennial score backtest --cutoff 1997-09-30 --horizon 39w -o json";
        assert_eq!(Cli::try_parse_from(line.split(' ')).unwrap().common.output, Format::Json);
        let line = "perennial score predict --model pareto-nbd --param r=1,alpha=1 --param s=1 FILE";
        assert!(Cli::try_parse_from(line.split(' ')).is_ok());
        let line = "perennial score fit --model bg-nbd --cutoff 1997-09-30 -o json";
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        assert_eq!(cli.common.output, Format::Json);
    }

    #[test]
    fn what_is_not_understood_ends_with_two() {
        for line in [
            "perennial",
            "perennial import",
            "perennial import orders x --column a",
            "perennial demo --days 0",
        ] {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
