//! How fast events come in, beside what the database does with the same rows: measured by hand, `tests/bench/ingest`, which is
//! part of `make bench`.
#![expect(clippy::print_stdout, reason = "a measurement's answer")]

mod bulk;
mod floor;
mod load;
mod process;
mod whole;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Instant;

use perennial::output::{Align, Table};

use crate::house::{House, Server, Shape, given, number};
use crate::postgres::Postgres;
use floor::Tables;
use load::{Load, Sent, Way};

/// What one measurement came to, in one round.
struct Figure {
    events: usize,
    seconds: f64,
    /// Seconds of processor of the service, and of the database's processes.
    worked: f64,
    database: f64,
    p50: Option<f64>,
    p99: Option<f64>,
}

/// All rounds of all measurements, in the order in which they were first made.
#[derive(Default)]
struct Book {
    order: Vec<(String, String)>,
    figures: BTreeMap<(String, String), Vec<Figure>>,
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

impl Book {
    fn add(&mut self, place: &str, what: &str, figure: Figure) {
        let rate = figure.events as f64 / figure.seconds;
        say(&format!("{place}: {what}: {rate:.0} a second"));
        let key = (place.to_owned(), what.to_owned());
        if !self.order.contains(&key) {
            self.order.push(key.clone());
        }
        self.figures.entry(key).or_default().push(figure);
    }

    fn rate(&self, place: &str, what: &str) -> Option<f64> {
        let figures = self.figures.get(&(place.to_owned(), what.to_owned()))?;
        median(figures.iter().map(|it| it.events as f64 / it.seconds))
    }

    fn table(&self) -> (Table, String) {
        let (l, r) = (Align::Left, Align::Right);
        let names =
            ["on", "what", "events/s", "per CPU-s", "CPU-us", "DB CPU-us", "p50 ms", "p99 ms", "of floor"];
        let mut table =
            Table::new(names.map(|it| (it, if ["on", "what"].contains(&it) { l } else { r }))).indented(2);
        let mut tsv = names.join("\t");
        for (place, what) in &self.order {
            let figures = &self.figures[&(place.clone(), what.clone())];
            let each = |worked: fn(&Figure) -> f64| {
                median(figures.iter().map(|it| worked(it) * 1e6 / it.events as f64))
            };
            let own = each(|it| it.worked);
            let floor =
                what.rsplit_once(", ").and_then(|(_, batch)| self.rate(place, &format!("floor, {batch}")));
            let rate = self.rate(place, what);
            let share =
                rate.zip(floor).map(|(rate, floor)| rate / floor).filter(|_| !what.starts_with("floor"));
            let whole = |it: Option<f64>| it.map(|it| format!("{it:.0}")).unwrap_or_default();
            let exact = |it: Option<f64>| it.map(|it| format!("{it:.2}")).unwrap_or_default();
            let cells = [
                place.clone(),
                what.clone(),
                whole(rate),
                whole(own.filter(|it| *it > 0.0).map(|it| 1e6 / it)),
                exact(own),
                exact(each(|it| it.database).filter(|it| *it > 0.0)),
                exact(median(figures.iter().filter_map(|it| it.p50))),
                exact(median(figures.iter().filter_map(|it| it.p99))),
                exact(share),
            ];
            tsv.push('\n');
            tsv.push_str(&cells.join("\t"));
            table.cells(cells.into());
        }
        tsv.push('\n');
        (table, tsv)
    }
}

fn say(what: &str) {
    eprintln!("  {what}");
}

/// Ingestion alone, on one kind of database.
struct Post<'a> {
    name: &'static str,
    house: House,
    servers: Vec<Server>,
    key: String,
    tables: Tables<'a>,
    postgres: Option<&'a Postgres>,
}

impl<'a> Post<'a> {
    fn open(postgres: Option<(&'a Postgres, &str)>) -> Self {
        let shape = match postgres {
            Some((postgres, redis)) => Shape::Six { postgres: postgres.url.clone(), redis: redis.to_owned() },
            None => Shape::One,
        };
        let mut house = House::new(shape, &[("ingestion.currency", "EUR")]);
        house.only("ingestion", 1);
        let servers = house.serve_all();
        let key = house.ask(&["keys", "create", "load", "-o", "json"])["key"].as_str().unwrap().to_owned();
        let tables = match postgres {
            Some((postgres, _)) => Tables::Postgres(postgres, house.prefix()),
            None => Tables::Sqlite(house.data()),
        };
        let name = if postgres.is_some() { "PostgreSQL" } else { "SQLite" };
        Self { name, house, servers, key, tables, postgres: postgres.map(|it| it.0) }
    }

    fn worked(&self) -> (f64, f64) {
        let database = self.postgres.map_or(0.0, |it| process::worked_with_children(it.process()));
        (self.servers.iter().map(|it| process::worked(it.0.id())).sum(), database)
    }

    fn send(&self, load: &Load, way: Way, rate: Option<f64>) -> Figure {
        let before = self.worked();
        let sent: Sent = load.send(way, &self.house, &self.key, rate);
        let after = self.worked();
        Figure {
            events: load.events(),
            seconds: sent.seconds,
            worked: after.0 - before.0,
            database: after.1 - before.1,
            p50: sent.ack(0.5),
            p99: sent.ack(0.99),
        }
    }
}

/// The ways in, with how many events a batch holds.
const WAYS: [(&str, Way, usize); 7] = [
    ("HTTP, 1", Way::Http, 1),
    ("HTTP, 10", Way::Http, 10),
    ("HTTP, 100", Way::Http, 100),
    ("gRPC IngestEvents, 100", Way::Unary, 100),
    ("gRPC StreamEvents, 100", Way::Stream, 100),
    ("gRPC IngestStream, 100", Way::ClientStream, 100),
    ("gRPC IngestStream, 1000", Way::ClientStream, 1_000),
];

/// One round of everything that ends with the acknowledgement, on one database.
fn round(post: &Post<'_>, round: usize, events: usize, book: &mut Book) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut latest = String::new();
    for (n, (what, way, batch)) in WAYS.into_iter().enumerate() {
        let events = if batch == 1 { events / 10 } else { events };
        let series = format!("{round}.{n}");
        let load = Load { series: series.clone(), batch, batches: events / batch };
        book.add(post.name, what, post.send(&load, way, None));
        if what == "HTTP, 100" {
            latest = series;
        }
    }
    // At half of the peak: what a sender waits for when the service is not overrun.
    if let Some(peak) = book.rate(post.name, "HTTP, 100") {
        let load = Load { series: format!("{round}.half"), batch: 100, batches: events / 200 };
        book.add(post.name, "HTTP at half of that, 100", post.send(&load, Way::Http, Some(peak / 2.0)));
    }
    let rows = runtime.block_on(post.tables.rows(&latest));
    for batch in [1, 10, 100, 1_000] {
        let share = if batch == 1 { rows.first(events / 10) } else { rows.first(events) };
        let (seconds, worked, database) = runtime.block_on(post.tables.write(&share, batch));
        let figure = Figure { events: share.len(), seconds, worked, database, p50: None, p99: None };
        book.add(post.name, &format!("floor, {batch}"), figure);
    }
    let (p50, p99) = process::syncs(post.house.folder.path(), 300);
    book.add(
        post.name,
        "bare fdatasync of 64 KiB",
        Figure {
            events: 300,
            seconds: p50 * 0.3,
            worked: 0.0,
            database: 0.0,
            p50: Some(p50),
            p99: Some(p99),
        },
    );
}

fn whole_way(
    name: &str,
    shape: Shape,
    postgres: Option<&Postgres>,
    rounds: usize,
    events: usize,
    book: &mut Book,
) {
    let house = House::new(shape, &[("ingestion.currency", "EUR"), ("segmentation.currency", "EUR")]);
    let servers = house.serve_all();
    whole::furnish(&house);
    let key = house.ask(&["keys", "create", "load", "-o", "json"])["key"].as_str().unwrap().to_owned();
    for round in 0..rounds {
        let load = Load { series: format!("whole.{round}"), batch: 100, batches: events / 100 };
        let went = whole::measure(&house, &servers, postgres, &key, &load);
        let split = |database: bool| went.worked.iter().filter(move |it| (it.0 == "database") == database);
        let sum = |database: bool| split(database).map(|it| it.1).sum::<f64>();
        let figure = |worked: f64, database: f64| Figure {
            events: load.events(),
            seconds: went.seconds,
            worked,
            database,
            p50: None,
            p99: None,
        };
        // Not rounds of one thing: the log grows.
        let reached = (round + 1) * load.events();
        book.add(name, &format!("the whole way, to {reached} events"), figure(sum(false), sum(true)));
        for (stage, worked) in split(false).filter(|_| servers.len() > 1) {
            book.add(name, &format!("of which {stage}"), figure(*worked, 0.0));
        }
    }
}

#[test]
#[ignore = "a measurement, not a test"]
fn ingest() {
    let began = Instant::now();
    let rounds = number("PERENNIAL_TEST_ROUNDS").unwrap_or(3);
    let events = number("PERENNIAL_TEST_EVENTS").unwrap_or(40_000);
    let rows = number("PERENNIAL_TEST_ROWS").unwrap_or(200_000);
    let parts = given("PERENNIAL_TEST_PARTS");
    let wants = |part: &str| parts.as_ref().is_none_or(|it| it.split(',').any(|it| it == part));
    let redis = given("PERENNIAL_TEST_REDIS");
    let postgres = Postgres::start();
    let mut book = Book::default();
    if wants("edge") {
        let shared = postgres.as_ref().zip(redis.as_deref());
        for n in 0..rounds {
            // New ones each time: the floor's tables are new, too, and both get slower as they grow.
            for place in std::iter::once(None).chain(shared.map(Some)) {
                let post = Post::open(place);
                say(&format!("round {} of {rounds} on {}", n + 1, post.name));
                round(&post, n, events, &mut book);
            }
        }
    }
    if wants("whole") {
        whole_way("SQLite, one process", Shape::One, None, rounds, events, &mut book);
        if let (Some(postgres), Some(redis)) = (&postgres, redis) {
            let shape = Shape::Six { postgres: postgres.url.clone(), redis };
            whole_way("PostgreSQL, six processes", shape, Some(postgres), rounds, events, &mut book);
        }
    }
    let moved = if wants("import") { bulk::measure(rows, say) } else { Vec::new() };
    let mut peaks = String::new();
    for (what, it) in moved {
        let figure = Figure {
            events: rows,
            seconds: it.seconds,
            worked: it.worked,
            database: 0.0,
            p50: None,
            p99: None,
        };
        book.add("SQLite, one process", what, figure);
        peaks.push_str(&format!("  {what}: {rows} rows, at most {:.0} MiB\n", it.peak));
    }
    let (table, tsv) = book.table();
    if let Some(path) = given("PERENNIAL_TEST_TABLE") {
        std::fs::File::create(path).unwrap().write_all(tsv.as_bytes()).unwrap();
    }
    println!("{table}\n{peaks}  median of {rounds} rounds, {:.0} s in all", began.elapsed().as_secs_f64());
}
