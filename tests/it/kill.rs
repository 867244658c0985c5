//! Whoever is killed or stands still in the middle of his work, again and again: what was acknowledged counts once, every
//! message is delivered once or shown as unknown, and the books balance.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use perennial::session::Session;
use perennial_api::campaign::v1::{Decision, ListDecisionsRequest};
use perennial_api::loyalty::v1::{AuditLedgerRequest, Coupon, ListCouponsRequest};
use perennial_api::notification::v1::{ListMessagesRequest, Message};
use perennial_types::hash_draw;
use serde_json::{Value, json};

use crate::house::{House, Server, Shape, given, number};
use crate::postgres::Postgres;
use crate::sink::Sink;

const FILES: &str = "kind: Campaign
name: hello
trigger: { event: Signed Up }
holdout: 10%
steps:
  - message: { template: hello }
---
kind: Campaign
name: thanks
trigger: { event: Order Completed }
holdout: 10%
steps:
  - offer: { coupon: next-time, valid: 10d }
    message: { template: thanks }
---
kind: Offer
name: next-time
amount: 5.00 EUR
cost: 5.00 EUR
valid: 10d
limit_per_customer: 1
budget: 10000000 EUR per month
code_prefix: next
---
kind: Template
name: hello
subject: Hello
text: Hello
---
kind: Template
name: thanks
subject: Thanks
text: Thanks, {{ coupon.code }}
";

/// People of each kind in one batch.
const PEOPLE: usize = 10;
/// Batches that each of four clients sends in one round.
const BATCHES: usize = 6;

/// A zone in which it is noon now, so that quiet hours hold nothing back.
pub fn noon() -> String {
    let seconds = std::fs::metadata("/proc/self").and_then(|it| it.modified()).unwrap();
    let hour = seconds.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() / 3_600 % 24;
    match 12 - i64::try_from(hour).unwrap() {
        ahead if ahead > 0 => format!("Etc/GMT-{ahead}"),
        behind => format!("Etc/GMT+{}", -behind),
    }
}

/// Some people who sign up, and some who order.
pub fn batch(round: usize, number: usize) -> String {
    let zone = noon();
    let items = (0..PEOPLE).flat_map(|n| {
        let id = format!("{round}-{number}-{n}");
        let person = |who: &str| {
            json!({
                "type": "identify", "userId": format!("{who}-{id}"), "messageId": format!("i-{who}-{id}"),
                "traits": {"email": format!("{who}-{id}@example.com"), "email_consent": true},
                "context": {"timezone": zone},
            })
        };
        [
            person("lead"),
            json!({
                "type": "track", "event": "Signed Up", "userId": format!("lead-{id}"),
                "messageId": format!("s-{id}"),
            }),
            person("buyer"),
            json!({
                "type": "track", "event": "Order Completed", "userId": format!("buyer-{id}"),
                "messageId": format!("o-{id}"),
                "properties": {"order_id": id, "revenue": 25.00, "currency": "EUR"},
            }),
        ]
    });
    json!({ "batch": items.collect::<Vec<_>>() }).to_string()
}

/// Applies the campaigns, and answers a write key.
pub fn open(house: &House) -> String {
    let files = house.folder.path().join("files.yaml");
    std::fs::write(&files, FILES).unwrap();
    house.ask(&["apply", "-f", &files.display().to_string(), "--live"]);
    house.ask(&["keys", "create", "load", "-o", "json"])["key"].as_str().unwrap().to_owned()
}

/// Sends a batch until it is acknowledged.
pub fn send(house: &House, key: &str, body: &str) {
    let began = Instant::now();
    while !house.post(key, body) {
        assert!(began.elapsed() < Duration::from_secs(90), "not acknowledged:\n{}", house.said());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Who is there, and gets up again: what Kubernetes does.
pub struct Staff<'a> {
    pub house: &'a House,
    pub servers: Vec<Server>,
}

impl Staff<'_> {
    /// Starts whoever has ended.
    pub fn tend(&mut self) {
        for (server, place) in self.servers.iter_mut().zip(&self.house.places) {
            if server.0.try_wait().unwrap().is_some() {
                *server = self.house.serve(place);
            }
        }
    }

    fn kill(&mut self, which: usize) {
        self.servers[which].0.kill().unwrap();
        self.servers[which].0.wait().unwrap();
        self.tend();
    }

    fn signal(&self, which: usize, signal: &str) {
        let id = self.servers[which].0.id().to_string();
        // It may have ended just now.
        Command::new("kill").args([signal, &id]).status().unwrap();
    }
}

/// Hits somebody: what, whom and for how long is drawn from the seed.
fn hit(staff: &mut Staff<'_>, database: Option<&Postgres>, seed: &str, blow: usize) {
    let draw = |what: &str| hash_draw(seed, &format!("{blow} {what}"));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
    let up_to = |what: &str, most: usize| (draw(what) * most as f64) as usize;
    std::thread::sleep(Duration::from_millis(20 + up_to("after", 400) as u64));
    let which = up_to("whom", staff.servers.len());
    match (up_to("what", 8), database) {
        (0, Some(database)) => {
            database.restart(if draw("how") < 0.5 { "immediate" } else { "fast" });
        }
        (1..=3, _) => {
            staff.signal(which, "-STOP");
            std::thread::sleep(Duration::from_millis(100 + up_to("for", 1_200) as u64));
            staff.signal(which, "-CONT");
        }
        _ => staff.kill(which),
    }
    staff.tend();
}

/// Load on an installation whose processes and database are hit. Answers how many batches were acknowledged.
fn torment(house: &House, key: &str, database: Option<&Postgres>, sent: &mut usize) -> Vec<Server> {
    let rounds: usize = number("PERENNIAL_TEST_KILLS").unwrap_or(5);
    let seed: usize = number("PERENNIAL_TEST_SEED").unwrap_or_else(|| std::process::id() as usize);
    eprintln!("{rounds} rounds with PERENNIAL_TEST_SEED={seed}");
    let mut staff = Staff { house, servers: Vec::new() };
    staff.servers = house.serve_all();
    for round in 0..rounds {
        // Four clients send, each a batch until it is acknowledged, while processes die and come back.
        std::thread::scope(|scope| {
            for client in 0..4 {
                scope.spawn(move || {
                    for n in 0..BATCHES {
                        send(house, key, &batch(round, client * BATCHES + n));
                    }
                });
            }
            for blow in 0..3 {
                hit(&mut staff, database, &seed.to_string(), round * 3 + blow);
            }
        });
        *sent += 4 * BATCHES;
    }
    // Whoever started while the database was away has ended.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        staff.tend();
        std::thread::sleep(Duration::from_millis(100));
    }
    house.wait_until_up();
    staff.servers
}

/// What is known at the end, once everything is worked off.
pub struct Books {
    pub status: Value,
    pub sent: Vec<Decision>,
    pub messages: Vec<Message>,
    pub coupons: Vec<Coupon>,
    pub problems: Vec<String>,
}

/// Waits until everything is worked off, as long as anything moves.
pub fn settled(house: &House, batches: usize) -> Books {
    let orders = i64::try_from(batches * PEOPLE).ok();
    let (mut last, mut since) = (Value::Null, Instant::now());
    loop {
        let status = house.ask(&["status", "-o", "json"]);
        let behind = status["readers"].as_array().unwrap().iter().any(|it| it["behind"] != 0);
        let mut states = status["messages"].as_object().unwrap().values().filter_map(Value::as_object);
        let underway = states.any(|it| it.contains_key("claimed") || it.contains_key("handing"));
        if !behind && !underway && status["orders"].as_i64() == orders {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let books = runtime.block_on(async { books(&house.session(), status.clone()).await });
            if books.messages.len() == books.sent.len() {
                return books;
            }
        }
        if status != last {
            (last, since) = (status, Instant::now());
        }
        assert!(
            since.elapsed() < Duration::from_secs(60),
            "not settled, and nothing moves: {orders:?} orders\n{last:#}\n{}",
            house.said()
        );
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// Every item of a list, page by page: `page` answers the items at a token, and the next token.
async fn all<T>(page: impl AsyncFn(String) -> (Vec<T>, String)) -> Vec<T> {
    let (mut items, mut token) = (Vec::new(), String::new());
    loop {
        let (found, next) = page(token).await;
        items.extend(found);
        if next.is_empty() {
            return items;
        }
        token = next;
    }
}

async fn books(session: &Session, status: Value) -> Books {
    let page_size = 1_000;
    let sent = all(async |page_token| {
        let (parent, outcome) = (session.parent(), "sent".to_owned());
        let request = ListDecisionsRequest { parent, outcome, page_size, page_token, ..Default::default() };
        let page = session.campaign().list_decisions(request).await.unwrap().into_inner();
        (page.decisions, page.next_page_token)
    });
    let messages = all(async |page_token| {
        let parent = session.parent();
        let request = ListMessagesRequest { parent, page_size, page_token, ..Default::default() };
        let page = session.notification().list_messages(request).await.unwrap().into_inner();
        (page.messages, page.next_page_token)
    });
    let coupons = all(async |page_token| {
        let parent = session.parent();
        let request = ListCouponsRequest { parent, page_size, page_token, ..Default::default() };
        let page = session.loyalty().list_coupons(request).await.unwrap().into_inner();
        (page.coupons, page.next_page_token)
    });
    let (sent, messages, coupons) = (sent.await, messages.await, coupons.await);
    let request = AuditLedgerRequest { parent: session.parent() };
    let problems = session.loyalty().audit_ledger(request).await.unwrap().into_inner().problems;
    Books { status, sent, messages, coupons, problems }
}

/// Every acknowledged event counts once, every decision to send is one message, every coupon is one of them, and the
/// books balance.
pub fn assert_counted_once(books: &Books, batches: usize) {
    let Books { status, sent, messages, coupons, problems } = books;
    let people = i64::try_from(batches * PEOPLE).unwrap();
    assert_eq!(status["orders"].as_i64(), Some(people), "{status:#}");
    assert_eq!(status["revenue_minor"].as_i64(), Some(people * 2_500), "{status:#}");
    assert_eq!(status["profiles"].as_i64(), Some(2 * people), "{status:#}");
    assert_eq!(status["parked"].as_i64(), Some(0), "{status:#}");
    // Each person is one who signed up or one who ordered; most are written to, once.
    let written: BTreeSet<&str> = sent.iter().map(|it| it.profile.as_str()).collect();
    assert_eq!(written.len(), sent.len(), "nobody is written to twice");
    assert!(sent.len() * 10 > 2 * batches * PEOPLE * 7, "{} of {people} twice", sent.len());
    let decided: BTreeSet<&str> = sent.iter().map(|it| it.decision_id.as_str()).collect();
    let claimed: BTreeSet<&str> = messages.iter().map(|it| it.decision_id.as_str()).collect();
    assert_eq!(claimed.len(), messages.len(), "no decision is two messages");
    assert_eq!(decided, claimed, "every decision is a message");
    let thanked: BTreeSet<&str> =
        sent.iter().filter(|it| it.campaign == "thanks").map(|it| it.profile.as_str()).collect();
    let given: Vec<&str> = coupons.iter().map(|it| it.profile.as_str()).collect();
    assert_eq!(given.len(), thanked.len(), "one coupon for each message with one");
    assert_eq!(given.into_iter().collect::<BTreeSet<_>>(), thanked);
    assert_eq!(problems, &Vec::<String>::new(), "the books balance");
}

/// Each file of a mail folder is one message, and none is missing.
fn assert_in_maildir(house: &House, books: &Books) {
    let mut ids: BTreeMap<String, u32> = BTreeMap::new();
    for folder in ["new", "cur"] {
        for entry in std::fs::read_dir(house.mail().join(folder)).into_iter().flatten() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let id = text.lines().find_map(|it| it.strip_prefix("Message-ID: <")?.split('@').next());
            *ids.entry(id.unwrap().to_owned()).or_default() += 1;
        }
    }
    assert!(ids.values().all(|it| *it == 1), "no mail twice");
    let rows: BTreeSet<&str> = books.messages.iter().map(|it| it.message_id.as_str()).collect();
    assert_eq!(ids.keys().map(String::as_str).collect::<BTreeSet<_>>(), rows, "none is missing");
    let states: BTreeSet<&str> = books.messages.iter().map(|it| it.state.as_str()).collect();
    assert_eq!(states, ["accepted"].into(), "a maildir never leaves a doubt");
}

/// What a mail server accepted was accepted once, and what it did not get is shown as unknown.
pub fn assert_delivered(sink: &Sink, books: &Books) {
    let mails = sink.mails();
    let twice: Vec<_> = mails.iter().filter(|it| *it.1 != 1).collect();
    assert!(twice.is_empty(), "doubled: {twice:?}");
    let of = |state: &str| -> BTreeSet<&str> {
        books.messages.iter().filter(|it| it.state == state).map(|it| it.message_id.as_str()).collect()
    };
    let (accepted, unknown) = (of("accepted"), of("unknown"));
    assert_eq!(accepted.len() + unknown.len(), books.messages.len(), "each is one or the other");
    let delivered: BTreeSet<&str> = mails.keys().map(String::as_str).collect();
    assert!(accepted.is_subset(&delivered), "what is shown as accepted was delivered");
    let intended: BTreeSet<&str> = accepted.union(&unknown).copied().collect();
    assert!(delivered.is_subset(&intended), "nothing is delivered that was not intended");
    let missing: BTreeSet<&str> = intended.difference(&delivered).copied().collect();
    assert!(missing.is_subset(&unknown), "what was not delivered is shown as unknown");
    eprintln!("{} accepted, {} unknown, of which {} missing", accepted.len(), unknown.len(), missing.len());
}

#[test]
fn what_was_acknowledged_counts_once_however_often_the_process_is_killed() {
    let house = House::new(Shape::One, &[]);
    let servers = house.serve_all();
    let key = open(&house);
    drop(servers);
    let mut batches = 0;
    let _servers = torment(&house, &key, None, &mut batches);
    let books = settled(&house, batches);
    assert_counted_once(&books, batches);
    assert_in_maildir(&house, &books);
}

/// Six processes with a database of their own.
pub fn six(settings: &[(&str, &str)]) -> Option<(Postgres, House)> {
    let (postgres, redis) = (Postgres::start()?, given("PERENNIAL_TEST_REDIS")?);
    let house = House::new(Shape::Six { postgres: postgres.url.clone(), redis }, settings);
    Some((postgres, house))
}

#[test]
fn six_processes_and_their_database_may_be_killed_and_no_mail_is_missing() {
    let Some((postgres, house)) = six(&[("notification.hand_over_timeout_s", "8")]) else { return };
    let servers = house.serve_all();
    let key = open(&house);
    drop(servers);
    let mut batches = 0;
    let _servers = torment(&house, &key, Some(&postgres), &mut batches);
    let books = settled(&house, batches);
    assert_counted_once(&books, batches);
    assert_in_maildir(&house, &books);
}

#[test]
fn six_processes_and_their_database_may_be_killed_and_no_mail_is_doubled() {
    let (sink, at) = Sink::open();
    let settings = [
        ("notification.hand_over_timeout_s", "8"),
        ("notification.transport", "smtp"),
        ("notification.smtp.host", "127.0.0.1"),
        ("notification.smtp.port", &at.port().to_string()),
    ];
    let Some((postgres, house)) = six(&settings) else { return };
    let servers = house.serve_all();
    let key = open(&house);
    drop(servers);
    let mut batches = 0;
    let _servers = torment(&house, &key, Some(&postgres), &mut batches);
    let books = settled(&house, batches);
    assert_counted_once(&books, batches);
    assert_delivered(&sink, &books);
}
