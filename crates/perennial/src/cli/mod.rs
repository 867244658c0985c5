//! The command line: what can be said, and the help that teaches it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use perennial_runtime::Secret;

use crate::import::Kind;
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
    /// Write all that is known of a person as JSON
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

/// What to import.
#[derive(Debug, Args)]
#[command(after_help = "\
CSV (comma, semicolon, tab or bar), NDJSON, or for products XML (RSS or Atom as written for Google), plain or gzipped,
or Parquet; which of them is seen from the file. Columns are guessed
by their names and shown; name the others. A row that cannot be used goes to FILE.rejected.csv with its line and the
reason: mend it there and import that file. Importing a file again changes nothing. History starts and sends nothing.

Fields:
  orders     customer, ordered_at, revenue; order, currency, discount, cost, coupon, email,
             product, product_name, category, quantity, price (rows of one order are its lines); refunds.
             Where rows come to less than nothing, money goes back: of the order named in refunds, else of the
             customer's latest order of that product, else of none that is known
  events     customer or anonymous, event, happened_at; message; everything else is a property.
             NDJSON may hold calls as the Segment specification writes them
  profiles   customer; email, phone, updated_at; everything else is a trait (email_consent=true is consent)
  catalog    product; sku, group, variant, product_name, brand, category, url, image_url, price, sale_price, sale_period,
             cost, currency, availability, stock. What a row leaves empty stays as it is, so that a feed may hold prices
             or stock alone. Amounts may name their currency (12.90 EUR). Orders that come from then on without a cost
             take that of the catalogue

Examples:
  perennial import orders shop.csv --column customer=client_no --column revenue=net --currency EUR --dry-run
  perennial import orders export.csv.gz --date-format '%d.%m.%Y %H:%M' --time-zone Europe/Berlin --decimal-comma
  perennial import events calls.ndjson
  perennial import catalog google-feed.xml.gz --dry-run
  perennial import catalog costs.csv --column product=sku --column cost=purchase_price --currency EUR")]
pub struct Import {
    /// What the file holds
    #[arg(value_enum)]
    pub kind: Kind,
    /// The file
    pub file: PathBuf,
    /// Take a field from this column; may be repeated
    #[arg(long = "column", value_name = "FIELD=COLUMN", value_parser = pair)]
    pub columns: Vec<(String, String)>,
    /// How dates are written, such as `%d.%m.%Y`; ISO 8601 if left out
    #[arg(long, value_name = "FORMAT")]
    pub date_format: Option<String>,
    /// The IANA zone of dates that name none
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub time_zone: String,
    /// Currency of amounts that name none; the first one becomes the workspace's
    #[arg(long, value_name = "CODE")]
    pub currency: Option<String>,
    /// Amounts are written as 1.234,50
    #[arg(long)]
    pub decimal_comma: bool,
    /// Read and count only; of products, ask what would become of them
    #[arg(long)]
    pub dry_run: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((field, column)) if !field.is_empty() && !column.is_empty() => {
            Ok((field.trim().to_owned(), column.trim().to_owned()))
        }
        _ => Err("write FIELD=COLUMN, such as customer=customer_id".to_owned()),
    }
}

/// How scores are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ExportFormat {
    /// Comma-separated text, with a header.
    Csv,
    /// One array of objects.
    Json,
    /// Typed columns.
    Parquet,
}

/// Customer value.
#[derive(Debug, Subcommand)]
pub enum Score {
    /// Fit a model to the orders
    Fit {
        /// pareto-nbd, mbg-nbd, bg-nbd, mbg-cnbd-2, nbd, stack (all of them together), boosted (trees over the stack), or
        /// auto: let a hold-out choose
        #[arg(long, default_value = "auto")]
        model: String,
        /// The last day whose orders count; today if left out
        #[arg(long, value_name = "YYYY-MM-DD")]
        cutoff: Option<String>,
        /// What may make it finer if it proves itself on the hold-outs: season, covariates, channel, category, country, coupon,
        /// auto (any of them) or none; what the settings say if left out and the model is auto
        #[arg(long, value_name = "NAME")]
        grouping: Option<String>,
        /// Let it serve all scores, if it passes its checks
        #[arg(long)]
        publish: bool,
    },
    /// Compare registered models; the latest if none is named
    Compare {
        /// Models, such as stack@17
        models: Vec<String>,
    },
    /// Show what a customer is worth; everybody together if none is named
    Show {
        /// Any identifier
        customer: Option<String>,
    },
    /// Say what a customer's score is made of
    Explain {
        /// Any identifier
        customer: String,
    },
    /// Write everybody's scores as CSV, JSON or Parquet
    #[command(after_help = "\
Money is in minor units of the column currency, instants are UTC (in Parquet microseconds, with their type), what is not
known is empty. docs/score-export.md names every column.

Examples:
  perennial score export > scores.csv
  perennial score export --format parquet --file scores.parquet
  perennial score export --as-of 2026-03-01 --file march.csv")]
    Export {
        /// Into this file; standard output if left out
        #[arg(long, short, value_name = "FILE")]
        file: Option<PathBuf>,
        /// csv, json or parquet; what the file's ending says if left out, else csv
        #[arg(long, value_enum)]
        format: Option<ExportFormat>,
        /// As of the end of this day (UTC) or this instant, by the model in force then
        #[arg(long, value_name = "YYYY-MM-DD")]
        as_of: Option<String>,
    },
    /// Forecast from a day in the past, and compare every model and baseline with what came
    #[command(after_help = "\
The model marked * is the one that would have been picked on that day: selection sees nothing of what came later.

Examples:
  perennial score backtest --cutoff 1997-09-30 --horizon 39w
  perennial score backtest --cutoff 2025-12-31 --horizon 90d --report report/")]
    Backtest {
        /// The last day that may be seen
        #[arg(long, value_name = "YYYY-MM-DD")]
        cutoff: String,
        /// How far to forecast: 39w, 273d, 1y
        #[arg(long, value_name = "LENGTH")]
        horizon: String,
        /// Write a report with pictures into this folder
        #[arg(long, value_name = "DIR")]
        report: Option<PathBuf>,
    },
    /// Say what a model with given parameters makes of given histories; needs no data
    #[command(after_help = "\
FILE is CSV with the columns x, t_x, T and horizon (and ln_gaps for the log-likelihood of regular models), all times in
the model's unit. Output: log-likelihood, P(alive) and expected purchases within the horizon, row by row.

Example:
  perennial score predict --model pareto-nbd --param r=0.5533,alpha=10.578,s=0.6062,beta=11.669 histories.csv -o json")]
    Predict {
        /// pareto-nbd, bg-nbd, mbg-nbd, bg-cnbd-K, mbg-cnbd-K, nbd or bg-bb
        #[arg(long)]
        model: String,
        /// Its parameters, such as r=0.55,alpha=10.6; may be repeated
        #[arg(long = "param", value_name = "NAME=VALUE,…")]
        parameters: Vec<String>,
        /// Histories; - for standard input
        file: PathBuf,
    },
}

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

/// What to simulate.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Everything is what it would be in earnest (the same services, feeds, journeys, e-mails into a mail folder), only time is
simulated and the customers are. Their truth is known, so every estimate can be held against it.

Examples:
  perennial demo --customers 2000 --days 120
  perennial demo --seed 7 -o json --data-dir /tmp/a")]
pub struct Demo {
    /// How many customers come by
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub customers: u32,
    /// For how many days
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub days: u32,
    /// Another seed is another shop
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The share nobody writes to, in percent
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=90))]
    pub holdout: u32,
    /// How long one step of time is, in hours. Timers fire for their own instants, but what they send arrives at the end of
    /// the step
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=24))]
    pub slice: u32,
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
