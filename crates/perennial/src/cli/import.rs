//! `perennial import`.

use std::path::PathBuf;

use clap::Args;

use crate::import::Kind;

/// What to import.
#[derive(Debug, Args)]
#[command(after_help = "\
CSV (comma, semicolon, tab or bar), NDJSON, or for products XML (RSS or Atom as written for Google), plain or gzipped,
or Parquet; which of them is seen from the file. Columns are guessed
by their names and shown; name the others. A row that cannot be used goes to FILE.rejected.csv with its line and the
reason: mend it there and import that file. Importing a file again changes nothing. History starts and sends nothing.

Fields:
  orders     customer, ordered_at, revenue; order, currency, discount, cost, coupon, email, channel, country,
             product, product_name, category, quantity, price, unit_cost (rows of one order are its lines); refunds.
             Where rows come to less than nothing, money goes back: of the order named in refunds, else of the
             customer's latest order of that product, else of none that is known. A row that names an order in refunds
             and no revenue takes all of it back. Guests have no customer: email, phone or anonymous will do
  events     customer or anonymous, event, happened_at; message, call (track if left out), previous, group; properties and
             context as JSON; everything else is a property. NDJSON may hold calls as the Segment specification writes them
  profiles   customer (or email, phone, anonymous); updated_at; traits, consents and context as JSON; everything else is
             a trait (email_consent=true is consent)
  catalog    product; sku, group, variant, product_name, brand, category, url, image_url, price, list_price, sale_price,
             sale_period, cost, currency, cost_currency, availability, stock. What a row leaves empty stays as it is, so that a feed may hold prices
             or stock alone. Amounts may name their currency (12.90 EUR). Orders that come from then on without a cost
             take that of the catalogue

What `perennial export` writes goes in as it is; its columns that begin with perennial_ are passed over. A row whose message
is there already changes nothing: empty message_id in rows of orders or events that you change. In CSV an apostrophe before
what looks like a formula ('=1+1) is no part of the text.

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
